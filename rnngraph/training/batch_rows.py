"""Which rows of the user's data a batch has, for what is told of a row of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from rnngraph.data.dataset import ends_of
from rnngraph.diagnostics.errors import OutsideIndex
from rnngraph.files.arrays import host_arrays
from rnngraph.files.tensors import Arrays
from rnngraph.training import batches
from rnngraph.training.batches import Rows
from rnngraph.training.config import FitConfig


class Split(NamedTuple):
    """The data that are learnt from and those held back, and which of their rows are meant; nothing is copied."""

    learnt: Arrays
    numbers: Rows
    held: Arrays | None
    held_numbers: Rows
    held_from: str = "the data"


def split(data: Mapping[str, Any], validation: Mapping[str, Any] | None, config: FitConfig) -> Split:
    rows = host_arrays(data)
    everything = np.arange(batches.row_count(rows))
    if validation is not None:
        held = host_arrays(validation)
        return Split(rows, everything, held, np.arange(batches.row_count(held)), "the validation data")
    if config.validation > 0:
        mine, other = batches.parted(
            len(everything), config.validation, config.split, config.seed, ends_of(data)
        )
        return Split(rows, mine, rows, other)
    return Split(rows, everything, None, everything[:0])


@contextmanager
def told_by(numbers: Rows, source: str, when: str = "") -> Iterator[None]:
    """Has an index outside told with the user's own row, where `numbers` are those of the rows that run together."""
    try:
        yield
    except OutsideIndex as error:
        row = None if error.row is None else int(numbers[error.row])
        told = [f"row {row} of {source}"] if row is not None and (when or row != error.row) else []
        raise OutsideIndex(error.plain, row, ", ".join([*told, when] if when else told)) from None
