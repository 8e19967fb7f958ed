"""Placing: which bytes of one array each piece of a program takes, so that pieces alive together never overlap.

This is dynamic storage allocation with all lifetimes known beforehand. No placing takes less than the largest sum of
sizes alive at once (`bound`); finding the best is NP-hard (Garey and Johnson 1979, SR2). Sweeps over time come near the
bound for the many small pieces of unrolled programs, in near linear time. What they leave open is small enough to be
repaired: pieces that stick out are placed earlier the next time ("squeaky wheel optimisation", Joslin and Clements,
JAIR 10, 1999).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from operator import itemgetter
from random import Random
from typing import NamedTuple

TIGHT = 1.02
"""A placing must come within this factor of the lower bound."""

EFFORT = 20_000
"""So many pieces are placed, over all attempts, to reach the bound itself: what does grows evenly with all sizes."""

SHARES = (0.0, 0.5, 0.7, 0.9, 0.98)
"""Of the pieces, by length of life, these shares count as short-lived in one sweep each."""

TRIES = 100
"""How many repairs are tried at most from each first order."""

WORK = 2_000_000
"""A repair looks at all pairs of pieces alive together: so many looks are spent from each first order."""

FEW_SWEEPS, FEW_REPAIRS = 4, 2
"""So many are tried first: they alone place nearly nine of ten arenas of the tests' models at the bound."""

SEEDS = (0, 1, 2)
"""Each first order is tried with so many ways of moving up."""


class Piece(NamedTuple):
    """`size` bytes that hold from position `first` to position `last`, both included."""

    first: int
    last: int
    size: int


class Placing(NamedTuple):
    """The bytes needed, and where each piece starts."""

    height: int
    starts: tuple[int, ...]


def bound(pieces: Sequence[Piece]) -> int:
    """The largest sum of sizes alive at once: no placing takes less."""
    return max((alive for _, alive in alive_over_time(pieces)), default=0)


