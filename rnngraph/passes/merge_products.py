"""Products with a common left side become one product over weights side by side (the gates of a cell)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Graph,
    Node,
    Rewriter,
    Value,
    body_nodes,
    loop_node,
    loop_of,
    ordered,
)
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import Border, everywhere, with_results


def share(graph: Graph) -> Graph:
    """Shares products in every body, then outside of loops."""
    inside = everywhere(graph, lambda node, inputs: _in_body(node) if node.op is LOOP else None)
    groups = _groups(_read_outside(inside.nodes()), set())
    if not groups:
        return inside
    products = {p: (group, i) for group in groups for i, p in enumerate(group)}
    made: dict[int, Value] = {}

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node not in products:
            return None
        group, i = products[node]
        if id(group) not in made:
            kernels = [rewriter.run([p.inputs[1]])[0] for p in group]
            made[id(group)] = _product(group, inputs[0], _side_by_side(kernels, group))
        return (_part(made[id(group)], group, i),)

    rewriter = Rewriter(change)
    values = rewriter.run(inside.outputs.values())
    return inside.with_outputs(dict(zip(inside.outputs, values, strict=True)))


def _read_outside(nodes: Sequence[Node]) -> list[Node]:
    """The nodes without those whose results, or their sums with something, a loop reads step by step: one product for
    several loops is made before them all and lies in far memory, one for each a step at a time, where it is read."""
    read = {s.sequence.node for node in nodes if node.op is LOOP for s in loop_of(node).slices}
    read |= {value.node for node in read if node.op is TABLE["add"] for value in node.inputs}
    return [node for node in nodes if node not in read]


def _in_body(node: Node) -> Node | None:
    """Products over captured weights: the weights are put side by side outside, once."""
    loop = loop_of(node)
    captured = {c.param: c.outer for c in loop.captures}
    groups = [g for g in _groups(body_nodes(loop), set(captured)) if all(p.inputs[1] in captured for p in g)]
    if not groups:
        return None
    border = Border.of(loop)
    products = {p: (group, i) for group in groups for i, p in enumerate(group)}
    made: dict[int, Value] = {}

    def change(inner: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if inner not in products:
            return None
        group, i = products[inner]
        if id(group) not in made:
            wide = _side_by_side([captured[p.inputs[1]] for p in group], group)
            made[id(group)] = _product(group, inputs[0], border.bind(wide, wide))
        return (_part(made[id(group)], group, i),)

    results = Rewriter(change).run(loop.results)
    new = with_results(loop, results)
    return loop_node(
        replace(new, slices=tuple(border.slices), captures=tuple(border.captures)),
        node.origin,
    )


def _groups(nodes: Sequence[Node], captured: set[Value]) -> list[list[Node]]:
    """Products of one left value with several weights, whose last letter is free."""
    found: dict[object, list[Node]] = {}
    for node in nodes:
        if node.op is not TABLE["contract"]:
            continue
        left, right, out = (node.attrs[k] for k in ("left", "right", "out"))
        kernel = node.inputs[1]
        if kernel.type.axes or len(right) != 2 or out != left[:-1] + right[-1] or right[0] != left[-1]:
            continue
        if right[-1] in left or node.attrs["reduce"]:
            continue
        found.setdefault((node.inputs[0], left, right, out), []).append(node)
    groups = [list(dict.fromkeys(group)) for group in found.values()]
    return [g for g in groups if len({p.inputs[1] for p in g}) > 1 and not _entangled(g)]


def _entangled(group: list[Node]) -> bool:
    """Whether one product's weights are made of another's result: then they cannot be one."""
    return any(p in ordered(q.inputs[1].node for q in group) for p in group)


def _side_by_side(kernels: list[Value], group: list[Node]) -> Value:
    return call("concat", *kernels, origin=group[0].origin, dim=-1)


def _product(group: list[Node], left: Value, kernel: Value) -> Value:
    return call("contract", left, kernel, origin=group[0].origin, **group[0].attrs)


def _part(wide: Value, group: list[Node], i: int) -> Value:
    start = sum(p.types[0].shape[-1] for p in group[:i])
    return call("slice", wide, origin=group[i].origin, dim=-1, start=start, stop=start + group[i].types[0].shape[-1])
