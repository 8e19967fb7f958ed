"""Joining, cutting and rearranging the dimensions that the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.table import FLOAT, Formula, define, dim_of, same_dtype

_MATRIX = Type(("batch",), (2, 3))


def _concat_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    first = types[0]
    dim = dim_of(attrs, first) + len(first.shape)
    for other in types[1:]:
        if len(other.shape) != len(first.shape) or any(
            s != o for i, (s, o) in enumerate(zip(first.shape, other.shape, strict=True)) if i != dim
        ):
            raise ShapeError(f"cannot join {list(first.shape)} and {list(other.shape)}")
    total = sum(t.shape[dim] for t in types)
    shape = (*first.shape[:dim], total, *first.shape[dim + 1 :])
    return (Type(union(types), shape, same_dtype(types)),)


def _concat_vjp(attrs: Attrs, y: Formula, dy: Formula, *parts: Formula) -> tuple[Formula, ...]:
    dim, found, start = dim_of(attrs, y.type), [], 0
    for part in parts:
        stop = start + part.type.shape[dim]
        found.append(dy.op("slice", dim=dim, start=start, stop=stop))
        start = stop
    return tuple(found)


define(
    "concat",
    _concat_type,
    kind="gather",
    vjp=_concat_vjp,
    range=ranges.any_of,
    examples=(
        ({"dim": -1}, (FLOAT, Type((), (2,)), FLOAT)),
        ({"dim": 0}, (_MATRIX, Type(("batch",), (1, 3)))),
        ({"dim": -1}, (FLOAT,)),
    ),
)


def _slice_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    dim = dim_of(attrs, x) + len(x.shape)
    start, stop = attrs["start"], attrs["stop"]
    if not 0 <= start <= stop <= x.shape[dim]:
        raise ShapeError(f"[{start}:{stop}] lies outside its {x.shape[dim]} values")
    return (Type(x.axes, (*x.shape[:dim], stop - start, *x.shape[dim + 1 :]), x.dtype),)


def _slice_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    dim = dim_of(attrs, x.type)
    return (dy.op("pad", dim=dim, before=attrs["start"], after=x.type.shape[dim] - attrs["stop"]),)


def _part(node: Node, x: ranges.Range) -> ranges.Range:
    """Of what `draw` gives, the classes, which stand first, are places among as many as there are weights."""
    drawn = node.inputs[0].node
    if drawn.op.name == "draw" and node.attrs["stop"] <= drawn.attrs["count"]:
        return ranges.Range(0, drawn.inputs[2].type.shape[-1] - 1)
    return x


define(
    "slice",
    _slice_type,
    kind="view",
    vjp=_slice_vjp,
    range=_part,
    examples=(
        ({"dim": -1, "start": 1, "stop": 3}, (FLOAT,)),
        ({"dim": 0, "start": 0, "stop": 1}, (_MATRIX,)),
    ),
)


def _pad_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    dim = dim_of(attrs, x) + len(x.shape)
    size = attrs["before"] + x.shape[dim] + attrs["after"]
    return (Type(x.axes, (*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype),)


def _pad(backend: Any, node: Node) -> Callable[..., None]:
    dim, before = dim_of(node.attrs, node.types[0]), node.attrs["before"]
    stop = before + node.inputs[0].type.shape[dim]
    index = (..., slice(before, stop), *(slice(None),) * (-dim - 1))
    copyto = backend.xp.copyto

    def run(x: Any, out: Any) -> None:
        out.fill(0)
        copyto(out[index], x)

    return run


define(
    "pad",
    _pad_type,
    kernel=_pad,
    vjp=lambda attrs, y, dy, x: (
        dy.op(
            "slice",
            dim=attrs["dim"],
            start=attrs["before"],
            stop=attrs["before"] + x.type.shape[attrs["dim"]],
        ),
    ),
    range=ranges.same_or_zero,
    examples=(
        ({"dim": -1, "before": 1, "after": 2}, (FLOAT,)),
        ({"dim": -2, "before": 0, "after": 1}, (_MATRIX,)),
    ),
)


def _reshape_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    shape = tuple(attrs["shape"])
    if _count(shape) != _count(x.shape):
        raise ShapeError(f"{list(x.shape)} has {_count(x.shape)} values, {list(shape)} would have {_count(shape)}")
    return (Type(x.axes, shape, x.dtype),)


def _count(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _reshape(backend: Any, node: Node) -> Callable[..., None]:
    copyto, lead = backend.xp.copyto, len(node.types[0].axes)
    return lambda x, out: copyto(out.reshape(out.shape[:lead] + x.shape[lead:]), x)


define(
    "reshape",
    _reshape_type,
    kernel=_reshape,
    strided=False,
    vjp=lambda attrs, y, dy, x: (dy.op("reshape", shape=x.type.shape),),
    range=ranges.same,
    examples=(
        ({"shape": (3, 2)}, (_MATRIX,)),
        ({"shape": (1, 3, 1)}, (FLOAT,)),
        ({"shape": (6,)}, (_MATRIX,)),
    ),
)


def _transpose_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    if sorted(attrs["perm"]) != list(range(len(x.shape))):
        raise ShapeError(f"{list(attrs['perm'])} is not an order of {len(x.shape)} dimensions")
    return (Type(x.axes, tuple(x.shape[i] for i in attrs["perm"]), x.dtype),)


def _transpose(backend: Any, node: Node) -> Callable[..., None]:
    lead = len(node.types[0].axes)
    order = (*range(lead), *(lead + i for i in node.attrs["perm"]))
    copyto = backend.xp.copyto
    return lambda x, out: copyto(out, x.transpose(order))


def _transpose_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    perm = attrs["perm"]
    return (dy.op("transpose", perm=tuple(perm.index(i) for i in range(len(perm)))),)


define(
    "transpose",
    _transpose_type,
    kernel=_transpose,
    vjp=_transpose_vjp,
    range=ranges.same,
    examples=(({"perm": (1, 0)}, (_MATRIX,)), ({"perm": (2, 0, 1)}, (Type(("batch",), (2, 3, 4)),))),
)


def _repeat_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    dim = dim_of(attrs, x) + len(x.shape)
    return (Type(x.axes, (*x.shape[:dim], x.shape[dim] * attrs["times"], *x.shape[dim + 1 :]), x.dtype),)


def _grouped(attrs: Attrs, x: Type) -> tuple[int, tuple[int, ...]]:
    """The dimension, and the shape with the repeated entries as a dimension of their own behind it."""
    dim = dim_of(attrs, x) + len(x.shape)
    return dim, (*x.shape[: dim + 1], attrs["times"], *x.shape[dim + 1 :])


def _repeat(backend: Any, node: Node) -> Callable[..., None]:
    x = node.inputs[0].type
    dim, shape = _grouped(node.attrs, x)
    lead, at = len(x.axes), len(x.axes) + dim + 1
    copyto = backend.xp.copyto
    return lambda v, out: copyto(out.reshape(out.shape[:lead] + shape), v[(slice(None),) * at + (None,)])


def _repeat_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    dim, shape = _grouped(attrs, x.type)
    return (dy.op("reshape", shape=shape).op("sum", dims=(dim + 1,)),)


define(
    "repeat",
    _repeat_type,
    kernel=_repeat,
    vjp=_repeat_vjp,
    strided=False,
    range=ranges.same,
    examples=(({"dim": -1, "times": 2}, (FLOAT,)), ({"dim": 0, "times": 3}, (_MATRIX,))),
)
