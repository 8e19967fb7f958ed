"""`unroll`: a body is traced once, and becomes a loop node with its bindings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Capture, Carry, Loop, Slice, Value, body_param, loop_node, ordered
from rnngraph.ir.types import BATCH, FIXED
from rnngraph.language.elaboration import calls, expressions, initial_states, instantiation, stops, truncation
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.loop_levels import Halt, Level, Place, Watched
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.sequences import axis_of, every, own_axis
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import (
    Given,
    Instance,
    Item,
    PipeOf,
    Poison,
    Unrolled,
    is_number,
    kind_of,
)
from rnngraph.language.syntax import ast
from rnngraph.ops.range_analysis import Known, note

Cell = Instance | PipeOf
MOST_STEPS = 2**31


@form(ast.Unroll)
def unroll(scope: Scope, e: ast.Unroll, targets: Sequence[ast.Target] = ()) -> Unrolled:
    """Runs a cell step by step: over sequences, or `for` a fixed number of steps.

    The cell is traced at a new level. What it reads from outside becomes a capture, its states and those of
    all cells called inside become carries, its outputs are stacked.
    """
    trace = scope.trace
    cell = _cell(scope, e.cell)
    level, given = _begin(scope, e, cell)
    level.record, level.span = initial_states.record_name(scope, e, targets), e.span
    around, prefix = initial_states.around(scope, e, cell)
    with trace.at(level), trace.calling(level.states):
        result = calls.use(scope, cell, given, e.cell.span, ())
        flags = stops.flags(trace, level, e.span)
        live = stops.live(trace, level, flags, e.span)
        rows = [_row(trace, level, item, live, e.cell.span) for item in result.outputs]
        watched = [_row(trace, level, w.value, live, e.cell.span) for w in level.watched]
        nexts = [_next(trace, place, live, e.span) for place in level.places]
        after = stops.after(trace, level, flags, e.span)
    record = initial_states.record_name(scope, e, targets, len(rows))
    firsts = initial_states.first_values(scope, e, level.places, record, around, prefix)
    carries = [Carry(f, p.param, n) for f, p, n in zip(firsts, level.places, nexts, strict=True)]
    first = initial_states.first_flag(trace, level, record, e.span)
    carries += stops.carries(flags, after, first)
    if level.stopped and not level.stops:  # only indices asked: no row ever stops
        level.captures[first] = Capture(first, level.stopped)
    stacks = _stacks(trace, level, live, (*rows, *watched))
    node = loop_node(
        Loop(
            level.axis,
            level.reverse,
            tuple(carries),
            tuple(level.slices),
            tuple(level.captures.values()),
            stacks,
            level.counter,
            label=cell.title,
            until=flags.done,
            lengths=not level.stops and not level.halts,
        ),
        trace.origin(e.span),
    )
    results = [trace.own(v) for v in node.values]
    sequences = dict(zip(stacks, results[len(carries) :], strict=True))
    halts = stops.halts(level, sequences[live]) if level.stops and live else level.halts
    _note_halts(trace, level.axis, sequences, halts)
    initial_states.hand_up(around, prefix, level.places, results)
    outputs = tuple(sequences[v] if isinstance(v, Value) else v for v in rows)
    shown = zip(level.watched, watched, strict=True)
    trace.level.watched += [Watched(w.name, sequences[v], w.scope) for w, v in shown if isinstance(v, Value)]
    return Unrolled(outputs, initial_states.hand_on(trace, level, record, carries, results, e.span))


def _cell(scope: Scope, e: ast.Expr) -> Cell:
    item = expressions.one(scope, e)
    if isinstance(item, Value):
        raise Mistake(
            "E304",
            f"`unroll` runs a cell, but `{e.span.text}` is already a value",
            e.span,
            help="write the cell without its input: `unroll CELL over x`",
        )
    callee = instantiation.as_callee(scope, item, e.span) if not is_number(item) else item
    if isinstance(callee, (Instance, PipeOf)):
        instantiation.name_inline(scope, callee)
        return callee
    raise Mistake("E304", f"`unroll` runs a cell, but `{e.span.text}` is {kind_of(item)}", e.span)


# --- what goes in ---------------------------------------------------------------------------------


def _begin(scope: Scope, e: ast.Unroll, cell: Cell) -> tuple[Level, list[Given]]:
    """The new level, and what the cell is given at each step."""
    sequences = [(expressions.value(scope, s), s.span) for s in e.over]
    axis, counted_out = _axis(scope, e, cell, sequences)
    constants = [_beside(scope.trace, c, axis) for c in _constants(scope, e, cell)]
    level = Level(scope.trace.level, axis, e.reversed)
    _begin_halts(scope.trace, level, [*sequences, *counted_out])
    cell.axis, cell.reverse = axis, e.reversed
    names = [n for n in instantiation.input_names(cell) if n not in {c.name for c in constants}]
    if len(sequences) > max(len(names), 1):
        raise Mistake(
            "E303",
            f"`{e.cell.span.text}` takes {counted(len(names), 'input')} at each step, but is given {len(sequences)}",
            e.span,
        )
    return level, [_slice(scope.trace, level, v, s) for v, s in sequences] + constants


def _begin_halts(trace: Trace, level: Level, sequences: Sequence[tuple[Value, Span]]) -> None:
    """What a `stop` has left of the sequences is what this loop runs over."""
    left = {h: span for value, span in sequences for h in trace.halts_of(value, level.axis)}
    level.halts = tuple(left)
    level.left = [_row_of(trace, level, trace.bring(h.mask, span), span) for h, span in left.items()]


def _constants(scope: Scope, e: ast.Unroll, cell: Cell) -> list[Given]:
    """`with memory = m`: the same at every step."""
    known, found = instantiation.input_names(cell), []
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
    return replace(constant, item=every(trace, value, axis, 1, constant.span))


def _axis(
    scope: Scope, e: ast.Unroll, cell: Cell, sequences: list[tuple[Value, Span]]
) -> tuple[str, list[tuple[Value, Span]]]:
    """The axis to run along: that of the sequences, or one of a fixed size; and what says which steps of that are a
    row's own, where each row has a number of steps."""
    if e.steps is not None:
        if sequences:
            raise Mistake(
                "E303",
                "`over` already determines the number of steps",
                e.steps.span,
                help="write either `over x` or `for N`",
            )
        return _numbered(scope, e.steps)
    if not sequences:
        raise Mistake(
            "E303",
            "`unroll` does not say over which sequence",
            e.span,
            help="write `over x`, or `for 50` for 50 steps",
        )
    axes = [_along(e, cell, i, value, span) for i, (value, span) in enumerate(sequences)]
    for axis, (_, span) in zip(axes, sequences, strict=True):
        if axis != axes[0]:
            raise Mistake(
                "E305",
                f"`{sequences[0][1].text}` runs over {axes[0]} but `{span.text}` runs over {axis}",
                span,
                help="give one of them to the cell as a constant: `with name = ...`",
            )
    return axes[0], []


