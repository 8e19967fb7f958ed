"""What the columns of a table are as numbers: scaled, with words as classes, with zeros where values may be missing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.data.preprocessing import Recipe
from rnngraph.data.table_files import Table, is_number
from rnngraph.data.table_order import Sorted
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError, Warned
from rnngraph.language.elaboration.elaborated import DataInput

Array = NDArray[Any]


def fitted(inputs: Sequence[DataInput], table: Table, asked: Recipe, known: Recipe) -> Recipe:
    """The recipe with the scaling and the classes of the columns that have none yet; UserError where others were made
    with some, and a column has none. `known` is how data were made before: columns that had no words then have none
    now."""
    floats = _columns(inputs, asked, "float") if asked.standardise else ()
    words = [n for n in _columns(inputs, asked, "int") if n not in known.columns_read and _has_words(table, n)]
    new = [n for n in floats if n not in asked.scaling]
    if new and asked.scaling:
        raise UserError(
            f"no scaling is kept of the column `{new[0]}`: it was not in the table that the weights were trained on",
            "E554",
            f"scaled are {', '.join(f'`{n}`' for n in asked.scaling)}",
        )
    scaling = {n: _scale(table, n) for n in new}
    classes = {n: _words(table, n) for n in words}
    return replace(asked, scaling={**asked.scaling, **scaling}, classes={**asked.classes, **classes})


def _columns(inputs: Sequence[DataInput], asked: Recipe, dtype: str) -> Iterator[str]:
    named = (asked.columns.get(i.name, ()) for i in inputs if i.type.dtype == dtype and i.name not in asked.masks)
    yield from dict.fromkeys(name for names in named for name in names)


def _scale(table: Table, name: str) -> tuple[float, float]:
    """Mean and deviation of what is there of a column; 1 instead of a deviation of 0."""
    values = table.numbers(name, "is standardised")
    there = values[np.isfinite(values)]
    if not len(there) or np.ptp(there) == 0:  # rounding gives a constant a deviation of its own
        return (float(there[0]) if len(there) else 0.0), 1.0
    with np.errstate(over="ignore"):
        mean, deviation = float(there.mean()), float(there.std())
    if not 0 < deviation < math.inf:
        told = f"`{table.path}`, column `{name}`: its deviation is beyond 64 bits"
        raise UserError(told, "E551", "scale it yourself")
    return mean, deviation


def _has_words(table: Table, name: str) -> bool:
    if table.columns[name].dtype != object:
        return False
    try:
        table.numbers(name, "")
    except UserError:
        return True
    return False


def values(item: DataInput, name: str, there: Sorted, asked: Recipe) -> Array:
    """A column in the order of the sequences, as an input takes it."""
    table = there.table
    if item.name in asked.masks:
        numbers = table.numbers(name, f"`{item.name}` is the mask of")
        return (~np.isnan(numbers)).astype({"float": float, "int": np.int64, "bool": bool}[item.type.dtype])[there.rows]
    if name in asked.classes and item.type.dtype == "int":
        return _classes(table, name, asked.classes[name])[there.rows]
    numbers = _truths(table, name) if item.type.dtype == "bool" else table.numbers(name, f"`{item.name}` is made of")
    missing = np.isnan(numbers)
    floats = item.type.dtype == "float"
    masked = floats and any(name in names for names in asked.masks.values())
    if missing.any() and not masked:
        help = f"fill it, or declare an input of the model as its mask: --mask seen={name}" if floats else "fill it"
        raise table.wrong(name, int(np.flatnonzero(missing)[0]), "a value is missing", help)
    if not floats:
        return table.whole(name, numbers).astype(bool if item.type.dtype == "bool" else np.int64)[there.rows]
    mean, deviation = asked.scaling.get(name, (0.0, 1.0))
    return np.where(missing, 0.0, (numbers - mean) / deviation)[there.rows]


def _words(table: Table, name: str) -> tuple[str, ...]:
    """The words of a column in their order. A warning where most are numbers, which are words like the others then."""
    words = [str(cell) for cell in table.complete(name)]
    odd = [row for row, word in enumerate(words) if not is_number(word)]
    if 0 < 2 * len(odd) < len(words):
        told = f"`{words[odd[0]][:60]}` is not a number, so all of the column are words, numbered in alphabetical order"
        help = "mend it where it should be a number"
        warned = Diagnostic("W609", table.place(name, odd[0]) + told, help=help, severity="warning")
        warnings.warn(Warned(warned), stacklevel=2)
    return tuple(sorted(set(words)))


def _classes(table: Table, name: str, known: tuple[str, ...]) -> Array:
    numbers = {word: i for i, word in enumerate(known)}
    for row, cell in enumerate(table.complete(name)):
        if str(cell) not in numbers:
            few = ", ".join(f"`{w}`" for w in known[:8])
            raise table.wrong(name, row, f"`{str(cell)[:60]}` is none of its {len(known)} words", f"they are {few}")
    return np.array([numbers[str(cell)] for cell in table.columns[name]], np.int64)


def _truths(table: Table, name: str) -> Array:
    column = table.columns[name]
    if column.dtype == object:
        words = {"true": "1", "false": "0", "yes": "1", "no": "0"}
        column = np.array([words.get(str(cell).lower(), cell) for cell in column], object)
    found = Table({name: column}, table.path).numbers(name, "is true or false")
    odd = np.flatnonzero((found != 0) & (found != 1) & ~np.isnan(found))
    if odd.size:
        told = f"`{str(table.columns[name][odd[0]])[:60]}` is neither true nor false"
        raise table.wrong(name, int(odd[0]), told, "the numbers 0 and 1 stand for false and true")
    return found
