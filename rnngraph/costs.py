"""What each way of unrolling costs, predicted and measured; and the proof that the ways compute the same.

Nothing is reported that was not computed in the same run: a row exists only for a mode and a number of steps that
were compiled and run here.
"""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnngraph.compiled import Arrays, CompiledProgram, Signature, Variant
from rnngraph.front.block import DataInput
from rnngraph.ir.text import counts
from rnngraph.ir.types import BATCH, size_of
from rnngraph.model import Model, checked_schedule
from rnngraph.passes.bounds import reached
from rnngraph.program.arena import Piece
from rnngraph.program.memory import PLANNED, Plan, lifetimes, rounded, shares
from rnngraph.program.program import CATEGORIES
from rnngraph.program.room import refuse_if_too_large
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execute import Bound
from rnngraph.viz.results import CompareRow, Comparison, Difference, LedgerEntry

NUMPY_DOMAIN = 389047
"""The tracemalloc domain of NumPy's array data."""


@dataclass(frozen=True)
class Asked:
    """What to compare: modes as for `--unroll`, numbers of steps, and how often to time."""

    modes: tuple[str | int, ...] = ("static", "dynamic")
    steps: tuple[int, ...] = (2, 10, 50, 100, 200, 500, 1000)
    batch: int = 32
    dtype: str = "float32"
    repeats: int = 5
    seed: int = 0
    schedules: tuple[str, ...] = ()
    """Further rows for each mode: "every:100", "within 512MB", "truncate 50"."""

    @property
    def ways(self) -> tuple[str, ...]:
        """Every row's name: the modes, then each with each schedule."""
        modes = tuple(map(str, self.modes))
        return (*modes, *(f"{mode}, {schedule}" for mode in modes for schedule in self.schedules))

    @property
    def exact(self) -> tuple[str, ...]:
        """The ways whose gradients are the gradients."""
        return tuple(way for way in self.ways if TRUNCATE not in way)


TRUNCATE = "truncate"


# --- data of the right shapes ------------------------------------------------------------------------------------


def synthetic(model: Model, steps: int, batch: int, seed: int, padded: bool = False) -> Arrays:
    """Random data for a model: normal floats, ids inside their tables; `padded` adds random lengths from 0 on."""
    rng = np.random.default_rng(seed)
    limits, data = reached(model.graph), dict[str, Any]()
    for item in model.inputs:
        sizes = [batch] * (BATCH in item.type.axes) + [steps] * bool(item.axis) + list(item.type.shape)
        data[item.name] = _random(item, sizes, limits.get(item.name, 2), rng)
    if padded:
        lengths = {axis: rng.integers(0, steps + 1, batch) for axis in {i.axis for i in model.inputs if i.axis}}
        data |= {f"{i.name}.lengths": lengths[i.axis] for i in model.inputs if i.axis and BATCH in i.type.axes}
    return data


def _random(item: DataInput, sizes: Sequence[int], limit: int, rng: np.random.Generator) -> Any:
    if item.type.dtype == "int":
        return rng.integers(0, limit, sizes)
    return rng.normal(size=sizes) if item.type.dtype == "float" else rng.integers(0, 2, sizes).astype(bool)


def cotangents_for(model: Model, steps: int, batch: int) -> Arrays | None:
    """Ones for every float output of a model without a loss; None where there is one."""
    outputs = model.graph.outputs
    if "loss" in outputs:
        return None
    sizes = {BATCH: batch}
    found = {}
    for name in model.outputs:
        type = outputs[name].type
        if type.dtype == "float":
            axes = sorted(type.axes, key=lambda a: a != BATCH)
            lengths = [size_of(a, lambda axis: sizes.get(axis, steps)) for a in axes]
            found[name] = np.ones(lengths + list(type.shape))
    return found


# --- equality ----------------------------------------------------------------------------------------------------


