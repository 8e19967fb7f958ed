"""Instances: a definition gets its settings, and a name where it is first used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.other_names import of_setting
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Value
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.arguments import given_twice
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.scope import Scope, World
from rnngraph.language.elaboration.values import Builtin, Class, Instance, Item, PipeOf, free_place, is_number, kind_of
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition

MOST_PARTS = 10_000
"""Cells and layers in one pipe, those of pipes in it counted too."""

Callee = Instance | PipeOf | Builtin


def as_callee(scope: Scope, item: Item, at: Span) -> Callee:
    """What can be applied or unrolled: a definition whose settings have defaults counts too."""
    if isinstance(item, Class):
        return instantiate(scope, item.definition, (), at)
    if isinstance(item, (Instance, PipeOf, Builtin)):
        return item
    help = f"a product is written `{at.text} * (...)`" if is_number(item) else ""
    raise Mistake("E304", f"`{at.text}` is {kind_of(item)} and cannot be called", at, help=help)


def held(scope: Scope, item: Item, at: Span) -> Item:
    """What a name or a setting stands for: a definition that needs no settings is one instance there, as with `()`."""
    if isinstance(item, Class) and item.definition.kind != "model" and not _needed(item.definition):
        return instantiate(scope, item.definition, (), at)
    return item


# --- settings -------------------------------------------------------------------------------------


def instantiate(scope: Scope, definition: Definition, arguments: Sequence[ast.Argument], at: Span) -> Instance:
    """A new instance with these settings; defaults may refer to settings before them."""
    if definition.kind == "model":
        raise Mistake(
            "E304",
            f"`{definition.name}` is a model and cannot be part of another",
            at,
            help="make it a `layer`",
        )
    settings = _given_settings(scope, definition, arguments)
    fill_defaults(scope, definition, settings, at)
    return Instance(definition, settings, at)


def _given_settings(scope: Scope, definition: Definition, arguments: Sequence[ast.Argument]) -> dict[str, Item]:
    names = [s.name for s in definition.settings]
    found: dict[str, Item] = {}
    for place, argument in enumerate(arguments):
        if argument.name is None and place >= len(names):
            raise Mistake(
                "E303",
                f"`{definition.name}` takes {counted(len(names), 'setting')}, not {len(arguments)}",
                argument.span,
                labels=(Label(definition.name_span, "defined here"),),
            )
        name = argument.name or names[place]
        if name not in names:
            raise Mistake(
                "E102",
                f"`{definition.name}` has no setting `{name}`",
                argument.span,
                labels=(Label(definition.name_span, "defined here"),),
                help=of_setting(name, names) or did_you_mean(name, names),
            )
        if name in found:
            raise given_twice(name, argument.span)
        item = expressions.one(scope, argument.value)
        if isinstance(item, Value):
            raise _value_as_setting(definition, argument)
        found[name] = held(scope, item, argument.value.span)
    return found


def _value_as_setting(definition: Definition, argument: ast.Argument) -> Mistake:
    text = argument.value.span.text
    return Mistake(
        "E208",
        f"the settings of `{definition.name}` are fixed while compiling; `{text}` is not",
        argument.span,
        help=f"give the settings first, then the value: `{definition.name}(...)({text})`",
    )


def fill_defaults(scope: Scope, definition: Definition, settings: dict[str, Item], at: Span) -> None:
    inner = Scope(scope.trace, world_of(scope, definition), definition, None, scope.path, (), at)
    for setting in definition.settings:
        if setting.name not in settings:
            if setting.default is None:
                raise Mistake(
                    "E303",
                    f"`{definition.name}` needs its setting `{setting.name}`",
                    at,
                    labels=(Label(setting.span, "it has no default"),),
                    help=f"write `{_usual(definition)}`",
                )
            settings[setting.name] = held(inner, expressions.one(inner, setting.default), setting.span)
        inner.bind(setting.name, settings[setting.name], "setting", setting.span)


def world_of(scope: Scope, definition: Definition) -> World:
    """What a body may name: what stands in its own file and in the imports of that, wherever it is called from."""
    return scope.trace.worlds.get(definition.span.source, library())


def _needed(definition: Definition) -> list[str]:
    return [s.name for s in definition.settings if s.default is None]


def _usual(definition: Definition) -> str:
    return f"{definition.name}({', '.join(_needed(definition))})"


# --- names of instances ---------------------------------------------------------------------------


def adopt(scope: Scope, item: Item, path: tuple[str, ...]) -> None:
    """Gives an instance that has no name yet this path, or one like it that is free; so for its own parts.

    Free in this run of the body: the next run of the same instance gives the same paths, so that all share its weights.
    """
    if not isinstance(item, (Instance, PipeOf)) or item.path is not None:
        return
    item.path = free_place(path, scope.taken)
    scope.trace.instances.setdefault(item.path, item)
    for name, part in _parts(item).items():
        adopt(scope, part, (*item.path, name))


def taken_by(instance: Instance) -> dict[tuple[str, ...], int]:
    """The paths that are taken when the body of an instance begins: those of what was given to it as settings."""
    assert instance.path is not None
    return {(*instance.path, name): 1 for name in instance.settings}


def _parts(item: Instance | PipeOf) -> Mapping[str, Item]:
    return item.settings if isinstance(item, Instance) else {str(i): p for i, p in enumerate(item.parts)}


def name_inline(scope: Scope, item: Callee) -> None:
    """An instance that is used without ever having been named is called after its definition."""
    if isinstance(item, (Instance, PipeOf)) and item.path is None:
        name = "stack" if isinstance(item, PipeOf) else snake_case(item.definition.name)
        adopt(scope, item, _suffixed(scope, name))


def _suffixed(scope: Scope, name: str) -> tuple[str, ...]:
    """Below the present instance; inside of `for k in ...` a free name first, then the counts."""
    return (*scope.path, name, *scope.suffix)


def snake_case(name: str) -> str:
    """`LSTM` -> `lstm`, `BiLSTM` -> `bi_lstm`, `HighwayCell` -> `highway_cell`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def below(scope: Scope, callee: Callee, function: ast.Expr) -> tuple[str, ...]:
    """What the states of the callee are called below this body: by its own name here, free on this level."""
    if isinstance(callee, Builtin):
        return scope.place
    name_inline(scope, callee)
    assert callee.path is not None
    own = callee.path[: len(scope.path)] == scope.path and len(callee.path) > len(scope.path)
    if own:
        place = (*scope.place, *callee.path[len(scope.path) :])
    elif isinstance(function, ast.Name):
        place = (*scope.place, function.name)
    else:
        place = (*scope.place, callee.path[-1])
    states = scope.trace.states or scope.trace.level.states
    return free_place(place, states.used)


