"""Results of a run as files: every array (`.npz`, `.json`, `.safetensors`), or a table of rows and steps (`.csv`)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import UserError
from rnngraph.files.archives import Arrays, write_npz
from rnngraph.files.atomic_writes import PathLike, form_of, write_aside
from rnngraph.files.safetensors import write_tensors
from rnngraph.files.untrusted_files import Damaged, foreign

FORMS = ("npz", "csv", "json", "safetensors")


class Rows(Struct, frozen=True):
    """What of some results can stand in one table: a line for each row of the batch, or for each step of each row.

    `lengths` are the real steps of each row; None where all have all, or lines are whole rows. `own` says of a result
    which steps (rows, steps) are a row's own, where a row can end before. `beside` holds what tells a person which row
    is meant, (rows,), or which step of it, (rows, steps): ids and dates. `words` are what the numbers of a result stand
    for.
    """

    names: tuple[str, ...]
    steps: bool
    lengths: NDArray[Any] | None = None
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    own: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def has(self, name: str, place: tuple[int, ...]) -> bool:
        """Whether a result has a value there."""
        return name not in self.own or bool(self.own[name][place])


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


def write_records(path: PathLike, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes a table with a line for each record, aside first; a value that a record lacks is left empty."""
    names = list(dict.fromkeys(name for record in records for name in record)) or ["epoch", "loss"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([record.get(name, "") for name in names] for record in records)
    write_aside(path, text.getvalue().encode())


def read_records(path: PathLike) -> list[dict[str, str]]:
    """The lines of a table by the names of its columns; none where there is no file yet."""
    if not Path(path).exists():
        return []
    with foreign(path, "a table of runs", "E544"), open(path, encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
        if any(None in record for record in records):
            raise Damaged("a line has more values than there are names")
        return records


def plain_values(array: Any) -> Any:
    """Nested lists of an array's values; what is not finite, for which JSON has no number, is a word."""
    return _plain(np.asarray(array).tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def columns_of(arrays: Mapping[str, NDArray[Any]], rows: Rows) -> dict[str, list[Any]]:
    """The columns of a table of results, what stands beside the rows first.

    Rows and steps of which nothing is told are numbered from 0; `y[2]` is the value of `y` at index 2; steps behind a
    row's end are left out, and where one result has ended, and another has not, it has no value.
    """
    if not rows.names:
        return {}
    first = arrays[rows.names[0]]
    places = list(_steps(first, rows.lengths)) if rows.steps else [(row,) for row in range(len(first))]
    if rows.own:
        places = [place for place in places if any(rows.has(name, place) for name in rows.names)]
    found: dict[str, list[Any]] = {}
    if not rows.beside:
        found["row"] = [place[0] for place in places]
    found |= {name: [array[place[: array.ndim]] for place in places] for name, array in rows.beside.items()}
    if rows.steps and not any(array.ndim == 2 for array in rows.beside.values()):
        found["step"] = [place[1] for place in places]
    plain = {name: _in_words(arrays[name], rows.words.get(name)) for name in rows.names}
    columns = [(name, *c) for name in rows.names for c in _columns(name, plain[name], 1 + rows.steps)]
    labels = {label for _, label, _ in columns}
    found = {f"{n} of the table" if n in labels else n: values for n, values in found.items()}
    return found | {
        label: [values[place] if rows.has(name, place) else None for place in places] for name, label, values in columns
    }


def _in_words(array: NDArray[Any], words: Sequence[str] | None) -> NDArray[Any]:
    return array if words is None else np.array(words, object)[array]


def _table(path: PathLike, arrays: Arrays, rows: Rows) -> str:
    if not rows.names:
        raise UserError(f"no result has rows, so there is no table for `{path}`", "E667", "end its name with .npz")
    columns = columns_of(arrays, rows)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(value) for value in line] for line in zip(*columns.values(), strict=True))
    return text.getvalue()


def _steps(array: NDArray[Any], lengths: Sequence[int] | NDArray[Any] | None) -> Iterator[tuple[int, ...]]:
    for row in range(len(array)):
        yield from ((row, step) for step in range(array.shape[1] if lengths is None else int(lengths[row])))


def _columns(name: str, array: NDArray[Any], leading: int) -> Iterator[tuple[str, NDArray[Any]]]:
    for index in np.ndindex(array.shape[leading:]):
        label = f"{name}[{','.join(map(str, index))}]" if index else name
        yield label, array[(..., *index)]


def _cell(value: Any) -> str:
    """The shortest text that is read as the same number; nothing where there is no value."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, np.bool_) else str(value)
