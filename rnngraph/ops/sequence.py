"""What looks along an axis of time, and what the unrolled form of a loop is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops.table import define, no_rule, positions

_SEQ = Type(("time", "batch"), (3,))
_LENGTHS = Type((BATCH,), (), "int")
_OUTER = Type(("a", "label", "time", BATCH), (3,))


# --- constants: filled when the sizes are known -----------------------------------------------------------------


def _fill(backend: Any, node: Node) -> Callable[..., None]:
    """A number that float32 has no room for, as 1e300, is infinite there."""
    value = node.attrs["value"]
    narrow = value * math.inf if abs(value) >= 2.0**128 else value
    return lambda out, sizes: out.fill(narrow if out.dtype.itemsize == 4 else value)


def _value(node: Node) -> ranges.Range:
    value: float = node.attrs["value"]
    return ranges.Range(value, value, math.isfinite(value))


define(
    "const",
    lambda attrs, types: (Type((), (), attrs["dtype"]),),
    kernel=_fill,
    kind="constant",
    vjp=no_rule,
    range=_value,
    examples=(({"value": 2.5, "dtype": "float"}, ()),),
)


def _count(backend: Any, node: Node) -> Callable[..., None]:
    def run(out: Any, sizes: Any) -> None:
        total = 1
        for axis in node.attrs["axes"]:
            total *= sizes[axis]
        out.fill(total)

    return run


define(
    "size",
    lambda attrs, types: (Type((), ()),),
    kernel=_count,
    kind="constant",
    vjp=no_rule,
    range=lambda node: ranges.number(node.attrs["axes"]),
    examples=(({"axes": ("time", "batch")}, ()),),
)


def _iota(backend: Any, node: Node) -> Callable[..., None]:
    def run(out: Any, sizes: Any) -> None:
        out[...] = backend.xp.arange(out.shape[0])

    return run


define(
    "iota",
    lambda attrs, types: (Type((attrs["axis"],), (), "int"),),
    kernel=_iota,
    kind="constant",
    vjp=no_rule,
    range=lambda node: ranges.count(node.attrs["axis"]),
    examples=(({"axis": "time"}, ()),),
)


# --- rows of a sequence --------------------------------------------------------------------------------------------


def _same(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    return types[:1]


def _without_axis(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x = types[0]
    return (Type(tuple(a for a in x.axes if a != attrs["axis"]), x.shape, x.dtype),)


def _with_axis(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    return (types[0].with_axes((*types[0].axes, attrs["axis"])),)


def _led(type: Type, *axes: str) -> Callable[[Any], Any]:
    """The view of an array with these axes in front, the others in their order."""
    first = positions(type, axes)
    order = (*first, *(i for i in range(type.rank) if i not in first))
    return lambda array: array.transpose(order)


def _shift(backend: Any, node: Node) -> Callable[..., None]:
    front, by, copyto = _led(node.types[0], node.attrs["axis"]), node.attrs["by"], backend.xp.copyto

    def run(x: Any, out: Any) -> None:
        x, out = front(x), front(out)
        gap = min(abs(by), len(out))
        to, source, empty = (
            (out[gap:], x[: len(x) - gap], out[:gap])
            if by >= 0
            else (out[: len(out) - gap], x[gap:], out[len(out) - gap :])
        )
        copyto(to, source)
        empty.fill(0)

    return run


define(
    "shift",
    _same,
    kernel=_shift,
    vjp=lambda attrs, y, dy, x: (dy.op("shift", axis=attrs["axis"], by=-attrs["by"]),),
    range=ranges.same_or_zero,
    examples=(({"axis": "time", "by": 1}, (_SEQ,)), ({"axis": "time", "by": -2}, (_SEQ,))),
)


def _reverse(backend: Any, node: Node) -> Callable[..., None]:
    front, copyto = _led(node.types[0], node.attrs["axis"]), backend.xp.copyto
    return lambda x, out: copyto(front(out), front(x)[::-1])


define(
    "reverse",
    _same,
    kernel=_reverse,
    vjp=lambda attrs, y, dy, x: (dy.op("reverse", axis=attrs["axis"]),),
    range=ranges.same,
    examples=(({"axis": "time"}, (_SEQ,)),),
)


def _by_rows(lengths: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Each length with its place, as an index that leaves the last axis: an array of one row, not a number."""
    whole = lengths.tolist()
    for at in product(*map(range, lengths.shape)):
        length = whole
        for i in at:
            length = length[i]
        yield length, (*at[:-1], slice(at[-1], at[-1] + 1))


