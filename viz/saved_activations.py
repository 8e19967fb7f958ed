"""What the compiled backward pass reads of the forward pass: what was kept, and what is computed again from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import INPUT, LOOP, PARAM, Graph, Loop, Node, Origin, Value, body_nodes, loop_of

Spot = tuple[Span | None, tuple[str, ...]]
"""An equation of an instance: what tells a node of the compiled graph from the others, whatever the passes did."""


class Read(NamedTuple):
    """The backward pass of `reader` reads what `maker` computed: at the same step, or at the step before."""

    maker: Spot
    reader: Spot
    before: bool
    again: bool
    value: str
    """The type of what is kept."""


def reads(compiled: Graph) -> list[Read]:
    """Each pair of equations between which something is kept. Data and parameters are there anyway."""
    found: dict[tuple[Spot, Spot, bool], Read] = {}
    for read in _Search(compiled).all():
        key = read[:3]
        if key not in found or found[key].again:
            found[key] = read
    return list(found.values())


class _Search(Struct):
    graph: Graph
    loops: list[Loop] = field(default_factory=list)

    def all(self) -> Iterator[Read]:
        for node in self.graph.nodes():
            if node.origin.backward and node.op is LOOP:
                yield from self._loop(loop_of(node))
            elif node.origin.backward:
                yield from (r for v in node.inputs for r in _read(v, node, again=False))

    def _loop(self, loop: Loop) -> Iterator[Read]:
        """What the body reads of sequences; a value that is computed again hands on what it is made of."""
        rows = {s.param: s.sequence for s in loop.slices if not s.sequence.node.origin.backward}
        twins = _Twins(loop, rows)
        for node in body_nodes(loop):
            for value in node.inputs:
                if value in rows and node not in twins.again:
                    yield from _read(rows[value], node, again=False)
                elif value.node in twins.again and node not in twins.again:
                    for source in twins.made_of(value):
                        yield from _read(rows[source], node, again=True)


def _read(value: Value, reader: Node, again: bool) -> Iterator[Read]:
    made, before = _made(value)
    if made is None or made.node.origin.backward or made.node.op in (INPUT, PARAM, LOOP):
        return
    if made.type.axes:  # what has none is made of parameters and numbers alone
        yield Read(_spot(made.node.origin), _spot(reader.origin), before, again, str(value.type))


def _made(value: Value) -> tuple[Value | None, bool]:
    """The value of a body that a sequence has the rows of; of the states before each step, the next ones."""
    while value.node.op is LOOP:
        loop = loop_of(value.node)
        value = loop.results[value.index]
        if value.node.op is PARAM:
            carry = next((c for c in loop.carries if c.param == value), None)
            return (carry.next, True) if carry else (None, False)
    return value, False


def _spot(origin: Origin) -> Spot:
    return origin.span, origin.path


class _Twins:
    """Which nodes of a backward body are forward ones computed again: the same op of the same values."""

    def __init__(self, loop: Loop, rows: Mapping[Value, Value]) -> None:
        self.rows = rows
        self.again: set[Node] = set()
        forward = {(n.op.name, tuple(n.inputs)) for n in _bodies(rows.values())}
        same: dict[Value, Value] = {}
        for param, sequence in rows.items():
            loops = loop_of(sequence.node) if sequence.node.op is LOOP else None
            same[param] = loops.results[sequence.index] if loops else sequence
        nodes = {(n.op.name, tuple(n.inputs)): n for n in _bodies(rows.values())}
        for node in body_nodes(loop):
            if node.op is PARAM or not node.inputs:
                continue
            key = node.op.name, tuple(same.get(v, v) for v in node.inputs)
            if key in forward and all(v in same for v in node.inputs):
                same[Value(node)] = Value(nodes[key])
                self.again.add(node)

    def made_of(self, value: Value) -> Iterator[Value]:
        pending = [value]
        while pending:
            value = pending.pop()
            if value in self.rows:
                yield value
            elif value.node in self.again:
                pending += value.node.inputs


def _bodies(values: object) -> Iterator[Node]:
    """The nodes of the forward loops that sequences come from."""
    seen: set[Node] = set()
    for value in values:  # type: ignore[attr-defined]
        if value.node.op is LOOP and value.node not in seen:
            seen.add(value.node)
            yield from body_nodes(loop_of(value.node))
