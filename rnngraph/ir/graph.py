"""The one graph: ops, immutable nodes born typed, values, and the rewriter.

A node is compared by identity; a value is (node, index). This module knows no op by name: what an op is
stands in its entry in `rnngraph.ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.source import Span
from rnngraph.ir.interval_arithmetic import Rule, unknown
from rnngraph.ir.types import Type

Attrs = Mapping[str, Any]
NO_ATTRS: Attrs = {}


class ShapeError(Exception):
    """Operands that do not fit: the message says how, in the user's words. Caught where the place is known."""


class Op(Struct, frozen=True, eq=False):
    """One entry of the table; the fields are explained where the table is, in `rnngraph.ops.table`."""

    name: str
    infer: Callable[[Attrs, tuple[Type, ...]], tuple[Type, ...]]
    kernel: Callable[..., Callable[..., Any]] | None = None
    vjp: Callable[..., Any] | None = None
    kind: str = "general"
    inplace: bool = False
    strided: bool = True
    swells: bool = False
    """The result holds its input many times: it is made again rather than kept, and never for all steps at once."""
    scratch: Callable[[Attrs, tuple[Type, ...], tuple[Type, ...]], tuple[Type, ...]] | None = None
    masks: bool = False
    range: Rule = unknown
    examples: tuple[Any, ...] = ()
    """(attrs, input types) pairs that the tests run; `vjp` is checked on them by finite differences."""

    def __repr__(self) -> str:
        return self.name


class Origin(Struct, frozen=True):
    """Where a node comes from: the source, the instances around it, and the user's name for it."""

    span: Span | None = None
    path: tuple[str, ...] = ()
    name: str = ""
    backward: bool = False


NOWHERE = Origin()


class Node(Struct, frozen=True, eq=False):
    """One application of an op. A loop's inputs are those of its `Loop` attribute, in its order."""

    op: Op
    inputs: tuple[Value, ...]
    attrs: Attrs
    types: tuple[Type, ...]
    origin: Origin = NOWHERE

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.types[0] if self.types else ''}>"

    @property
    def values(self) -> tuple[Value, ...]:
        made = tuple.__new__  # what `Value` itself calls, in half the time
        if len(self.types) == 1:
            return (made(Value, (self, 0)),)
        return tuple([made(Value, (self, i)) for i in range(len(self.types))])


class Value(NamedTuple):
    """One result of a node."""

    node: Node
    index: int = 0  # type: ignore[assignment]  # shadows tuple.index, which nobody asks of a value

    @property
    def type(self) -> Type:
        return self.node.types[self.index]

    @property
    def op(self) -> Op:
        return self.node.op


def make(op: Op, inputs: Iterable[Value], attrs: Attrs = NO_ATTRS, origin: Origin = NOWHERE) -> Node:
    """The one way to make a node: its op gives the types, or raises ShapeError."""
    inputs = tuple(inputs)
    return Node(op, inputs, attrs, op.infer(attrs, tuple(v.node.types[v.index] for v in inputs)), origin)


def apply(op: Op, *inputs: Value, origin: Origin = NOWHERE, **attrs: Any) -> Value:
    """The first result of a new node."""
    return Value(make(op, inputs, attrs or NO_ATTRS, origin))


# --- the two leaves that the graph itself must know ------------------------------------------------


