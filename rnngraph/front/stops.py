"""`stop`: a row of the batch that ends its own loop. What it hands out from then on is 0, its states stay."""

from __future__ import annotations

from collections.abc import Callable

from rnngraph.front import expressions
from rnngraph.front.arithmetic import truth
from rnngraph.front.levels import Level
from rnngraph.front.mistakes import Mistake
from rnngraph.front.scope import Scope
from rnngraph.front.trace import Trace
from rnngraph.ir.graph import Value, body_param
from rnngraph.ir.types import BATCH, Type, is_fixed, size_of
from rnngraph.source import Span
from rnngraph.syntax import ast

NAME = "done"
Bounds = tuple[float, float]
UNKNOWN: Bounds = (float("-inf"), float("inf"))


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
    return trace.own(body_param(NAME, Type((BATCH,), (), "bool"), trace.origin(at)), level)


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
    """Why a comparison of bounded whole numbers can never hold; "" where it may."""
    while condition.op.name in ("spread", "identity", "cast"):
        condition = condition.node.inputs[0]
    if condition.op.name not in _HOLDS:
        return ""
    (a, b), (c, d) = (_bounds(v, level) for v in condition.node.inputs)
    if _HOLDS[condition.op.name](a, b, c, d):
        return ""
    return f"the left side is {_range(a, b)}, the right side {_range(c, d)}"


_HOLDS: dict[str, Callable[[float, float, float, float], bool]] = {
    "eq": lambda a, b, c, d: a <= d and c <= b,
    "ne": lambda a, b, c, d: not a == b == c == d,
    "lt": lambda a, b, c, d: a < d,
    "le": lambda a, b, c, d: a <= d,
    "gt": lambda a, b, c, d: b > c,
    "ge": lambda a, b, c, d: b >= c,
}
"""Whether each comparison can hold for some values of [a, b] and [c, d]."""


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"from {low:g} to {high:g}" if high != UNKNOWN[1] else f"{low:g} or more"


def _bounds(value: Value, level: Level) -> Bounds:
    """The least and the most that a whole number can be."""
    node = value.node
    if value == level.counter:
        return (0, size_of(level.axis, lambda _: 0) - 1) if is_fixed(level.axis) else (0, UNKNOWN[1])
    match node.op.name:
        case "const":
            return (node.attrs["value"],) * 2
        case "argmax":
            return 0, node.inputs[0].type.shape[node.attrs["dim"]] - 1
        case "spread" | "broadcast" | "identity" | "cast":
            return _bounds(node.inputs[0], level)
        case "add":
            (a, b), (c, d) = (_bounds(v, level) for v in node.inputs)
            return a + c, b + d
        case _:
            return UNKNOWN
