"""Sums in another order: terms that no carry reaches are added first, so that they leave the loop together."""

from __future__ import annotations

from rnngraph.ir.graph import LOOP, Graph, Loop, Node, Rewriter, Value, body_nodes, loop_node, loop_of
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import everywhere, varying, with_results


def regroup(graph: Graph) -> Graph:
    """Sums inside loops, with the terms that no carry reaches added up first."""

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP:
            return None
        loop = loop_of(node)
        grouped = _regrouped(loop)
        return None if grouped is loop else loop_node(grouped, node.origin)

    return everywhere(graph, change)


def _regrouped(loop: Loop) -> Loop:
    reached = varying(loop)
    nodes = body_nodes(loop)
    uses: dict[Value, int] = {}
    for value in (*(v for node in nodes for v in node.inputs), *loop.results):
        uses[value] = uses.get(value, 0) + 1
    add = TABLE["add"]
    inner = {
        v
        for node in nodes
        if node.op is add
        for v in node.inputs
        if v.op is add and uses[v] == 1 and v.type == node.types[0] and v.node in reached
    }

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node.op is not add or Value(node) in inner or node not in reached:
            return None
        terms = _terms(Value(node), inner)
        still = [t for t in terms if t.node not in reached]
        if not still or len(terms) == 2 or (terms[: len(still)] == still and len(still) == 1):
            return None
        moving = [t for t in terms if t.node in reached]
        new = [rewriter.value(t) for t in (*still, *moving)]
        total = new[0]
        for term in new[1:]:
            total = call("add", total, term, origin=node.origin)
        return (total,)

    rewriter = Rewriter(change)
    results = rewriter.run(loop.results)
    return loop if results == loop.results else with_results(loop, results)


def _terms(value: Value, inner: set[Value]) -> list[Value]:
    """The terms of a nested sum, from left to right."""
    terms: list[Value] = []
    todo = [value]
    first = True
    while todo:
        v = todo.pop()
        if first or v in inner:
            todo.extend(reversed(v.node.inputs))
            first = False
        else:
            terms.append(v)
    return terms
