"""What looks along a time axis: `shift`, `last`, `reversed`, `window`, sums over steps, and chance."""

from __future__ import annotations

import math
from collections.abc import Collection

from msgspec.structs import replace

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, EVERY, Type
from rnngraph.language.elaboration import step_offset
from rnngraph.language.elaboration.loop_levels import Halt
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.trace import Trace


def axis_of(value: Value, at: Span) -> str:
    """The one time axis of a sequence."""
    axes = [a for a in value.type.axes if a != BATCH]
    if len(axes) == 1:
        return axes[0]
    if not axes:
        raise Mistake(
            "E305",
            f"a sequence is needed here, but `{at.text}` is a single value",
            at,
            help="a sequence is an input `seq[...]`, or the result of `unroll`",
        )
    raise Mistake("E305", f"`{at.text}` runs over {' and '.join(axes)}: one axis is needed here", at)


def own_axis(trace: Trace, axis: str, taken: Collection[str] = ()) -> str:
    """An axis of this size that none of the loops around runs along, and that is none of those taken."""
    around = {level.axis for level in trace.levels()} | set(taken)
    while axis in around:
        axis += f"{EVERY}1"
    return axis


def shift(trace: Trace, value: Value, by: int, at: Span, span: Span) -> Value:
    """x[t - by], zeros where there is no such step."""
    axis = axis_of(value, span)
    if by == 0:
        return value
    if by < 0 or not trace.from_first(value, axis):
        value = trace.clean(value, at)
    return trace.call("shift", value, at=at, axis=axis, by=by)


def filled(trace: Trace, shifted: Value, fill: Value, by: int, at: Span) -> Value:
    """A shifted sequence with another value than 0 where there was no step."""
    axis = axis_of(shifted, at)
    place = trace.call("iota", at=at, axis=axis)
    if by >= 0:
        begin = trace.begin_along(axis, trace.halts_of(shifted, axis), at)
        place = place if begin is None else trace.call("sub", place, begin, at=at)
        empty = trace.call("lt", place, trace.const(by, "int"), at=at)
    else:
        after = trace.call("sub", place, trace.const(by, "int"), at=at)
        empty = trace.call("ge", after, trace.end(shifted, axis, at), at=at)
    return trace.call("where", empty, fill, shifted, at=at)


def every(trace: Trace, value: Value, axis: str, by: int, at: Span) -> Value:
    """The steps 0, by, 2 by, ... of each row; of a row of length n there are n / by, rounded up."""
    slower = f"{axis}{EVERY}{by}"
    found = trace.call("every", value, at=at, axis=axis, by=by)
    fewer = [
        replace(h, axis=slower, mask=trace.call("every", h.mask, at=at, axis=axis, by=by))
        for h in trace.halts_of(value, axis)
    ]
    trace.halt(found, (*trace.halts.get(found, ()), *fewer))
    step_offset.note_stride(trace, slower)
    trace.stays_masked(found, value)
    if (value, axis) in trace.masked:
        trace.masked.add((found, slower))
    return found


def last(trace: Trace, value: Value, at: Span, span: Span) -> Value:
    """The last real step; zeros where there is none."""
    axis = axis_of(value, span)
    if trace.bounded(value, axis):
        return trace.call("last_within", value, trace.end(value, axis, at), at=at, axis=axis)
    return trace.call("last", value, at=at, axis=axis)


def reversed_(trace: Trace, value: Value, at: Span, span: Span) -> Value:
    """Each row backwards within its own length."""
    axis = axis_of(value, span)
    if not trace.bounded(value, axis):
        return trace.call("reverse", value, at=at, axis=axis)
    end = trace.end(value, axis, at)
    found = trace.call("reverse_within", value, end, at=at, axis=axis)
    trace.halt(found, [_turned(trace, h, end, at) if h.axis == axis else h for h in trace.halts.get(found, ())])
    return found


def _turned(trace: Trace, halt: Halt, end: Value, at: Span) -> Halt:
    """What is left of each row, backwards: what reached up to the end begins it."""
    if halt.prefix:
        return halt
    return Halt(halt.axis, trace.call("reverse_within", halt.mask, end, at=at, axis=halt.axis))


def window(trace: Trace, value: Value, size: int, at: Span, span: Span) -> Value:
    """The last `size` values side by side, the oldest first."""
    if not value.type.shape:
        value = trace.call("reshape", value, at=at, shape=(1,))
    steps = [shift(trace, value, by, at, span) for by in reversed(range(size))]
    return steps[0] if size == 1 else trace.call("concat", *steps, at=at, dim=-1)


