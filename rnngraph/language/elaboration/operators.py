"""Operators: `-a`, `a + b`, `a @ b`, `[a, b]`, and what is said where sizes do not fit."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.elaboration import arithmetic, expressions, repetition
from rnngraph.language.elaboration.arithmetic import LOGIC, alike, broadcasts
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.mistakes import Mistake, counted, shape_in_words
from rnngraph.language.elaboration.scope import Bound, Scope
from rnngraph.language.elaboration.values import NOTHING, Class, Instance, Item, Numbers, PipeOf
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Expr


@form(ast.Unary)
def _unary(scope: Scope, e: ast.Unary) -> Item:
    item = expressions.one(scope, e.operand)
    rule = arithmetic.negative if e.operator == "-" else arithmetic.inverse
    return rule(scope.trace, item, e.span, e.operand.span)


@form(ast.Binary)
def _binary(scope: Scope, e: ast.Binary) -> Item:
    """From the left, without recursion: a sum may have thousands of terms."""
    chain: list[ast.Binary] = []
    left: Expr = e
    while isinstance(left, ast.Binary):
        chain.append(left)
        left = left.left
    item = expressions.one(scope, left)
    for link in reversed(chain):
        item = _applied(scope, link, item)
    return item


def _applied(scope: Scope, e: ast.Binary, left: Item) -> Item:
    right = expressions.one(scope, e.right)
    if e.operator == "@":
        return product(scope, e, left, right)
    check_broadcast(scope, e, left, right)
    return arithmetic.binary(scope.trace, e.operator, left, right, e.span, (e.left.span, e.right.span))


@form(ast.Join)
def join(scope: Scope, e: ast.Join) -> Item:
    """Concatenation on the last dimension, a number counting as one value; numbers alone stay so."""
    parts = [g for g in repetition.several(scope, e.parts) if g.item != NOTHING]
    items, spans = tuple(g.item for g in parts), tuple(g.span for g in parts)
    if items and all(isinstance(i, (Instance, PipeOf, Class)) for i in items):
        stack = " >> ".join(s.text for s in spans)
        raise Mistake("E304", "`[a, b]` joins values, not cells", e.span, help=f"a stack is written `{stack}`")
    if all(isinstance(i, (bool, int, float)) for i in items):
        return Numbers(tuple(i for i in items if isinstance(i, (bool, int, float))))
    trace = scope.trace
    values = [
        v if v.type.shape else trace.call("reshape", v, at=s, shape=(1,))
        for v, s in zip(alike(trace, items, spans, numbers=False), spans, strict=True)
    ]
    _check_joinable(values, spans, e.span)
    return values[0] if len(values) == 1 else trace.call("concat", *values, at=e.span, dim=-1)


def _check_joinable(values: list[Value], spans: tuple[Span, ...], at: Span) -> None:
    first = values[0].type.shape
    for value, span in zip(values[1:], spans[1:], strict=True):
        if value.type.shape[:-1] != first[:-1]:
            raise Mistake(
                "E201",
                f"`{spans[0].text}` has {shape_in_words(first)} and cannot be joined with `{span.text}`, "
                f"which has {shape_in_words(value.type.shape)}",
                at,
                note="all dimensions but the last must agree",
            )


# --- products -------------------------------------------------------------------------------------


def product(scope: Scope, e: ast.Binary, left: Item, right: Item) -> Value:
    """The last dimension of the left side against the first of the right one."""
    a, b = alike(scope.trace, (left, right), (e.left.span, e.right.span))
    for item, side in ((a, e.left), (b, e.right)):
        if not item.type.shape:
            raise Mistake("E204", f"`{side.span.text}` is a single number: multiply it with `*`, not `@`", e.span)
    if len(b.type.shape) > 2:
        raise Mistake(
            "E204",
            f"`@` multiplies by a vector or a matrix, but `{e.right.span.text}` has {shape_in_words(b.type.shape)}",
            e.span,
            help="reshape it to two dimensions with `reshape`, and the result back",
        )
    if a.type.shape[-1] != b.type.shape[0]:
        raise _does_not_fit(scope, e, a, b)
    letters = "abcdefghijklmnopqrstuvwxyz"
    inner = "z"
    rows, columns = (
        letters[: len(a.type.shape) - 1],
        letters[len(a.type.shape) - 1 :][: len(b.type.shape) - 1],
    )
    return scope.trace.product(
        a,
        b,
        at=e.span,
        left=rows + inner,
        right=inner + columns,
        out=rows + columns,
        reduce=(),
    )


def _does_not_fit(scope: Scope, e: ast.Binary, a: Value, b: Value) -> Mistake:
    has, rows = a.type.shape[-1], b.type.shape[0]
    right = e.right.span.text
    unit = "row" if len(b.type.shape) > 1 else "value"
    declared = _bound(scope, e.right)
    labels: tuple[Label, ...] = ()
    if declared and declared.spec and declared.spec.sizes:
        labels = (Label(declared.spec.sizes[0].span, f"{counted(rows, unit)}, declared here"),)
    if isinstance(e.left, ast.Join):
        message = f"`{e.span.text}` joins {counted(has, 'value')} but `{right}` has {counted(rows, unit)}"
        note = _parts_in_words(scope, e.left)
    else:
        columns = "column" if len(a.type.shape) > 1 else "value"
        message = f"`{e.left.span.text}` has {counted(has, columns)} but `{right}` has {counted(rows, unit)}"
        note = ""
        labels += _declared_label(scope, e.left, f"{counted(has, columns)}, declared here")
    return Mistake("E201", message, e.span, note=note, labels=labels, help=_redeclare(scope, e.left, declared))


def _parts_in_words(scope: Scope, e: ast.Join) -> str:
    """`x has 3 values, h has 5`."""
    said: list[str] = []
    for part in e.parts:
        length = _length(scope, part)
        if length is not None:
            said.append(f"{part.span.text} has {counted(length, 'value') if not said else length}")
    return ", ".join(said)


def _length(scope: Scope, e: Expr) -> int | None:
    """The number of values that a named part brings; other parts are not evaluated a second time."""
    found = _bound(scope, e)
    item = found.item if found else None
    if isinstance(e, ast.Name) and e.primed:
        item = scope.primed.get(e.name)
    if isinstance(item, Value):
        return item.type.shape[-1] if item.type.shape else 1
    return 1 if isinstance(item, (int, float)) else None


def _redeclare(scope: Scope, left: Expr, right: Bound | None) -> str:
    """The type that the parameter on the right should have, if all sizes on the left have a name."""
    if right is None or right.kind != "param" or right.spec is None or not right.spec.sizes:
        return ""
    parts = left.parts if isinstance(left, ast.Join) else (left,)
    sizes = [_size_text(scope, part) for part in parts]
    if not all(sizes):
        return ""
    rest = [s.span.text for s in right.spec.sizes[1:]]
    return f"declare it as `[{', '.join([' + '.join(s for s in sizes if s), *rest])}]`"


def _size_text(scope: Scope, e: Expr) -> str | None:
    found = _bound(scope, e)
    if found is None or found.spec is None:
        return None
    return found.spec.sizes[-1].span.text if found.spec.sizes else "1"


def _bound(scope: Scope, e: Expr) -> Bound | None:
    return scope.bound(e.name) if isinstance(e, ast.Name) else None


def _declared_label(scope: Scope, e: Expr, text: str) -> tuple[Label, ...]:
    found = _bound(scope, e)
    if found is None or found.spec is None or not found.spec.sizes:
        return ()
    return (Label(found.spec.sizes[-1].span, text),)


# --- elementwise operators ------------------------------------------------------------------------


def check_broadcast(scope: Scope, e: ast.Binary, left: Item, right: Item) -> None:
    """Refuses `a + b` where neither side can be spread to the other."""
    a, b = _shape(left), _shape(right)
    if a is None or b is None or e.operator in LOGIC or broadcasts(a, b):
        return
    raise Mistake(
        "E201",
        f"`{e.left.span.text}` has {shape_in_words(a)} but `{e.right.span.text}` has {shape_in_words(b)}",
        e.span,
        labels=(
            *_declared_label(scope, e.left, f"{shape_in_words(a)}, declared here"),
            *_declared_label(scope, e.right, f"{shape_in_words(b)}, declared here"),
        ),
        help=_product_meant(e, a, b),
    )


def _product_meant(e: ast.Binary, a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if e.operator != "*" or not a or len(b) != 2 or a[-1] != b[0]:
        return ""
    return f"a product with a matrix is `{e.left.span.text} @ {e.right.span.text}`"


def _shape(item: Item) -> tuple[int, ...] | None:
    if isinstance(item, Value):
        return item.type.shape
    return (len(item.items),) if isinstance(item, Numbers) else None
