"""Whether what a user of Python gives a function is what the function says that it takes."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from rnngraph.diagnostics.errors import UserError, told_of
from rnngraph.diagnostics.suggestions import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What a value should be, in words for each alternative, and whether it is."""

    words: tuple[str, ...]
    holds: Callable[[Any], bool]


def kinds_checked(function: F) -> F:
    """The function (or the class of records), which first refuses by a UserError names that it does not know, and
    values of another kind than its annotations say."""

    @wraps(function)
    def checked(*given: Any, **named: Any) -> Any:
        places, kinds = _parameters(function)
        for (name, kind), value in zip(places, given, strict=False):
            _refuse_other(name, kind, value)
        for name, value in named.items():
            if name not in kinds and OTHERS not in kinds:
                raise UserError(f"there is no option `{name}`", "E612", did_you_mean(name, kinds))
            _refuse_other(name, kinds[name if name in kinds else OTHERS], value)
        return function(*given, **named)

    return checked  # type: ignore[return-value]  # it is called as the function is


def _refuse_other(name: str, kind: Kind | None, value: object) -> None:
    if kind is not None and not kind.holds(value):
        *first, last = dict.fromkeys(kind.words)
        wanted = " or ".join([", ".join(first)] * bool(first) + [last])
        text = "the text " * isinstance(value, str)
        raise UserError(f"`{name}` should be {wanted}, got {text}{told_of(value)}", "E628")


OTHERS = "**"


Kinds = Mapping[str, Kind | None]


@cache
def _parameters(function: Callable[..., Any]) -> tuple[tuple[tuple[str, Kind | None], ...], Kinds]:
    """The kinds of the parameters by place, and of those that are given by name; None where nothing can be told."""
    found = signature(function).parameters.values()
    scope = _Scope(vars(sys.modules[function.__module__]))
    kinds = {p: _kind(p.annotation, scope) for p in found}
    named = {p: kind for p, kind in kinds.items() if p.kind is not Parameter.POSITIONAL_ONLY}
    return (
        tuple((p.name, kind) for p, kind in kinds.items()),
        {OTHERS if p.kind is Parameter.VAR_KEYWORD else p.name: kind for p, kind in named.items()},
    )


class _Scope(dict[str, Any]):
    """The names of a module; those that it imports for types alone stand for anything."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def _kind(annotation: Any, scope: _Scope) -> Kind | None:
    if annotation is Parameter.empty:
        return None
    hint = get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), {}, scope)["it"]
    several = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [_alternative(one) for one in sorted(several, key=lambda one: one is NoneType)]
    told = [kind for kind in kinds if kind is not None]
    if len(told) < len(kinds):
        return None
    return Kind(tuple(word for kind in told for word in kind.words), lambda v: any(kind.holds(v) for kind in told))


def _alternative(hint: Any) -> Kind | None:
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return Kind(tuple(f'"{one}"' for one in parts), lambda v: isinstance(v, str) and v in parts)
    if origin in SINGLE:
        return SINGLE[origin]
    if not isinstance(origin, type) or origin in (Any, object) or getattr(origin, "_is_protocol", False):
        return None
    if issubclass(origin, Iterable) and parts and parts[0] in LISTS and not issubclass(origin, Mapping):
        one = LISTS[parts[0]]
        return Kind(one.words, lambda v: _are_several(v, one))
    named = {Mapping: "a mapping (a dict)", Callable: "a function"}.get(origin, f"a `{origin.__name__}`")
    return Kind((named,), lambda v: isinstance(v, origin))


def _are_several(given: Any, one: Kind) -> bool:
    """What can be read only once is not looked into."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        return False
    return not isinstance(given, list | tuple) or all(map(one.holds, given))


PATH = Kind(("a path",), lambda v: isinstance(v, os.PathLike))
SINGLE: Mapping[Any, Kind] = {
    NoneType: Kind(("None",), lambda v: v is None),
    bool: Kind(("True", "False"), lambda v: type(v).__name__ in ("bool", "bool_")),
    int: Kind(("a whole number",), lambda v: isinstance(v, Integral) and not isinstance(v, bool)),
    float: Kind(("a number",), lambda v: isinstance(v, Real) and not isinstance(v, bool)),
    str: Kind(("a text",), lambda v: isinstance(v, str)),
    os.PathLike: PATH,
    Path: PATH,
}
"""By annotation."""
LISTS: Mapping[Any, Kind] = {
    str: Kind(("a list of texts",), SINGLE[str].holds),
    int: Kind(("a list of whole numbers",), SINGLE[int].holds),
    str | int: Kind(("a list of texts or whole numbers",), lambda v: SINGLE[str].holds(v) or SINGLE[int].holds(v)),
    str | os.PathLike[str]: Kind(("a list of paths",), lambda v: isinstance(v, str | os.PathLike)),
}
"""What several of them are called, and whether each is one."""
