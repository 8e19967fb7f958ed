"""What each entry is together with those before it, and the entries in their order."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.values import Item


def _along(use: Use, value: Value) -> int:
    """The dimension; a time axis is none."""
    if use.along_time():
        message = f"`{use.function}` runs over a dimension: over time, it is a state of a cell"
        raise use.mistake("E204", message, "axis")
    return use.dim(value)


@define("cumsum", "x axis?", "number")
def _(use: Use) -> Item:
    value = use.value("x")
    return use.op("cumsum", value, dim=_along(use, value))


def _scan(use: Use, op: str) -> Value:
    """Each entry with those before it, in steps of 1, 2, 4, ...: the gradient is that of few elementwise ops."""
    found = use.value("x")
    dim = _along(use, found)
    size, by = found.type.shape[dim], 1
    while by < size:
        first = use.op("slice", found, dim=dim, start=0, stop=by)
        later = use.op("slice", found, dim=dim, start=by, stop=size)
        before = use.op("slice", found, dim=dim, start=0, stop=size - by)
        found = use.op("concat", first, use.op(op, later, before), dim=dim)
        by *= 2
    return found


@define("cumprod", "x axis?", "number")
def _(use: Use) -> Item:
    return _scan(use, "mul")


@define("cummax", "x axis?", "number")
def _(use: Use) -> Item:
    """The largest so far; of equal ones the last has the gradient."""
    return _scan(use, "maximum")


# --- order ----------------------------------------------------------------------------------------


def _swapped(use: Use, value: Value, dim: int) -> Value:
    """The dimension as the last, and the last in its place."""
    if dim == -1:
        return value
    order = list(range(len(value.type.shape)))
    order[dim], order[-1] = order[-1], order[dim]
    return use.op("transpose", value, perm=tuple(order))


def _ordered(use: Use) -> tuple[Value, Value, int]:
    """The value with the dimension as its last, the places of its entries in order, and the dimension."""
    value = use.value("x")
    if not value.type.shape:
        raise Mistake("E204", f"`{use.span('x').text}` is a single number: it has no order", use.span("x"))
    dim = _along(use, value)
    value = _swapped(use, value, dim)
    return value, use.op("argsort", value, falling=use.flag("descending", False)), dim


@define("sort", "x axis? descending?", "number")
def _(use: Use) -> Item:
    """Of equal entries the first stays the first; what is no number counts as the largest."""
    value, places, dim = _ordered(use)
    return _swapped(use, use.op("entries", value, places), dim)


@define("argsort", "x axis? descending?", "int")
def _(use: Use) -> Item:
    _, places, dim = _ordered(use)
    return _swapped(use, places, dim)
