"""Data from files: .npz, .npy, .csv and .json, as arrays by name. Nothing in them is ever run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.checks import Checked, check_data
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.archives import Arrays, read_npy, read_npz
from rnngraph.files.foreign import Damaged, foreign, parsed_json, whole
from rnngraph.files.outputs import PathLike

__all__ = ["Checked", "check_data", "load"]


def load(paths: Iterable[PathLike]) -> Arrays:
    """The arrays of all files together, by name.

    .npz gives its arrays, .npy one array under the file's own name, .csv one array (rows,) per column named
    in its first line, .json an object of (nested) lists of numbers. Raises CannotDo where a file cannot be
    read, UserError where it holds something else than arrays of numbers or where two files hold one name.
    """
    merged: Arrays = {}
    owner: dict[str, object] = {}
    for path in paths:
        for name, array in _read(path).items():
            if name in merged:
                raise UserError(f"`{name}` is in two files, `{owner[name]}` and `{path}`", code="E541")
            merged[name], owner[name] = array, path
    return merged


def _read(path: PathLike) -> Arrays:
    ending = Path(path).suffix.lower()
    if ending not in _READERS:
        raise UserError(
            f"`{path}` is of an unknown kind", code="E542", help=f"data is read from {', '.join(_READERS)}"
        )
    return _READERS[ending](path)


def _npz(path: PathLike) -> Arrays:
    return read_npz(path, "E544")


def _npy(path: PathLike) -> Arrays:
    return {Path(path).stem: read_npy(path, "E544")}


def _csv(path: PathLike) -> Arrays:
    with foreign(path, ".csv data", "E544"), open(path, encoding="utf-8-sig", newline="") as file:
        try:
            lines = [[cell.strip() for cell in row] for row in csv.reader(file, strict=True) if any(row)]
        except csv.Error as error:
            raise Damaged(f"a quote is not closed, or stands in the wrong place: {error}") from error
        if len(lines) < 2:
            raise Damaged("it needs a line of names and at least one line of numbers")
        names, rows = lines[0], lines[1:]
        if len(set(names)) < len(names) or "" in names or any(map(_is_number, names)):
            raise Damaged("its first line should name every column, each once")
        uneven = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
        if uneven is not None:
            raise Damaged(f"row {uneven + 1} has {len(rows[uneven])} values for {len(names)} columns")
        return {name: _column(name, [row[i] for row in rows]) for i, name in enumerate(names)}


def _column(name: str, cells: list[str]) -> NDArray[Any]:
    """Whole numbers where all cells are written so, else floats."""
    wrong = next((i for i, cell in enumerate(cells) if not _is_number(cell)), None)
    if wrong is not None:
        raise Damaged(f"`{cells[wrong][:60]}` in row {wrong + 1} of column `{name}` is not a number")
    if all(cell.lstrip("+-").isdigit() for cell in cells):
        return _plain(name, [whole(cell) for cell in cells])
    return np.array([float(cell) for cell in cells])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _json(path: PathLike) -> Arrays:
    with foreign(path, ".json data", "E544"):
        content = parsed_json(Path(path).read_bytes())
        if not isinstance(content, dict):
            raise Damaged("it should be an object of named lists")
        return {name: _plain(name, value) for name, value in content.items()}


def _plain(name: str, value: object) -> NDArray[Any]:
    """An array of nested lists, of numbers or booleans and of one length at each depth."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError, RecursionError) as error:
        raise Damaged(f"the lists of `{name}` differ in length, or hold numbers of more than 64 bits") from error
    if array.dtype.kind not in "biuf":
        raise Damaged(f"`{name}` holds something other than numbers")
    return array


_READERS: dict[str, Callable[[PathLike], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".json": _json,
}
