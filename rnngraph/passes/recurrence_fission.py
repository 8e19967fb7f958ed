"""Elementwise recurrences as loops of their own: what else a step does is done for all steps at once.

A loop between whose states no product and no sum over entries stands (SRU, LRU, minGRU, and what their gradients walk
through) can be taken by a thread for each entry, and in chunks of time where it is linear. So its body keeps what is
done entry by entry with a state. Products, sums and the like stand before it, behind it, or between it and a loop that
reads them: each value has a stage, the number of those on the longest way to it from a state.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    PARAM,
    Carry,
    Graph,
    Loop,
    Node,
    Rewriter,
    Value,
    body_nodes,
    finals,
    loop_node,
    loop_of,
    make,
    stacked,
)
from rnngraph.ops import TABLE
from rnngraph.passes.bodies import Border, everywhere, outside_of_params, own_params, varying, with_axis
from rnngraph.passes.sink import keeps_to_its_step

GATES = 8
"""A product may have so many times the entries of the largest vector that comes or goes: those of all gates."""

Key = tuple[int, tuple[int, ...]]
"""Of a recurrence its stage and the shape of its states."""


def apart(graph: Graph) -> Graph:
    """The recurrences of each loop apart from the rest of its body, at every level."""
    return everywhere(graph, lambda node, _: _apart(node) if node.op is LOOP else None)


def _apart(node: Node) -> tuple[Value, ...] | None:
    loop = loop_of(node)
    reached = varying(loop)
    moving = {n for n in body_nodes(loop) if n.op is not PARAM and not _elementwise(n, reached)}
    leaves_early = (loop.until is not None or loop.since is not None) and not loop.lengths
    if not moving or not loop.carries or leaves_early or any(_stays(n, loop) for n in moving):
        return None
    if any(len(c.param.type.shape) > 1 for c in loop.carries) or _swells(loop, moving):
        return None
    stages = _stages(loop, reached, moving)
    return None if stages is None else _Fission(node, _to_the_end(loop), moving, stages).values()


def _elementwise(node: Node, reached: Container[Node]) -> bool:
    """Whether each entry is made of the same entry of states, and of what no state reaches."""
    same = all(v.type.shape == node.types[0].shape for v in node.inputs if v.node in reached)
    return node.op.kind in ("pointwise", "constant") and same


def _stays(node: Node, loop: Loop) -> bool:
    """Whether it has no form over all steps at once."""
    looks = node.op is TABLE["take"] and bool(node.inputs[0].type.axes)
    return node.op is LOOP or looks or keeps_to_its_step(node, loop)


def _swells(loop: Loop, moving: Iterable[Node]) -> bool:
    """Whether far more would be kept of each step than it is given and hands out: matrices of states are walked where
    they are."""
    vectors = (*(c.param for c in loop.carries), *(s.param for s in loop.slices), *loop.results)
    most = max(prod(v.type.shape) for v in vectors)
    return any(prod(type.shape) > GATES * most for n in moving for type in n.types)


def _to_the_end(loop: Loop) -> Loop:
    """The loop that runs all steps: those behind the end of all rows change nothing that is seen."""
    return replace(loop, until=None, lengths=False, since=None)


def _stages(loop: Loop, reached: Container[Node], moving: set[Node]) -> dict[Node, int] | None:
    """The stage of each node that a state reaches; None where what moves leads from a state to itself."""
    nodes = [n for n in body_nodes(loop) if n in reached and n.op is not PARAM]
    stages, grown = {c.param.node: 0 for c in loop.carries}, True
    while grown:
        for n in nodes:
            stages[n] = max(stages[v.node] + (n in moving) for v in n.inputs if v.node in reached)
        later = {c.param.node: stages[c.next.node] for c in loop.carries if c.next.node in reached}
        grown = any(stages[n] < stage for n, stage in later.items())
        stages |= {n: max(stages[n], stage) for n, stage in later.items()}
        if max(stages.values()) > len(moving):
            return None
    return stages


class _Fission(Struct, frozen=True, dict=True):
    """A loop, the nodes that leave it, and the stages of those that its states reach; `values` makes what stands for
    its results."""

    node: Node
    loop: Loop
    moving: set[Node]
    stages: Mapping[Node, int]

    @cached_property
    def outside(self) -> dict[Value, Value]:
        """Of values of the body, the form over all steps, as far as it is known."""
        return outside_of_params(self.loop)

    def values(self) -> tuple[Value, ...]:
        last = dict[Carry, Value]()
        for key in sorted({self.key(c.param) for c in self.loop.carries}):
            carries = [c for c in self.loop.carries if self.key(c.param) == key]
            last |= zip(carries, self.run(key, carries), strict=True)
        stacks = (with_axis(self.over_all(v), self.loop.axis) for v in self.loop.stacks)
        return (*(last[c] for c in self.loop.carries), *stacks)

    def key(self, value: Value) -> Key:
        return self.stages[value.node], value.type.shape

    def run(self, key: Key, carries: list[Carry]) -> tuple[Value, ...]:
        """The last states of a recurrence; what others read of it is known outside from then on."""
        border, rewriter = self.bindings(key)
        stacks = self.read_of(key)
        results = rewriter.run((*(c.next for c in carries), *stacks))
        made = replace(
            border.loop,
            carries=tuple(Carry(c.init, rewriter.value(c.param), v) for c, v in zip(carries, results, strict=False)),
            slices=tuple(border.slices),
            captures=tuple(border.captures),
            stacks=results[len(carries) :],
        )
        new = loop_node(made, self.node.origin)
        self.outside.update(zip(stacks, stacked(new), strict=True))
        return finals(new)

    def bindings(self, key: Key) -> tuple[Border, Rewriter]:
        """The border of the loop of a recurrence, whose params are its own, and what takes the body there."""
        bound, own = own_params(self.loop)
        border = Border.of(bound)

        def bind(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
            if node not in self.moving and self.stages.get(node, key[0]) == key[0]:
                return None
            return tuple(border.bind(self.over_all(v), v) for v in node.values)

        rewriter = Rewriter(bind)
        rewriter.map |= own
        read = [c.param for c in self.loop.carries if self.key(c.param) != key and c.param in self.outside]
        rewriter.map |= {v: border.bind(self.outside[v], v) for v in read}
        return border, rewriter

    def read_of(self, key: Key) -> list[Value]:
        """The values that the loop of a recurrence makes and others read: later ones, or what is done for all steps."""
        readers = (n for n in body_nodes(self.loop) if n in self.moving or self.stages.get(n, 0) > key[0])
        read = (v for n in readers for v in n.inputs)
        nexts = (c.next for c in self.loop.carries if self.key(c.param) != key)
        return [v for v in dict.fromkeys((*read, *nexts, *self.loop.stacks)) if self.is_of(v, key)]

    def is_of(self, value: Value, key: Key) -> bool:
        return value.node in self.stages and value.node not in self.moving and self.key(value) == key

    def over_all(self, value: Value) -> Value:
        """A value of the body over all steps at once."""
        if value.op.kind == "constant":
            return value
        if value not in self.outside:
            node = value.node
            made = make(node.op, [self.over_all(v) for v in node.inputs], node.attrs, node.origin)
            self.outside.update(zip(node.values, made.values, strict=True))
        return self.outside[value]
