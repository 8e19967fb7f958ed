"""The `train` and `schedule` blocks, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.source import Span
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.arguments import given_twice
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.syntax import ast

Options = dict[str, Any]


def read(scope: Scope, outside: Sequence[ast.Options]) -> dict[str, Options]:
    """The options of the model's blocks, over those at the top level of its file."""
    found: dict[str, Options] = {"train": {}, "schedule": {}}
    for items in (outside, scope.definition.body):
        seen: dict[tuple[str, str], Span] = {}
        for block in items:
            if isinstance(block, ast.Options):
                for option in block.options:
                    _read(scope, found[block.kind], option, seen, block.kind)
    return found


def _read(scope: Scope, options: Options, option: ast.Option, seen: dict[tuple[str, str], Span], kind: str) -> None:
    try:
        if (kind, option.name) in seen:
            first = Label(seen[kind, option.name], "the first is here")
            raise Mistake("E103", f"`{option.name}` is given twice", option.name_span, labels=(first,))
        seen[kind, option.name] = option.name_span
        found = _value(scope, option.value)
        options[option.name] = (found, {}) if option.name == "optimizer" and isinstance(found, str) else found
    except Mistake as mistake:
        scope.trace.tell(mistake.diagnostic)
    except Echo:
        pass


def _value(scope: Scope, e: ast.Expr) -> Any:
    """A number, a bool or a word; `adam(rate = 0.001)` and, for optimisers, `adam` as (name, numbers)."""
    match e:
        case ast.Text() if not e.value.strip():
            raise Mistake("E208", "this string is empty", e.span, help="leave the option out, or give its value")
        case ast.Text():
            return e.value
        case ast.Name() if e.name not in scope.names:
            return e.name
        case ast.Call(function=ast.Name(name=name)):
            return name, _numbers(scope, e.arguments)
        case _:
            return expressions.number(scope, e, "an option")


def _numbers(scope: Scope, arguments: tuple[ast.Argument, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for a in arguments:
        name = _argument_name(a)
        if name in found:
            raise given_twice(name, a.span)
        found[name] = expressions.number(scope, a.value, "an option")
    return found


def _argument_name(argument: ast.Argument) -> str:
    if argument.name is None:
        raise Mistake("E303", "numbers of an option have names: `adam(rate = 0.001)`", argument.span)
    return argument.name