def _reverse_within(backend: Any, node: Node) -> Callable[..., None]:
    rows = _led(node.types[0], *node.inputs[1].type.axes, node.attrs["axis"])
    copyto = backend.xp.copyto

    def run(x: Any, lengths: Any, out: Any) -> None:
        copyto(out, x)
        x, out = rows(x), rows(out)
        for length, at in _by_rows(lengths):
            copyto(out[at][:, :length], x[at][:, :length][:, ::-1])

    return run


define(
    "reverse_within",
    _same,
    kernel=_reverse_within,
    vjp=lambda attrs, y, dy, x, lengths: (dy.op("reverse_within", lengths, axis=attrs["axis"]), None),
    range=ranges.same,
    examples=(*(({"axis": "time"}, given) for given in ((_SEQ, _LENGTHS), (_OUTER, _LENGTHS))),),
)


def _last(backend: Any, node: Node) -> Callable[..., None]:
    front, copyto = _led(node.inputs[0].type, node.attrs["axis"]), backend.xp.copyto

    def run(x: Any, out: Any) -> None:
        x = front(x)
        if len(x):
            copyto(out, x[-1])
        else:
            out.fill(0)

    return run


define(
    "last",
    _without_axis,
    kernel=_last,
    vjp=lambda attrs, y, dy, x: (dy.op("place_last", axis=attrs["axis"]),),
    range=ranges.same_or_zero,
    examples=(({"axis": "time"}, (_SEQ,)), ({"axis": "time"}, (_OUTER,))),
)


def _place_last(backend: Any, node: Node) -> Callable[..., None]:
    front, copyto = _led(node.types[0], node.attrs["axis"]), backend.xp.copyto

    def run(dy: Any, out: Any) -> None:
        out.fill(0)
        if len(front(out)):
            copyto(front(out)[-1, ...], dy)  # an array, where a step is a single number too

    return run


define(
    "place_last",
    _with_axis,
    kernel=_place_last,
    vjp=lambda attrs, y, dy, x: (dy.op("last", axis=attrs["axis"]),),
    range=ranges.same_or_zero,
    examples=(
        ({"axis": "time"}, (Type((BATCH,), (3,)),)),
        ({"axis": "time"}, (Type(("a", "label", BATCH), (3,)),)),
        ({"axis": "time"}, (Type((), ()),)),
    ),
)


def _last_within(backend: Any, node: Node) -> Callable[..., None]:
    lead, copyto = node.inputs[1].type.axes, backend.xp.copyto
    rows, lasts = _led(node.inputs[0].type, *lead, node.attrs["axis"]), _led(node.types[0], *lead)

    def run(x: Any, lengths: Any, out: Any) -> None:
        out.fill(0)
        x, out = rows(x), lasts(out)
        for length, at in _by_rows(lengths):
            if length > 0:
                copyto(out[at], x[at][:, length - 1])

    return run


define(
    "last_within",
    _without_axis,
    kernel=_last_within,
    vjp=lambda attrs, y, dy, x, lengths: (dy.op("place_last_within", lengths, axis=attrs["axis"]), None),
    range=ranges.same_or_zero,
    examples=(*(({"axis": "time"}, given) for given in ((_SEQ, _LENGTHS), (_OUTER, _LENGTHS))),),
)


def _place_last_within(backend: Any, node: Node) -> Callable[..., None]:
    lead, copyto = node.inputs[1].type.axes, backend.xp.copyto
    rows, lasts = _led(node.types[0], *lead, node.attrs["axis"]), _led(node.inputs[0].type, *lead)

    def run(dy: Any, lengths: Any, out: Any) -> None:
        out.fill(0)
        dy, out = lasts(dy), rows(out)
        for length, at in _by_rows(lengths):
            if length > 0:
                copyto(out[at][:, length - 1], dy[at])

    return run


define(
    "place_last_within",
    _with_axis,
    kernel=_place_last_within,
    vjp=lambda attrs, y, dy, x, lengths: (dy.op("last_within", lengths, axis=attrs["axis"]), None),
    range=ranges.same_or_zero,
    examples=(
        ({"axis": "time"}, (Type((BATCH,), (3,)), _LENGTHS)),
        ({"axis": "time"}, (Type(("a", "label", BATCH), (3,)), _LENGTHS)),
    ),
)


# --- every k-th step, on an axis of its own -------------------------------------------------------------------------


def _every_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    axis = attrs["axis"]
    return (x.with_axes(f"{axis}/{attrs['by']}" if a == axis else a for a in x.axes),)


