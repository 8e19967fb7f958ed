"""What each way of unrolling costs, predicted and measured.

Nothing is reported that was not computed in the same run: a row exists only for a mode and a number of steps that were
compiled and run here. The ways run in turns, after each was run once that nothing is told of.
"""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.analysis.equality import WITHIN, Asked, compiled_for, differences, keep_worst, machine, prove, step_for
from rnngraph.analysis.ledger import ledger, object_bytes
from rnngraph.analysis.memory_formulas import Formula
from rnngraph.analysis.memory_growth import Growth
from rnngraph.analysis.results import CompareRow, Comparison, Difference, Spread
from rnngraph.analysis.synthetic_data import Steps, cotangents_for, synthetic
from rnngraph.analysis.timing import in_turns, seconds
from rnngraph.compilation.schedule_checks import checked_memory, checked_schedule
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.ir.text import counts
from rnngraph.model import Model
from rnngraph.planning.limits import megabytes, refuse_if_too_large
from rnngraph.planning.plan import Plan
from rnngraph.runtime.backend import Backend

Tell = Callable[[str], None]


def compare(model: Model, backend: Backend, asked: Asked, tell: Tell = lambda text: None) -> Comparison:
    """Equality first, then one row per mode and number of steps.

    CannotDo, before anything is allocated, where the largest of them do not fit together.
    """
    for mode in asked.modes:
        checked_schedule(mode, asked.steps[0], asked.dtype, True)
    refuse_what_cannot_fit(model, backend, asked)
    tell("proving that the modes agree")
    worst = {d.name: d for d in prove(model, backend, asked)}
    contest = Contest(model, backend, asked, tell)
    contest.warm_up()
    rounds = [contest.round(steps) for steps in asked.steps]
    for found in (difference for one in rounds for difference in one.differences):
        keep_worst(worst, found)
    rows, laws = [row for one in rounds for row in one.rows], ChainMap(*(dict(one.laws) for one in rounds))
    return Comparison(
        model.block.definition,
        asked.batch,
        asked.dtype,
        _told(backend),
        all(d.equal for d in worst.values()),
        tuple(worst.values()),
        tuple(_with_laws(rows, laws)),
        backend.notes,
        machine(backend),
        asked.repeats,
        asked.beside,
    )


def _told(backend: Backend) -> str:
    """The backend, and how it makes products."""
    if backend.name == "numpy":
        return f"{backend.name}, {backend.kernels} kernels"
    return f"{backend.name}, products in {backend.rounding}" if backend.rounding else backend.name


def refuse_what_cannot_fit(model: Model, backend: Backend, asked: Asked) -> None:
    """CannotDo where what the most steps take, in all ways at once, is more than is free.

    Static ways are taken to need what dynamic ones do.
    """
    steps, free, total = asked.at(model, max(asked.steps)), backend.free_bytes(), 0
    if "static" in asked.modes:
        model.refuse_too_long(checked_schedule("static", steps, asked.dtype, True))
    for schedule in ("", *(f", {s}" for s in asked.schedules)):
        variant = _variant(model, step_for(model, backend, asked, f"dynamic{schedule}", steps))
        made = variant.plan(model.sizes(steps, asked.batch))
        if isinstance(made, Plan):
            refuse_if_too_large(variant.program, made, free, static=False)
        total += made.total * len(asked.modes)
    if total > free:
        need = f"take {megabytes(total)} at {max(asked.steps):,} steps"
        raise CannotDo(
            f"{len(asked.ways)} ways in turns {need}; {megabytes(free)} are free",
            "E502",
            help="compare fewer `--modes` or schedules, fewer steps, or a smaller batch",
        )


def _variant(model: Model, program: CompiledProgram) -> Variant:
    """The program whose cost is reported: with gradient where there is one."""
    return program.variant(Signature(cotangents=model.differentiated if program.schedule.gradient else None))


# --- one number of steps -----------------------------------------------------------------------------------------


