"""Data from files: .npz, .npy, .json, .jsonl and tables, as arrays by name. Nothing in them is ever run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.dataset import Dataset
from rnngraph.data.preprocessing import merged
from rnngraph.data.ragged import Axes, arrays_of
from rnngraph.data.table_files import TABLES, read_table
from rnngraph.data.tables import ROW, Fed, table
from rnngraph.data.vocabulary import ALPHABET, characters
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.archives import Arrays, read_npy, read_npz
from rnngraph.files.atomic_writes import PathLike
from rnngraph.files.untrusted_files import Damaged, foreign, parsed_json


@kinds_checked
def load(paths: Iterable[PathLike], model: Fed | None = None, **recipe: Any) -> Dataset:
    """The arrays of all files together, by name.

    .npz gives its arrays, .npy one array under the file's own name, .json an object of (nested) lists of numbers,
    .jsonl such an object for each row; lists of different lengths become padded rows with `NAME.lengths`, (rows, 2) of
    lists within lists that both differ, or that `model` takes as sequences over two axes. A table
    (.csv, .tsv, and what pandas reads) gives the inputs of `model`, by `recipe` (`data.tables.table`), and without a
    model an array for each column, all of which are numbers. Raises CannotDo where a file cannot be read, UserError
    where it holds something else than arrays of numbers or where two files hold one name.
    """
    arrays: Arrays = {}
    owner: dict[str, object] = {}
    made: dict[str, Any] = {}
    beside: Arrays = {}
    axis, left_out, ends = "", list[str](), None
    files = list(paths)
    for path in files:
        found = _read(path, model, {"partly": True, **recipe} if len(files) > 1 else recipe)
        made = merged(made, found.made)
        beside = _alike(beside, found.beside, str(path))
        axis, left_out = found.axis or axis, [*left_out, *found.left_out]
        ends = found.ends if ends is None else ends
        for name, array in found.items():
            if name in arrays:
                raise UserError(f"`{name}` is in two files, `{owner[name]}` and `{path}`", code="E541")
            arrays[name], owner[name] = array, path
    _refuse_missing(arrays, recipe)
    return Dataset(arrays, made, beside, axis, tuple(left_out), ends)


def _refuse_missing(arrays: Arrays, recipe: Mapping[str, Any]) -> None:
    """UserError where no table has the columns that are given for an input."""
    given = {**(recipe.get("columns") or {}), **(recipe.get("masks") or {})}
    only = recipe.get("only")
    name = next((n for n in given if n not in arrays and (only is None or n in only)), None)
    if name is not None:
        told = f"no table has the columns that are given for the input `{name}`"
        columns = [given[name]] if isinstance(given[name], str) else given[name]
        raise UserError(told, "E550", f"they are {', '.join(f'`{column}`' for column in columns)}")


def _alike(beside: Arrays, more: Mapping[str, NDArray[Any]], path: str) -> Arrays:
    """What stands beside the rows of several tables. UserError where these are of other sequences or dates."""
    for name in (n for n in more if n in beside and n != ROW and more[n].shape[1:] == beside[n].shape[1:]):
        pairs = enumerate(zip(beside[name], more[name], strict=False))
        row = next((i for i, (one, other) in pairs if not np.array_equal(one, other)), None)
        if row is not None:
            told = f"row {row} of `{path}` has another `{name}` than that of the tables before it"
            raise UserError(told, "E553", "the tables have to hold the same sequences and steps in one order")
    return {**beside, **{n: a for n, a in more.items() if n not in beside or a.shape[1:] > beside[n].shape[1:]}}


def _read(path: PathLike, model: Fed | None, recipe: Mapping[str, Any]) -> Dataset:
    axes = {i.name: i.axes for i in model.roles.inputs} if model is not None else {}
    ending = Path(path).suffix.lower()
    if ending in TABLES and model is not None:
        return table(model, path, **recipe)
    if ending in TABLES:
        found = read_table(path)
        return Dataset({name: found.plain(name) for name in found.columns})
    if ending not in _READERS:
        known = ", ".join([*_READERS, *TABLES])
        raise UserError(f"`{path}` is of an unknown kind", code="E542", help=f"data is read from {known}")
    arrays = _READERS[ending](path, axes)
    signs = arrays.pop(ALPHABET, None)
    made = {} if signs is None else {ALPHABET: characters([str(c) for c in np.asarray(signs).tolist()]).as_json()}
    return Dataset(arrays, made)


def _npz(path: PathLike, _: Axes) -> Arrays:
    return read_npz(path, "E544")


def _npy(path: PathLike, _: Axes) -> Arrays:
    return {Path(path).stem: read_npy(path, "E544")}


def _json(path: PathLike, axes: Axes) -> Arrays:
    with foreign(path, ".json data", "E544"):
        content = parsed_json(Path(path).read_bytes())
        if not isinstance(content, dict):
            raise Damaged("it should be an object of named lists")
        return arrays_of(content, axes)


def _json_lines(path: PathLike, axes: Axes) -> Arrays:
    with foreign(path, ".jsonl data", "E544"):
        rows = [parsed_json(line) for line in Path(path).read_bytes().splitlines() if line.strip()]
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise Damaged("each of its lines should be an object of named numbers or lists")
        odd = next((i for i, row in enumerate(rows) if row.keys() != rows[0].keys()), None)
        if odd is not None:
            raise Damaged(f"row {odd + 1} holds {_names(rows[odd])}, row 1 holds {_names(rows[0])}")
        return arrays_of({name: [row[name] for row in rows] for name in rows[0]}, axes)


def _names(row: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in row) or "nothing"


_READERS: dict[str, Callable[[PathLike, Axes], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
