"""Titles and labels moved to where nothing else is: no edge runs through a title, no label lies over another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from rnngraph.viz.placement import LABEL_SIZE, TITLE_SIZE, Area, Drawn, Placed, Places, Point, around, text_width
from rnngraph.viz.tracks import badges

STEP, HIGH, LOW = 8.0, 14.0, 12.0
"""Points: between places that are tried; the height of a title, and of a label."""
DISTANCES = (0.0, 8.0, -8.0, 14.0, -14.0, 22.0, -22.0)


def clear(places: Places) -> Places:
    """Frames' titles along the top or the bottom of their frames, then labels along their edges."""
    lines = [Line.along(d.curve) for d in places.edges]
    taken = [s.area for s in places.spots.values()]
    frames = []
    for placed in places.frames:
        title = _titled(placed, lines, taken)
        taken.append(_around(title, heading(placed), TITLE_SIZE, HIGH))
        frames.append(placed._replace(title=title))
    edges = []
    for i, drawn in enumerate(places.edges):
        if drawn.label is not None:
            others = [line for j, line in enumerate(lines) if j != i]
            label = _labelled(drawn, others, taken)
            taken.append(_around(label, drawn.edge.label, LABEL_SIZE, LOW))
            drawn = drawn._replace(label=label)
        edges.append(drawn)
    return Places(places.spots, frames, edges)


def heading(placed: Placed) -> str:
    return placed.frame.title if placed.badge else f"{placed.frame.title} {badges(placed.frame)}".strip()


def _titled(placed: Placed, lines: Sequence[Line], taken: Sequence[Area]) -> Point:
    """The first place from the left that is free, else that with the fewest edges."""
    text, area = heading(placed), placed.area
    half = text_width(text, TITLE_SIZE) / 2
    best, least = placed.title, 10**6
    if not _crossing(here := _around(best, text, TITLE_SIZE, HIGH), lines) and not any(map(here.meets, taken)):
        return best
    for y in (placed.title[1], area.top - HIGH / 2 - 1, area.bottom + HIGH / 2 + 1):
        x = area.left + half + 5
        while x + half <= area.right - 3:
            here = _around((x, y), text, TITLE_SIZE, HIGH)
            count = _crossing(here, lines) + 5 * sum(here.meets(other) for other in taken)
            if not count:
                return x, y
            if count < least:
                best, least = (x, y), count
            x += STEP
    return best


def _labelled(drawn: Drawn, lines: Sequence[Line], taken: Sequence[Area]) -> Point:
    """A place beside the edge: free of boxes, titles and labels, and of other edges where there is one."""
    best, least = drawn.label or drawn.tip, 1e6
    half = text_width(drawn.edge.label, LABEL_SIZE) / 2
    here = _around(best, drawn.edge.label, LABEL_SIZE, LOW)
    if not _crossing(here, lines) and not any(map(here.meets, taken)):
        return best
    for x, y in _middle_out(list(_points(drawn.curve))):
        for away in DISTANCES:
            centre = (x + away + (half if away > 0 else -half if away < 0 else 0), y)
            here = _around(centre, drawn.edge.label, LABEL_SIZE, LOW)
            count = _crossing(here, lines) + 50 * sum(here.meets(other, 1.0) for other in taken) + (not away) * 0.5
            if not count:
                return centre
            if count < least:
                best, least = centre, count
    return best


def _middle_out(points: list[Point]) -> Iterator[Point]:
    middle = len(points) // 2
    yield from sorted(points, key=lambda p: abs(points.index(p) - middle))


def _crossing(here: Area, lines: Iterable[Line]) -> int:
    return sum(line.whole.meets(here) and any(piece.meets(here) for piece in line.pieces) for line in lines)


def _around(centre: Point, text: str, size: float, high: float) -> Area:
    half = text_width(text, size) / 2
    return Area(centre[0] - half, centre[1] - high / 2, centre[0] + half, centre[1] + high / 2)


class Line(NamedTuple):
    """The areas that short pieces of a curve lie in, and that of all."""

    whole: Area
    pieces: tuple[Area, ...]

    @classmethod
    def along(cls, curve: Sequence[Point]) -> Line:
        pieces = tuple(
            Area(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]) + 0.1, max(a[1], b[1]) + 0.1)
            for a, b in pairwise(_points(curve))
        )
        return cls(around(pieces), pieces)


def _points(curve: Sequence[Point], pieces: int = 12) -> Iterator[Point]:
    """Points along cubic pieces."""
    for a, b, c, d in zip(curve[::3], curve[1::3], curve[2::3], curve[3::3], strict=False):
        for k in range(pieces):
            t = k / pieces
            w = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            yield (
                sum(f * p[0] for f, p in zip(w, (a, b, c, d), strict=True)),
                sum(f * p[1] for f, p in zip(w, (a, b, c, d), strict=True)),
            )
    yield curve[-1]
