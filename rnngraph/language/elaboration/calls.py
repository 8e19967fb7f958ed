"""Calls: an instance runs on values, its body inlined where it is called."""

from __future__ import annotations

from dataclasses import dataclass

from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.language.builtins import application
from rnngraph.language.elaboration import expressions, statements
from rnngraph.language.elaboration.arguments import bind, given_twice
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.instantiation import (
    Callee,
    as_callee,
    below,
    input_names,
    instantiate,
    name_inline,
    world_of,
)
from rnngraph.language.elaboration.mistakes import Echo, Mistake, TooMuch
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import (
    Builtin,
    Class,
    Given,
    Instance,
    Item,
    PipeOf,
    Poison,
    Several,
)
from rnngraph.language.syntax import ast

DEEPEST = 50
"""Instances inside of each other: more than any model, and what stops one that contains itself."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the body of an instance gives, in the order of its outputs."""

    outputs: tuple[Item, ...]

    def item(self) -> Item:
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
    given = [Given(expressions.one(scope, a.value), a.value.span, a.name) for a in e.arguments]
    _refuse_place_and_name(callee, given)
    return use(scope, callee, given, e.span, below(scope, callee, e.function)).item()


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
