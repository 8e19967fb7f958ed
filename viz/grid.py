"""An unrolled picture with everything at its place: boxes in rows and columns, frames, edges along their ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from rnngraph.viz.bands import Arrangement, Band
from rnngraph.viz.edge_routing import Net, Way, ways
from rnngraph.viz.geometry import LABEL_SIZE, TITLE_SIZE, Area, Drawn, Placed, Places, Point, Spot
from rnngraph.viz.rounded_corners import rounded
from rnngraph.viz.rows import HEADING, MARGIN, Rows
from rnngraph.viz.scene import Frame, Scene
from rnngraph.viz.text_width import text_width
from rnngraph.viz.tracks import NEST, Tracks, badges, fold_key


def gridded(scene: Scene, plan: Arrangement, sizes: Mapping[str, tuple[float, float]], upwards: bool) -> Places:
    """The places of everything in the plan; the data flow up the page, or down."""
    rows = Rows(scene, plan, ways(scene, plan), sizes, upwards)
    found = Grid(rows, Tracks(rows)).places()
    return found if upwards else turned(found)


@dataclass
class Grid:
    rows: Rows
    tracks: Tracks

    def __post_init__(self) -> None:
        self.scene, self.plan = self.rows.scene, self.rows.plan

    def places(self) -> Places:
        found = Places(dict(self._spots()))
        found.frames = list(self._frames())
        found.edges = list(self._edges())
        return found

    # --- boxes -------------------------------------------------------------------------------------------------

    def spot(self, key: str) -> Spot:
        """Of a box; in a column of many steps, of the stretch of the one box there that stands for it."""
        place = self.plan.places[key]
        fold = self.tracks.folded(place)
        width = self.rows.sizes[fold_key(place) if fold else key][0]
        return Spot(
            self.tracks.column(place).middle, self.rows.centre(place.band, place.row), width, self.rows.sizes[key][1]
        )

    def _spots(self) -> Iterator[tuple[str, Spot]]:
        folds: dict[str, list[Spot]] = defaultdict(list)
        for key, place in self.plan.places.items():
            if self.tracks.folded(place):
                folds[fold_key(place)].append(self.spot(key))
            else:
                yield key, self.spot(key)
        for key, spots in folds.items():
            low, high = min(s.area.bottom for s in spots), max(s.area.top for s in spots)
            yield key, Spot(spots[0].x, (low + high) / 2, spots[0].width, max(high - low, self.rows.sizes[key][1]))

    # --- frames ------------------------------------------------------------------------------------------------

    def _frames(self) -> Iterator[Placed]:
        for number, band in enumerate(self.plan.bands):
            if band.rows:
                yield from self._band_frames(number, band)
                for column in range(-1, band.count + 1):
                    yield from self._block_frames(number, band, column)

    def _band_frames(self, number: int, band: Band) -> Iterator[Placed]:
        """Around all columns, and around each."""
        low, high = self.rows.band(number)
        columns = [self.tracks.columns[band.axis, i] for i in range(band.count)]
        title = self.scene.axes[band.axis].title + ", backward" * band.backward
        outer = Area(columns[0].left - MARGIN, low, columns[-1].right + MARGIN, high)
        yield self._placed(Frame(f"{band.axis}/{number}", "loop", title), outer)
        inset = MARGIN + self.rows.heading(begin=True), MARGIN + self.rows.heading(begin=False)
        for i, column in enumerate(columns):
            if not self.scene.axes[band.axis].folded[i]:
                frame = self.scene.frames[f"{band.axis}@{i}"]
                area = Area(column.left, low + inset[0], column.right, high - inset[1])
                yield self._placed(replace(frame, badges=()) if band.backward else frame, area, 0.0, column.middle)

    def _block_frames(self, number: int, band: Band, column: int) -> Iterator[Placed]:
        """Around the boxes of each instance in a column."""
        inside: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for key, place in self.plan.places.items():
            if place[:2] == (number, column) and not self.tracks.folded(place):
                chain = [f for f in self.scene.chain(self.scene.boxes[key].frame) if self._is_block(f)]
                for depth, frame in enumerate(chain):
                    inside[frame].append((place.row, len(chain) - depth))
        here = self.tracks.columns[band.axis, column]
        for key, rows in sorted(inside.items(), key=lambda item: len(self.scene.chain(item[0]))):
            inset = NEST * (len(self.scene.chain(key)) - 1)
            low = min(self.rows.reach[number, r][0] - d * (MARGIN + self.rows.heading(begin=True)) for r, d in rows)
            high = max(self.rows.reach[number, r][1] + d * (MARGIN + self.rows.heading(begin=False)) for r, d in rows)
            area = Area(here.left + inset, low, here.right - inset, high)
            yield self._placed(self.scene.frames[key], area, here.middle - here.width / 2, here.middle)

    def _is_block(self, frame: str) -> bool:
        return self.scene.frames[frame].kind == "block"

    def _placed(self, frame: Frame, area: Area, start: float = 0.0, middle: float = 0.0) -> Placed:
        """The title begins at `start`, the badges behind `middle`: an edge may run between."""
        u = area.top - HEADING / 2 if self.rows.upwards else area.bottom + HEADING / 2
        title = (start or area.left + 6) + text_width(frame.title, TITLE_SIZE) / 2, u
        badge = (middle + 7 + text_width(badges(frame), TITLE_SIZE) / 2, u) if frame.badges else None
        return Placed(frame, area, title, badge)

    # --- edges -------------------------------------------------------------------------------------------------

    def _edges(self) -> Iterator[Drawn]:
        """Each along its way; what a net carries is written once where it leaves a box."""
        labelled: set[tuple[Net, str, str]] = set()
        for way in self.rows.ways:
            points = self._points(way)
            curve, tip = rounded(points)
            key = way.net, way.edge.tail.box, way.out
            text = self.tracks.labels.get(key, "") if key not in labelled else ""
            labelled.add(key)
            label = self._label(way, text, points[0]) if text else None
            yield Drawn(replace(way.edge, label=text), curve, tip, label, self._ends(way))

    def _ends(self, way: Way) -> tuple[str, str]:
        return (
            fold_key(way.tail) if self.tracks.folded(way.tail) else way.edge.tail.box,
            fold_key(way.head) if self.tracks.folded(way.head) else way.edge.head.box,
        )

    def _label(self, way: Way, text: str, start: Point) -> Point:
        """Beside the column that the edge leaves, over the line."""
        half = text_width(text, LABEL_SIZE) / 2
        if way.out in ("start", "end"):
            return start[0] + half + 5, start[1] + 8
        column, band = self.tracks.column(way.tail), self.plan.bands[way.tail.band]
        away = half + 4 + (MARGIN if way.tail.column in (0, band.count - 1) else 0)
        x = column.right + away if way.out == "right" else column.left - away
        return x, start[1] + self._beside_ports(way)

    def _beside_ports(self, way: Way) -> float:
        """Over the line, or under it where another edge leaves the box over it."""
        key, over = (way.edge.tail.box, way.out), 1 if self.rows.upwards else -1
        mine = self.tracks.ports[*key, way.net]
        ports = [
            over * (p - mine) for (*here, net), p in self.tracks.ports.items() if (*here,) == key and net != way.net
        ]
        under = any(0 < p < 13 for p in ports) and not any(-13 < p < 0 for p in ports)
        return (-6.5 if under else 6.5) * over

    def _points(self, way: Way) -> Sequence[Point]:
        """Every corner of a way."""
        x, u = self._port(way.edge.tail.box, way.out, way.net)
        end = self._port(way.edge.head.box, way.into, way.net)
        points = [(x, u)]
        for i, leg in enumerate(way.legs):
            if leg.kind == "channel":
                u = self.tracks.lane[leg, way.net]
            elif leg.kind == "middle":
                x = end[0] if i else x
            else:
                x = self.tracks.lane[leg, way.net]
            points.append((x, u))
        return [*points, (x, end[1]), end] if way.legs else [*points, end]

    def _port(self, key: str, side: str, net: Net) -> Point:
        spot = self.spot(key)
        x = {"left": spot.area.left, "right": spot.area.right}.get(side, spot.x)
        return x, self.tracks.u_of(key, side, net)


def turned(found: Places) -> Places:
    """The same with the flow going down the page."""
    return Places(
        {key: spot._replace(y=-spot.y) for key, spot in found.spots.items()},
        [
            Placed(f, Area(a.left, -a.top, a.right, -a.bottom), _down(t), _down(b) if b else None)
            for f, a, t, b in found.frames
        ],
        [
            d._replace(curve=tuple(map(_down, d.curve)), tip=d.tip and _down(d.tip), label=d.label and _down(d.label))
            for d in found.edges
        ],
    )


def _down(point: Point) -> Point:
    return point[0], -point[1]
