"""How the states of a loop begin, and under which names they are handed on to the loop of a later run."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Carry, Value
from rnngraph.ir.types import BATCH, Type, is_fixed, root
from rnngraph.language.elaboration import from_clause, instantiation
from rnngraph.language.elaboration.elaborated import StateInput
from rnngraph.language.elaboration.loop_levels import Handed, Level, Place, States
from rnngraph.language.elaboration.mistakes import Echo
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Instance, Part, PipeOf, Record, free
from rnngraph.language.syntax import ast


def record_name(scope: Scope, e: ast.Unroll, targets: Sequence[ast.Target], outputs: int | None = None) -> str:
    """What a model calls the final states of this loop, under which the first ones may be fed.

    While it is not known how many `outputs` the loop has, what it may call them.
    """
    too_few = len(targets) != outputs + 1 if outputs is not None else not targets
    if scope.owner is not None or e.initial is not None or too_few or targets[-1].name == "_":
        return ""
    return ".".join((targets[-1].name, *scope.suffix))


def around(scope: Scope, e: ast.Unroll, cell: Instance | PipeOf) -> tuple[States | None, tuple[str, ...]]:
    """The call of a layer that hands this loop its first states, and what their names begin with there."""
    states = scope.trace.states
    if states is None or states.looped or e.initial is not None:
        return None, ()
    return states, instantiation.below(scope, cell, e.cell)


def first_values(
    scope: Scope, e: ast.Unroll, places: list[Place], record: str, around: States | None, prefix: tuple[str, ...]
) -> list[Value]:
    """The states before the first step: of `from`, of the call around, of the data, or as the cell says."""
    if e.initial is not None:
        try:
            begun = from_clause.match(scope, e.initial, places)
        except Echo:
            begun = {}
        return [begun.get(p.name, p.init) for p in places]
    if around is not None and around.given:
        return [from_clause.first(scope.trace, around, _named(p, prefix).state) or p.init for p in places]
    if not record:
        return [p.init for p in places]
    return [_first(scope.trace, f"{record}.{p.name}", p, e.span) for p in places]


def _first(trace: Trace, name: str, place: Place, loop: Span) -> Value:
    """The first value of a state that may be given: one of its own, as its gradient may be asked for."""
    fed = _fed(trace, name, place.param.type, place.span, loop)
    return fed or trace.call("identity", place.init, at=place.span, of=(name, loop.start))


def _named(place: Place, prefix: tuple[str, ...]) -> Place:
    return replace(place, name=".".join((*prefix, place.name)))


def hand_up(around: States | None, prefix: tuple[str, ...], places: list[Place], finals: Sequence[Value]) -> None:
    """The states after the last step, to the call around."""
    if around is not None:
        around.places += [replace(_named(p, prefix), next=v) for p, v in zip(places, finals, strict=False)]


def first_flag(trace: Trace, level: Level, record: str, at: Span) -> Value:
    """Whether a row has stopped before the first step."""
    fed = _fed(trace, _name_of_stop(level, record), Type((BATCH,), (), "bool"), at, at) if level.stops else None
    return fed or trace.over_batch(trace.const(False, "bool"), at)


def _fed(trace: Trace, name: str, type: Type, at: Span, loop: Span) -> Value | None:
    """A state of this loop that is given with the data."""
    fed = name in trace.fed and trace.fed[name].loop == loop
    return trace.input(name, "state", type.with_axes((BATCH,)), at) if fed else None


def _name_of_stop(level: Level, record: str) -> str:
    return f"{record}.{free('stop', [p.name for p in level.places])}"


def hand_on(
    trace: Trace,
    level: Level,
    record: str,
    carries: Sequence[Carry],
    finals: Sequence[Value],
    at: Span,
) -> Record:
    """The final states of a loop as a record; what may be given with the data of a later run is noted.

    Of two loops whose states have one name, that is the last.
    """
    parts = {p.name: Part(v, p.span) for p, v in zip(level.places, finals, strict=False)}
    if not record or any(p.param.type.axes != (BATCH,) for p in level.places):  # a sequence is not handed on
        if level.placed and not is_fixed(level.axis):
            trace.placed.add(root(level.axis))
        return Record(parts)
    states = [
        StateInput(f"{record}.{p.name}", p.param.type, c.init, p.span, v, level.axis, at)
        for p, c, v in zip(level.places, carries, finals, strict=False)
    ]
    handed = Handed(record, level.axis, level.placed, at, states)
    if level.stops:
        name, place = _name_of_stop(level, record), len(level.places)
        states.append(StateInput(name, finals[place].type, carries[place].init, at, finals[place], level.axis, at))
        handed.beside[name.removeprefix(f"{record}.")] = finals[place]
    trace.handed = [*(h for h in trace.handed if h.record != record), handed]
    return Record(parts, handed.beside)
