"""Whether what is in the arrays makes sense: lengths of rows, finite numbers, ids inside their table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np

from rnngraph.data.lengths import LENGTHS, by_axis
from rnngraph.data.shape_checks import Array, Checking, dims_of
from rnngraph.files.arrays import host_array
from rnngraph.files.precision import wider
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, StateInput
from rnngraph.weights.checks import shape_text

FEW = 64
"""So few integers are looked at one by one."""
_UNSIGNED = np.dtype(np.uint64)


def check_lengths(check: Checking, item: DataInput, value: Any) -> None:
    """The real length of each row, along each axis of the input."""
    name, many = item.name + LENGTHS, len(item.axes) > 1
    lengths = host_array(name, value)
    wanted = (check.sizes[BATCH], *(len(item.axes),) * many)
    if lengths.shape != wanted:
        each = f"one for each row, along {' and '.join(item.axes)}" if many else "one for each row"
        text = f"`{name}` should be {shape_text(wanted)}, {each}, got {shape_text(lengths.shape)}"
        check.wrong("E520", text, item)
    elif lengths.dtype.kind not in "iu" or np.ma.is_masked(value):
        what = "masked values" if np.ma.is_masked(value) else str(lengths.dtype)
        check.wrong("E521", f"`{name}` should hold integers, got {what}", item)
    else:
        for axis, along in by_axis(item.axes, lengths).items():
            _check_along(check, item, axis, along)


def _check_along(check: Checking, item: DataInput, axis: str, lengths: Array) -> None:
    """The real length of each row along one axis; one answer for each."""
    name, steps = item.name + LENGTHS, check.sizes[axis]
    along = f" along {axis}" if len(item.axes) > 1 else ""
    if (outside := np.flatnonzero((lengths < 0) | (lengths > steps))).size:
        row = int(outside[0])
        check.wrong(
            "E522", f"`{name}` says {lengths[row]} for row {row}, expected 0 to {steps} (its steps{along})", item
        )
    elif axis in check.lengths and not np.array_equal(check.lengths[axis], lengths):
        other = check.length_names[axis]
        row = int(np.flatnonzero(check.lengths[axis] != lengths)[0])
        check.wrong(
            "E523",
            f"`{name}` and `{other}` disagree at row {row}: {lengths[row]} and "
            f"{check.lengths[axis][row]}{along}",
            item,
            help="inputs on one time axis share their lengths",
        )
    else:
        check.lengths[axis] = lengths.astype("int64")
        check.length_names.setdefault(axis, name)


def check_contents(check: Checking, item: DataInput, array: Array, given: Any, bound: int | None) -> None:
    """`array` is in the type of the program what was `given`."""
    real = _real(check, item, array)
    if item.type.dtype == "float":
        check_finite(check, item, array, given, real)
    elif bound is not None:
        _within(check, item, array, real, bound)


def _real(check: Checking, item: DataInput, array: Array) -> Array | None:
    """Which (row, step) are no padding, shaped to spread over the array; None where all are."""
    known = [axis for axis in item.axes if axis in check.lengths and axis in check.sizes]
    if not known or BATCH not in item.type.axes:
        return None
    masks = (_own_steps(check.lengths[axis], array, item.order.index(axis)) for axis in known)
    return reduce(np.logical_and, masks)


def _own_steps(lengths: Array, array: Array, place: int) -> Array:
    """Which (row, step along a dimension of an array) are no padding, shaped to spread over it."""
    real = np.arange(array.shape[place]) < lengths[:, None]
    return np.expand_dims(real, tuple(i for i in range(1, array.ndim) if i != place))


def check_finite(
    check: Checking, item: DataInput | StateInput, array: Array, given: Any, real: Array | None
) -> None:
    if array.dtype.kind != "f" or all(np.isfinite(part).all() for part in parts(array)):
        return
    bad = ~np.isfinite(array) if real is None else ~np.isfinite(array) & real
    if not bad.any():
        return
    told = host_array(item.name, given)
    held = np.isfinite(told[_first(bad)])
    what = f"which is infinite in {array.dtype}" if held else f"which is not a finite {array.dtype}"
    help = wider(str(array.dtype)) if held else ""
    check.wrong("E530", f"`{item.name}` holds {_value_at(item, told, bad)}, {what}", item, help=help)


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
    at, dims = _first(bad), dims_of(item)
    several = len([d for d in dims if isinstance(d, str) and d != BATCH]) > 1
    place = ", ".join(_place(d, i, several) for d, i in zip(dims, at, strict=True))
    return f"{array[at]}" + (f" at {place}" if place else "")


def _first(bad: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(bad)[0])


def _place(dim: str | int, i: int, several: bool) -> str:
    """One dimension's place; of a step with its axis, where there are several."""
    if dim == BATCH:
        return f"row {i}"
    if isinstance(dim, int):
        return f"value {i}"
    return f"step {i} of {dim}" if several else f"step {i}"


def within(limit: int, array: Any) -> bool:
    """Whether all of these integers of 64 bits are at least 0 and below a limit: as unsigned ones the negative are
    the largest. For a few of them a core that has rested needs half of the time without NumPy's reductions."""
    if array.size > FEW:
        return bool(array.view(_UNSIGNED).max() < limit)
    numbers = array.ravel().tolist()
    return not numbers or (min(numbers) >= 0 and max(numbers) < limit)
