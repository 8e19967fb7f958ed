"""What a forward loop keeps for the backward pass, and what is computed again from that: a minimum cut over the body.

Every value that the backward body mentions must be had: kept by the forward loop, at the price of its size, or made
again by cheap ops from values that are. What is kept anyway (data, captured weights, states with a history) has no
price. The cheapest set of kept values is a minimum cut between what cannot be made again and what is wanted.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import prod

from rnngraph.ir.graph import INPUT, Loop, Node, Value
from rnngraph.ir.types import BATCH, size_of
from rnngraph.passes.minimum_cut import SINK, SOURCE, Network

CHEAP = ("pointwise", "view", "gather")
NOMINAL_BATCH, NOMINAL_STEPS = 32, 32


def made_again(loop: Loop, nodes: Sequence[Node], wanted: Iterable[Value]) -> set[Node]:
    """The nodes of the forward body to be computed again in the backward body."""
    wanted = [v for v in wanted if v.op.kind != "constant"]
    if not wanted:
        return set()
    free = _free_values(loop, wanted)
    near = _near(nodes, wanted, free)
    return {n for n in nodes if _cheap(n) and n in near}


def _cheap(node: Node) -> bool:
    return (node.op.kind in CHEAP or node.op.swells) and len(node.types) == 1


def _free_values(loop: Loop, wanted: Sequence[Value]) -> set[Value]:
    """Values that are there in the backward pass whatever is decided here."""
    free = {c.param for c in loop.captures} | set(loop.stacks)
    free |= {s.param for s in loop.slices if s.sequence.op is INPUT}
    if loop.counter:
        free.add(loop.counter)
    for c in loop.carries:
        if c.param in wanted or c.param in free or c.next in free:
            free |= {c.param, c.next}
    return free


def _price(value: Value, free: set[Value]) -> int:
    if value in free:
        return 0
    rows = prod(NOMINAL_BATCH if axis == BATCH else size_of(axis, lambda _: NOMINAL_STEPS) for axis in value.type.axes)
    return max(1, prod(value.type.shape)) * rows * (1 if value.type.dtype == "bool" else 8)


def _near(nodes: Sequence[Node], wanted: Sequence[Value], free: set[Value]) -> set[Hashable]:
    """The side of the minimum cut on which the wanted values lie.

    Of several minimum cuts it is the one nearest to where the flow ends, so flow ends at what is wanted: no more is
    made again than saves anything. Each result of a node has a price of its own.
    """
    flow = Network()
    prices = {v: _price(v, free) for node in nodes if node.op.kind != "constant" for v in node.values}
    endless = 1 + sum(prices.values())
    for value, price in prices.items():
        flow.pipe(value.node, value, price)
    for node in dict.fromkeys(value.node for value in prices):
        if _cheap(node):
            for value in node.inputs:
                if value.op.kind != "constant":
                    flow.pipe(value, node, endless)
        else:
            flow.pipe(SOURCE, node, endless)
    for value in wanted:
        flow.pipe(value, SINK, endless)
    return flow.near_the_sink()
