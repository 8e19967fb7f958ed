"""What is repeated while compiling: `for k in 1..n`, as a statement, and among arguments or the parts of `[ ]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.mistakes import MOST_REPETITIONS, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Given
from rnngraph.language.syntax import ast


def turns(scope: Scope, s: ast.For | ast.Gathered) -> Iterator[int]:
    """Each count in turn, bound to its name; what is made meanwhile carries it in its own name."""
    first = expressions.whole(scope, s.first, "the first count")
    last = expressions.whole(scope, s.last, "the last count")
    if last - first >= MOST_REPETITIONS:
        raise Mistake(
            "E310",
            f"`for` repeats {last - first + 1:,} times while compiling; {MOST_REPETITIONS:,} is the most",
            s.first.span.to(s.last.span),
            help="repeat over steps with `unroll`",
        )
    outside, shadowed = scope.suffix, scope.bound(s.name)
    try:
        for k in range(first, last + 1):
            scope.suffix = (*outside, str(k))
            scope.bind(s.name, k, "loop", s.name_span)
            yield k
    finally:
        scope.suffix = outside
        scope.names.pop(s.name, None)
        if shadowed:
            scope.names[s.name] = shadowed


def several(scope: Scope, parts: Sequence[ast.Expr]) -> list[Given]:
    """What parts between commas stand for: one item each, or one for each turn of a `for`."""
    return [one for part in parts for one in _of(scope, part)]


def _of(scope: Scope, part: ast.Expr) -> Iterator[Given]:
    if not isinstance(part, ast.Gathered):
        yield Given(expressions.one(scope, part), part.span)
        return
    for _ in turns(scope, part):
        scope.trace.count_turn(part.span)
        yield Given(expressions.one(scope, part.value), part.value.span)