def at_steps_of(trace: Trace, other: Value, value: Value, axis: str, at: Span) -> Value:
    """A sequence with zeros where another one has no step of its own."""
    if not trace.bounded(other, axis):
        return value
    found = trace.where(trace.own_steps(other, axis, at), value, 0, at)
    trace.masked.add((found, axis))
    return found


def sum_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """The sum over the real steps."""
    return trace.call("sum_axes", trace.clean(value, at), at=at, axes=(axis,))


def mean_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """The mean over the real steps; 0 where there is none."""
    total = sum_over(trace, value, axis, at)
    steps = trace.cast(trace.count(value, axis, at), "float", at)
    return trace.call("div", total, trace.call("maximum", steps, trace.const(1.0), at=at), at=at)


LOWEST: dict[str, float] = {"float": -math.inf, "int": -(2**63)}
"""What stands for a value that is not there, where the largest is looked for."""


def max_over(trace: Trace, value: Value, axis: str, at: Span, sign: int = 1) -> Value:
    """The largest over the real steps (the smallest where the sign is -1); 0 where there is none."""
    bounded = trace.bounded(value, axis)
    none_is_zero = sign == 1 and not bounded  # what is largest among none is 0, its opposite need not be
    some = None if none_is_zero else trace.call("gt", trace.count(value, axis, at), trace.const(0, "int"), at=at)
    value = value if sign == 1 else trace.opposed(value, at)
    if bounded:
        lowest = trace.const(LOWEST[value.type.dtype], value.type.dtype)
        value = trace.where(trace.own_steps(value, axis, at), value, lowest, at)
    found = trace.call("max_axes", value, at=at, axes=(axis,))
    found = found if sign == 1 else trace.opposed(found, at)
    return found if some is None else trace.where(some, found, 0, at)


def softmax_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """exp(x) / sum of exp(x) over the real steps of an axis; 0 in the padding."""
    exponentials, total = _exponentials(trace, _below_largest(trace, value, axis, at), axis, at)
    if trace.bounded(value, axis):
        total = trace.call("maximum", total, trace.const(1e-30), at=at)
    weights = trace.call("div", exponentials, total, at=at)
    trace.masked.add((weights, axis))
    return weights


def log_softmax_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """x - log(sum of exp(x)) over the real steps of an axis."""
    below = _below_largest(trace, value, axis, at)
    _, total = _exponentials(trace, below, axis, at)
    if trace.bounded(value, axis):
        total = trace.call("maximum", total, trace.const(1e-30), at=at)
    return trace.call("sub", below, trace.call("log", total, at=at), at=at)


def _below_largest(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """x less the largest of its axis, which no result depends on; 0 in the padding, so that nothing overflows."""
    largest = trace.call("detach", max_over(trace, value, axis, at), at=at)
    below = trace.call("sub", value, largest, at=at)
    return trace.where(trace.own_steps(value, axis, at), below, 0, at) if trace.bounded(value, axis) else below


def _exponentials(trace: Trace, below: Value, axis: str, at: Span) -> tuple[Value, Value]:
    """exp(x), 0 in the padding, and its sum over the axis."""
    found = trace.call("exp", below, at=at)
    if trace.bounded(found, axis):
        found = trace.where(trace.own_steps(found, axis, at), found, 0, at)
    return found, trace.call("sum_axes", found, at=at, axes=(axis,))


def uniform(trace: Trace, shape: tuple[int, ...], axes: tuple[str, ...], at: Span, per_sequence: bool = False) -> Value:
    """Numbers in [0, 1), drawn anew at each step of the loops around and along these axes, or once for all steps."""
    now = trace.const(0, "int") if per_sequence else moment(trace, axes, at)
    return trace.call("uniform", seed(trace), now, at=at, shape=shape, key=key(trace))


def uniform_once(trace: Trace, shape: tuple[int, ...], at: Span) -> Value:
    """The same numbers for all rows and steps."""
    now = trace.const(0, "int")
    return trace.call("uniform", seed(trace), now, at=at, shape=shape, key=key(trace), rows=False)


def key(trace: Trace) -> str:
    """A name of its own for each place that draws."""
    trace.draws += 1
    return f"{'.'.join(trace.path)}/{trace.draws - 1}"


def seed(trace: Trace) -> Value:
    return trace.input("seed", "seed", Type((), (), "int"))


def moment(trace: Trace, axes: tuple[str, ...], at: Span) -> Value:
    """One int for each step of all loops and sequences around."""
    counts = [step_offset.at_step(trace, level, at) for level in trace.levels()]
    counts += [step_offset.along(trace, axis, at) for axis in axes]
    now = counts[0] if counts else trace.const(0, "int")
    for count in counts[1:]:
        wide = trace.call("mul", now, trace.const(1_000_003, "int"), at=at)
        now = trace.call("add", wide, count, at=at)
    return now
