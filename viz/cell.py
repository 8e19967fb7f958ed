"""A cell by itself, as in a textbook: its states are lines, its gates stand under them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from rnngraph.viz.cell_layout import Cell, Staves, staves
from rnngraph.viz.cell_parts import Diagram, Exit, Part
from rnngraph.viz.cell_wires import Block, Lanes, Wanted, Wire, corners, crossings, too_much, wired
from rnngraph.viz.geometry import LABEL_SIZE, TITLE_SIZE, Area, Drawn, Placed, Places, Point, Spot, around
from rnngraph.viz.rounded_corners import joined, rounded
from rnngraph.viz.scene import Box, Edge, End, Frame, Scene
from rnngraph.viz.text_width import text_width

KINDS = {"gate": "gate", "round": "pointwise", "product": "matmul", "join": "shape", "box": "pointwise"}
CIRCLE, PORT, LANE, APART, NAME, BORDER = 22.0, 14.0, 10.0, 12.0, 11.0, 14.0
"""Points: across; from the middle of a wide box to what meets it beside; between wires; round a box; a name's height;
to the frame."""
MOST_PARTS, MOST_READ = 120, 20
"""What a picture has room for: parts, and what one of them reads."""
SMALL = 40
"""A cell of no more parts is placed in several ways, of which the plainest is taken."""
Sizes = Mapping[str, tuple[float, float]]


def cell_scene(diagram: Diagram) -> Scene:
    """The boxes, before anything has its place: parts, and where the cell's lines, inputs and outputs end."""
    most = max((len(part.reads) for part in diagram.parts), default=0)
    if len(diagram.parts) > MOST_PARTS or most > MOST_READ:
        raise too_much()
    boxes = [_box(key, part) for key, part in _keys(diagram).items()]
    boxes += [Box(f"new/{name}", "state", f"{name}'", tooltip=f"{name} after the step") for name in diagram.states]
    boxes += [Box(f"out/{name}", "output", name, tooltip="an output of the step") for name in diagram.outputs]
    return Scene({box.key: box for box in boxes}, {}, (), cell=diagram)


def cell_places(scene: Scene, sizes: Sizes) -> tuple[Scene, Places]:
    """Everything at its place, with the wires, names and forks that come of it."""
    assert scene.cell is not None
    return _Picture(scene, scene.cell, sizes).drawn()


def _keys(diagram: Diagram) -> dict[str, Part]:
    return {f"part/{number}": part for number, part in enumerate(diagram.parts)}


def _box(key: str, part: Part) -> Box:
    lines, badges = part.lines[1:], ()
    if part.kind in ("product", "box", "join"):
        return Box(key, KINDS[part.kind], "", "", part.lines, part.tooltip, weights=frozenset(part.weights))
    if part.kind == "block" and part.weights:
        lines = (", ".join(part.weights),)
    return Box(
        key, KINDS.get(part.kind, part.kind), part.lines[0], "", lines, part.tooltip, badges=badges,
        weights=frozenset(part.weights), round=part.kind == "round",
    )  # fmt: skip


class Wired(NamedTuple):
    """One way to place the parts, and the wires then."""

    staves: Staves
    cells: Mapping[str, Cell]
    lanes: Lanes
    wires: Sequence[Wire]


def _worth(found: Wired) -> float:
    """How much there is to look at: corners, and wires that cross."""
    bends = sum(len(corners(w.spots)) - 2 for w in found.wires)
    return 2 * bends + crossings(found.wires) + found.staves.size / 2


