"""The order of the entries of a vector, its largest ones, and the entries at several places of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.index import ramp
from rnngraph.ops.table import FLOAT, define, no_rule, no_truth

_MATRIX, _PLACES = Type(("batch",), (2, 3)), Type(("batch",), (2, 2), "int")


# --- the k largest --------------------------------------------------------------------------------------------


def _top_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    if not x.shape or x.dtype == "bool":
        raise ShapeError("the largest entries are those of a vector of numbers")
    if not 1 <= attrs["k"] <= x.shape[-1]:
        raise ShapeError(f"there are {x.shape[-1]} values, so no {attrs['k']} largest")
    return (Type(x.axes, (*x.shape[:-1], attrs["k"]), "int"),)


def _top_scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    x = types[0]
    rows = Type(x.axes, x.shape[:-1], "int")
    return x, rows, rows


def _top(backend: Any, node: Node) -> Callable[..., None]:
    """One after another; what was taken is lowered below everything, minus infinity included."""
    import numpy as np  # here, since a text is looked at without arrays

    xp, size = backend.xp, node.inputs[0].type.shape[-1]
    whole = node.inputs[0].type.dtype == "int"

    def run(x: Any, out: Any, left: Any, best: Any, first: Any) -> None:
        xp.maximum(x, 1 - 2**63 if whole else np.finfo(left.dtype).min, out=left)
        flat = left.reshape(-1)
        ramp(xp, first.reshape(-1), size)
        for i in range(out.shape[-1]):
            xp.argmax(left, axis=-1, out=best)
            out[..., i] = best
            xp.add(best, first, best)
            flat[best] = -(2**63) if whole else -float("inf")

    return run


define(
    "top_k",
    _top_type,
    kernel=_top,
    vjp=no_rule,
    scratch=_top_scratch,
    strided=False,
    range=ranges.entry,
    examples=(({"k": 2}, (FLOAT,)), ({"k": 3}, (_MATRIX,)), ({"k": 1}, (_PLACES,))),
)
"""Where the `k` largest entries of the last dimension stand, the largest first; of equal ones the first."""


# --- the order of all -------------------------------------------------------------------------------------------


def _order_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    if not x.shape:
        raise ShapeError("a single number has no order")
    return (Type(x.axes, x.shape, "int"),)


def _order(backend: Any, node: Node) -> Callable[..., None]:
    """The library makes an array of its own, of which there is one like the result in the ledger."""
    xp, last, falling = backend.xp, node.inputs[0].type.shape[-1] - 1, node.attrs["falling"]

    def run(x: Any, out: Any, own: Any) -> None:
        if falling:  # the other way round twice, so that of equal ones the first is first
            found = xp.argsort(x[..., ::-1], axis=-1, kind="stable")
            xp.subtract(last, found[..., ::-1], out)
        else:
            xp.copyto(out, xp.argsort(x, axis=-1, kind="stable"))

    return run


define(
    "argsort",
    _order_type,
    kernel=_order,
    vjp=no_rule,
    scratch=lambda attrs, types, results: results,
    range=ranges.entry,
    examples=(({"falling": False}, (FLOAT,)), ({"falling": True}, (_MATRIX,)), ({"falling": True}, (_PLACES,))),
)
"""The places of the entries of the last dimension from the smallest on, or `falling` from the largest; of equal ones
the first is first, and what is no number counts as the largest."""


# --- several entries ------------------------------------------------------------------------------------------


def _entries_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x, ids = types
    if ids.dtype != "int" or x.axes != ids.axes or not x.shape or x.shape[:-1] != ids.shape[:-1]:
        raise ShapeError(f"{ids} are no places in the last dimension of {x}")
    return (Type(x.axes, ids.shape, x.dtype),)


def _entries_scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    ids = types[1]
    return (ids, Type(ids.axes, (*ids.shape[:-1], 1), "int"))


def _entries(backend: Any, node: Node) -> Callable[..., None]:
    xp, size = backend.xp, node.inputs[0].type.shape[-1]

    def run(x: Any, ids: Any, out: Any, place: Any, first: Any) -> None:
        ramp(xp, first.reshape(-1), size)
        xp.add(ids, first, place)
        backend.take_rows(x.reshape(-1), place, out)

    return run


def _put_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dy, ids = types
    if ids.dtype != "int" or dy.axes != ids.axes or dy.shape != ids.shape:
        raise ShapeError(f"{ids} are no places for {dy}")
    return (no_truth(Type(union(types), (*dy.shape[:-1], attrs["size"]), dy.dtype)),)


def _put(backend: Any, node: Node) -> Callable[..., None]:
    """One place of every vector at a time, so that none is met twice at once."""
    xp, size = backend.xp, node.attrs["size"]

    def run(dy: Any, ids: Any, out: Any, place: Any, first: Any, at: Any, sums: Any) -> None:
        ramp(xp, first.reshape(-1), size)
        xp.add(ids, first, place)
        out.fill(0)
        flat = out.reshape(-1)
        for i in range(ids.shape[-1]):
            xp.copyto(at, place[..., i])
            backend.take_rows(flat, at, sums)
            xp.add(sums, dy[..., i], sums)
            flat[at] = sums

    return run


def _put_scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    dy, ids = types
    row = (ids.axes, ids.shape[:-1])
    return (ids, Type(ids.axes, (*ids.shape[:-1], 1), "int"), Type(*row, "int"), Type(*row, dy.dtype))


define(
    "entries",
    _entries_type,
    kernel=_entries,
    scratch=_entries_scratch,
    strided=False,
    vjp=lambda attrs, y, dy, x, ids: (dy.op("put_entries", ids, size=x.type.shape[-1]), None),
    range=ranges.same,
    examples=(({}, (FLOAT, Type(("batch",), (2,), "int"))), ({}, (_MATRIX, _PLACES))),
)
"""The entries of the last dimension at these places, which every vector has for itself."""

define(
    "put_entries",
    _put_type,
    kernel=_put,
    scratch=_put_scratch,
    strided=False,
    vjp=lambda attrs, y, dy, x, ids: (dy.op("entries", ids), None),
    examples=(({"size": 4}, (Type(("batch",), (2, 2)), _PLACES)),),
)
"""Zeros with each value added at its place: the transpose of `entries`."""
