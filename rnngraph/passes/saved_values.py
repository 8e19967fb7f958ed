"""What a forward loop keeps for the backward pass, and what is computed again from that: a minimum cut over the body.

Every value that the backward body mentions must be had: kept by the forward loop, at the price of its size, or made
again by cheap ops from values that are. What is kept anyway (data, captured weights, states with a history) has no
price. The cheapest set of kept values is a minimum cut between what cannot be made again and what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from rnngraph.ir.graph import INPUT, Loop, Node, Value
from rnngraph.ir.types import BATCH, size_of

CHEAP = ("pointwise", "view", "gather")
NOMINAL_BATCH, NOMINAL_STEPS = 32, 32
SOURCE, SINK = "source", "sink"


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


def _price(value: Value, free: set[Value]) -> float:
    if value in free:
        return 0.0
    rows = prod(NOMINAL_BATCH if axis == BATCH else size_of(axis, lambda _: NOMINAL_STEPS) for axis in value.type.axes)
    return float(max(1, prod(value.type.shape)) * rows * (1 if value.type.dtype == "bool" else 8))


def _near(nodes: Sequence[Node], wanted: Sequence[Value], free: set[Value]) -> set[object]:
    """The side of the minimum cut on which the wanted values lie.

    Of several minimum cuts networkx gives the one nearest to where the flow ends, so flow ends at what is wanted: no
    more is made again than saves anything. Each result of a node has a price of its own.
    """
    import networkx as nx

    flow = nx.DiGraph()
    flow.add_nodes_from((SOURCE, SINK))
    for node in nodes:
        if node.op.kind == "constant":
            continue
        for value in node.values:
            flow.add_edge(node, value, capacity=_price(value, free))
        if _cheap(node):
            for value in node.inputs:
                if value.op.kind != "constant":
                    flow.add_edge(value, node)
        else:
            flow.add_edge(SOURCE, node)
    for value in wanted:
        flow.add_edge(value, SINK)
    _, (_, near) = nx.minimum_cut(flow, SOURCE, SINK)
    return set(near)