def everything(program: CompiledProgram, data: Arrays, weights: Arrays, cotangents: Arrays | None) -> Arrays:
    """All results and all gradients by name."""
    results = program.run(data, weights)
    if not program.schedule.gradient:
        return results
    loss, grads = program.gradients(data, weights, cotangents)
    return {**results, "loss": np.asarray(loss), **{f"gradient of {n}": g for n, g in grads.items()}}


def differences(first: Arrays, second: Arrays) -> Iterator[Difference]:
    """For each result whether the two are the same bits, and how far apart they are."""
    for name in first:
        a, b = np.asarray(first[name]), np.asarray(second[name])
        same = a.shape == b.shape and a.tobytes() == b.tobytes()
        apart = 0.0 if same or not a.size else float(np.max(np.abs(a.astype(float) - b.astype(float))))
        yield Difference(name, apart, same)


def prove(model: Model, backend: Backend, asked: Asked) -> tuple[Difference, ...]:
    """Runs every mode on the same data, whole and padded, at batch 1 and as asked; the largest difference per name."""
    worst: dict[str, Difference] = {}
    steps = min(asked.steps)
    for batch, padded in ((asked.batch, False), (1, False), (asked.batch, True)):
        data = synthetic(model, steps, batch, asked.seed, padded)
        for found in _between_modes(model, backend, asked, steps, batch, data):
            _keep_worst(worst, found)
    return tuple(worst.values())


def _between_modes(
    model: Model, backend: Backend, asked: Asked, steps: int, batch: int, data: Arrays
) -> Iterator[Difference]:
    weights = model.init(asked.seed, asked.dtype)
    cotangents = cotangents_for(model, steps, batch)
    gradient = cotangents is None or bool(cotangents)
    results = [
        everything(compiled_for(model, backend, asked, way, steps, gradient), data, weights, cotangents)
        for way in asked.exact
    ]
    for other in results[1:]:
        yield from differences(results[0], other)


def _keep_worst(worst: dict[str, Difference], found: Difference) -> None:
    known = worst.get(found.name)
    if known is None or found.max_abs > known.max_abs or (known.equal and not found.equal):
        worst[found.name] = found


def compiled_for(
    model: Model, backend: Backend, asked: Asked, way: str, steps: int, gradient: bool
) -> CompiledProgram:
    """The program of one row, named as in `Asked.ways`."""
    mode, _, schedule = way.partition(", ")
    word, _, value = schedule.partition(" ")
    options: dict[str, dict[str, Any]] = {"within": {"memory_limit": value}, TRUNCATE: {"truncate": value}}
    more = options.get(word, {"keep": schedule or "all"})
    length = steps if mode == "static" else None
    program = model.compile(mode, length, backend, asked.dtype, gradient=gradient, **more)
    program.made_up = True
    return program


# --- cost --------------------------------------------------------------------------------------------------------


def compare(
    model: Model, backend: Backend, asked: Asked, tell: Callable[[str], None] = lambda text: None
) -> Comparison:
    """Equality first, then one row per mode and number of steps.

    CannotDo, before anything is allocated, where the largest of them does not fit.
    """
    refuse_what_cannot_fit(model, backend, asked)
    tell("proving that the modes agree")
    worst = {d.name: d for d in prove(model, backend, asked)}
    rows: list[CompareRow] = []
    for steps in asked.steps:
        results: dict[str, Arrays] = {}
        for way in asked.ways:
            tell(f"{way}, {steps} steps")
            row, results[way] = _row(model, backend, asked, way, steps)
            error = 0.0 if way in asked.exact else gradient_error(results[asked.ways[0]], results[way])
            rows.append(replace(row, gradient_error=error))
        for way in asked.exact[1:]:
            for difference in differences(results[asked.ways[0]], results[way]):
                _keep_worst(worst, difference)
    laws = _laws(model, backend, asked, rows)
    rows = [replace(r, ledger=tuple(replace(e, law=laws[r.mode, e.category]) for e in r.ledger)) for r in rows]
    found = tuple(worst.values())
    return Comparison(
        model.block.definition,
        asked.batch,
        asked.dtype,
        f"{backend.name}, {backend.kernels} kernels" if backend.name == "numpy" else backend.name,
        all(d.equal for d in found),
        found,
        tuple(rows),
        (),
        machine(),
    )