def _along(e: ast.Unroll, cell: Cell, place: int, value: Value, at: Span) -> str:
    """The axis of a sequence that the loop runs along: of two the one that the cell's input does not name."""
    axes = [a for a in value.type.axes if a != BATCH]
    if len(axes) < 2:
        return axis_of(value, at)
    left_out = {c.name for c in e.constants}
    declared = [s for s in instantiation.inputs_of(cell) if s.name not in left_out][place : place + 1]
    named = [axis for s in declared for axis in s.type.over]
    others = [a for a in axes if a not in named]
    if len(others) == 1:
        return others[0]
    inputs = " or ".join(f"`seq@{a}[...]`" for a in axes)
    raise Mistake(
        "E305",
        f"`{at.text}` runs over {' and '.join(axes)}: along which of them the cell runs is not said",
        at,
        help=f"the cell's input says which axis each step sees as a whole: {inputs}",
    )


def _numbered(scope: Scope, e: ast.Expr) -> tuple[str, list[tuple[Value, Span]]]:
    """`for 50`, or `for min(n, 50)`: as many steps as each row says, 0 included, and at most so many."""
    trace, item = scope.trace, expressions.one(scope, e)
    if not isinstance(item, Value):
        return own_axis(trace, f"{_steps(scope, e)}{FIXED}"), []
    number = trace.bring(item, e.span)
    if number.type.dtype != "int" or number.type.shape or set(number.type.axes) - {BATCH}:
        raise Mistake("E203", f"the number of steps is an int for each row, which `{e.span.text}` is not", e.span)
    known: Known = {}
    note(ordered([number.node]), known)
    most = known[number].high
    if not 1 <= most < MOST_STEPS:
        raise Mistake(
            "E208",
            f"how many steps `{e.span.text}` is at most must be known while compiling",
            e.span,
            help=f"give a bound: `for min({e.span.text}, 50)`",
        )
    axis = own_axis(trace, f"{int(most)}{FIXED}")
    own = trace.call("lt", trace.call("iota", at=e.span, axis=axis), number, at=e.span)
    own = trace.over_batch(own, e.span)
    trace.halt(own, (Halt(axis, own),))
    return axis, [(own, e.span)]


