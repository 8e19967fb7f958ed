"""Equal work is done once: nodes with the same op, inputs and attributes become one, at every level."""

from __future__ import annotations

from collections.abc import Hashable

from msgspec.structs import replace

from rnngraph.ir.graph import (
    INPUT,
    LOOP,
    PARAM,
    Capture,
    Graph,
    Node,
    Rewriter,
    Slice,
    Value,
    loop_node,
    loop_of,
    rebound,
    rewrite,
)
from rnngraph.ops import TABLE


def cse(graph: Graph) -> Graph:
    """The graph without repetitions."""
    return rewrite(graph, _Level().change)


def unnamed(graph: Graph) -> Graph:
    """The graph without values that only bear a name: what had to stand apart to be asked for has been asked for."""

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return inputs if node.op is TABLE["identity"] and "of" in node.attrs else None

    return rewrite(graph, change)


def key_of(node: Node, inputs: tuple[Value, ...]) -> Hashable:
    return (node.op, inputs, tuple(sorted([(k, v) for k, v in node.attrs.items() if k != "loop"])))


class _Level:
    """The nodes met so far at one level."""

    def __init__(self) -> None:
        self.known: dict[Hashable, Node] = {}

    def change(self, node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op in (INPUT, PARAM):
            return node
        if node.op is LOOP:
            return _inside(node, inputs)
        key = key_of(node, inputs)
        if key in self.known:
            return self.known[key]
        new = node if inputs == node.inputs else Node(node.op, inputs, node.attrs, node.types, node.origin)
        self.known[key] = new
        return new


def _inside(node: Node, inputs: tuple[Value, ...]) -> Node:
    """The loop with equal bindings bound once, and its body without repetitions."""
    loop = rebound(loop_of(node), inputs)
    rewriter = Rewriter(_Level().change)
    slices: dict[Value, Slice] = {}
    for s in loop.slices:
        rewriter.map[s.param] = slices.setdefault(s.sequence, s).param
    captures: dict[Value, Capture] = {}
    for c in loop.captures:
        rewriter.map[c.param] = captures.setdefault(c.outer, c).param
    results = rewriter.run(loop.results)
    n = len(loop.carries)
    carries = tuple(c._replace(next=v) for c, v in zip(loop.carries, results, strict=False))
    return loop_node(
        replace(
            loop,
            carries=carries,
            slices=tuple(slices.values()),
            captures=tuple(captures.values()),
            stacks=results[n:],
            since=rewriter.value(loop.since) if loop.since else None,
        ),
        node.origin,
    )
