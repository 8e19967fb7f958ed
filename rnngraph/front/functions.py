"""The functions of the language, one entry each: what it takes, and the formula that it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnngraph.diagnostics import did_you_mean
from rnngraph.front import expressions, indexing, sequences
from rnngraph.front.arithmetic import alike, bounded, broadcasts, number_value
from rnngraph.front.mistakes import Mistake, counted, shape_in_words
from rnngraph.front.scope import Scope
from rnngraph.front.trace import Trace
from rnngraph.front.values import AxisName, Given, Item, Number, Numbers, Part, Record
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.source import Span
from rnngraph.syntax import ast


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a function: where it stands, and what it was given by name of its parameters."""

    scope: Scope
    function: str
    at: Span
    given: dict[str, Given]

    @property
    def trace(self) -> Trace:
        return self.scope.trace

    def op(self, name: str, *values: Value, **attrs: Any) -> Value:
        return self.trace.call(name, *values, at=self.at, **attrs)

    def number(self, value: float) -> Value:
        return self.trace.const(float(value))

    def has(self, name: str) -> bool:
        return name in self.given

    def span(self, name: str) -> Span:
        return self.given[name].span

    def value(self, name: str) -> Value:
        return number_value(self.trace, self.given[name].item, self.span(name))

    def float(self, name: str) -> Value:
        return self.trace.cast(self.value(name), "float", self.span(name))

    def int_value(self, name: str) -> Value:
        value = self.trace.lift(self.given[name].item, self.span(name))
        if value.type.dtype != "int":
            raise self.mistake(
                "E202", f"`{self.span(name).text}` must be int, but it is {value.type.dtype}", name
            )
        return value

    def whole(self, name: str, default: int) -> int:
        if name not in self.given:
            return default
        item = self.given[name].item
        if isinstance(item, bool) or not isinstance(item, int):
            raise self.mistake(
                "E208", f"`{name}` of `{self.function}` must be a whole number known while compiling", name
            )
        return item

    def sizes(self, name: str) -> tuple[int, ...]:
        item = self.given[name].item
        found = item.items if isinstance(item, Numbers) else (item,)
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in found):
            raise self.mistake(
                "E208", f"`{name}` of `{self.function}` must be sizes, as in `[n, units]`", name
            )
        return tuple(expressions.checked_size(n, self.span(name)) for n in found if isinstance(n, int))

    def along_time(self) -> bool:
        return "axis" in self.given and isinstance(self.given["axis"].item, AxisName)

    def dim(self, value: Value, name: str = "axis") -> int:
        """A feature dimension as a negative index; the last one where none is given."""
        dim, rank = self.whole(name, -1), len(value.type.shape)
        if not -rank <= dim < rank:
            where = self.span(name) if name in self.given else self.at
            raise Mistake(
                "E204",
                f"`{self.function}` has no dimension {dim} here: it is given {shape_in_words(value.type.shape)}",
                where,
            )
        return dim if dim < 0 else dim - rank

    def mistake(self, code: str, message: str, name: str) -> Mistake:
        return Mistake(code, message, self.span(name))


@dataclass(frozen=True, slots=True)
class Function:
    """Its parameters (`?` behind those that may be left out, `*` behind what may be repeated), and what it gives."""

    name: str
    parameters: tuple[str, ...]
    formula: Callable[[Use], Item]
    fold: Callable[..., Number] | None = None
    """The same on numbers that are known while compiling."""

    @property
    def many(self) -> bool:
        """Whether the first parameter may be repeated."""
        return self.parameters[0].endswith("*")


TABLE: dict[str, Function] = {}


def _define(name: str, parameters: str, fold: Callable[..., Number] | None = None) -> Callable[..., Any]:
    def add(formula: Callable[[Use], Item]) -> Callable[[Use], Item]:
        TABLE[name] = Function(name, tuple(parameters.split()), formula, fold)
        return formula

    return add


# --- calling ---------------------------------------------------------------------------------------------


def apply(scope: Scope, name: str, arguments: tuple[ast.Argument, ...], at: Span) -> Item:
    """A call of the function as written."""
    if name == "record":
        return _record(scope, arguments, at)
    given = [Given(_axis_or_item(scope, a), a.value.span, a.name) for a in arguments]
    return apply_to(scope, name, given, at)