def alive_over_time(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Each position where the bytes alive change, and how many are alive from there on."""
    changes: dict[int, int] = {}
    for piece in pieces:
        changes[piece.first] = changes.get(piece.first, 0) + piece.size
        changes[piece.last + 1] = changes.get(piece.last + 1, 0) - piece.size
    places = sorted(changes)
    return list(zip(places, accumulate(changes[p] for p in places), strict=True))


def placed(pieces: Sequence[Piece]) -> Placing:
    """A placing at the bound where one is soon found, else within 2 % of it; the same one each time."""
    least = bound(pieces)
    best, attempts, effort = _in_a_row(pieces), _attempts(pieces, least), 0
    while best.height > least and (effort < EFFORT or best.height > TIGHT * least):
        found = next(attempts, best)
        if found is best:
            break
        best, effort = min(best, found), effort + len(pieces)
    return best


def _in_a_row(pieces: Sequence[Piece]) -> Placing:
    """One beside the other: the best there is where all are alive at once."""
    *starts, height = accumulate((piece.size for piece in pieces), initial=0)
    return Placing(height, tuple(starts))


def _attempts(pieces: Sequence[Piece], least: int) -> Iterator[Placing]:
    """Sweeps and repairs, what is likely to reach the bound first."""
    sweeps, repairs = _sweeps(pieces, least), _repairs(pieces, least)
    yield from islice(sweeps, FEW_SWEEPS)
    yield from islice(repairs, FEW_REPAIRS)
    yield from sweeps
    yield from repairs


# --- sweeps ------------------------------------------------------------------------------------------------------


def _sweeps(pieces: Sequence[Piece], least: int) -> Iterator[Placing]:
    """Forwards and backwards in time: what is a placing backwards in time is one as well."""
    mirrored = [Piece(-last, -first, size) for first, last, size in pieces]
    lengths = sorted(last - first for first, last, _ in pieces)
    courses = [(pieces, in_time(pieces)), (mirrored, in_time(mirrored))]
    for share in SHARES:
        short = lengths[int(share * (len(lengths) - 1))] if share else -1
        for way, course in courses:
            yield sweep(way, course, least, short)


def in_time(pieces: Sequence[Piece]) -> list[tuple[int, list[int]]]:
    """The pieces in the order in which they begin, each with those that are gone by then."""
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i].first, -pieces[i].last, -pieces[i].size))
    ends = sorted(range(len(pieces)), key=lambda i: pieces[i].last)
    found, gone = [], 0
    for i in order:
        before = gone
        while pieces[ends[gone]].last < pieces[i].first:
            gone += 1
        found.append((i, ends[before:gone]))
    return found


def sweep(pieces: Sequence[Piece], course: Sequence[tuple[int, list[int]]], least: int, short: int) -> Placing:
    """Places in the order of time, as an allocator would: each in the smallest gap that holds it.

    Pieces that live no longer than `short` lie at the upper end of their gap, others at the lower end: so what is
    long-lived gathers at the bottom and does not cut up the room of what comes and goes.
    """
    gaps, starts, height = _Gaps(least), [0] * len(pieces), 0
    for i, gone in course:
        for g in gone:
            gaps.give(starts[g], pieces[g].size)
        first, last, size = pieces[i]
        start = starts[i] = gaps.take(size, last - first <= short)
        if start + size > height:
            height = start + size
    return Placing(height, tuple(starts))


ENDLESS = 1 << 256
"""Beyond what sizes can make, each below 2**63: bytes are told of what no machine holds, too."""


class _Gaps:
    """The free room of an arena: gaps (start, end) in order, the last without an end.

    Room above `least` bytes is another gap, so that it is only taken where nothing below holds the piece.
    """

    def __init__(self, least: int) -> None:
        self.least = least
        self.gaps = [(0, ENDLESS)]

    def take(self, size: int, high: bool) -> int:
        """The start of the smallest room that holds a piece, which is free no more."""
        gaps, least = self.gaps, self.least
        room, at = ENDLESS + 1, 0
        for i, (low, end) in enumerate(gaps):
            found = end - low
            if found >= size and low < least < end and least - low >= size:
                found = least - low
            if size <= found < room:
                room, at = found, i
                if found == size:
                    break
        low, end = gaps[at]
        start = low + room - size if high and low + room < ENDLESS else low
        rest = [(start + size, end)] if start + size < end else []
        gaps[at : at + 1] = [(low, start), *rest] if low < start else rest
        return start

    def give(self, start: int, size: int) -> None:
        """Frees room, joining it to the gaps it touches."""
        end = start + size
        i = bisect_left(self.gaps, (start, end))
        if i < len(self.gaps) and self.gaps[i][0] == end:
            end = self.gaps.pop(i)[1]
        if i and self.gaps[i - 1][1] == start:
            i -= 1
            start = self.gaps.pop(i)[0]
        self.gaps.insert(i, (start, end))


# --- repairs -----------------------------------------------------------------------------------------------------

Beside = Sequence[Sequence[int]]
"""For each piece those that are alive with it at some time."""


def _beside(pieces: Sequence[Piece]) -> Beside | None:
    """None where there are too many pairs to look at even once."""
    order = sorted(range(len(pieces)), key=lambda i: pieces[i].first)
    firsts = [pieces[i].first for i in order]
    found: list[list[int]] = [[] for _ in pieces]
    alive: list[int] = []
    pairs = 0
    for n, i in enumerate(order, 1):
        first, last, _ = pieces[i]
        alive = [o for o in alive if pieces[o].last >= first]
        pairs += len(alive)
        if pairs > WORK:
            return None
        found[i] = alive + order[n : bisect_right(firsts, last)]
        alive.append(i)
    return found


def _repairs(pieces: Sequence[Piece], least: int) -> Iterator[Placing]:
    """From a few first orders in turns, for no one knows which of them leads to the bound soonest."""
    beside = _beside(pieces)
    if beside is None:
        return
    tries = min(TRIES, WORK // (1 + sum(map(len, beside)) // 2))
    neighbours = [_picked(places) for places in beside]
    orders = (
        lambda i: (-pieces[i].size * (pieces[i].last - pieces[i].first + 1), pieces[i].first),
        lambda i: (-pieces[i].size, pieces[i].first),
        lambda i: (-pieces[i].last, pieces[i].first),
        lambda i: (pieces[i].first, -pieces[i].last),
    )
    for seed in SEEDS:
        ways = [_repaired(pieces, least, neighbours, sorted(range(len(pieces)), key=key), seed) for key in orders]
        yield from chain.from_iterable(islice(zip(*ways, strict=True), tries))


def _repaired(
    pieces: Sequence[Piece], least: int, neighbours: Sequence[Picked], order: Sequence[int], seed: int
) -> Iterator[Placing]:
    """From one order, without end: each piece takes the lowest gap; what ends above the bound moves up in the order."""
    dice, rank = Random(seed), {i: float(n) for n, i in enumerate(order)}
    while True:
        order = sorted(range(len(pieces)), key=rank.__getitem__)
        found = _lowest(order, pieces, neighbours)
        yield found
        for i in order:
            if found.starts[i] + pieces[i].size > least:
                rank[i] -= dice.random() * len(pieces) / 3


Room = tuple[int, int]
"""Where a piece starts and ends."""
START = itemgetter(0)
Picked = Callable[[Sequence[Room | None]], Iterable[Room | None]]


def _picked(places: Sequence[int]) -> Picked:
    """What takes these of a list, as is done for each piece in every try."""
    return itemgetter(*places) if len(places) > 1 else lambda all: [all[i] for i in places]


def _lowest(order: Sequence[int], pieces: Sequence[Piece], neighbours: Sequence[Picked]) -> Placing:
    """Each piece, in this order, at the lowest start that those before it leave free."""
    rooms: list[Room | None] = [None] * len(pieces)
    for i in order:
        size = pieces[i].size
        start, end = 0, size
        for below, above in sorted(filter(None, neighbours[i](rooms)), key=START):
            if below >= end:
                break
            if above > start:
                start, end = above, above + size
        rooms[i] = start, end
    made = [room for room in rooms if room is not None]
    return Placing(max([end for _, end in made]), tuple([start for start, _ in made]))
