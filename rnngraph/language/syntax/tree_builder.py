"""The meaning of each rule of the grammar: what form of the tree it makes of its parts.

A method has the name of its rule (or of its alternative), gets the span of what was matched and then what
its parts made, tokens that only separate left out. It is called as soon as the rule is complete, so no tree
is walked, and a text nested too deeply is refused while it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Span
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.lexer import Token

DEEPEST = 250
"""Forms within forms. Later stages call themselves once for each."""

_SEPARATORS = {
    "IMPORT", "INPUT", "STATE", "PARAM", "OUTPUT", "LOSS", "METRIC", "STOP", "UNROLL", "OVER", "WITH", "FOR",
    "FOR_EACH", "FROM", "AS", "IF", "ELSE", "IN", "SEQ", "IS", "DRAWN", "COLON", "COMMA", "DOT", "UPTO",
    "PIPE", "OPEN_PAREN", "CLOSE_PAREN", "OPEN_BRACKET", "CLOSE_BRACKET", "OPEN_BRACE", "CLOSE_BRACE",
}  # fmt: skip
"""Tokens that are clear from the rule they stand in."""


class Refused(Exception):
    """What the grammar allows and the language does not."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic


def too_deep(span: Span) -> Refused:
    """For a form that begins there."""
    begin = Span(span.source, span.start, span.start + 1)
    help = f"at most {DEEPEST} operations can be nested; name some of the parts"
    return Refused(Diagnostic("E004", "this is nested too deeply", begin, help=help))


class Part(Struct, frozen=True):
    """What a rule made, the text it covers (with parentheses), and how many forms are within each other."""

    value: Any
    span: Span
    depth: int


def _only(span: Span, value: Any) -> Any:
    return value


def _all(span: Span, *values: Any) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)


def _rule(make: Callable[..., Any]) -> staticmethod[[list[Part | Token | None]], Part | None]:
    """A rule of the grammar from a function of its span and its values. Nothing matched makes nothing."""

    def call(parts: list[Part | Token | None]) -> Part | None:
        matched = [part for part in parts if part is not None]
        if not matched:
            return None
        span = matched[0].span.to(matched[-1].span)
        depth = (make not in (_only, _all, _statements)) + max(
            (part.depth for part in matched if isinstance(part, Part)), default=0
        )
        if depth > DEEPEST:
            raise too_deep(span)
        return Part(make(span, *[_value(part) for part in parts if _speaks(part)]), span, depth)

    return staticmethod(call)


def _speaks(part: Part | Token | None) -> bool:
    return not isinstance(part, Token) or part.type not in _SEPARATORS


def _value(part: Part | Token | None) -> Any:
    return part.value if isinstance(part, Part) else part


def _word(parts: list[Token]) -> Part:
    """A name, or a keyword where it can be nothing but a name."""
    return Part(parts[0], parts[0].span, 0)


def _start(parts: list[Part]) -> tuple[ast.Import | ast.Definition | ast.Options, ...]:
    return tuple(part.value for part in parts)


def _definition(
    span: Span,
    kind: Token,
    name: Token,
    settings: tuple[ast.Setting, ...] | None,
    body: tuple[ast.Statement, ...],
) -> ast.Definition:
    return ast.Definition(kind.text, name.text, settings or (), body, span, name.span)  # type: ignore[arg-type]


def _statements(span: Span, *made: Any) -> tuple[ast.Statement, ...]:
    """Of a block: a declaration of several names has made several."""
    return tuple(s for one in made for s in (one if isinstance(one, tuple) else (one,)))


def _declared(names: tuple[Token, ...], make: Callable[[str, Span, tuple[str, ...]], ast.Statement]) -> Any:
    """A form for each name of a declaration."""
    all = tuple(name.text for name in names)
    return tuple(make(name.text, name.span, all if name is names[0] else ()) for name in names)


def _input(span: Span, names: tuple[Token, ...], type: ast.TypeSpec | None, value: ast.Expr | None) -> Any:
    anything = ast.TypeSpec((), (), "float", names[-1].span, True)
    return _declared(names, lambda name, at, all: ast.Input(name, type or anything, value, span, at, all))


def _state(span: Span, names: tuple[Token, ...], type: ast.TypeSpec, value: ast.Expr | None) -> Any:
    return _declared(names, lambda name, at, all: ast.State(name, type, value, span, at, all))


def _param(
    span: Span,
    frozen: Token | None,
    names: tuple[Token, ...],
    type: ast.TypeSpec,
    initial: tuple[bool, ast.Expr] | None,
) -> Any:
    drawn, value = initial or (False, None)
    fixed = frozen is not None
    return _declared(names, lambda name, at, all: ast.Param(name, type, value, drawn, fixed, span, at, all))


def _if(
    span: Span, condition: ast.Expr, body: tuple[ast.Statement, ...], orelse: tuple[ast.Statement, ...] | None
) -> ast.If:
    return ast.If(condition, body, orelse or (), span)


def _over(span: Span, *values: Any) -> tuple[tuple[ast.Expr, ...], bool]:
    backwards = isinstance(values[-1], Token)
    return (values[:-1] if backwards else values), backwards


