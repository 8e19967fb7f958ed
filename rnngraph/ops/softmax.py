"""Softmax and its logarithm along a feature dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type
from rnngraph.ops.reduce import MATRIX, without
from rnngraph.ops.table import FLOAT, Formula, define, dim_of


def _float_like(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    dim_of(attrs, types[0])
    if types[0].dtype != "float":
        raise ShapeError(f"needs float values, not {types[0].dtype}")
    return types


def _one(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    return (Type(x.axes, without(x.shape, (dim_of(attrs, x),), True)),)


def _softmax(backend: Any, node: Node) -> Callable[..., None]:
    xp, dim = backend.xp, dim_of(node.attrs, node.inputs[0].type)

    def run(x: Any, out: Any, one: Any) -> None:
        xp.amax(x, axis=dim, out=one, keepdims=True)
        xp.subtract(x, one, out)
        xp.exp(out, out)
        xp.sum(out, axis=dim, out=one, keepdims=True)
        xp.divide(out, one, out)

    return run


def _log_softmax(backend: Any, node: Node) -> Callable[..., None]:
    xp, dim = backend.xp, dim_of(node.attrs, node.inputs[0].type)

    def run(x: Any, out: Any, one: Any, work: Any) -> None:
        xp.amax(x, axis=dim, out=one, keepdims=True)
        xp.subtract(x, one, out)
        xp.exp(out, work)
        xp.sum(work, axis=dim, out=one, keepdims=True)
        xp.log(one, one)
        xp.subtract(out, one, out)

    return run


def _softmax_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    inner = (dy * y).op("sum", dims=(dim_of(attrs, x.type),), keep=True)
    return ((dy - inner) * y,)


def _log_softmax_vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    total = dy.op("sum", dims=(dim_of(attrs, x.type),), keep=True)
    return (dy - y.op("exp") * total,)


_SOFTMAX = (({"dim": -1}, (FLOAT,)), ({"dim": 0}, (MATRIX,)))
define(
    "softmax",
    _float_like,
    kernel=_softmax,
    vjp=_softmax_vjp,
    inplace=True,
    scratch=_one,
    range=ranges.within(0, 1),
    examples=_SOFTMAX,
)
define(
    "log_softmax",
    _float_like,
    kernel=_log_softmax,
    vjp=_log_softmax_vjp,
    inplace=True,
    scratch=lambda attrs, types, results: (*_one(attrs, types, results), types[0]),
    masks=True,
    range=ranges.within(-ranges.INF, 0),
    examples=_SOFTMAX,
)
