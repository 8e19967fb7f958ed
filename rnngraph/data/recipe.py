"""How arrays are made of a table, as data: kept with weights, so that new data are made the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rnngraph.diagnostics.errors import UserError
from rnngraph.language.elaboration.elaborated import DataInput

TABLE = "table"
"""The name under which it is told with data, and kept with weights, how a table is read."""
Names = Mapping[str, tuple[str, ...]]
UNSCALED = (0.0, 1.0)


@dataclass(frozen=True)
class Recipe:
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


def refuse_other_scaling(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str, others: str) -> None:
    """UserError where two tables have a column that was scaled in one way in one and otherwise in the other."""
    here, there = recipe_in(ours), recipe_in(theirs)
    if here is None or there is None or here.scaling == there.scaling:
        return
    name = next(n for n in {**there.scaling, **here.scaling} if here.scaling.get(n) != there.scaling.get(n))
    raise UserError(
        f"the column `{name}` was scaled otherwise for {what} than for {others}",
        "E554",
        "make them with `like=`: rg.data.table(model, source, like=weights.about.data), or like=data.made",
    )
