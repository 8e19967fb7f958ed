"""What is known of a value while compiling, whatever the data hold: how small and how large each entry can be, and
whether it is always finite.

It is finite where no pole makes it infinite or nan: a division by what may be 0, a logarithm of what may be 0 or less.
Overflow does not count, nor does underflow: `exp` is finite and above 0. The ends of whole numbers are exact.

Here stand ranges and what the entries of the table of ops say of them; `ops.range_analysis` follows them through a
graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from rnngraph.ir.types import Type, is_fixed, size_of


class Range(NamedTuple):
    """A value lies in [low, high]; `finite` says that no pole can have spoilt it."""

    low: float
    high: float
    finite: bool = True

    def within(self, size: int) -> bool:
        """Whether every such whole number chooses among `size`."""
        return self.low >= 0 and self.high < size


class Operand(Protocol):
    """A value, as far as a rule looks at it: its type, and the op that made it."""

    @property
    def type(self) -> Type: ...

    @property
    def op(self) -> Any: ...


class Application(Protocol):
    """A node, as far as a rule looks at it."""

    @property
    def attrs(self) -> Mapping[str, Any]: ...

    @property
    def inputs(self) -> Sequence[Operand]: ...

    @property
    def types(self) -> Sequence[Type]: ...


Rule = Callable[..., Range]
"""The range of a result: of a node, and of each of its operands in turn."""

INF = math.inf
TINY = 5e-324
ANY = Range(-INF, INF)
"""Nothing is known, but that it is finite."""
POLE = Range(-INF, INF, False)
INTEGERS = Range(-(2**63), 2**63 - 1)
"""All whole numbers that there are: arithmetic that could leave them gives this, since there they begin anew."""
ZERO, TRUTH = Range(0, 0), Range(0, 1)
MOST_STEPS = 2**48
"""More steps than any data have."""
EXACT = 2**53
"""Up to here whole numbers are floats too."""


def united(*ranges: Range) -> Range:
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), all(r.finite for r in ranges))


def unknown(node: Application, *x: Range) -> Range:
    """Any number, as finite as what it is made of."""
    return Range(-INF, INF, all(r.finite for r in x))


def same(node: Application, x: Range, *others: Range) -> Range:
    """Values of the first operand, at other places."""
    return x


def any_of(node: Application, *x: Range) -> Range:
    """Values of any of the operands."""
    return united(*x)


def same_or_zero(node: Application, x: Range, *others: Range) -> Range:
    """Values of the first operand, and 0 where there is none."""
    return united(x, ZERO)


def within(low: float, high: float) -> Rule:
    return lambda node, *x: Range(low, high, all(r.finite for r in x))


def rising(f: Callable[[float], float]) -> Rule:
    """Of a function that never falls; beyond what can be computed it is infinite."""

    def at(x: float) -> float:
        try:
            return f(x)
        except OverflowError:
            return INF

    return lambda node, x: Range(at(x.low), at(x.high), x.finite)


def summed(node: Application, x: Range) -> Range:
    """Of one value or more: what is known of the sign of each holds for the sum."""
    return Range(x.low if x.low >= 0 else -INF, x.high if x.high <= 0 else INF, x.finite)


# --- arithmetic ----------------------------------------------------------------------------------------------------


def negated(node: Application, x: Range) -> Range:
    return Range(-x.high, -x.low, x.finite)


def absolute(node: Application, x: Range) -> Range:
    return Range(max(0, x.low, -x.high), max(abs(x.low), abs(x.high)), x.finite)


def squared(node: Application, x: Range) -> Range:
    size = absolute(node, x)
    return Range(_times(size.low, size.low), _times(size.high, size.high), x.finite)


def added(node: Application, a: Range, b: Range) -> Range:
    return _between(a.low + b.low, a.high + b.high, a.finite and b.finite)


def subtracted(node: Application, a: Range, b: Range) -> Range:
    return added(node, a, negated(node, b))


def multiplied(node: Application, a: Range, b: Range) -> Range:
    return squared(node, a) if node.inputs[0] == node.inputs[1] else _product(a, b)


def divided(node: Application, a: Range, b: Range) -> Range:
    return _product(a, inverse(node, b))


def inverse(node: Application, x: Range) -> Range:
    return Range(_over(x.high), _over(x.low), x.finite) if _has_no_zero(x) else POLE


def logarithm(node: Application, x: Range) -> Range:
    return rising(math.log)(node, x) if x.low > 0 else POLE


def root(node: Application, x: Range) -> Range:
    return rising(math.sqrt)(node, x) if x.low >= 0 else POLE


def power(node: Application, a: Range, b: Range) -> Range:
    finite = a.finite and b.finite
    if a.low > 0:
        return Range(TINY, INF, finite)
    return Range(0.0, INF, finite) if a.low >= 0 and b.low >= 0 else POLE


def remainder(node: Application, a: Range, b: Range) -> Range:
    if b.low > 0:
        return Range(0, b.high - (node.types[0].dtype == "int"), a.finite and b.finite)
    return unknown(node, a, b) if _has_no_zero(b) else POLE


def quotient(node: Application, a: Range, b: Range) -> Range:
    """Rounded down; of ints by 0 it is 0."""
    return unknown(node, a, b) if node.types[0].dtype == "int" or _has_no_zero(b) else POLE


def larger(node: Application, a: Range, b: Range) -> Range:
    return Range(max(a.low, b.low), max(a.high, b.high), a.finite and b.finite)


def smaller(node: Application, a: Range, b: Range) -> Range:
    return Range(min(a.low, b.low), min(a.high, b.high), a.finite and b.finite)


def cast(node: Application, x: Range) -> Range:
    """Of floats only those are sure that come from whole numbers, or are written: others may be rounded."""
    source = node.inputs[0]
    if node.types[0].dtype != "int" or source.type.dtype != "float":
        return x
    sure = source.op.name in ("const", "size", "cast") and abs(x.low) <= EXACT and abs(x.high) <= EXACT
    return Range(math.trunc(x.low), math.trunc(x.high)) if sure else INTEGERS


# --- places ---------------------------------------------------------------------------------------------------------


def count(axis: str) -> Range:
    """The places on an axis."""
    return Range(0, _steps(axis) - 1 if is_fixed(axis) else MOST_STEPS)


def number(axes: tuple[str, ...]) -> Range:
    """How many steps axes have together."""
    if not all(map(is_fixed, axes)):
        return Range(0, MOST_STEPS)
    steps = math.prod(map(_steps, axes))
    return Range(steps, steps)


def _steps(axis: str) -> int:
    """The size of an axis that is fixed."""
    none: dict[str, int] = {}
    return size_of(axis, none.__getitem__)


def entry(node: Application, x: Range) -> Range:
    """The places along the dimension of the first operand that is looked through."""
    return Range(0, node.inputs[0].type.shape[node.attrs.get("dim", -1)] - 1)


# --- ends -----------------------------------------------------------------------------------------------------------


def _between(low: float, high: float, finite: bool) -> Range:
    """Where the arithmetic of ends has no result, nothing is known."""
    return Range(-INF if math.isnan(low) else low, INF if math.isnan(high) else high, finite)


def _product(a: Range, b: Range) -> Range:
    ends = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(min(ends), max(ends), a.finite and b.finite)


def _times(x: float, y: float) -> float:
    return x * y if x and y else 0  # an end that is infinite stands for numbers without end


def _over(x: float) -> float:
    return 1.0 / x if abs(x) > 1e-300 else math.copysign(INF, x)


def _has_no_zero(x: Range) -> bool:
    return x.low > 0 or x.high < 0
