"""Ways through a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Statement


def walk(node: Any) -> Iterator[Any]:
    """Every node of a tree, the outer ones first; not recursive: a sum may have thousands of terms."""
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(reversed(node))
        elif hasattr(node, "span"):
            yield node
            stack.extend(getattr(node, name) for name in _parts(node.__class__))


@cache
def _parts(form: type[Struct]) -> tuple[str, ...]:
    """The names of what a form is made of, the last one first."""
    return tuple(name for name in reversed(form.__struct_fields__) if name not in ("span", "name_span"))


def changed(item: Any, change: Callable[[Any], Any]) -> Any:
    """A form, or several, with what it is made of changed; itself again where nothing in it is."""
    if isinstance(item, tuple):
        return tuple(change(part) for part in item)
    if not isinstance(item, Struct):
        return item
    parts = {name: getattr(item, name) for name in item.__struct_fields__}
    new = {name: change(part) for name, part in parts.items()}
    return item if all(new[name] is part for name, part in parts.items()) else replace(item, **new)


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, those inside of `for` and `if` too."""
    for s in body:
        yield s
        if isinstance(s, ast.For):
            yield from statements(s.body)
        elif isinstance(s, ast.If):
            yield from statements(s.body)
            yield from statements(s.orelse)