def _steps(scope: Scope, e: ast.Expr) -> int:
    steps = expressions.whole(scope, e, "the number of steps")
    if not 0 <= steps < MOST_STEPS:
        raise Mistake("E203", f"the number of steps must be from 0 to {MOST_STEPS - 1:,}, but it is {steps:,}", e.span)
    return steps


def _slice(trace: Trace, level: Level, sequence: Value, at: Span) -> Given:
    """The row of a sequence that each step sees."""
    sequence = trace.bring(sequence, at)
    param = _row_of(trace, level, sequence, at)
    inner = (h for h in trace.halts.get(sequence, ()) if h.axis != level.axis)
    trace.halt(param, (replace(h, mask=_row_of(trace, level, h.mask, at)) for h in inner))
    return Given(param, at)


def _row_of(trace: Trace, level: Level, sequence: Value, at: Span) -> Value:
    if level.axis not in sequence.type.axes:
        return sequence
    type = sequence.type.with_axes(a for a in sequence.type.axes if a != level.axis)
    param = trace.own(body_param(" ".join(at.text.split()), type, trace.origin(at)), level)
    level.slices.append(Slice(sequence, param))
    return param


# --- what comes out -------------------------------------------------------------------------------


def _row(trace: Trace, level: Level, item: Item, live: Value | None, at: Span) -> Value | Poison:
    """What a step hands out: 0 in the padding, and after a `stop`."""
    if isinstance(item, Poison):
        return item
    if not isinstance(item, Value):
        raise Mistake("E202", f"a step can output only values, not {kind_of(item)}", at)
    if level.axis in item.type.axes:
        raise Mistake("E305", f"what a step outputs depends on the whole of {level.axis}, not on one step", at)
    value = trace.bring(item, at)
    return value if live is None else trace.where(live, value, 0, at)


def _next(trace: Trace, place: Place, live: Value | None, at: Span) -> Value:
    """The state after the step: in the padding, and after a `stop`, as it was."""
    if not isinstance(place.next, Value):
        return place.param
    new = truncation.written(trace, place.next, at)
    return new if live is None else trace.where(live, new, place.param, at)


def _stacks(trace: Trace, level: Level, live: Value | None, rows: Sequence[Value | Poison]) -> tuple[Value, ...]:
    """What the loop hands out of each step, and with it what was left of it by a `stop`, here or further in."""
    values = [v for v in rows if isinstance(v, Value)]
    inner = [h.mask for v in values for h in trace.halts.get(v, ()) if trace.home[h.mask.node] is level]
    outer = [live] if level.stops and live else []
    return tuple(dict.fromkeys((*values, *inner, *outer)))


def _note_halts(trace: Trace, axis: str, sequences: Mapping[Value, Value], along: tuple[Halt, ...]) -> None:
    """What is left of the sequences that a loop hands out along its axis, each by the value that it has at a step."""
    for row, sequence in sequences.items():
        inner = (replace(h, mask=sequences.get(h.mask, h.mask)) for h in trace.halts.get(row, ()))
        trace.halt(sequence, (*along, *inner))
        trace.stays_masked(sequence, row)
        trace.masked.add((sequence, axis))
