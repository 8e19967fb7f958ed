"""What no carry reaches moves in front of the loop: the same op with one more axis, over all steps at once."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    PARAM,
    Graph,
    Loop,
    Node,
    Rewriter,
    Value,
    body_nodes,
    loop_node,
    loop_of,
    make,
)
from rnngraph.ops import TABLE
from rnngraph.passes.bodies import Border, everywhere, outside_of_params, varying, with_axis


def hoist(graph: Graph) -> Graph:
    """Every loop without the work that could be done before it."""
    return everywhere(graph, lambda node, inputs: _hoisted(node) if node.op is LOOP else None)


def _stays(node: Node) -> bool:
    """Loops stay; so do, going backward, cheap ops on saved values: they would keep one more array each."""
    cheap = node.op.kind in ("pointwise", "gather") or node.op.swells
    return node.op is LOOP or (node.origin.backward and cheap)


def _table_of_each_step(node: Node, outside: dict[Value, Value]) -> bool:
    """Whether it looks rows up in a table that is another at each step: there is no such table for all steps."""
    return node.op is TABLE["take"] and bool(outside[node.inputs[0]].type.axes)


def _hoisted(node: Node) -> tuple[Value, ...]:
    loop = loop_of(node)
    reached, outside = varying(loop), outside_of_params(loop)
    moved = False
    for inner in body_nodes(loop):
        if inner.op is PARAM or inner in reached or Value(inner) in outside:
            continue
        if inner.op.kind == "constant":
            outside[Value(inner)] = Value(inner)
        elif not _stays(inner) and all(v in outside for v in inner.inputs) and not _table_of_each_step(inner, outside):
            new = make(inner.op, [outside[v] for v in inner.inputs], inner.attrs, inner.origin)
            outside.update(zip(inner.values, new.values, strict=True))
            moved = True
    if not moved and not _leaves(loop, outside):
        return node.values
    return _rebound(node, loop, outside)


def _leaves(loop: Loop, outside: dict[Value, Value]) -> bool:
    """Whether a stack hands out what is known outside already."""
    return any(v in outside for v in loop.stacks)


def _rebound(node: Node, loop: Loop, outside: dict[Value, Value]) -> tuple[Value, ...]:
    """The loop over the values now made outside, and its results, those handed out directly among them."""
    border = Border.of(loop)

    def bind(inner: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if inner.op is PARAM or inner.op.kind == "constant" or Value(inner) not in outside:
            return None
        return tuple(border.bind(outside[v], v) for v in inner.values)

    kept = [v for v in loop.stacks if v not in outside]
    results = Rewriter(bind).run((*(c.next for c in loop.carries), *kept))
    n = len(loop.carries)
    new = loop_node(
        replace(
            loop,
            carries=tuple(c._replace(next=v) for c, v in zip(loop.carries, results, strict=False)),
            slices=tuple(border.slices),
            captures=tuple(border.captures),
            stacks=results[n:],
        ),
        node.origin,
    )
    values = iter(new.values[n:])
    stacks = [with_axis(outside[v], loop.axis) if v in outside else next(values) for v in loop.stacks]
    return (*new.values[:n], *stacks)


def merge_sums(graph: Graph) -> Graph:
    """A sum over axes of a product becomes part of the product, and of a sum part of the sum."""

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node.op is not TABLE["sum_axes"]:
            return None
        inner, axes = inputs[0].node, node.attrs["axes"]
        for name, attr in (("contract", "reduce"), ("scatter_rows", "reduce"), ("sum_axes", "axes")):
            if inner.op is TABLE[name]:
                merged = {**inner.attrs, attr: (*inner.attrs[attr], *axes)}
                return make(inner.op, inner.inputs, merged, inner.origin).values
        return None

    return everywhere(graph, change)
