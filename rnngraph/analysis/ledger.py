"""Bytes as they are counted in a run: of arrays, and of the objects that a graph and a program are."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rnngraph.analysis.results import LedgerEntry
from rnngraph.compilation.variant import Variant
from rnngraph.compiled import Arrays
from rnngraph.planning.arena import Piece
from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.plan import PLANNED, Plan, rounded, shares
from rnngraph.planning.program import CATEGORIES
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound
from rnngraph.runtime.numpy import array_bytes
from rnngraph.system import garbage


def ledger(variant: Variant, sizes: Mapping[str, int], weights: Arrays) -> tuple[LedgerEntry, ...]:
    """The bytes of arrays by category: as planned, and as the backend counts them."""
    planned, measured = variant.plan(sizes).bytes, _measured(variant, sizes, weights)
    return tuple(LedgerEntry(c, planned[c], measured.get(c, 0), "") for c in CATEGORIES)


def object_bytes(variant: Variant, sizes: Mapping[str, int], weights: Arrays) -> tuple[int, int]:
    """Of the objects that the graph is, and the program with what is bound of it but for its arrays, as traced by
    Python. All of it is made anew for that, four times as slowly as otherwise."""
    with _traced():
        fresh = Variant(variant.elaborated, variant.schedule, variant.signature, variant.backend)
        _ = fresh.cuts if fresh.walks else fresh.graph
        gc.collect()
        graph_bytes = tracemalloc.get_traced_memory()[0]
        held = _held(fresh, weights)
        bound = fresh.with_arrays(fresh.plan(sizes))
        bound.bind(held)
        gc.collect()
        return graph_bytes, tracemalloc.get_traced_memory()[0] - graph_bytes - array_bytes()


@contextmanager
def _traced() -> Iterator[None]:
    with garbage.only_new():
        gc.collect()  # empties Python's lists of free objects, whose next use would not be seen
        tracemalloc.start()
        try:
            yield
        finally:
            tracemalloc.stop()


def _measured(variant: Variant, sizes: Mapping[str, int], weights: Arrays) -> dict[str, int]:
    """By category. Little else is traced meanwhile: to count arrays takes as long as there are traced objects."""
    made, backend, measured = variant.plan(sizes), variant.backend, dict[str, int]()
    with _traced():
        before = backend.taken_bytes()
        held = _held(variant, weights)  # noqa: F841  # kept until it is counted
        measured["parameters"] = backend.taken_bytes() - before
        arenas = made.arenas if isinstance(made, Plan) else {c: made.bytes[c] for c in PLANNED}
        bound = variant.with_arrays(made, _Counted(backend, measured, arenas))
    return measured | _shares(bound, measured["all"]) if isinstance(bound, Bound) else measured


def _held(variant: Variant, weights: Arrays) -> dict[str, Any]:
    return {n: variant.backend.xp.array(weights[n]) for n in variant.weights}


def _shares(bound: Bound, arena: int) -> dict[str, int]:
    """Whose the bytes of an arena are, by the arrays that a bound program has in it."""
    lives, categories = lifetimes(bound.program, bound.plan.sizes), bound.program.categories
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
