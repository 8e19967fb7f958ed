"""Results of a run as files: every array (`.npz`, `.json`, `.safetensors`), or a table of rows and steps (`.csv`)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import UserError
from rnngraph.files.archives import Arrays, write_npz
from rnngraph.files.outputs import PathLike, form_of, write_aside
from rnngraph.files.tensors import write_tensors

FORMS = ("npz", "csv", "json", "safetensors")


@dataclass(frozen=True)
class Rows:
    """What of some results can stand in one table: a line for each row of the batch, or for each step of each row.

    `lengths` are the real steps of each row; None where all have all, or lines are whole rows.
    """

    names: tuple[str, ...]
    steps: bool
    lengths: NDArray[Any] | None = None


def write_results(path: PathLike, results: Mapping[str, Any], rows: Rows) -> tuple[str, ...]:
    """Write results in the form that the ending of `path` says, aside first; the names of what is in the file.

    UserError for another ending, or where a table is asked for and no result has rows.
    """
    form = form_of(path, FORMS, "results")
    arrays = {name: np.asarray(array) for name, array in results.items()}
    if form == "csv":
        write_aside(path, _table(path, arrays, rows).encode())
        return rows.names
    if form == "json":
        values = {name: plain_values(array) for name, array in arrays.items()}
        write_aside(path, (json.dumps(values, ensure_ascii=False) + "\n").encode())
    elif form == "npz":
        write_npz(path, arrays)
    else:
        write_tensors(path, arrays)
    return tuple(arrays)


def plain_values(array: Any) -> Any:
    """Nested lists of an array's values; what is not finite, for which JSON has no number, is a word."""
    return _plain(np.asarray(array).tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _table(path: PathLike, arrays: Arrays, rows: Rows) -> str:
    """Rows and steps count from 0; `y[2]` is the value of `y` at index 2; steps behind a row's end are left out."""
    if not rows.names:
        raise UserError(f"no result has rows, so there is no table for `{path}`", "E667", "end its name with .npz")
    first = arrays[rows.names[0]]
    places = list(_steps(first, rows.lengths)) if rows.steps else [(row,) for row in range(len(first))]
    columns = [c for name in rows.names for c in _columns(name, arrays[name], 1 + rows.steps)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", *["step"] * rows.steps, *(name for name, _ in columns)])
    table.writerows([*place, *(_cell(values[place]) for _, values in columns)] for place in places)
    return text.getvalue()


def _steps(array: NDArray[Any], lengths: Sequence[int] | NDArray[Any] | None) -> Iterator[tuple[int, ...]]:
    for row in range(len(array)):
        yield from ((row, step) for step in range(array.shape[1] if lengths is None else int(lengths[row])))


def _columns(name: str, array: NDArray[Any], leading: int) -> Iterator[tuple[str, NDArray[Any]]]:
    for index in np.ndindex(array.shape[leading:]):
        label = f"{name}[{','.join(map(str, index))}]" if index else name
        yield label, array[(..., *index)]


def _cell(value: Any) -> str:
    """The shortest text that is read as the same number."""
    return str(int(value)) if value.dtype.kind == "b" else str(value)
