"""`from thought`: the final states of one loop become the first states of another, matched by name."""

from __future__ import annotations

from collections.abc import Mapping

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.loop_levels import Place
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Part, Record, kind_of
from rnngraph.language.syntax import ast


def match(scope: Scope, e: ast.Unroll, places: list[Place]) -> dict[str, Value]:
    """The first value of each state that the record tells, by the state's name.

    A part belongs to the state of its name, or to the one whose name ends like it (`h` to `decoder.h`).
    A cell takes all of its own states from the record or none of them.
    """
    assert e.initial is not None
    at = e.initial.span
    parts = _parts(scope, e, places)
    found: dict[str, Value] = {}
    for name, part in parts.items():
        place = _place(name, part, places, at)
        if place.name in found:
            raise Mistake(
                "E309", f"`{at.text}` initialises `{place.name}` twice", at, labels=_told(part, place, at)
            )
        found[place.name] = _first(scope, name, part, place, at)
    _check_complete(places, found, at)
    return found


def _parts(scope: Scope, e: ast.Unroll, places: list[Place]) -> Mapping[str, Part]:
    assert e.initial is not None
    item = expressions.one(scope, e.initial)
    if isinstance(item, Record):
        return item.parts
    at = e.initial.span
    if not isinstance(item, (Value, bool, int, float)):
        raise Mistake("E309", f"`from` takes final states, but `{at.text}` is {kind_of(item)}", at)
    if len(places) != 1:
        names = ", ".join(f"`{p.name}`" for p in places) or "none"
        raise Mistake(
            "E309",
            f"one value cannot initialise {len(places)} states: {names}",
            at,
            help="name each: `from record(" + ", ".join(f"{p.name} = ..." for p in places) + ")`" if places else "",
        )
    if not isinstance(item, Value):
        wanted = places[0].param.type
        item = scope.trace.fit(item, wanted.shape, wanted.dtype, at, f"the state `{places[0].name}`")
    return {places[0].name: Part(item, at)}


def _place(name: str, part: Part, places: list[Place], at: Span) -> Place:
    exact = [p for p in places if p.name == name]
    near = exact or [p for p in places if p.name.endswith("." + name) or name.endswith("." + p.name)]
    if len(near) == 1:
        return near[0]
    if near:
        raise Mistake(
            "E309",
            f"`{at.text}` has a state `{name}`, which could initialise " + " or ".join(f"`{p.name}`" for p in near),
            at,
        )
    have = ", ".join(f"`{p.name}`" for p in places) or "no states"
    raise Mistake(
        "E309",
        f"`{at.text}` has a state `{name}`, but what is unrolled here has {have}",
        at,
        labels=(
            Label(part.span, f"`{name}` is declared here"),
            *(Label(p.span, f"`{p.name}`") for p in places[:1]),
        ),
    )


def _first(scope: Scope, name: str, part: Part, place: Place, at: Span) -> Value:
    trace, wanted = scope.trace, place.param.type
    value = trace.bring(part.value, at)
    said = f"`{at.text}`" if part.span == at else f"`{name}` of `{at.text}`"
    if set(value.type.axes) - {BATCH}:
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
            f"the state `{place.name}` has {_described(wanted, kinds)}, but {said} has {_described(value.type, kinds)}",
            at,
            labels=_told(part, place, at),
        )
    return trace.over_batch(trace.cast(value, wanted.dtype, at), at)


def _described(type: Type, kinds: bool) -> str:
    return shape_in_words(type.shape) + (f" ({type.dtype})" if kinds else "")


def _told(part: Part, place: Place, at: Span) -> tuple[Label, ...]:
    """The state, and the other place where that is a third one."""
    state = Label(place.span, f"the state `{place.name}`")
    return (state,) if part.span in (place.span, at) else (state, Label(part.span, "what would initialise it"))


def _check_complete(places: list[Place], found: Mapping[str, Value], at: Span) -> None:
    touched = {p.owner for p in places if p.name in found}
    for place in places:
        if place.owner in touched and place.name not in found:
            raise Mistake(
                "E309",
                f"`{at.text}` does not initialise the state `{place.name}`",
                at,
                labels=(Label(place.span, "this state"),),
            )
