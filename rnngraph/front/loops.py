"""`unroll`: a body is traced once, and becomes a loop node with its bindings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnngraph.diagnostics import did_you_mean
from rnngraph.front import calls, expressions, records, stops
from rnngraph.front.block import StateInput
from rnngraph.front.levels import Level, Place, Watched
from rnngraph.front.mistakes import Echo, Mistake, counted
from rnngraph.front.scope import Scope
from rnngraph.front.sequences import axis_of
from rnngraph.front.trace import Trace
from rnngraph.front.values import (
    Given,
    Instance,
    Item,
    Part,
    PipeOf,
    Poison,
    Record,
    Unrolled,
    is_number,
    kind_of,
)
from rnngraph.ir.graph import Capture, Carry, Loop, Slice, Value, body_param, loop_node
from rnngraph.ir.types import BATCH, EVERY, FIXED
from rnngraph.source import Span
from rnngraph.syntax import ast

Cell = Instance | PipeOf
MOST_STEPS = 2**31


def unroll(scope: Scope, e: ast.Unroll, targets: Sequence[ast.Target] = ()) -> Unrolled:
    """Runs a cell step by step: over sequences, or `for` a fixed number of steps.

    The cell is traced at a new level. What it reads from outside becomes a capture, its states and those of
    all cells called inside become carries, its outputs are stacked.
    """
    trace = scope.trace
    cell = _cell(scope, e.cell)
    level, given = _begin(scope, e, cell)
    with trace.at(level):
        result = calls.use(scope, cell, given, e.cell.span, ())
        done = _done(trace, level, e.span)
        rows = [_row(trace, level, item, done, e.cell.span) for item in result.outputs]
        watched = [_row(trace, level, w.value, done, e.cell.span) for w in level.watched]
        nexts = [_next(trace, level, place, done, e.span) for place in level.places]
        ends = stops.after(trace, level, done, e.span) if done else None
    if level.done and not done:  # only indices asked: no row ever stops
        never = stops.first(trace, e.span)
        level.captures[never] = Capture(never, level.done)
    firsts = _first_values(scope, e, level.places, _record_name(scope, e, targets, len(rows)))
    stacks = [v for v in rows if isinstance(v, Value)] + [v for v in watched if isinstance(v, Value)]
    carries = tuple(Carry(f, p.param, n) for f, p, n in zip(firsts, level.places, nexts, strict=True))
    if done and ends:
        carries += (Carry(stops.first(trace, e.span), done, ends),)
    node = loop_node(
        Loop(
            level.axis,
            level.reverse,
            carries,
            tuple(level.slices),
            tuple(level.captures.values()),
            tuple(stacks),
            level.counter,
            label=cell.title,
            until=done,
        ),
        trace.origin(e.span),
    )
    results = [trace.own(v) for v in node.values]
    finals, stacked = results[: len(carries)], iter(results[len(carries) :])
    outputs = tuple(_stacked(trace, next(stacked)) if isinstance(v, Value) else v for v in rows)
    trace.level.watched += [Watched(w.name, _stacked(trace, next(stacked)), w.scope) for w in level.watched]
    final = {p.name: Part(v, p.span) for p, v in zip(level.places, finals, strict=False)}
    return Unrolled(outputs, Record(final))


def _cell(scope: Scope, e: ast.Expr) -> Cell:
    item = expressions.one(scope, e)
    if isinstance(item, Value):
        raise Mistake(
            "E304",
            f"`unroll` runs a cell, but `{e.span.text}` is a value already",
            e.span,
            help="write the cell without its input: `unroll CELL over x`",
        )
    callee = calls.as_callee(scope, item, e.span) if not is_number(item) else item
    if isinstance(callee, (Instance, PipeOf)):
        calls.name_inline(scope, callee)
        return callee
    raise Mistake("E304", f"`unroll` runs a cell, but `{e.span.text}` is {kind_of(item)}", e.span)


# --- what goes in ---------------------------------------------------------------------------------


def _begin(scope: Scope, e: ast.Unroll, cell: Cell) -> tuple[Level, list[Given]]:
    """The new level, and what the cell is given at each step."""
    sequences = [(expressions.value(scope, s), s.span) for s in e.over]
    axis = _axis(scope, e, sequences)
    constants = [_beside(scope.trace, c, axis) for c in _constants(scope, e, cell)]
    level = Level(scope.trace.level, axis, e.reversed)
    cell.axis, cell.reverse = axis, e.reversed
    names = [n for n in calls.input_names(cell) if n not in {c.name for c in constants}]
    if len(sequences) > max(len(names), 1):
        raise Mistake(
            "E303",
            f"`{e.cell.span.text}` takes {counted(len(names), 'input')} at each step, but is given {len(sequences)}",
            e.span,
        )
    return level, [_slice(scope.trace, level, v, s) for v, s in sequences] + constants


def _constants(scope: Scope, e: ast.Unroll, cell: Cell) -> list[Given]:
    """`with memory = m`: the same at every step."""
    known, found = calls.input_names(cell), []
    for binding in e.constants:
        if binding.name not in known:
            raise Mistake(
                "E102",
                f"`{e.cell.span.text}` has no input `{binding.name}`",
                binding.span,
                help=did_you_mean(binding.name, known) or "its inputs: " + ", ".join(f"`{n}`" for n in known),
            )
        found.append(Given(expressions.one(scope, binding.value), binding.value.span, binding.name))
    return found


def _beside(trace: Trace, constant: Given, axis: str) -> Given:
    """A constant that is a sequence over the loop's own axis, over an axis of its own: each step sees all of it."""
    value = constant.item
    if not isinstance(value, Value) or axis not in value.type.axes:
        return constant
    return replace(constant, item=trace.call("every", value, at=constant.span, axis=axis, by=1))