def _declared(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    return (attrs["type"],)


INPUT = Op("input", _declared, kind="leaf")
"""A value from outside. Attributes: `name`, `kind` ("data", "weight", "state", "lengths", "seed"), `type`."""

PARAM = Op("param", _declared, kind="leaf")
"""A value that a loop hands to its body at each step. Attributes: `name`, `type`."""


def graph_input(name: str, kind: str, type: Type, origin: Origin = NOWHERE) -> Value:
    return apply(INPUT, origin=origin, name=name, kind=kind, type=type)


def body_param(name: str, type: Type, origin: Origin = NOWHERE) -> Value:
    return apply(PARAM, origin=origin, name=name, type=type)


# --- loops -------------------------------------------------------------------------------------------


class Carry(NamedTuple):
    """A value handed from step to step: first `init`, which the body sees as `param`; then `next`."""

    init: Value
    param: Value
    next: Value


class Slice(NamedTuple):
    """A sequence of which each step sees its row."""

    sequence: Value
    param: Value


class Capture(NamedTuple):
    """A value from outside that is the same at every step."""

    outer: Value
    param: Value


class Loop(Struct, frozen=True, eq=False):
    """A closed body and its bindings, each a pair. Steps run along `axis`, backwards where `reverse`.

    The node's results are the last value of each carry, then one sequence per stack, in this order.
    `counter`, where there is one, is the place on the axis (0 first in time, whatever the direction).
    `turn` is the number of steps in one turn of the running loop.
    """

    axis: str
    reverse: bool
    carries: tuple[Carry, ...]
    slices: tuple[Slice, ...]
    captures: tuple[Capture, ...]
    stacks: tuple[Value, ...]
    counter: Value | None = None
    turn: int = 1
    label: str = ""
    """What the user runs here (the cell's name), for pictures and reports."""
    until: Value | None = None
    """The param of a bool carry: once its next value holds for every row, no later step changes a carry, and what
    later steps hand out is never seen but through a mask. So a running loop may leave early."""
    lengths: bool = False
    """Whether nothing but lengths says when `until` holds."""
    since: Value | None = None
    """The param of a bool slice: up to the first step at which it does not hold for every row, steps change no carry
    and hand out 0. So a running loop may begin there. It is the backward pass of a loop that may leave early."""

    @property
    def outer(self) -> tuple[Value, ...]:
        """Every value from outside, in the order of the node's inputs."""
        return (
            *(c.init for c in self.carries),
            *(s.sequence for s in self.slices),
            *(c.outer for c in self.captures),
        )

    @property
    def results(self) -> tuple[Value, ...]:
        """The body's values that leave a step: each carry's next, then the stacks."""
        return (*(c.next for c in self.carries), *self.stacks)

    @property
    def params(self) -> tuple[Value, ...]:
        counter = (self.counter,) if self.counter else ()
        return (
            *(c.param for c in self.carries),
            *(s.param for s in self.slices),
            *(c.param for c in self.captures),
            *counter,
        )


def _loop_types(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    loop: Loop = attrs["loop"]
    finals = tuple(c.next.type for c in loop.carries)
    return (*finals, *(v.type.with_axes((*v.type.axes, loop.axis)) for v in loop.stacks))


LOOP = Op("loop", _loop_types, kind="loop")


def loop_node(loop: Loop, origin: Origin = NOWHERE) -> Node:
    return make(LOOP, loop.outer, {"loop": loop}, origin)


def loop_of(node: Node) -> Loop:
    loop: Loop = node.attrs["loop"]
    return loop


def finals(node: Node) -> tuple[Value, ...]:
    return tuple(Value(node, i) for i in range(len(loop_of(node).carries)))


def stacked(node: Node) -> tuple[Value, ...]:
    first = len(loop_of(node).carries)
    return tuple(Value(node, i) for i in range(first, len(node.types)))


# --- whole graphs --------------------------------------------------------------------------------------


class Graph(Struct, frozen=True, eq=False):
    """Named inputs and named outputs; the nodes between are found from the outputs."""

    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value] = field(default_factory=dict)

    def nodes(self) -> list[Node]:
        """The nodes at the top level, each after its inputs."""
        return ordered(v.node for v in self.outputs.values())

    def all_nodes(self) -> Iterator[Node]:
        """Every node, those of loop bodies too."""
        return every(self.nodes())

    def with_outputs(self, outputs: Mapping[str, Value]) -> Graph:
        return Graph(self.inputs, outputs)


def ordered(roots: Iterable[Node], known: Container[Value] = ()) -> list[Node]:
    """Every node that the roots need, at their own level, each after its inputs; stable and not recursive.

    What only `known` values need is left out.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[Node | None] = [*roots]  # None stands above a node whose inputs are done with
    stack.reverse()
    while stack:
        node = stack.pop()
        if node is None:
            order.append(stack.pop())  # type: ignore[arg-type]
        elif node not in done:
            done.add(node)
            stack += (node, None)
            for value in node.inputs[::-1]:
                if value.node not in done and value not in known:
                    stack.append(value.node)
    return order


def body_nodes(loop: Loop) -> list[Node]:
    """The nodes of a loop's body, each after its inputs; its params among them where they are used."""
    return ordered(v.node for v in loop.results)


def every(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        if node.op is LOOP:
            yield from every(body_nodes(loop_of(node)))


# --- the rewriter ----------------------------------------------------------------------------------------

Replace = Callable[[Node, tuple[Value, ...]], "Node | tuple[Value, ...] | None"]


class Rewriter:
    """Rebuilds nodes over replaced inputs; remembers what became of each value.

    `replace(node, new_inputs)` may return a node or values to stand for the node's; None keeps the op.
    A loop is rebuilt with its bindings; its body is left as it is (a pass that wants it calls itself).
    """

    def __init__(self, replace: Replace | None = None) -> None:
        self.replace = replace
        self.map: dict[Value, Value] = {}

    def value(self, value: Value) -> Value:
        return self.map.get(value, value)

    def run(self, roots: Iterable[Value]) -> tuple[Value, ...]:
        """What the roots become. What stands for a value already is taken as it is, each result of a node by itself."""
        roots, known = tuple(roots), self.map
        for node in ordered([v.node for v in roots if v not in known], known or ()):  # in () nothing is looked up
            if len(node.types) == 1 or any((node, i) not in known for i in range(len(node.types))):
                self.visit(node)
        return tuple([known.get(v, v) for v in roots])

    def visit(self, node: Node) -> None:
        known = self.map
        inputs = tuple([known.get(v, v) for v in node.inputs])
        new = self.replace(node, inputs) if self.replace else None
        if new is None:
            new = rebuilt(node, inputs)
        keys = node.values
        values = keys if new is node else new.values if isinstance(new, Node) else new
        for key, value in zip(keys, values, strict=False):
            known.setdefault(key, value)


def rebuilt(node: Node, inputs: tuple[Value, ...]) -> Node:
    """The same node over other inputs (the node itself where they are its own)."""
    if inputs == node.inputs:
        return node
    if node.op is LOOP:
        return loop_node(rebound(loop_of(node), inputs), node.origin)
    if [v.type for v in inputs] == [v.type for v in node.inputs]:
        return Node(node.op, inputs, node.attrs, node.types, node.origin)
    return make(node.op, inputs, node.attrs, node.origin)


def rebound(loop: Loop, outer: tuple[Value, ...]) -> Loop:
    """The same loop over other values from outside, in the order of `loop.outer`."""
    new = iter(outer)
    return replace(
        loop,
        carries=tuple(Carry(next(new), c.param, c.next) for c in loop.carries),
        slices=tuple(Slice(next(new), s.param) for s in loop.slices),
        captures=tuple(Capture(next(new), c.param) for c in loop.captures),
    )


def rewrite(graph: Graph, replace: Replace) -> Graph:
    """A graph whose nodes were replaced, top level only; see `Rewriter`."""
    rewriter = Rewriter(replace)
    values = rewriter.run(graph.outputs.values())
    return graph.with_outputs(dict(zip(graph.outputs, values, strict=True)))
