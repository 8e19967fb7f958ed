"""Data from files: .npz, .npy, .csv and .json, as arrays by name. Nothing in them is ever run."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics import CannotDo, UserError
from rnngraph.learn.checks import Checked, check_data
from rnngraph.learn.files import Arrays, readable

__all__ = ["Checked", "check_data", "load"]


def load(paths: Iterable[str | os.PathLike[str]]) -> Arrays:
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


def _read(path: str | os.PathLike[str]) -> Arrays:
    ending = Path(path).suffix.lower()
    if ending not in _READERS:
        raise UserError(
            f"`{path}` is of no known kind", code="E542", help=f"data is read from {', '.join(_READERS)}"
        )
    readable(path)
    try:
        return _READERS[ending](path)
    except MemoryError as error:
        raise CannotDo(f"`{path}` does not fit into memory", code="E543") from error
    except UnicodeDecodeError as error:
        raise UserError(f"`{path}` is no text in UTF-8", code="E544") from error
    except (ValueError, EOFError, OSError, KeyError, RecursionError, zipfile.BadZipFile, csv.Error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: object, error: Exception) -> UserError:
    if "allow_pickle" in str(error) or "pickle" in str(error):
        return UserError(
            f"`{path}` holds pickled Python objects, which can run code when they are read; it was not read",
            code="E545",
            help="save plain arrays of numbers with numpy.savez",
        )
    return UserError(f"`{path}` cannot be read as {Path(str(path)).suffix} data: {error}", code="E544")


def _npz(path: str | os.PathLike[str]) -> Arrays:
    with open(path, "rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it is one array, not an archive of arrays")
        with loaded:
            once(loaded.files)
            return {name: loaded[name] for name in loaded.files}


def _npy(path: str | os.PathLike[str]) -> Arrays:
    with open(path, "rb") as file:
        return {Path(path).stem: np.lib.format.read_array(file, allow_pickle=False)}


def _csv(path: str | os.PathLike[str]) -> Arrays:
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [[cell.strip() for cell in row] for row in csv.reader(file, strict=True) if any(row)]
    if len(lines) < 2:
        raise ValueError("it needs a line of names and at least one line of numbers")
    names, rows = lines[0], lines[1:]
    if len(set(names)) < len(names) or "" in names or any(map(_is_number, names)):
        raise ValueError("its first line should name every column, each once")
    uneven = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if uneven is not None:
        raise ValueError(f"row {uneven + 1} has {len(rows[uneven])} values for {len(names)} columns")
    return {name: _column(name, [row[i] for row in rows]) for i, name in enumerate(names)}


def _column(name: str, cells: list[str]) -> NDArray[Any]:
    """Whole numbers where all cells are written so, else floats."""
    wrong = next((i for i, cell in enumerate(cells) if not _is_number(cell)), None)
    if wrong is not None:
        raise ValueError(f"`{cells[wrong]}` in row {wrong + 1} of column `{name}` is no number")
    if all(cell.lstrip("+-").isdigit() for cell in cells):
        return _plain(name, [int(cell) for cell in cells])
    return np.array([float(cell) for cell in cells])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _json(path: str | os.PathLike[str]) -> Arrays:
    content = named_once(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it should be an object of named lists")
    return {name: _plain(name, value) for name, value in content.items()}


def once(names: Sequence[str]) -> None:
    """ValueError where a name comes twice: only the last array of it would be seen."""
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"`{twice}` is in it twice")


def named_once(text: str) -> Any:
    """What a text in JSON holds. ValueError where it is none, or an object has a name twice."""

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        once([name for name, _ in pairs])
        return dict(pairs)

    return json.loads(text, object_pairs_hook=made)


def _plain(name: str, value: object) -> NDArray[Any]:
    """An array of nested lists, of numbers or booleans and of one length at each depth."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"the lists of `{name}` differ in length, or hold numbers beyond 64 bits") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` holds something else than numbers")
    return array


_READERS: dict[str, Callable[[str | os.PathLike[str]], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".json": _json,
}