def gradient_error(right: Arrays, found: Arrays) -> float:
    """How far a gradient is from the right one: the norm of the difference over the norm, of all weights together."""
    names = [n for n in right if n.startswith("gradient of ")]
    apart = sum(float(np.sum(np.square(np.asarray(found[n], float) - right[n]))) for n in names)
    whole = sum(float(np.sum(np.square(np.asarray(right[n], float)))) for n in names)
    return float(np.sqrt(apart / whole)) if whole else 0.0


def refuse_what_cannot_fit(model: Model, backend: Backend, asked: Asked) -> None:
    """CannotDo where the plan of the most steps, takes more than is free."""
    steps = max(asked.steps)
    if "static" in asked.modes:
        model.refuse_too_long(checked_schedule("static", steps, asked.dtype, True))
    cotangents = cotangents_for(model, 0, 0)
    gradient = cotangents is None or bool(cotangents)
    variant = _variant(compiled_for(model, backend, asked, "dynamic", steps, gradient), gradient, cotangents)
    made = variant.plan(model.sizes(steps, asked.batch))
    if isinstance(made, Plan):
        refuse_if_too_large(variant.program, made, backend.free_bytes(), static=False)


def machine() -> str:
    """What the figures were measured on, in a few words."""
    import os
    import platform

    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"


def _row(model: Model, backend: Backend, asked: Asked, way: str, steps: int) -> tuple[CompareRow, Arrays]:
    data = synthetic(model, steps, asked.batch, asked.seed)
    weights = model.init(asked.seed, asked.dtype)
    cotangents = cotangents_for(model, steps, asked.batch)
    gradient = cotangents is None or bool(cotangents)
    forward = compiled_for(model, backend, asked, way, steps, False)
    program = compiled_for(model, backend, asked, way, steps, gradient)
    variant = _variant(program, gradient, cotangents)
    began = time.perf_counter()
    graphs = variant.graphs(model.sizes(steps, asked.batch))
    compile_seconds = program.compile_seconds + time.perf_counter() - began

    def run() -> Any:
        if gradient:
            return program.gradients(data, weights, cotangents)
        return program.run(data, weights)

    first, later = _timed(run, asked.repeats)
    results = everything(program, data, weights, cotangents)
    graph_bytes, program_bytes, ledger = _measured(variant, program, data, weights)
    nodes, edges = counts(forward.graph)
    grad_nodes, grad_edges = (sum(n) for n in zip(*map(counts, graphs), strict=True))
    return (
        CompareRow(
            way,
            steps,
            nodes,
            edges,
            grad_nodes,
            grad_edges,
            graph_bytes,
            program_bytes,
            compile_seconds,
            first,
            later,
            ledger,
            variant.evaluations(model.sizes(steps, asked.batch)),
        ),
        results,
    )


def _variant(program: CompiledProgram, gradient: bool, cotangents: Arrays | None) -> Variant:
    """The program whose cost is reported: with gradient where there is one."""
    names = tuple(cotangents) if cotangents is not None else ("loss",)
    return program.variant(Signature(cotangents=names if gradient else None))


