"""Integers that choose: rows of a table, entries of a vector."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.summation_order import pieces
from rnngraph.ops.table import FLOAT, Formula, define, no_rule, no_truth

_IDS = Type(("time", "batch"), (), "int")


def _need_ints(type: Type) -> None:
    if type.dtype != "int":
        raise ShapeError(f"an index must be an integer, not {type.dtype}")


# --- rows of a table -------------------------------------------------------------------------------------------


def _take_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    table, ids = types
    _need_ints(ids)
    if not table.shape:
        raise ShapeError("a single number has no rows to choose from")
    if table.axes:
        raise ShapeError("a table must be the same for every row of the batch")
    return (Type(ids.axes, (*ids.shape, *table.shape[1:]), table.dtype),)


def _take(backend: Any, node: Node) -> Callable[..., None]:
    take = backend.take_rows
    return lambda table, ids, out: take(table, ids, out)


def _take_vjp(attrs: Attrs, y: Formula, dy: Formula, table: Formula, ids: Formula) -> tuple[Formula, None]:
    return dy.op("scatter_rows", ids, rows=table.type.shape[0], rank=len(ids.type.shape), reduce=dy.type.axes), None


define(
    "take",
    _take_type,
    kernel=_take,
    vjp=_take_vjp,
    strided=False,
    range=ranges.same,
    examples=(
        ({}, (Type((), (4, 3)), _IDS)),
        ({}, (Type((), (4,)), _IDS)),
        ({}, (Type((), (4, 3)), Type(("batch",), (2,), "int"))),
    ),
)


def _scatter_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dy, _ = types
    axes = tuple(axis for axis in union(types) if axis not in attrs["reduce"])
    return (no_truth(Type(axes, (attrs["rows"], *dy.shape[attrs["rank"] :]), dy.dtype)),)


def _scatter(backend: Any, node: Node) -> Callable[..., None]:
    """Adds each row of dy to the row of the table it came from, in order, so that bits do not depend on luck.

    Rows are added one by one, so units only say which of them come first. Where each step has a table of its own, its
    rows are added to that.
    """
    kept, scatter, width = len(node.types[0].axes), backend.scatter_rows, node.types[0].shape[1:]

    def run(dy: Any, ids: Any, out: Any) -> None:
        out.fill(0)
        scatter(ids.reshape(-1), dy.reshape((-1, *width)), out)

    def each(dy: Any, ids: Any, out: Any) -> None:
        for step in product(*map(range, out.shape[:kept])):
            run(dy[step], ids[step], out[step])

    def total(dy: Any, ids: Any, out: Any) -> None:
        if "onto" not in node.attrs:
            out.fill(0)
        for at in pieces(node, (dy, ids)):
            scatter(ids[at].reshape(-1), dy[at].reshape((-1, *width)), out)

    if kept:
        return each
    return total if "units" in node.attrs else run


def _scatter_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula, ids: Formula) -> tuple[Formula, None]:
    """The rows that ints choose; where each step has a table of its own, by a product with ones in their places."""
    if not dy.type.axes:
        return dy.op("take", ids), None
    chosen, row = "abcdef"[: len(ids.type.shape)], "mnopqr"[: len(dy.type.shape) - 1]
    hot = ids.op("one_hot", depth=attrs["rows"])
    return hot.op("contract", dy, left=f"{chosen}z", right=f"z{row}", out=chosen + row, reduce=()), None


define(
    "scatter_rows",
    _scatter_type,
    kernel=_scatter,
    vjp=_scatter_vjp,
    examples=(
        ({"rows": 4, "rank": 0, "reduce": ("time", "batch")}, (Type(("time", "batch"), (3,)), _IDS)),
        (
            {"rows": 4, "rank": 1, "reduce": ("batch",)},
            (Type(("batch",), (2, 3)), Type(("batch",), (2,), "int")),
        ),
    ),
)


# --- entries of a vector ---------------------------------------------------------------------------------------


def _pick_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    values, ids = types
    _need_ints(ids)
    if len(values.shape) != 1 or ids.shape:
        raise ShapeError("picks one entry of a vector by one integer")
    return (Type(union(types), (), values.dtype),)


def _counters(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    counter = Type(union(types), types[-1].shape, "int")
    return counter, counter


def ramp(xp: Any, rows: Any, stride: Any, first: Any = 0) -> None:
    """Writes first, first + stride ... along the first dimension, by doubling, with no array of its own."""
    rows[:1] = first
    done = 1
    while done < len(rows):
        more = min(done, len(rows) - done)
        xp.add(rows[:more], done * stride % 2**64, rows[done : done + more])
        done += more


def _entries(node: Node, long: Type, size: int) -> Callable[..., Any]:
    """Places of the chosen entries in the flattened array of type `long`, whose last dimension is `size`.

    `find(xp, ids, flat, work)` returns `flat`, filled; both are scratch arrays of the axes of all operands.
    """
    ids = node.inputs[-1].type
    axes = union([v.type for v in node.inputs])
    index = tuple(slice(None) if axis in ids.axes else None for axis in axes) + (slice(None),) * len(ids.shape)
    dims = [axes.index(axis) for axis in long.axes] + [len(axes) + i for i in range(len(ids.shape))]

    def find(xp: Any, given: Any, flat: Any, work: Any) -> Any:
        xp.copyto(flat, given[index])
        xp.maximum(flat, 0, out=flat)  # an id outside takes the nearest inside, as in `take_rows`
        xp.minimum(flat, size - 1, out=flat)
        stride = size
        for dim in reversed(dims):
            ramp(xp, work.swapaxes(0, dim), stride)
            xp.add(flat, work, flat)
            stride *= flat.shape[dim]
        return flat

    return find


def _pick(backend: Any, node: Node) -> Callable[..., None]:
    xp, values = backend.xp, node.inputs[0].type
    find = _entries(node, values, values.shape[0])

    def run(x: Any, ids: Any, out: Any, flat: Any, work: Any) -> None:
        backend.take_rows(x.reshape(-1), find(xp, ids, flat, work), out)

    return run


define(
    "pick",
    _pick_type,
    kernel=_pick,
    scratch=_counters,
    strided=False,
    vjp=lambda attrs, y, dy, x, ids: (dy.op("place", ids, size=x.type.shape[0]), None),
    range=ranges.same,
    examples=(
        ({}, (FLOAT, Type(("batch",), (), "int"))),
        ({}, (Type(("time", "batch"), (4,)), _IDS)),
        ({}, (Type(("batch",), (4,)), _IDS)),
        ({}, (Type((), (4,)), _IDS)),
    ),
)


def _place_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dy, ids = types
    _need_ints(ids)
    return (Type(union(types), (attrs["size"],), dy.dtype),)


def _place(backend: Any, node: Node) -> Callable[..., None]:
    xp, y, dy_type = backend.xp, node.types[0], node.inputs[0].type
    find = _entries(node, y, node.attrs["size"])
    index = tuple(slice(None) if axis in dy_type.axes else None for axis in y.axes)

    def run(dy: Any, ids: Any, out: Any, flat: Any, work: Any) -> None:
        out.fill(0)
        spread = xp.broadcast_to(dy[index], flat.shape)
        out.reshape(-1)[find(xp, ids, flat, work)] = spread

    return run


define(
    "place",
    _place_type,
    kernel=_place,
    scratch=_counters,
    strided=False,
    vjp=lambda attrs, y, dy, x, ids: (dy.op("pick", ids), None),
    examples=(
        ({"size": 3}, (Type(("batch",), ()), Type(("batch",), (), "int"))),
        ({"size": 3}, (Type(("batch",), ()), _IDS)),
    ),
)


def _one_hot_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (ids,) = types
    _need_ints(ids)
    return (Type(ids.axes, (*ids.shape, attrs["depth"])),)


def _one_hot(backend: Any, node: Node) -> Callable[..., None]:
    xp, depth, ids_type = backend.xp, node.attrs["depth"], node.inputs[0].type
    find = _entries(node, ids_type, depth)

    def run(ids: Any, out: Any, flat: Any, work: Any) -> None:
        out.fill(0)
        out.reshape(-1)[find(xp, ids, flat, work)] = 1

    return run


define(
    "one_hot",
    _one_hot_type,
    kernel=_one_hot,
    vjp=no_rule,
    strided=False,
    scratch=_counters,
    range=ranges.within(0, 1),
    examples=(({"depth": 4}, (_IDS,)), ({"depth": 4}, (Type(("batch",), (2,), "int"),))),
)
