"""`stop`: a row of the batch that ends its own loop. What it hands out from then on is 0, its states stay."""

from __future__ import annotations

from collections.abc import Callable

from rnngraph.front import expressions
from rnngraph.front.arithmetic import truth
from rnngraph.front.levels import Level
from rnngraph.front.mistakes import Mistake
from rnngraph.front.scope import Scope
from rnngraph.front.trace import Trace
from rnngraph.ir.graph import Value, body_param, ordered
from rnngraph.ir.ranges import MOST_STEPS, Range, count
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops import ranges
from rnngraph.ops.ranges import Known
from rnngraph.source import Span
from rnngraph.syntax import ast

NAME = "done"


def stop(scope: Scope, s: ast.Stop) -> None:
    """Ends the loop around, for each row where the condition holds after a step."""
    trace, at = scope.trace, s.value.span
    item = expressions.one(scope, s.value)
    if trace.level.parent is None:
        raise Mistake("E311", "`stop` ends what runs step by step: `unroll` this cell", s.span)
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


def param(trace: Trace, level: Level, at: Span) -> Value:
    """What the body sees of it: whether the row has stopped."""
    if level.done is None:
        level.done = trace.own(body_param(NAME, Type((BATCH,), (), "bool"), trace.origin(at)), level)
    return level.done


def first(trace: Trace, at: Span) -> Value:
    """No row has stopped yet."""
    return trace.over_batch(trace.const(False, "bool"), at)


def after(trace: Trace, level: Level, done: Value, at: Span) -> Value:
    """Whether the row has stopped, or has had its last real step, when this step is over."""
    found = level.stops
    if trace.pads(level.axis) and not level.reverse:
        following = trace.call("add", trace.counter(level), trace.const(1, "int"), at=at)
        found = [*found, trace.call("ge", following, trace.extent(level.axis, at), at=at)]
    for condition in found:
        done = trace.call("or", done, condition, at=at)
    return done


# --- what can be seen while compiling -----------------------------------------------------------------


def why_never(condition: Value, level: Level) -> str:
    """Why a comparison of whole numbers can never hold, whatever the data; "" where it may."""
    while condition.op.name in ("spread", "identity", "cast"):
        condition = condition.node.inputs[0]
    if condition.op.name not in _HOLDS:
        return ""
    known: Known = {level.counter: count(level.axis)} if level.counter else {}
    ranges.note(ordered([condition.node]), known)
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