def _every(backend: Any, node: Node) -> Callable[..., None]:
    axis, by = node.attrs["axis"], node.attrs["by"]
    source, target = _led(node.inputs[0].type, axis), _led(node.types[0], f"{axis}/{by}")
    copyto = backend.xp.copyto
    return lambda x, out: copyto(target(out), source(x)[::by])


define(
    "every",
    _every_type,
    kernel=_every,
    vjp=lambda attrs, y, dy, x: (dy.op("place_every", axis=attrs["axis"], by=attrs["by"]),),
    range=ranges.same,
    examples=(({"axis": "time", "by": 2}, (_SEQ,)), ({"axis": "time", "by": 1}, (Type(("a", "time", "batch"), ()),))),
)


def _place_every_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    axis = attrs["axis"]
    return (x.with_axes(axis if a == f"{axis}/{attrs['by']}" else a for a in x.axes),)


def _place_every(backend: Any, node: Node) -> Callable[..., None]:
    axis, by = node.attrs["axis"], node.attrs["by"]
    source, target = _led(node.inputs[0].type, f"{axis}/{by}"), _led(node.types[0], axis)
    copyto = backend.xp.copyto

    def run(dy: Any, out: Any) -> None:
        out.fill(0)
        copyto(target(out)[::by], source(dy))

    return run


define(
    "place_every",
    _place_every_type,
    kernel=_place_every,
    vjp=lambda attrs, y, dy, x: (dy.op("every", axis=attrs["axis"], by=attrs["by"]),),
    range=ranges.same_or_zero,
    examples=(({"axis": "time", "by": 2}, (Type(("time/2", "batch"), (3,)),)),),
)


# --- the first dimension as an axis of its own, and back --------------------------------------------------------------


def _rows_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    if not x.shape:
        raise ShapeError("a single number has no rows")
    return (Type(x.axes, x.shape[1:], x.dtype).with_axes((*x.axes, attrs["axis"])),)


def _steps_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = _without_axis(attrs, types)
    return (Type(x.axes, (attrs["size"], *x.shape), x.dtype),)


def _turned(backend: Any, node: Node) -> Callable[..., None]:
    """The dimension has the place behind the axes, and there the name of the axis."""
    axis, (x,), y = node.attrs["axis"], node.inputs, node.types[0]
    before, after = ((*t.axes, *(() if axis in t.axes else (axis,))) for t in (x.type, y))
    order = (*(before.index(a) for a in after), *range(len(before), x.type.rank))
    copyto = backend.xp.copyto
    return lambda x, out: copyto(out, x.transpose(order))


define(
    "rows",
    _rows_type,
    kernel=_turned,
    vjp=lambda attrs, y, dy, x: (dy.op("steps", axis=attrs["axis"], size=x.type.shape[0]),),
    range=ranges.same,
    examples=(
        ({"axis": "3@for"}, (Type((BATCH,), (3, 2)),)),
        ({"axis": "3@for"}, (Type(("time", BATCH), (3,)),)),
        ({"axis": "3@for"}, (Type((), (3, 2, 2)),)),
    ),
)
"""The entries along the first dimension as the steps of an axis, of a fixed number."""

define(
    "steps",
    _steps_type,
    kernel=_turned,
    vjp=lambda attrs, y, dy, x: (dy.op("rows", axis=attrs["axis"]),),
    range=ranges.same,
    examples=(
        ({"axis": "3@for", "size": 3}, (Type(("3@for", BATCH), (2,)),)),
        ({"axis": "3@for", "size": 3}, (Type(("3@for", "time", BATCH), ()),)),
    ),
)
"""The steps of an axis of a fixed number as the first dimension."""


# --- what an unrolled loop is made of: views and rows written in place ---------------------------------------------


define(
    "row",
    _without_axis,
    kind="view",
    examples=(({"axis": "time", "at": 0}, (_SEQ,)),),
)
"""The row at a fixed place of an axis."""


def _stack_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    row: Type = attrs["row"]
    return (row.with_axes((*row.axes, attrs["axis"])),)


define("stack", _stack_type, kind="gather")
"""Its inputs as the rows of a sequence, in the order of time. Attributes: `axis`, `row` (type of a row)."""


def _history_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    return _stack_type(attrs, types) * 2


define("history", _history_type, kind="gather")
"""A state over time in one array of n + 1 rows: result 0 is each step's old value, result 1 its new one.
Inputs in the order of time; attributes as of `stack`, and `reverse`: the first value stands last."""