def apply_to(scope: Scope, name: str, given: list[Given], at: Span) -> Item:
    """A call of the function on what is already evaluated."""
    function = TABLE[name]
    bound = _bind(function, given, at)
    items = [g.item for g in bound.values()]
    if function.fold and "axis" not in bound and all(isinstance(i, (bool, int, float)) for i in items):
        return _folded(function, items, at)
    return function.formula(Use(scope, name, at, bound))


def _axis_or_item(scope: Scope, argument: ast.Argument) -> Item:
    """`axis = time` names an axis, not a value."""
    if (
        argument.name == "axis"
        and isinstance(argument.value, ast.Name)
        and argument.value.name not in scope.names
    ):
        return AxisName(argument.value.name)
    return expressions.one(scope, argument.value)


def _bind(function: Function, given: list[Given], at: Span) -> dict[str, Given]:
    """The arguments by parameter; where the first may be repeated, its repetitions are `x2`, `x3`, ..."""
    names = [p.rstrip("?*") for p in function.parameters]
    places = [names[0], *(f"{names[0]}{i + 2}" for i in range(len(given)))] if function.many else names
    bound: dict[str, Given] = {}
    for place, argument in enumerate(given):
        if argument.name is None and place >= len(places):
            raise Mistake("E303", f"`{function.name}` takes {_takes(function)}, not {len(given)}", at)
        if argument.name is not None and argument.name not in names:
            raise Mistake(
                "E102",
                f"`{function.name}` takes no `{argument.name}`",
                argument.span,
                help=did_you_mean(argument.name, names),
            )
        name = argument.name or places[place]
        if name in bound:
            raise Mistake("E303", f"`{name}` is given twice", argument.span)
        bound[name] = argument
    missing = [
        n for p, n in zip(function.parameters, names, strict=True) if not p.endswith("?") and n not in bound
    ]
    if missing:
        raise Mistake("E303", f"`{function.name}` takes {_takes(function)}: `{missing[0]}` is missing", at)
    return bound


def _takes(function: Function) -> str:
    least = sum(not p.endswith("?") for p in function.parameters)
    if function.many:
        return f"{counted(least, 'argument')} or more"
    most = len(function.parameters)
    return counted(least, "argument") if least == most else f"{least} to {most} arguments"


def _folded(function: Function, items: list[Item], at: Span) -> Number:
    assert function.fold is not None
    try:
        return bounded(function.fold(*items), at)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise Mistake("E207", f"`{at.text}` is no number that can be held", at) from None


def _record(scope: Scope, arguments: tuple[ast.Argument, ...], at: Span) -> Record:
    """`record(c = c0, h = h0)`: values by the names of the states that they begin."""
    parts: dict[str, Part] = {}
    for a in arguments:
        if a.name is None:
            raise Mistake("E303", "every part of a record has a name: `record(h = ...)`", a.span)
        parts[a.name] = Part(expressions.value(scope, a.value), a.span)
    if not parts:
        raise Mistake("E303", "a record needs at least one part: `record(h = ...)`", at)
    return Record(parts)


# --- elementwise -------------------------------------------------------------------------------------------


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_FLOAT_ONLY: dict[str, Callable[[float], Number]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "reciprocal": lambda x: 1.0 / x,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "log_sigmoid": lambda x: -_softplus(-x),
}
_ANY_NUMBER: dict[str, Callable[[Any], Number]] = {
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "relu": lambda x: max(x, 0),
}

for _name, _fold in _FLOAT_ONLY.items():
    _define(_name, "x", _fold)(lambda use: use.op(use.function, use.float("x")))
for _name, _fold in _ANY_NUMBER.items():
    _define(_name, "x", _fold)(lambda use: use.op(use.function, use.value("x")))


@_define("square", "x", lambda x: x * x)
def _(use: Use) -> Item:
    return use.op("square", use.float("x"))


@_define("floor", "x", math.floor)
def _(use: Use) -> Item:
    value = use.value("x")
    return value if value.type.dtype == "int" else use.op("floor", value)


@_define("identity", "x", lambda x: x)
def _(use: Use) -> Item:
    return use.given["x"].item


