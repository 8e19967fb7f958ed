"""`render`: a model drawn."""

from __future__ import annotations

from rnngraph.model import Model
from rnngraph.viz.picture import picture
from rnngraph.viz.write import Picture

BOXES, GRADIENT_BOXES = 400, 60
"""Boxes from which on instances are drawn closed; a backward pass crosses the whole picture, so it gets fewer."""


def drawn(
    model: Model,
    unroll: str = "dynamic",
    steps: int | None = None,
    opened: bool = True,
    fold: int = 6,
    gradient: bool = False,
    detail: bool = False,
) -> Picture:
    """The model as a picture: one box for each cell and layer, loops opened or closed, or the steps side by side."""
    graph = model.stage("late cse" if gradient else "elaborate", "dynamic", None, gradient)
    found: Picture = picture(
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
    return found
