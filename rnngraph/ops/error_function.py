"""The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x.

In two ranges, as W. J. Cody (1969), "Rational Chebyshev approximations for the error function", Mathematics of
Computation 23, has it: x + x * R(x**2) up to 1, and 1 - exp(-x**2) * S(x) beyond. The coefficients are minimax fits of
our own (Lawson's iteration in 60 digits): of the relative error of erf up to 1, of its absolute error beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node
from rnngraph.ir.types import Type
from rnngraph.ops.table import FLOAT, Formula, define, pointwise_type

Coefficients = tuple[float, ...]
"""Of a polynomial, from the constant one on."""
Quotient = tuple[Coefficients, Coefficients]
"""A polynomial, and what it is divided by."""

EDGE = 1.0
"""Where one range ends and the other begins."""
NEAR: Quotient = (  # error 7e-19
    (
        0.1283791670955125747, -0.31700611621698561903, -0.048329512994171738992, -0.0088156774591177800574,
        -0.00049561491291248383528, -0.00002073261021251980726934,
    ),
    (
        1.0, 0.46051298004502029766, 0.093813154076099147814, 0.010693096220792027475, 0.00069249997369255061317,
        0.000020810339572329099641,
    ),
)  # fmt: skip
FAR: Quotient = (  # error 1e-18, up to 6
    (
        0.9999998868085227001, 1.3906595650100862573, 0.94962122533513476423, 0.37365842905713587665,
        0.084367426494213673348, 0.0089330285887753094836,
    ),
    (
        1.0, 2.5190375397324726838, 2.792056695987389604, 1.7573531034606069756, 0.6702684776118378674,
        0.14953346895216436184, 0.015833503222497964575,
    ),
)  # fmt: skip
END = 6.0
"""From here on it is 1 in 53 bits."""
NEAR_NARROW: Quotient = (  # error 1.2e-9
    (
        0.1283791657261537286, -0.37612625823729964401, 0.1128358514451115646, -0.026853811780871875178,
        0.0051883274001873505761, -0.00080101911412618725125, 0.000078538533162900574166,
    ),
    (1.0,),
)  # fmt: skip
FAR_NARROW: Quotient = (  # error 1.6e-10, up to 4
    (1.0010322746196597996, 0.76200428948808560159, 0.24642005320321336344),
    (1.0, 1.8970223670374284363, 1.367044426630332277, 0.43549775300937721527),
)
END_NARROW = 4.0
"""From here on it is 1 in 24 bits."""
SLOPE = 2 / math.sqrt(math.pi)


def _scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    (x,) = types
    return x, x, x, Type(x.axes, x.shape, "bool")


def _erf(backend: Any, node: Node) -> Callable[..., None]:
    xp = backend.xp

    def polynomial(coefficients: Coefficients, x: Any, out: Any) -> None:
        out.fill(coefficients[-1])
        for c in coefficients[-2::-1]:
            xp.multiply(out, x, out)
            xp.add(out, c, out)

    def quotient(parts: Quotient, x: Any, above: Any, below: Any) -> None:
        polynomial(parts[0], x, above)
        polynomial(parts[1], x, below)
        xp.divide(above, below, above)

    def run(x: Any, out: Any, at: Any, found: Any, below: Any, near: Any) -> None:
        xp.absolute(x, at)
        xp.less_equal(at, EDGE, near)
        xp.clip(at, EDGE, END, out=at)
        quotient(FAR, at, found, below)
        xp.multiply(at, at, at)
        xp.negative(at, at)
        xp.exp(at, at)
        xp.multiply(found, at, found)
        xp.subtract(1, found, found)
        xp.copysign(found, x, out)
        xp.clip(x, -EDGE, EDGE, out=at)
        xp.multiply(at, at, at)
        quotient(NEAR, at, found, below)
        xp.clip(x, -EDGE, EDGE, out=at)
        xp.multiply(found, at, found)
        xp.add(found, at, found)
        xp.copyto(out, found, where=near)

    return run


def _vjp(attrs: Attrs, y: Formula, dy: Formula, x: Formula) -> tuple[Formula]:
    return (dy * SLOPE * (-x.op("square")).op("exp"),)


define(
    "erf",
    pointwise_type("float"),
    kernel=_erf,
    kind="pointwise",
    scratch=_scratch,
    vjp=_vjp,
    range=ranges.rising(math.erf),
    examples=(({}, (FLOAT,)), ({}, (Type(("time", "batch"), ()),))),
)