@_define("float", "x", float)
def _(use: Use) -> Item:
    return use.trace.cast(use.trace.lift(use.given["x"].item, use.span("x")), "float", use.at)


@_define("int", "x", int)
def _(use: Use) -> Item:
    return use.trace.cast(use.trace.lift(use.given["x"].item, use.span("x")), "int", use.at)


@_define("mod", "x by", lambda x, by: x % by)
def _(use: Use) -> Item:
    return use.op("mod", *_pair(use, "x", "by"))


@_define("where", "condition a b", lambda condition, a, b: a if condition else b)
def _(use: Use) -> Item:
    condition = use.given["condition"].item
    if isinstance(condition, bool):
        return use.given["a" if condition else "b"].item
    chosen = use.trace.lift(condition, use.span("condition"))
    if chosen.type.dtype != "bool":
        raise use.mistake(
            "E202",
            f"`{use.span('condition').text}` is {chosen.type.dtype}, but `where` needs a condition",
            "condition",
        )
    a, b = _pair(use, "a", "b", numbers=False)
    for branch, name in ((a, "a"), (b, "b")):
        if not broadcasts(branch.type.shape, chosen.type.shape):
            raise use.mistake(
                "E201",
                f"`{use.span('condition').text}` has {shape_in_words(chosen.type.shape)} but `{use.span(name).text}` has {shape_in_words(branch.type.shape)}",
                name,
            )
    return use.op("where", chosen, a, b)


@_define("clip", "x low high", lambda x, low, high: min(max(x, low), high))
def _(use: Use) -> Item:
    x, low, high = alike(
        use.trace,
        tuple(use.given[n].item for n in ("x", "low", "high")),
        tuple(use.span(n) for n in ("x", "low", "high")),
    )
    return use.op("minimum", use.op("maximum", x, low), high)


def _pair(use: Use, a: str, b: str, numbers: bool = True) -> tuple[Value, ...]:
    """Two arguments as values of one dtype, whose shapes agree."""
    first, second = alike(
        use.trace, (use.given[a].item, use.given[b].item), (use.span(a), use.span(b)), numbers
    )
    if not broadcasts(first.type.shape, second.type.shape):
        raise Mistake(
            "E201",
            f"`{use.span(a).text}` has {shape_in_words(first.type.shape)} but `{use.span(b).text}` has "
            f"{shape_in_words(second.type.shape)}",
            use.at,
        )
    return first, second


# --- over the dimensions of a value ----------------------------------------------------------------------


def _dims(use: Use, value: Value) -> tuple[int, ...]:
    """The one dimension asked for, or all."""
    return (use.dim(value),) if use.has("axis") else tuple(range(-len(value.type.shape), 0))


def _sum(use: Use, value: Value) -> Value:
    if use.along_time():
        return sequences.sum_over(use.trace, value, _axis(use, value), use.at)
    return use.op("sum", value, dims=_dims(use, value)) if value.type.shape else value


def _axis(use: Use, value: Value) -> str:
    """The time axis that `axis = NAME` means."""
    item = use.given["axis"].item
    assert isinstance(item, AxisName)
    name = use.scope.axes.get(item.name, item.name)
    if name not in value.type.axes or name == BATCH:
        raise use.mistake("E305", f"`{use.span('x').text}` is no sequence over `{item.name}`", "axis")
    return name


@_define("sum", "x axis?")
def _(use: Use) -> Item:
    return _sum(use, use.value("x"))


@_define("mean", "x axis?")
def _(use: Use) -> Item:
    value = use.float("x")
    if use.along_time():
        return sequences.mean_over(use.trace, value, _axis(use, value), use.at)
    count = math.prod(value.type.shape[d] for d in _dims(use, value))
    return use.op("mul", _sum(use, value), use.number(1.0 / count))


def _extreme(use: Use, elementwise: str) -> Item:
    """Of two or more arguments the larger, entry by entry; of one, the largest of its entries."""
    names = list(n for n in use.given if n != "axis")
    if len(names) > 1:
        found, *others = (use.given[n] for n in names)
        value = number_value(use.trace, found.item, found.span)
        for other in others:
            a, b = alike(use.trace, (value, other.item), (use.at, other.span))
            value = use.op(elementwise, a, b)
        return value
    value = use.value("x")
    if not value.type.shape:
        return value
    if elementwise == "minimum":
        return use.op("neg", _largest(use, use.op("neg", value)))
    return _largest(use, value)


