"""A graph as a picture: what is drawn, how much of it, and with which numbers in its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.ir.graph import Graph
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.passes.index_checks import unwatched
from rnngraph.viz.folded_steps import DEFAULT_STEPS
from rnngraph.viz.level_of_detail import scene_of
from rnngraph.viz.palette import Look
from rnngraph.viz.scene_building import Options
from rnngraph.viz.values import with_values
from rnngraph.viz.write import Picture

PAGE, PAGE_OF_STEPS, PAGE_OF_BOTH = 60, 80, 56
"""Boxes that fit a page; of the levels the most detailed is drawn that has no more. The backward pass comes on top."""
MOST = 700
"""Boxes of a picture that was asked for in detail."""


def picture(
    graph: Graph,
    block: Block | None = None,
    *,
    unrolled: bool = False,
    level: int | None = None,
    fold: int = 6,
    compiled: Graph | None = None,
    steps: int | Mapping[str, int] = DEFAULT_STEPS,
    turn: int = 0,
    detail: bool = False,
    dtype: str = "float32",
    budget: int = 0,
    look: Look = Look(),  # noqa: B008  (immutable)
    values: Mapping[str, Any] | None = None,
) -> Picture:
    """The graph (as elaborated, with loops) and the tree of instances it came from, as a picture.

    `unrolled`: loops as `steps` columns, of which the middle is folded where there are more than `fold`; `turn` > 1
    columns are those of one turn of a loop. `level` 1: a box for each cell and layer, loops closed; 2: blocks of
    the model, opened down to cells and layers; 3: every equation (`detail`: every operation); None: as much as fits
    a page. `compiled`: the graph with gradients after the passes, where the backward pass is to be drawn too.
    `dtype` is that of floats, for the bytes in the tooltips. With more than `budget` boxes, parts are folded, and
    the picture says which. `values` are numbers to stand in the boxes of steps, (steps, ...) each, by name.
    """
    graph = unwatched(graph)
    if compiled is not None and "loss" in graph.outputs:
        graph = graph.with_outputs({"loss": graph.outputs["loss"]})
    unrolled = unrolled or compiled is not None
    page = PAGE_OF_BOTH if compiled is not None else PAGE_OF_STEPS if unrolled else PAGE
    budget = budget or (MOST if level or detail else page)
    options = Options(unrolled, 3 if detail else level or 3, detail, steps, fold, dtype)
    scene = scene_of(graph, block, replace(options, turn=turn, budget=budget), quiet=level is None, compiled=compiled)
    return Picture(with_values(scene, values) if values else scene, look)
