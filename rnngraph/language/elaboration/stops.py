"""`stop`: a row of the batch that ends its own loop. What it hands out from then on is 0, its states stay.

A sequence that such a loop hands out is as long as the loop has let each row run, and so is what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Carry, Value, body_param, ordered
from rnngraph.ir.interval_arithmetic import MOST_STEPS, Range, count
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.arithmetic import truth
from rnngraph.language.elaboration.loop_levels import DONE, Halt, Level
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.syntax import ast
from rnngraph.ops import range_analysis
from rnngraph.ops.range_analysis import Known

STOPPED = "stopped"


def stop(scope: Scope, s: ast.Stop) -> None:
    """Ends the loop around, for each row where the condition holds after a step."""
    trace, at = scope.trace, s.value.span
    item = expressions.one(scope, s.value)
    if trace.states is None or not trace.states.looped:
        raise Mistake("E311", "`stop` ends a loop over steps: `unroll` this cell", s.span)
    if item is False:
        raise never(at, "it is false at every step")
    condition = trace.over_batch(truth(trace, item, at), at)
    if condition.type.axes != (BATCH,) or condition.type.shape:
        raise Mistake("E314", f"`stop` needs one condition for each row, which `{at.text}` is not", at)
    reason = why_never(condition, trace.level)
    if reason:
        raise never(at, reason)
    trace.level.stops.append(condition)


def never(at: Span, reason: str) -> Mistake:
    help = "leave it out where the number of steps is fixed: `unroll CELL for N`"
    return Mistake("E317", f"`stop {at.text}` can never be reached: {reason}", at, help=help)


# --- the loop's own memory of it ----------------------------------------------------------------------


class Flags(Struct, frozen=True):
    """What the body of a loop sees of each row: whether it has `stopped`, where that may be; whether it is `done`,
    stopped or at its end, where the loop can be left once all rows are."""

    stopped: Value | None
    done: Value | None


def flags(trace: Trace, level: Level, at: Span) -> Flags:
    stopped = has_stopped(trace, level, at) if level.stops else None
    ends = trace.pads(level.axis) or bool(level.halts)
    leaves = ends and not level.reverse and all(h.prefix for h in level.halts)
    return Flags(stopped, _param(trace, level, DONE, at) if leaves else stopped)


def has_stopped(trace: Trace, level: Level, at: Span) -> Value:
    """What the body sees of it: whether the row has stopped."""
    if level.stopped is None:
        level.stopped = _param(trace, level, STOPPED, at)
    return level.stopped


def _param(trace: Trace, level: Level, name: str, at: Span) -> Value:
    return trace.own(body_param(name, Type((BATCH,), (), "bool"), trace.origin(at)), level)


def live(trace: Trace, level: Level, now: Flags, at: Span) -> Value | None:
    """Whether the present step counts for a row, where that is not always so."""
    own = trace.own_step(level, at)
    if now.stopped is None:
        return own
    running = trace.call("not", now.stopped, at=at)
    return running if own is None else trace.call("and", running, own, at=at)


def after(trace: Trace, level: Level, now: Flags, at: Span) -> Flags:
    """The flags when this step is over. What stands behind a row's own steps stops nothing."""
    stopped, own = now.stopped, trace.own_step(level, at)
    if stopped is not None:
        for condition in level.stops:
            met = condition if own is None else trace.call("and", condition, own, at=at)
            stopped = trace.call("or", stopped, met, at=at)
    if now.done is now.stopped or now.done is None:
        return Flags(stopped, stopped)
    done = now.done if stopped is None else trace.call("or", now.done, stopped, at=at)
    return Flags(stopped, trace.call("or", done, _ended(trace, level, at), at=at))


def _ended(trace: Trace, level: Level, at: Span) -> Value:
    """Whether a row has had its last own step."""
    if level.left:
        return trace.call("not", trace.all_of(level.left, at), at=at)
    following = trace.call("add", trace.counter(level), trace.const(1, "int"), at=at)
    return trace.call("ge", following, trace.extent(level.axis, at), at=at)


def carries(before: Flags, after: Flags, first: Value) -> list[Carry]:
    """What hands the flags from step to step."""
    pairs = {before.stopped: after.stopped, before.done: after.done}
    return [Carry(first, old, new) for old, new in pairs.items() if old and new]


def halts(level: Level, mask: Value) -> tuple[Halt, ...]:
    """What is left of what a loop hands out, `mask` being the steps that it has counted."""
    return (Halt(level.axis, mask, not level.reverse and all(h.prefix for h in level.halts)),)


# --- what can be seen while compiling -----------------------------------------------------------------


def why_never(condition: Value, level: Level) -> str:
    """Why a comparison of whole numbers can never hold, whatever the data; "" where it may."""
    while condition.op.name in ("spread", "identity", "cast"):
        condition = condition.node.inputs[0]
    if condition.op.name not in _HOLDS:
        return ""
    known: Known = {level.counter: count(level.axis)} if level.counter else {}
    range_analysis.note(ordered([condition.node]), known)
    a, b = (known[v] for v in condition.node.inputs)
    if _HOLDS[condition.op.name](a, b):
        return ""
    return f"the left side is {_told(a)}, the right side {_told(b)}"


_HOLDS: dict[str, Callable[[Range, Range], bool]] = {
    "eq": lambda a, b: a.low <= b.high and b.low <= a.high,
    "ne": lambda a, b: not a.low == a.high == b.low == b.high,
    "lt": lambda a, b: a.low < b.high,
    "le": lambda a, b: a.low <= b.high,
    "gt": lambda a, b: a.high > b.low,
    "ge": lambda a, b: a.high >= b.low,
}
"""Whether each comparison can hold for some values in these ranges."""


def _told(one: Range) -> str:
    if one.low == one.high:
        return str(one.low)
    return f"from {one.low} to {one.high}" if one.high < MOST_STEPS // 2 else f"{one.low} or more"
