"""Means, variances and norms, and what is scaled by them."""

from __future__ import annotations

import math
from functools import partial, reduce

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.reductions import counted
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.values import Item, Several


def _given(use: Use) -> Value:
    """What the statistics are of: floats, with a row for each example where they go along time."""
    x = use.float("x")
    return use.sequence(x)[0] if use.along_time() else x


def _total(use: Use, value: Value, like: Value, keep: bool) -> Value:
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
    total = _total(use, weights, like, True)
    if not use.along_time():
        return total
    return use.op("where", use.op("eq", _steps(use, like), use.number(0.0)), use.number(1.0), total)


def _variance(use: Use, x: Value, weights: Value | None, count: Value, mean: Value) -> Value:
    square = use.op("square", use.op("sub", x, mean))
    return use.op("div", _total(use, square if weights is None else use.op("mul", weights, square), x, True), count)


def _reduced(use: Use, x: Value, *values: Value) -> Several:
    """The values without the dimensions that were summed over, unless they are to be kept."""
    if use.keep() or use.along_time():
        return Several(values)
    gone = {d % len(x.type.shape) for d in use.dims(x)}
    shape = tuple(n for i, n in enumerate(x.type.shape) if i not in gone)
    return Several(tuple(use.op("reshape", v, shape=shape) if v.type.shape != shape else v for v in values))


@define("moments", "x axis? keep?", "float float")
def _(use: Use) -> Item:
    """The mean, and the mean square of the distance from it."""
    x = _given(use)
    count = _count(use, x)
    mean = use.op("div", _total(use, x, x, True), count)
    return _reduced(use, x, mean, _variance(use, x, None, count, mean))


@define("weighted_moments", "x weights axis? keep?", "float float")
def _(use: Use) -> Item:
    """`moments` where each entry counts `weights` times; the weights are spread to x."""
    x, weights = _given(use), use.float("weights")
    _check_spreads(use, "weights", weights, x)
    count = _weight(use, x, weights)
    mean = use.op("div", _total(use, use.op("mul", weights, x), x, True), count)
    return _reduced(use, x, mean, _variance(use, x, weights, count, mean))


def _check_spreads(use: Use, name: str, value: Value, x: Value) -> None:
    have, wanted = value.type.shape, x.type.shape
    fits = len(have) <= len(wanted) and all(m in (1, n) for m, n in zip(reversed(have), reversed(wanted), strict=False))
    if not fits:
        raise use.mistake("E201", f"{use.has_shape('x', x)} but {use.has_shape(name, value)}", name)


@define("sufficient_statistics", "x axis? shift? keep?", "float float float")
def _(use: Use) -> Item:
    """How many entries there are, the sum of x - shift, and the sum of its squares."""
    x, keep = _given(use), use.keep()
    shifted = x
    if use.has("shift"):
        shift = use.float("shift")
        _check_spreads(use, "shift", shift, x)
        shifted = use.op("sub", x, shift)
    sums = (_total(use, v, x, keep) for v in (shifted, use.op("square", shifted)))
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


# --- norms ------------------------------------------------------------------------------------------


@define("norm", "x axis? keep?", "float")
def _(use: Use) -> Item:
    """The square root of the sum of the squares."""
    x = _given(use)
    (found,) = _reduced(use, x, _norm(use, x)).items
    return found


def _norm(use: Use, x: Value) -> Value:
    """The norm over what `axis` says; dimensions stay, with the size 1."""
    x = use.trace.clean(x, use.at) if use.along_time() else x
    scale = _scale(use, _largest(use, x))
    return _root(use, _total(use, _squares(use, x, scale), x, True), scale)


def _largest(use: Use, x: Value) -> Value:
    """The largest size of an entry over what `axis` says; dimensions stay."""
    size = use.op("abs", x)
    if use.along_time():
        return sequences.max_over(use.trace, size, use.time_axis(x), use.at)
    for dim in use.dims(x):
        more = x.type.shape[dim] > 0
        size = use.op("max_over", size, dim=dim, keep=True) if more else use.op("sum", size, dims=(dim,), keep=True)
    return size


def _scale(use: Use, largest: Value) -> Value:
    """What entries are divided by, so that no square of them overflows or vanishes: no norm depends on it.

    It is 1 where the largest is 0, infinite or no number, which all divide by themselves to no number.
    """
    largest = use.op("detach", largest)
    usual = use.op("eq", use.op("div", largest, largest), use.number(1.0))
    return use.op("where", usual, largest, use.number(1.0))


def _squares(use: Use, x: Value, scale: Value) -> Value:
    return use.op("square", use.op("div", x, scale))


def _root(use: Use, squares: Value, scale: Value) -> Value:
    """The scale times the square root, whose gradient at 0 is 0."""
    some = use.op("ne", squares, use.number(0.0))
    root = use.op("sqrt", use.op("where", some, squares, use.number(1.0)))
    return use.op("mul", scale, use.op("where", some, root, use.number(0.0)))


def _scaled(use: Use, value: Value, norm: Value, most: Value) -> Value:
    return use.op("div", use.op("mul", value, most), use.op("maximum", norm, most))


def _limit(use: Use, name: str) -> Value:
    item = use.given[name].item
    if isinstance(item, (int, float)) and not item > 0:
        raise use.mistake("E207", f"the limit of a norm must be above 0, not {item}", name)
    value = use.float(name)
    if value.type.shape:
        raise use.mistake("E204", f"a limit is one number, but {use.has_shape(name, value)}", name)
    return value


@define("clip_by_norm", "x limit axis?", "float")
def _(use: Use) -> Item:
    """x, scaled down where its norm over all dimensions, or over those of `axis`, is larger than the limit."""
    x, most = _given(use), _limit(use, "limit")
    return _scaled(use, x, _norm(use, x), most)


def _global_norm(use: Use, values: list[Value]) -> Value:
    flat = [use.op("reshape", v, shape=(math.prod(v.type.shape),)) for v in values]
    sizes = [use.op("max_over", use.op("abs", v), dim=-1) for v in flat if v.type.shape[0]] or [use.number(0.0)]
    scale = _scale(use, reduce(partial(use.op, "maximum"), sizes))
    sums = [use.op("sum", _squares(use, v, scale), dims=(-1,)) for v in flat]
    return _root(use, reduce(partial(use.op, "add"), sums), scale)


def _values(use: Use) -> list[Value]:
    return [use.float(name) for name in use.given if name != "limit"]


@define("global_norm", "x*", "float")
def _(use: Use) -> Item:
    """The root of the sum of the squares of all entries of all values."""
    return _global_norm(use, _values(use))


@define("clip_by_global_norm", "x* limit", "float float")
def _(use: Use) -> Item:
    """The values, scaled down by one factor where their common norm is larger than the limit; and that norm."""
    values, most = _values(use), _limit(use, "limit")
    norm = _global_norm(use, values)
    return Several((*(_scaled(use, v, norm, most) for v in values), norm))
