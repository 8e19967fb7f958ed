"""Marks what meets all steps at once at the top level, so that it works through them unit by unit.

See `ops.summation_order`.
"""

from __future__ import annotations

from rnngraph.ir.graph import LOOP, Graph, Node, Value, loop_of, make, rewrite
from rnngraph.ops import TABLE
from rnngraph.ops.summation_order import DOWN, UP, leading

SUMS = tuple(TABLE[name] for name in ("sum_axes", "scatter_rows"))


def in_units(graph: Graph) -> Graph:
    """The graph whose products and sums over time have an order that does not depend on what is computed together."""
    feeding = _feeding(graph)

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if not _meets_time(node):
            return None
        found = {"units": _order(node, feeding), **_sparse(node)}
        return make(node.op, inputs, {**node.attrs, **found}, node.origin)

    return rewrite(graph, change)


def _sparse(node: Node) -> dict[str, tuple[int, ...]]:
    """Which operands of a product are what a loop hands out that leaves steps out."""
    found = tuple(i for i, v in enumerate(node.inputs) if v.op is LOOP and loop_of(v.node).since is not None)
    return {"sparse": found} if found and node.op is TABLE["contract"] else {}


def _meets_time(node: Node) -> bool:
    axis = leading(tuple(v.type for v in node.inputs))
    if not axis:
        return False
    if node.op is TABLE["contract"]:
        # A product for each step of both operands and the result is one product per step anyway.
        return not all(axis in v.type.axes for v in (*node.inputs, *node.values))
    return node.op in SUMS and axis not in node.types[0].axes


def _feeding(graph: Graph) -> dict[Node, frozenset[Node]]:
    """For each node the loops that it reads from, not through other loops."""
    found: dict[Node, frozenset[Node]] = {}
    for node in graph.nodes():
        parts = (frozenset((v.node,)) if v.op is LOOP else found[v.node] for v in node.inputs)
        found[node] = frozenset[Node]().union(*parts)
    return found


def _order(node: Node, feeding: dict[Node, frozenset[Node]]) -> str:
    """The order in which the loops that feed the node make their steps, where they agree; else that of its pass."""
    axis, back = leading(tuple(v.type for v in node.inputs)), node.origin.backward
    loops = [loop_of(n) for n in feeding[node] if n.origin.backward == back]
    orders = {loop.reverse for loop in loops if loop.axis == axis}
    return DOWN if (orders == {True} if len(orders) == 1 else back) else UP
