"""How arrays are made of a table, as data: kept with weights, so that new data are made the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from rnngraph.data.vocabulary import alphabet_in
from rnngraph.diagnostics.errors import UserError
from rnngraph.language.elaboration.elaborated import DataInput

TABLE = "table"
"""The name under which it is told with data, and kept with weights, how a table is read."""
Names = Mapping[str, tuple[str, ...]]
UNSCALED = (0.0, 1.0)


class Recipe(Struct, frozen=True):
    """How arrays are made of a table.

    `columns` names for an input its columns, `masks` for an input the columns of which it says where they have values.
    `steps` are those of a window, by time axis; without, a sequence is a whole one. `horizon` is how many rows behind
    the last step the targets stand. `scaling` holds for a column what is subtracted and what it is then divided by,
    `classes` the words of a column in the order of their numbers.
    """

    columns: Names = field(default_factory=dict)
    masks: Names = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    stride: int = 1
    horizon: int | None = None
    by: str = ""
    order: str = ""
    standardise: bool = False
    scaling: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    classes: Names = field(default_factory=dict)

    @property
    def columns_read(self) -> frozenset[str]:
        """Those of any input."""
        return frozenset(column for columns in self.columns.values() for column in columns)

    def scaling_of(self, item: DataInput) -> list[tuple[float, float]]:
        """What is subtracted from each column of an input, and what it is then divided by. Only floats are scaled."""
        scaling = self.scaling if item.type.dtype == "float" else {}
        return [scaling.get(column, UNSCALED) for column in self.columns.get(item.name, ())]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def recipe_in(made: Mapping[str, Any]) -> Recipe | None:
    """The recipe among what is told of data, where there is one. UserError where it is damaged."""
    told = made.get(TABLE)
    if told is None:
        return None
    try:
        lists = ("columns", "masks", "classes")
        named: dict[str, Any] = {n: {str(k): tuple(map(str, v)) for k, v in told[n].items()} for n in lists}
        scaling = {str(k): (float(mean), float(by)) for k, (mean, by) in told["scaling"].items()}
        plain: dict[str, Any] = {n: told[n] for n in ("steps", "stride", "horizon", "by", "order", "standardise")}
        return Recipe(**named, scaling=scaling, **plain)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise UserError("what is kept with the weights of their table is damaged", "E661") from None


def merged(made: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of data of several files, whose inputs differ."""
    ours, theirs = recipe_in(made), recipe_in(more)
    if ours is None or theirs is None:
        return {**made, **more}
    names = ("columns", "masks", "scaling", "classes")
    named: dict[str, Any] = {n: {**getattr(ours, n), **getattr(theirs, n)} for n in names}
    return {**made, **more, TABLE: replace(theirs, **named).as_json()}


def refuse_made_otherwise(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str, others: str) -> None:
    """UserError where numbers mean something else in data than in others: a column was scaled or its words were
    numbered in another way, columns are in another order, or a text was read by another alphabet."""
    for told, kind in _made_otherwise(ours, theirs, what, others):
        like = f"rg.data.{kind}(model, source, like=weights.about.data), or like=data.made"
        raise UserError(told, "E554", f"make them with `like=`: {like}")


def _made_otherwise(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str, others: str
) -> Iterator[tuple[str, str]]:
    """What is said of each difference, and of which kind the data are."""
    signs, known = alphabet_in(ours), alphabet_in(theirs)
    if signs and known and signs != known:
        yield f"{what} have another alphabet than {others}", "text"
    here, there = recipe_in(ours), recipe_in(theirs)
    if here is None or there is None:
        return
    for name in {**there.scaling, **here.scaling}:
        if here.scaling.get(name) != there.scaling.get(name):
            yield f"the column `{name}` was scaled otherwise for {what} than for {others}", "table"
    for name in {**there.classes, **here.classes}:
        both = all(name in columns for columns in (here.columns_read, there.columns_read))
        if both and here.classes.get(name) != there.classes.get(name):
            yield f"the words of the column `{name}` have other numbers in {what} than in {others}", "table"
    for name, columns in here.columns.items():
        known_columns = there.columns.get(name, columns)
        if columns != known_columns and sorted(columns) == sorted(known_columns):
            yield f"the columns of the input `{name}` stand in another order in {what} than in {others}", "table"
