"""Evaluation of expressions: each form of the grammar to an item."""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Value
from rnngraph.ir.types import DType
from rnngraph.language.elaboration import arithmetic, calls, indexing, loops, matrix_products
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope, look_up
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.values import (
    Builtin,
    Class,
    Instance,
    Item,
    Number,
    Part,
    PipeOf,
    Poison,
    Record,
    Several,
    Unrolled,
    kind_of,
)
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Expr

MOST_PARTS = 10_000
"""Cells and layers in one pipe, those of pipes in it counted too."""


def evaluate(scope: Scope, e: Expr) -> Item:
    """What an expression stands for. Raises Mistake, or Echo where an earlier mistake is the cause."""
    match e:
        case ast.Number() | ast.Bool():
            return e.value
        case ast.Text():
            raise Mistake("E202", "a text has no meaning here", e.span)
        case ast.Name():
            return look_up(scope, e)
        case ast.Field():
            return _field(scope, e)
        case ast.Call():
            return calls.call(scope, e)
        case ast.Index():
            return indexing.index(scope, e)
        case ast.Unary():
            return _unary(scope, e)
        case ast.Binary():
            return _binary(scope, e)
        case ast.Pipe():
            return _pipe(scope, e)
        case ast.Join():
            return matrix_products.join(scope, e)
        case ast.Unroll():
            return loops.unroll(scope, e)


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
    """The length of a dimension: a positive whole number of sane size."""
    return checked_size(whole(scope, e, "a size"), e.span)


# --- the small forms ------------------------------------------------------------------------------


def _unary(scope: Scope, e: ast.Unary) -> Item:
    item = one(scope, e.operand)
    rule = arithmetic.negative if e.operator == "-" else arithmetic.inverse
    return rule(scope.trace, item, e.span, e.operand.span)


def _binary(scope: Scope, e: ast.Binary) -> Item:
    """From the left, without recursion: a sum may have thousands of terms."""
    chain: list[ast.Binary] = []
    left: Expr = e
    while isinstance(left, ast.Binary):
        chain.append(left)
        left = left.left
    item = one(scope, left)
    for link in reversed(chain):
        item = _applied(scope, link, item)
    return item


def _applied(scope: Scope, e: ast.Binary, left: Item) -> Item:
    right = one(scope, e.right)
    if e.operator == "@":
        return matrix_products.product(scope, e, left, right)
    matrix_products.check_broadcast(scope, e, left, right)
    return arithmetic.binary(scope.trace, e.operator, left, right, e.span, (e.left.span, e.right.span))


def _field(scope: Scope, e: ast.Field) -> Item:
    record = one(scope, e.record)
    if not isinstance(record, Record):
        raise Mistake("E104", f"`{e.record.span.text}` is {kind_of(record)} and has no parts", e.span)
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


def _pipe(scope: Scope, e: ast.Pipe) -> Item:
    parts: list[Instance | PipeOf | Builtin] = []
    for part in e.parts:
        item = one(scope, part)
        if isinstance(item, Class):
            item = calls.instantiate(scope, item.definition, (), part.span)
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


def _short(span: Span) -> str:
    text = " ".join(span.text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def _shown(number: Number) -> str:
    return str(number).lower() if isinstance(number, bool) else f"{number:g}"
