"""Expressions, types and the first lines of statements back to text, with the parentheses they need."""

from __future__ import annotations

from collections.abc import Iterable

from rnngraph.language.syntax import ast
from rnngraph.language.syntax.line_breaks import Bracket, Doc

# How tightly forms bind, loosest first.
_UNROLL, _PIPE, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _POSTFIX, _ATOM = range(12)

_BINARY = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARE),
    **dict.fromkeys(("+", "-"), _SUM),
    **dict.fromkeys(("*", "/", "//", "%", "@"), _PRODUCT),
    "**": _POWER,
}
_MISREAD = {
    "or": {"and"},
    "not": {"==", "!=", "<", "<=", ">", ">="},
    "negative": {"**"},
    "**": {"**"},
    "@": {"*", "/", "//", "%"},
    "*": {"@", "//", "%"},
    "/": {"@", "//", "%"},
    "//": {"@", "*", "/", "%", "negative"},
    "%": {"@", "*", "/", "//", "negative"},
}
"""Of an operator, those that people bind now this way, now that way where they stand beside it without parentheses."""

_LOGIC = _OR
"""What may stand in a clause, a size or a part of a pipe without parentheses."""


def expression(expr: ast.Expr, least: int = _UNROLL) -> Doc:
    """The text of an expression, in parentheses where it binds less tightly than `least`."""
    doc = _bare(expr)
    return doc if _level(expr) >= least else ("(", *doc, ")")


def _level(expr: ast.Expr) -> int:
    match expr:
        case ast.Unroll() | ast.FromStates() | ast.Gathered():
            return _UNROLL
        case ast.Pipe():
            return _PIPE
        case ast.Binary():
            return _BINARY[expr.operator]
        case ast.Unary():
            return _NOT if expr.operator == "not" else _SIGN
        case ast.Call() | ast.Index() | ast.Field():
            return _POSTFIX
        case _:
            return _ATOM


def _bare(expr: ast.Expr) -> Doc:
    match expr:
        case ast.Number() | ast.Text():
            return (expr.span.text,)
        case ast.Bool(value):
            return ("true" if value else "false",)
        case ast.Name(name, primed):
            return (name + "'" * primed,)
        case ast.Field(record, name):
            least = _ATOM + 1 if isinstance(record, ast.Number) else _POSTFIX
            return (*expression(record, least), f".{name}")
        case ast.Call(function, arguments):
            return (*expression(function, _POSTFIX), Bracket("(", tuple(map(_argument, arguments)), ")"))
        case ast.Index(value, indices):
            return (*expression(value, _POSTFIX), _indices(indices))
        case ast.Join(parts):
            return (Bracket("[", tuple(map(_part, parts)), "]"),)
        case ast.Gathered(value, name, first, last):
            return (*expression(value, _PIPE), " ", *_turns(name, first, last))
        case ast.FromStates(call, initial):
            return (*expression(call, _PIPE), " from ", *expression(initial, _LOGIC))
        case ast.Unary(operator, operand):
            return ("not " if operator == "not" else "-", *_operand(_sign(expr), operand, _level(expr)))
        case ast.Binary(operator, left, right):
            before, after = _operands(operator)
            return (*_operand(operator, left, before), f" {operator} ", *_operand(operator, right, after))
        case ast.Pipe(parts):
            return separated((expression(part, _LOGIC) for part in parts), " >> ")
        case ast.Unroll():
            return _unroll(expr)


def _indices(indices: tuple[ast.Expr | ast.Range, ...]) -> Bracket:
    return Bracket("[", tuple(map(_index, indices)), "]")


def _operands(operator: str) -> tuple[int, int]:
    """How tightly the two sides must bind."""
    level = _BINARY[operator]
    if operator == "**":
        return _POSTFIX, _SIGN
    return (level + 1 if level == _COMPARE else level), level + 1


def _operand(operator: str, expr: ast.Expr, least: int) -> Doc:
    """One side of an operator, in parentheses too where only who knows the order of binding by heart reads it right."""
    return expression(expr, _ATOM if _sign(expr) in _MISREAD.get(operator, ()) else least)


def _sign(expr: ast.Expr) -> str:
    """The operator of a form that has one; the minus of one operand is told apart from that of two."""
    if isinstance(expr, ast.Unary):
        return "not" if expr.operator == "not" else "negative"
    return expr.operator if isinstance(expr, ast.Binary) else ""


def _part(expr: ast.Expr) -> Doc:
    """One of several, where a comma ends it."""
    return expression(expr, _UNROLL if isinstance(expr, ast.Gathered) else _PIPE)


def _argument(argument: ast.Argument) -> Doc:
    value = _part(argument.value)
    return (f"{argument.name} = ", *value) if argument.name else value


