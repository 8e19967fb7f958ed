"""A loop while its body is being traced: what it captures, slices and carries."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnngraph.front.values import Poison
from rnngraph.ir.graph import Capture, Slice, Value
from rnngraph.source import Span


@dataclass(eq=False, slots=True)
class Place:
    """One state at one place in a loop's body, while its carry is being made."""

    name: str
    """From the unrolled cell on: `h`, `0.c`, `inner.h`."""
    owner: tuple[str, ...]
    """The place of the instance that declares it: the same for all its states."""
    param: Value
    init: Value
    span: Span
    next: Value | Poison | None = None
    next_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """A named value to be recorded at every step; a later value of the same name in one body replaces it."""

    name: str
    value: Value
    scope: object


@dataclass(eq=False, slots=True)
class Level:
    """The outermost graph (`parent` is None) or the body of a loop that is being built."""

    parent: Level | None = None
    axis: str = ""
    reverse: bool = False
    captures: dict[Value, Capture] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    stops: list[Value] = field(default_factory=list)
    """What ends the loop, row by row, where it holds after a step."""
    used: set[tuple[str, ...]] = field(default_factory=set)
    """Places of instances called here, so that each call has states of its own."""
    counter: Value | None = None
    """The loop's own count, made when it is first asked for."""
    done: Value | None = None
    """Whether a row has stopped, made when it is first asked for."""
    memo: dict[str, Value] = field(default_factory=dict)
