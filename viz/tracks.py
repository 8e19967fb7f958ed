"""Columns, gutters and lanes of an unrolled picture along time, in points; where edges meet their boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct

from rnngraph.viz.bands import Place
from rnngraph.viz.edge_routing import Leg, Net, Way, lanes
from rnngraph.viz.geometry import LABEL_SIZE, TITLE_SIZE
from rnngraph.viz.rows import LANE, MARGIN, Reach, Rows
from rnngraph.viz.scene import Frame
from rnngraph.viz.text_width import text_width

NEST, PORT = 7.0, 6.0
"""Points between a frame and the next, and between the edges that meet a side of a box."""

Runs = Mapping[Leg, Mapping[Net, Reach]]


class Column(Struct):
    """Its borders, and between them the middle and width of the boxes; lanes within are left of these."""

    left: float
    middle: float
    right: float
    width: float = 0.0


@dataclass
class Tracks:
    """`x` runs along time."""

    rows: Rows
    columns: dict[tuple[str, int], Column] = field(init=False, default_factory=dict)
    lane: dict[tuple[Leg, Net], float] = field(init=False, default_factory=dict)
    """Where each net runs in each gutter, channel or column."""
    ports: dict[tuple[str, str, Net], float] = field(init=False, default_factory=dict)
    """How far from the middle of a box's side each net meets it."""
    labels: dict[tuple[Net, str, str], str] = field(init=False)
    """What is written where a net leaves a box, by its side."""

    def __post_init__(self) -> None:
        self.lane.update(self.rows.channels)
        self.labels = _labels(self.rows.ways)
        self._ports()
        runs = self._runs()
        for axis in dict.fromkeys(band.axis for band in self.rows.plan.bands):
            self._axis(axis, runs)
        right = max(c.right for c in self.columns.values()) + 4 * MARGIN
        self._occupy(Leg("outer"), right, lanes(runs.get(Leg("outer"), {})))

    def folded(self, place: Place) -> bool:
        band = self.rows.plan.bands[place.band]
        return 0 <= place.column < band.count and self.rows.scene.axes[band.axis].folded[place.column]

    def column(self, place: Place) -> Column:
        return self.columns[self.rows.plan.bands[place.band].axis, place.column]

    # --- where edges meet boxes --------------------------------------------------------------------------------

    def _ports(self) -> None:
        """In the middle what goes straight on, the others around it on the side that they come from."""
        nets: dict[tuple[str, str], dict[Net, float]] = defaultdict(dict)
        for way in self.rows.ways:
            ends = (way.edge.tail.box, way.out, way.tail, way.head), (way.edge.head.box, way.into, way.head, way.tail)
            for key, side, here, there in ends:
                if side in ("left", "right"):
                    away = self.rows.centre(there.band, there.row) - self.rows.centre(here.band, here.row)
                    straight = not way.legs or abs(away) < 0.5 or nets[key, side].get(way.net) == 0.0
                    nets[key, side][way.net] = 0.0 if straight else away
        for (box, at), found in nets.items():
            self.ports.update({(box, at, net): u for net, u in _spread(found, self.rows.sizes[box][1]).items()})

    def u_of(self, key: str, side: str, net: Net) -> float:
        """Where on the flow a net meets a box."""
        place = self.rows.plan.places[key]
        centre, half = self.rows.centre(place.band, place.row), self.rows.sizes[key][1] / 2
        if side in ("start", "end"):
            return centre + (half if side == "end" else -half)
        return centre + self.ports[key, side, net]

    # --- lanes -------------------------------------------------------------------------------------------------

    def _runs(self) -> Runs:
        """From where to where along the flow each net runs in each gutter."""
        found: dict[Leg, dict[Net, Reach]] = defaultdict(dict)
        for way in self.rows.ways:
            us = self._us(way)
            for leg, a, b in zip(way.legs, us, us[1:], strict=False):
                if leg.kind in ("gutter", "inner", "outer"):
                    low, high = found[leg].get(way.net, (a, a))
                    found[leg][way.net] = min(low, a, b), max(high, a, b)
        return found

    def _us(self, way: Way) -> list[float]:
        """Where the way is along the flow: before its first leg, and after each."""
        us = [self.u_of(way.edge.tail.box, way.out, way.net)]
        for leg, after in pairwise([*way.legs, None]):
            if leg and leg.kind == "channel":
                us.append(us[-1])
            elif after and after.kind == "channel":
                us.append(self.lane[after, way.net])
            else:
                us.append(self.u_of(way.edge.head.box, way.into, way.net))
        return us

    def _occupy(self, leg: Leg, first: float, taken: Mapping[Net, int], step: float = LANE) -> float:
        """Gives the nets their lanes from `first` on; where the last one is."""
        self.lane.update({(leg, net): first + lane * step for net, lane in taken.items()})
        return first + max(taken.values(), default=0) * step

    # --- columns and gutters -----------------------------------------------------------------------------------

    def _axis(self, axis: str, runs: Runs) -> None:
        count = next(b.count for b in self.rows.plan.bands if b.axis == axis)
        x = 0.0
        for number in range(-1, count + 1):
            x = self._gutter(axis, number, x, runs, count)
            self.columns[axis, number] = self._column(axis, number, x, runs)
            x = self.columns[axis, number].right
        self._gutter(axis, count + 1, x, runs, count)

    def _gutter(self, axis: str, number: int, x: float, runs: Runs, count: int) -> float:
        left, right = self._label_room(axis, number)
        border = 1.4 * MARGIN  # of the frame around all columns
        left, right = left + border * (number == count), right + border * (number == 0)
        leg = Leg("gutter", axis, number)
        last = self._occupy(leg, x + MARGIN * 1.2 + left, lanes(runs.get(leg, {})))
        return last + MARGIN * 1.2 + right

    def _label_room(self, axis: str, number: int) -> tuple[float, float]:
        """How wide the labels are that stand at the left and at the right of a gutter."""
        widths = {"right": 0.0, "left": 0.0}
        for way in self.rows.ways:
            beside = way.tail.column + (way.out == "right")
            text = self.labels.get((way.net, way.edge.tail.box, way.out))
            if text and self.rows.plan.bands[way.tail.band].axis == axis and beside == number and way.out in widths:
                widths[way.out] = max(widths[way.out], text_width(text, LABEL_SIZE) + 6)
        return widths["right"], widths["left"]

    def _column(self, axis: str, number: int, x: float, runs: Runs) -> Column:
        plan = self.rows.plan
        keys = [k for k, p in plan.places.items() if p.column == number and plan.bands[p.band].axis == axis]
        if not keys:
            return Column(x, x, x)
        fold = self.folded(plan.places[keys[0]])
        wide = max(self.rows.sizes[fold_key(plan.places[k]) if fold else k][0] for k in keys)
        depth = 0 if fold else max(len(self.rows.scene.chain(self.rows.scene.boxes[k].frame)) for k in keys)
        wide = wide if fold else max(wide, self._titles(keys))
        pad, leg = NEST * depth + 3, Leg("inner", axis, number)
        taken = lanes(runs.get(leg, {}))
        middle = x + pad + (max(taken.values(), default=-1) + 1) * LANE + 4 * bool(taken) + wide / 2
        self._occupy(leg, middle - wide / 2 - 7, taken, -LANE)
        return Column(x, middle, middle + wide / 2 + pad, wide)

    def _titles(self, keys: Iterable[str]) -> float:
        """So wide that titles have room beside an edge through the middle."""
        scene = self.rows.scene
        frames = [scene.frames[f] for f in {f for k in keys for f in scene.chain(scene.boxes[k].frame)}]
        texts = [text for frame in frames for text in (frame.title, badges(frame))]
        return 2 * max((text_width(text, TITLE_SIZE) + 9 for text in texts), default=0.0)


