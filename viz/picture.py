"""What is drawn and how it folds until it fits; `picture` is the whole story.

A static picture is drawn from the loop form of the graph, its columns made from the one body, so it costs the
same for ten steps and for ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rnngraph.ir.graph import Graph, Node
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.passes.index_checks import unwatched
from rnngraph.passes.prune import prune
from rnngraph.viz.columns import DEFAULT_STEPS
from rnngraph.viz.draw import Drawer, Options
from rnngraph.viz.groups import Close, Path
from rnngraph.viz.loops import draw_loop
from rnngraph.viz.scene import Scene
from rnngraph.viz.sketch import Scope, TooMany
from rnngraph.viz.unrolled import draw_steps


def picture(
    graph: Graph,
    block: Block | None = None,
    *,
    unrolled: bool = False,
    opened: bool = False,
    fold: int = 6,
    backward: bool = False,
    budget: int = 400,
    steps: int | Mapping[str, int] = DEFAULT_STEPS,
    detail: bool = False,
    dtype: str = "float32",
    title: str = "",
) -> Any:
    """A `graphviz.Digraph` of the graph (in its form with loops) and the tree of instances it came from.

    `unrolled`: loops as `steps` columns, of which the middle is folded where there are more than `fold`.
    `opened`: the insides of loops and instances too, one box for each expression (`detail`: for each op).
    `backward`: the gradient's part as well, where the graph has one. `dtype` is that of floats, for the bytes
    in the tooltips. With more than `budget` boxes, parts are folded, and the picture says which.
    """
    graph = unwatched(graph)
    scene = scene_of(
        prune(graph) if backward else forward_only(graph),
        block,
        Options(unrolled, opened, detail, steps, fold, dtype, 0, budget),
    )
    from rnngraph.viz.write import Picture

    return Picture(scene, title)


def forward_only(graph: Graph) -> Graph:
    """The graph without the outputs that only the backward pass makes (and so without that pass)."""
    outputs = {name: v for name, v in graph.outputs.items() if not v.node.origin.backward}
    return prune(graph.with_outputs(outputs or graph.outputs))


def scene_of(graph: Graph, block: Block | None, options: Options) -> Scene:
    """The scene as asked, or the fullest one that fits the budget."""
    blocks = dict(_by_path(block)) if block else {}
    for asked, depth, note in _plans(graph, blocks, options):
        drawer = Drawer(graph, blocks, _closing(blocks, asked, depth), asked, _loop_drawer(asked))
        try:
            return drawer.finish((note,) if note else ())
        except TooMany:
            continue
    raise AssertionError("the last plan has no more boxes than its budget")


def _plans(
    graph: Graph, blocks: dict[Path, Block], asked: Options
) -> Iterator[tuple[Options, int | None, str]]:
    """What to draw, from as asked to coarse: (options, depth at which instances are closed, what to say)."""
    yield asked, None, ""
    why = f"(it has more than {asked.budget:,} boxes)"
    if asked.detail:
        asked = replace(asked, detail=False)
        yield asked, None, f"one box for each expression, not for each operation {why}"
    for depth in range(max(map(len, blocks), default=0), 0, -1):
        yield (
            asked,
            depth,
            f"instances {f'{depth} deep' if depth > 1 else 'of cells and layers'} are closed {why}",
        )
    asked = replace(asked, fold=3, opened=False)
    yield asked, 1, f"fewer steps are drawn, and loops are closed {why}"
    asked = replace(asked, unrolled=False)
    yield asked, 1, f"loops and instances are closed {why}"
    size = max(2, 4 * len(graph.nodes()) // asked.budget)
    yield (
        replace(asked, chunk=size),
        1,
        f"each dashed box stands for up to {size:,} operations in a row {why}",
    )
    yield replace(asked, chunk=1 << 40, budget=1 << 40), 1, f"runs of operations are drawn as one box {why}"


def _loop_drawer(options: Options) -> Any:
    def draw(drawer: Drawer, scope: Scope, node: Node) -> None:
        if options.unrolled and scope.key == "g":
            draw_steps(drawer, scope, node)
        else:
            draw_loop(drawer, scope, node, options.opened and not options.chunk)

    return draw


def _by_path(block: Block) -> Iterator[tuple[Path, Block]]:
    pending = [block]
    while pending:
        block = pending.pop()
        yield block.path, block
        pending += block.children


def _closing(blocks: dict[Path, Block], options: Options, depth: int | None) -> Close:
    """Closes the instances that hold no others (unless opened), and all from `depth` on."""
    leaves = {path for path, block in blocks.items() if path and not block.children and not options.opened}
    known: dict[Path, Path | None] = {}

    def close(path: Path) -> Path | None:
        if path not in known:
            prefixes = (path[:size] for size in range(1, len(path) + 1))
            known[path] = next((p for p in prefixes if p in leaves or (depth and len(p) >= depth)), None)
        return known[path]

    return close