def _largest(use: Use, value: Value) -> Value:
    if use.has("axis"):
        return use.op("max_over", value, dim=use.dim(value))
    flat = (
        use.op("reshape", value, shape=(math.prod(value.type.shape),)) if len(value.type.shape) > 1 else value
    )
    return use.op("max_over", flat, dim=-1)


for _name, _elementwise, _fold_many in (("max", "maximum", max), ("min", "minimum", min)):

    def _fold_extreme(*items: Number, choose: Any = _fold_many) -> Number:
        return choose(items)  # type: ignore[no-any-return]

    TABLE[_name] = Function(
        _name,
        ("x*", "axis?"),
        lambda use, e=_elementwise: _extreme(use, e),
        _fold_extreme,  # type: ignore[misc]
    )


@_define("norm", "x axis?")
def _(use: Use) -> Item:
    return use.op("sqrt", _sum(use, use.op("square", use.float("x"))))


for _name in ("softmax", "log_softmax", "cumsum"):

    @_define(_name, "x axis?")
    def _(use: Use) -> Item:
        value = use.float("x")
        return use.op(use.function, value, dim=use.dim(value))


@_define("argmax", "x axis?")
def _(use: Use) -> Item:
    value = use.value("x")
    return use.op("argmax", value, dim=use.dim(value))


# --- shapes and products ----------------------------------------------------------------------------------


@_define("concat", "x* axis?")
def _(use: Use) -> Item:
    given = [g for n, g in use.given.items() if n != "axis"]
    values = alike(use.trace, tuple(g.item for g in given), tuple(g.span for g in given))
    return use.op("concat", *values, dim=use.dim(values[0]))


@_define("split", "x parts axis?")
def _(use: Use) -> Item:
    value = use.trace.lift(use.given["x"].item, use.span("x"))
    dim = use.dim(value) + len(value.type.shape)
    return indexing.split(use.trace, value, use.given["parts"].item, dim, use.at, use.span("parts"))


@_define("repeat", "x times axis?")
def _(use: Use) -> Item:
    value, times = use.value("x"), use.whole("times", 1)
    expressions.checked_size(times, use.span("times"))
    return use.op("repeat", value, times=times, dim=use.dim(value))


@_define("reshape", "x shape")
def _(use: Use) -> Item:
    return use.op("reshape", use.value("x"), shape=use.sizes("shape"))


@_define("transpose", "x")
def _(use: Use) -> Item:
    value = use.value("x")
    return use.op("transpose", value, perm=tuple(reversed(range(len(value.type.shape)))))


@_define("outer", "a b")
def _(use: Use) -> Item:
    a, b = alike(use.trace, (use.given["a"].item, use.given["b"].item), (use.span("a"), use.span("b")))
    for value, name in ((a, "a"), (b, "b")):
        if len(value.type.shape) != 1:
            raise use.mistake(
                "E204",
                f"`outer` takes two vectors, but `{use.span(name).text}` has {shape_in_words(value.type.shape)}",
                name,
            )
    return use.op("contract", a, b, left="i", right="j", out="ij", reduce=())


@_define("one_hot", "ids depth")
def _(use: Use) -> Item:
    depth = expressions.checked_size(use.whole("depth", 0), use.span("depth"))
    return use.trace.cast(use.op("one_hot", use.int_value("ids"), depth=depth), "float", use.at)


@_define("zeros", "shape")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(0.0), shape=use.sizes("shape"))


@_define("ones", "shape")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(1.0), shape=use.sizes("shape"))


# --- along time ------------------------------------------------------------------------------------------------


@_define("shift", "x by?")
def _(use: Use) -> Item:
    value = use.trace.lift(use.given["x"].item, use.span("x"))
    return sequences.shift(use.trace, value, use.whole("by", 1), use.at, use.span("x"))


@_define("last", "x")
def _(use: Use) -> Item:
    return sequences.last(
        use.trace, use.trace.lift(use.given["x"].item, use.span("x")), use.at, use.span("x")
    )


