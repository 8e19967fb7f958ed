"""The steps of a sequence that are kept, moved to the front: what a decoder leaves of the labels of every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import BATCH, Type
from rnngraph.ops.index import ramp
from rnngraph.ops.table import define


def _compact_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    x, keep = types
    if keep.dtype != "bool":
        raise ShapeError(f"what to keep is true or false, not {keep.dtype}")
    if x.axes[:1] != (attrs["axis"],) or x.axes != keep.axes or x.shape != keep.shape:
        raise ShapeError(f"{x} and {keep} are no sequences side by side")
    return (x,)


def _compact_scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    x = types[0]
    row = (x.axes[1:], x.shape)
    return Type(*row, "int"), Type(*row, "int"), Type(*row, "bool")


def _places(xp: Any, to: Any, first: Any) -> None:
    """The places of the first step in the flattened array."""
    ramp(xp, first.reshape(-1), 1)
    xp.copyto(to, first)


def _compact(backend: Any, node: Node) -> Callable[..., None]:
    """Each kept step goes behind those before it; a step that is not kept is written over, or cleared at last."""
    xp = backend.xp

    def run(x: Any, keep: Any, out: Any, to: Any, jump: Any, gone: Any) -> None:
        flat, width = out.reshape(-1), to.size
        _places(xp, to, jump)
        for row, kept in zip(x, keep, strict=True):
            flat[to] = row
            xp.multiply(kept, width, jump)
            xp.add(to, jump, to)
        for t, row in enumerate(out):
            xp.less(to, (t + 1) * width, gone)
            xp.copyto(row, False, where=gone)  # 0, of any kind

    return run


def _expand(backend: Any, node: Node) -> Callable[..., None]:
    """The other way: what stands at the front goes back to the step that it was kept from."""
    xp = backend.xp

    def run(y: Any, keep: Any, out: Any, at: Any, jump: Any, lost: Any) -> None:
        flat, width = y.reshape(-1), at.size
        _places(xp, at, jump)
        for row, kept in zip(out, keep, strict=True):
            backend.take_rows(flat, at, row)
            xp.logical_not(kept, lost)
            xp.copyto(row, False, where=lost)
            xp.multiply(kept, width, jump)
            xp.add(at, jump, at)

    return run


_SEQ, _KEEP = Type(("time", BATCH), (3,)), Type(("time", BATCH), (3,), "bool")
_NUMBERS, _SOME = Type(("time", BATCH), ()), Type(("time", BATCH), (), "bool")

define(
    "compact",
    _compact_type,
    kernel=_compact,
    scratch=_compact_scratch,
    strided=False,
    vjp=lambda attrs, y, dy, x, keep: (dy.op("expand", keep, **attrs), None),
    range=ranges.same_or_zero,
    examples=(({"axis": "time"}, (_SEQ, _KEEP)), ({"axis": "time"}, (_NUMBERS, _SOME))),
)
define(
    "expand",
    _compact_type,
    kernel=_expand,
    scratch=_compact_scratch,
    strided=False,
    vjp=lambda attrs, y, dy, x, keep: (dy.op("compact", keep, **attrs), None),
    range=ranges.same_or_zero,
    examples=(({"axis": "time"}, (_SEQ, _KEEP)),),
)
