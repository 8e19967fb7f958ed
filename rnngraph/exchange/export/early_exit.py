"""Loops without their early exit: every step is run, which changes no result (see `Loop.until`, `Loop.since`)."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.ir.graph import LOOP, Graph, Node, Rewriter, Value, loop_node, loop_of, rebound, rewrite
from rnngraph.passes.bodies import with_results
from rnngraph.passes.prune import prune


def without_early_exit(graph: Graph) -> Graph:
    """The graph whose loops run all their steps; a state that only told when to leave is gone."""

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP:
            return None
        loop = loop_of(node)
        inner = with_results(loop, Rewriter(change).run(loop.results))
        return loop_node(replace(rebound(inner, inputs), until=None, since=None), node.origin)

    return prune(rewrite(graph, change))


def early_exits(graph: Graph) -> frozenset[Value]:
    """The states (as the bodies see them) that tell when a loop may be left."""
    loops = (loop_of(node) for node in graph.all_nodes() if node.op is LOOP)
    return frozenset(loop.until for loop in loops if loop.until)
