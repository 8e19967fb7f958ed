"""A picture as plain data: boxes in frames, edges between them; settled before any layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FrameKind = Literal["loop", "step", "block"]
Role = Literal["carry", "per step", "captured", "stacked", "last"]
"""How a value goes into a loop or comes out of it."""
EdgeKind = Literal["data", "state", "parameter", "backward"]


def key_of(*parts: str) -> str:
    """The key of a box; without colons, which DOT reads as the beginning of a port."""
    return "/".join(parts).replace(":", "/")


class Port(NamedTuple):
    """A labelled place on the border of a closed loop: what it is called, and what comes or goes there."""

    key: str
    role: Role
    label: str
    detail: str


@dataclass(frozen=True)
class Box:
    """One box. `lines` are its text; `detail` is set small and grey after the title (a shape)."""

    key: str
    kind: str
    title: str
    detail: str = ""
    lines: tuple[str, ...] = ()
    tooltip: str = ""
    frame: str = ""
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A border round boxes and frames: an instance, a loop, or one step."""

    key: str
    kind: FrameKind
    title: str
    parent: str = ""
    tooltip: str = ""


class End(NamedTuple):
    """Where an edge begins or ends: a box, or a port of a closed loop."""

    box: str
    port: str = ""


@dataclass(frozen=True)
class Edge:
    tail: End
    head: End
    kind: EdgeKind = "data"
    label: str = ""
    back: bool = False
    """Drawn dashed, from a step to the next, in an open loop."""
    backwards: bool = False
    """Whether it runs from right to left, as between the steps of a loop that runs backwards."""
    ranked: bool = True
    """Whether the head stands below the tail; edges between steps run sideways."""


@dataclass(frozen=True)
class Scene:
    boxes: Mapping[str, Box]
    frames: Mapping[str, Frame]
    edges: tuple[Edge, ...]
    lanes: tuple[tuple[str, ...], ...] = field(default=())
    """The frames of a loop's steps, which stand side by side from left to right."""
    notes: tuple[str, ...] = ()
    """What the reader must be told: what was folded, and why."""
