"""Where the boxes of an unrolled picture stand, before any size is known: bands of columns, one over the other.

A band is a stretch along the flow in which an axis has its columns, all with the same rows. What comes of all steps
together stands behind the last column; if columns of the same axis read that, they are another band. What is read at
every step alike stands before the first. Forward, bands follow one another as data flow; the backward pass has
the same bands in the other order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.viz.scene import Box, Edge, Scene

ASIDE = ("parameter", "gradient")
"""Kinds of boxes that stand below the picture."""
T = TypeVar("T")
Node = tuple[str, str]
"""What is arranged: ("axis", row) for all boxes of a row, ("", key) for a box that stands for itself."""


class Place(NamedTuple):
    """A band, a column of it (-1 is before the first), and a row."""

    band: int
    column: int
    row: str


class Band(Struct, frozen=True):
    """The columns of one axis, from before the first step to behind the last; rows in the order of the flow."""

    axis: str
    count: int
    rows: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    backward: bool = False


class Arrangement(Struct, frozen=True):
    bands: tuple[Band, ...]
    places: Mapping[str, Place]


def arranged(scene: Scene) -> Arrangement:
    """Forward boxes by what they need, then those of the backward pass in the mirrored order."""
    forward = {key: box for key, box in scene.boxes.items() if box.kind not in ASIDE and not box.mirrors}
    edges = [e for e in scene.edges if e.tail.box in forward and e.head.box in forward and not e.back]
    found = _Levels(scene, forward, edges)
    rows = found.bands()
    places = found.placed(rows)
    bands = [
        replace(b, before=found.stack(places, i, -1), after=found.stack(places, i, b.count)) for i, b in enumerate(rows)
    ]
    return _mirrored(scene, bands, places)


class _Levels:
    def __init__(self, scene: Scene, boxes: Mapping[str, Box], edges: Sequence[Edge]) -> None:
        self.scene, self.boxes = scene, boxes
        self.node: dict[str, Node] = {key: _node(box) for key, box in boxes.items()}
        self.before: dict[Node, dict[Node, None]] = {n: {} for n in self.node.values()}
        self.after: dict[Node, dict[Node, None]] = {n: {} for n in self.node.values()}
        for edge in edges:
            tail, head = boxes[edge.tail.box], boxes[edge.head.box]
            one, two = self.node[tail.key], self.node[head.key]
            if one != two and not (edge.kind == "state" and tail.slot and head.slot):
                self.before[two][one] = self.after[one][two] = None
        self.order = in_order(list(self.before), self.before)
        self.level: dict[Node, int] = {}
        self.derived: set[Node] = set()
        for node in self.order:
            self._place(node)
        for node in reversed(self.order):
            self._delay(node)

    def _place(self, node: Node) -> None:
        """A row stands above the rows of its axis that it reads, and in a later band than other things that come of
        steps; a box that stands for itself is beside the last of what it needs."""
        needs = [n for n in self.before[node] if n in self.level]
        if node[0]:
            levels = [self.level[n] + (n[0] != node[0]) for n in needs if n[0] or n in self.derived]
        else:
            levels = [self.level[n] for n in needs]
            if any(n[0] or n in self.derived for n in needs):
                self.derived.add(node)
        self.level[node] = max(levels, default=0)

    def _delay(self, node: Node) -> None:
        """As late as what reads it allows: so the rows of an axis need few bands."""
        latest = [
            self.level[n] - (n[0] not in ("", node[0]) if node[0] else bool(n[0]))
            for n in self.after[node]
            if node[0] or node in self.derived
        ]
        self.level[node] = max(self.level[node], min(latest, default=0))

    def bands(self) -> list[Band]:
        """By level, then in the order in which axes are met."""
        axes = list(dict.fromkeys(n[0] for n in self.order if n[0]))
        rows: dict[tuple[int, int], list[Node]] = defaultdict(list)
        for node in self.order:
            if node[0]:
                rows[self.level[node], axes.index(node[0])].append(node)
        found = []
        for (_, axis), nodes in sorted(rows.items(), key=lambda item: item[0]):
            name = axes[axis]
            order = self._by_frames([row for _, row in nodes], name)
            found.append(Band(name, len(self.scene.axes[name].steps), tuple(order)))
        return found

    def placed(self, bands: list[Band]) -> dict[str, Place]:
        band_of = {node: i for i, band in enumerate(bands) for row in band.rows for node in [(band.axis, row)]}
        for node in self.order:
            if node in self.derived:
                band_of[node] = max(band_of[n] for n in self.before[node] if n in band_of)
        for node in reversed(self.order):
            if node not in band_of:
                later = [band_of[n] for n in self.after[node] if n in band_of]
                band_of[node] = min(later, default=0)
        places = {}
        for key, box in self.boxes.items():
            node = self.node[key]
            band = band_of[node]
            column = box.slot.column if box.slot else self._side(key, node, bands[band])
            places[key] = Place(band, column, node[1])
        return places

    def stack(self, places: Mapping[str, Place], band: int, column: int) -> tuple[str, ...]:
        """What stands for itself there, in the order of the flow."""
        return tuple(n[1] for n in self.order if not n[0] and places[n[1]][:2] == (band, column))

    def _side(self, key: str, node: Node, band: Band) -> int:
        """Behind the columns what comes of them or is only read there; what begins a reversed loop is there too."""
        if node in self.derived:
            return band.count
        heads = [self.boxes[e.head.box] for e in self.scene.edges if e.tail.box == key and e.head.box in self.boxes]
        columns = [h.slot.column for h in heads if h.slot]
        if not columns:
            return band.count if any(self.node[h.key] in self.derived for h in heads) else -1
        return band.count if min(columns) == band.count - 1 > 0 else -1

    def _by_frames(self, rows: list[str], axis: str) -> list[str]:
        """In the order of the flow, those of one instance together."""
        chains = {}
        for box in self.boxes.values():
            if box.slot and box.slot.axis == axis and box.slot.row not in chains:
                frames = [self.scene.frames[k] for k in self.scene.chain(box.frame)]
                titles = [frame.owner for frame in frames if frame.kind == "block"]
                chains[box.slot.row] = tuple(titles)
        return list(self._together(rows, chains, axis, 0))

    def _together(self, rows: list[str], chains: Mapping[str, tuple[str, ...]], axis: str, depth: int) -> Iterator[str]:
        units: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            chain = chains.get(row, ())
            units[chain[depth] if len(chain) > depth else f"/{row}"].append(row)
        unit_of = {row: unit for unit, members in units.items() for row in members}
        needs: dict[str, dict[str, None]] = {unit: {} for unit in units}
        for row in rows:
            for n in self.before[axis, row]:
                if n[0] == axis and n[1] in unit_of and unit_of[n[1]] != unit_of[row]:
                    needs[unit_of[row]][unit_of[n[1]]] = None
        for unit in in_order(list(units), needs):
            if unit.startswith("/"):
                yield from units[unit]
            else:
                yield from self._together(units[unit], chains, axis, depth + 1)


def _node(box: Box) -> Node:
    return (box.slot.axis, box.slot.row) if box.slot else ("", box.key)


def in_order(keys: Sequence[T], needs: Mapping[T, Iterable[T]]) -> list[T]:
    """What each needs before it, close to those that need it; where needs go round in a circle, as given."""
    order: dict[T, None] = {}
    open_: set[T] = set()
    for first in keys:
        stack = [(first, False)]
        while stack:
            key, ready = stack.pop()
            if ready:
                order[key] = None
            elif key not in order and key not in open_:
                open_.add(key)
                stack.append((key, True))
                stack += [(n, False) for n in reversed(list(needs[key])) if n not in order]
    return list(order)


def _mirrored(scene: Scene, bands: list[Band], places: dict[str, Place]) -> Arrangement:
    """The bands of the backward pass: the boxes that mirror others, in the columns of those."""
    twins: dict[str, list[Box]] = defaultdict(list)
    for box in scene.boxes.values():
        if box.mirrors:
            twins[box.mirrors].append(box)
    if not twins:
        return Arrangement(tuple(bands), places)
    found = list(bands)
    for i in reversed(range(len(bands))):
        band, number = bands[i], len(found)
        here = {key: p for key, p in places.items() if p.band == i and key in twins}
        if not here:
            continue
        rows: dict[str, None] = {}
        for row in reversed(band.rows):
            for key, place in here.items():
                if place.row == row and 0 <= place.column < band.count:
                    for twin in twins[key]:
                        rows.setdefault(_node(twin)[1])
                        places[twin.key] = Place(number, place.column, _node(twin)[1])
        sides: list[tuple[str, ...]] = []
        for stack, column in ((band.before, -1), (band.after, band.count)):
            keys = [twin.key for key in reversed(stack) for twin in twins.get(key, ())]
            sides.append(tuple(keys))
            for key in keys:
                places[key] = Place(number, column, key)
        found.append(Band(band.axis, band.count, tuple(rows), sides[0], sides[1], True))
    return Arrangement(tuple(found), places)