def _axis(scope: Scope, e: ast.Unroll, sequences: list[tuple[Value, Span]]) -> str:
    """The axis to run along: that of the sequences, or one of a fixed size."""
    if e.steps is not None:
        if sequences:
            raise Mistake(
                "E303",
                "`over` says how many steps there are already",
                e.steps.span,
                help="write either `over x` or `for N`",
            )
        return _own_axis(scope.trace, f"{_steps(scope, e.steps)}{FIXED}")
    if not sequences:
        raise Mistake(
            "E303",
            "`unroll` does not say over what",
            e.span,
            help="write `over x`, or `for 50` for 50 steps",
        )
    axes = [axis_of(value, span) for value, span in sequences]
    for axis, (_, span) in zip(axes, sequences, strict=True):
        if axis != axes[0]:
            raise Mistake(
                "E305",
                f"`{sequences[0][1].text}` runs over {axes[0]} but `{span.text}` runs over {axis}",
                span,
                help="give one of them to the cell as a constant: `with name = ...`",
            )
    return axes[0]


def _own_axis(trace: Trace, axis: str) -> str:
    """An axis of this size that none of the loops around runs along."""
    around = {level.axis for level in trace.levels()}
    while axis in around:
        axis += f"{EVERY}1"
    return axis


def _steps(scope: Scope, e: ast.Expr) -> int:
    steps = expressions.whole(scope, e, "the number of steps")
    if not 1 <= steps < MOST_STEPS:
        raise Mistake("E203", f"the number of steps must be from 1 to {MOST_STEPS - 1:,}, but it is {steps:,}", e.span)
    return steps


def _slice(trace: Trace, level: Level, sequence: Value, at: Span) -> Given:
    """The row of a sequence that each step sees."""
    sequence = trace.bring(sequence, at)
    type = sequence.type.with_axes(a for a in sequence.type.axes if a != level.axis)
    param = trace.own(body_param(" ".join(at.text.split()), type, trace.origin(at)), level)
    level.slices.append(Slice(sequence, param))
    return Given(param, at)


# --- what comes out -------------------------------------------------------------------------------


def _done(trace: Trace, level: Level, at: Span) -> Value | None:
    """What a loop that may end early knows of each row: whether it has ended."""
    if level.stops or (trace.pads(level.axis) and not level.reverse):
        return stops.param(trace, level, at)
    return None


def _live(trace: Trace, level: Level, done: Value | None, at: Span) -> Value | None:
    """Whether the present step counts for a row, where that is not always so."""
    real = trace.real_step(level, at) if trace.pads(level.axis) else None
    if done is None or not level.stops:
        return real
    running = trace.call("not", done, at=at)
    return running if real is None else trace.call("and", running, real, at=at)


def _row(trace: Trace, level: Level, item: Item, done: Value | None, at: Span) -> Value | Poison:
    """What a step hands out: 0 in the padding, and after a `stop`."""
    if isinstance(item, Poison):
        return item
    if not isinstance(item, Value):
        raise Mistake("E202", f"a step can hand out values only, not {kind_of(item)}", at)
    if level.axis in item.type.axes:
        raise Mistake("E305", f"what a step hands out depends on the whole of {level.axis}, not on one step", at)
    value, live = trace.bring(item, at), _live(trace, level, done, at)
    return value if live is None else trace.where(live, value, 0, at)


def _next(trace: Trace, level: Level, place: Place, done: Value | None, at: Span) -> Value:
    """The state after the step: in the padding, and after a `stop`, as it was."""
    if not isinstance(place.next, Value):
        return place.param
    live = _live(trace, level, done, at)
    return place.next if live is None else trace.where(live, place.next, place.param, at)


def _stacked(trace: Trace, value: Value) -> Value:
    trace.masked.add(value)
    return value


# --- how states begin -----------------------------------------------------------------------------


def _record_name(scope: Scope, e: ast.Unroll, targets: Sequence[ast.Target], outputs: int) -> str:
    """What a model calls the final states of this loop, under which the first ones may be fed."""
    if scope.owner is not None or e.initial is not None or len(targets) != outputs + 1 or targets[-1].name == "_":
        return ""
    return ".".join((targets[-1].name, *scope.suffix))


def _first_values(scope: Scope, e: ast.Unroll, places: list[Place], record: str) -> list[Value]:
    if e.initial is not None:
        try:
            begun = records.match(scope, e, places)
        except Echo:
            begun = {}
        return [begun.get(p.name, p.init) for p in places]
    if not record:
        return [p.init for p in places]
    return [_feedable(scope.trace, f"{record}.{p.name}", p) for p in places]


def _feedable(trace: Trace, name: str, place: Place) -> Value:
    """The first value of a state that may be given with the data: one of its own, as its gradient may be asked for."""
    type = place.param.type.with_axes((BATCH,))
    if name in trace.fed:
        value = trace.input(name, "state", type, place.span)
    else:
        value = trace.call("identity", place.init, at=place.span, of=name)
    trace.states.append(StateInput(name, type, value, place.span))
    return value
