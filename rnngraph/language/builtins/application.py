"""Calls of the functions of the language: arguments to parameters, numbers folded while compiling."""

from __future__ import annotations

from itertools import count

from msgspec.structs import replace

from rnngraph.diagnostics.other_names import of_argument
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.language.builtins.definition import Use
from rnngraph.language.builtins.registry import TABLE, Function
from rnngraph.language.elaboration import repetition
from rnngraph.language.elaboration.arguments import given_twice
from rnngraph.language.elaboration.arithmetic import bounded
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import common_kind, dtype_of
from rnngraph.language.elaboration.values import AxisName, Given, Item, Number, Numbers, Part, Poison, Record, Words
from rnngraph.language.syntax import ast


def apply(scope: Scope, name: str, arguments: tuple[ast.Argument, ...], at: Span) -> Item:
    """A call of the function as written."""
    if name == "record":
        return _record(scope, arguments, at)
    given = [one for a in arguments for one in _given(scope, a)]
    return apply_to(scope, name, given, at)


def apply_to(scope: Scope, name: str, given: list[Given], at: Span) -> Item:
    """A call of the function on what is already evaluated."""
    function = TABLE[name]
    bound = _bind(function, given, at)
    items = [g.item for g in bound.values()]
    if function.fold and not {"axis", "keep"} & bound.keys() and all(isinstance(i, (bool, int, float)) for i in items):
        return _folded(function, items, at)
    return function.formula(Use(scope, name, at, bound))


def _given(scope: Scope, argument: ast.Argument) -> list[Given]:
    """`axis = time` names an axis, not a value; a string is one that the function reads."""
    if isinstance(argument.value, ast.Text):
        return [Given(Words(argument.value.value), argument.value.span, argument.name)]
    if argument.name == "axis" and isinstance(argument.value, ast.Name) and not _is_number(scope, argument.value.name):
        return [Given(AxisName(argument.value.name), argument.value.span, argument.name)]
    return [replace(one, name=argument.name) for one in repetition.several(scope, (argument.value,))]


def _is_number(scope: Scope, name: str) -> bool:
    """Whether it may say a dimension: a sequence may be called as its axis is, `input source: seq@source`."""
    found = scope.names.get(name)
    return found is not None and isinstance(found.item, int | float | Numbers | Poison)


def _bind(function: Function, given: list[Given], at: Span) -> dict[str, Given]:
    """The arguments by parameter; where one may be repeated, its repetitions are `x2`, `x3`, ..."""
    names = [p.rstrip("?*") for p in function.parameters]
    places = names
    if function.many:
        last = next(i for i, p in enumerate(function.parameters) if p.endswith("*"))
        places = [*names[: last + 1], *(f"{names[last]}{i + 2}" for i in range(len(given)))]
    bound: dict[str, Given] = {}
    for place, argument in enumerate(given):
        if argument.name is None and place >= len(places):
            raise Mistake("E303", f"`{function.name}` takes {_takes(function)}, not {len(given)}", at)
        if argument.name is not None and argument.name not in names and not function.further:
            raise Mistake(
                "E102",
                f"`{function.name}` takes no `{argument.name}`",
                argument.span,
                help=did_you_mean(argument.name, names) or of_argument(argument.name, names),
            )
        name = argument.name or places[place]
        if name in bound:
            raise given_twice(name, argument.span)
        bound[name] = argument
    missing = [n for p, n in zip(function.parameters, names, strict=True) if not p.endswith("?") and n not in bound]
    if missing:
        raise Mistake("E303", f"`{function.name}` takes {_takes(function)}: `{missing[0]}` is missing", at)
    return {name: bound[name] for name in (*places, *names, *bound) if name in bound}


def _takes(function: Function) -> str:
    least = sum(not p.endswith("?") for p in function.parameters)
    if function.many:
        return f"{counted(least, 'argument')} or more"
    most = len(function.parameters)
    return counted(least, "argument") if least == most else f"{least} to {most} arguments"


def _folded(function: Function, items: list[Item], at: Span) -> Number:
    assert function.fold is not None
    try:
        found = bounded(function.fold(*items), at)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise Mistake("E207", f"`{at.text}` is not a number that can be represented", at) from None
    return _of_kind(found, function.gives[0], items)


def _of_kind(number: Number, gives: str, items: list[Item]) -> Number:
    """What a function gives of these numbers, of the kind that it would have at each step."""
    given = common_kind({dtype_of(i) for i in items if isinstance(i, (bool, int, float))})
    kind = {"same": given, "number": "int" if given == "int" else "float"}.get(gives, gives)
    return float(number) if kind == "float" else int(number) if kind == "int" else bool(number)


def _record(scope: Scope, arguments: tuple[ast.Argument, ...], at: Span) -> Record:
    """`record(c = c0, h = h0)`: values, and records in it, by name, or by place as those of a pipe."""
    given = [(one, a.span) for a in arguments for one in _given(scope, a)]
    if not given:
        raise Mistake("E303", "a record needs at least one part: `record(h = ...)`", at)
    parts: dict[str, Part] = {}
    places = count()
    for one, span in given:
        name = str(next(places)) if one.name is None else one.name
        if any(taken.partition(".")[0] == name for taken in parts):
            raise given_twice(name, span)
        parts |= _parts(scope, name, one)
    return Record(parts)


def _parts(scope: Scope, name: str, given: Given) -> dict[str, Part]:
    if isinstance(given.item, Record):
        return {f"{name}.{inner}": part for inner, part in given.item.parts.items()}
    return {name: Part(scope.trace.lift(given.item, given.span), given.span)}
