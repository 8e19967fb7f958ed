"""Reverse-mode gradients as graph transformation.

Walking backwards, an ordinary node asks its op. A loop becomes a loop the other way round: its carries are the
cotangents of the carries, its slices are what the forward loop stacks for it, and what each step gives to a
captured value is stacked and summed outside (`sink` makes one product of that).

What the loss does not reach gets no gradient, whatever is there: where a mask or a `where` hides a pole, its slope may
be infinite or nan, and 0 times that is no zero. So where a slope may not be finite it is taken only where there is a
cotangent, and values that may not be finite enter products as 0 where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    PARAM,
    Capture,
    Carry,
    Graph,
    Loop,
    Node,
    Origin,
    Rewriter,
    Slice,
    Value,
    body_nodes,
    body_param,
    finals,
    loop_node,
    loop_of,
    make,
    ordered,
    rebuilt,
    stacked,
)
from rnngraph.ir.interval_arithmetic import ANY
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops import Formula, call, const, zeros
from rnngraph.ops.range_analysis import Known, note
from rnngraph.ops.table import TABLE
from rnngraph.passes.saved_values import made_again

Poles = Literal["no cotangent", "no slope", "kept"]
"""Where a slope that may not be finite counts as 0: where no cotangent comes in; of what is differentiated again only
where the slope is not finite, too, since how a gradient changes with its cotangent is the slope; of what is only
differentiated by its cotangents nowhere."""


def gradients(
    graph: Graph,
    cotangents: Sequence[tuple[Value, Value]],
    wrt: Mapping[str, Value],
    poles: Poles = "no cotangent",
) -> Graph:
    """The graph with an output `grad:NAME` for each value of `wrt`: sum of cotangent times output, differentiated.

    `cotangents` are values of the graph with their cotangents, of the same type; those of one value add up. A value
    that no output depends on has gradient zero.
    """
    known: Known = {}
    note(graph.nodes(), known)
    sweep = _Sweep(frozenset(v for v in wrt.values()), known, poles)
    for value, cotangent in cotangents:
        sweep.give(value, cotangent)
    sweep.pull(ordered(v.node for v, _ in cotangents))
    outputs = dict(graph.outputs)
    for name, value in wrt.items():
        outputs[f"grad:{name}"] = sweep.total(value) or zeros(value.type, BACKWARD)
    values = sweep.finished(outputs.values())
    return Graph(graph.inputs, dict(zip(outputs, values, strict=True)))


@lru_cache(maxsize=4096)
def _backward(origin: Origin) -> Origin:
    return replace(origin, backward=True)


BACKWARD = Origin(backward=True)


class _Sweep(Struct):
    """One walk backwards at one level. `targets` are the values at this level that gradients are wanted of."""

    targets: frozenset[Value]
    known: Known
    """The ranges of forward values, at all levels."""
    poles: Poles
    given: dict[Value, list[Value]] = field(default_factory=dict)
    replaced: dict[Node, Node] = field(default_factory=dict)
    """Forward loops that now stack what the backward loops need."""
    ended: Value | None = None
    """What tells the rows of which nothing is left, where steps without others are left out."""
    without_ended: dict[Value, Value] = field(default_factory=dict)
    """Values that are 0 for these rows, by what they are for the others."""

    def give(self, value: Value, cotangent: Value) -> None:
        if value.type.dtype == "float":
            if BATCH not in value.type.axes:
                cotangent = self.running(cotangent)
            self.given.setdefault(value, []).append(fit(cotangent, value.type))

    def total(self, value: Value) -> Value | None:
        found = self.given.get(value)
        if not found:
            return None
        if len(found) > 1:
            self.given[value] = found = [added(found)]
        return found[0]

    def pull(self, nodes: list[Node]) -> None:
        needed = reached(nodes, self.targets)
        for node in reversed(nodes):
            if node not in needed or not any(v in self.given for v in node.values):
                continue
            if node.op is LOOP:
                _through_loop(self, node, needed)
            elif node.op.vjp is not None and node.inputs:
                self.through(node)

    def through(self, node: Node) -> None:
        y = Value(node)
        dy = self.total(y)
        if dy is None or node.op.vjp is None:
            return
        origin = _backward(node.origin)
        pointwise = node.op.kind == "pointwise"
        if not pointwise and any(BATCH not in v.type.axes for v in node.inputs):  # the op sums over rows
            dy = self.running(dy)
        read = [v if pointwise else self.settled(v, origin, node.op.masks) for v in (y, *node.inputs)]
        result, *inputs = (Formula(v, origin) for v in read)
        parts = node.op.vjp(node.attrs, result, Formula(dy, origin), *inputs)
        for value, part in zip(node.inputs, parts, strict=True):
            if part is not None:
                self.give(value, self.chosen(part, dy).value if pointwise else part.value)

    def running(self, value: Value, otherwise: Value | None = None) -> Value:
        """The value; for the rows that have ended 0, or what is told. So a step of such rows alone is nothing, to the
        bit, whatever would be computed for it."""
        if self.ended is None or BATCH not in value.type.axes:
            return value
        if otherwise is not None:
            return call("where", self.ended, otherwise, value, origin=value.node.origin)
        if value not in self.without_ended:
            made = call("where", self.ended, const(0.0), value, origin=value.node.origin)
            self.without_ended |= {value: made, made: made}
        return self.without_ended[value]

    def settled(self, value: Value, origin: Origin, masks: bool) -> Value:
        """The value, with 0 where it is infinite or nan: the loss does not depend on it there, or is nan itself. Minus
        infinity stays where it `masks` an entry."""
        if value.type.dtype != "float" or self.finite(value):
            return value
        x = Formula(value, origin)
        return x.where(x.op("lt", math.inf) if masks else (x - x).op("eq", 0.0)).value

    def finite(self, value: Value) -> bool:
        if value not in self.known:
            note(ordered((value.node,), self.known), self.known)
        return self.known[value].finite

    def chosen(self, part: Formula, dy: Value) -> Formula:
        """A part of a gradient, entry by entry, and 0 where it counts as such."""
        self.known[dy] = ANY
        if self.poles == "kept" or self.finite(part.value):
            return part
        counts = Formula(dy, part.origin).op("ne", 0.0)
        return part.where(counts if self.poles == "no cotangent" else counts.op("or", (part - part).op("eq", 0.0)))

    def finished(self, values: Iterable[Value]) -> tuple[Value, ...]:
        """The values over the forward loops as they now are."""
        if not self.replaced:
            return tuple(values)
        news = set(self.replaced.values())
        made: dict[Node, Node] = {}

        def swap(node: Node, inputs: tuple[Value, ...]) -> Node | None:
            new = self.replaced.get(node, node)
            if new not in news:
                return None
            if new not in made:
                made[new] = rebuilt(new, inputs)
            return made[new]

        return Rewriter(swap).run(values)


def reached(nodes: Iterable[Node], sources: frozenset[Value]) -> set[Node]:
    """The nodes that depend on a source or are one, in a list where inputs come first."""
    found = {v.node for v in sources}
    for node in nodes:
        if node not in found and any(v.node in found for v in node.inputs):
            found.add(node)
    return found


# --- sums of cotangents -------------------------------------------------------------------------------------------


def fit(cotangent: Value, type: Type) -> Value:
    """Sums over what the operand was spread to; spreads to the axes that the formula lost."""
    origin = cotangent.node.origin
    extra = tuple(axis for axis in cotangent.type.axes if axis not in type.axes)
    if extra:
        cotangent = call("sum_axes", cotangent, origin=origin, axes=extra)
    have = cotangent.type.shape
    if have != type.shape:
        front = tuple(range(len(have) - len(type.shape)))
        if front:
            cotangent = call("sum", cotangent, origin=origin, dims=front)
        have = cotangent.type.shape
        ones = tuple(i for i, (a, b) in enumerate(zip(have, type.shape, strict=True)) if a != b)
        if ones:
            cotangent = call("sum", cotangent, origin=origin, dims=ones, keep=True)
    if set(type.axes) - set(cotangent.type.axes):
        cotangent = call("spread", cotangent, origin=origin, axes=type.axes)
    return cotangent


def added(parts: list[Value]) -> Value:
    """The sum; parts that fill different places of one vector are joined instead of added."""
    pads = [v for v in parts if v.op is TABLE["pad"]]
    rest = [v for v in parts if v.op is not TABLE["pad"]]
    joined = _joined(pads) if len(pads) > 1 else None
    terms = rest + ([joined] if joined else pads)
    result = terms[0]
    for term in terms[1:]:
        result = call("add", result, term, origin=term.node.origin)
    return result


def _joined(pads: list[Value]) -> Value | None:
    dim, origin = pads[0].node.attrs["dim"], pads[0].node.origin
    if any(v.node.attrs["dim"] != dim for v in pads):
        return None
    pieces, place = [], 0
    size = pads[0].type.shape[dim]
    for pad in sorted(pads, key=lambda v: int(v.node.attrs["before"])):
        part, before = pad.node.inputs[0], pad.node.attrs["before"]
        if before < place:
            return None
        if before > place:
            pieces.append(_gap(part.type, dim, before - place, origin))
        pieces.append(part)
        place = before + part.type.shape[dim]
    if place < size:
        pieces.append(_gap(pieces[-1].type, dim, size - place, origin))
    return call("concat", *pieces, origin=origin, dim=dim)


def _gap(like: Type, dim: int, size: int, origin: Origin) -> Value:
    at = dim % len(like.shape)
    shape = (*like.shape[:at], size, *like.shape[at + 1 :])
    return zeros(Type(like.axes, shape), origin)


# --- loops ----------------------------------------------------------------------------------------------------------


def _active(loop: Loop, nodes: list[Node], needed: set[Node]) -> frozenset[Value]:
    """The float params of a body through which a gradient flows."""
    active = {
        param
        for outer, param in (
            (*((s.sequence, s.param) for s in loop.slices), *((c.outer, c.param) for c in loop.captures))
        )
        if outer.node in needed
    }
    active |= {c.param for c in loop.carries if c.init.node in needed}
    while True:
        inside = reached(nodes, frozenset(active))
        more = {c.param for c in loop.carries if c.next.node in inside} - active
        if not more:
            return frozenset(v for v in active if v.type.dtype == "float")
        active |= more


def _through_loop(sweep: _Sweep, node: Node, needed: set[Node]) -> None:
    loop, nodes = loop_of(node), body_nodes(loop_of(node))
    origin = _backward(node.origin)
    active = _active(loop, nodes, needed)
    outs = [
        (value, cotangent)
        for result, value in zip(stacked(node), loop.stacks, strict=True)
        if value.type.dtype == "float" and (cotangent := sweep.total(result)) is not None
    ]
    slices = [Slice(cotangent, body_param("d.out", value.type, origin)) for value, cotangent in outs]
    given = [(value, s.param) for (value, _), s in zip(outs, slices, strict=True)]
    final = dict(zip(loop.carries, finals(node), strict=True))
    reached_by_loss = {c for c in loop.carries if sweep.total(final[c]) is not None}
    ended = _ended(loop, active, [value for value, _ in outs])
    if ended:
        note(nodes, sweep.known, left_out=True)
    inner, incoming = _through_body(sweep, loop, nodes, active, given, reached_by_loss, origin, ended)
    carried = list(incoming)
    sequences = [s for s in loop.slices if s.param in active and inner.total(s.param)]
    captures = [c for c in loop.captures if c.param in active and inner.total(c.param)]
    passed_on = [(inner.total(c.param) or zeros(c.param.type, origin), incoming[c]) for c in carried]
    results = [inner.running(value, coming) for value, coming in passed_on]
    handed_out = [*(s.param for s in sequences), *(c.param for c in captures)]
    results += [inner.running(_must(inner.total(param))) for param in handed_out]
    forward = (*loop.results,)
    done = inner.finished([*forward, *results])
    forward_done, results_done = done[: len(forward)], list(done[len(forward) :])
    new_loop, results_done, more_slices, more_captures, counter = _closed(loop, forward_done, results_done, ended)
    new_node = loop_node(new_loop, node.origin)
    sweep.replaced[node] = new_node
    saved = dict(zip(reversed(new_loop.stacks), reversed(stacked(new_node)), strict=True))

    n = len(carried)
    backward = Loop(
        loop.axis,
        not loop.reverse,
        tuple(
            Carry(sweep.total(final[c]) or zeros(c.param.type, origin), incoming[c], result)
            for c, result in zip(carried, results_done[:n], strict=True)
        ),
        (*slices, *(Slice(saved.get(v, outer), p) for v, outer, p in more_slices)),
        tuple(more_captures),
        tuple(results_done[n:]),
        counter,
        loop.turn,
        loop.label,
        since=next((p for v, _, p in more_slices if v == ended), None),
    )
    back = loop_node(backward, origin)
    for c, value in zip(carried, finals(back), strict=True):
        sweep.give(c.init, value)
    handed = stacked(back)
    for s, value in zip(sequences, handed[: len(sequences)], strict=True):
        sweep.give(s.sequence, value)
    for capture, value in zip(captures, handed[len(sequences) :], strict=True):
        sweep.give(capture.outer, call("sum_axes", value, origin=origin, axes=(loop.axis,)))


def _through_body(
    around: _Sweep,
    loop: Loop,
    nodes: list[Node],
    active: frozenset[Value],
    given: list[tuple[Value, Value]],
    reached_by_loss: set[Carry],
    origin: Origin,
    ended: Value | None,
) -> tuple[_Sweep, dict[Carry, Value]]:
    """A walk through one step, and the cotangent that comes in for the next value of each carry.

    A carry has one only where the loss reaches it: by its last value, by what a step hands out, or by another such
    carry of the next step. Each walk may find more of these, so it is made again until it does not.
    """
    while True:
        inner = _Sweep(active, around.known, around.poles, ended=ended)
        carried = [c for c in loop.carries if c.param in active and c in reached_by_loss]
        incoming = {c: body_param(f"d.{c.param.node.attrs['name']}", c.param.type, origin) for c in carried}
        for value, cotangent in (*((c.next, param) for c, param in incoming.items()), *given):
            inner.give(value, cotangent)
        inner.pull(nodes)
        more = {c for c in loop.carries if c.param in active and c.param in inner.given} - reached_by_loss
        if not more:
            return inner, incoming
        reached_by_loss = reached_by_loss | more


def _ended(loop: Loop, active: frozenset[Value], outs: Sequence[Value]) -> Value | None:
    """What tells, before a step, which rows have ended, where the backward pass leaves out the steps that the forward
    pass does. For that a step must be told row by row, all of it. Of rows that have lengths kernels know more."""
    bound = [v for v in (*(c.param for c in loop.carries), *(s.param for s in loop.slices)) if v in active]
    by_row = all(BATCH in v.type.axes for v in (*bound, *outs)) and not any(n.op is LOOP for n in body_nodes(loop))
    return loop.until if by_row and not loop.lengths else None


def _must(value: Value | None) -> Value:
    assert value is not None
    return value


def _closed(
    loop: Loop, forward: tuple[Value, ...], results: list[Value], ended: Value | None
) -> tuple[Loop, list[Value], list[tuple[Value, Value, Value]], list[Capture], Value | None]:
    """Closes the backward body: every forward value in it becomes a param of its own.

    Returns the forward loop that stacks what is kept, the results over the new params, the slices as
    (forward value, outer sequence where it has one, param), the captures, and the counter.
    """
    n = len(loop.carries)
    inside = set(ordered(v.node for v in forward)) | {p.node for p in loop.params}
    again = made_again(loop, ordered(v.node for v in forward), _mentioned(results, inside, set()))
    wanted = list(_mentioned(results, inside, again))
    sequence = {s.param: s.sequence for s in loop.slices}
    outer = {c.param: c.outer for c in loop.captures}
    stacks = list(forward[n:])
    mapping: dict[Value, Value] = {}
    slices, captures, counter = [], [], None
    for value in wanted:
        if value.node.op.kind == "constant":
            continue
        param = body_param(_name(value), value.type, value.node.origin)
        mapping[value] = param
        if value in outer:
            captures.append(Capture(outer[value], param))
        elif value == loop.counter:
            counter = param
        elif value in sequence:
            slices.append((value, sequence[value], param))
        else:
            if value not in stacks:
                stacks.append(value)
            slices.append((value, value, param))
    carries = tuple(c._replace(next=v) for c, v in zip(loop.carries, forward[:n], strict=True))
    # What the backward pass visits the forward pass must visit too.
    kept = replace(loop, carries=carries, stacks=tuple(stacks), until=ended, since=None)
    rewriter = Rewriter(_again)
    rewriter.map.update(mapping)
    return kept, list(rewriter.run(results)), slices, captures, counter


def _again(node: Node, inputs: tuple[Value, ...]) -> Node | None:
    """Forward work that is done a second time belongs to the backward pass."""
    if node.origin.backward or inputs == node.inputs:
        return None
    return make(node.op, inputs, node.attrs, _backward(node.origin))


def _name(value: Value) -> str:
    name: str = value.node.attrs["name"] if value.node.op is PARAM else value.node.origin.name
    return name or value.node.op.name


def _mentioned(results: Iterable[Value], inside: set[Node], through: set[Node]) -> dict[Value, None]:
    """The forward values that the results mention, each once, in the order met; `through` are made again."""
    found: dict[Value, None] = {}
    seen: set[Node] = set()
    todo = list(results)
    while todo:
        value = todo.pop()
        if value.node in inside and value.node not in through:
            found.setdefault(value)
        elif value.node not in seen:
            seen.add(value.node)
            todo.extend(value.node.inputs)
    return found
