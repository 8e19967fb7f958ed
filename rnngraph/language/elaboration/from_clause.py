"""`from thought`: final states become the first states of another loop, or of a single call, matched by name.

A part belongs to the state of its name, or to the one whose name ends like it (`h` to `decoder.h`) or begins with it
(`1` to `1.h`). States that are not told begin as they are declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import Type
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.loop_levels import Place, State, States
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Part, Record, is_number, kind_of
from rnngraph.language.syntax.ast import Expr

ONLY = ""
"""What one value is called that is the first of the only state there is."""


def told(scope: Scope, e: Expr) -> Mapping[str, Part]:
    """What stands behind `from`: the parts of a record, or one value."""
    item = expressions.one(scope, e)
    if isinstance(item, Record):
        return item.parts
    if not isinstance(item, Value) and not is_number(item):
        raise Mistake("E309", f"`from` takes final states, but `{e.span.text}` is {kind_of(item)}", e.span)
    return {ONLY: Part(scope.trace.lift(item, e.span), e.span)}


# --- of a loop, once all of its states are known --------------------------------------------------------


def match(scope: Scope, e: Expr, places: list[Place]) -> dict[str, Value]:
    """The first value of each state that is told, by the state's name."""
    parts, states, at = told(scope, e), [p.state for p in places], e.span
    if ONLY in parts:
        _check_alone(states, at)
    found: dict[str, Value] = {}
    for name, part in parts.items():
        state = states[0] if name == ONLY else _state(name, part, states, at)
        if state.name in found:
            raise Mistake(
                "E309", f"`{at.text}` initialises `{state.name}` twice", at, labels=_labels(part, state, at)
            )
        found[state.name] = _first(scope.trace, name, part, state, at)
    return found


def _check_alone(states: list[State], at: Span) -> None:
    if len(states) != 1:
        names = ", ".join(f"`{s.name}`" for s in states) or "none"
        raise Mistake(
            "E309",
            f"one value cannot initialise {len(states)} states: {names}",
            at,
            help="name each: `from record(" + ", ".join(f"{s.name} = ..." for s in states) + ")`" if states else "",
        )


def _state(name: str, part: Part, states: list[State], at: Span) -> State:
    exact = [s for s in states if s.name == name]
    near = exact or [s for s in states if _alike(s.name, name)]
    if len(near) == 1:
        return near[0]
    raise _could_be(name, near, at) if near else _has_none(name, part, states, at, "unrolled")


def _alike(state: str, part: str) -> bool:
    return state.endswith("." + part) or part.endswith("." + state) or state.startswith(part + ".")


def _could_be(name: str, near: Iterable[State], at: Span) -> Mistake:
    several = " or ".join(f"`{s.name}`" for s in near)
    return Mistake("E309", f"`{at.text}` has a state `{name}`, which could initialise {several}", at)


def _has_none(name: str, part: Part, states: list[State], at: Span, done: str) -> Mistake:
    have = ", ".join(f"`{s.name}`" for s in states) or "no states"
    return Mistake(
        "E309",
        f"`{at.text}` has a state `{name}`, but what is {done} here has {have}",
        at,
        labels=(
            Label(part.span, f"`{name}` is declared here"),
            *(Label(s.span, f"`{s.name}`") for s in states[:1]),
        ),
    )


# --- of a single call, while its states are met one by one ----------------------------------------------


def first(trace: Trace, call: States, state: State) -> Value | None:
    """What a call is told of a state that it has met; None where it is not told."""
    near = [n for n in call.given if n in (state.name, ONLY)] or [n for n in call.given if _alike(state.name, n)]
    if not near:
        return None
    assert call.span is not None
    name, at = near[0], call.span
    if len(near) > 1:
        parts = " and ".join(f"`{n}`" for n in near)
        raise Mistake("E309", f"the state `{state.name}` could begin with {parts} of `{at.text}`", at)
    if name in call.begun and name != ONLY:
        raise _could_be(name, (call.begun[name], state), at)
    call.begun.setdefault(name, state)
    return _first(trace, name, call.given[name], state, at)


def check(call: States) -> None:
    """That everything that a call was told has found its state."""
    assert call.span is not None
    states = [p.state for p in call.places]
    if ONLY in call.given:
        _check_alone(states, call.span)
    for name, part in call.given.items():
        if name not in call.begun:
            raise _has_none(name, part, states, call.span, "called")


# --- one of them ----------------------------------------------------------------------------------------


def _first(trace: Trace, name: str, part: Part, state: State, at: Span) -> Value:
    wanted, value = state.type, trace.bring(part.value, at)
    if value.op.name == "const":
        value = trace.fit(value.node.attrs["value"], wanted.shape, wanted.dtype, at, f"the state `{state.name}`")
    said = f"`{at.text}`" if part.span == at else f"`{name}` of `{at.text}`"
    if set(value.type.axes) - set(wanted.axes):
        raise Mistake(
            "E305",
            f"{said} is a sequence, but a state is initialised with one value",
            at,
            help=f"the last step is `last({at.text})`" if part.span == at else "",
        )
    kinds = value.type.dtype != wanted.dtype and (value.type.dtype, wanted.dtype) != ("int", "float")
    if value.type.shape != wanted.shape or kinds:
        raise Mistake(
            "E309",
            f"the state `{state.name}` has {_described(wanted, kinds)}, but {said} has "
            f"{_described(value.type, kinds)}",
            at,
            labels=_labels(part, state, at),
        )
    return trace.over(trace.cast(value, wanted.dtype, at), wanted.axes, at)


def _described(type: Type, kinds: bool) -> str:
    return shape_in_words(type.shape) + (f" ({type.dtype})" if kinds else "")


def _labels(part: Part, state: State, at: Span) -> tuple[Label, ...]:
    """The state, and the other place where that is a third one."""
    label = Label(state.span, f"the state `{state.name}`")
    return (label,) if part.span in (state.span, at) else (label, Label(part.span, "what would initialise it"))
