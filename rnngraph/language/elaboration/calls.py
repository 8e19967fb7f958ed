"""Calls: an instance runs on values, its body inlined where it is called."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Value
from rnngraph.language.builtins import application
from rnngraph.language.elaboration import expressions, from_clause, repetition, statements
from rnngraph.language.elaboration.arguments import bind, given_twice
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.instantiation import (
    Callee,
    as_callee,
    below,
    input_names,
    instantiate,
    name_inline,
    taken_by,
    world_of,
)
from rnngraph.language.elaboration.loop_levels import Place, States
from rnngraph.language.elaboration.mistakes import Echo, Mistake, TooMuch
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import (
    Builtin,
    Class,
    Given,
    Instance,
    Item,
    Part,
    PipeOf,
    Poison,
    Record,
    Several,
    Unrolled,
)
from rnngraph.language.syntax import ast

DEEPEST = 50
"""Instances inside of each other: more than any model, and what stops one that contains itself."""


class Result(Struct, frozen=True):
    """What the body of an instance gives, in the order of its outputs."""

    outputs: tuple[Item, ...]

    def item(self, final: Record) -> Item:
        """One item for all; with the states after it, where there are some."""
        if final.parts:
            return Unrolled(self.outputs, final)
        found = self.outputs[0] if len(self.outputs) == 1 else Several(self.outputs)
        if isinstance(found, Poison):
            raise Echo
        return found


@form(ast.Call)
def call(scope: Scope, e: ast.Call) -> Item:
    """`f(x)`, `LSTM(4)`, `LSTM(4)(x)`."""
    item = expressions.one(scope, e.function)
    if isinstance(item, Builtin):
        return application.apply(scope, item.name, e.arguments, e.span)
    if isinstance(item, Class) and (item.definition.settings or not e.arguments):
        return instantiate(scope, item.definition, e.arguments, e.span)
    callee = as_callee(scope, item, e.function.span)
    given = _arguments(scope, callee, e)
    if isinstance(callee, Builtin) or scope.trace.states is None:
        return _alone(scope, callee, given, e, States(False))
    place, before = below(scope, callee, e.function), len(scope.trace.places)
    return use(scope, callee, given, e.span, place).item(_record(scope.trace.places[before:], place))


@form(ast.FromStates)
def from_states(scope: Scope, e: ast.FromStates) -> Item:
    """`lstm(x) from s`: a step of a cell, or a layer, with the states before it as values."""
    at = e.call.span
    callee = expressions.one(scope, e.call.function) if isinstance(e.call, ast.Call) else None
    if not isinstance(e.call, ast.Call) or not isinstance(callee, (Instance, PipeOf)):
        raise Mistake(
            "E304",
            f"`from` gives states to a cell that is called, which `{at.text}` is not",
            at,
            help=f"give it its input: `{at.text}(x) from {e.initial.span.text}`",
        )
    given = _arguments(scope, callee, e.call)
    told = from_clause.told(scope, e.initial)
    return _alone(scope, callee, given, e.call, States(False, given=told, span=e.initial.span))


def _arguments(scope: Scope, callee: Callee, e: ast.Call) -> list[Given]:
    given = [replace(g, name=a.name) for a in e.arguments for g in repetition.several(scope, (a.value,))]
    _refuse_place_and_name(callee, given)
    return given


def _alone(scope: Scope, callee: Callee, given: list[Given], e: ast.Call, states: States) -> Item:
    """A call whose states are values: those before it, those after it."""
    with scope.trace.calling(states):
        result = use(scope, callee, given, e.span, ())
    if states.span is not None:
        from_clause.check(states)
    return result.item(_record(states.places, ()))


def _record(places: list[Place], place: tuple[str, ...]) -> Record:
    """The states after a call, named from what was called on."""
    skip = len(".".join((*place, "")))
    return Record({p.name[skip:]: Part(p.next, p.span) for p in places if isinstance(p.next, Value)})


def _refuse_place_and_name(callee: Callee, given: list[Given]) -> None:
    """`f(a, x = b)` where `x` is the first input: an argument in its place, and one of its name."""
    places = input_names(callee)[: sum(g.name is None for g in given)] if isinstance(callee, Instance) else []
    for one in given:
        if one.name in places:
            raise given_twice(one.name, one.span)


# --- running --------------------------------------------------------------------------------------


def use(scope: Scope, callee: Callee, given: list[Given], at: Span, place: tuple[str, ...]) -> Result:
    """The callee applied to values; its body becomes part of the graph at the present level."""
    if isinstance(callee, Builtin):
        found = application.apply_to(scope, callee.name, given, at)
        return Result(found.items if isinstance(found, Several) else (found,))
    name_inline(scope, callee)
    if isinstance(callee, PipeOf):
        return _through(scope, callee, given, at, place)
    return _run(scope, callee, given, at, place)


def _through(scope: Scope, pipe: PipeOf, given: list[Given], at: Span, place: tuple[str, ...]) -> Result:
    """Each part on what the one before gives; a constant goes to parts with an input of its name."""
    named = [g for g in given if g.name is not None]
    _check_taken(pipe, named)
    flow = [g for g in given if g.name is None]
    for number, part in enumerate(pipe.parts):
        mine = [g for g in named if g.name in input_names(part)]
        result = use(scope, part, [*flow, *mine], at, (*place, str(number)))
        if any(isinstance(o, Poison) for o in result.outputs):
            raise Echo
        flow = [Given(o, at) for o in result.outputs]
    return Result(tuple(g.item for g in flow))


def _check_taken(pipe: PipeOf, named: list[Given]) -> None:
    known = {n for part in pipe.parts for n in input_names(part)}
    for given in named:
        if given.name not in known:
            raise Mistake(
                "E102",
                f"no part of `{pipe.title}` has an input `{given.name}`",
                given.span,
                help=did_you_mean(given.name or "", known),
            )


def _run(scope: Scope, instance: Instance, given: list[Given], at: Span, place: tuple[str, ...]) -> Result:
    trace = scope.trace
    if trace.depth >= DEEPEST:
        raise TooMuch(
            "E301",
            f"`{instance.title}` is nested in more than {DEEPEST} others: does it contain itself?",
            at,
        )
    assert instance.path is not None
    body = Scope(trace, world_of(scope, instance.definition), instance.definition, instance, instance.path, place, at)
    body.taken |= taken_by(instance)
    for setting in instance.definition.settings:
        body.bind(setting.name, instance.settings[setting.name], "setting", setting.span)
    trace.depth += 1
    trace.calls.append(at)
    try:
        bind(body, given)
        with trace.inside(instance.path):
            statements.run(body, instance.definition.body)
            statements.finish(body)
    finally:
        trace.depth -= 1
        trace.calls.pop()
    return Result(tuple(item for _, item, _ in body.outputs))
