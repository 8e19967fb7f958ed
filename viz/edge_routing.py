"""Which way each edge of an unrolled picture takes: straight, in its column, along gutters and channels.

A gutter is the room beside a column, a channel that between two bands. All edges that leave a box together (one net)
share their lanes, so what every step reads looks like a bus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from msgspec import Struct

from rnngraph.viz.bands import Arrangement, Place
from rnngraph.viz.scene import Edge, Scene

Side = Literal["start", "end", "left", "right"]
"""Of a box: where the flow comes in, where it goes on, and along time."""
Net = tuple[int, str, str]
"""Band and row of the tail, kind of the edge."""


class Leg(NamedTuple):
    """A stretch along a gutter (`axis`, `number`), the lanes within a column (`inner`), a channel or a box's middle."""

    kind: Literal["gutter", "inner", "channel", "middle", "outer"]
    axis: str = ""
    number: int = 0


class Way(Struct, frozen=True):
    edge: Edge
    net: Net
    tail: Place
    head: Place
    out: Side
    into: Side
    legs: tuple[Leg, ...] = ()


def ways(scene: Scene, plan: Arrangement) -> list[Way]:
    chooser = _Chooser(scene, plan)
    found = []
    for edge in scene.edges:
        if edge.tail.box in plan.places and edge.head.box in plan.places and not chooser.hidden(edge):
            found.append(chooser.way(edge))
    return found


@dataclass
class _Chooser:
    scene: Scene
    plan: Arrangement
    stacks: dict[tuple[int, int], list[str]] = field(init=False)
    """What stands in each column of each band, in the order of the flow."""

    def __post_init__(self) -> None:
        order: dict[tuple[int, int], list[str]] = defaultdict(list)
        for number, band in enumerate(self.plan.bands):
            rank = {row: i for i, row in enumerate(band.rows)}
            inside = [(rank[p.row], k) for k, p in self.plan.places.items() if p.band == number and p.row in rank]
            for _, key in sorted(inside):
                order[number, self.plan.places[key].column].append(key)
            order[number, -1] += band.before
            order[number, band.count] += band.after
        self.stacks = order

    def folded(self, place: Place) -> bool:
        band = self.plan.bands[place.band]
        return 0 <= place.column < band.count and self.scene.axes[band.axis].folded[place.column]

    def hidden(self, edge: Edge) -> bool:
        """Within one box that stands for many steps."""
        tail, head = self.plan.places[edge.tail.box], self.plan.places[edge.head.box]
        return tail[:2] == head[:2] and self.folded(tail)

    def way(self, edge: Edge) -> Way:
        tail, head = self.plan.places[edge.tail.box], self.plan.places[edge.head.box]
        net = (tail.band, tail.row, edge.kind)
        out, into, legs = self.choice(edge, tail, head)
        return Way(edge, net, tail, head, out, into, legs)

    def choice(self, edge: Edge, tail: Place, head: Place) -> tuple[Side, Side, tuple[Leg, ...]]:
        axis = self.plan.bands[tail.band].axis
        if tail[:2] == head[:2]:
            stack = self.stacks[tail[:2]]
            if stack.index(edge.head.box) - stack.index(edge.tail.box) == 1:
                return "end", "start", ()
            return "left", "left", (Leg("inner", axis, tail.column),)
        if self._beside(tail.band, head.band):
            step = head.column - tail.column
            if step == 0:
                outward: Side = "right" if edge.kind in ("kept", "again") else "left"
                return outward, outward, (Leg("gutter", axis, tail.column + (outward == "right")),)
            if step == 1:
                legs = () if tail.band == head.band and tail.row == head.row else (Leg("gutter", axis, head.column),)
                return "right", "left", legs
            if step == -1:
                legs = () if tail.band == head.band and tail.row == head.row else (Leg("gutter", axis, tail.column),)
                return "left", "right", legs
        return self.far(edge, tail, head)

    def _beside(self, one: int, two: int) -> bool:
        """Whether all bands from one to the other have the same columns."""
        return len({band.axis for band in self.plan.bands[min(one, two) : max(one, two) + 1]}) == 1

    def _early(self, tail: Place, head: Place) -> bool:
        """Whether the channel before the band is nearer than that behind it."""
        rows = self.plan.bands[tail.band].rows
        ranks = [rows.index(place.row) for place in (tail, head) if place.row in rows]
        return bool(ranks) and 2 * min(ranks) < len(rows) - 1

    def far(self, edge: Edge, tail: Place, head: Place) -> tuple[Side, Side, tuple[Leg, ...]]:
        one, two = self.plan.bands[tail.band], self.plan.bands[head.band]
        rightwards = head.column > tail.column or one.axis != two.axis
        back = edge.back or head.band < tail.band or (tail.band == head.band and self._early(tail, head))
        first = tail.band + (not back)
        last = first if tail.band == head.band else head.band + back
        out: Side
        into: Side
        if self.stacks[tail[:2]][-1] == edge.tail.box and first == tail.band + 1 and not self.folded(tail):
            out, leave = "end", Leg("middle")
        else:
            out, leave = ("right" if rightwards else "left"), Leg("gutter", one.axis, tail.column + rightwards)
        if self.stacks[head[:2]][0] == edge.head.box and last == head.band and not self.folded(head):
            into, enter = "start", Leg("middle")
        else:
            into = "left" if rightwards else "right"
            enter = Leg("gutter", two.axis, head.column + (not rightwards))
        if first == last:
            return out, into, (leave, Leg("channel", "", first), enter)
        return out, into, (leave, Leg("channel", "", first), Leg("outer"), Leg("channel", "", last), enter)


# --- lanes ---------------------------------------------------------------------------------------------------------


def lanes(stretches: Mapping[Net, tuple[float, float]]) -> dict[Net, int]:
    """A lane for each net, so that no two meet: short ones first, so that brackets nest."""
    found: dict[Net, int] = {}
    taken: list[list[tuple[float, float]]] = []
    for net, (low, high) in sorted(stretches.items(), key=lambda item: (item[1][1] - item[1][0], item[0])):
        lane = next((i for i, used in enumerate(taken) if all(high < a or b < low for a, b in used)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((low, high))
        found[net] = lane
    return found
