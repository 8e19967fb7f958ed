"""Cuts along a sequence: `last`, `reversed`, `every`, `shift`."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rnngraph.exchange.importing.onnx.scope import Op
from rnngraph.exchange.importing.shapes import picked, with_dims
from rnngraph.exchange.importing.values import BATCH, Axis, CannotSay, Dim, Learned, Padded, Value, as_sequence

FAR = 2**31 - 1
"""What is as large stands for the end of a dimension."""


def settled(dim: Dim) -> Dim:
    """A dimension; one of a fixed size of which nothing else is known is no sequence."""
    if isinstance(dim, Axis) and dim.open and dim.size is not None:
        raise Learned(dim.key, dim.size)
    return dim


def steps_of(op: Op, value: Value, place: int, dim: Axis, start: Any, stop: Any, step: int) -> Value:
    """A cut along a sequence: all of it, its reverse, its last or first step, every k-th."""
    if dim.size is not None and isinstance(stop, int) and dim.size <= stop:
        stop = FAR
    if step == 1 and start == 0 and (stop == dim or (isinstance(stop, int) and stop >= FAR)):
        return value
    if dim == BATCH:
        raise CannotSay("it takes some rows of the batch")
    if dim.open:
        as_sequence(dim)
    rest = (*value.dims[:place], 1, *value.dims[place + 1 :])
    if step == 1 and ((start == -1 and stop not in (0, -1)) or (start == 0 and stop == 1)):
        return with_dims(picked(op.body, op.hint, value, place, start), rest)
    if step == -1 and start == -1 and isinstance(stop, int) and stop <= -FAR:
        return op.body.let(op.hint, f"reversed({value.text})", value.dims, value.dtype)
    if step > 1 and start == 0 and isinstance(stop, int) and stop >= FAR:
        shorter = replace(dim, name=f"{dim.name}_every_{step}", key="")
        dims = tuple(shorter if d == dim else d for d in value.dims)
        return op.body.let(op.hint, f"every({value.text}, {step})", dims, value.dtype)
    raise CannotSay("it takes some steps of a sequence")


def shifted(op: Op, value: Value, place: int, dim: Padded, start: Any, stop: Any) -> Value:
    """Padding on one side, and as many steps cut off on the other: `shift`."""
    dims = tuple(dim.axis if d is dim else d for d in value.dims)
    fill = f", fill = {dim.fill}" if dim.fill else ""
    if dim.before and not dim.after and start == 0 and (stop == dim.axis or stop == -dim.before):
        return op.body.let(op.hint, f"shift({value.text}, {dim.before}{fill})", dims, value.dtype)
    if dim.after and not dim.before and start == dim.after and isinstance(stop, int) and stop >= FAR:
        return op.body.let(op.hint, f"shift({value.text}, {-dim.after}{fill})", dims, value.dtype)
    raise CannotSay("it takes some steps of a sequence")
