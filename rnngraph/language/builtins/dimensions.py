"""Functions over the dimensions of a value: sums, extremes, softmax, rearrangements, products."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.registry import TABLE, Function
from rnngraph.language.elaboration import indexing, sequences
from rnngraph.language.elaboration.arithmetic import alike, number_value
from rnngraph.language.elaboration.index_checks import inside
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item, Number, Numbers, whole_number

Along = Callable[[Trace, Value, str, Span], Value]


def _sum(use: Use, value: Value) -> Value:
    if use.along_time():
        return sequences.sum_over(use.trace, *use.sequence(value), use.at)
    return use.op("sum", value, dims=use.dims(value)) if value.type.shape else value


@define("sum", "x axis?", "number")
def _(use: Use) -> Item:
    return _sum(use, use.value("x"))


@define("mean", "x axis?", "float")
def _(use: Use) -> Item:
    value = use.float("x")
    if use.along_time():
        return sequences.mean_over(use.trace, *use.sequence(value), use.at)
    count = math.prod(value.type.shape[d] for d in use.dims(value))
    return use.op("mul", _sum(use, value), use.number(1.0 / count))


def _extreme(use: Use, elementwise: str) -> Item:
    """Of two or more arguments the larger, entry by entry; of one, the largest of its entries."""
    names = [n for n in use.given if n != "axis"]
    if len(names) > 1:
        found, *others = (use.given[n] for n in names)
        value = number_value(use.trace, found.item, found.span)
        for other in others:
            a, b = alike(use.trace, (value, other.item), (use.at, other.span))
            value = use.op(elementwise, a, b)
        return value
    value = use.value("x")
    if use.along_time():
        sign = -1 if elementwise == "minimum" else 1
        return sequences.max_over(use.trace, *use.sequence(value), use.at, sign)
    if not value.type.shape:
        return value
    if elementwise == "minimum":
        return use.op("neg", _largest(use, use.op("neg", value)))
    return _largest(use, value)


def _largest(use: Use, value: Value) -> Value:
    if use.has("axis"):
        return use.op("max_over", value, dim=use.dim(value))
    flat = use.op("reshape", value, shape=(math.prod(value.type.shape),)) if len(value.type.shape) > 1 else value
    return use.op("max_over", flat, dim=-1)


def _fold_extreme(choose: Callable[[tuple[Number, ...]], Number], *items: Number) -> Number:
    return choose(items)


def _extreme_function(name: str, elementwise: str, choose: Callable[[tuple[Number, ...]], Number]) -> Function:
    parameters, fold = ("x*", "axis?"), partial(_fold_extreme, choose)
    return Function(name, parameters, ("number",), lambda use: _extreme(use, elementwise), fold)


TABLE["max"] = _extreme_function("max", "maximum", max)
TABLE["min"] = _extreme_function("min", "minimum", min)


for _name, _rule in (("softmax", sequences.softmax_over), ("log_softmax", sequences.log_softmax_over)):

    @define(_name, "x axis?", "float")
    def _(use: Use, along: Along = _rule) -> Item:
        """Over the real steps of an axis: attention."""
        value = use.float("x")
        if use.along_time():
            return along(use.trace, *use.sequence(value), use.at)
        return use.op(use.function, value, dim=use.dim(value))


@define("cumsum", "x axis?", "number")
def _(use: Use) -> Item:
    if use.along_time():
        raise use.mistake("E204", "`cumsum` runs over a dimension: over time, sum in a state", "axis")
    value = use.value("x")
    return use.op("cumsum", value, dim=use.dim(value))


@define("argmax", "x axis?", "int")
def _(use: Use) -> Item:
    value = use.value("x")
    return use.op("argmax", value, dim=use.dim(value))


# --- shapes and products --------------------------------------------------------------------------


@define("concat", "x* axis?", "same")
def _(use: Use) -> Item:
    given = [g for n, g in use.given.items() if n != "axis"]
    values = alike(use.trace, tuple(g.item for g in given), tuple(g.span for g in given), numbers=False)
    return use.op("concat", *values, dim=use.dim(values[0]))


@define("split", "x parts axis?", "same")
def _(use: Use) -> Item:
    value = use.any("x")
    dim = use.dim(value) + len(value.type.shape)
    return indexing.split(use.trace, value, use.given["parts"].item, dim, use.at, use.span("parts"))


@define("repeat", "x times axis?", "same")
def _(use: Use) -> Item:
    value, times = use.any("x"), use.whole("times", 1)
    checked_size(times, use.span("times"))
    return use.op("repeat", value, times=times, dim=use.dim(value))


@define("reshape", "x shape", "same")
def _(use: Use) -> Item:
    return use.op("reshape", use.any("x"), shape=use.sizes("shape"))


@define("transpose", "x order?", "same")
def _(use: Use) -> Item:
    """The dimensions in the order given, `[1, 0, 2]`, or the other way round."""
    value = use.any("x")
    rank = len(value.type.shape)
    if not use.has("order"):
        return use.op("transpose", value, perm=tuple(reversed(range(rank))))
    item = use.given["order"].item
    order = tuple(whole_number(n) for n in item.items) if isinstance(item, Numbers) else ()
    if set(order) != set(range(rank)) or len(order) != rank:
        raise use.mistake("E204", f"`order` names each dimension once, but {use.has_shape('x', value)}", "order")
    return use.op("transpose", value, perm=order)


@define("outer", "a b", "number")
def _(use: Use) -> Item:
    a, b = alike(use.trace, (use.given["a"].item, use.given["b"].item), (use.span("a"), use.span("b")))
    for value, name in ((a, "a"), (b, "b")):
        if len(value.type.shape) != 1:
            raise use.mistake("E204", f"`outer` takes two vectors, but {use.has_shape(name, value)}", name)
    return use.op("contract", a, b, left="i", right="j", out="ij", reduce=())


@define("one_hot", "ids depth", "float")
def _(use: Use) -> Item:
    depth = checked_size(use.whole("depth", 0), use.span("depth"))
    ids = inside(use.trace, use.int_value("ids"), depth, use.span("ids"))
    return use.trace.cast(use.op("one_hot", ids, depth=depth), "float", use.at)


@define("size", "x axis?", "int")
def _(use: Use) -> Item:
    """The length of a dimension, known while compiling; the last one where none is given."""
    value = use.any("x")
    return value.type.shape[use.dim(value)]


def _range(use: Use) -> Value:
    """0, 1, ..., n - 1."""
    n = checked_size(use.whole("n", 1), use.span("n"))
    counts = use.op("cumsum", use.op("broadcast", use.number(1.0), shape=(n,)), dim=-1)
    return use.trace.cast(use.op("sub", counts, use.number(1.0)), "int", use.at)


@define("range", "n", "int")
def _(use: Use) -> Item:
    return _range(use)


@define("eye", "n", "float")
def _(use: Use) -> Item:
    """The identity matrix."""
    places = _range(use)
    return use.trace.cast(use.op("one_hot", places, depth=places.type.shape[0]), "float", use.at)


@define("zeros", "shape", "float")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(0.0), shape=use.sizes("shape"))


@define("ones", "shape", "float")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(1.0), shape=use.sizes("shape"))
