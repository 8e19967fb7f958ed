"""What has no entries is not computed: kernels, gradients and exports never meet a dimension of size 0.

Of such values only those stay that come from outside or are handed out. What is made of them is of no entries again, or
a sum of nothing, or a value that they add nothing to. A loop whose number of steps is fixed at 0 leaves its states as
they were.
"""

from __future__ import annotations

from rnngraph.ir.graph import LOOP, Graph, Node, Value, loop_of, stacked
from rnngraph.ir.types import Type, is_fixed, size_of
from rnngraph.ops import TABLE, call, zeros
from rnngraph.passes.bodies import everywhere

SUMS = frozenset(TABLE[name] for name in ("contract", "sum", "pad", "scatter_rows"))
"""What is 0 where nothing is summed, or put into it."""


def without_empty(graph: Graph) -> Graph:
    """The graph in which only inputs and outputs may have a dimension of size 0."""
    return everywhere(graph, _change) if any(map(_has_empty, graph.all_nodes())) else graph


def _has_empty(node: Node) -> bool:
    return any(map(_empty, node.types)) or _without_steps(node)


def _empty(type: Type) -> bool:
    return 0 in type.shape


def _without_steps(node: Node) -> bool:
    if node.op is not LOOP:
        return False
    axis = loop_of(node).axis
    return is_fixed(axis) and size_of(axis, lambda _: 1) == 0


def _change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op.kind == "leaf":
        return None
    if _has_empty(node):
        return tuple(zeros(v.type, node.origin) if _empty(v.type) else v for v in _results(node))
    full = tuple(v for v in inputs if not _empty(v.type))
    if len(full) == len(inputs) or node.op is LOOP:
        return None
    if node.op is TABLE["concat"]:
        found = call("concat", *full, origin=node.origin, **node.attrs)
        axes = node.types[0].axes
        return (found if found.type.axes == axes else call("spread", found, origin=node.origin, axes=axes),)
    return (zeros(node.types[0], node.origin),) if node.op in SUMS else None


def _results(node: Node) -> tuple[Value, ...]:
    if not _without_steps(node):
        return node.values
    first = tuple(c.init for c in loop_of(node).carries)
    return (*first, *(zeros(v.type, node.origin) for v in stacked(node)))
