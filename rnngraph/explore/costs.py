"""What a run costs, as the exact laws in steps, rows and units, for each way to run a model; nothing runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from rnngraph.analysis.cost import optimiser_slots
from rnngraph.analysis.memory_formulas import Formula
from rnngraph.analysis.memory_growth import Growth, units_of
from rnngraph.compilation.variant import Signature
from rnngraph.ir.text import counts
from rnngraph.model import Model
from rnngraph.run_options import RunOptions

Json = dict[str, Any]

KEPT = ("sqrt", "revolve:10", "revolve:50")
"""The schedules that stand beside the one that keeps everything."""
LENGTHS = (16, 64, 256, 1024)
"""Steps at which it is told how often a schedule computes a step again."""
TIMED = (2, 8, 32, 128)
LARGEST = 130
"""Nodes of a step from which on the laws of static programs are not looked for: that takes programs of 200 steps."""
PATIENCE = 1.0
"""Seconds after which no longer static program is compiled."""


class Way(Struct, frozen=True):
    """One way to run a model: forward or a training step, static or dynamic, and what is kept."""

    unroll: str
    gradient: bool
    keep: str = "all"

    def options(self, plain: RunOptions) -> RunOptions:
        return replace(plain, unroll=self.unroll, keep=self.keep, memory_limit="", truncate="", swap="")


def ways(model: Model) -> tuple[Way, ...]:
    """Those that are told of, the most asked for first; static ones where a law can be found in a moment."""
    modes = ("dynamic", "static") if _per_step(model) <= LARGEST else ("dynamic",)
    if not model.differentiated:
        return tuple(Way(unroll, False) for unroll in modes)
    plain = (Way(unroll, gradient) for gradient in (True, False) for unroll in modes)
    return (*plain, *(Way("dynamic", True, keep) for keep in KEPT))


def _per_step(model: Model) -> int:
    """Nodes that a static program has more for each step."""
    two, three = (counts(model.stage("unroll", "static", n, bool(model.differentiated)))[0] for n in (2, 3))
    return three - two


def costs_json(model: Model, options: RunOptions, steps: int, batch: int) -> Json:
    """What is told of all ways: how many there are, the optimiser, nodes and compile times."""
    asked = {"steps": steps, "batch": batch, "units": units_of(model)}
    count = len(ways(model))
    static, dynamic = (_compiled(model, options, unroll) for unroll in ("static", "dynamic"))
    known = {"asked": asked, "dtype": options.dtype, "optimiser": optimiser_slots(model)}
    return {**known, "compiled": {"static": list(static), "dynamic": next(dynamic)}, "count": count, "ways": []}


def way_json(model: Model, options: RunOptions, steps: int, batch: int, index: int) -> Json:
    """The bytes by category of one way, by its place among all. UserError where the model cannot be run so."""
    way = ways(model)[index]
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


def _compiled(model: Model, options: RunOptions, unroll: str) -> Iterator[Json]:
    """Nodes, and seconds to compile, of programs for a few numbers of steps."""
    gradient, began = bool(model.differentiated), time.perf_counter()
    how = Way(unroll, gradient).options(options)
    for steps in TIMED:
        program = (how.training_step if gradient else how.compiled)(model.anew(), steps)
        variant = program.variant(Signature(cotangents=model.differentiated or None))
        yield {"steps": steps, "nodes": counts(variant.graph)[0], "seconds": program.compile_seconds}
        if time.perf_counter() - began > PATIENCE:
            return