class _Picture:
    """The places of one cell."""

    def __init__(self, scene: Scene, diagram: Diagram, sizes: Sizes) -> None:
        self.scene, self.diagram = scene, diagram
        self.parts = _keys(diagram)
        self.key = {part: key for key, part in self.parts.items()}
        self.sizes = {key: self._size(key, sizes) for key in scene.boxes}
        tried = staves(diagram)[: 4 if len(diagram.parts) <= SMALL else 1]
        self.staves, self.cells, self.lanes, self.wires = min((self._wired(one) for one in tried), key=_worth)
        self.x, self.y = dict(self._across()), dict(self._along())

    def _size(self, key: str, sizes: Sizes) -> tuple[float, float]:
        box = self.scene.boxes[key]
        if not box.round:
            return max(sizes[key][0], 2.0 * PORT * self._beside_middle(key)), sizes[key][1]
        return max(CIRCLE, text_width(box.title, 12) + 12), CIRCLE

    def _beside_middle(self, key: str) -> int:
        """How many wires must meet it beside the middle, for all that it reads to find room."""
        return (len(self.parts[key].reads) + 1) // 3 if key in self.parts and len(self.parts[key].reads) > 2 else 0

    def _name(self, key: str) -> str:
        return self.parts[key].name if key in self.parts else ""

    # --- where things stand on the grid -----------------------------------------------------------------------------

    def _wired(self, found: Staves) -> Wired:
        cells = dict(self._cells(found))
        wide = {key: self._beside_middle(key) or int(self.sizes[key][0] > 2.6 * PORT) for key in cells}
        blocks = {key: Block(cell, wide[key]) for key, cell in cells.items()}
        lines = set(found.lines.values())
        wishes = [self._wish(cells, lines, exit, head) for exit, head in self._pairs()]
        ends = Cell(-1, found.rows[0]), Cell(found.columns + len(self.diagram.outputs), found.rows[-1])
        return Wired(found, cells, *wired(blocks, wishes, *ends))

    def _cells(self, found: Staves) -> Iterator[tuple[str, Cell]]:
        for part, cell in found.places.items():
            yield self.key[part], cell
        for name in self.diagram.states:
            yield f"new/{name}", Cell(found.columns + len(self.diagram.outputs), found.lines[name])
        for number, name in enumerate(self.diagram.outputs):
            yield f"out/{name}", Cell(found.columns + number, found.rows[-1])

    def _pairs(self) -> Iterator[tuple[Exit, str]]:
        """What is to be wired to what."""
        for part in self.diagram.parts:
            for exit in part.reads:
                yield exit, self.key[part]
        for name, (_, new) in self.diagram.states.items():
            yield new, f"new/{name}"
        for name, exit in self.diagram.outputs.items():
            yield exit, f"out/{name}"

    def _wish(self, cells: Mapping[str, Cell], lines: set[int], exit: Exit, head: str) -> Wanted:
        """The lines of the states first, then the others, short ones first."""
        tail = self.key[exit.part]
        one, two = cells[tail], cells[head]
        line = one.row == two.row and one.row in lines
        far = abs(one.column - two.column) + abs(one.row - two.row)
        return Wanted(f"{tail}.{exit.number}", tail, head, far if line else 100.0 + far)

    # --- from lanes to points ---------------------------------------------------------------------------------------

    def _across(self) -> Iterator[tuple[int, float]]:
        """Where each lane of columns is that anything stands or runs on."""
        used, lanes = _bends(self.wires, upright=True), self.lanes
        cursor = 0.0
        for column in range(lanes.first.column, lanes.last.column + 1):
            middle = lanes.x(column)
            first = middle - lanes.beside
            for lane in (n for n in range(first - lanes.between, first) if n in used):
                cursor += LANE
                yield lane, cursor
            keys = [key for key, cell in self.cells.items() if cell.column == column]
            left = max((self.sizes[key][0] / 2 for key in keys), default=0.0)
            right = max((max(self.sizes[key][0] / 2, self._name_width(key)) for key in keys), default=0.0)
            cursor += APART * bool(keys) + left + BORDER * (column in (0, lanes.last.column))
            yield from ((middle + i, cursor + i * PORT) for i in range(-lanes.beside, lanes.beside + 1))
            cursor += right + APART * bool(keys)

    def _name_width(self, key: str) -> float:
        return 5 + text_width(self._name(key), LABEL_SIZE) if self._name(key) else 0.0

    def _along(self) -> Iterator[tuple[int, float]]:
        used, lanes = _bends(self.wires, upright=False), self.lanes
        cursor = 0.0
        for row in range(lanes.first.row, lanes.last.row + 1):
            middle = lanes.y(row)
            for lane in (n for n in range(middle - lanes.between, middle) if n in used):
                cursor += LANE
                yield lane, cursor
            keys = [key for key, cell in self.cells.items() if cell.row == row]
            tall = max((self.sizes[key][1] / 2 for key in keys), default=0.0)
            named = any(self._name(key) for key in keys)
            gap = APART if keys else LANE / 2 if middle in used else 0.0
            cursor += gap + tall + 1.5 * BORDER * (row in (lanes.first.row + 1, lanes.last.row))
            yield middle, cursor
            cursor += tall + gap + NAME * named

    def _point(self, spot: tuple[int, int]) -> Point:
        return self.x[spot[0]], self.y[spot[1]]

    # --- what is drawn ----------------------------------------------------------------------------------------------

    def drawn(self) -> tuple[Scene, Places]:
        places = Places({key: self._spot(key) for key in self.cells})
        boxes = dict(self.scene.boxes)
        for key in self.parts:
            if name := self._name(key):
                boxes[f"name/{key}"] = Box(f"name/{key}", "name", name, tooltip=self.parts[key].tooltip)
                places.spots[f"name/{key}"] = self._beside(places.spots[key], name)
        for number, spot in enumerate(self._forks()):
            boxes[f"fork/{number}"] = Box(f"fork/{number}", self._colour(spot[0]), "")
            places.spots[f"fork/{number}"] = Spot(*self._point(spot[1]), 4.5, 4.5)
        edges = []
        for wire in self.wires:
            edge = Edge(End(wire.tail), End(wire.head), "state" if self._is_state(wire.net) else "data")
            curve, tip = (rounded if wire.ends else joined)(self._points(wire, places.spots))
            edges.append(edge)
            places.edges.append(Drawn(edge, curve, tip))
        places.frames = [self._frame(places)]
        frame = places.frames[0].frame
        return Scene(boxes, {frame.key: frame}, tuple(edges), cell=self.diagram), places

    def _spot(self, key: str) -> Spot:
        cell = self.cells[key]
        return Spot(self.x[self.lanes.x(cell.column)], self.y[self.lanes.y(cell.row)], *self.sizes[key])

    def _beside(self, spot: Spot, name: str) -> Spot:
        """The name of a result over its box, at the right of what goes up from it."""
        wide = text_width(name, LABEL_SIZE)
        return Spot(spot.x + 4 + wide / 2, spot.area.top + NAME / 2, wide, NAME)

    def _is_state(self, net: str) -> bool:
        key, _, number = net.partition(".")
        exit = Exit(self.parts[key], int(number))
        news = (new for _, new in self.diagram.states.values())
        return exit.part.kind == "state" or exit.part in self.staves.on_line or exit in news

    def _colour(self, net: str) -> str:
        return "state fork" if self._is_state(net) else "fork"

    def _forks(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Where a net goes on in more than one way."""
        begun = Counter((wire.net, wire.spots[0]) for wire in self.wires)
        blocks = {(self.lanes.x(c.column), self.lanes.y(c.row)) for c in self.cells.values()}
        yield from (place for place, count in begun.items() if count > 1 and place[1] not in blocks)

    def _points(self, wire: Wire, spots: Mapping[str, Spot]) -> list[Point]:
        """Its corners, from the border of a box, or a fork, to the border of another."""
        points = [self._point(spot) for spot in corners(wire.spots)]
        if points[0] == (spots[wire.tail].x, spots[wire.tail].y):
            points[0] = _border(spots[wire.tail], points[0], points[1])
        if wire.ends:
            points[-1] = _border(spots[wire.head], points[-1], points[-2])
        return points

    def _frame(self, places: Places) -> Placed:
        """Round all but what comes from outside and goes there."""
        first, last = self.lanes.first, self.lanes.last
        sides: dict[str, list[Area]] = {"left": [], "right": [], "below": [], "above": [], "in": []}
        for key, spot in places.spots.items():
            column, row = self.cells.get(key, (0, 0))
            ends = {"left": column < 0, "right": key.startswith("new/")}
            ends |= {"below": row == first.row, "above": row == last.row}
            sides[next((side for side, there in ends.items() if there and key in self.cells), "in")].append(spot.area)
        every = [spot.area for spot in places.spots.values()]
        across = around([*sides["in"], *sides["below"], *sides["above"]] or every)
        along = around([*sides["in"], *sides["left"], *sides["right"]] or every)
        area = Area(
            max((a.right for a in sides["left"]), default=across.left - 2 * BORDER) + BORDER,
            max((a.top for a in sides["below"]), default=along.bottom - 2 * BORDER) + BORDER,
            min((a.left for a in sides["right"]), default=across.right + 2 * BORDER) - BORDER,
            min((a.bottom for a in sides["above"]), default=along.top + 3 * BORDER) - BORDER,
        )
        title = self.diagram.title
        middle = area.left + 9 + text_width(title, TITLE_SIZE) / 2
        return Placed(Frame("cell", "loop", title), area, (middle, area.top - 10))


def _bends(wires: Iterable[Wire], upright: bool) -> set[int]:
    """The lanes along which a wire runs, of columns (upright) or of rows."""
    pairs = [pair for wire in wires for pair in pairwise(corners(wire.spots))]
    return {a.x for a, b in pairs if a.x == b.x} if upright else {a.y for a, b in pairs if a.y == b.y}


def _border(spot: Spot, end: Point, before: Point) -> Point:
    """Where a wire that comes from there meets the border of a box."""
    (x, y), area = end, spot.area
    if before[1] == y:
        return (area.left if before[0] < x else area.right), y
    tall = spot.height / 2
    return x, y - tall if before[1] < y else y + tall
