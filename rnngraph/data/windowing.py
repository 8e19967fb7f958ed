"""Long sequences cut into windows: which rows each has, and the arrays that these make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rnngraph.data.dataset import Dataset, made_of
from rnngraph.data.shape_checks import unmasked
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError

Array = NDArray[Any]
Places = NDArray[np.int64]


class Windows(Struct, frozen=True):
    """Where windows begin in one long sequence, and how many steps each has; `whole` is the longest.

    `stride` is the distance from each to the next where it is the same for all, and all are whole; else 0.
    """

    starts: Places
    lengths: Places
    whole: int
    stride: int = 0

    @property
    def ragged(self) -> bool:
        return bool((self.lengths != self.whole).any())

    def first(self, rows: int | None) -> Windows:
        """So many of them."""
        return replace(self, starts=self.starts[:rows], lengths=self.lengths[:rows])

    def steps(self, values: Array, offset: int = 0) -> Array:
        """(windows, steps, ...): of each window its values, from `offset` rows behind its start; zeros behind its end.

        Where windows lie evenly, a view of the values that takes no memory of its own.
        """
        if self.stride:
            last = self.starts[-1] + offset + 1 if len(self.starts) else offset
            view = sliding_window_view(values, self.whole, axis=0)[self.starts[0] + offset : last : self.stride]
            return np.moveaxis(view, -1, 1)
        along = np.arange(self.whole)
        found: Array = values[np.minimum(self.starts[:, None] + offset + along, len(values) - 1)]
        found[along >= self.lengths[:, None]] = np.zeros((), values.dtype)
        return found

    def behind(self, values: Array, offset: int, count: int) -> Array:
        """(windows, count, ...): the values from `offset` rows behind each window's last step on."""
        found: Array = values[(self.starts + self.lengths - 1 + offset)[:, None] + np.arange(count)]
        return found


def over(groups: Sequence[int], steps: int | None, stride: int, extra: int) -> Windows:
    """The windows of sequences of so many rows that lie one behind the other; `extra` rows are asked for behind each.

    Without `steps` each sequence is one window. One that is shorter than a window is a short one, so that nothing is
    lost; one that has not even one step and what is asked for behind it has none.
    """
    starts: list[Places] = []
    lengths: list[Places] = []
    begin = 0
    for rows in groups:
        most = rows - extra
        size = most if steps is None else min(steps, most)
        if size > 0:
            found = np.arange(begin, begin + most - size + 1, stride if size == steps else most)
            starts.append(found)
            lengths.append(np.full(len(found), size))
        begin += rows
    if not starts:
        return Windows(np.zeros(0, np.int64), np.zeros(0, np.int64), steps or 0)
    whole = max(int(found[0]) for found in lengths)
    return Windows(np.concatenate(starts), np.concatenate(lengths), whole, stride if len(groups) == 1 else 0)


@kinds_checked
def windows(data: Mapping[str, Any], steps: int, stride: int = 1) -> Dataset:
    """Long sequences, each (rows, ...) and all of one length, cut into windows: (windows, steps, ...).

    A window begins every `stride` rows. UserError where the arrays differ in length or are shorter than a window.
    """
    arrays, count = _one_length(data)
    steps, stride = whole("steps", steps, 1), whole("stride", stride, 1)
    if count < steps:
        raise UserError(f"a window of {steps} steps is longer than the data, which have {count} rows", "E553")
    found = over([count], steps, stride, 0)
    return Dataset({name: found.steps(array) for name, array in arrays.items()}, made_of(data))


@kinds_checked
def streams(data: Mapping[str, Any], rows: int) -> Dataset:
    """Long sequences, each (steps, ...), laid out as so many rows that follow each other: 1 to 12 in two rows are 1 to
    6 and 7 to 12. Steps that are left over at the end are left out.

    For training with `segment`: each row is then cut along time, and its states are carried on.
    UserError where the arrays differ in length, or there are fewer steps than rows.
    """
    arrays, count = _one_length(data)
    rows = whole("rows", rows, 1)
    steps = count // rows
    if steps == 0:
        raise UserError(f"the data cannot be laid out in {rows} rows: they have fewer steps", "E553")
    laid = {n: array[: rows * steps].reshape(rows, steps, *array.shape[1:]) for n, array in arrays.items()}
    return Dataset(laid, made_of(data))


def _one_length(data: Mapping[str, Any]) -> tuple[dict[str, Array], int]:
    """The arrays, and how many rows each of them has."""
    arrays = {name: unmasked(name, array) for name, array in data.items()}
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1:
        raise UserError(f"sequences to cut should have one length, got {sorted(counts)} rows", "E553")
    return arrays, counts.pop()


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of steps or rows; UserError where it is none, or less than the least."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UserError(f"`{name}` should be a whole number of at least {least}, got {value}", "E553")
    return int(value)
