"""A picture with everything at its place: what a layout gives, and what is drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, field

from rnngraph.viz.scene import Edge, Frame

Point = tuple[float, float]
TITLE_SIZE, LABEL_SIZE = 11.0, 9.5
"""Of letters, in points."""


class Area(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Area, apart: float = 0.0) -> bool:
        """Whether the two overlap, or are closer than `apart`."""
        return (
            self.left < other.right + apart
            and other.left < self.right + apart
            and self.bottom < other.top + apart
            and other.bottom < self.top + apart
        )


class Spot(NamedTuple):
    """Centre and size of a box, in points."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> Area:
        half, tall = self.width / 2, self.height / 2
        return Area(self.x - half, self.y - tall, self.x + half, self.y + tall)


class Text(NamedTuple):
    """The centre of a title or label."""

    text: str
    x: float
    y: float


class Placed(NamedTuple):
    """A frame at its place, with its title's."""

    frame: Frame
    area: Area
    title: Point
    badge: Point | None = None
    """Where the badges stand, if not in the title."""


class Drawn(NamedTuple):
    """An edge as a curve: points of cubic pieces, then the tip of the arrow, if it has one; the same for a label's
    centre."""

    edge: Edge
    curve: tuple[Point, ...]
    tip: Point | None
    label: Point | None = None
    ends: tuple[str, str] = ("", "")
    """The boxes drawn at its ends, where these are not its own."""


class Places(Struct):
    """Boxes, frames (outer ones first) and edges on the page."""

    spots: dict[str, Spot]
    frames: list[Placed] = field(default_factory=list)
    edges: list[Drawn] = field(default_factory=list)


def around(areas: Iterable[Area]) -> Area:
    every = list(areas)
    return Area(
        min(a.left for a in every), min(a.bottom for a in every), max(a.right for a in every), max(a.top for a in every)
    )
