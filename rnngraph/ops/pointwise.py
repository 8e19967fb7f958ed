"""Elementwise functions, arithmetic, comparisons and `where`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.table import (
    FLOAT,
    ROW,
    Formula,
    broadcast,
    define,
    kernel_of,
    no_rule,
    pointwise_type,
    same_dtype,
)

Rule = Callable[[Formula, Formula, Formula], Formula | None]

UNARY: tuple[Any, ...] = (({}, (FLOAT,)), ({}, (Type(("time", "batch"), ()),)))
BINARY: tuple[Any, ...] = (
    ({}, (FLOAT, FLOAT)),
    ({}, (FLOAT, ROW)),
    ({}, (Type((), (1,)), FLOAT)),
    ({}, (FLOAT, Type(("batch",), ()))),
)


def _unary(name: str, kernel: Any, rule: Rule, *dtypes: Any, range: ranges.Rule = ranges.unknown) -> None:
    define(
        name,
        pointwise_type(*(dtypes or ("float",))),
        kernel=kernel,
        kind="pointwise",
        inplace=True,
        vjp=lambda attrs, y, dy, x: (rule(y, dy, x),),
        range=range,
        examples=UNARY,
    )


def _composed(make: Callable[[Any], Callable[..., None]]) -> Callable[..., Any]:
    return lambda backend, node: make(backend.xp)


def _sigmoid(xp: Any) -> Callable[..., None]:
    """1 / (1 + exp(-x)), right to its last places also where it is small; where exp(-x) is infinite it is 0."""
    negative, exp, add, reciprocal = xp.negative, xp.exp, xp.add, xp.reciprocal

    def run(x: Any, out: Any) -> None:
        negative(x, out)
        exp(out, out)
        add(out, 1, out)
        reciprocal(out, out)

    return run


def _log_sigmoid(xp: Any) -> Callable[..., None]:
    def run(x: Any, out: Any) -> None:
        xp.negative(x, out)
        xp.logaddexp(out, 0.0, out)
        xp.negative(out, out)

    return run


_unary("neg", kernel_of("negative"), lambda y, dy, x: -dy, "float", "int", range=ranges.negated)
_unary("abs", kernel_of("absolute"), lambda y, dy, x: dy * x.op("sign"), "float", "int", range=ranges.absolute)
_unary("sign", kernel_of("sign"), lambda y, dy, x: None, "float", "int", range=ranges.within(-1, 1))
_unary("floor", kernel_of("floor"), lambda y, dy, x: None)
_unary("round", kernel_of("rint"), lambda y, dy, x: None)
_unary("exp", kernel_of("exp"), lambda y, dy, x: dy * y, range=ranges.rising(lambda x: max(math.exp(x), ranges.TINY)))
_unary("log", kernel_of("log"), lambda y, dy, x: dy / x, range=ranges.logarithm)
_unary("square", kernel_of("square"), lambda y, dy, x: dy * 2.0 * x, range=ranges.squared)
_unary("reciprocal", kernel_of("reciprocal"), lambda y, dy, x: -(dy * y * y), range=ranges.inverse)
_unary("sin", kernel_of("sin"), lambda y, dy, x: dy * x.op("cos"), range=ranges.within(-1, 1))
_unary("cos", kernel_of("cos"), lambda y, dy, x: -(dy * x.op("sin")), range=ranges.within(-1, 1))
_unary("tanh", kernel_of("tanh"), lambda y, dy, x: dy * (1.0 - y * y), range=ranges.rising(math.tanh))
_unary("sigmoid", _composed(_sigmoid), lambda y, dy, x: dy * (y * (1.0 - y)), range=ranges.within(0, 1))
_unary("sqrt", kernel_of("sqrt"), lambda y, dy, x: dy * 0.5 / y, range=ranges.root)
_unary(
    "relu",
    lambda backend, node: lambda x, out: backend.xp.maximum(x, 0, out=out),
    lambda y, dy, x: dy.where(y.op("gt", 0.0)),
    "float",
    "int",
    range=ranges.rising(lambda x: max(x, 0)),
)
_unary(
    "softplus",
    lambda backend, node: lambda x, out: backend.xp.logaddexp(x, 0.0, out),
    lambda y, dy, x: dy * x.op("sigmoid"),
    range=ranges.within(ranges.TINY, ranges.INF),
)
_unary(
    "log_sigmoid",
    _composed(_log_sigmoid),
    lambda y, dy, x: dy * (-x).op("sigmoid"),
    range=ranges.within(-ranges.INF, 0),
)

define(
    "not",
    pointwise_type("bool"),
    kernel=kernel_of("logical_not"),
    kind="pointwise",
    inplace=True,
    vjp=no_rule,
    examples=(({}, (Type(("batch",), (3,), "bool"),)),),
)


# --- two operands --------------------------------------------------------------------------------------------

FRACTIONS = {"div", "pow", "atan2"}
"""What is no int of ints."""


def _binary(name: str, kernel: str, rule: Callable[..., tuple[Formula, Formula]], range: ranges.Rule) -> None:
    define(
        name,
        pointwise_type("float", *(() if name in FRACTIONS else ("int",))),
        kernel=kernel_of(kernel),
        kind="pointwise",
        inplace=True,
        vjp=lambda attrs, y, dy, a, b: rule(y, dy, a, b),
        range=range,
        examples=BINARY,
    )


def _pow_vjp(y: Formula, dy: Formula, a: Formula, b: Formula) -> tuple[Formula, Formula]:
    """x ** 0 is 1 for every x, 0 ** y is 0 beside every y above 0: there the factors 0 and infinity make 0."""
    of_base = (dy * b * a.op("pow", b - 1.0)).where(b.op("ne", 0.0))
    return of_base, (dy * y * a.op("log")).where(a.op("ne", 0.0).op("or", b.op("lt", 0.0)))


def _atan2_vjp(angle: Formula, dy: Formula, y: Formula, x: Formula) -> tuple[Formula, Formula]:
    """x and -y over the square of the radius; what is squared has at most the size 1. Where both are 0, or one is
    infinite, 0."""
    size = y.op("abs").op("maximum", x.op("abs"))
    size = size.where(size.op("gt", 0.0), 1.0)
    across, up = x / size, y / size
    radius = (across.op("square") + up.op("square")).op("maximum", 1.0) * size
    finite = (size - size).op("eq", 0.0)
    return (dy * across / radius).where(finite), -(dy * up / radius).where(finite)


def _mod_vjp(rest: Formula, dy: Formula, a: Formula, b: Formula) -> tuple[Formula, Formula]:
    """a - (a // b) b, whose quotient is the exact one: a / b is rounded, perhaps to the next whole number."""
    return dy, -(dy * a.op("floordiv", b))


def _either(first: str, second: str) -> Callable[..., tuple[Formula, Formula]]:
    return lambda y, dy, a, b: (dy.where(a.op(first, b)), dy.where(a.op(second, b)))


_binary("add", "add", lambda y, dy, a, b: (dy, dy), ranges.added)
_binary("sub", "subtract", lambda y, dy, a, b: (dy, -dy), ranges.subtracted)
_binary("mul", "multiply", lambda y, dy, a, b: (dy * b, dy * a), ranges.multiplied)
_binary("div", "divide", lambda y, dy, a, b: (dy / b, -(dy * y / b)), ranges.divided)
_binary("pow", "power", _pow_vjp, ranges.power)
_binary("atan2", "arctan2", _atan2_vjp, ranges.within(-4, 4))
_binary("mod", "mod", _mod_vjp, ranges.remainder)
_binary("maximum", "maximum", _either("ge", "lt"), ranges.larger)
_binary("minimum", "minimum", _either("le", "gt"), ranges.smaller)

define(
    "floordiv",
    pointwise_type("float", "int"),
    kernel=kernel_of("floor_divide"),
    kind="pointwise",
    inplace=True,
    vjp=no_rule,
    range=ranges.quotient,
    examples=BINARY,
)
"""The quotient rounded down, which `mod` is the remainder of; of ints exact, whatever the width of floats."""

COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
for _name, _ufunc in COMPARISONS.items():
    define(
        _name,
        pointwise_type("float", "int", "bool", result="bool"),
        kernel=kernel_of(_ufunc),
        kind="pointwise",
        vjp=no_rule,
        examples=BINARY,
    )
for _name in ("and", "or"):
    define(
        _name,
        pointwise_type("bool"),
        kernel=kernel_of(f"logical_{_name}"),
        kind="pointwise",
        inplace=True,
        vjp=no_rule,
        examples=(({}, (Type(("batch",), (3,), "bool"), Type((), (3,), "bool"))),),
    )


# --- choice and conversion -------------------------------------------------------------------------------------


def _where_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    condition, *branches = types
    if condition.dtype != "bool":
        raise ShapeError(f"the condition must be true or false, not {condition.dtype}")
    return (Type(union(types), broadcast([t.shape for t in types]), same_dtype(tuple(branches))),)


def _where(backend: Any, node: Node) -> Callable[..., None]:
    copyto = backend.xp.copyto

    def run(condition: Any, a: Any, b: Any, out: Any) -> None:
        copyto(out, b)
        copyto(out, a, where=condition)

    return run


define(
    "where",
    _where_type,
    kernel=_where,
    kind="pointwise",
    vjp=lambda attrs, y, dy, c, a, b: (None, dy.where(c), dy.constant(0.0).where(c, dy)),
    range=lambda node, c, a, b: ranges.united(a, b),
    examples=(
        ({}, (Type(("batch",), (3,), "bool"), FLOAT, ROW)),
        ({}, (Type(("batch",), (), "bool"), FLOAT, Type((), ()))),
    ),
)


def _copy(backend: Any, node: Node) -> Callable[..., None]:
    copyto = backend.xp.copyto
    return lambda x, out: copyto(out, x, casting="unsafe")


define(
    "cast",
    lambda attrs, types: (Type(types[0].axes, types[0].shape, attrs["dtype"]),),
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy if y.type.dtype == x.type.dtype == "float" else None,),
    range=ranges.cast,
    examples=(({"dtype": "float"}, (Type(("batch",), (3,), "int"),)), ({"dtype": "int"}, (FLOAT,))),
)
define(
    "identity",
    lambda attrs, types: types,
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy,),
    range=ranges.same,
    examples=UNARY,
)

