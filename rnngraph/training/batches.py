"""Rows of the data: how they are shuffled and cut into batches, by seed and place alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.lengths import LENGTHS, by_axis, real_steps
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.safetensors import Arrays

Array = NDArray[Any]
Rows = NDArray[np.int64]
"""Numbers of rows, counted from 0."""


def row_count(data: Mapping[str, Any]) -> int:
    """The number of rows, axis 0 of every array. Raises UserError where arrays disagree or there are none."""
    counts = {name: len(array) for name, array in data.items() if np.ndim(array) > 0}
    if not counts or 0 in counts.values():
        raise UserError("the data have no rows", code="E710")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
        raise UserError(f"the data has different numbers of rows: {told}", code="E710")
    return next(iter(counts.values()))


def take(data: Mapping[str, Any], rows: Rows) -> Arrays:
    """The given rows of every array; single numbers are kept."""
    return {name: np.asarray(a)[rows] if np.ndim(a) > 0 else np.asarray(a) for name, a in data.items()}


def shuffled(rows: int, seed: int, epoch: int) -> Rows:
    """The order of the rows in one epoch: a permutation by (seed, epoch), read-only."""
    order = generator_of(seed, epoch, 0).permutation(rows)
    order.flags.writeable = False
    return order


def seed_of(seed: int, epoch: int, index: int, shard: int = 0) -> Array:
    """The seed of what is random in the model, for batch `index` of an epoch, in one of its shards."""
    place = (index, shard) if shard else (index,)
    return np.array(generator_of(seed, epoch, 2, *place).integers(2**31))


SORTED = 50
"""So many batches together are sorted by length."""


def by_length(order: Rows, lengths: Rows, size: int, seed: int, epoch: int) -> Rows:
    """An order of rows changed so that a batch has rows of similar lengths; which batch comes when stays random."""
    block = SORTED * size
    blocks = [order[i : i + block] for i in range(0, len(order), block)]
    near = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in blocks])
    whole = len(near) // size
    shuffle = generator_of(seed, epoch, 3).permutation(whole)
    return np.concatenate([near[: whole * size].reshape(whole, size)[shuffle].ravel(), near[whole * size :]])


def trim(rows: Arrays, sequences: Mapping[str, Sequence[str]]) -> Arrays:
    """Without the steps that are padding in every row. `sequences` maps inputs to their time axes, in order.

    Only axes with lengths get shorter, all inputs on one axis alike, and to one step at least.
    """
    ends = {axis: max(1, int(lengths.max())) for axis, lengths in _lengths(rows, sequences).items()}

    def cut(array: Array, axes: Sequence[str]) -> Array:
        return array[(slice(None), *(slice(ends.get(axis)) for axis in axes))] if array.ndim else array

    return {name: cut(array, sequences.get(name, ())) for name, array in rows.items()}


def weight(rows: Mapping[str, Any], axes: Mapping[str, Sequence[str]], over: Sequence[str]) -> int:
    """By how much the mean of some rows counts beside that of others: by the real steps along the axes that it is over,
    by rows where it is over none. `axes` gives for each sequence its axes."""
    lengths, sizes = _lengths(rows, axes), _sizes(rows, axes)
    told = [(real_steps(axis, lengths), sizes.get(axis, 1)) for axis in over]
    own = [size if found is None else found for found, size in told]
    return int(np.sum(math.prod(own, start=np.ones(row_count(rows), np.int64))))


def _lengths(rows: Mapping[str, Any], axes: Mapping[str, Sequence[str]]) -> dict[str, Array]:
    """The real steps of each row along every axis for which they are told."""
    told = [by_axis(along, np.asarray(rows[n + LENGTHS])) for n, along in axes.items() if n + LENGTHS in rows]
    return {axis: lengths for found in told for axis, lengths in found.items()}


def _sizes(rows: Mapping[str, Any], axes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The steps of every axis of the sequences that are there."""
    there = [(along, np.shape(rows[name])[1:]) for name, along in axes.items() if name in rows]
    return {axis: size for along, sizes in there for axis, size in zip(along, sizes, strict=False)}


def chunks(rows: int, size: int) -> Sequence[Rows]:
    """The rows in order, `size` at a time."""
    return [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]


def generator_of(*key: int) -> np.random.Generator:
    """Random numbers by whole numbers alone; negative seeds are told apart from positive ones."""
    entropy = [part for number in key for part in (abs(number), int(number < 0))]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