def _turns(name: str, first: ast.Expr, last: ast.Expr) -> Doc:
    return (f"for {name} in ", *expression(first, _LOGIC), "..", *expression(last, _LOGIC))


def _index(index: ast.Expr | ast.Range) -> Doc:
    if not isinstance(index, ast.Range):
        return expression(index, _PIPE)
    start = expression(index.start, _LOGIC) if index.start else ()
    stop = expression(index.stop, _LOGIC) if index.stop else ()
    return (*start, ":", *stop)


def _unroll(unroll: ast.Unroll) -> Doc:
    doc: Doc = ("unroll ", *expression(unroll.cell, _PIPE))
    if unroll.over:
        doc += (" over ", *separated((expression(value, _LOGIC) for value in unroll.over), ", "))
        doc += (" reversed",) if unroll.reversed else ()
    if unroll.constants:
        bindings = ((f"{b.name} = ", *expression(b.value, _LOGIC)) for b in unroll.constants)
        doc += (" with ", *separated(bindings, ", "))
    if unroll.steps:
        doc += (" for ", *expression(unroll.steps, _LOGIC))
    if unroll.initial:
        doc += (" from ", *expression(unroll.initial, _LOGIC))
    return doc


def separated(docs: Iterable[Doc], separator: str) -> Doc:
    pieces: Doc = ()
    for doc in docs:
        pieces += (separator, *doc) if pieces else doc
    return pieces


def type_spec(spec: ast.TypeSpec) -> Doc:
    """`float` is written where the user did, so that an empty `[]` and `float` both stay."""
    doc: Doc = ()
    if spec.axes:
        doc += ("@".join(("seq", *filter(None, spec.axes))),)
    written = "float" in spec.span.text.split("]")[-1].split()
    plain = spec.dtype == "float" and not written
    if spec.sizes or (plain and not spec.axes):
        doc += (Bracket("[", tuple(expression(size, _LOGIC) for size in spec.sizes), "]"),)
    if plain:
        return doc
    return (*doc, " " * bool(doc) + spec.dtype)


def header(form: ast.Definition | ast.For | ast.If | ast.Options) -> Doc:
    """What stands before a block."""
    match form:
        case ast.Definition():
            settings = tuple(_setting(setting) for setting in form.settings)
            return (f"{form.kind} {form.name}", *((Bracket("(", settings, ")"),) if settings else ()), " ")
        case ast.For():
            return (*_turns(form.name, form.first, form.last), " ")
        case ast.If():
            return ("if ", *expression(form.condition, _LOGIC), " ")
        case ast.Options():
            return (f"{form.kind} ",)


def _setting(setting: ast.Setting) -> Doc:
    if setting.default is None:
        return (setting.name,)
    return (f"{setting.name} = ", *expression(setting.default, _PIPE))


Line = (
    ast.Import | ast.Input | ast.State | ast.Param | ast.Assign | ast.Output | ast.Loss | ast.Metric
    | ast.Stop | ast.Option
)  # fmt: skip


def line(form: Line) -> Doc:
    """A statement without a block."""
    match form:
        case ast.Import():
            return (f'import "{form.path}"',)
        case ast.Input():
            return ("input ", *_declared(form), *_initial(" = ", form.default))
        case ast.State():
            return ("state ", *_declared(form), *_initial(" = ", form.initial))
        case ast.Param():
            word = "frozen param " if form.frozen else "param "
            least = _LOGIC if form.drawn else _UNROLL
            sign = " ~ " if form.drawn else " = "
            return (word, *_declared(form), *_initial(sign, form.initial, least))
        case ast.Assign(targets, value):
            return (*separated(map(_target, targets), ", "), " = ", *expression(value))
        case ast.Output(items):
            least = _UNROLL if len(items) == 1 else _PIPE
            named = ((*expression(item.value, least), *_alias(item.name)) for item in items)
            return ("output ", *separated(named, ", "))
        case ast.Loss(value):
            return ("loss ", *expression(value))
        case ast.Metric(value, name):
            return ("metric ", *expression(value), *_alias(name))
        case ast.Stop(value):
            return ("stop ", *expression(value))
        case ast.Option(name, value):
            return (f"{name} ", *expression(value, _LOGIC))


def _target(target: ast.Target) -> Doc:
    name = target.name + "'" * target.primed
    return (name, _indices(target.indices)) if target.indices else (name,)


def _declared(form: ast.Input | ast.State | ast.Param) -> Doc:
    """The names and their type."""
    names = ", ".join(form.together)
    return (names,) if form.type.anything else (f"{names}: ", *type_spec(form.type))


def _initial(sign: str, value: ast.Expr | None, least: int = _UNROLL) -> Doc:
    return (sign, *expression(value, least)) if value is not None else ()


def _alias(name: str | None) -> Doc:
    return (f" as {name}",) if name else ()
