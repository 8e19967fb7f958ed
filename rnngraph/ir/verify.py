"""The law of the graph, and the stricter laws of its stages. `verify` raises `Broken` at the first breach."""

from __future__ import annotations

from rnngraph.ir.graph import INPUT, LOOP, PARAM, Graph, Loop, Node, Value, body_nodes, loop_of


class Broken(Exception):
    """A pass made something that is no graph: our mistake, never the user's."""


def verify(graph: Graph, stage: str = "") -> None:
    """Checks the whole graph: types as the ops give them, closed bodies, bindings of equal type, known inputs; nothing
    inside of a loop has the loop's own axis.

    After stage "unroll" of a static program there are no loops: pass "static" to ask for that.
    """
    known = set(graph.inputs.values())
    for node in graph.nodes():
        if node.op is PARAM:
            raise Broken(f"{node} stands outside every loop")
        if node.op is INPUT and Value(node) not in known:
            raise Broken(f"input {node.attrs['name']} is not among the graph's inputs")
        _node(node)
        if stage == "static" and node.op is LOOP:
            raise Broken("a loop is left in a static graph")


def _node(node: Node, around: frozenset[str] = frozenset()) -> None:
    """`around` are the axes of the loops that the node stands in."""
    if any(axis in around for type in node.types for axis in type.axes):
        raise Broken(f"{node} has the axis of a loop that it stands in")
    if node.op is LOOP:
        _loop(node, around)
    elif node.op.infer(node.attrs, tuple(v.type for v in node.inputs)) != node.types:
        raise Broken(f"{node} has other types than its op gives")


def _loop(node: Node, around: frozenset[str]) -> None:
    loop = loop_of(node)
    if loop.axis in around:
        raise Broken(f"{node} runs along the axis of a loop that it stands in")
    if loop.outer != node.inputs:
        raise Broken(f"{node}: inputs and bindings differ")
    if len(set(loop.params)) != len(loop.params):
        raise Broken(f"{node}: a param is bound twice")
    for c in loop.carries:
        if not c.init.type == c.param.type == c.next.type:
            raise Broken(f"{node}: carry {c.param.node.attrs['name']} changes its type: {c.init.type}, {c.next.type}")
    for s in loop.slices:
        if s.param.type != s.sequence.type.with_axes(a for a in s.sequence.type.axes if a != loop.axis):
            raise Broken(f"{node}: slice {s.param.node.attrs['name']} is not a row of its sequence")
        if loop.axis not in s.sequence.type.axes:
            raise Broken(f"{node}: a slice of what has no {loop.axis}")
    for capture in loop.captures:
        if capture.param.type != capture.outer.type or loop.axis in capture.outer.type.axes:
            raise Broken(f"{node}: capture {capture.param.node.attrs['name']} differs from what it captures")
    _body(node, loop, around | {loop.axis})


def _body(node: Node, loop: Loop, around: frozenset[str]) -> None:
    own = set(loop.params)
    if loop.until is not None:
        done = [c for c in loop.carries if c.param == loop.until]
        if not done or loop.until.type.dtype != "bool":
            raise Broken(f"{node}: until is no carry of true or false")
    if loop.since is not None and loop.since not in {s.param for s in loop.slices if s.param.type.dtype == "bool"}:
        raise Broken(f"{node}: since is no slice of true or false")
    for inner in body_nodes(loop):
        if inner.op is INPUT:
            raise Broken(f"{node}: its body reads the input {inner.attrs['name']} without capturing it")
        if inner.op is PARAM and Value(inner) not in own:
            raise Broken(f"{node}: its body reads a param of another loop")
        _node(inner, around)
