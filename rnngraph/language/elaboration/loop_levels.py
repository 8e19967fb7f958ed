"""A loop while its body is being traced: what it captures, slices and carries."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Capture, Slice, Value
from rnngraph.language.elaboration.elaborated import StateInput
from rnngraph.language.elaboration.values import Poison

DONE = "done"
"""What a loop calls the state that tells whether a row has had its last step, of this run."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Halt:
    """Which steps along an axis a `stop` leaves of a row: `mask` is a sequence of true and false over it.

    `prefix`: they are the first ones. Where a reversed loop stops, they are the last.
    """

    axis: str
    mask: Value
    prefix: bool = True


@dataclass(eq=False)
class Handed:
    """What a loop hands on under the name of its record; `placed` as of its level."""

    record: str
    axis: str
    placed: bool
    span: Span
    states: list[StateInput]
    beside: dict[str, Value] = field(default_factory=dict)
    """What the record holds beside the states."""


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
    halts: tuple[Halt, ...] = ()
    """What earlier loops that stopped leave of the sequences that this one runs over."""
    left: list[Value] = field(default_factory=list)
    """For each of these whether the present step is left."""
    used: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Places of instances called here, so that each call has states of its own; as `Trace.taken`."""
    counter: Value | None = None
    """The loop's own count, made when it is first asked for."""
    stopped: Value | None = None
    """Whether a row has stopped, made when it is first asked for."""
    record: str = ""
    """What a model may call the final states of this loop, which is written at `span`."""
    span: Span | None = None
    placed: bool = False
    """Whether a step's numbers depend on which one of the whole sequence it is."""
    memo: dict[str, Value] = field(default_factory=dict)
