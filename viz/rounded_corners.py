"""Ways with corners as smooth curves, as Graphviz takes them: cubic pieces, then the tip of the arrow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot

from rnngraph.viz.geometry import Point

RADIUS, ARROW = 6.0, 6.0
"""Points: of corners, and of the arrow's head."""


def rounded(points: Sequence[Point]) -> tuple[tuple[Point, ...], Point]:
    """The curve along the points with rounded corners, ending before the arrow's tip."""
    points = _distinct(points)
    if len(points) < 2:
        points = [*points, (points[0][0] + 1, points[0][1])]
    tip = points[-1]
    points[-1] = _towards(points[-1], points[-2], ARROW)
    return _curve(points), tip


def joined(points: Sequence[Point]) -> tuple[tuple[Point, ...], None]:
    """The same without an arrow, up to the last point."""
    return _curve(_distinct(points)), None


def _curve(points: Sequence[Point]) -> tuple[Point, ...]:
    curve = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _apart(before, corner) / 2, _apart(corner, after) / 2)
        _line(curve, _towards(corner, before, radius))
        end = _towards(corner, after, radius)
        curve += [_between(curve[-1], corner, 0.6), _between(end, corner, 0.6), end]
    _line(curve, points[-1])
    return tuple(curve)


def _distinct(points: Sequence[Point]) -> list[Point]:
    """Without points that repeat, or that lie on the way between their neighbours."""
    found = [points[0]]
    found += [b for a, b in pairwise(points) if _apart(a, b) > 0.01]
    inner = [
        b
        for a, b, c in zip(found, found[1:], found[2:], strict=False)
        if not (a[0] == b[0] == c[0] or a[1] == b[1] == c[1])
    ]
    return [found[0], *inner, *found[1:][-1:]]


def _line(curve: list[Point], end: Point) -> None:
    start = curve[-1]
    curve += [_between(start, end, 1 / 3), _between(start, end, 2 / 3), end]


def _apart(a: Point, b: Point) -> float:
    return hypot(a[0] - b[0], a[1] - b[1])


def _towards(a: Point, b: Point, length: float) -> Point:
    far = _apart(a, b)
    return _between(a, b, min(length / far, 0.9)) if far else a


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
