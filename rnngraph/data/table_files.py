"""Tables as their cells: of CSV files by the standard library, of other kinds by pandas where it is installed."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import CannotDo, UserError, told_of
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.untrusted_files import Damaged, foreign

Array = NDArray[Any]
PANDAS = {".parquet": "read_parquet", ".feather": "read_feather", ".xlsx": "read_excel", ".ods": "read_excel"}
"""What pandas reads, by the ending of a file."""
TABLES = (".csv", ".tsv", *PANDAS)
LARGEST = 2.0**53
"""From here on float64 does not hold every integer."""
MISSING = frozenset(("", "na", "n/a", "nan", "-nan", "+nan", "null", "none"))
"""What a cell without a value holds, in small letters."""


class Table(Struct, frozen=True):
    """Columns by name, each an array of texts or of numbers, one entry for each row; `path` is for messages."""

    columns: Mapping[str, Array]
    path: str = "the table"
    twice: frozenset[str] = frozenset()
    """Names that several columns have."""

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def column(self, name: str, why: str) -> Array:
        """UserError where there is no such column, or there are two."""
        if name in self.twice:
            raise UserError(f"`{self.path}` has two columns `{name}`, of which one {why}", "E550", "rename one of them")
        if name in self.columns:
            return self.columns[name]
        few = ", ".join(f"`{n}`" for n in list(self.columns)[:8])
        help = did_you_mean(name, self.columns) or f"it has {few}"
        raise UserError(f"`{self.path}` has no column `{name}`, which {why}", "E550", help)

    def numbers(self, name: str, why: str) -> Array:
        """A column as float64, nan where a value is missing. UserError with the first row that holds another text."""
        column = self.column(name, why)
        if column.dtype.kind in "mM":  # how large a date or duration is as a number depends on how finely it is kept
            raise self.wrong(name, 0, f"`{column[0]}` is not a number")
        if (plain := _at_once(column)) is not None:
            return plain
        found = np.empty(len(column))
        for row, cell in enumerate(column):
            try:
                found[row] = math.nan if is_missing(cell) else float(cell)
            except (TypeError, ValueError):
                raise self.wrong(name, row, f"`{str(cell)[:60]}` is not a number", _decimal_hint(cell)) from None
            if math.isinf(found[row]) and "inf" not in str(cell).lower():
                raise self.wrong(name, row, f"{str(cell)[:24]}… is beyond 64 bits")
            if isinstance(cell, str) and "_" in cell:
                raise self.wrong(name, row, f"`{cell[:60]}` is not a number")
        return found

    def complete(self, name: str, more: str = "") -> Array:
        """A column in which every row has a value. UserError with the first that has none, and `more` of it."""
        for row, cell in enumerate(self.columns[name].tolist()):
            if is_missing(cell):
                word = isinstance(cell, str) and cell
                help = f"`{cell}` is how a missing value is written: write another word" if word else ""
                raise self.wrong(name, row, f"a value is missing{more}", help)
        return self.columns[name]

    def plain(self, name: str) -> Array:
        """A column of numbers: whole where all of them are written so."""
        numbers = self.numbers(name, "")
        column = self.columns[name]
        missing = np.flatnonzero(np.isnan(numbers))
        if missing.size and column.dtype == object:
            raise self.wrong(name, int(missing[0]), "a value is missing")
        whole = column.dtype == object and all(str(cell).lstrip("+-").isdigit() for cell in column)
        return self.whole(name, numbers) if whole else numbers

    def whole(self, name: str, numbers: Array) -> Array:
        """Numbers of a column as integers. UserError where one is none, or too large to be held exactly."""
        odd = np.flatnonzero((numbers != np.trunc(numbers)) | (np.abs(numbers) >= LARGEST))
        if odd.size:
            number = numbers[odd[0]]
            why = "too large" if abs(number) >= LARGEST else "not a whole number"
            raise self.wrong(name, int(odd[0]), f"{number:g} is {why}")
        return numbers.astype(np.int64)

    def wrong(self, name: str, row: int, what: str, help: str = "") -> UserError:
        """What to say of one cell."""
        return UserError(self.place(name, row) + what, "E551", help)

    def place(self, name: str, row: int) -> str:
        """Where a cell is, to begin a message with; rows count from 1, below the line of names."""
        return f"`{self.path}`, row {row + 1}, column `{name}`: "


def _at_once(column: Array) -> Array | None:
    """A column of numbers, or of texts that are finite numbers throughout; None where cells must be looked at."""
    try:
        found = column.astype(np.float64)
    except (TypeError, ValueError):
        return None
    if column.dtype.kind in "fiub":
        return found
    plain = bool(np.isfinite(found).all()) and not any("_" in str(cell) for cell in column.tolist())
    return found if plain else None


def _decimal_hint(cell: Any) -> str:
    return "write decimals with a point" if re.fullmatch(r"[+-]?\d+,\d+", str(cell)) else ""


def is_missing(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.lower() in MISSING
    return cell is None or type(cell).__name__ in ("NaTType", "NAType") or cell != cell


def read_table(source: Any) -> Table:
    """The table of a file (CSV, or what pandas reads), of a pandas DataFrame, or of a mapping of columns.

    CannotDo where a file cannot be read, or needs pandas and it is missing; UserError where it is no table.
    """
    if not isinstance(source, str | os.PathLike | Mapping) and not hasattr(source, "to_numpy"):
        told = "a table is a path, a DataFrame or columns by name"
        raise UserError(f"{told}, got {told_of(source)}", "E551", "read a stream with pandas first")
    if isinstance(source, Mapping):
        columns = {str(name): _plain(_without_masks(column)) for name, column in source.items()}
        return _checked(columns, "the table")
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        return _of_frame(source, "the table")
    ending = Path(source).suffix.lower()
    return _by_pandas(source, PANDAS[ending]) if ending in PANDAS else _by_csv(source, "\t" if ending == ".tsv" else "")


def _checked(columns: dict[str, Array], path: str) -> Table:
    lengths = {name: len(column) if column.ndim == 1 else -1 for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or -1 in lengths.values():
        raise UserError(f"the columns of {path} should be lists of one length, got {lengths}", "E551")
    return Table(columns, path)


def _of_frame(frame: Any, path: str) -> Table:
    names = [str(name) for name in frame.columns]
    columns = {name: _plain(frame.iloc[:, i].to_numpy()) for i, name in enumerate(names)}
    index = {str(n): frame.index.get_level_values(n).to_numpy() for n in frame.index.names if n is not None}
    beside = {name: _plain(array) for name, array in index.items() if name not in columns}
    return Table({**beside, **columns}, path, _repeated([*names, *(n for n in index if n in columns)]))


def _repeated(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def _without_masks(column: Any) -> Array:
    """What is masked is missing."""
    if not isinstance(column, np.ma.MaskedArray):
        return np.asarray(column)
    found = np.array(column.data, object)
    found[np.ma.getmaskarray(column)] = None
    return found


def _plain(column: Array) -> Array:
    """Numbers, dates and durations as they are; all else as objects that show as text."""
    return column if column.dtype.kind in "fiubmM" else column.astype(object)


def _by_pandas(path: Any, reader: str) -> Table:
    try:
        import pandas
    except ImportError:
        ending = Path(path).suffix
        raise CannotDo(
            f"`{path}` needs pandas to be read, which is not installed",
            "E556",
            f"`pip install pandas` (for {ending} with the library that it asks for), or save the table as .csv",
        ) from None
    with foreign(path, "a table", "E544"):
        try:
            frame = getattr(pandas, reader)(path)
        except ImportError as error:
            raise CannotDo(f"pandas cannot read `{path}`: {error}", "E556", "or save the table as .csv") from None
    return _of_frame(frame, str(path))


def _by_csv(path: Any, delimiter: str) -> Table:
    with foreign(path, ".csv data", "E544", "a table has a line of names, then a line for each row, in UTF-8"):
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter = delimiter or _delimiter(file.readline())
            file.seek(0)
            try:
                reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
                lines = _without_empty(list(reader))
            except csv.Error as error:
                raise Damaged(f"a quote is not closed, or stands in the wrong place: {error}") from error
        if len(lines) < 2:
            raise Damaged("it needs a line of names and at least one line of numbers")
        names, rows = [name.strip() for name in lines[0]], lines[1:]
        if all(map(is_number, names)):
            raise Damaged("its first line should name the columns")
        uneven = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
        if uneven is not None:
            raise Damaged(f"row {uneven + 1} has {len(rows[uneven])} values for {len(names)} columns")
        columns = {n: np.array([row[i].strip() for row in rows], object) for i, n in enumerate(names) if n}
        return Table(columns, str(path), _repeated([name for name in names if name]))


def _without_empty(lines: list[list[str]]) -> list[list[str]]:
    """The lines that hold something. In a table of one column an empty one between others is a missing value."""
    there = [i for i, row in enumerate(lines) if row]
    if there and len(lines[there[0]]) == 1:
        return [row or [""] for row in lines[there[0] : there[-1] + 1]]
    return [lines[i] for i in there]


def _delimiter(first: str) -> str:
    """A comma where the line of names has any outside of quotes, else a semicolon (as spreadsheets of many countries
    write it) or a tab."""
    plain = re.sub(r'"[^"]*"', "", first)
    return next((sign for sign in ",;\t" if sign in plain), ",")


def is_number(cell: str) -> bool:
    """Whether a text is read as a number: neither with Python's lines between digits, nor beyond 64 bits."""
    try:
        number = float(cell)
    except ValueError:
        return False
    return "_" not in cell and (not math.isinf(number) or "inf" in cell.lower())
