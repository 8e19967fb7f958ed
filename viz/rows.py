"""Rows and bands of an unrolled picture along the flow, in points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rnngraph.viz.bands import Arrangement
from rnngraph.viz.edge_routing import Leg, Net, Way, lanes
from rnngraph.viz.scene import Scene

GAP, MARGIN, HEADING, LANE = 22.0, 9.0, 19.0, 9.0
"""Points: between rows, within a frame, for its title, between edges side by side."""

Reach = tuple[float, float]
"""From where to where."""


@dataclass
class Rows:
    """`u` runs along the flow. A box beside the columns is a row of its own."""

    scene: Scene
    plan: Arrangement
    ways: Sequence[Way]
    sizes: Mapping[str, tuple[float, float]]
    upwards: bool
    reach: dict[tuple[int, str], Reach] = field(init=False, default_factory=dict)
    """Of each row, by band and row."""
    channels: dict[tuple[Leg, Net], float] = field(init=False, default_factory=dict)
    """Where each net runs between bands."""

    def __post_init__(self) -> None:
        self.members: dict[tuple[int, str], list[str]] = defaultdict(list)
        for key, place in self.plan.places.items():
            self.members[place.band, place.row].append(key)
        self._place()

    def centre(self, band: int, row: str) -> float:
        low, high = self.reach[band, row]
        return (low + high) / 2

    def heading(self, begin: bool) -> float:
        """Room for a title where a frame begins or ends: titles are at the top, whichever way the flow goes."""
        return HEADING if begin != self.upwards else 0.0

    def band(self, number: int) -> Reach:
        """The frame around the columns of a band."""
        rows = self.plan.bands[number].rows
        low = self.reach[number, rows[0]][0] - self._gap(number, "", rows[0])
        high = self.reach[number, rows[-1]][1] + self._closing(number, rows[-1])
        return low - 2 * MARGIN - 2 * self.heading(begin=True), high + 2 * MARGIN + 2 * self.heading(begin=False)

    # --- channels ----------------------------------------------------------------------------------------------

    def _lanes(self) -> dict[int, dict[Net, int]]:
        """How many lanes each channel has: nets that meet between the same columns run side by side."""
        stretches: dict[int, dict[Net, Reach]] = defaultdict(dict)
        for way in self.ways:
            for leg in way.legs:
                if leg.kind == "channel":
                    same = self.plan.bands[way.tail.band].axis == self.plan.bands[way.head.band].axis
                    ends = (way.tail.column, way.head.column) if same else (-2, 999)
                    low, high = stretches[leg.number].get(way.net, (99.0, -99.0))
                    stretches[leg.number][way.net] = min(low, *ends), max(high, *ends)
        return {number: lanes(nets) for number, nets in stretches.items()}

    # --- places ------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        used = self._lanes()
        u = 0.0
        for number, band in enumerate(self.plan.bands):
            u = self._channel(number, u, used.get(number, {}))
            low = u
            if band.rows:
                u = self._stacked(number, band.rows, low + MARGIN * 2 + self.heading(begin=True) * 2)
                u += self._closing(number, band.rows[-1]) + MARGIN * 2 + self.heading(begin=False) * 2
            high = u
            for stack in (band.before, band.after):
                u = max(u, self._beside(number, stack, low, high))
        self._channel(len(self.plan.bands), u, used.get(len(self.plan.bands), {}))

    def _channel(self, number: int, u: float, used: Mapping[Net, int]) -> float:
        for net, lane in used.items():
            self.channels[Leg("channel", "", number), net] = u + MARGIN + lane * LANE
        return u + MARGIN * 1.6 + (max(used.values(), default=-1) + 1) * LANE

    def _stacked(self, number: int, rows: Sequence[str], u: float) -> float:
        for before, row in pairwise(["", *rows]):
            u += self._gap(number, before, row)
            tall = max(self.sizes[key][1] for key in self.members[number, row])
            self.reach[number, row] = u, u + tall
            u += tall
        return u

    def _gap(self, number: int, before: str, row: str) -> float:
        """Between two rows; wider where frames end and begin."""
        a = self._blocks(number, before) if before else ()
        b = self._blocks(number, row)
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        ending, beginning = len(a) - same, len(b) - same
        return (
            (GAP if before else 0)
            + (ending + beginning) * MARGIN
            + ending * self.heading(begin=False)
            + beginning * self.heading(begin=True)
        )

    def _closing(self, number: int, row: str) -> float:
        return len(self._blocks(number, row)) * (MARGIN + self.heading(begin=False))

    def _blocks(self, number: int, row: str) -> tuple[str, ...]:
        """The instances around a row, the same at every step."""
        chain = self.scene.chain(self.scene.boxes[self.members[number, row][0]].frame)
        return tuple(self.scene.frames[k].owner for k in chain if self.scene.frames[k].kind == "block")

    # --- beside the columns ------------------------------------------------------------------------------------

    def _beside(self, number: int, stack: Sequence[str], low: float, high: float) -> float:
        """Boxes beside the columns, each at the height of what it is connected with, as far as there is room."""
        if not stack:
            return low
        u, before = low + MARGIN, ""
        for key in stack:
            tall = self.sizes[key][1]
            near = self._near(number, key)
            u = max(u + self._gap(number, before, key), sum(near) / len(near) - tall / 2 if near else u)
            self.reach[number, key] = u, u + tall
            u, before = u + tall, key
        end = u + self._closing(number, stack[-1])
        limit = end - self._spare(number, stack, end + MARGIN - high, low)
        self._press(number, stack, limit)
        return limit + MARGIN

    def _near(self, number: int, key: str) -> list[float]:
        """The middles of the rows of this band that a box is connected with."""
        ends = [(w.edge.tail.box, w.head) for w in self.ways] + [(w.edge.head.box, w.tail) for w in self.ways]
        return [
            self.centre(number, place.row)
            for one, place in ends
            if one == key and place.band == number and (number, place.row) in self.reach
        ]

    def _spare(self, number: int, stack: Sequence[str], excess: float, low: float) -> float:
        """How far a stack that is too high can begin lower; the first one also below its band."""
        room = self.reach[number, stack[0]][0] - low - 3 * MARGIN - HEADING
        if excess > room and number == 0:
            room += (excess - room) / 2
        return max(min(excess, room), 0.0)

    def _press(self, number: int, stack: Sequence[str], limit: float) -> None:
        """Moves what stands too high down, and what is below that only as far as it must."""
        after = ""
        for key in reversed(stack):
            limit -= self._gap(number, key, after) if after else self._closing(number, key)
            low, high = self.reach[number, key]
            down = max(high - limit, 0.0)
            self.reach[number, key] = low - down, high - down
            limit, after = low - down, key