class Data(Struct, frozen=True):
    """What all contestants of a round are given."""

    inputs: Arrays
    weights: Arrays
    cotangents: Arrays | None
    sizes: Mapping[str, int]


class Contestant(Struct, frozen=True, eq=False):
    """One way before it runs: a forward run, a step of training, and the seconds that compiling the step took."""

    forward: CompiledProgram
    program: CompiledProgram
    variant: Variant
    data: Data
    compile_seconds: float

    def run(self) -> tuple[float, Arrays] | Arrays:
        data = self.data
        if self.program.schedule.gradient:
            return self.program.gradients(data.inputs, data.weights, data.cotangents)
        return self.program.run(data.inputs, data.weights)

    def results(self) -> Arrays:
        """All outputs of a forward run, and what a step of training gives."""
        found, step = self.forward.run(self.data.inputs, self.data.weights), self.run()
        if isinstance(step, dict):
            return found
        return {**found, "training loss": np.asarray(step[0]), **{f"{GRADIENT}{n}": g for n, g in step[1].items()}}


GRADIENT = "gradient of "

Laws = Mapping[str, Formula]


class Round(Struct, frozen=True):
    """What was found for one number of steps; of ways whose laws were asked for, these."""

    rows: tuple[CompareRow, ...]
    differences: tuple[Difference, ...]
    laws: Mapping[tuple[str, int], Laws]


class Contest(Struct, frozen=True):
    """The ways of a model that are compared."""

    model: Model
    backend: Backend
    asked: Asked
    tell: Tell
    forwards: dict[tuple[str, int], CompiledProgram] = field(default_factory=dict)
    """Those that were compiled and are needed again, by mode and number of steps."""

    def warm_up(self) -> None:
        """Compiles and runs each way at the fewest steps, so that no row holds what is done once in a process: kernels
        are kept. A first step, a last one and one between have those of any number of steps."""
        fewest, most = min(self.asked.steps), max(self.asked.steps)
        for steps in sorted({fewest, min((n for n in self.asked.steps if n > 2), default=most)}):
            data = self.data(steps)
            for way in self.asked.ways:
                self.contestant(way, steps, data).results()

    def data(self, steps: int) -> Data:
        model, asked = self.model, self.asked
        along = asked.at(model, steps)
        return Data(
            synthetic(model, along, asked.batch, asked.seed),
            model.init(asked.seed, asked.dtype),
            cotangents_for(model, along, asked.batch),
            model.sizes(along, asked.batch),
        )

    def contestant(self, way: str, steps: int, data: Data) -> Contestant:
        self.tell(f"{way}, {steps} steps: compiling")
        forward = self.forward(way.partition(",")[0], steps)
        began = time.perf_counter()
        along = self.asked.at(self.model, steps)
        program = step_for(self.model.anew(), self.backend, self.asked, way, along)  # to time all of it
        variant = _variant(self.model, program)
        variant.graphs(data.sizes)
        return Contestant(forward, program, variant, data, time.perf_counter() - began)

    def forward(self, mode: str, steps: int) -> CompiledProgram:
        """The forward run of a mode, compiled once for all its ways."""
        key = mode, steps
        if key not in self.forwards:
            along = self.asked.at(self.model, steps)
            self.forwards[key] = compiled_for(self.model, self.backend, self.asked, mode, along)
        return self.forwards[key]

    def round(self, steps: int) -> Round:
        """All ways at one number of steps, timed in turns."""
        data, asked = self.data(steps), self.asked
        ways = {way: self.contestant(way, steps, data) for way in asked.ways}
        self.tell(f"{steps} steps: running in turns")
        first = {way: seconds(one.run) for way, one in ways.items()}
        later = in_turns({way: one.run for way, one in ways.items()}, asked.repeats)
        results = {way: one.results() for way, one in ways.items()}
        right = results[asked.ways[0]]
        errors = {way: 0.0 if way in asked.exact else gradient_error(right, results[way]) for way in ways}
        self.tell(f"{steps} steps: measuring memory")
        rows = (self.row(way, steps, one, first[way], later[way], errors[way]) for way, one in ways.items())
        found = (difference for way in asked.exact[1:] for difference in differences(right, results[way]))
        made = Round(tuple(rows), tuple(found), dict(self.laws(steps, ways)))
        for mode in asked.modes:
            self.forwards.pop((str(mode), steps), None)
        return made

    def row(self, way: str, steps: int, one: Contestant, first: float, later: Spread, error: float) -> CompareRow:
        variant, data = one.variant, one.data
        graph_bytes, program_bytes = (
            object_bytes(variant, data.sizes, data.weights) if self.asked.in_full else (None, None)
        )
        nodes, edges = zip(*map(counts, variant.graphs(data.sizes)), strict=True)
        return CompareRow(
            way,
            steps,
            *counts(one.forward.graph),
            sum(nodes),
            sum(edges),
            graph_bytes,
            program_bytes,
            one.compile_seconds,
            1e3 * first,
            later * 1e3,
            ledger(variant, data.sizes, data.weights),
            variant.evaluations(data.sizes),
            error,
        )

    def laws(self, steps: int, ways: Mapping[str, Contestant]) -> Iterator[tuple[tuple[str, int], Laws]]:
        """How the bytes of each way grow with the steps: told of the most steps, and of every number of steps where a
        limit leads to another way at each."""
        for way, one in ways.items() if self.asked.in_full else ():
            if WITHIN in way or steps == max(self.asked.steps):
                alike = partial(self.alike, way)
                along = self.asked.at(self.model, steps)
                growth = Growth(self.model, alike, along, self.asked.batch, program=one.program)
                yield (way, steps), growth.in_steps()

    def alike(self, way: str, model: Model, steps: Steps) -> CompiledProgram:
        return step_for(model, self.backend, self.asked, way, steps)