define(
    "detach",
    lambda attrs, types: types,
    kernel=_copy,
    kind="pointwise",
    vjp=no_rule,
    range=ranges.same,
    examples=(({}, (Type(("batch",), (3,), "int"),)),),
)
"""The value, through which no gradient flows."""


def _first(backend: Any, node: Node) -> Callable[..., None]:
    copyto = backend.xp.copyto
    return lambda x, through, out: copyto(out, x)


define(
    "straight_through",
    pointwise_type("float", "int"),
    kernel=_first,
    kind="pointwise",
    inplace=True,
    vjp=lambda attrs, y, dy, x, through: (None, dy),
    range=ranges.same,
    examples=(({}, (Type(("batch",), (3,), "int"), Type(("batch",), (3,), "int"))),),
)
"""The value of the first operand with the gradient of the second."""


def _broadcast_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    if broadcast([types[0].shape, attrs["shape"]]) != tuple(attrs["shape"]):
        raise ShapeError(f"[{', '.join(map(str, types[0].shape))}] does not spread to {list(attrs['shape'])}")
    return (Type(types[0].axes, tuple(attrs["shape"]), types[0].dtype),)


define(
    "broadcast",
    _broadcast_type,
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy,),
    range=ranges.same,
    examples=(({"shape": (4, 3)}, (FLOAT,)), ({"shape": (2, 3)}, (Type(("batch",), (2, 1)),))),
)
define(
    "spread",
    lambda attrs, types: (types[0].with_axes((*types[0].axes, *attrs["axes"])),),
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy,),
    range=ranges.same,
    examples=(({"axes": ("batch",)}, (ROW,)), ({"axes": ("time",)}, (FLOAT,))),
)
