"""Ways through a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

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
def _parts(form: type[Any]) -> tuple[str, ...]:
    """The names of what a form is made of, the last one first."""
    return tuple(f.name for f in reversed(fields(form)) if f.name not in ("span", "name_span"))


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every statement, those inside of `for` and `if` too."""
    for s in body:
        yield s
        if isinstance(s, ast.For):
            yield from statements(s.body)
        elif isinstance(s, ast.If):
            yield from statements(s.body)
            yield from statements(s.orelse)
