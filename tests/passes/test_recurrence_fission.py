"""Elementwise recurrences as loops of their own: the same numbers, and the same bits in pieces."""

from __future__ import annotations

from typing import Any

import pytest

import rnngraph as rg
from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.compilation.variant import Signature
from rnngraph.ir.graph import Graph, body_nodes, loop_of
from rnngraph.ir.verify import verify
from rnngraph.model import Model
from rnngraph.runtime.numpy import NumpyBackend
from tests.support.models import ALL, over, parsed


class WholeLoops(NumpyBackend):
    """Runs what a GPU would, op by op."""

    unrolls = False


def results(model: Model, backend: NumpyBackend, padded: bool, steps: int = 9, batch: int = 3, **more: Any) -> Any:
    program = model.compile(backend=backend, gradient=True, **more)
    data, cotangents = synthetic(model, steps, batch, 1, padded), cotangents_for(model, steps, batch) or None
    return everything(program, data, model.init(1), cotangents)


@pytest.mark.parametrize("name", ALL)
def test_the_numbers_are_the_same(name: str) -> None:
    model = parsed(name)
    for padded in (False, True):
        right, found = (results(model, backend, padded) for backend in (NumpyBackend(), WholeLoops()))
        assert max((d.max_abs for d in differences(right, found)), default=0) < 1e-9


CELLS = {
    "lru": "LRU(4, 6)",
    "two sru": "SRU(3) >> SRU(3)",
    "two shapes": "SRU(3) >> SRU(5)",
    "over a product": "LSTM(3) >> SRU(3)",
    "ind rnn": "IndRNN(3)",
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("keep", ["every:2", "sqrt"])
def test_in_pieces_the_bits_are_the_same(name: str, keep: str) -> None:
    model = rg.parse(over(CELLS[name]))
    for padded in (False, True):
        right, found = (results(model, WholeLoops(), padded, 37, 40, keep=k) for k in ("all", keep))
        assert all(d.equal for d in differences(right, found))


def inside(graph: Graph) -> list[set[str]]:
    """What each loop does beside entry by entry."""
    bodies = (body_nodes(loop_of(n)) for n in graph.all_nodes() if n.op.kind == "loop")
    return [{n.op.name for n in body if n.op.kind in ("general", "gather", "view")} for body in bodies]


def looped(cell: str, padded: bool) -> Graph:
    program = rg.parse(over(cell)).compile(backend=WholeLoops(), gradient=True)
    return program.variant(Signature(padded, cotangents=("loss",))).looped


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("cell", "loops"), [("LRU(4, 6)", 2), ("SRU(3) >> SRU(5)", 4), ("IndRNN(3)", 2)])
def test_loops_keep_what_is_done_entry_by_entry(cell: str, loops: int, padded: bool) -> None:
    graph = looped(cell, padded)
    verify(graph, "")
    assert inside(graph) == [set()] * loops


def test_a_loop_around_a_product_keeps_it() -> None:
    """The product with a state, and what stands on the way with it; what reads it afterwards need not."""
    assert all("contract" in found for found in inside(looped("GRU(3)", False)))
