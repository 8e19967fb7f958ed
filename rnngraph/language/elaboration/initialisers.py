"""How a weight begins: initialisers by their usual names, with their numbers."""

from __future__ import annotations

from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import INPUT, ordered
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.arguments import given_twice
from rnngraph.language.elaboration.elaborated import Initial
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.syntax import ast

INITIALISERS: dict[str, dict[str, float]] = {
    "zeros": {},
    "ones": {},
    "constant": {"value": 0.0},
    "identity": {},
    "uniform": {"low": -0.05, "high": 0.05},
    "normal": {"mean": 0.0, "std": 1.0},
    "truncated_normal": {"mean": 0.0, "std": 1.0},
    "glorot_uniform": {},
    "glorot_normal": {},
    "he_uniform": {},
    "he_normal": {},
    "lecun_uniform": {},
    "lecun_normal": {},
    "orthogonal": {"gain": 1.0},
}
"""Each with its numbers and what they are where none is written."""


def of(scope: Scope, s: ast.Param, shape: tuple[int, ...]) -> Initial:
    """As written; without `~` or `=`, matrices begin as `glorot_uniform` and all else as 0."""
    if s.initial is None:
        return Initial("glorot_uniform") if len(shape) > 1 else Initial("constant", {"value": 0.0})
    return _drawn(scope, s.initial, shape) if s.drawn else _written(scope, s, s.initial, shape)


def _written(scope: Scope, s: ast.Param, e: ast.Expr, shape: tuple[int, ...]) -> Initial:
    """A number, or an expression over other parameters: it is made once, where the weights begin."""
    trace = scope.trace
    with trace.at(trace.root), trace.calling(None):
        item = expressions.one(scope, e)
        if isinstance(item, (bool, int, float)):
            return Initial("constant", {"value": float(item)})
        value = trace.bring(trace.fit(item, shape, "float", e.span, f"`{s.name}`"), e.span)
    for node in ordered([value.node]):
        if node.op is INPUT and node.attrs["kind"] != "weight":
            raise Mistake(
                "E208",
                f"`{s.name}` is initialised before any data, but `{e.span.text}` depends on `{node.attrs['name']}`",
                e.span,
                help="use numbers, settings and other parameters",
            )
    return Initial("computed", {}, value)


def _drawn(scope: Scope, e: ast.Expr, shape: tuple[int, ...]) -> Initial:
    function, arguments = (e.function, e.arguments) if isinstance(e, ast.Call) else (e, ())
    if not isinstance(function, ast.Name) or function.name not in INITIALISERS:
        text = function.span.text
        raise Mistake(
            "E105",
            f"there is no initialiser `{text}`",
            function.span,
            help=did_you_mean(text, INITIALISERS) or "there are " + ", ".join(f"`{n}`" for n in INITIALISERS),
        )
    numbers = dict(INITIALISERS[function.name])
    names, told = list(numbers), set[str]()
    for place, argument in enumerate(arguments):
        if argument.name is None and place >= len(names):
            raise Mistake("E303", f"`{function.name}` takes {counted(len(names), 'number')}", argument.span)
        name = argument.name or names[place]
        if name not in numbers:
            raise Mistake(
                "E102",
                f"`{function.name}` takes no `{name}`",
                argument.span,
                help=did_you_mean(name, names),
            )
        if name in told:
            raise given_twice(name, argument.span)
        told.add(name)
        numbers[name] = float(expressions.number(scope, argument.value, f"`{name}`"))
    _check_matrix(function, shape)
    return Initial(function.name, numbers)


def _check_matrix(function: ast.Name, shape: tuple[int, ...]) -> None:
    if function.name in ("orthogonal", "identity") and len(shape) != 2:
        raise Mistake("E204", f"`{function.name}` initialises matrices, which this is not", function.span)
