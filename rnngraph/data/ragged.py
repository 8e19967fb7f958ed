"""Nested lists as arrays: rows of unequal length become padded ones, with their lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.lengths import LENGTHS
from rnngraph.files.archives import Arrays
from rnngraph.files.untrusted_files import Damaged

Axes = Mapping[str, Sequence[str]]
"""The axes of time of the inputs that are known."""


def arrays_of(content: Mapping[str, Any], axes: Axes) -> Arrays:
    """Arrays of named lists; of rows that differ in length padded ones, with their lengths unless these are given."""
    found: Arrays = {}
    for name, value in content.items():
        lengths = _lengths(value, len(axes.get(name, ())))
        found[name] = _plain(name, value) if lengths is None else _padded(name, value, lengths)
        if lengths is not None:
            own = lengths[:, 0] if lengths.shape[1] == 1 else lengths
            found[name + LENGTHS] = _told(name + LENGTHS, content, own)
    return found | _full_lengths(found, axes, content)


def _told(name: str, content: Mapping[str, Any], own: NDArray[Any]) -> NDArray[Any]:
    """The lengths that are given, else those of the lists themselves. Steps beyond these would be zeros."""
    told = _plain(name, content[name]) if name in content else own
    if told.shape == own.shape and (rows := np.argwhere(told > own)).size:
        place = tuple(rows[0])
        raise Damaged(f"`{name}` says {told[place]} for row {place[0]}, whose lists have {own[place]}")
    return told


def _full_lengths(found: Arrays, axes: Axes, content: Mapping[str, Any]) -> Arrays:
    """The lengths of sequences whose rows are all as long, where those of another one over the same axes are not: that
    all should be the same is for the check of data to say."""
    told = {n for n in axes if n + LENGTHS in found}
    ragged = {axes[n] for n in told if axes[n] and n + LENGTHS not in content}
    even = {n: len(along) for n, along in axes.items() if n in found.keys() - told and along in ragged}
    full = {n: np.full((len(found[n]), k), found[n].shape[1 : k + 1]) for n, k in even.items() if found[n].ndim > k}
    return {n + LENGTHS: lengths[:, 0] if even[n] == 1 else lengths for n, lengths in full.items()}


def _lengths(value: Any, axes: int) -> NDArray[Any] | None:
    """The number of steps of each row along each axis, where they differ; `axes` is 0 where their number is not known:
    then they are two if lists differ between rows that are as long as each other in a row."""
    if not (isinstance(value, list) and value and all(isinstance(row, list) for row in value)):
        return None
    axes = axes or (2 if len({width for steps, width in _extents(value, 2) if steps}) > 1 else 1)
    found = np.array(_extents(value, axes))
    return found if (found != found[:1]).any() else None


def _extents(rows: list[Any], axes: int) -> list[tuple[int, ...]]:
    """Of each row how long its lists are, those within lists too; nothing where they differ within a row."""
    found = [_extent(row, axes) for row in rows]
    return [] if None in found else [extent for extent in found if extent is not None]


def _extent(row: Any, axes: int) -> tuple[int, ...] | None:
    if not axes:
        return ()
    within = {_extent(step, axes - 1) for step in row} if isinstance(row, list) else {None}
    first = next(iter(within), (0,) * (axes - 1))
    return None if len(within) > 1 or first is None else (len(row), *first)


def _padded(name: str, rows: list[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """All rows as long as the longest along each axis, by zeros."""
    parts = {i: _plain(name, row) for i, row in enumerate(rows) if lengths[i].all()}
    forms = {array.shape[lengths.shape[1] :] for array in parts.values()}
    if len(forms) != 1:
        raise Damaged(f"the lists of `{name}` differ in length" if forms else f"`{name}` has no steps")
    found = np.zeros((len(rows), *lengths.max(axis=0), *forms.pop()), np.result_type(*parts.values()))
    for i, array in parts.items():
        found[i][tuple(slice(int(steps)) for steps in lengths[i])] = array
    return found


def _plain(name: str, value: object) -> NDArray[Any]:
    """An array of nested lists, of numbers or booleans and of one length at each depth."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError) as error:
        raise Damaged(f"the lists of `{name}` differ in length, or hold numbers of more than 64 bits") from error
    if array.dtype.kind not in "biuf":
        raise Damaged(f"`{name}` holds something other than numbers")
    return array
