"""What several passes do with loop bodies: run inside them first, and bind anew what crosses their border."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Capture,
    Graph,
    Loop,
    Node,
    Rewriter,
    Slice,
    Value,
    body_nodes,
    body_param,
    loop_node,
    loop_of,
    rebound,
    rewrite,
)
from rnngraph.ops import call

Change = Callable[[Node, tuple[Value, ...]], "Node | tuple[Value, ...] | None"]


def with_results(loop: Loop, results: tuple[Value, ...]) -> Loop:
    """The loop with other values leaving each step, in the order of `loop.results`."""
    n = len(loop.carries)
    carries = tuple(c._replace(next=v) for c, v in zip(loop.carries, results[:n], strict=True))
    return replace(loop, carries=carries, stacks=results[n:])


def everywhere(graph: Graph, change: Change) -> Graph:
    """Rewrites every level by `change`, bodies before the loops that hold them."""

    def deep(node: Node, inputs: tuple[Value, ...]) -> Node | tuple[Value, ...] | None:
        if node.op is not LOOP:
            return change(node, inputs)
        loop = loop_of(node)
        results, new = Rewriter(deep).run(loop.results), node
        if results != loop.results or inputs != node.inputs:
            new = loop_node(rebound(with_results(loop, results), inputs), node.origin)
        return change(new, inputs) or new

    return rewrite(graph, deep)


def own_params(loop: Loop) -> tuple[Loop, dict[Value, Value]]:
    """The loop bound to params of its own, and what stands for each of the old ones. Carries and stacks are the old
    ones still: a body for the new params is the caller's."""
    own = {v: body_param(v.node.attrs.get("name", ""), v.type, v.node.origin) for v in loop.params}
    bound = replace(
        loop,
        slices=tuple(s._replace(param=own[s.param]) for s in loop.slices),
        captures=tuple(c._replace(param=own[c.param]) for c in loop.captures),
        counter=loop.counter and own[loop.counter],
        until=loop.until and own[loop.until],
    )
    return bound, own


class Border(Struct):
    """The bindings of a loop while values move across its border; one param per outer value.

    `outer_of` knows the outside form of body values: of params, and of what was moved.
    """

    loop: Loop
    slices: list[Slice] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    params: dict[Value, Value] = field(default_factory=dict)
    """Outer value to the param it is bound to."""

    @classmethod
    def of(cls, loop: Loop) -> Border:
        border = cls(loop, list(loop.slices), list(loop.captures))
        for s in loop.slices:
            border.params.setdefault(s.sequence, s.param)
        for c in loop.captures:
            border.params.setdefault(c.outer, c.param)
        return border

    def bind(self, outer: Value, like: Value) -> Value:
        """The param that stands for an outer value: its row where it has the loop's axis, else itself."""
        if outer not in self.params:
            name = like.node.origin.name or like.op.name
            param = body_param(name, like.type, like.node.origin)
            if self.loop.axis in outer.type.axes:
                self.slices.append(Slice(outer, param))
            else:
                self.captures.append(Capture(outer, param))
            self.params[outer] = param
        return self.params[outer]


def outside_of_params(loop: Loop) -> dict[Value, Value]:
    """For each value that a body is given the same at every step, or row by row, what it is outside."""
    outside = {s.param: s.sequence for s in loop.slices} | {c.param: c.outer for c in loop.captures}
    if loop.counter:
        outside[loop.counter] = call("iota", axis=loop.axis, origin=loop.counter.node.origin)
    return outside


def with_axis(value: Value, axis: str) -> Value:
    """The value as a sequence over the axis, repeated where it is the same at every step."""
    if axis in value.type.axes:
        return value
    return call("spread", value, origin=value.node.origin, axes=(axis,))


def varying(loop: Loop) -> set[Node]:
    """The nodes of a body that a carry reaches."""
    found = {c.param.node for c in loop.carries}
    for node in body_nodes(loop):
        if any(v.node in found for v in node.inputs):
            found.add(node)
    return found
