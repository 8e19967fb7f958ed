"""Which rows of the data are held back from learning, to validate with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.dataset import ends_of
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.arrays import host_arrays
from rnngraph.files.safetensors import Arrays
from rnngraph.training.batches import Rows, generator_of, row_count
from rnngraph.training.config import FitConfig
from rnngraph.training.config import Split as How


class Split(NamedTuple):
    """The data that are learnt from and those held back, and which of their rows are meant; nothing is copied."""

    learnt: Arrays
    numbers: Rows
    held: Arrays | None
    held_numbers: Rows
    held_from: str = "the data"


def split(data: Mapping[str, Any], validation: Mapping[str, Any] | None, config: FitConfig) -> Split:
    rows = host_arrays(data)
    everything = np.arange(row_count(rows))
    if validation is not None:
        held = host_arrays(validation)
        return Split(rows, everything, held, np.arange(row_count(held)), "the validation data")
    if config.validation > 0:
        mine, other = parted(len(everything), config.validation, config.split, config.seed, ends_of(data))
        return Split(rows, mine, rows, other)
    return Split(rows, everything, None, everything[:0])


def parted(
    rows: int, fraction: float, how: How, seed: int, ends: NDArray[Any] | None = None
) -> tuple[Rows, Rows]:
    """Which rows are learnt from, and which fraction is held back (at least one row): the last ones are those whose
    `ends` are the largest. UserError with one row."""
    held = max(1, round(rows * fraction))
    if held >= rows:
        raise UserError(
            f"{rows} rows cannot be split: none would be left to train on",
            code="E711",
            help="give more rows, or a smaller `validation`",
        )
    last = np.arange(rows) if ends is None else np.argsort(ends, kind="stable")
    order = generator_of(seed, 0, 1).permutation(rows) if how == "random" else last
    return np.sort(order[:-held]), np.sort(order[-held:])
