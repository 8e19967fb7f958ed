"""The one difference between the modes: a loop replaced by its steps.

Steps are laid side by side as nodes; each reads its row of every sequence, and the rows it hands out are the
inputs of a `stack`, or of a `history` where they are a state's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Graph,
    Loop,
    Node,
    Rewriter,
    Value,
    body_nodes,
    loop_node,
    loop_of,
    make,
    rebound,
    rewrite,
)
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import with_results


def unroll(graph: Graph, steps: Mapping[str, int]) -> Graph:
    """No loops: one copy of each body per step. `steps` gives the number of steps of each axis."""

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node.op is not LOOP:
            return None
        loop = loop_of(node)
        inner = with_results(loop, Rewriter(change).run(loop.results))
        return _Unrolled(rebound(inner, inputs), steps[loop.axis]).results()

    return rewrite(graph, change)


def in_turns(graph: Graph, k: int) -> Graph:
    """Loops whose running turn holds k steps."""

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP:
            return None
        loop = loop_of(node)
        inner = with_results(loop, Rewriter(change).run(loop.results))
        return loop_node(replace(rebound(inner, inputs), turn=k), node.origin)

    return rewrite(graph, change)


class _Unrolled:
    """One loop laid out step by step."""

    def __init__(self, loop: Loop, steps: int) -> None:
        self.loop, self.steps = loop, steps
        nodes = body_nodes(loop)
        self.body = [(n, n.values) for n in nodes if n.op.kind not in ("leaf", "constant")]
        self.rows = {s.param: ("row", s.sequence) for s in loop.slices}
        if loop.counter:
            self.rows[loop.counter] = ("row", call("iota", axis=loop.axis, origin=loop.counter.node.origin))
        self.fixed = {c.param: c.outer for c in loop.captures}
        self.fixed |= {v: v for n in nodes if n.op.kind == "constant" for v in n.values}

    def results(self) -> tuple[Value, ...]:
        loop = self.loop
        before: list[list[Value]] = [[] for _ in loop.carries]
        stacks: list[list[Value]] = [[] for _ in loop.stacks]
        state = [_as_kept(c.init) for c in loop.carries]
        order = range(self.steps - 1, -1, -1) if loop.reverse else range(self.steps)
        for t in order:
            values = self.step(t, state)
            for seen, value in zip(before, state, strict=True):
                seen.append(value)
            state = [_as_kept(values[c.next]) for c in loop.carries]
            for seen, stack in zip(stacks, loop.stacks, strict=True):
                seen.append(values[stack])
        histories = self.histories(before, state)
        made = [
            histories[v] if v in histories else self.stacked(v, rows)
            for v, rows in zip(loop.stacks, stacks, strict=True)
        ]
        return (*state, *made)

    def step(self, t: int, state: Sequence[Value]) -> dict[Value, Value]:
        """The values of one step. Types are those of the body, so nodes are copied without being typed anew."""
        values = dict(self.fixed)
        values.update(zip((c.param for c in self.loop.carries), state, strict=True))
        attrs = {"axis": self.loop.axis, "at": t}
        for param, (_, sequence) in self.rows.items():
            values[param] = Value(Node(TABLE["row"], (sequence,), attrs, (param.type,), param.node.origin))
        for node, results in self.body:
            inputs = tuple([values[v] for v in node.inputs])
            new = Node(node.op, inputs, node.attrs, node.types, node.origin)
            for i, value in enumerate(results):
                values[value] = Value(new, i)
        return values

    def histories(self, before: list[list[Value]], final: list[Value]) -> dict[Value, Value]:
        """For each state that is handed out, old or new: both forms, from one history."""
        found: dict[Value, Value] = {}
        wanted = set(self.loop.stacks)
        for c, olds, last in zip(self.loop.carries, before, final, strict=True):
            if c.param not in wanted and (c.next not in wanted or c.next in found):
                continue
            values = [*olds, last]
            attrs = {"axis": self.loop.axis, "row": c.next.type, "reverse": self.loop.reverse}
            history = make(TABLE["history"], values[::-1] if self.loop.reverse else values, attrs, c.next.node.origin)
            found.setdefault(c.next, Value(history, 1))
            found[c.param] = Value(history, 0)
        return found

    def stacked(self, value: Value, rows: list[Value]) -> Value:
        attrs = {"axis": self.loop.axis, "row": value.type}
        return Value(make(TABLE["stack"], rows[::-1] if self.loop.reverse else rows, attrs, value.node.origin))


def _as_kept(value: Value) -> Value:
    """A state as it lies in a loop: a part of another value's rows is copied, as the order in which products and sums
    take entries may depend on how they lie."""
    apart = value.node.op.kind == "view" and len(value.type.shape) > 1
    return Value(make(TABLE["identity"], (value,), origin=value.node.origin)) if apart else value
