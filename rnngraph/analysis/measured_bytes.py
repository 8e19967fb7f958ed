"""Bytes as they are counted in a run: of arrays, and of the objects that a graph and a program are."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from typing import Any

from rnngraph.analysis.results import LedgerEntry
from rnngraph.compilation.variant import Variant
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.planning.arena import Piece
from rnngraph.planning.plan import PLANNED, Plan, lifetimes, rounded, shares
from rnngraph.planning.program import CATEGORIES
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound
from rnngraph.runtime.numpy import array_bytes


def measured_bytes(
    variant: Variant, program: CompiledProgram, data: Arrays, weights: Arrays
) -> tuple[int, int, tuple[LedgerEntry, ...]]:
    """Bytes of the graph's and the program's objects as traced by Python, and the ledger of array bytes as the backend
    counts them."""
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
        before = fresh.backend.taken_bytes()
        held = {n: fresh.backend.xp.array(weights[n]) for n in fresh.weights}
        measured["parameters"] = fresh.backend.taken_bytes() - before
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


class _Counted:
    """A backend that notes what each arena takes."""

    def __init__(self, backend: Backend, measured: dict[str, int], planned: Mapping[str, int]) -> None:
        self._backend, self._measured = backend, measured
        self._names = iter([name for name in planned if planned[name]])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def empty(self, bytes: int) -> Any:
        before = self._backend.taken_bytes()
        array = self._backend.empty(bytes)
        self._measured[next(self._names)] = self._backend.taken_bytes() - before
        return array