@_define("reversed", "x")
def _(use: Use) -> Item:
    return sequences.reversed_(
        use.trace, use.trace.lift(use.given["x"].item, use.span("x")), use.at, use.span("x")
    )


@_define("window", "x size")
def _(use: Use) -> Item:
    size = expressions.checked_size(use.whole("size", 1), use.span("size"))
    return sequences.window(use.trace, use.value("x"), size, use.at, use.span("x"))


# --- chance ------------------------------------------------------------------------------------------------------


def _uniform(use: Use, shape: tuple[int, ...]) -> Value:
    return sequences.uniform(use.scope, shape, use.at)


@_define("uniform", "shape")
def _(use: Use) -> Item:
    return _uniform(use, use.sizes("shape"))


@_define("normal", "shape")
def _(use: Use) -> Item:
    """Box and Muller (1958), "A note on the generation of random normal deviates"."""
    shape = use.sizes("shape")
    u = use.op("maximum", _uniform(use, shape), use.number(1e-12))
    radius = use.op("sqrt", use.op("mul", use.op("log", u), use.number(-2.0)))
    return use.op(
        "mul", radius, use.op("cos", use.op("mul", _uniform(use, shape), use.number(2.0 * math.pi)))
    )


@_define("categorical", "scores")
def _(use: Use) -> Item:
    """A draw with probabilities softmax(scores), as the largest score with Gumbel noise added."""
    scores = use.float("scores")
    u = use.op("maximum", _uniform(use, scores.type.shape), use.number(1e-12))
    gumbel = use.op("neg", use.op("log", use.op("neg", use.op("log", u))))
    return use.op("argmax", use.op("add", scores, gumbel), dim=use.dim(scores, "axis"))


# --- losses and metrics ---------------------------------------------------------------------------------------------


@_define("cross_entropy", "scores label")
def _(use: Use) -> Item:
    scores = use.float("scores")
    logs = use.op("log_softmax", scores, dim=use.dim(scores, "axis"))
    label = use.trace.lift(use.given["label"].item, use.span("label"))
    if label.type.dtype == "int":
        _need_scores(use, scores, label)
        return use.op("neg", indexing.chosen(use.trace, logs, label, use.at))
    if label.type.shape != scores.type.shape:
        raise _scores_and(use, scores, label)
    return use.op("neg", use.op("sum", use.op("mul", label, logs), dims=(-1,)))


def _need_scores(use: Use, scores: Value, label: Value) -> None:
    if len(scores.type.shape) != 1 or label.type.shape:
        raise _scores_and(use, scores, label)


def _scores_and(use: Use, scores: Value, label: Value) -> Mistake:
    return Mistake(
        "E201",
        f"`{use.function}` takes one score for each class and the number of the right class, but "
        f"`{use.span('scores').text}` has {shape_in_words(scores.type.shape)} and `{use.span('label').text}` has "
        f"{shape_in_words(label.type.shape)} ({label.type.dtype})",
        use.at,
    )


@_define("accuracy", "scores label")
def _(use: Use) -> Item:
    scores, label = use.value("scores"), use.int_value("label")
    _need_scores(use, scores, label)
    return use.trace.cast(use.op("eq", use.op("argmax", scores, dim=-1), label), "float", use.at)


@_define("binary_cross_entropy", "logit target")
def _(use: Use) -> Item:
    """-target log sigmoid(logit) - (1 - target) log sigmoid(-logit), as softplus(logit) - target * logit."""
    logit, target = _pair(use, "logit", "target")
    logit, target = (use.trace.cast(v, "float", use.at) for v in (logit, target))
    return use.op("sub", use.op("softplus", logit), use.op("mul", target, logit))


@_define("squared_error", "a b")
def _(use: Use) -> Item:
    """The mean over the dimensions of the squared difference: one number for each example and step."""
    a, b = (use.trace.cast(v, "float", use.at) for v in _pair(use, "a", "b"))
    square = use.op("square", use.op("sub", a, b))
    rank, count = len(square.type.shape), math.prod(square.type.shape)
    if not rank:
        return square
    return use.op("mul", use.op("sum", square, dims=tuple(range(-rank, 0))), use.number(1.0 / count))


NAMES = frozenset({*TABLE, "record"})
