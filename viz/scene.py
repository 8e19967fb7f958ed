"""A picture as plain data: boxes in frames, edges between them; settled before any layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct, field

from rnngraph.viz.cell_parts import Diagram

FrameKind = Literal["loop", "step", "block"]
Role = Literal["carry", "per step", "captured", "stacked", "last"]
"""How a value goes into a loop or comes out of it."""
EdgeKind = Literal["data", "state", "backward", "kept", "again"]


def key_of(*parts: str) -> str:
    """The key of a box; without colons, which DOT reads as the beginning of a port."""
    return "/".join(parts).replace(":", "/")


class Port(NamedTuple):
    """A labelled place on the border of a closed loop: what it is called, and what comes or goes there."""

    key: str
    role: Role
    label: str
    detail: str


class Slot(NamedTuple):
    """Where a box of an unrolled picture stands: which column of which axis, and in which row.

    Boxes of one row are the same box at other steps. The columns before the first step and after the last are
    -1 and the number of columns.
    """

    axis: str
    column: int
    row: str


class Box(Struct, frozen=True):
    """One box. `lines` are its text; `detail` is set small and grey after the title (a shape)."""

    key: str
    kind: str
    title: str
    detail: str = ""
    lines: tuple[str, ...] = ()
    tooltip: str = ""
    frame: str = ""
    ports: tuple[Port, ...] = ()
    slot: Slot | None = None
    badges: tuple[str, ...] = ()
    """The boxes of parameters that it reads."""
    weights: frozenset[str] = frozenset()
    """Names in its text that are parameters."""
    mirrors: str = ""
    """In the backward pass: the forward box whose gradient it is."""
    round: bool = False
    """Whether it is drawn as a circle, as single operations are in the picture of a cell."""


class Frame(Struct, frozen=True):
    """A border round boxes and frames: an instance, a loop, or one step. `owner` is the instance, dotted."""

    key: str
    kind: FrameKind
    title: str
    parent: str = ""
    tooltip: str = ""
    owner: str = ""
    badges: tuple[str, ...] = ()


class End(NamedTuple):
    """Where an edge begins or ends: a box, or a port of a closed loop."""

    box: str
    port: str = ""


class Edge(Struct, frozen=True):
    tail: End
    head: End
    kind: EdgeKind = "data"
    label: str = ""
    back: bool = False
    """Drawn dashed, from a step to the next, in an open loop."""
    ranked: bool = True
    """Whether the head stands below the tail in an open loop."""
    note: str = ""
    """More for the tooltip."""


class Columns(NamedTuple):
    """The columns of one axis: what stands over them, the titles and first steps of each, which are many in one."""

    title: str
    steps: tuple[str, ...]
    folded: tuple[bool, ...]
    at: tuple[int, ...]


class Scene(Struct, frozen=True):
    boxes: Mapping[str, Box]
    frames: Mapping[str, Frame]
    edges: tuple[Edge, ...]
    axes: Mapping[str, Columns] = field(default_factory=dict)
    """The axes that are drawn as columns, in an unrolled picture."""
    notes: tuple[str, ...] = ()
    """What the reader must be told: what was folded, and why."""
    cell: Diagram | None = None
    """The cell that is drawn by itself, if one is."""

    def chain(self, frame: str) -> tuple[str, ...]:
        """The frames around what is in `frame`, outermost first."""
        return tuple(self._outwards(frame))[::-1]

    def _outwards(self, frame: str) -> Iterator[str]:
        while frame:
            yield frame
            frame = self.frames[frame].parent
