"""The graph under construction: levels of loops, what crosses into them, nodes with their place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph import ops
from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import Report
from rnngraph.diagnostics.source import Source, Span
from rnngraph.diagnostics.suggestions import Hints
from rnngraph.ir.graph import Capture, Node, Origin, ShapeError, Value, body_param, graph_input, make
from rnngraph.ir.types import BATCH, DType, Type, every, is_fixed
from rnngraph.language.elaboration.elaborated import DataInput, StateInput, Weight
from rnngraph.language.elaboration.loop_levels import Halt, Handed, Level, Place, States
from rnngraph.language.elaboration.mistakes import (
    MOST_STATEMENTS,
    Echo,
    Mistake,
    TooMuch,
    shape_in_words,
    too_many_statements,
)
from rnngraph.language.elaboration.sizes import LARGEST_SIZE, too_large
from rnngraph.language.elaboration.state_rules import Product, Rule
from rnngraph.language.elaboration.values import NOTHING, Instance, Item, Number, Numbers, PipeOf, is_literal, kind_of
from rnngraph.language.syntax.ast import Definition, Statement

MOST_NOTES = 100_000
"""Of what is repeated more often, the first turns are noted."""


class Note(Struct, frozen=True):
    """What stood for something at a place of the text, in the instance of this path."""

    span: Span
    item: Item
    path: tuple[str, ...]


@dataclass(eq=False)
class Trace:
    """Everything that one elaboration gathers. `path` and `name` say where the nodes being made come from."""

    padded: bool = False
    training: bool = False
    fed: Mapping[str, StateInput] = field(default_factory=dict)
    watch: tuple[str, ...] = ()
    worlds: Mapping[Source, Mapping[str, Definition]] = field(default_factory=dict)
    """What the definitions of each file may name; those of the library see the library."""
    truncate: int | None = None
    """The number of steps after which gradients through states end."""
    report: Report = field(default_factory=Report)
    hints: Hints = field(default_factory=Hints)
    root: Level = field(default_factory=Level)
    path: tuple[str, ...] = ()
    name: str = ""
    weights: dict[str, Weight] = field(default_factory=dict)
    inputs: dict[str, Value] = field(default_factory=dict)
    data: list[DataInput] = field(default_factory=list)
    handed: list[Handed] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)
    """Axes along which numbers depend on which step of a whole sequence they are of."""
    strides: dict[str, int] = field(default_factory=dict)
    """Of what number of steps a piece must begin at a multiple, for axes where that is more than one."""
    instances: dict[tuple[str, ...], Instance | PipeOf] = field(default_factory=dict)
    watchable: set[str] = field(default_factory=set)
    calls: list[Span] = field(default_factory=list)
    """The calls around the present place, outermost first."""
    stops: bool = False
    """Whether there is a `stop` anywhere, so that a loop may have ended for a row."""
    readings: tuple[Rule, ...] = ()
    """The rules through which products read states and weights here, outermost first."""
    stop_at: tuple[Statement, Span] | None = None
    """The statement that is not begun, since more are to come than may be, and the one that passes the bound."""
    amounts: dict[bool, dict[Any, int]] = field(default_factory=dict)
    """How many statements definitions run, in training or not, as `amount` has found it so far."""
    notes: list[Note] | None = None
    """What each name and expression was found to be; None where nobody asks."""
    asks_training: bool = False
    """Whether anything has asked so far whether this is training."""
    depth: int = 0
    statements: int = 0
    draws: int = 0

    def __post_init__(self) -> None:
        self.level = self.root
        self.states: States | None = None
        self.restarts: tuple[Value, ...] = ()
        self.revising = False
        """Whether new values of states are asked for by what they are: then no two values stand for one."""
        self.home: dict[Node, Level] = {}
        self.masked: set[tuple[Value, str]] = set()
        """Sequences known to be 0 in the padding along an axis, and after a `stop` along it."""
        self.halts: dict[Value, tuple[Halt, ...]] = {}
        """What a `stop` has left of a sequence, for each axis along which one did; of what is made of it, the same."""

    # --- where we are ---------------------------------------------------------------------------

    @contextmanager
    def at(self, level: Level) -> Iterator[None]:
        """Make nodes in another level."""
        before, self.level = self.level, level
        try:
            yield
        finally:
            self.level = before

    @contextmanager
    def calling(self, states: States | None) -> Iterator[None]:
        """Cells that are called keep their states there; where there is none, each call is a step of its own."""
        before = self.states, self.restarts
        self.states, self.restarts = states, ()
        try:
            yield
        finally:
            self.states, self.restarts = before

    @contextmanager
    def restarting(self, condition: Value) -> Iterator[None]:
        """States of cells that are called begin anew where the condition holds."""
        before, self.restarts = self.restarts, (*self.restarts, condition)
        try:
            yield
        finally:
            self.restarts = before

    @contextmanager
    def telling_states_apart(self) -> Iterator[None]:
        """New values of states made inside are no other's, and no old one."""
        before, self.revising = self.revising, True
        try:
            yield
        finally:
            self.revising = before

    @contextmanager
    def inside(self, path: tuple[str, ...]) -> Iterator[None]:
        """Make nodes for the instance with this path."""
        before = self.path, self.name
        self.path, self.name = path, ""
        try:
            yield
        finally:
            self.path, self.name = before

    def levels(self) -> list[Level]:
        """The loops around the present place, outermost first."""
        found: list[Level] = []
        level = self.level
        while level.parent is not None:
            found.append(level)
            level = level.parent
        return found[::-1]

    @property
    def places(self) -> list[Place]:
        """The states here, of the loop or the call around."""
        return self.states.places if self.states else []

    def noted(self, span: Span, item: Item) -> Item:
        """The item, written down for whoever asks what stands there."""
        if self.notes is not None and len(self.notes) < MOST_NOTES:
            self.notes.append(Note(span, item, self.path))
        return item

    def tell(self, diagnostic: Diagnostic) -> None:
        """Report once for each place, however many instances show the same mistake."""
        told = self.located(diagnostic)
        if (told.code, told.span) not in self.report.places:
            self.report.add(told)

    def located(self, diagnostic: Diagnostic) -> Diagnostic:
        """What is told of a place in another file than the model's, with the place that brought it in; of one in the
        library, at that place: the user can change nothing there."""
        span = diagnostic.span
        if span is None or not self.calls or self.calls[0].source == span.source:
            return diagnostic
        ours = [call for call in self.calls if call.source == self.calls[0].source][-1]
        if span.source.name.startswith("library/"):
            return replace(diagnostic, span=ours, labels=(Label(span, "here"), *diagnostic.labels))
        return replace(diagnostic, labels=(*diagnostic.labels, Label(ours, "used here")))

    def users(self, at: Span) -> Span:
        """The place; of one in the library, the call of the user's that led there."""
        mine = [span for span in (*self.calls, at) if not span.source.name.startswith("library/")]
        return mine[-1] if mine else at

    @contextmanager
    def telling(self, name: str = "") -> Iterator[None]:
        """Reports a mistake made inside and goes on after it; nodes made inside get this name."""
        before, self.name = self.name, name
        try:
            yield
        except TooMuch:
            raise
        except Mistake as mistake:
            self.tell(mistake.diagnostic)
        except Echo:
            pass
        finally:
            self.name = before

    def count_statement(self, s: Statement) -> None:
        if self.stop_at is not None and s is self.stop_at[0]:
            raise too_many_statements(self.stop_at[1])
        self.count_turn(s.span)

    def count_turn(self, at: Span) -> None:
        """Counts what is run once more while compiling."""
        self.statements += 1
        if self.statements > MOST_STATEMENTS:
            raise too_many_statements(at)

    # --- nodes ------------------------------------------------------------------------------------

    def origin(self, span: Span) -> Origin:
        return Origin(span, self.path, self.name)

    def own(self, value: Value, level: Level | None = None) -> Value:
        self.home[value.node] = level or self.level
        return value

    def call(self, op: str, *operands: Value, at: Span, **attrs: Any) -> Value:
        """A new node at the present level, over operands from this or any outer level."""
        brought = [self.bring(v, at) for v in operands]
        result = self._made(op, brought, at, attrs)
        self.halt(result, (h for v in brought for h in self.halts.get(v, ())))
        return result

    def _made(self, op: str, operands: Sequence[Value], at: Span, attrs: Mapping[str, Any]) -> Value:
        try:
            result = self.own(ops.call(op, *operands, origin=self.origin(at), **attrs))
        except ShapeError as error:
            raise Mistake("E201", str(error), at) from None
        if result.type.shape and max(result.type.shape) >= LARGEST_SIZE:
            raise too_large(max(result.type.shape), at)
        return result

    def halt(self, value: Value, halts: Iterable[Halt]) -> None:
        """Notes what a `stop` has left of a sequence: of several the steps that all of them leave."""
        found = tuple(dict.fromkeys(self._within(h, value.type) for h in halts if h.axis in value.type.axes))
        if found:
            self.halts[value] = found

    def bring(self, value: Value, at: Span, level: Level | None = None) -> Value:
        """The value as this level sees it: itself, or a capture handed down through the loops between."""
        level = level or self.level
        home = self.home[value.node]
        if home is level:
            return value
        if level.parent is None:
            raise Mistake(
                "E316",
                f"`{_called(value) or at.text}` is computed at each step and cannot be used outside the step",
                at,
                help="an initial value may use only settings and parameters",
            )
        if value not in level.captures:
            if value.node.op.name == "const":
                return self.own(Value(make(value.node.op, (), value.node.attrs, value.node.origin)), level)
            if level.axis in value.type.axes:
                raise Mistake(
                    "E305",
                    f"`{_called(value) or at.text}` is the whole of {level.axis}, used in one step over {level.axis}",
                    at,
                    help="a sequence that every step sees as a whole needs its own axis: `seq@memory[...]`",
                )
            outer = self.bring(value, at, level.parent)
            param = self.own(body_param(_called(value), value.type, value.node.origin), level)
            self.halt(param, self.halts.get(value, ()))
            level.captures[value] = Capture(outer, param)
        return level.captures[value].param

    def product(self, a: Value, b: Value, *, at: Span, **attrs: Any) -> Value:
        """The op `contract`, of states and weights as the rules around let them be read."""
        for reading in reversed(self.readings):
            a, b = reading.operands(self, Product(a, b, attrs["left"], attrs["right"], at))
        found = self.call("contract", a, b, at=at, **attrs)
        for reading in self.readings:
            reading.products.add(found.node)
        return found

    @contextmanager
    def reading(self, readings: tuple[Rule, ...]) -> Iterator[None]:
        """Products made inside read through these rules."""
        before, self.readings = self.readings, readings
        try:
            yield
        finally:
            self.readings = before

    def const(self, number: Number, dtype: DType = "float") -> Value:
        return self.own(ops.const(number, dtype))

    def input(self, name: str, kind: str, type: Type, span: Span | None = None) -> Value:
        """An input of the whole model; the same one when asked for again."""
        found = self.inputs.get(name)
        if found is not None and found.node.attrs["kind"] != kind:
            raise _one_name(name, found, kind, span)
        if found is None:
            origin = Origin(span, self.path, name.rpartition(".")[2])
            self.inputs[name] = self.own(graph_input(name, kind, type, origin), self.root)
        return self.inputs[name]

    # --- from items to values -----------------------------------------------------------------------

    def lift(self, item: Item, at: Span, dtype: DType | None = None) -> Value:
        """A graph value for an item that can be one; numbers become constants of `dtype`, or of their own."""
        if isinstance(item, Value):
            return item if dtype is None else self.cast(item, dtype, at)
        if item == NOTHING:
            return self.call("broadcast", self.lift(0, at, dtype or "float"), at=at, shape=(0,))
        if isinstance(item, Numbers):
            dtype = dtype or common_kind({dtype_of(i) for i in item.items})
            parts = [self.call("reshape", self.lift(i, at, dtype), at=at, shape=(1,)) for i in item.items]
            return self.call("concat", *parts, at=at, dim=-1) if len(parts) > 1 else parts[0]
        if isinstance(item, (bool, int, float)):
            own = dtype_of(item)
            if (own, dtype) in (("float", "int"), ("float", "bool"), ("int", "bool")):
                raise Mistake("E202", f"`{at.text}` is {own}, but {dtype} is needed here", at)
            if (dtype or own) == "int" and abs(item) >= 2**63:
                raise Mistake("E207", f"`{at.text}` is too large for a whole number", at, help="write it as a float")
            return self.const(item, dtype or own)
        raise Mistake(
            "E202", f"a value is needed here, but `{at.text}` is {kind_of(item)}", at, help=_call_it(item, at)
        )

    def cast(self, value: Value, dtype: DType, at: Span) -> Value:
        return value if value.type.dtype == dtype else self.call("cast", value, at=at, dtype=dtype)

    def fit(self, item: Item, shape: tuple[int, ...], dtype: DType, at: Span, what: str) -> Value:
        """An item as a value of exactly this shape: numbers are spread, ints become floats, no more."""
        value = self.lift(item, at, dtype if is_literal(item) else None)
        if value.type.dtype != dtype and (dtype != "float" or value.type.dtype == "bool"):
            raise Mistake("E202", f"{what} is {dtype}, but `{at.text}` is {value.type.dtype}", at)
        value = self.cast(value, dtype, at)
        if value.type.shape == shape:
            return value
        if value.type.shape == ():
            return self.call("broadcast", value, at=at, shape=shape)
        raise Mistake(
            "E201",
            f"{what} has {shape_in_words(shape)}, but `{at.text}` has {shape_in_words(value.type.shape)}",
            at,
        )

    def over_batch(self, value: Value, at: Span) -> Value:
        return self.over(value, (BATCH,), at)

    def over(self, value: Value, axes: tuple[str, ...], at: Span) -> Value:
        """The value with these axes, and its own."""
        own = value.type.axes
        return value if set(axes) <= set(own) else self.call("spread", value, at=at, axes=(*own, *axes))

    # --- time ------------------------------------------------------------------------------------------

    def counter(self, level: Level) -> Value:
        """The place on the loop's axis, 0 first in time."""
        if level.counter is None:
            level.counter = self.own(body_param("t", Type((), (), "int")), level)
        return level.counter

    def steps_back(self, level: Level, at: Span) -> Value:
        """Where time runs backwards, how many steps the present one is before the row's own last one."""
        if "t" not in level.memo:
            assert level.parent is not None
            with self.at(level.parent):
                end = self.end_along(level.axis, level.halts, at)
            with self.at(level):
                back = self.call("sub", end, self.counter(level), at=at)
                level.memo["t"] = self.call("sub", back, self.const(1, "int"), at=at)
        return level.memo["t"]

    def extent(self, axis: str, at: Span) -> Value:
        """The number of steps: of each row where padded, else of the whole axis. An int."""
        base, by = every(axis)
        if base:
            return self.part_of(self.extent(base, at), by, at)
        if self.pads(axis):
            return self.input(f"lengths@{axis}", "lengths", Type((BATCH,), (), "int"))
        with self.at(self.root):
            return self.call("cast", self.call("size", at=at, axes=(axis,)), at=at, dtype="int")

    def halts_of(self, value: Value, axis: str) -> tuple[Halt, ...]:
        """What a `stop` has left of a sequence along an axis; nothing where none has left anything out."""
        return tuple(h for h in self.halts.get(value, ()) if h.axis == axis)

    def bounded(self, value: Value, axis: str) -> bool:
        """Whether the rows of a sequence may have steps that are not their own."""
        return self.pads(axis) or bool(self._cuts(value, axis))

    def _cuts(self, value: Value, axis: str) -> tuple[Halt, ...]:
        """What leaves out steps of an axis: a `stop` along it, or along another one at some of its steps, of a grid."""
        return tuple(h for h in self.halts.get(value, ()) if axis in h.mask.type.axes)

    def _within(self, halt: Halt, type: Type) -> Halt:
        """What is left of a value in which an axis that the `stop` depends on is gone, as the rows of a grid in their
        sum: the steps that are left of any of them within their own number."""
        gone = tuple(axis for axis in halt.mask.type.axes if axis not in type.axes)
        if not gone:
            return halt
        at = halt.mask.node.origin.span
        assert at is not None
        mask = self.bring(halt.mask, at)
        for axis in filter(self.pads, gone):
            mask = self._made("and", [mask, self.bring(self.real_steps(axis, at), at)], at, {})
        number = self._made("cast", [mask], at, {"dtype": "int"})
        most = self._made("max_axes", [number], at, {"axes": gone})
        return replace(halt, mask=self._made("gt", [most, self.const(0, "int")], at, {}))

    def own_steps(self, value: Value, axis: str, at: Span) -> Value:
        """Over a whole axis: which steps of a sequence are the row's own."""
        found = [h.mask for h in self._cuts(value, axis)]
        if not self.halts_of(value, axis) and (self.pads(axis) or not found):
            found.insert(0, self.real_steps(axis, at))
        return self.all_of(found, at)

    def count(self, value: Value, axis: str, at: Span) -> Value:
        """How many steps of a sequence are its own: of each row where that is not the same for all. An int."""
        if not self._cuts(value, axis):
            return self.extent(axis, at)
        own = self.cast(self.own_steps(value, axis, at), "int", at)
        return self.call("sum_axes", own, at=at, axes=(axis,))

    def end(self, value: Value, axis: str, at: Span) -> Value:
        """How many steps of a sequence there are up to the row's own last one. An int."""
        return self.end_along(axis, self.halts_of(value, axis), at)

    def _left(self, halts: tuple[Halt, ...], at: Span) -> Value:
        """What all of them leave."""
        return self.all_of([h.mask for h in halts], at)

    def all_of(self, conditions: list[Value], at: Span) -> Value:
        found = conditions[0]
        for condition in conditions[1:]:
            found = self.call("and", found, condition, at=at)
        return found

    def _counted(self, axis: str, halts: tuple[Halt, ...], at: Span) -> Value:
        return self.call("sum_axes", self.cast(self._left(halts, at), "int", at), at=at, axes=(axis,))

    def end_along(self, axis: str, halts: tuple[Halt, ...], at: Span) -> Value:
        if not halts:
            return self.extent(axis, at)
        if all(h.prefix for h in halts):
            return self._counted(axis, halts, at)
        following = self.call("add", self.call("iota", at=at, axis=axis), self.const(1, "int"), at=at)
        return self.call("max_axes", self.where(self._left(halts, at), following, 0, at), at=at, axes=(axis,))

    def from_first(self, value: Value, axis: str) -> bool:
        """Whether the steps of a row that are its own begin with the first one of the axis."""
        return all(h.prefix for h in self.halts_of(value, axis))

    def begin_along(self, axis: str, halts: tuple[Halt, ...], at: Span) -> Value | None:
        """How many steps there are before the row's own first one; None where there are none for any row."""
        if all(h.prefix for h in halts):
            return None
        return self.call("sub", self.end_along(axis, halts, at), self._counted(axis, halts, at), at=at)

    def part_of(self, steps: Value, by: int, at: Span) -> Value:
        """How many of so many steps are at a multiple of `by`, from 0 on."""
        if by == 1:
            return steps
        with self.at(self.root):
            up = self.call("add", steps, self.const(by - 1, "int"), at=at)
            parts = self.call("div", self.cast(up, "float", at), self.const(float(by)), at=at)
            return self.cast(self.call("floor", parts, at=at), "int", at)

    def pads(self, axis: str) -> bool:
        return self.padded and not is_fixed(axis)

    def own_step(self, level: Level, at: Span) -> Value | None:
        """Inside a loop: whether the present step is one of the row's own; None where all are."""
        if "own" not in level.memo and (self.pads(level.axis) or level.left):
            with self.at(level):
                level.memo["own"] = self._own_step(level, at)
        return level.memo.get("own")

    def _own_step(self, level: Level, at: Span) -> Value:
        found = list(level.left)
        if self.pads(level.axis):
            found.insert(0, self.call("lt", self.counter(level), self.extent(level.axis, at), at=at))
        return self.all_of(found, at)

    def real_steps(self, axis: str, at: Span) -> Value:
        """Over a whole axis: which steps are the row's own."""
        key = f"real@{axis}"
        if key not in self.root.memo:
            with self.at(self.root):
                self.root.memo[key] = self.call(
                    "lt",
                    self.call("iota", at=at, axis=axis),
                    self.extent(axis, at),
                    at=at,
                )
        return self.root.memo[key]

    def clean(self, value: Value, at: Span) -> Value:
        """A sequence with zeros in its padding along every axis, and after a `stop`."""
        for axis in value.type.axes:
            if axis != BATCH and (value, axis) not in self.masked and self.bounded(value, axis):
                value = self.where(self.own_steps(value, axis, at), value, 0, at)
                self.masked.add((value, axis))
        return value

    def stays_masked(self, value: Value, made_of: Value) -> None:
        """A value is 0 in the padding along the axes along which another one is."""
        self.masked |= {(value, axis) for axis in value.type.axes if (made_of, axis) in self.masked}

    def where(self, condition: Value, value: Value, other: Value | int, at: Span) -> Value:
        """`value` where the condition holds; `other` may be a number. With 0 what was 0 in the padding stays so."""
        if not isinstance(other, int):
            return self.call("where", condition, value, other, at=at)
        number = self.const(other if value.type.dtype != "bool" else bool(other), value.type.dtype)
        found = self.call("where", condition, value, number, at=at)
        if other == 0:
            self.stays_masked(found, value)
        return found

    def opposed(self, value: Value, at: Span) -> Value:
        """Numbers that are the smaller the larger these are, and back: of ints -1 - x, as the least has no negative."""
        if value.type.dtype == "int":
            return self.call("sub", self.const(-1, "int"), value, at=at)
        return self.call("neg", value, at=at)


_GIVEN = {"data": "an input", "weight": "a weight", "state": "a state", "seed": "the seed of what is random"}


def _one_name(name: str, first: Value, kind: str, span: Span | None) -> Mistake:
    """Two things that are given from outside under one name."""
    at = span or first.node.origin.span
    assert at is not None
    both = f"{_GIVEN[first.node.attrs['kind']]} and {_GIVEN[kind]}"
    return Mistake("E103", f"`{name}` is the name of {both}", at, help="give one of them another name")


def common_kind(kinds: Collection[DType]) -> DType:
    """Of values side by side: ints with ints and truth with truth stay what they are, all else is floats."""
    return next(iter(kinds)) if len(kinds) == 1 else "float"


def dtype_of(number: Number) -> DType:
    return "bool" if isinstance(number, bool) else "int" if isinstance(number, int) else "float"


def _called(value: Value) -> str:
    return str(value.node.attrs.get("name") or value.node.origin.name)


def _call_it(item: Item, at: Span) -> str:
    return f"call it: `{at.text}(...)`" if kind_of(item) in ("a cell", "a layer", "a function") else ""