def _unroll(
    span: Span,
    cell: ast.Expr,
    over: tuple[tuple[ast.Expr, ...], bool] | None,
    constants: tuple[ast.Binding, ...] | None,
    steps: ast.Expr | None,
    initial: ast.Expr | None,
) -> ast.Unroll:
    if not over and not steps:
        help = "write `over` and a sequence, or `for` and a number of steps"
        raise Refused(Diagnostic("E001", "this `unroll` does not say over which sequence", span, help=help))
    sequences, backwards = over or ((), False)
    return ast.Unroll(cell, sequences, backwards, constants or (), steps, initial, span)


def _binary(span: Span, left: ast.Expr, operator: Token, right: ast.Expr) -> ast.Binary:
    return ast.Binary(operator.text, left, right, span)  # type: ignore[arg-type]


def _unary(span: Span, operator: Token, operand: ast.Expr) -> ast.Unary:
    return ast.Unary(operator.text, operand, span)  # type: ignore[arg-type]


def _argument(span: Span, value: ast.Expr) -> ast.Argument:
    return ast.Argument(None, value, span)


def _axis(span: Span, *tokens: Token) -> tuple[str, ...]:
    found = tuple(token.text for token in tokens if token.type == "NAME")
    if twice := next((name for name in found if found.count(name) > 1), ""):
        help = "each axis of an array has its own name"
        raise Refused(Diagnostic("E103", f"the axis `{twice}` is named twice", span, help=help))
    return found or ("",)


def _type(
    axes: tuple[str, ...], sizes: tuple[ast.Expr, ...] | None, dtype: str | None, span: Span
) -> ast.TypeSpec:
    return ast.TypeSpec(axes, sizes or (), dtype or "float", span)  # type: ignore[arg-type]


class Rules:
    """One entry for every rule of `rnn.lark`, in its order."""

    start = staticmethod(_start)
    imported = _rule(lambda span, path: ast.Import(path.text[1:-1], span))
    definition = _rule(_definition)
    settings = _rule(_all)
    setting = _rule(lambda span, name, value: ast.Setting(name.text, value, span))
    value = _rule(_only)
    block = _rule(_statements)

    input = _rule(_input)
    state = _rule(_state)
    param = _rule(_param)
    names = _rule(_all)
    typed = _rule(_only)
    drawn = _rule(lambda span, value: (True, value))
    fixed = _rule(lambda span, value: (False, value))
    assign = _rule(lambda span, targets, value: ast.Assign(targets, value, span))
    targets = _rule(_all)
    target = _rule(
        lambda span, name, indices=None: ast.Target(name.text.rstrip("'"), name.type == "PRIMED", span, indices or ())
    )
    output = _rule(lambda span, *items: ast.Output(items, span))
    output_item = _rule(lambda span, value, alias: ast.OutputItem(value, alias, span))
    loss = _rule(lambda span, value: ast.Loss(value, span))
    metric = _rule(lambda span, value, alias: ast.Metric(value, alias, span))
    stop = _rule(lambda span, value: ast.Stop(value, span))
    alias = _rule(lambda span, name: name.text)
    each = _rule(lambda span, name, first, last, body: ast.For(name.text, first, last, body, span, name.span))
    choice = _rule(_if)
    otherwise = _rule(lambda span, body: body if isinstance(body, tuple) else (body,))
    options = _rule(lambda span, kind, *options: ast.Options(kind.text, options, span))
    option = _rule(lambda span, name, value: ast.Option(name.text, value, span, name.span))

    type = _rule(lambda span, axes, sizes, dtype: _type(axes, sizes, dtype, span))
    value_type = _rule(lambda span, sizes, dtype: _type((), sizes, dtype, span))
    single_type = _rule(lambda span, dtype: _type((), None, dtype, span))
    axis = _rule(_axis)
    sizes = _rule(_all)
    dtype = _rule(lambda span, word: word.text)

    unroll = _rule(_unroll)
    over = _rule(_over)
    constants = _rule(_all)
    binding = _rule(lambda span, name, value: ast.Binding(name.text, value, span))
    steps = _rule(_only)
    initial = _rule(_only)
    from_states = _rule(lambda span, call, initial: ast.FromStates(call, initial, span))
    pipe = _rule(lambda span, *parts: ast.Pipe(parts, span))
    binary = _rule(_binary)
    unary = _rule(_unary)
    call = _rule(lambda span, function, arguments: ast.Call(function, arguments, span))
    index = _rule(lambda span, value, indices: ast.Index(value, indices, span))
    field = _rule(lambda span, record, name: ast.Field(record, name.text, span))
    arguments = _rule(_all)
    argument = _rule(_argument)
    named_argument = _rule(lambda span, name, value: ast.Argument(name.text, value, span))
    gathered = _rule(
        lambda span, value, name, first, last: ast.Gathered(value, name.text, first, last, span, name.span)
    )
    indices = _rule(_all)
    range = _rule(lambda span, start, stop: ast.Range(start, stop, span))
    range_end = _rule(_only)
    name = _rule(lambda span, word: ast.Name(word.text, False, span))
    primed = _rule(lambda span, word: ast.Name(word.text[:-1], True, span))
    integer = _rule(lambda span, digits: ast.Number(int(digits.text.replace("_", "")), span))
    decimal = _rule(lambda span, digits: ast.Number(float(digits.text), span))
    true = _rule(lambda span, word: ast.Bool(True, span))
    false = _rule(lambda span, word: ast.Bool(False, span))
    text = _rule(lambda span, quoted: ast.Text(quoted.text[1:-1], span))
    group = _rule(_only)
    join = _rule(lambda span, *parts: ast.Join(tuple(part for part in parts if part is not None), span))
    word = staticmethod(_word)
