"""What looks along a time axis: `shift`, `last`, `reversed`, `window`, sums over steps, and chance."""

from __future__ import annotations

from rnngraph.front.mistakes import Mistake
from rnngraph.front.trace import Trace
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, Type
from rnngraph.source import Span


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
            help="a sequence is an input `seq[...]`, or what `unroll` gives",
        )
    raise Mistake("E305", f"`{at.text}` runs over {' and '.join(axes)}: one axis is needed here", at)


def shift(trace: Trace, value: Value, by: int, at: Span, span: Span) -> Value:
    """x[t - by], zeros where there is no such step."""
    axis = axis_of(value, span)
    if by == 0:
        return value
    if by < 0:
        value = trace.clean(value, at)
    return trace.call("shift", value, at=at, axis=axis, by=by)


def last(trace: Trace, value: Value, at: Span, span: Span) -> Value:
    """The last real step; zeros where there is none."""
    axis = axis_of(value, span)
    if trace.pads(axis):
        return trace.call("last_within", value, trace.extent(axis, at), at=at, axis=axis)
    return trace.call("last", value, at=at, axis=axis)


def reversed_(trace: Trace, value: Value, at: Span, span: Span) -> Value:
    """Each row backwards within its own length."""
    axis = axis_of(value, span)
    if trace.pads(axis):
        return trace.call("reverse_within", value, trace.extent(axis, at), at=at, axis=axis)
    return trace.call("reverse", value, at=at, axis=axis)


def window(trace: Trace, value: Value, size: int, at: Span, span: Span) -> Value:
    """The last `size` values side by side, the oldest first."""
    if not value.type.shape:
        value = trace.call("reshape", value, at=at, shape=(1,))
    steps = [shift(trace, value, by, at, span) for by in reversed(range(size))]
    return steps[0] if size == 1 else trace.call("concat", *steps, at=at, dim=-1)


def sum_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """The sum over the real steps."""
    return trace.call("sum_axes", trace.clean(value, at), at=at, axes=(axis,))


def mean_over(trace: Trace, value: Value, axis: str, at: Span) -> Value:
    """The mean over the real steps; 0 where there is none."""
    total = sum_over(trace, value, axis, at)
    steps = trace.cast(trace.extent(axis, at), "float", at)
    return trace.call("div", total, trace.call("maximum", steps, trace.const(1.0), at=at), at=at)


def uniform(trace: Trace, shape: tuple[int, ...], axes: tuple[str, ...], at: Span) -> Value:
    """Numbers in [0, 1), drawn anew at each step of the loops around and along these axes."""
    key = f"{'.'.join(trace.path)}/{trace.draws}"
    trace.draws += 1
    seed = trace.input("seed", "seed", Type((), (), "int"))
    return trace.call("uniform", seed, _moment(trace, axes, at), at=at, shape=shape, key=key)


def _moment(trace: Trace, axes: tuple[str, ...], at: Span) -> Value:
    """One int for each step of all loops and sequences around."""
    counts = [trace.counter(level) for level in trace.levels()]
    counts += [trace.call("iota", at=at, axis=axis) for axis in axes]
    moment = counts[0] if counts else trace.const(0, "int")
    for count in counts[1:]:
        wide = trace.call("mul", moment, trace.const(1_000_003, "int"), at=at)
        moment = trace.call("add", wide, count, at=at)
    return moment
