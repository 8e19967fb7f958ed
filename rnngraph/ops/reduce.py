"""Sums, running sums and extremes, over feature dimensions; sums and extremes over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type
from rnngraph.ops.summation_order import part, pieces
from rnngraph.ops.table import FLOAT, Formula, define, dim_of, no_rule, no_truth, positions

MATRIX = Type(("batch",), (2, 3))
"""What an op over one of several dimensions is tried on."""


def without(shape: tuple[int, ...], dims: tuple[int, ...], keep: bool) -> tuple[int, ...]:
    """The shape when these dimensions are summed over; `keep` leaves them, with the size 1."""
    gone = {dim % len(shape) for dim in dims}
    return tuple(1 if i in gone else s for i, s in enumerate(shape) if keep or i not in gone)


def _checked(dims: tuple[int, ...], type: Type) -> tuple[int, ...]:
    return tuple(dim_of({"dim": dim}, type) for dim in dims)


def _sum_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x = no_truth(types[0])
    dims = _checked(attrs["dims"], x)
    return (Type(x.axes, without(x.shape, dims, attrs.get("keep", False)), x.dtype),)


def _sum(backend: Any, node: Node) -> Callable[..., Any]:
    dims = _checked(node.attrs["dims"], node.inputs[0].type)
    reduce, keep = backend.xp.sum, node.attrs.get("keep", False)
    return lambda x, out: reduce(x, axis=dims, out=out, keepdims=keep)


def _sum_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    shape = x.type.shape
    kept = without(shape, _checked(attrs["dims"], x.type), True)
    return ((dy if dy.type.shape == kept else dy.op("reshape", shape=kept)).op("broadcast", shape=shape),)


define(
    "sum",
    _sum_type,
    kernel=_sum,
    vjp=_sum_vjp,
    range=ranges.summed,
    examples=(
        ({"dims": (0,)}, (FLOAT,)),
        ({"dims": (-1,), "keep": True}, (MATRIX,)),
        ({"dims": (0, 1)}, (MATRIX,)),
    ),
)


def _axes_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x = no_truth(types[0])
    return (Type(tuple(axis for axis in x.axes if axis not in attrs["axes"]), x.shape, x.dtype),)


def _sum_axes(backend: Any, node: Node) -> Callable[..., Any]:
    axes = positions(node.inputs[0].type, node.attrs["axes"])
    reduce, add = backend.xp.sum, backend.xp.add

    def total(x: Any, out: Any, one: Any) -> None:
        if "onto" not in node.attrs:
            out.fill(0)
        for at in pieces(node, (x,)):
            reduce(x[at], axis=axes, out=one)
            add(out, one, out)

    return total if "units" in node.attrs else lambda x, out: reduce(x, axis=axes, out=out)


define(
    "sum_axes",
    _axes_type,
    kernel=_sum_axes,
    scratch=part,
    vjp=lambda attrs, y, dy, x: (dy.op("spread", axes=x.type.axes),),
    range=ranges.summed,
    examples=(
        ({"axes": ("batch",)}, (FLOAT,)),
        ({"axes": ("time", "batch")}, (Type(("time", "batch"), (2,)),)),
        ({"axes": ("time",)}, (Type(("time", "batch"), (2,)),)),
    ),
)


def _some(attrs: Attrs, types: tuple[Type, ...]) -> Type:
    """What has a largest entry along its dimension."""
    (x,) = types
    if not x.shape[dim_of(attrs, x)]:
        raise ShapeError("no entry is the largest, as there are none")
    return x


def _max_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x = _some(attrs, types)
    return (Type(x.axes, without(x.shape, (dim_of(attrs, x),), attrs.get("keep", False)), x.dtype),)


def _max(backend: Any, node: Node) -> Callable[..., Any]:
    dim, keep = dim_of(node.attrs, node.inputs[0].type), node.attrs.get("keep", False)
    reduce = backend.xp.amax
    return lambda x, out: reduce(x, axis=dim, out=out, keepdims=keep)


def _max_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    """To the largest entry; shared evenly among equal ones."""
    kept = without(x.type.shape, (dim_of(attrs, x.type),), True)
    largest = y if y.type.shape == kept else y.op("reshape", shape=kept)
    back = dy if dy.type.shape == kept else dy.op("reshape", shape=kept)
    here = x.op("eq", largest).op("cast", dtype="float")
    return (back * (here / here.op("sum", dims=(dim_of(attrs, x.type),), keep=True)),)


define(
    "max_over",
    _max_type,
    kernel=_max,
    vjp=_max_vjp,
    masks=True,
    range=ranges.same,
    examples=(({"dim": -1}, (FLOAT,)), ({"dim": 0, "keep": True}, (MATRIX,))),
)


def _max_axes(backend: Any, node: Node) -> Callable[..., None]:
    axes = positions(node.inputs[0].type, node.attrs["axes"])
    reduce = backend.xp.amax

    def run(x: Any, out: Any) -> None:
        if x.size:
            reduce(x, axis=axes, out=out)
        else:
            out.fill(0)

    return run


def _max_axes_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    """To the largest entry; shared evenly among equal ones."""
    here = x.op("eq", y).op("cast", dtype="float")
    return (dy * (here / here.op("sum_axes", axes=attrs["axes"])),)


define(
    "max_axes",
    _axes_type,
    kernel=_max_axes,
    vjp=_max_axes_vjp,
    masks=True,
    range=ranges.same_or_zero,
    examples=(
        ({"axes": ("time",)}, (Type(("time", "batch"), (2,)),)),
        ({"axes": ("time", "batch")}, (Type(("time", "batch"), ()),)),
    ),
)


def _argmax_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x = _some(attrs, types)
    return (Type(x.axes, without(x.shape, (dim_of(attrs, x),), False), "int"),)


def _argmax(backend: Any, node: Node) -> Callable[..., Any]:
    dim, argmax = dim_of(node.attrs, node.inputs[0].type), backend.xp.argmax
    return lambda x, out: argmax(x, axis=dim, out=out)


define(
    "argmax",
    _argmax_type,
    kernel=_argmax,
    vjp=no_rule,
    strided=False,
    range=ranges.entry,
    examples=(({"dim": -1}, (FLOAT,)), ({"dim": 0}, (MATRIX,))),
)


def _cumsum(backend: Any, node: Node) -> Callable[..., Any]:
    dim, accumulate = dim_of(node.attrs, node.inputs[0].type), backend.xp.cumsum
    if node.attrs.get("reverse", False):
        return lambda x, out: accumulate(_flip(x, dim), axis=dim, out=_flip(out, dim))
    return lambda x, out: accumulate(x, axis=dim, out=out)


def _flip(array: Any, dim: int) -> Any:
    return array[(..., slice(None, None, -1), *(slice(None),) * (-dim - 1))]


def _running(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dim_of(attrs, types[0])
    return (no_truth(types[0]),)


define(
    "cumsum",
    _running,
    kernel=_cumsum,
    strided=False,
    vjp=lambda attrs, y, dy, x: (dy.op("cumsum", **{**attrs, "reverse": not attrs.get("reverse", False)}),),
    examples=(({"dim": -1}, (FLOAT,)), ({"dim": 0, "reverse": True}, (MATRIX,))),
)
