"""Which rows of the user's data a batch has, for what is told of a row of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.diagnostics.errors import OutsideIndex
from rnngraph.training.batches import Rows


@contextmanager
def told_by(numbers: Rows, source: str, when: str = "") -> Iterator[None]:
    """Has an index outside told with the user's own row, where `numbers` are those of the rows that run together."""
    try:
        yield
    except OutsideIndex as error:
        row = None if error.row is None else int(numbers[error.row])
        told = [f"row {row} of {source}"] if row is not None and (when or row != error.row) else []
        raise OutsideIndex(error.plain, row, ", ".join([*told, when] if when else told)) from None
