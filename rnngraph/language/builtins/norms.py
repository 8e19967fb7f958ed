"""Norms, and what is clipped by them."""

from __future__ import annotations

import math
from functools import partial, reduce

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.statistics import floats_of, sum_of, without_dims
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.values import Item, Several


@define("norm", "x axis? keep?", "float")
def _(use: Use) -> Item:
    """The square root of the sum of the squares."""
    x = floats_of(use)
    (found,) = without_dims(use, x, _norm(use, x)).items
    return found


def _norm(use: Use, x: Value) -> Value:
    """The norm over what `axis` says; dimensions stay, with the size 1."""
    x = use.trace.clean(x, use.at) if use.along_time() else x
    scale = _scale(use, _largest(use, x))
    return _root(use, sum_of(use, _squares(use, x, scale), x, True), scale)


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
    x, most = floats_of(use), _limit(use, "limit")
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
