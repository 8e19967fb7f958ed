"""What a model and a program show of themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rnngraph.ir.graph import Graph
from rnngraph.language.elaboration.elaborated import Block, Elaborated
from rnngraph.viz.picture import picture
from rnngraph.viz.write import svg


class Drawn(Protocol):
    """A model."""

    @property
    def graph(self) -> Graph: ...

    @property
    def block(self) -> Block: ...


class Scheduled(Protocol):
    """How a program is run."""

    @property
    def static(self) -> bool: ...

    @property
    def steps(self) -> int | Mapping[str, int] | None: ...

    @property
    def dtype(self) -> str: ...


class Compiled(Protocol):
    """A program."""

    @property
    def made(self) -> Elaborated: ...

    @property
    def schedule(self) -> Scheduled: ...


def model_svg(model: Drawn) -> str:
    """The model with its loops closed."""
    return svg(picture(model.graph, model.block, level=1))


def program_svg(program: Compiled) -> str:
    """The program as it runs: a static one as its steps, a dynamic one as its loops."""
    made, schedule = program.made, program.schedule
    steps = schedule.steps or 1
    return svg(picture(made.graph, made.block, unrolled=schedule.static, steps=steps, dtype=schedule.dtype))
