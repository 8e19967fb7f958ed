"""Elementwise functions, arithmetic, comparisons and `where`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def _unary(name: str, kernel: Any, rule: Rule, *dtypes: Any) -> None:
    define(
        name,
        pointwise_type(*(dtypes or ("float",))),
        kernel=kernel,
        kind="pointwise",
        inplace=True,
        vjp=lambda attrs, y, dy, x: (rule(y, dy, x),),
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


_unary("neg", kernel_of("negative"), lambda y, dy, x: -dy, "float", "int")
_unary("abs", kernel_of("absolute"), lambda y, dy, x: dy * x.op("sign"), "float", "int")
_unary("sign", kernel_of("sign"), lambda y, dy, x: None, "float", "int")
_unary("floor", kernel_of("floor"), lambda y, dy, x: None)
_unary("exp", kernel_of("exp"), lambda y, dy, x: dy * y)
_unary("log", kernel_of("log"), lambda y, dy, x: dy / x)
_unary("sqrt", kernel_of("sqrt"), lambda y, dy, x: dy * 0.5 / y)
_unary("square", kernel_of("square"), lambda y, dy, x: dy * 2.0 * x)
_unary("reciprocal", kernel_of("reciprocal"), lambda y, dy, x: -(dy * y * y))
_unary("sin", kernel_of("sin"), lambda y, dy, x: dy * x.op("cos"))
_unary("cos", kernel_of("cos"), lambda y, dy, x: -(dy * x.op("sin")))
_unary("tanh", kernel_of("tanh"), lambda y, dy, x: dy * (1.0 - y * y))
_unary("sigmoid", _composed(_sigmoid), lambda y, dy, x: dy * (y * (1.0 - y)))
_unary(
    "relu",
    lambda backend, node: lambda x, out: backend.xp.maximum(x, 0, out=out),
    lambda y, dy, x: dy.where(y.op("gt", 0.0)),
    "float",
    "int",
)
_unary(
    "softplus",
    lambda backend, node: lambda x, out: backend.xp.logaddexp(x, 0.0, out),
    lambda y, dy, x: dy * x.op("sigmoid"),
)
_unary("log_sigmoid", _composed(_log_sigmoid), lambda y, dy, x: dy * (-x).op("sigmoid"))

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


def _binary(name: str, kernel: str, rule: Callable[..., tuple[Formula, Formula]]) -> None:
    define(
        name,
        pointwise_type("float", "int"),
        kernel=kernel_of(kernel),
        kind="pointwise",
        inplace=True,
        vjp=lambda attrs, y, dy, a, b: rule(y, dy, a, b),
        examples=BINARY,
    )


_binary("add", "add", lambda y, dy, a, b: (dy, dy))
_binary("sub", "subtract", lambda y, dy, a, b: (dy, -dy))
_binary("mul", "multiply", lambda y, dy, a, b: (dy * b, dy * a))
_binary("div", "divide", lambda y, dy, a, b: (dy / b, -(dy * y / b)))
_binary("pow", "power", lambda y, dy, a, b: (dy * b * a.op("pow", b - 1.0), dy * y * a.op("log")))
_binary("mod", "mod", lambda y, dy, a, b: (dy, -(dy * (a / b).op("floor"))))
_binary("maximum", "maximum", lambda y, dy, a, b: (dy.where(a.op("ge", b)), dy.where(a.op("lt", b))))
_binary("minimum", "minimum", lambda y, dy, a, b: (dy.where(a.op("le", b)), dy.where(a.op("gt", b))))

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
    examples=(({"dtype": "float"}, (Type(("batch",), (3,), "int"),)), ({"dtype": "int"}, (FLOAT,))),
)
define(
    "identity",
    lambda attrs, types: types,
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy,),
    examples=UNARY,
)

define(
    "detach",
    lambda attrs, types: types,
    kernel=_copy,
    kind="pointwise",
    vjp=no_rule,
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
    examples=(({"shape": (4, 3)}, (FLOAT,)), ({"shape": (2, 3)}, (Type(("batch",), (2, 1)),))),
)
define(
    "spread",
    lambda attrs, types: (types[0].with_axes((*types[0].axes, *attrs["axes"])),),
    kernel=_copy,
    kind="pointwise",
    vjp=lambda attrs, y, dy, x: (dy,),
    examples=(({"axes": ("batch",)}, (ROW,)), ({"axes": ("time",)}, (FLOAT,))),
)
