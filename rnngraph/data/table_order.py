"""The rows of a table sequence by sequence, each in the order of its numbers or dates."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rnngraph.data.preprocessing import Recipe
from rnngraph.data.table_files import Table
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError, Warned

Array = NDArray[Any]
_FINER = re.compile(r"[.,][0-9]{6}([0-9]+)")
"""The digits behind microseconds, which a `datetime` does not hold."""


class Sorted(Struct, frozen=True):
    """A table whose rows stand sequence by sequence, each in its order: `rows` are their numbers in the file, `places`
    those in the order of all sequences together, equal ones of one date."""

    table: Table
    rows: NDArray[np.int64]
    groups: tuple[int, ...]
    places: NDArray[np.int64]


def in_order(table: Table, asked: Recipe) -> Sorted:
    """The rows of the table, sequences in the order in which they first come. A warning where two of one sequence have
    the same place in its order."""
    if not table.rows:
        raise UserError(f"`{table.path}` has no rows", "E551")
    key = _sortable(table, asked.order) if asked.order else np.arange(table.rows)
    places = np.unique(key, return_inverse=True)[1]
    if not asked.by:
        rows = np.argsort(key, kind="stable")
        return _told_twice(Sorted(table, rows, (table.rows,), places[rows]), asked)
    table.column(asked.by, "tells sequences apart (`by`)")
    ids = table.complete(asked.by, ", and it tells sequences apart")
    numbers: dict[Any, int] = {}
    group = np.array([numbers.setdefault(value, len(numbers)) for value in ids.tolist()])
    rows = np.lexsort((key, group))
    return _told_twice(Sorted(table, rows, tuple(np.bincount(group).tolist()), places[rows]), asked)


def _told_twice(found: Sorted, asked: Recipe) -> Sorted:
    """The same, with a warning where a sequence has a number or date twice: mostly it is several sequences."""
    group = np.repeat(np.arange(len(found.groups)), found.groups)
    twice = np.flatnonzero((np.diff(found.places) == 0) & (np.diff(group) == 0))
    if twice.size:
        first, second = found.rows[twice[0] : twice[0] + 2].tolist()
        cell = found.table.columns[asked.order][second]
        told = f"`{str(cell)[:60]}` stands in row {first + 1} too; rows of one place stay in the order of the table"
        help = "" if asked.by else "`--by COLUMN` (by=...) tells sequences apart"
        place = found.table.place(asked.order, second)
        warnings.warn(Warned(Diagnostic("W610", place + told, help=help, severity="warning")), stacklevel=2)
    return found


def _sortable(table: Table, name: str) -> Array:
    """A column of numbers or of dates as numbers that grow with it."""
    table.column(name, "its rows are to be sorted by (`order`)")
    column = table.complete(name)
    if column.dtype.kind in "fiubmM":
        return column
    moments, kinds = list[Any](), list[str]()
    for row, cell in enumerate(column):
        try:
            moment, kind = _moment(cell)
        except (TypeError, ValueError):
            raise table.wrong(
                name, row, f"`{str(cell)[:60]}` is neither a number nor a date",
                "write dates as 2024-12-31 or 2024-12-31T23:59:00, or sort the table and leave out `order`",
            ) from None  # fmt: skip
        moments.append(moment)
        kinds.append(kind)
        if kind != kinds[0]:
            raise table.wrong(name, row, f"`{cell}` is {kind}, and `{column[0]}` in row 1 is {kinds[0]}")
    places = {moment: place for place, moment in enumerate(sorted(set(moments)))}
    return np.array([places[moment] for moment in moments])


def _moment(cell: Any) -> tuple[Any, str]:
    """What is exactly compared, and of what kind it is; dates with time zones are compared as moments."""
    try:
        return _number(cell), "a number"
    except (TypeError, ValueError):
        text = str(cell)
        moment, finer = datetime.fromisoformat(text), _FINER.search(text)
    kind = f"a date with{'out' if moment.tzinfo is None else ''} a time zone"
    known = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (known, finer[1].rstrip("0") if finer else ""), kind


def _number(cell: Any) -> int | float:
    """A float would not tell large whole numbers apart."""
    number = float(cell)
    try:
        return int(cell) if isinstance(cell, str | int) else number
    except ValueError:
        return number
