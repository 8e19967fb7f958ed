"""How a weight begins: initialisers by their usual names, with their numbers."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import INPUT, Value, graph_input, ordered
from rnngraph.ir.types import Type
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.arguments import given_twice
from rnngraph.language.elaboration.arithmetic import broadcasts
from rnngraph.language.elaboration.elaborated import Drawn, Initial
from rnngraph.language.elaboration.mistakes import Mistake, counted, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Item
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.traversal import changed, walk
from rnngraph.ops.table import broadcast

INITIALISERS: dict[str, dict[str, float]] = {
    "zeros": {},
    "ones": {},
    "constant": {"value": 0.0},
    "identity": {"gain": 1.0},
    "uniform": {"low": -0.05, "high": 0.05},
    "normal": {"mean": 0.0, "std": 1.0},
    "truncated_normal": {"mean": 0.0, "std": 1.0},
    "glorot_uniform": {"gain": 1.0},
    "glorot_normal": {"gain": 1.0},
    "he_uniform": {"gain": 1.0},
    "he_normal": {"gain": 1.0},
    "lecun_uniform": {"gain": 1.0},
    "lecun_normal": {"gain": 1.0},
    "orthogonal": {"gain": 1.0},
}
"""Each with its numbers and what they are where none is written."""
BLOCKS = "block_diagonal"
"""`block_diagonal(4, orthogonal)`: so many blocks on the diagonal, each drawn by itself, and zeros around them."""


def is_initialiser(e: Any) -> bool:
    """Whether an expression behind `~` draws: `orthogonal`, `normal(0, 0.1)`."""
    head = e.function if isinstance(e, ast.Call) else e
    return isinstance(head, ast.Name) and head.name in (*INITIALISERS, BLOCKS)


def of(scope: Scope, s: ast.Param, shape: tuple[int, ...]) -> Initial:
    """As written; without `~` or `=`, matrices begin as `glorot_uniform` and all else as 0."""
    e = s.initial
    if e is None:
        return Initial("glorot_uniform") if len(shape) > 1 else Initial("constant", {"value": 0.0})
    if not s.drawn:
        return _written(scope, s, e, shape)
    if _head(e) != BLOCKS and (is_initialiser(e) or not any(map(is_initialiser, walk(e)))):
        return _drawn(scope, e, shape)
    return _formula(scope, s, e, shape)


def _written(scope: Scope, s: ast.Param, e: ast.Expr, shape: tuple[int, ...]) -> Initial:
    """A number, or an expression over other parameters: it is made once, where the weights begin."""
    trace = scope.trace
    with trace.at(trace.root), trace.calling(None):
        item = expressions.one(scope, e)
        if isinstance(item, (bool, int, float)):
            return Initial("constant", {"value": float(item)})
        item = _spread(scope, item, shape, e)
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


def _spread(scope: Scope, item: Item, shape: tuple[int, ...], e: ast.Expr) -> Item:
    """A row, say, for each row of a parameter."""
    if not isinstance(item, Value) or item.type.shape == shape or not broadcasts(item.type.shape, shape):
        return item
    fits = broadcast([item.type.shape, shape]) == shape
    return scope.trace.call("broadcast", item, at=e.span, shape=shape) if fits else item


# --- what is drawn ----------------------------------------------------------------------------------


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


# --- formulas over what is drawn ---------------------------------------------------------------------------


class _Formula(Struct, eq=False):
    """`log(uniform(1, 16))`: each initialiser in it draws an array of the parameter's own shape."""

    scope: Scope
    name: str
    shape: tuple[int, ...]
    draws: list[Drawn] = field(default_factory=list)

    def with_names(self, e: Any) -> Any:
        """The expression with names for what is drawn, that no text can have."""
        if is_initialiser(e):
            name = f"~{len(self.draws)}"
            self.scope.bind(name, self.value(e), "value", e.span)
            return ast.Name(name, False, e.span)
        return changed(e, self.with_names)

    def value(self, e: ast.Expr) -> Value:
        if _head(e) != BLOCKS:
            return self.drawn(e, self.shape)
        assert isinstance(e, (ast.Call, ast.Name))
        return self.blocks(e)

    def drawn(self, e: ast.Expr, shape: tuple[int, ...]) -> Value:
        trace, name = self.scope.trace, f"{self.name}~{len(self.draws) + 1}"
        self.draws.append(Drawn(name, shape, _drawn(self.scope, e, shape)))
        return trace.own(graph_input(name, "weight", Type((), shape), trace.origin(e.span)), trace.root)

    def blocks(self, e: ast.Call | ast.Name) -> Value:
        given = e.arguments if isinstance(e, ast.Call) else ()
        if len(given) != 2 or not is_initialiser(given[1].value) or _head(given[1].value) == BLOCKS:
            raise Mistake("E303", f"`{BLOCKS}` takes a number of blocks and an initialiser", e.span, help=_USUAL)
        count = expressions.size(self.scope, given[0].value)
        if len(self.shape) != 2 or any(n % count for n in self.shape):
            sizes = shape_in_words(self.shape)
            raise Mistake("E201", f"{sizes} cannot be divided into {counted(count, 'block')}", e.span)
        rows, columns = (n // count for n in self.shape)
        trace = self.scope.trace
        blocks = [self.drawn(given[1].value, (rows, columns)) for _ in range(count)]
        nothing = trace.call("broadcast", trace.const(0.0), at=e.span, shape=(rows, columns))
        wide = [[b if i == k else nothing for i in range(count)] for k, b in enumerate(blocks)]
        lines = [trace.call("concat", *line, at=e.span, dim=-1) for line in wide]
        return trace.call("concat", *lines, at=e.span, dim=-2)


_USUAL = f"write `~ {BLOCKS}(4, orthogonal)`"


def _formula(scope: Scope, s: ast.Param, e: ast.Expr, shape: tuple[int, ...]) -> Initial:
    formula = _Formula(scope, ".".join((*scope.path, s.name, *scope.suffix)), shape)
    with scope.trace.at(scope.trace.root):
        named = formula.with_names(e)
    found = _written(scope, s, named, shape)
    for i in range(len(formula.draws)):
        scope.names.pop(f"~{i}", None)
    return replace(found, draws=tuple(formula.draws))


def _head(e: ast.Expr) -> str:
    head = e.function if isinstance(e, ast.Call) else e
    return head.name if isinstance(head, ast.Name) else ""
