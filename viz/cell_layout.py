"""Where the parts of a cell stand: every state is a line from left to right, gates under the lines, in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from rnngraph.viz.cell_parts import Diagram, Part

ROWS = range(3, 8)
"""How many there may be between the lines."""
_WISHED = {"product": 1, "join": 1, "gate": 2, "block": 1}
"""The row over the lines below in which parts of a kind stand if they can."""


class Cell(NamedTuple):
    column: int
    row: int


class Staves(Struct, frozen=True):
    """The place of every part; the row of every state's line; how many columns there are."""

    places: Mapping[Part, Cell]
    lines: Mapping[str, int]
    on_line: frozenset[Part]
    """The parts that stand on the line of a state."""
    columns: int
    rows: range

    @property
    def length(self) -> float:
        """About how long the wires are, and how large the picture is."""
        apart = 0.0
        for part, here in self.places.items():
            for other in part.operands:
                there = self.places[other]
                apart += abs(here.column - there.column) + abs(here.row - there.row)
        return apart + self.size

    @property
    def size(self) -> float:
        return 2.0 * self.columns + 2.5 * len(self.rows)


def staves(diagram: Diagram) -> list[Staves]:
    """With more or fewer rows between the lines; the shortest wires first."""
    upper = spines(diagram)
    return sorted((_Placing(diagram, upper, rows).found() for rows in ROWS), key=lambda s: s.length)


def spines(diagram: Diagram) -> dict[str, tuple[Part, ...]]:
    """For each state that is computed from its old value by round operations: these, which stand on its line."""
    taken: set[Part] = set()
    found: dict[str, tuple[Part, ...]] = {}
    for name, (old, new) in diagram.states.items():
        way = next((w for kinds in ({"round"}, {"round", "box"}) if (w := _way(old, new.part, kinds))), ())
        if not way and len(diagram.states) == 1 and old in new.part.operands:
            way = (new.part,)
        if way and not taken & set(way):
            found[name] = way
            taken |= set(way)
    return found


def _way(old: Part, new: Part, kinds: set[str]) -> tuple[Part, ...]:
    """The shortest way from one to the other through parts of these kinds."""
    ways: list[tuple[Part, ...]] = [(new,)]
    seen = {new}
    while ways:
        following: list[tuple[Part, ...]] = []
        for way in ways:
            for operand in way[0].operands:
                if operand is old and way[0].kind in kinds:
                    return way
                if operand not in seen and way[0].kind in kinds and operand.kind in kinds:
                    seen.add(operand)
                    following.append((operand, *way))
        ways = following
    return ()


