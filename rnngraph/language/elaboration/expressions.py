"""Evaluation of expressions: each form of the grammar to an item."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Value
from rnngraph.ir.types import DType
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.values import (
    Item,
    Number,
    Part,
    Poison,
    Record,
    Several,
    Unrolled,
    kind_of,
)
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Expr

Form = TypeVar("Form", bound=Callable[..., Item])
FORMS: dict[type, Callable[..., Item]] = {}
"""What evaluates each form of expression. Files put theirs here (`form`), so that no two have to import each other."""


def form(kind: type) -> Callable[[Form], Form]:
    """What is decorated evaluates expressions of this class."""

    def add(evaluated: Form) -> Form:
        FORMS[kind] = evaluated
        return evaluated

    return add


def evaluate(scope: Scope, e: Expr) -> Item:
    """What an expression stands for. Raises Mistake, or Echo where an earlier mistake is the cause."""
    match e:
        case ast.Number() | ast.Bool():
            return e.value
        case ast.Text():
            raise Mistake("E202", "a string has no meaning here", e.span)
        case ast.Gathered():
            raise Mistake(
                "E303", "`for` gathers values where several may stand", e.span, help="write `[... for k in 1..n]`"
            )
    return scope.trace.noted(e.span, FORMS[type(e)](scope, e))


def one(scope: Scope, e: Expr) -> Item:
    """A single item: several results, where one is needed, are a mistake."""
    item = evaluate(scope, e)
    if isinstance(item, Unrolled):
        item = item.outputs[0] if len(item.outputs) == 1 else Several(item.outputs)
    if isinstance(item, Several):
        raise Mistake(
            "E308",
            f"`{_short(e.span)}` gives {len(item.items)} values where one is needed",
            e.span,
            help="name them first: `a, b = ...`",
        )
    if isinstance(item, Poison):
        raise Echo
    return item


def value(scope: Scope, e: Expr, dtype: DType | None = None) -> Value:
    """A value of the graph; of the given dtype, if one is given."""
    return scope.trace.lift(one(scope, e), e.span, dtype)


def number(scope: Scope, e: Expr, what: str) -> Number:
    """A number known while compiling."""
    item = one(scope, e)
    if isinstance(item, (bool, int, float)):
        return item
    raise Mistake(
        "E208",
        f"{what} must be a number known while compiling, but `{e.span.text}` is {kind_of(item)}",
        e.span,
    )


def whole(scope: Scope, e: Expr, what: str) -> int:
    """A whole number known while compiling."""
    found = number(scope, e, what)
    if isinstance(found, bool) or not float(found).is_integer():
        raise Mistake(
            "E203",
            f"{what} must be a whole number, but `{e.span.text}` is {_shown(found)}",
            e.span,
            help="`//` divides sizes" if "/" in e.span.text else "",
        )
    return int(found)


def size(scope: Scope, e: Expr) -> int:
    """The length of a dimension: a natural number of reasonable size."""
    return checked_size(whole(scope, e, "a size"), e.span)


# --- the small forms ------------------------------------------------------------------------------


@form(ast.Field)
def _field(scope: Scope, e: ast.Field) -> Item:
    record = one(scope, e.record)
    if isinstance(record, Value) and e.name == "T":
        return transposed(scope, record, e.span)
    if not isinstance(record, Record):
        help = _FIELDS_ELSEWHERE.get(e.name, "")
        raise Mistake("E104", f"`{e.record.span.text}` is {kind_of(record)} and has no fields", e.span, help=help)
    found = record.field(e.name)
    if found is None:
        known = list(record.parts)
        raise Mistake(
            "E104",
            f"`{e.record.span.text}` has no part `{e.name}`",
            e.span,
            help=did_you_mean(e.name, known) or "it has " + ", ".join(f"`{k}`" for k in known),
        )
    return found.value if isinstance(found, Part) else found


_FIELDS_ELSEWHERE = {
    "shape": "a length is `size(x, axis = 0)`",
    "at": "a row of the state `m` is written by `m'[i] = x`",
    "set": "a row of the state `m` is written by `m'[i] = x`",
}
"""What is meant by fields that arrays have in other languages."""


def transposed(scope: Scope, value: Value, at: Span) -> Value:
    """The dimensions the other way round: `x.T`."""
    return scope.trace.call("transpose", value, at=at, perm=tuple(reversed(range(len(value.type.shape)))))


def _short(span: Span) -> str:
    text = " ".join(span.text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def _shown(number: Number) -> str:
    return str(number).lower() if isinstance(number, bool) else f"{number:g}"
