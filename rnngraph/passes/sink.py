"""What only feeds stacks moves behind the loop: a weight's gradient becomes one product over all steps and rows."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    PARAM,
    Graph,
    Loop,
    Node,
    Value,
    body_nodes,
    finals,
    loop_node,
    loop_of,
    make,
    stacked,
)
from rnngraph.ir.types import BATCH
from rnngraph.ops import TABLE
from rnngraph.passes.bodies import everywhere, outside_of_params, with_axis
from rnngraph.passes.hoist import merge_sums


def sink(graph: Graph) -> Graph:
    """Every loop without the work that can be done after it."""
    sunk = everywhere(graph, lambda node, inputs: _sunk(node) if node.op is LOOP else None)
    return merge_sums(sunk)


def _sunk(node: Node) -> tuple[Value, ...]:
    loop = loop_of(node)
    moving = _movable(loop)
    if not moving:
        return node.values
    stacks = [v for v in loop.stacks if v.node not in moving]
    outside = outside_of_params(loop)
    for value in dict.fromkeys(v for n in moving for v in n.inputs):
        if value.node not in moving and value not in outside and value not in stacks and value.op.kind != "constant":
            stacks.append(value)
    new = loop_node(replace(loop, stacks=tuple(stacks)), node.origin)
    outside |= dict(zip(stacks, stacked(new), strict=True))
    for n in reversed(moving):
        made = make(n.op, [_outer(v, outside) for v in n.inputs], n.attrs, n.origin)
        outside.update(zip(n.values, made.values, strict=True))
    return (*finals(new), *(with_axis(outside[v], loop.axis) for v in loop.stacks))


def _outer(value: Value, outside: dict[Value, Value]) -> Value:
    return value if value.op.kind == "constant" else outside[value]


def _movable(loop: Loop) -> list[Node]:
    """The nodes to move, last first: each is read by stacks and by moving nodes alone."""
    nodes = body_nodes(loop)
    needed = {c.next.node for c in loop.carries}
    ends = {v.node for v in loop.stacks}
    available = {s.param for s in loop.slices} | {c.param for c in loop.captures} | set(loop.stacks)
    if loop.counter:
        available.add(loop.counter)
    readers: dict[Node, list[Node]] = {}
    for n in nodes:
        for v in n.inputs:
            readers.setdefault(v.node, []).append(n)
    free = [n for n in nodes if n.op not in (PARAM, LOOP) and n.op.kind != "constant" and n not in needed]
    moving: set[Node] = set()
    while True:
        before = len(moving)
        for n in reversed(free):
            read_by = readers.get(n, [])
            unread = all(r in moving for r in read_by) and (n in ends or bool(read_by))
            if n not in moving and unread and _worth(n, available) and not keeps_to_its_step(n, loop):
                moving.add(n)
                available |= set(n.inputs)
        if len(moving) == before:
            return [n for n in reversed(nodes) if n in moving]


def keeps_to_its_step(node: Node, loop: Loop) -> bool:
    """Whether it has no form over all steps at once: it looks rows up in a table that may be another at each step (here
    only what is captured is known to be the same), or adds rows to one by ids that are the same at all steps."""
    same = {c.param for c in loop.captures}
    return (node.op is TABLE["take"] and node.inputs[0] not in same) or (
        node.op is TABLE["scatter_rows"] and node.inputs[1] in same
    )


def _worth(node: Node, available: set[Value]) -> bool:
    """Products always; other work where it needs nothing kept that is not kept anyway."""
    if node.op is TABLE["contract"]:
        if any(v.op.swells for v in node.inputs):
            return False
        weights = not node.inputs[1].type.axes or not node.inputs[0].type.axes
        return weights or BATCH in node.attrs["reduce"] or _at_hand(node, available)
    return node.op is TABLE["scatter_rows"] or _at_hand(node, available)


def _at_hand(node: Node, available: set[Value]) -> bool:
    return all(v in available or v.op.kind == "constant" for v in node.inputs)
