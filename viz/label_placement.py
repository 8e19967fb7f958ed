"""Titles and labels moved to where nothing else is: no edge runs through a title, no label lies over another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec.structs import replace

from rnngraph.viz.geometry import LABEL_SIZE, TITLE_SIZE, Area, Drawn, Placed, Places, Point
from rnngraph.viz.text_width import text_width
from rnngraph.viz.tracks import badges

STEP, HIGH, LOW = 8.0, 14.0, 12.0
"""Points: between places that are tried; the height of a title, and of a label."""
SQUARE = 48.0
"""Points: the side of a piece of the page in which what meets is looked for."""
DISTANCES = (0.0, 8.0, -8.0, 14.0, -14.0, 22.0, -22.0)


def clear(places: Places) -> Places:
    """Frames' titles and badges at the top of their frames, or else further down in them; labels along their edges."""
    lines = Lines([d.curve for d in places.edges])
    taken = [s.area for s in places.spots.values()]
    frames = [_titled(placed, lines, taken) for placed in places.frames]
    edges = []
    for i, drawn in enumerate(places.edges):
        if drawn.label is not None:
            label = _labelled(drawn, i, lines, taken)
            taken.append(_around(label, drawn.edge.label, LABEL_SIZE, LOW))
            drawn = drawn._replace(label=label)
        edges.append(drawn)
    return Places(places.spots, frames, edges)


def _titled(placed: Placed, lines: Lines, taken: list[Area]) -> Placed:
    """Title and badge where they are free, shortened where there is no such place."""
    frame, area = placed.frame, placed.area
    text, title = _inside(area, (frame.title, frame.title.split(" ")[0]), placed.title, lines, taken)
    placed = placed._replace(frame=replace(frame, title=text, tooltip=frame.tooltip or frame.title), title=title)
    if not frame.badges:
        return placed
    full = badges(frame)
    beside = title[0] + (text_width(text, TITLE_SIZE) + text_width(full, TITLE_SIZE)) / 2 + 6, title[1]
    said = (full, f"θ ...{frame.badges[-1].rsplit('.', 1)[-1]}", "θ")
    text, badge = _inside(area, said, placed.badge or beside, lines, taken)
    said_short = (text.removeprefix("θ").strip(),)
    return placed._replace(frame=replace(placed.frame, badges=said_short), badge=badge)


def _inside(
    area: Area, texts: Sequence[str], wish: Point, lines: Lines, taken: list[Area]
) -> tuple[str, Point]:
    """The first text that has a free place, and that: where it is wished, else the first one from the top left."""
    least: tuple[int, str, Point] = (10**6, texts[0], wish)
    for text in texts:
        for centre in (wish, *_lines_of(area, text_width(text, TITLE_SIZE) / 2)):
            here = _around(centre, text, TITLE_SIZE, HIGH)
            outside = here.left < area.left or here.right > area.right
            count = lines.crossing(here) + 5 * sum(here.meets(other) for other in taken) + 3 * outside
            least = min(least, (count, text, centre), key=lambda found: found[0])
            if not count:
                break
        if not least[0]:
            break
    taken.append(_around(least[2], least[1], TITLE_SIZE, HIGH))
    return least[1], least[2]


def _lines_of(area: Area, half: float) -> Iterator[Point]:
    """Places in a frame for a text of that width."""
    y = area.top - HIGH / 2 - 1
    while y > area.bottom + HIGH / 2:
        x = area.left + half + 5
        while x + half <= area.right - 3:
            yield x, y
            x += STEP
        y -= STEP


def _labelled(drawn: Drawn, own: int, lines: Lines, taken: Sequence[Area]) -> Point:
    """A place beside the edge: free of boxes, titles and labels, and of other edges where there is one."""
    best, least = drawn.label or drawn.curve[-1], 1e6
    half = text_width(drawn.edge.label, LABEL_SIZE) / 2
    here = _around(best, drawn.edge.label, LABEL_SIZE, LOW)
    if not lines.crossing(here, own) and not any(map(here.meets, taken)):
        return best
    for x, y in _middle_out(list(_points(drawn.curve))):
        for away in DISTANCES:
            centre = (x + away + (half if away > 0 else -half if away < 0 else 0), y)
            here = _around(centre, drawn.edge.label, LABEL_SIZE, LOW)
            count = lines.crossing(here) + 50 * sum(here.meets(other, 1.0) for other in taken) + (not away) * 0.5
            if not count:
                return centre
            if count < least:
                best, least = centre, count
    return best


def _middle_out(points: list[Point]) -> Iterator[Point]:
    middle = len(points) // 2
    yield from sorted(points, key=lambda p: abs(points.index(p) - middle))


def _around(centre: Point, text: str, size: float, high: float) -> Area:
    half = text_width(text, size) / 2
    return Area(centre[0] - half, centre[1] - high / 2, centre[0] + half, centre[1] + high / 2)


class Lines:
    """All curves as short pieces, found by where they are."""

    def __init__(self, curves: Sequence[Sequence[Point]]) -> None:
        self.pieces: dict[tuple[int, int], list[tuple[int, Area]]] = {}
        for number, curve in enumerate(curves):
            for a, b in pairwise(_points(curve)):
                piece = Area(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]) + 0.1, max(a[1], b[1]) + 0.1)
                for square in _squares(piece):
                    self.pieces.setdefault(square, []).append((number, piece))

    def crossing(self, here: Area, but: int = -1) -> int:
        """How many curves go through there, one left out."""
        near = (found for square in _squares(here) for found in self.pieces.get(square, ()))
        return len({number for number, piece in near if number != but and piece.meets(here)})


def _squares(area: Area) -> Iterator[tuple[int, int]]:
    """Of the page, which all that is near one another shares."""
    for x in range(int(area.left // SQUARE), int(area.right // SQUARE) + 1):
        for y in range(int(area.bottom // SQUARE), int(area.top // SQUARE) + 1):
            yield x, y


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
