"""Means, variances, and the part of the entries that is 0."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.reductions import counted
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.values import Item, Several


def floats_of(use: Use) -> Value:
    """What the statistics are of: floats, with a row for each example where they go along time."""
    x = use.float("x")
    return use.sequence(x)[0] if use.along_time() else x


def sum_of(use: Use, value: Value, like: Value, keep: bool) -> Value:
    """The sum over what `axis` says: dimensions, or the real steps of a sequence."""
    if use.along_time():
        axis = use.time_axis(like)
        if set(value.type.axes) < set(like.type.axes):
            value = use.op("spread", value, axes=like.type.axes)
        return sequences.sum_over(use.trace, sequences.at_steps_of(use.trace, like, value, axis, use.at), axis, use.at)
    dims = use.dims(like)
    if not dims:
        return value
    if value.type.shape != like.type.shape:
        value = use.op("broadcast", value, shape=like.type.shape)
    return use.op("sum", value, dims=dims, keep=keep)


def _steps(use: Use, like: Value) -> Value:
    """How many real steps such a sum along time has."""
    steps = use.trace.cast(use.trace.count(like, use.time_axis(like), use.at), "float", use.at)
    return use.trace.over_batch(steps, use.at) if BATCH in like.type.axes else steps


def _count(use: Use, like: Value) -> Value:
    """How many entries such a sum has; at least 1."""
    if use.along_time():
        return use.op("maximum", _steps(use, like), use.number(1.0))
    return use.number(counted(use, like, "mean"))


def _weight(use: Use, like: Value, weights: Value) -> Value:
    """The sum of the weights; 1 where there are no steps, so that mean and variance are 0 there."""
    total = sum_of(use, weights, like, True)
    if not use.along_time():
        return total
    return use.op("where", use.op("eq", _steps(use, like), use.number(0.0)), use.number(1.0), total)


def _variance(use: Use, x: Value, weights: Value | None, count: Value, mean: Value) -> Value:
    square = use.op("square", use.op("sub", x, mean))
    return use.op("div", sum_of(use, square if weights is None else use.op("mul", weights, square), x, True), count)


def without_dims(use: Use, x: Value, *values: Value) -> Several:
    """The values without the dimensions that were summed over, unless they are to be kept."""
    if use.keep() or use.along_time():
        return Several(values)
    gone = {d % len(x.type.shape) for d in use.dims(x)}
    shape = tuple(n for i, n in enumerate(x.type.shape) if i not in gone)
    return Several(tuple(use.op("reshape", v, shape=shape) if v.type.shape != shape else v for v in values))


@define("moments", "x axis? keep?", "float float")
def _(use: Use) -> Item:
    """The mean, and the mean square of the distance from it."""
    x = floats_of(use)
    count = _count(use, x)
    mean = use.op("div", sum_of(use, x, x, True), count)
    return without_dims(use, x, mean, _variance(use, x, None, count, mean))


@define("weighted_moments", "x weights axis? keep?", "float float")
def _(use: Use) -> Item:
    """`moments` where each entry counts `weights` times; the weights are spread to x."""
    x, weights = floats_of(use), use.float("weights")
    _check_spreads(use, "weights", weights, x)
    count = _weight(use, x, weights)
    mean = use.op("div", sum_of(use, use.op("mul", weights, x), x, True), count)
    return without_dims(use, x, mean, _variance(use, x, weights, count, mean))


def _check_spreads(use: Use, name: str, value: Value, x: Value) -> None:
    have, wanted = value.type.shape, x.type.shape
    fits = len(have) <= len(wanted) and all(m in (1, n) for m, n in zip(reversed(have), reversed(wanted), strict=False))
    if not fits:
        raise use.mistake("E201", f"{use.has_shape('x', x)} but {use.has_shape(name, value)}", name)


@define("sufficient_statistics", "x axis? shift? keep?", "float float float")
def _(use: Use) -> Item:
    """How many entries there are, the sum of x - shift, and the sum of its squares."""
    x, keep = floats_of(use), use.keep()
    shifted = x
    if use.has("shift"):
        shift = use.float("shift")
        _check_spreads(use, "shift", shift, x)
        shifted = use.op("sub", x, shift)
    sums = (sum_of(use, v, x, keep) for v in (shifted, use.op("square", shifted)))
    return Several((_count(use, x), *sums))


@define("normalize_moments", "count sum square_sum shift?", "float float")
def _(use: Use) -> Item:
    """Mean and variance from what `sufficient_statistics` gives."""
    count, total, squares = (use.float(n) for n in ("count", "sum", "square_sum"))
    mean = use.op("div", total, count)
    variance = use.op("sub", use.op("div", squares, count), use.op("square", mean))
    return Several((use.op("add", mean, use.float("shift")) if use.has("shift") else mean, variance))


@define("zero_fraction", "x", "float")
def _(use: Use) -> Item:
    """The part of the entries that is 0."""
    x = use.value("x")
    zero = use.trace.cast(use.op("eq", x, use.trace.const(0, x.type.dtype)), "float", use.at)
    rank = len(x.type.shape)
    total = use.op("sum", zero, dims=tuple(range(-rank, 0))) if rank else zero
    return use.op("mul", total, use.number(1.0 / counted(use, x, "part")))
