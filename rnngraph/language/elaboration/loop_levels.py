"""A loop while its body is being traced: what it captures, slices and carries."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Capture, Slice, Value
from rnngraph.ir.types import Type
from rnngraph.language.elaboration.elaborated import StateInput
from rnngraph.language.elaboration.values import Part, Poison

DONE = "done"
"""What a loop calls the state that tells whether a row has had its last step, of this run."""


class State(Struct, frozen=True):
    """A state that something is to be the first value of."""

    name: str
    type: Type
    span: Span


class Place(Struct, eq=False):
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
    begun: Value | None = None
    """What the cell sees as the old value, where it may have begun anew."""
    unrevised: tuple[Value, ...] = ()
    """What the cell sees as the new value, where `revise` has made others of it."""

    @property
    def old(self) -> Value:
        return self.begun or self.param

    @property
    def news(self) -> tuple[Value, ...]:
        """What is a new value of it: the next one, and what that was before it was revised."""
        return (*self.unrevised, self.next) if isinstance(self.next, Value) else self.unrevised

    @property
    def state(self) -> State:
        return State(self.name, self.param.type, self.span)


class States(Struct, eq=False):
    """The states of the cells that are called at one place: those of a loop go from step to step; a single call takes
    values and gives values, also to and from the loops inside of a layer.
    """

    looped: bool
    places: list[Place] = field(default_factory=list)
    used: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Places of instances called here, so that each call has states of its own; as `Scope.taken`."""
    given: Mapping[str, Part] = field(default_factory=dict)
    """What a single call is told of the values before it (`from s`), which stands at `span`."""
    span: Span | None = None
    begun: dict[str, State] = field(default_factory=dict)
    """The state that each of these has gone to."""


class Watched(Struct, frozen=True):
    """A named value to be recorded at every step; a later value of the same name in one body replaces it."""

    name: str
    value: Value
    scope: object


class Halt(Struct, frozen=True, eq=False):
    """Which steps along an axis a `stop` leaves of a row: `mask` is a sequence of true and false over it.

    `prefix`: they are the first ones. Where a reversed loop stops, they are the last.
    """

    axis: str
    mask: Value
    prefix: bool = True


class Handed(Struct, eq=False):
    """What a loop hands on under the name of its record; `placed` as of its level."""

    record: str
    axis: str
    placed: bool
    span: Span
    states: list[StateInput]
    beside: dict[str, Value] = field(default_factory=dict)
    """What the record holds beside the states."""


class Level(Struct, eq=False):
    """The outermost graph (`parent` is None) or the body of a loop that is being built."""

    parent: Level | None = None
    axis: str = ""
    reverse: bool = False
    captures: dict[Value, Capture] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    states: States = field(default_factory=lambda: States(True))
    watched: list[Watched] = field(default_factory=list)
    stops: list[Value] = field(default_factory=list)
    """What ends the loop, row by row, where it holds after a step."""
    halts: tuple[Halt, ...] = ()
    """What earlier loops that stopped leave of the sequences that this one runs over."""
    left: list[Value] = field(default_factory=list)
    """For each of these whether the present step is left."""
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

    @property
    def places(self) -> list[Place]:
        return self.states.places
