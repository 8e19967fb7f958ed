"""What is drawn and how it folds until it fits; `picture` is the whole story.

A static picture is drawn from the loop form of the graph, its columns made from the one body, so it costs the
same for ten steps and for ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.ir.graph import LOOP, Graph
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.passes.index_checks import unwatched
from rnngraph.viz.backward_pass import mirrored
from rnngraph.viz.folded_steps import DEFAULT_STEPS
from rnngraph.viz.groups import Close, Group, Path
from rnngraph.viz.loops import closed_loop, open_loop
from rnngraph.viz.palette import Look
from rnngraph.viz.scene import Scene
from rnngraph.viz.scene_building import Drawer, DrawSteps, Options
from rnngraph.viz.scopes import Scope, TooMany
from rnngraph.viz.unrolled import Steps, stepping
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


def scene_of(
    graph: Graph, block: Block | None, options: Options, quiet: bool = False, compiled: Graph | None = None
) -> Scene:
    """The scene as asked, or the fullest one that fits the budget. A level that was not asked for is not told."""
    blocks = dict(_by_path(block)) if block else {}
    for asked, note in _plans(graph, options):
        steps = Steps(graph.nodes() if asked.unrolled else [], asked.steps, asked.fold, asked.turn)
        close = _closing(graph, blocks, asked)
        drawer = Drawer(graph, blocks, close, asked, _steps_drawer(steps, asked), steps.last_step)
        try:
            scene = drawer.finish((note,) if note and not (quiet and asked.level > 1 and not asked.chunk) else ())
        except TooMany:
            continue
        return mirrored(scene, drawer.nodes, graph, compiled) if compiled else scene
    raise AssertionError("the last plan has no more boxes than its budget")


def _plans(graph: Graph, asked: Options) -> Iterator[tuple[Options, str]]:
    """What to draw, from as asked to coarse, and what to say of it."""
    yield asked, ""
    why = f"(it has more than {asked.budget:,} boxes)"
    if asked.detail:
        asked = replace(asked, detail=False)
        yield asked, f"one box for each equation, not for each operation {why}"
    for level in range(asked.level - 1, 0, -1):
        asked = replace(asked, level=level)
        said = "blocks are opened down to" if level == 2 else "one box for each of the"
        yield asked, f"{said} cells and layers {why}"
    if asked.unrolled:
        asked = replace(asked, fold=3)
        yield asked, f"fewer steps are drawn {why}"
        asked = replace(asked, unrolled=False)
        yield asked, f"loops are closed {why}"
    size = max(2, 4 * len(graph.nodes()) // asked.budget)
    yield replace(asked, chunk=size), f"each dashed box stands for up to {size:,} operations in a row {why}"
    yield replace(asked, chunk=1 << 40, budget=1 << 40), f"runs of operations are drawn as one box {why}"


def _steps_drawer(steps: Steps, options: Options) -> DrawSteps:
    def draw(drawer: Drawer, scope: Scope, group: Group, index: int) -> bool:
        top = scope.key == "g"
        if group.kind == "loop":
            if top and options.unrolled:
                steps.draw_loop(drawer, scope, group.root, index)
            else:
                opened = options.level > 1 and not options.chunk and not scope.pill
                (open_loop if opened else closed_loop)(drawer, scope, group.root, index)
            return True
        axis = steps.axis_of(group) if top and not drawer.only_spread(group) else None
        if axis:
            steps.draw_group(drawer, scope, group, index, axis)
        return axis is not None

    return draw


def _by_path(block: Block) -> Iterator[tuple[Path, Block]]:
    pending = [block]
    while pending:
        block = pending.pop()
        yield block.path, block
        pending += block.children


def _closing(graph: Graph, blocks: dict[Path, Block], options: Options) -> Close:
    """Closes at level 1 the outermost instances, at level 2 those that hold no others; a pipe is no instance.

    What holds loops that are drawn as steps, or opened, stays open.
    """
    loops = [n for n in graph.nodes() if n.op is LOOP]
    open_ones = stepping(loops)
    closable = {p for p, b in blocks.items() if p and (b.definition or not b.children) and p not in open_ones}
    closed = {p for p in closable if options.level == 1 or (options.level == 2 and not blocks[p].children)}
    known: dict[Path, Path | None] = {}

    def close(path: Path) -> Path | None:
        if path not in known:
            known[path] = next((p for p in (path[:n] for n in range(1, len(path) + 1)) if p in closed), None)
        return known[path]

    return close
