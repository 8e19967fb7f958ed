"""Work that gradients make and nobody needs: what adds up an array of zeros with one entry among them is that entry."""

from __future__ import annotations

from rnngraph.ir.graph import Graph, Node, Value
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import everywhere


def simplify(graph: Graph) -> Graph:
    """The graph with sums of `place` replaced by what was placed, as the loss of a label has them."""
    return everywhere(graph, _change)


def _change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op is not TABLE["sum"] or inputs[0].node.op is not TABLE["place"]:
        return None
    placed, (result,) = inputs[0].node.inputs[0], node.types
    if placed.type.axes != result.axes or len(node.attrs["dims"]) != 1:
        return None  # a row for each label, or nothing summed at all
    return (call("reshape", placed, shape=result.shape, origin=node.origin),)
