"""`[x, h] @ kernel` becomes `x @ kernel[:n] + h @ kernel[n:]`, so that what no state reaches can leave the loop."""

from __future__ import annotations

from rnngraph.ir.graph import Graph, Node, Value
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import everywhere


def split(graph: Graph) -> Graph:
    """Products of joined vectors as sums of products, at every level."""
    return everywhere(graph, _split)


def _split(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op is not TABLE["contract"] or inputs[0].op is not TABLE["concat"] or inputs[1].type.axes:
        return None
    joined, kernel = inputs
    letter = node.attrs["left"][joined.node.attrs["dim"] % len(joined.type.shape)]
    if letter in node.attrs["out"]:
        return None
    dim = node.attrs["right"].index(letter) - len(kernel.type.shape)
    total, start = None, 0
    for part in joined.node.inputs:
        stop = start + part.type.shape[joined.node.attrs["dim"]]
        rows = call("slice", kernel, origin=node.origin, dim=dim, start=start, stop=stop)
        product = call("contract", part, rows, origin=node.origin, **node.attrs)
        total = product if total is None else call("add", total, product, origin=node.origin)
        start = stop
    assert total is not None
    return (total,)