class _Placing:
    """Parts one after another, each where its wires are short, with so many rows between the lines."""

    def __init__(self, diagram: Diagram, upper: Mapping[str, tuple[Part, ...]], rows: int) -> None:
        self.diagram, self.upper, self.rows = diagram, upper, rows
        lower = [name for name in diagram.states if name not in upper]
        self.lines = {name: -i for i, name in enumerate(lower)}
        self.lines |= {name: rows + len(upper) - i for i, name in enumerate(upper)}
        self.on_line = {part: self.lines[name] for name, way in upper.items() for part in way}
        self.before = {part: before for way in upper.values() for before, part in pairwise(way)}
        self.bottom = min([0, *self.lines.values()]) - 1
        self.readers: dict[Part, list[Part]] = {}
        for part in diagram.parts:
            for operand in part.operands:
                self.readers.setdefault(operand, []).append(part)
        self.places: dict[Part, Cell] = {}
        self.taken: set[Cell] = set()

    def found(self) -> Staves:
        for name, (old, _) in self.diagram.states.items():
            self.places.setdefault(old, Cell(-1, self.lines[name]))
        for part in self._order():
            self._put(part, self._place(part))
        columns = 1 + max((c.column for c in self.places.values()), default=0)
        top = max([self.rows, *self.lines.values()])
        return Staves(self.places, self.lines, frozenset(self.on_line), columns, range(self.bottom, top + 2))

    def _put(self, part: Part, cell: Cell) -> None:
        self.places[part] = cell
        self.taken.add(cell)

    def _order(self) -> Iterator[Part]:
        """Each after what it reads; of a line from left to right, what a part on it needs just before it."""
        ends = [way[-1] for way in self.upper.values()]
        ends += [new.part for _, new in self.diagram.states.values()]
        ends += [*(exit.part for exit in self.diagram.outputs.values()), *self.diagram.parts]
        done: set[Part] = set(self.places)
        pending = [(part, False) for part in reversed(ends)]
        while pending:
            part, ready = pending.pop()
            if part in done:
                continue
            if ready:
                done.add(part)
                yield part
            else:
                first = self.before.get(part)
                operands = sorted(part.operands, key=lambda o: o is not first)
                pending += [(part, True), *((o, False) for o in reversed(operands) if o not in done)]

    def _place(self, part: Part) -> Cell:
        if not part.operands:
            return self._source()
        first = max(0, *(self.places[o].column for o in part.operands))
        last = max((c.column for c in self.taken), default=-1)
        columns = range(first, max(first, last) + 2)
        if part in self.on_line:
            return self._on_line(part, columns)
        cells = [Cell(c, r) for c in columns for r in range(1, self.rows + 1) if Cell(c, r) not in self.taken]
        return min(cells, key=lambda cell: self._cost(part, cell, last))

    def _source(self) -> Cell:
        """What comes from below stands in the first free column."""
        return next(c for i in range(len(self.taken) + 1) if (c := Cell(i, self.bottom)) not in self.taken)

    def _on_line(self, part: Part, columns: Sequence[int]) -> Cell:
        """The first column where it is behind the part before it, and what it reads can go straight up or down."""
        row, before = self.on_line[part], self.before.get(part)
        least = self.places[before].column + 1 if before else 0
        for column in (c for c in columns if c >= least):
            cell = Cell(column, row)
            if cell not in self.taken and all(self._free(self.places[o], cell) for o in part.operands):
                return cell
        return Cell(max(columns[-1] + 1, least), row)

    def _free(self, one: Cell, two: Cell) -> bool:
        """Whether nothing stands between two places of one column or row; elsewhere wires find a way."""
        if one.column == two.column:
            low, high = sorted((one.row, two.row))
            return not any(Cell(one.column, r) in self.taken for r in range(low + 1, high))
        if one.row == two.row:
            low, high = sorted((one.column, two.column))
            return not any(Cell(c, one.row) in self.taken for c in range(low + 1, high))
        return True

    def _cost(self, part: Part, cell: Cell, last: int) -> float:
        cost = 1.5 * max(0, cell.column - max(last, 0))
        if part.kind in _WISHED:
            cost += 6.0 * abs(cell.row - _WISHED[part.kind])
        for operand in part.operands:
            there = self.places[operand]
            cost += 1.2 * abs(cell.column - there.column) + 0.8 * abs(cell.row - there.row)
            cost += 0.0 if self._free(there, cell) else 3.0
        for reader in self.readers.get(part, ()):
            if reader in self.on_line:
                cost += 0.3 * abs(self.on_line[reader] - cell.row)
        cost += 4.0 * self._in_the_way(cell) + 2.0 * (part.kind == "round" and cell.row == 1)
        for name, (_, new) in self.diagram.states.items():
            if new.part is part:
                cost += 0.3 * abs(self.lines[name] - cell.row)
        return cost

    def _in_the_way(self, cell: Cell) -> bool:
        """Whether a wire goes straight through here."""
        pairs = ((here, self.places[o]) for part, here in self.places.items() for o in part.operands)
        return any(
            a.column == b.column == cell.column and min(a.row, b.row) < cell.row < max(a.row, b.row) for a, b in pairs
        )
