"""`render`: a model drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnngraph.diagnostics.errors import UserError
from rnngraph.model import Model
from rnngraph.viz.palette import Look
from rnngraph.viz.picture import picture
from rnngraph.viz.write import Picture


def drawn(
    model: Model,
    unroll: str = "dynamic",
    steps: int | None = None,
    level: int | None = None,
    fold: int = 6,
    gradient: bool = False,
    detail: bool = False,
    title: str = "",
    direction: str = "",
    dark: bool = False,
    legend: bool = True,
    shapes: bool = True,
    values: Mapping[str, Any] | None = None,
) -> Picture:
    """The model as a picture: loops opened or closed, or the steps side by side; with the backward pass mirrored.

    `values` are numbers to stand in the boxes of steps, (steps, ...) each, by name.
    """
    columns = unroll != "dynamic" or gradient
    _check(level, direction, columns)
    return picture(
        model.stage("elaborate", "dynamic", None),
        model.block,
        unrolled=columns,
        level=level,
        fold=fold,
        compiled=model.stage("late cse", "dynamic", None, True) if gradient else None,
        steps=steps or 50,
        turn=int(unroll) if unroll.isdecimal() else 0,
        detail=detail,
        look=Look(title, direction, dark, legend, shapes),
        values=values,
    )


def _check(level: int | None, direction: str, columns: bool) -> None:
    if level not in (None, 1, 2, 3):
        raise UserError(
            f"a picture has no level {level}", "E638", "1: cells and layers, 2: the blocks of the model, 3: equations"
        )
    ways = ("", "up", "down") if columns else ("", "up", "down", "right")
    if direction not in ways:
        known = f"it is {', '.join(ways[1:-1])} or {ways[-1]}"
        help = "the steps run to the right already: the data flow up or down" if columns else known
        raise UserError(f"the data cannot flow `{direction}` in this picture", "E639", help)
