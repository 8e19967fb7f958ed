"""Wires between parts on a grid: along lanes between columns and rows, crossing at right angles, never side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.viz.cell_layout import Cell

BEND, CROSSING, FORK, BACK, DOOR = 1.1, 0.9, 0.3, 1.5, 2.0
"""What these cost, in columns; the last one is a bend in front of another block, which bars one of its sides."""
TRIES = 8


class Spot(NamedTuple):
    """A crossing of lanes: of column `x` and row `y`, and which of the lanes of each (0 is the middle)."""

    x: int
    y: int


Way = tuple[int, int]
RIGHT, LEFT, UP, DOWN = (1, 0), (-1, 0), (0, 1), (0, -1)
TURNS = {RIGHT: (RIGHT, UP, DOWN), LEFT: (LEFT, UP, DOWN), UP: (UP, RIGHT, LEFT), DOWN: (DOWN, RIGHT, LEFT)}


class Block(NamedTuple):
    """What stands at a place; `beside`: how many wires also meet its top and bottom at each side of the middle."""

    cell: Cell
    beside: int = 0


class Wanted(NamedTuple):
    """A wire from the block of a net to another; those with a low rank first."""

    net: str
    tail: str
    head: str
    rank: float


class Wire(Struct, frozen=True):
    """The corners of a piece of a net, from lane to lane; `head` is the block that it goes into, if any."""

    net: str
    tail: str
    head: str
    ends: bool
    spots: tuple[Spot, ...]


class NoWay(Exception):
    """One that the wires before it have left none."""

    def __init__(self, wish: Wanted) -> None:
        self.wish = wish


class Lanes(NamedTuple):
    """Which lanes there are: for each column those `between` it and the one before, its middle, and so many `beside`
    that at each side; rows are alike, with one lane in each. Numbers count from the first column and row."""

    first: Cell
    last: Cell
    between: int
    beside: int = 1

    def x(self, column: int, beside: int = 0) -> int:
        """The lane through the middle of a column, or beside that."""
        return (column - self.first.column) * (self.between + 1 + 2 * self.beside) + self.between + self.beside + beside

    def y(self, row: int) -> int:
        return (row - self.first.row) * (self.between + 1) + self.between

    @property
    def bounds(self) -> tuple[range, range]:
        """All lanes between the first and the last places."""
        across = range(self.x(self.first.column, -self.beside), self.x(self.last.column, self.beside) + 1)
        return across, range(self.y(self.first.row), self.y(self.last.row) + 1)


def wired(
    blocks: Mapping[str, Block], wanted: Sequence[Wanted], first: Cell, last: Cell
) -> tuple[Lanes, list[Wire]]:
    """Every wire, with as few lanes between columns and rows as do. In the first and last column and row stands only
    what comes from outside or goes there, if anything does."""
    beside = max(1, *(block.beside for block in blocks.values()))
    for between in (2, 4, 7):
        lanes, order = Lanes(first, last, between, beside), sorted(wanted, key=lambda w: w.rank)
        for _ in range(TRIES):
            board = _Board(lanes, blocks)
            try:
                return lanes, board.wires(order)
            except NoWay as failed:  # what found no way comes first the next time
                order = [failed.wish, *(w for w in order if w is not failed.wish)]
    raise too_much()


def too_much() -> CannotDo:
    told = "the cell has more operations than the picture of a cell has room for"
    return CannotDo(told, "E913", "draw its equations: without `--cell`, with `--level 3`")


class _Board:
    """What lies where: which net runs along an edge, and how nets go through a spot."""

    def __init__(self, lanes: Lanes, blocks: Mapping[str, Block]) -> None:
        self.lanes, self.blocks = lanes, blocks
        self.across, self.along = lanes.bounds
        self.owner: dict[Spot, str] = {}
        for key, (cell, _) in blocks.items():
            for beside in range(-lanes.beside, lanes.beside + 1):
                self.owner[Spot(lanes.x(cell.column, beside), lanes.y(cell.row))] = key
        self.doors = {
            Spot(lanes.x(cell.column) + x, lanes.y(cell.row) + y): key
            for key, (cell, _) in blocks.items()
            for x, y in ((-lanes.beside - 1, 0), (lanes.beside + 1, 0), (0, 1), (0, -1))
        }
        """What stands in front of the sides of blocks."""
        self.edges: dict[tuple[Spot, Spot], str] = {}
        self.through: dict[Spot, set[tuple[str, str]]] = {}
        """At each spot the nets that go through, and along which of "x", "y" or with a "bend"."""
        self.tails: dict[str, str] = {}
        self.trees: dict[str, dict[Spot, None]] = {}
        self.before: dict[str, dict[Spot, Spot]] = {}
        self.ends: dict[str, dict[Spot, str]] = {}

    def wires(self, wanted: Sequence[Wanted]) -> list[Wire]:
        for wish in wanted:
            self._lay(wish)
        return [wire for net in self.trees for wire in self._pieces(net)]

    # --- one wire ---------------------------------------------------------------------------------------------------

    def _lay(self, wish: Wanted) -> None:
        """The cheapest way from what there is of the net to the block."""
        spots = self._search(wish)
        self.tails[wish.net] = wish.tail
        tree, before = self.trees.setdefault(wish.net, {}), self.before.setdefault(wish.net, {})
        for one, two in pairwise(spots):
            self.edges[min(one, two), max(one, two)] = wish.net
            before[two] = one
        tree.update(dict.fromkeys(spots))
        self.ends.setdefault(wish.net, {})[spots[-1]] = wish.head
        for spot in spots:
            self.through.setdefault(spot, set()).update((wish.net, how) for how in self._directions(wish.net, spot))

    def _directions(self, net: str, spot: Spot) -> set[str]:
        ways = [w for w in TURNS if self._net_of(spot, w) == net]
        return {"x" if w[0] else "y" for w in ways}

    def _net_of(self, spot: Spot, way: Way) -> str | None:
        other = Spot(spot.x + way[0], spot.y + way[1])
        return self.edges.get((min(spot, other), max(spot, other)))

    def _search(self, wish: Wanted) -> list[Spot]:
        goals = set(self._doors(wish.head))
        far = next(iter(goals))
        queue: list[tuple[float, int, float, Spot, Way]] = []
        came: dict[tuple[Spot, Way], tuple[Spot, Way] | None] = {}
        best: dict[tuple[Spot, Way], float] = {}
        count = 0
        for spot, way, cost in self._starts(wish):
            state = spot, way
            if cost < best.get(state, 1e9):
                best[state], came[state] = cost, None
                count += 1
                heappush(queue, (cost, count, cost, spot, way))
        while queue:
            _, _, cost, spot, way = heappop(queue)
            if cost > best[spot, way]:
                continue
            if spot in goals and came[spot, way] is not None:
                return self._back(came, (spot, way))
            for turn in self._turns(wish, spot, way, came[spot, way] is None):
                there = Spot(spot.x + turn[0], spot.y + turn[1])
                price = self._price(wish, spot, way, turn, there, came[spot, way] is None)
                if price is None or cost + price >= best.get((there, turn), 1e9):
                    continue
                best[there, turn], came[there, turn] = cost + price, (spot, way)
                count += 1
                guess = (abs(far.x - there.x) + abs(far.y - there.y)) / (self.lanes.between + 3)
                heappush(queue, (cost + price + 0.9 * guess, count, cost + price, there, turn))
        raise NoWay(wish)

    def _doors(self, key: str) -> Iterator[Spot]:
        cell, most = self.blocks[key]
        for beside in range(-most, most + 1):
            yield Spot(self.lanes.x(cell.column, beside), self.lanes.y(cell.row))

    def _starts(self, wish: Wanted) -> Iterator[tuple[Spot, Way, float]]:
        tree = self.trees.get(wish.net)
        cell = self.blocks[wish.tail].cell
        yield Spot(self.lanes.x(cell.column), self.lanes.y(cell.row)), RIGHT, 0.0 if not tree else 0.4
        for spot in tree or ():
            if spot not in self.owner and len({net for net, _ in self.through[spot]}) == 1:
                for way in (RIGHT, UP, DOWN):
                    yield spot, way, FORK

    def _turns(self, wish: Wanted, spot: Spot, way: Way, start: bool) -> tuple[Way, ...]:
        if start:
            return (RIGHT, UP, DOWN)
        others = {net for net, _ in self.through.get(spot, ()) if net != wish.net}
        return (way,) if others or self.owner.get(spot) == wish.tail else TURNS[way]

    def _price(self, wish: Wanted, spot: Spot, way: Way, turn: Way, there: Spot, start: bool) -> float | None:
        """Of one step; None where there is no way."""
        if there.x not in self.across or there.y not in self.along or self._outside(spot, turn):
            return None
        if self._net_of(spot, turn) is not None:
            return None
        here, owner = self.owner.get(spot), self.owner.get(there)
        if owner is not None and not self._enters(wish, owner, there, turn, here):
            return None
        if here == wish.head and owner != wish.head:
            return None
        price = 1 / (self.lanes.between + 3) if turn[0] else 1 / (self.lanes.between + 1)
        price += BACK if turn == LEFT else 0.0
        if turn != way and not start:
            price += BEND + DOOR * (self.doors.get(spot, wish.head) not in (wish.tail, wish.head))
        price += 0.6 if start and here == wish.tail and turn != RIGHT else 0.0
        price += 0.15 if owner == wish.head and turn[0] == 0 and there.x != self._middle(owner) else 0.0
        met = self.through.get(there, set())
        if any(net == wish.net for net, _ in met) and owner is None:
            return None  # what there is of the net is where it starts from
        if met and owner is None:
            along = "x" if turn[0] else "y"
            if any(how == along for _, how in met) or len(met) > 1:
                return None
            price += CROSSING
        return price

    def _outside(self, spot: Spot, turn: Way) -> bool:
        """Whether that would lead along the places of what comes from outside or goes there."""
        if turn[0]:
            return spot.y in (self.along[0], self.along[-1])
        return spot.x <= self.across[0] + 2 * self.lanes.beside or spot.x >= self.across[-1] - 2 * self.lanes.beside

    def _enters(self, wish: Wanted, owner: str, there: Spot, turn: Way, here: str | None) -> bool:
        """Whether a wire may go on into a block: its own head, by a door; or along in what it comes from."""
        if owner == wish.tail:
            return here == wish.tail and turn == RIGHT
        if owner != wish.head or turn == LEFT:
            return False
        return turn == RIGHT or abs(there.x - self._middle(owner)) <= self.blocks[owner].beside

    def _middle(self, key: str) -> int:
        return self.lanes.x(self.blocks[key].cell.column)

    def _back(self, came: Mapping[tuple[Spot, Way], tuple[Spot, Way] | None], state: tuple[Spot, Way]) -> list[Spot]:
        found = [state[0]]
        while (before := came[state]) is not None:
            state = before
            found.append(state[0])
        return found[::-1]

    # --- pieces -----------------------------------------------------------------------------------------------------

    def _pieces(self, net: str) -> Iterator[Wire]:
        """The net cut where it forks."""
        before, ends = self.before[net], self.ends[net]
        following: dict[Spot, list[Spot]] = {}
        for spot, earlier in before.items():
            following.setdefault(earlier, []).append(spot)
        forks = {s for s, n in following.items() if len(n) > 1 and s not in self.owner}
        heads = _heads(following, ends)
        starts = [s for s in self.trees[net] if s not in before] + list(forks)
        for start in starts:
            for first in following.get(start, ()):
                spots = [start, first]
                while spots[-1] not in forks and spots[-1] not in ends and spots[-1] in following:
                    spots += following[spots[-1]][:1]
                yield Wire(net, self.tails[net], heads[spots[-1]], spots[-1] in ends, tuple(spots))


def _heads(following: Mapping[Spot, Sequence[Spot]], ends: Mapping[Spot, str]) -> dict[Spot, str]:
    """For each spot a block that the net goes to from there."""
    found = dict(ends)
    pending = list(following)
    while pending:
        spot = pending.pop()
        if spot in found:
            continue
        known = [found[s] for s in following[spot] if s in found]
        if known:
            found[spot] = known[0]
        else:
            pending += [spot, *(s for s in following[spot] if s not in found)]
    return found


def corners(spots: Iterable[Spot]) -> list[Spot]:
    found: list[Spot] = []
    for spot in spots:
        if len(found) > 1 and (found[-2].x == found[-1].x == spot.x or found[-2].y == found[-1].y == spot.y):
            found[-1] = spot
        else:
            found.append(spot)
    return found


def crossings(wires: Iterable[Wire]) -> int:
    """How often wires of different nets cross."""
    met: dict[Spot, set[str]] = {}
    for wire in wires:
        for spot in wire.spots[1:-1]:
            met.setdefault(spot, set()).add(wire.net)
    return sum(len(nets) - 1 for nets in met.values())
