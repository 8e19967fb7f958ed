"""Products of one left side: which become one, and which stay with the loop that reads them."""

from __future__ import annotations

import rnngraph as rg
from rnngraph.ir.graph import Graph


def products(text: str) -> list[tuple[int, ...]]:
    """The shapes of the products outside of loops."""
    graph: Graph = rg.parse(text).compile().main.looped
    return sorted(node.types[0].shape for node in graph.nodes() if node.op.name == "contract" and node.types[0].axes)


def test_two_heads_are_one_product() -> None:
    assert products("model M { input x: seq[2]\n loss squared_error([Dense(3)(x), Dense(4)(x)], 0) }") == [(7,)]


def test_each_loop_keeps_its_own_product() -> None:
    """One for both directions would be made for all steps at once, before the loops, which read it from far memory."""
    read = "Bidirectional(LSTM(3), GRU(5))(x)"
    assert products(f"model M {{ input x: seq[2]\n loss squared_error({read}, 0) }}") == [(5,), (10,), (12,)]
