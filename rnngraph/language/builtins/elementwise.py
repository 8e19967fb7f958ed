"""Functions of each entry alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rnngraph.ir.graph import Value
from rnngraph.ir.types import union
from rnngraph.language.builtins.definition import Use, define, pair
from rnngraph.language.elaboration.arithmetic import alike, broadcasts
from rnngraph.language.elaboration.trace import dtype_of
from rnngraph.language.elaboration.values import Item, Number, is_literal
from rnngraph.ops.table import broadcast


def sigmoid(x: float) -> float:
    small = math.exp(-abs(x))
    return (1.0 if x >= 0 else small) / (1.0 + small)


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_FLOAT_ONLY: dict[str, Callable[[float], Number]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "erf": math.erf,
    "reciprocal": lambda x: 1.0 / x,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "log_sigmoid": lambda x: -softplus(-x),
}
_ANY_NUMBER: dict[str, Callable[[Any], Number]] = {
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "relu": lambda x: max(x, 0),
}

for _name, _fold in _FLOAT_ONLY.items():
    define(_name, "x", "float", _fold)(lambda use: use.op(use.function, use.float("x")))
for _name, _fold in _ANY_NUMBER.items():
    define(_name, "x", "number", _fold)(lambda use: use.op(use.function, use.value("x")))


@define("square", "x", "float", lambda x: x * x)
def _(use: Use) -> Item:
    return use.op("square", use.float("x"))


for _name, _fold in (("floor", math.floor), ("round", round)):

    @define(_name, "x", "number", _fold)
    def _(use: Use) -> Item:
        """Ints are whole; halves are rounded to the even number."""
        value = use.value("x")
        return value if value.type.dtype == "int" else use.op(use.function, value)


@define("ceil", "x", "number", math.ceil)
def _(use: Use) -> Item:
    value = use.value("x")
    return value if value.type.dtype == "int" else use.op("neg", use.op("floor", use.op("neg", value)))


@define("atan2", "y x", "float", math.atan2)
def _(use: Use) -> Item:
    """The angle of the point (x, y), from -pi to pi."""
    y, x = (use.trace.cast(v, "float", use.at) for v in pair(use, "y", "x"))
    return use.op("atan2", y, x)


@define("identity", "x", "same", lambda x: x)
def _(use: Use) -> Item:
    return use.given["x"].item


@define("float", "x", "float", float)
def _(use: Use) -> Item:
    return use.trace.cast(use.any("x"), "float", use.at)


@define("int", "x", "int", int)
def _(use: Use) -> Item:
    return use.trace.cast(use.any("x"), "int", use.at)


@define("mod", "x by", "number", lambda x, by: x % by)
def _(use: Use) -> Item:
    return use.op("mod", *pair(use, "x", "by"))


@define("where", "condition a b", "same")
def _(use: Use) -> Item:
    condition = use.given["condition"].item
    if isinstance(condition, bool):
        return _known(use, use.given["a"].item, use.given["b"].item, condition)
    chosen = use.trace.lift(condition, use.span("condition"))
    if chosen.type.dtype != "bool":
        raise use.mistake(
            "E202",
            f"`{use.span('condition').text}` is {chosen.type.dtype}, but `where` needs a condition",
            "condition",
        )
    a, b = pair(use, "a", "b", numbers=False)
    for branch, name in ((a, "a"), (b, "b")):
        if not broadcasts(branch.type.shape, chosen.type.shape):
            message = f"{use.has_shape('condition', chosen)} but {use.has_shape(name, branch)}"
            raise use.mistake("E201", message, name)
    return use.op("where", chosen, a, b)


def _known(use: Use, a: Item, b: Item, first: bool) -> Item:
    """The branch that is chosen while compiling; a number or value of the kind and shape that it would have later."""
    if isinstance(a, (bool, int, float)) and isinstance(b, (bool, int, float)):
        number = a if first else b
        return number if dtype_of(a) == dtype_of(b) else float(number)
    if not all(is_literal(item) or isinstance(item, Value) for item in (a, b)):
        return a if first else b
    values = pair(use, "a", "b", numbers=False)
    value, shape = values[not first], broadcast([v.type.shape for v in values])
    value = value if value.type.shape == shape else use.op("broadcast", value, shape=shape)
    axes = union([v.type for v in values])
    return value if value.type.axes == axes else use.op("spread", value, axes=axes)


@define("clip", "x low high", "number", lambda x, low, high: min(max(x, low), high))
def _(use: Use) -> Item:
    x, low, high = alike(
        use.trace,
        tuple(use.given[n].item for n in ("x", "low", "high")),
        tuple(use.span(n) for n in ("x", "low", "high")),
    )
    return use.op("minimum", use.op("maximum", x, low), high)
