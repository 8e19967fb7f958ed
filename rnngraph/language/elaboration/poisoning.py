"""After a mistake: what a statement would have defined is unknown from there on, silently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.language.elaboration.mistakes import Echo, Mistake, TooMuch
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import POISON
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Statement

FIXED = ("input", "param", "state", "setting", "size", "loop")
"""Kinds of names that are given a value once, by what declares them."""


@contextmanager
def recovered(scope: Scope, s: Statement) -> Iterator[None]:
    """A mistake in the statement that is run here is told, and poisons what the statement would have defined."""
    try:
        yield
    except TooMuch:
        raise
    except Mistake as mistake:
        scope.trace.tell(mistake.diagnostic)
        poison(scope, s)
    except Echo:
        poison(scope, s)


def poison(scope: Scope, s: Statement) -> None:
    """What the statement would have defined is unknown from here on, silently."""
    match s:
        case ast.Param() | ast.State():
            scope.pending.pop(s.name, None)
            scope.bind(s.name, POISON, "", s.name_span)
            scope.primed.setdefault(s.name, POISON)
        case ast.Assign():
            for target in s.targets:
                _poison_target(scope, target)
        case ast.Output():
            scope.outputs.append((None, POISON, s.span))
        case ast.For():
            for inner in s.body:
                poison(scope, inner)
        case ast.If():
            for inner in (*s.body, *s.orelse):
                poison(scope, inner)
        case _:
            pass


def _poison_target(scope: Scope, target: ast.Target) -> None:
    if target.primed:
        scope.primed.setdefault(target.name, POISON)
        place = scope.states.get(target.name)
        if place is not None and place.next is None:
            place.next = POISON
    elif getattr(scope.bound(target.name), "kind", "") not in FIXED and target.name not in scope.pending:
        scope.bind(target.name, POISON, "value", target.span)
