"""Whether what is in the arrays makes sense: lengths of rows, finite numbers, ids inside their table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnngraph.data.shapes import LENGTHS, Array, Checking, dims_of
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, StateInput
from rnngraph.weights.checks import shape_text


def check_lengths(check: Checking, item: DataInput, value: Any) -> None:
    """The real length of each row; one answer for each time axis."""
    name, lengths = item.name + LENGTHS, np.asarray(value)
    batch, steps = check.sizes[BATCH], check.sizes[item.axis]
    if lengths.shape != (batch,):
        check.wrong(
            "E520", f"`{name}` should be ({batch},), one for each row, got {shape_text(lengths.shape)}", item
        )
    elif lengths.dtype.kind not in "iu":
        check.wrong("E521", f"`{name}` should hold integers, got {lengths.dtype}", item)
    elif (outside := np.flatnonzero((lengths < 0) | (lengths > steps))).size:
        row = int(outside[0])
        check.wrong(
            "E522", f"`{name}` says {lengths[row]} for row {row}, expected 0 to {steps} (its steps)", item
        )
    elif item.axis in check.lengths and not np.array_equal(check.lengths[item.axis], lengths):
        other = check.length_names[item.axis]
        row = int(np.flatnonzero(check.lengths[item.axis] != lengths)[0])
        check.wrong(
            "E523",
            f"`{name}` and `{other}` disagree at row {row}: {lengths[row]} and "
            f"{check.lengths[item.axis][row]}",
            item,
            help="inputs on one time axis share their lengths",
        )
    else:
        check.lengths[item.axis] = lengths.astype("int64")
        check.length_names.setdefault(item.axis, name)


def check_contents(check: Checking, item: DataInput, array: Array, bound: int | None) -> None:
    real = _real(check, item, array)
    if item.type.dtype == "float":
        check_finite(check, item, array, real)
    elif bound is not None:
        _within(check, item, array, real, bound)


def _real(check: Checking, item: DataInput, array: Array) -> Array | None:
    """Which (row, step) are no padding, shaped to spread over the array; None where all are."""
    lengths = check.lengths.get(item.axis)
    if lengths is None or item.axis not in check.sizes or BATCH not in item.type.axes:
        return None
    real = np.arange(array.shape[1]) < lengths[:, None]
    return real.reshape(*real.shape, *(1,) * (array.ndim - 2))


def check_finite(check: Checking, item: DataInput | StateInput, array: Array, real: Array | None) -> None:
    if array.dtype.kind != "f" or all(np.isfinite(part).all() for part in parts(array)):
        return
    bad = ~np.isfinite(array) if real is None else ~np.isfinite(array) & real
    if bad.any():
        check.wrong(
            "E530",
            f"`{item.name}` holds {_value_at(item, array, bad)}, which is not a finite {array.dtype}",
            item,
        )


def parts(array: Array, values: int = 1 << 20) -> Iterator[Array]:
    """An array some rows at a time, about so many values, so that what is made of them takes little memory."""
    if array.ndim == 0 or array.size <= values:
        yield array
        return
    rows = max(1, values * len(array) // array.size)
    yield from (array[i : i + rows] for i in range(0, len(array), rows))


def check_start(check: Checking, state: StateInput, array: Array) -> None:
    """How many steps of each row are over: of rows that go on a multiple of what the model takes at a time."""
    if not state.begins:
        return
    going = check.lengths.get(state.axis, np.ones_like(array)) > 0
    for wrong, expected in (
        (array < 0, "0 or more"),
        (going & (array % state.stride != 0), f"a multiple of {state.stride}, the steps the model takes at a time"),
    ):
        if wrong.any():
            check.wrong("E524", f"`{state.name}` holds {_value_at(state, array, wrong)}, expected {expected}", state)
            return


def _within(check: Checking, item: DataInput, array: Array, real: Array | None, bound: int) -> None:
    if not array.size or (array.min() >= 0 and array.max() < bound):
        return
    bad = (array < 0) | (array >= bound)
    bad = bad if real is None else bad & real
    if bad.any():
        check.wrong(
            "E531",
            f"`{item.name}` holds {_value_at(item, array, bad)}, expected 0 to {bound - 1}",
            item,
            help=f"the indexed dimension has {bound} entries",
        )


def _value_at(item: DataInput | StateInput, array: Array, bad: Array) -> str:
    """`nan at row 2, step 5, value 0`, for the first bad entry; places count from 0."""
    at = [int(i) for i in np.argwhere(bad)[0]]
    dims = dims_of(item)
    words = ["row" if d == BATCH else "step" if isinstance(d, str) else "value" for d in dims]
    place = ", ".join(f"{word} {i}" for word, i in zip(words, at, strict=True))
    return f"{array[tuple(at)]}" + (f" at {place}" if place else "")