def gradient_error(right: Arrays, found: Arrays) -> float:
    """How far a gradient is from the right one: the norm of the difference over the norm, of all weights together."""
    names = [n for n in right if n.startswith(GRADIENT)]
    apart = sum(float(np.sum(np.square(np.asarray(found[n], float) - right[n]))) for n in names)
    whole = sum(float(np.sum(np.square(np.asarray(right[n], float)))) for n in names)
    return float(np.sqrt(apart / whole)) if whole else 0.0


def _with_laws(rows: Sequence[CompareRow], laws: Mapping[tuple[str, int], Laws]) -> Iterator[CompareRow]:
    """The rows with how their bytes grow, where that was found."""
    longest = max(row.steps for row in rows)
    for row in rows:
        limited = WITHIN in row.mode
        alike = [r for r in rows if r is row or (r.mode == row.mode and not limited)]
        found = laws.get((row.mode, row.steps if limited else longest), {})
        ledger = (replace(e, law=_law(found[e.category], e.category, alike)) if found else e for e in row.ledger)
        yield replace(row, ledger=tuple(ledger))


def _law(law: Formula, category: str, rows: Sequence[CompareRow]) -> str:
    """In words; "about", where one of these rows lies beside it."""
    told = [(row.steps, e.predicted) for row in rows for e in row.ledger if e.category == category]
    return str(replace(law, exact=law.exact and all(law.at((steps, 1, 1)) == bytes for steps, bytes in told)))


def schedules(keep: str, memory_limit: str, truncate: str) -> tuple[str, ...]:
    """The rows asked for by lists such as `every:100,sqrt`; UserError for what is no schedule."""
    lists = {"keep": ("", keep), "memory_limit": ("within ", memory_limit), "truncate": ("truncate ", truncate)}
    named = [(o, word, v.strip()) for o, (word, text) in lists.items() for v in text.split(",") if v.strip()]
    for option, _, value in named:
        checked_memory(**{option: value})
    return tuple(word + value for _, word, value in named)