def _labels(ways: Sequence[Way]) -> dict[tuple[Net, str, str], str]:
    """All that is carried by a net where it leaves a box."""
    found: dict[tuple[Net, str, str], dict[str, None]] = defaultdict(dict)
    for way in ways:
        if way.edge.label:
            found[way.net, way.edge.tail.box, way.out].update(dict.fromkeys(way.edge.label.split(", ")))
    return {key: ", ".join(names) for key, names in found.items()}


def _spread(nets: Mapping[Net, float], tall: float) -> dict[Net, float]:
    """Nets by how far away they lead: those that go on straight in the middle, the others in order around it."""
    if len(nets) == 1:
        return dict.fromkeys(nets, 0.0)
    straight = [net for net, away in nets.items() if away == 0.0]
    sides = [sorted((abs(d), net) for net, d in nets.items() if d * sign > 0) for sign in (1, -1)]
    step = min(PORT, (tall / 2 - 4) / max(*map(len, sides), 1))
    first = 1.0 if straight or all(sides) else 0.5
    places = dict.fromkeys(straight, 0.0)
    for sign, side in zip((1, -1), sides, strict=True):
        places.update({net: sign * (i + first) * step for i, (_, net) in enumerate(side)})
    return places


def fold_key(place: Place) -> str:
    """The box for all that a column of many steps holds in a band."""
    return f"fold/{place.band}/{place.column}"


def badges(frame: Frame) -> str:
    return " ".join(f"θ {badge}" for badge in frame.badges)
