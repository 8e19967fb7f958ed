"""What lies over what in the svg of a picture: measured on the file alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rect, by: float = 1.0) -> bool:
        return (
            self.left + by < other.right
            and other.left + by < self.right
            and self.top + by < other.bottom
            and other.top + by < self.bottom
        )

    def holds(self, x: float, y: float, by: float) -> bool:
        return self.left + by < x < self.right - by and self.top + by < y < self.bottom - by

    def within(self, other: Rect, by: float = 1.0) -> bool:
        return (
            other.left - by < self.left
            and self.right < other.right + by
            and other.top - by < self.top
            and self.bottom < other.bottom + by
        )


@dataclass
class Part:
    """A box, a frame or an edge: its name, its outline, its texts, the points along its line."""

    name: str
    outline: Rect | None = None
    texts: list[tuple[str, Rect]] = field(default_factory=list)
    line: list[tuple[float, float]] = field(default_factory=list)


def overlaps(svg: str) -> list[str]:
    """Each edge through a title, a label or a foreign box, each label over a title, a box or another label, and each
    text that leaves its box."""
    parts = {kind: list(_parts(svg, kind)) for kind in ("node", "edge", "cluster")}
    titles = [(f"title `{t}`", r) for part in parts["cluster"] for t, r in part.texts]
    titles += [(f"badge `{t}`", r) for part in parts["node"] if part.name.startswith("badge") for t, r in part.texts]
    labels = [(f"label `{t}` of {part.name}", r) for part in parts["edge"] for t, r in part.texts]
    boxes = [(part.name, part.outline) for part in parts["node"] if part.outline and part.texts]
    boxes = [(name, rect) for name, rect in boxes if not name.startswith("badge")]
    found = [f"{a} over {b}" for (a, one), (b, two) in combinations(titles + labels, 2) if one.meets(two)]
    found += [f"{a} over box {b}" for a, one in titles + labels for b, two in boxes if one.meets(two)]
    found += [f"box {a} over box {b}" for (a, one), (b, two) in combinations(boxes, 2) if one.meets(two)]
    for part in parts["node"] + parts["cluster"]:
        found += [f"`{t}` out of {part.name}" for t, r in part.texts if part.outline and not r.within(part.outline)]
    for edge in parts["edge"]:
        ends = [re.sub(r":.*", "", end) for end in edge.name.split("->")]
        through = [(name, rect) for name, rect in boxes if name not in ends]
        for name, rect in titles + through:
            if any(rect.holds(x, y, 1.5) for x, y in edge.line):
                found.append(f"edge {edge.name} through {name}")
    return found


def _parts(svg: str, kind: str) -> Iterator[Part]:
    for group in ElementTree.fromstring(svg.encode()).iter(f"{SVG}g"):
        if group.get("class") == kind:
            part = Part(group.findtext(f"{SVG}title") or "")
            for element in group.iter():
                _add(part, element, kind)
            yield part


def _add(part: Part, element: ElementTree.Element, kind: str) -> None:
    if element.tag == f"{SVG}text" and (text := "".join(element.itertext()).strip()):
        part.texts.append((text, _text(element)))
    elif element.tag == f"{SVG}polygon" and kind != "edge":
        _outline(part, list(map(float, NUMBERS.findall(element.get("points", "")))))
    elif element.tag == f"{SVG}path":
        numbers = list(map(float, NUMBERS.findall(element.get("d", ""))))
        if kind == "edge":
            part.line += _along(list(zip(numbers[::2], numbers[1::2], strict=True)))
        else:
            _outline(part, numbers)


def _outline(part: Part, numbers: list[float]) -> None:
    xs, ys = numbers[::2], numbers[1::2]
    if part.outline:
        xs, ys = [*xs, part.outline.left, part.outline.right], [*ys, part.outline.top, part.outline.bottom]
    part.outline = Rect(min(xs), min(ys), max(xs), max(ys))


def _text(element: ElementTree.Element) -> Rect:
    """Where it stands: as wide as it says, whatever the font; a single letter says nothing."""
    x, y, size = (float(element.get(name, "0")) for name in ("x", "y", "font-size"))
    width = float(element.get("textLength", 0.6 * size))
    left = {"start": x, "middle": x - width / 2, "end": x - width}[element.get("text-anchor", "start")]
    return Rect(left, y - 0.7 * size, left + width, y + 0.1 * size)


def _along(points: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for a, b, c, d in zip(points[::3], points[1::3], points[2::3], points[3::3], strict=False):
        pieces = max(4, int((abs(a[0] - d[0]) + abs(a[1] - d[1])) / 4))
        for k in range(pieces):
            t = k / pieces
            w = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            yield tuple(sum(f * p[i] for f, p in zip(w, (a, b, c, d), strict=True)) for i in (0, 1))  # type: ignore[misc]
