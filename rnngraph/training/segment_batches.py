"""The batches of an epoch: rows of the data, whole or a segment of their steps at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.data.lengths import LENGTHS
from rnngraph.data.shape_checks import SEED
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import own
from rnngraph.files.safetensors import Arrays
from rnngraph.training import batches
from rnngraph.training.batches import Rows
from rnngraph.training.config import FitConfig


class Pieces(Struct, frozen=True, eq=False, dict=True):
    """The data that are learnt from, cut into batches by the settings.

    `numbers` are the rows of `data` that are learnt from. `axes` gives for each sequence of the data its time axes,
    `states` the names of first states, which only the first segment of a row is given from the data. `trims` says that
    steps which are padding in all rows of a batch may be left out.
    """

    data: Mapping[str, Any]
    numbers: Rows
    config: FitConfig
    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    states: frozenset[str] = frozenset()
    trims: bool = True

    @property
    def segments(self) -> int:
        """The segments of a row."""
        return math.ceil(self._steps / self.config.segment) if self.config.segment else 1

    @property
    def count(self) -> int:
        """The batches of an epoch."""
        return math.ceil(len(self.numbers) / self.config.batch) * self.segments

    @property
    def updates(self) -> int:
        """The updates of an epoch."""
        return math.ceil(self.count / self.config.accumulate)

    @cached_property
    def _steps(self) -> int:
        return max((np.shape(self.data[name])[1] for name in self.axes if name in self.data), default=0)

    def first_step(self, index: int) -> int:
        """The step of the data with which a batch begins."""
        return index % self.segments * (self.config.segment or 0)

    def begins(self, index: int) -> bool:
        """Whether a batch is the first segment of its rows."""
        return index % self.segments == 0

    def members(self, epoch: int, index: int, shard: int = 0) -> Rows:
        """The rows of the data that a shard of a batch has: as many as the other shards, or one more."""
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self._order(epoch)
        first = index // self.segments * self.config.batch
        rows = self.numbers[self._orders[epoch][first : first + self.config.batch]]
        mine = own(len(rows), self.config.shards or 1, shard)
        return rows[mine.start : mine.stop]

    @cached_property
    def _orders(self) -> dict[int, Rows]:
        """The order of the epoch that was last asked for."""
        return {}

    def _order(self, epoch: int) -> Rows:
        config = self.config
        order = batches.shuffled(len(self.numbers), config.seed, epoch)
        if config.similar_lengths and self._lengths is not None:
            return batches.by_length(order, self._lengths, config.batch, config.seed, epoch)
        return order

    @cached_property
    def _lengths(self) -> Rows | None:
        """Of the rows that are learnt from, where the data have any: those of the first sequence; of one over several
        axes the number of its steps on all of them together."""
        named = next((self.data[n + LENGTHS] for n in self.axes if n + LENGTHS in self.data), None)
        if named is None:
            return None
        rows: Rows = np.asarray(named)[self.numbers]
        return rows if rows.ndim == 1 else rows.prod(axis=1)

    def first(self) -> Arrays | None:
        """The data of the very first batch, of all its shards."""
        return replace(self, config=replace(self.config, shards=None)).piece(0, 0, {})

    def piece(self, epoch: int, index: int, carried: Arrays, shard: int = 0) -> Arrays | None:
        """The data of a shard of a batch, with a `seed` of its own for what is random in the model; its first states
        are those that the segment before left. None where it has no rows, or none of them has a step in it."""
        members = self.members(epoch, index, shard)
        if not len(members):
            return None
        rows = batches.take(self.data, members)
        if self.config.segment:
            rows = _segment(rows, self.axes, self.first_step(index), self.config.segment)
            if not self.begins(index):
                rows = {**{name: array for name, array in rows.items() if name not in self.states}, **carried}
            if not all(rows[n + LENGTHS].any() for n in self.axes if n + LENGTHS in rows):
                return None
        rows[SEED] = batches.seed_of(self.config.seed, epoch, index, shard)
        return batches.trim(rows, self.axes) if self.trims else rows


def _segment(rows: Arrays, axes: Mapping[str, Sequence[str]], first: int, steps: int) -> Arrays:
    """So many steps of each sequence, and what is left in them of the lengths."""
    cut = {name: rows[name][:, first : first + steps] for name in axes if name in rows}
    names = [name + LENGTHS for name in axes if name + LENGTHS in rows]
    return {**rows, **cut, **{name: np.clip(rows[name] - first, 0, steps) for name in names}}


def refuse_uncut(data: Mapping[str, Any], axes: Mapping[str, Sequence[str]]) -> None:
    """UserError where data have several time axes, or none, to cut into segments."""
    found = sorted({axis for name, along in axes.items() if name in data for axis in along})
    if len(found) != 1:
        there = ", ".join(f"`{axis}`" for axis in found) or "none"
        raise UserError(f"`segment` cuts sequences along one time axis, and the data have {there}", "E713")
