"""A scene with as much detail as fits: from what was asked for, level by level, to what has few enough boxes.

A static picture is drawn from the loop form of the graph, its columns made from the one body, so it costs the
same for ten steps and for ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from rnngraph.ir.graph import LOOP, Graph
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.viz.backward_pass import mirrored
from rnngraph.viz.groups import Close, Group, Path
from rnngraph.viz.loops import closed_loop, open_loop
from rnngraph.viz.scene import Scene
from rnngraph.viz.scene_building import Drawer, DrawSteps, Options
from rnngraph.viz.scopes import Scope, TooMany
from rnngraph.viz.unrolled import Steps, stepping


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
