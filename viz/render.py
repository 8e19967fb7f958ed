"""`render`: a model drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.language.elaboration.one_step import one_step
from rnngraph.language.syntax.ast import File
from rnngraph.model import Model
from rnngraph.viz.cell import cell_scene
from rnngraph.viz.cell_parts import diagram
from rnngraph.viz.palette import Look
from rnngraph.viz.picture import picture
from rnngraph.viz.write import Picture


@kinds_checked
def drawn(
    model: Model,
    unroll: str | int = "dynamic",
    steps: int | None = None,
    level: int | None = None,
    fold: int | None = None,
    gradient: bool = False,
    detail: bool = False,
    title: str = "",
    direction: str = "",
    dark: bool = False,
    legend: bool = True,
    shapes: bool = True,
    values: Mapping[str, Any] | None = None,
    cell: str = "",
) -> Picture:
    """The model as a picture: loops opened or closed, or the steps side by side; with the backward pass mirrored.
    Or one `cell` by itself, as `drawn_cell` has it.

    `values` are numbers to stand in the boxes of steps, (steps, ...) each, by name.
    """
    if cell:
        given = {
            "unroll": unroll != "dynamic", "steps": steps, "level": level, "fold": fold is not None,
            "gradient": gradient, "detail": detail, "values": values,
        }  # fmt: skip
        refuse_beside_a_cell(name for name, value in given.items() if value)
        return drawn_cell(model.file, cell, model.settings, model.name, Look(title, direction, dark, legend, shapes))
    columns = unroll != "dynamic" or gradient
    _check(level, direction, columns)
    return picture(
        model.stage("elaborate", "dynamic", None),
        model.block,
        unrolled=columns,
        level=level,
        fold=6 if fold is None else fold,
        compiled=model.stage("late cse", "dynamic", None, True) if gradient else None,
        steps=steps or 50,
        turn=int(unroll) if str(unroll).isdecimal() else 0,
        detail=detail,
        look=Look(title, direction, dark, legend, shapes),
        values=values,
    )


def drawn_cell(
    file: File, cell: str, settings: Mapping[str, object], model: str | None = None, look: Look = Look()  # noqa: B008
) -> Picture:
    """A step of one cell as the diagram of a textbook: one in the model, by its name or that of its definition, or what
    a text makes that stands nowhere: `LSTM(4, peepholes = true)`."""
    if look.direction not in ("", "right"):
        help = "its states run to the right, its inputs come from below"
        raise UserError(f"the data cannot flow `{look.direction}` in the picture of a cell", "E639", help)
    return Picture(cell_scene(diagram(one_step(file, cell, settings, model))), look)


def refuse_beside_a_cell(options: Iterable[str]) -> None:
    """UserError for what has no meaning in the picture of one step of one cell."""
    for name in options:
        told = f"a cell by itself is one step: `{name}` has no meaning there"
        raise UserError(told, "E652", "leave it out, or leave out `cell` to have the whole model")


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
