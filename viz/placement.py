"""Where the columns of unrolled loops stand: `dot` ranks them, here they are stacked in rows.

`dot` keeps one order only, that of its ranks. So it is asked for the sizes of all boxes and for the order of
the columns; then each column is stacked in the order of its step, with equal boxes at equal heights, and the
result is drawn with `neato -n`, which routes the edges and moves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from rnngraph.viz.scene import Scene

GAP = 26.0
"""Points between the boxes of a column."""
MARGIN, HEADING = 12.0, 22.0
"""Points within a frame: at each side, and for its title."""


@dataclass
class Spot:
    """Centre and size of a box, in points."""

    x: float
    y: float
    width: float
    height: float

    @property
    def edges(self) -> Area:
        half, tall = self.width / 2, self.height / 2
        return Area(self.x - half, self.y - tall, self.x + half, self.y + tall)


@dataclass(frozen=True)
class Area:
    left: float
    bottom: float
    right: float
    top: float

    def __str__(self) -> str:
        return f"{self.left:.1f},{self.bottom:.1f},{self.right:.1f},{self.top:.1f}"


@dataclass
class Places:
    """Boxes and frames of a scene on the page."""

    spots: dict[str, Spot]
    areas: dict[str, Area] = field(default_factory=dict)


def places(scene: Scene, layout: bytes) -> Places:
    """From what `dot -Tjson0` makes of a scene with columns."""
    found = Places({o["name"]: _spot(o) for o in json.loads(layout).get("objects", ()) if "pos" in o})
    for lane in scene.lanes:
        _stack(scene, found, lane)
    _frame(scene, found)
    return found


def _spot(node: Mapping[str, str]) -> Spot:
    x, y = map(float, node["pos"].split(","))
    return Spot(x, y, 72 * float(node["width"]), 72 * float(node["height"]))


def inside(scene: Scene) -> dict[str, list[str]]:
    """The boxes within each frame and the frames in it."""
    found: dict[str, list[str]] = {key: [] for key in scene.frames}
    for box in scene.boxes.values():
        key = box.frame
        while key:
            found[key].append(box.key)
            key = scene.frames[key].parent
    return found


def in_order(keys: Iterable[str], scene: Scene) -> list[str]:
    """What a box needs before it; where edges go round in a circle, as given."""
    place = {key: i for i, key in enumerate(keys)}
    needs: Mapping[str, set[str]] = {key: set() for key in place}
    for edge in scene.edges:
        if edge.tail.box in place and edge.head.box in place:
            needs[edge.head.box].add(edge.tail.box)
    order: dict[str, None] = {}
    left = list(place)
    while left:
        ready = next((key for key in left if needs[key] <= order.keys()), left[0])
        order[ready] = None
        left.remove(ready)
    return list(order)


def _stack(scene: Scene, found: Places, lane: tuple[str, ...]) -> None:
    """The columns of one loop over one base line; what stands above and below the loop makes room."""
    boxes = inside(scene)
    columns = [in_order(boxes[frame], scene) for frame in lane if boxes[frame]]
    if not columns:
        return
    loop = scene.frames[lane[0]].parent
    members = {key for column in columns for key in column}
    old = _around(found.spots[key].edges for key in members)
    height = max(_height(scene, found, column) for column in columns)
    middle = (old.bottom + old.top) / 2
    nesting = _nesting(scene, columns, loop)
    bottom = middle - height / 2
    for column in columns:
        _stand(scene, found, column, bottom, height)
    room = (height - (old.top - old.bottom)) / 2 + nesting
    for key, spot in found.spots.items():
        if key not in members and not old.bottom <= spot.y <= old.top:
            spot.y += room if spot.y > old.top else -room


def _nesting(scene: Scene, columns: list[list[str]], loop: str) -> float:
    """Room for the frames and titles around the boxes."""
    deepest = max(len(_chain(scene, scene.boxes[key].frame, loop)) for column in columns for key in column)
    return (deepest + 1) * (MARGIN + HEADING) / 2


def _chain(scene: Scene, key: str, top: str) -> list[str]:
    chain = []
    while key and key != top:
        chain.append(key)
        key = scene.frames[key].parent
    return chain


def _height(scene: Scene, found: Places, column: list[str]) -> float:
    return sum(found.spots[key].height for key in column) + sum(_gaps(scene, column))


def _gaps(scene: Scene, column: list[str]) -> list[float]:
    """Between each two boxes; wider where a frame ends and another begins."""
    frames = [scene.boxes[key].frame for key in column]
    return [GAP if a == b else GAP + MARGIN + HEADING / 2 for a, b in pairwise(frames)]


def _stand(scene: Scene, found: Places, column: list[str], bottom: float, height: float) -> None:
    """Stacks a column from the base line up; a shorter one is spread over the same height."""
    spare = height - _height(scene, found, column)
    between = spare / (len(column) - 1) if len(column) > 1 else 0.0
    y = bottom if len(column) > 1 else bottom + spare / 2
    x = max((found.spots[key] for key in column), key=lambda spot: spot.width).x
    for key, gap in zip(column, [*_gaps(scene, column), 0.0], strict=True):
        spot = found.spots[key]
        spot.x, spot.y = x, y + spot.height / 2
        y += spot.height + gap + between


def _around(areas: Iterable[Area]) -> Area:
    every = list(areas)
    return Area(
        min(a.left for a in every),
        min(a.bottom for a in every),
        max(a.right for a in every),
        max(a.top for a in every),
    )


def _frame(scene: Scene, found: Places) -> None:
    """Each frame around what is in it, innermost first."""
    children: dict[str, list[Area]] = {key: [] for key in scene.frames}
    for box in scene.boxes.values():
        if box.frame:
            children[box.frame].append(found.spots[box.key].edges)
    for key in sorted(scene.frames, key=lambda k: -len(_chain(scene, k, ""))):
        if not children[key]:
            continue
        content, frame = _around(children[key]), scene.frames[key]
        heading = HEADING if frame.title else MARGIN
        area = Area(
            content.left - MARGIN, content.bottom - MARGIN, content.right + MARGIN, content.top + heading
        )
        found.areas[key] = area
        if frame.parent:
            children[frame.parent].append(area)
