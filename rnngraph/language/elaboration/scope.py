"""The names that one body sees, and what the body has made so far."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.order import times
from rnngraph.language.builtins.registry import names
from rnngraph.language.elaboration.loop_levels import Place
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Instance, Item
from rnngraph.language.syntax.ast import Definition, Loss, Metric, Param, State, TypeSpec

World = Mapping[str, Definition]
"""Every definition that may be named: the library's, the imported ones, the file's own."""


class Bound(Struct, frozen=True):
    """What a name stands for, where it was declared, and with which type as written."""

    item: Item
    kind: str
    span: Span
    spec: TypeSpec | None = None


class Scope(Struct, eq=False):
    """One run through the body of a definition; `owner` is None for the model itself."""

    trace: Trace
    world: World
    definition: Definition
    owner: Instance | None
    path: tuple[str, ...]
    place: tuple[str, ...]
    """Where this body stands below the unrolled cell: what its states' names begin with."""
    called_at: Span
    names: dict[str, Bound] = field(default_factory=dict)
    primed: dict[str, Item] = field(default_factory=dict)
    states: dict[str, Place] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    """What the axes named in this body's input types are called outside."""
    pending: dict[str, Param | State] = field(default_factory=dict)
    """Declared further down in a block that is being run."""
    declared: dict[str, Span] = field(default_factory=dict)
    """Parameters and states made so far, with the counts that they carry in their names."""
    taken: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Paths of instances that this run has made, each with the last number that was put behind it."""
    outputs: list[tuple[str | None, Item, Span]] = field(default_factory=list)
    goals: list[tuple[Loss | Metric, Value]] = field(default_factory=list)
    """Losses and metrics, of a model only."""
    suffix: tuple[str, ...] = ()
    """The counts of the compile-time loops around, which what is declared inside carries in its name."""

    def bind(self, name: str, item: Item, kind: str, span: Span, spec: TypeSpec | None = None) -> None:
        self.names[name] = Bound(self.trace.noted(span, item), kind, span, spec)

    def bound(self, name: str) -> Bound | None:
        return self.names.get(name)

    def known(self) -> set[str]:
        return {*self.names, *self.pending, *self.world, *names(), "t", "training"}

    def known_states(self) -> set[str]:
        return {*self.states, *(n for n, s in self.pending.items() if isinstance(s, State))}

    def sequence_axes(self) -> tuple[str, ...]:
        """The time axes that this body works along, in the order written."""
        return tuple(dict.fromkeys(a for _, axes in self.sequences() for a in axes))

    def sequences(self) -> list[tuple[str, tuple[str, ...]]]:
        """The inputs that this body works along, each with its time axes.

        Those that it sees step by step; where there are none, those declared as sequences, but inside of a loop these
        are whole (a memory), and the body works along the loop alone.
        """
        inputs = [(n, b.spec, b.item) for n, b in self.names.items() if b.kind == "input"]
        given = [(n, spec, times(item.type)) for n, spec, item in inputs if isinstance(item, Value)]
        stepwise = [(n, axes) for n, spec, axes in given if axes and (spec is None or not spec.axes)]
        if stepwise or self.trace.level.parent is not None:
            return stepwise
        return [(n, axes) for n, _, axes in given if axes]
