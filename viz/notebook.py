"""What a model and a program show of themselves in a notebook."""

from __future__ import annotations

from typing import Any

from rnngraph.viz.picture import picture
from rnngraph.viz.write import svg


def model_svg(model: Any) -> str:
    """The model with its loops closed (a `rnngraph.model.Model`)."""
    return svg(picture(model.graph, model.block))


def program_svg(program: Any) -> str:
    """What the program runs (a `rnngraph.compiled.Compiled`): a static one as its steps."""
    schedule, model = program.schedule, program.model
    return svg(
        picture(
            model.graph,
            model.block,
            unrolled=schedule.static,
            steps=schedule.steps or 1,
            dtype=schedule.dtype,
        )
    )