def _timed(run: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Milliseconds of the first call, and the median of later ones."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return times[0], statistics.median(times[1:])


# --- bytes -------------------------------------------------------------------------------------------------------


def _measured(
    variant: Variant, program: CompiledProgram, data: Arrays, weights: Arrays
) -> tuple[int, int, tuple[LedgerEntry, ...]]:
    """Bytes of the graph's and the program's objects, and the ledger of array bytes, all as traced by Python."""
    checked = program.check(data)
    plan = variant.plan(checked.sizes)
    measured: dict[str, int] = {}
    gc.collect()
    tracemalloc.start()
    try:
        fresh = Variant(variant.elaborated, variant.schedule, variant.signature, variant.backend)
        _ = fresh.cuts if fresh.walks else fresh.graph
        gc.collect()
        graph_bytes = tracemalloc.get_traced_memory()[0]
        held = {n: np.array(weights[n]) for n in fresh.weights}
        measured["parameters"] = array_bytes()
        made = fresh.plan(checked.sizes)
        arenas = made.arenas if isinstance(made, Plan) else {c: made.bytes[c] for c in PLANNED}
        bound = fresh.with_arrays(made, _Counted(variant.backend, measured, arenas))
        bound.bind(held)
        gc.collect()
        program_bytes = tracemalloc.get_traced_memory()[0] - graph_bytes - array_bytes()
    finally:
        tracemalloc.stop()
    if isinstance(bound, Bound):
        measured |= _shares(bound, measured["all"])
    ledger = tuple(LedgerEntry(c, plan.bytes[c], measured.get(c, 0), "") for c in CATEGORIES)
    return graph_bytes, program_bytes, ledger


def _shares(bound: Bound, arena: int) -> dict[str, int]:
    """Whose the bytes of an arena are, by the arrays that a bound program has in it."""
    lives, categories = lifetimes(bound.program), bound.program.categories
    slots = [i for i, base in enumerate(bound.bases) if base is not None and base.nbytes and lives[i][0] >= 0]
    own = [i for i in slots if categories[i] != "parameters"]
    pieces = [Piece(*lives[i], rounded(bound.bases[i].nbytes)) for i in own]
    return shares(pieces, [categories[i] for i in own], PLANNED, arena)


def array_bytes() -> int:
    """The bytes of NumPy arrays that are alive, of those made since tracing began."""
    only = tracemalloc.DomainFilter(True, NUMPY_DOMAIN)
    return sum(t.size for t in tracemalloc.take_snapshot().filter_traces([only]).traces)


class _Counted:
    """A backend that notes what each arena takes, as the tracer sees it."""

    def __init__(self, backend: Backend, measured: dict[str, int], planned: Mapping[str, int]) -> None:
        self._backend, self._measured = backend, measured
        self._names = iter([name for name in planned if planned[name]])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def empty(self, bytes: int) -> Any:
        before = array_bytes()
        array = self._backend.empty(bytes)
        self._measured[next(self._names)] = array_bytes() - before
        return array


def _laws(model: Model, backend: Backend, asked: Asked, rows: Sequence[CompareRow]) -> dict[tuple[str, str], str]:
    """For each mode and category the law of its bytes in the number of steps, from plans alone."""
    found = {}
    points = (16, 32, 64)
    for way in asked.ways:
        plans = []
        for steps in points:
            cotangents = cotangents_for(model, steps, asked.batch)
            gradient = cotangents is None or bool(cotangents)
            program = compiled_for(model, backend, asked, way, steps, gradient)
            variant = _variant(program, gradient, cotangents)
            plans.append(variant.plan(model.sizes(steps, asked.batch)).bytes)
        for category in CATEGORIES:
            ledgers = {r.steps: r.ledger for r in rows if r.mode == way}
            told = {steps: e.predicted for steps, ledger in ledgers.items() for e in ledger if e.category == category}
            found[way, category] = law(points, [p[category] for p in plans], told)
    return found


def law(steps: Sequence[int], bytes: Sequence[int], told: Mapping[int, int]) -> str:
    """ "1,024 B + 25,600 B per step", where the points lie on such a line; "about", where those told lie beside it."""
    slope, rest = divmod(bytes[-1] - bytes[-2], steps[-1] - steps[-2])
    base = bytes[0] - slope * steps[0]
    linear = not rest and all(base + slope * s == b for s, b in zip(steps, bytes, strict=True))
    if not linear:
        about = (bytes[-1] - bytes[0]) / (steps[-1] - steps[0])
        return f"about {about:,.0f} B per step"
    terms = [f"{base:,} B"] if base or not slope else []
    text = " + ".join([*terms, f"{slope:,} B per step"] if slope else terms)
    return text if all(base + slope * s == b for s, b in told.items()) else f"about {text}"
