"""Statements of a body, one after the other; a mistake in one poisons what it defines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from rnngraph.ir.graph import Value
from rnngraph.language.elaboration import declarations, expressions, repetition, stops
from rnngraph.language.elaboration.loop_levels import Place
from rnngraph.language.elaboration.mistakes import Echo, Mistake, TooMuch
from rnngraph.language.elaboration.poisoning import recovered
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import dtype_of
from rnngraph.language.elaboration.values import (
    POISON,
    Item,
    PipeOf,
    Several,
    Unrolled,
    kind_of,
)
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Statement

Rule = TypeVar("Rule", bound=Callable[..., None])
RULES: dict[type, Callable[..., None]] = {}
"""What runs a statement that is not run here, by its class: see `expressions.FORMS`."""


def rule(kind: type) -> Callable[[Rule], Rule]:
    """What is decorated runs statements of this class."""

    def add(run: Rule) -> Rule:
        RULES[kind] = run
        return run

    return add


def run(scope: Scope, body: Iterable[Statement]) -> None:
    """Runs the statements of a block; parameters and states may be used above their lines."""
    body = tuple(body)
    scope.pending |= {s.name: s for s in body if isinstance(s, (ast.Param, ast.State))}
    for statement in body:
        with recovered(scope, statement):
            scope.trace.count_statement(statement)
            _execute(scope, statement)
        scope.trace.name = ""


def _execute(scope: Scope, s: Statement) -> None:
    match s:
        case ast.Param() | ast.State():
            if scope.pending.get(s.name) is s:
                declarations.declare(scope, s)
        case ast.Output():
            _output(scope, s)
        case ast.For():
            _repeat(scope, s)
        case ast.If():
            run(scope, s.body if _holds(scope, s.condition) else s.orelse)
        case ast.Stop():
            stops.stop(scope, s)
        case ast.Loss() | ast.Metric():
            scope.goals.append((s, expressions.value(scope, s.value)))
        case ast.Input() | ast.Options():
            pass
        case _:
            RULES[type(s)](scope, s)


def finish(scope: Scope) -> None:
    """What must hold when a body has been run: every state has a next value, and something is handed out."""
    misspelt = any(d.code == "E106" for d in scope.trace.report.found)
    for name, place in scope.states.items():
        if place.next is None and not misspelt:
            scope.trace.tell(no_next(name, place).diagnostic)
            place.next = POISON
    if not scope.outputs and not scope.states:
        kind, title = scope.definition.kind, scope.definition.name
        scope.trace.tell(
            Mistake(
                "E307",
                f"the {kind} `{title}` has no output",
                scope.definition.name_span,
                help="write `output ...`",
            ).diagnostic
        )
        raise Echo


def no_next(name: str, place: Place) -> Mistake:
    return Mistake("E302", f"the state `{name}` has no next value", place.span, help=f"write `{name}' = ...`")


# --- the other forms ------------------------------------------------------------------------------


def _output(scope: Scope, s: ast.Output) -> None:
    for out in s.items:
        scope.trace.name = out.name or ""
        try:
            item = expressions.evaluate(scope, out.value)
            if isinstance(item, (PipeOf,)) or kind_of(item) in ("a cell", "a layer", "a function"):
                raise Mistake(
                    "E202",
                    f"`{out.value.span.text}` is {kind_of(item)} and cannot be an output",
                    out.value.span,
                )
        except TooMuch:
            raise
        except Mistake as mistake:
            scope.trace.tell(mistake.diagnostic)
            item = POISON
        except Echo:
            item = POISON
        _hand_out(scope, out, item)


def _hand_out(scope: Scope, out: ast.OutputItem, item: Item) -> None:
    if isinstance(item, Unrolled):
        item = item.outputs[0] if len(item.outputs) == 1 else Several(item.outputs)
    items = item.items if isinstance(item, Several) else (item,)
    if not items:
        raise Mistake("E307", f"`{out.value.span.text}` has no output", out.value.span, help=_STATES_ALONE)
    if out.name and len(items) > 1:
        raise Mistake(
            "E308",
            f"`{out.value.span.text}` gives {len(items)} values, but `{out.name}` names one",
            out.value.span,
            help="name them first: `a, b = ...`",
        )
    for part in items:
        if isinstance(part, (bool, int, float)):
            part = scope.trace.const(part, dtype_of(part))
        scope.outputs.append((out.name, part, out.value.span))


_STATES_ALONE = "its states are `final = ...`"


def _repeat(scope: Scope, s: ast.For) -> None:
    for _ in repetition.turns(scope, s):
        run(scope, s.body)


def _holds(scope: Scope, e: ast.Expr) -> bool:
    item = expressions.one(scope, e)
    if isinstance(item, bool):
        return item
    if isinstance(item, Value):
        raise Mistake(
            "E208",
            f"`if` chooses while compiling, but `{e.span.text}` is known only at each step",
            e.span,
            help="write `where(condition, a, b)` to choose at each step",
        )
    raise Mistake("E202", f"`{e.span.text}` is {kind_of(item)}, but a condition is needed here", e.span)
