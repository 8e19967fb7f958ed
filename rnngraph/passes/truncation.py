"""Gradients that end at the places that `language.elaboration.truncation` has marked."""

from __future__ import annotations

from rnngraph.ir.graph import Graph, Node, Value
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import everywhere

ENDS = "ends"


def truncated(graph: Graph, differentiated: bool) -> Graph:
    """The graph in which no gradient flows through what is marked; without the marks where none is asked for."""
    if not any(ENDS in node.attrs for node in graph.all_nodes()):
        return graph
    return everywhere(graph, _ended if differentiated else _unmarked)


def _ended(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    return (call("detach", *inputs, origin=node.origin),) if ENDS in node.attrs else None


def _unmarked(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    """The value itself for the choice between it and what is marked."""
    return inputs[2:] if node.op is TABLE["where"] and ENDS in node.inputs[1].node.attrs else None
