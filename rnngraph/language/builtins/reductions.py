"""Functions that make one number of the entries of a dimension, of several, or of all; and softmax beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.registry import TABLE, Function
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.arithmetic import alike, number_value, truth
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item, Number

Along = Callable[[Trace, Value, str, Span], Value]


def _sum(use: Use, value: Value) -> Value:
    keep = use.keep()
    if use.along_time():
        return sequences.sum_over(use.trace, *use.sequence(value), use.at)
    return _total(use, value, use.dims(value), keep)


def _total(use: Use, value: Value, dims: tuple[int, ...], keep: bool) -> Value:
    if not dims:
        return value
    return use.op("sum", value, dims=dims, **({"keep": True} if keep else {}))


@define("sum", "x axis? keep?", "number")
def _(use: Use) -> Item:
    return _sum(use, use.value("x"))


def counted(use: Use, value: Value, what: str) -> int:
    """Over how many entries `what` is taken; a Mistake where there are none."""
    count = math.prod(value.type.shape[d] for d in use.dims(value))
    if not count:
        raise Mistake("E203", f"{use.has_shape('x', value)}: there is no {what} of no entries", use.at)
    return count


@define("mean", "x axis? keep?", "float")
def _(use: Use) -> Item:
    value = use.float("x")
    if use.along_time():
        use.keep()
        return sequences.mean_over(use.trace, *use.sequence(value), use.at)
    count = counted(use, value, "mean")
    return use.op("mul", _sum(use, value), use.number(1.0 / count))


# --- extremes -------------------------------------------------------------------------------------


def _extreme(use: Use, elementwise: str) -> Item:
    """Of two or more arguments the larger, entry by entry; of one, the largest of its entries."""
    names = [n for n in use.given if n not in ("axis", "keep")]
    if len(names) > 1:
        return _of_several(use, names, elementwise)
    value, keep = use.value("x"), use.keep()
    if use.along_time():
        sign = -1 if elementwise == "minimum" else 1
        return sequences.max_over(use.trace, *use.sequence(value), use.at, sign)
    if not value.type.shape:
        return value
    if elementwise == "minimum":
        return use.trace.opposed(_largest(use, use.trace.opposed(value, use.at), keep), use.at)
    return _largest(use, value, keep)


def _of_several(use: Use, names: list[str], elementwise: str) -> Value:
    for option in ("axis", "keep"):
        if use.has(option):
            message = f"`{use.function}` of several values is that of each entry: it knows no `{option}`"
            raise use.mistake("E303", message, option)
    found, *others = (use.given[n] for n in names)
    value = number_value(use.trace, found.item, found.span)
    for other in others:
        a, b = alike(use.trace, (value, other.item), (use.at, other.span))
        value = use.op(elementwise, a, b)
    return value


def _largest(use: Use, value: Value, keep: bool) -> Value:
    dims = use.dims(value)
    if len(dims) == 1:
        return use.op("max_over", value, dim=dims[0], **({"keep": True} if keep else {}))
    return _shaped(use, use.op("max_over", _in_one(use, value, dims), dim=-1), value, dims, keep)


def _in_one(use: Use, value: Value, dims: tuple[int, ...]) -> Value:
    """The value with these dimensions as one, the last."""
    shape = value.type.shape
    kept = [d for d in range(-len(shape), 0) if d not in dims]
    order = [d + len(shape) for d in (*kept, *sorted(dims))]
    if order != sorted(order):
        value = use.op("transpose", value, perm=tuple(order))
    together = (*(shape[d] for d in kept), math.prod(shape[d] for d in dims))
    return value if value.type.shape == together else use.op("reshape", value, shape=together)


def _shaped(use: Use, result: Value, value: Value, dims: tuple[int, ...], keep: bool) -> Value:
    """What was made of each row of `_in_one`, in the shape that is left of the value."""
    rank = len(value.type.shape)
    shape = tuple(1 if i - rank in dims else n for i, n in enumerate(value.type.shape) if keep or i - rank not in dims)
    return result if result.type.shape == shape else use.op("reshape", result, shape=shape)


def _fold_extreme(choose: Callable[[tuple[Number, ...]], Number], *items: Number) -> Number:
    return choose(items)


def _extreme_function(name: str, elementwise: str, choose: Callable[[tuple[Number, ...]], Number]) -> Function:
    parameters, fold = ("x*", "axis?", "keep?"), partial(_fold_extreme, choose)
    return Function(name, parameters, ("number",), lambda use: _extreme(use, elementwise), fold)


TABLE["max"] = _extreme_function("max", "maximum", max)
TABLE["min"] = _extreme_function("min", "minimum", min)


def _place(use: Use, value: Value) -> Value:
    """Where the largest entry of a dimension stands."""
    dim = use.dim(value)
    return _shaped(use, use.op("argmax", value, dim=dim), value, (dim,), use.keep())


@define("argmax", "x axis? keep?", "int")
def _(use: Use) -> Item:
    return _place(use, use.value("x"))


@define("argmin", "x axis? keep?", "int")
def _(use: Use) -> Item:
    return _place(use, use.trace.opposed(use.value("x"), use.at))


# --- truth, products, logarithms ------------------------------------------------------------------


def _how_many(use: Use, condition: Value) -> Value:
    """How often a condition is true: over the real steps, or over dimensions."""
    return _sum(use, use.trace.cast(condition, "float", use.at))


def _condition(use: Use) -> Value:
    return truth(use.trace, use.given["x"].item, use.span("x"))


@define("any", "x axis? keep?", "bool")
def _(use: Use) -> Item:
    return use.op("gt", _how_many(use, _condition(use)), use.number(0.0))


@define("all", "x axis? keep?", "bool")
def _(use: Use) -> Item:
    return use.op("eq", _how_many(use, use.op("not", _condition(use))), use.number(0.0))


@define("prod", "x axis? keep?", "number")
def _(use: Use) -> Item:
    """By halves, so that the gradient divides by no entry, which may be 0."""
    if use.along_time():
        raise use.mistake("E204", "`prod` runs over dimensions: over time, multiply in a state", "axis")
    value, keep = use.value("x"), use.keep()
    dims = use.dims(value)
    if not dims:
        return value
    if not math.prod(value.type.shape[d] for d in dims):
        one = use.trace.const(1 if value.type.dtype == "int" else 1.0, value.type.dtype)
        return use.op("add", use.op("sum", value, dims=dims, keep=keep), one)
    row, odd = _in_one(use, value, dims), list[Value]()
    while (size := row.type.shape[-1]) > 1:
        half = size // 2
        first, second = (use.op("slice", row, dim=-1, start=i * half, stop=(i + 1) * half) for i in range(2))
        if size % 2:
            odd.append(use.op("slice", row, dim=-1, start=size - 1, stop=size))
        row = use.op("mul", first, second)
    for one in odd:
        row = use.op("mul", row, one)
    return _shaped(use, row, value, dims, keep)


@define("logsumexp", "x axis? keep?", "float")
def _(use: Use) -> Item:
    """The logarithm of the sum of exp(x), which itself never overflows; 0 over no steps."""
    value, keep = use.float("x"), use.keep()
    if use.along_time():
        return _over_steps(use, *use.sequence(value))
    dims = use.dims(value)
    if not dims:
        return value
    largest = use.op("detach", _shaped(use, use.op("max_over", _in_one(use, value, dims), dim=-1), value, dims, True))
    largest = _finite(use, largest)
    total = _total(use, use.op("exp", use.op("sub", value, largest)), dims, True)
    return _shaped(use, use.op("add", use.op("log", total), largest), value, dims, keep)


def _over_steps(use: Use, value: Value, axis: str) -> Value:
    """Where nothing is added up, the largest is the result: 0 over no steps, minus infinity where all steps are."""
    trace = use.trace
    highest = use.op("detach", sequences.max_over(trace, value, axis, use.at))
    largest = _finite(use, highest)
    below = sequences.at_steps_of(trace, value, use.op("sub", value, largest), axis, use.at)
    grown = sequences.at_steps_of(trace, value, use.op("exp", below), axis, use.at)
    total = use.op("sum_axes", grown, axes=(axis,))
    some = use.op("gt", total, use.number(0.0))
    found = use.op("log", trace.where(some, total, 1, use.at))
    return use.op("where", some, use.op("add", found, largest), highest)


def _finite(use: Use, largest: Value) -> Value:
    """What is taken off before `exp`: 0 where the largest is infinite or no number."""
    usual = use.op("eq", use.op("sub", largest, largest), use.number(0.0))
    return use.op("where", usual, largest, use.number(0.0))


for _name, _rule in (("softmax", sequences.softmax_over), ("log_softmax", sequences.log_softmax_over)):

    @define(_name, "x axis?", "float")
    def _(use: Use, along: Along = _rule) -> Item:
        """Over the real steps of an axis: attention."""
        value = use.float("x")
        if use.along_time():
            return along(use.trace, *use.sequence(value), use.at)
        return use.op(use.function, value, dim=use.dim(value))
