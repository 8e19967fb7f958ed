"""What a run costs, as the exact laws in steps, rows and units, for each way to run a model; nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from rnngraph.analysis.cost import optimiser_bytes, optimiser_slots
from rnngraph.analysis.formulas import Formula
from rnngraph.analysis.growth import Growth, units_of
from rnngraph.compilation.variant import Signature
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.text import counts
from rnngraph.model import Model
from rnngraph.run_options import RunOptions

Json = dict[str, Any]
Tell = Callable[[str], None]

KEPT = ("sqrt", "revolve:10", "mixed:25")
"""The schedules that stand beside the one that keeps everything."""
LENGTHS = (16, 64, 256, 1024)
"""Steps at which it is told how often a schedule computes a step again."""
TIMED = (2, 8, 32, 128)
LARGEST = 130
"""Nodes of a step from which on the laws of static programs are not looked for: that takes programs of 200 steps."""
PATIENCE = 1.0
"""Seconds after which no longer static program is compiled."""


@dataclass(frozen=True)
class Way:
    """One way to run a model: forward or a training step, static or dynamic, and what is kept."""

    unroll: str
    gradient: bool
    keep: str = "all"

    def options(self, plain: RunOptions) -> RunOptions:
        return replace(plain, unroll=self.unroll, keep=self.keep, memory_limit="", truncate="", swap="")


def ways(model: Model) -> tuple[Way, ...]:
    """Those that are told of, the most asked for first."""
    if not model.differentiated:
        return Way("dynamic", False), Way("static", False)
    plain = [Way(unroll, gradient) for gradient in (True, False) for unroll in ("dynamic", "static")]
    return (*plain, *(Way("dynamic", True, keep) for keep in KEPT))


def costs_json(model: Model, options: RunOptions, steps: int, batch: int, tell: Tell) -> Json:
    """For each way the bytes by category; nodes and compile times of static and dynamic programs.

    `tell` is told what is looked at now: of a large model, each way takes seconds.
    """
    tell("cost: nodes and compile times")
    sizes, found = _sizes(model, options), list[Json]()
    for way in ways(model):
        if way.unroll == "static" and _per_step(sizes["static"]) > LARGEST:
            continue
        tell(f"cost: {way.unroll}, {'training' if way.gradient else 'forward'}, keep {way.keep}")
        with suppress(UserError):  # the model cannot be run so
            found.append(_way(model, way, options, steps, batch))
    units = units_of(model)
    asked = {"steps": steps, "batch": batch, "units": units}
    optimiser = {"bytes": optimiser_bytes(model, options.dtype), "slots": optimiser_slots(model)}
    return {"ways": found, "asked": asked, "dtype": options.dtype, "optimiser": optimiser, "compiled": sizes}


def _way(model: Model, way: Way, options: RunOptions, steps: int, batch: int) -> Json:
    how = way.options(options)
    growth = Growth(model, how.training_step if way.gradient else how.compiled, steps, batch)
    laws = {category: _law(law) for category, law in growth.laws().items()}
    again = [[length, _evaluations(growth, length, batch)] for length in LENGTHS] if way.keep != "all" else []
    return {**asdict(way), "laws": laws, "bytes": growth.made.bytes, "evaluations": again}


def _law(law: Formula) -> Json:
    """Each term as its powers of steps, rows and units, and a number of bytes as a fraction."""
    terms = [[*powers, n.numerator, n.denominator] for powers, n in law.terms]
    return {"terms": terms, "exact": int(law.exact), "root": int(law.root), "text": str(law)}


def _evaluations(growth: Growth, steps: int, batch: int) -> float:
    """How often a forward step is computed."""
    return growth.variant.walking(growth.model.sizes(steps, batch)).course.evaluations


# --- the size of the programs themselves -------------------------------------------------------------------------


def _sizes(model: Model, options: RunOptions) -> Json:
    """Nodes, and seconds to compile: of static programs for a few lengths, of the dynamic one once."""
    static = list(_compiled(model, Way("static", bool(model.differentiated)).options(options)))
    dynamic = next(_compiled(model, Way("dynamic", bool(model.differentiated)).options(options)))
    return {"static": static, "dynamic": dynamic}


def _per_step(static: Sequence[Json]) -> float:
    first, last = static[0], static[-1]
    return (last["nodes"] - first["nodes"]) / max(1, last["steps"] - first["steps"])


def _compiled(model: Model, options: RunOptions) -> Iterator[Json]:
    began = time.perf_counter()
    for steps in TIMED:
        make = options.training_step if model.differentiated else options.compiled
        program = make(model.anew(), steps)
        variant = program.variant(Signature(cotangents=model.differentiated or None))
        yield {"steps": steps, "nodes": counts(variant.graph)[0], "seconds": program.compile_seconds}
        if time.perf_counter() - began > PATIENCE:
            return
