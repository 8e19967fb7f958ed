"""`render`: a model drawn to a file."""

from __future__ import annotations

from rnngraph.model import Model
from rnngraph.viz.picture import picture
from rnngraph.viz.write import write

BOXES, GRADIENT_BOXES = 400, 60
"""Boxes from which on instances are drawn closed; a backward pass crosses the whole picture, so it gets fewer."""


def render(
    model: Model, out: str, unroll: str, steps: int | None, opened: bool, fold: int, gradient: bool, detail: bool
) -> None:
    """Draws the model to a file whose ending says how."""

    graph = model.stage("late cse" if gradient else "elaborate", "dynamic", None, gradient)
    drawn = picture(
        graph,
        model.block,
        unrolled=unroll == "static",
        steps=steps or 50,
        opened=opened,
        fold=fold,
        backward=gradient,
        budget=GRADIENT_BOXES if gradient and not detail else BOXES,
        detail=detail,
    )
    write(drawn, out)