def inputs_of(callee: Callee) -> list[ast.Input]:
    if isinstance(callee, Builtin):
        return []
    if isinstance(callee, PipeOf):
        return [s for part in callee.parts for s in inputs_of(part)]
    return [s for s in callee.definition.body if isinstance(s, ast.Input)]


def input_names(callee: Callee) -> list[str]:
    return [s.name for s in inputs_of(callee)]


@form(ast.Pipe)
def _pipe(scope: Scope, e: ast.Pipe) -> Item:
    parts: list[Instance | PipeOf | Builtin] = []
    for part in e.parts:
        item = expressions.one(scope, part)
        if isinstance(item, Class):
            item = instantiate(scope, item.definition, (), part.span)
        if not isinstance(item, (Instance, PipeOf, Builtin)):
            raise Mistake(
                "E304",
                f"`>>` joins cells and layers, but `{part.span.text}` is {kind_of(item)}",
                part.span,
                help="write `LAYER(...)(x)` to apply one to a value",
            )
        parts.append(item)
    pipe = PipeOf(tuple(parts), e.span, count=sum(p.count if isinstance(p, PipeOf) else 1 for p in parts))
    if pipe.count > MOST_PARTS:
        raise Mistake("E310", f"this joins {pipe.count:,} cells and layers; {MOST_PARTS:,} are the most", e.span)
    return pipe
