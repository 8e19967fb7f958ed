"""Operators: on numbers known while compiling, and on values of the graph."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import DType
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.trace import Trace, common_kind, dtype_of
from rnngraph.language.elaboration.values import Item, Number, Numbers, is_number

LARGEST_NUMBER = 2**62

OPS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "and": "and",
    "or": "or",
}
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
LOGIC = {"and", "or"}

_FOLD: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def binary(trace: Trace, sign: str, left: Item, right: Item, at: Span, spans: tuple[Span, Span]) -> Item:
    """`left sign right`, for every operator but `@`; what is known while compiling stays so."""
    if isinstance(left, (bool, int, float)) and isinstance(right, (bool, int, float)):
        return fold(sign, left, right, at)
    if sign in LOGIC:
        return trace.call(OPS[sign], *(truth(trace, i, s) for i, s in zip((left, right), spans, strict=True)), at=at)
    if sign == "**" and is_number(right):
        assert isinstance(right, (bool, int, float))
        return power(trace, trace.lift(left, spans[0]), right, at)
    a, b = alike(trace, (left, right), spans, numbers=sign not in ("==", "!="))
    if sign in ("/", "**") and a.type.dtype == "int":
        a, b = trace.cast(a, "float", at), trace.cast(b, "float", at)
    return trace.call(OPS[sign], a, b, at=at)


def fold(sign: str, left: Number, right: Number, at: Span) -> Number:
    """Arithmetic while compiling, within bounds."""
    if sign in LOGIC:
        if not (isinstance(left, bool) and isinstance(right, bool)):
            raise Mistake("E202", f"`{sign}` combines two conditions, not numbers", at)
        return (left and right) if sign == "and" else (left or right)
    if sign not in COMPARISONS:
        left, right = counted_as(left), counted_as(right)
    try:
        result = _power(left, right) if sign == "**" else _FOLD[sign](left, right)
    except ZeroDivisionError:
        raise Mistake("E207", f"`{at.text}` divides by zero", at) from None
    except (OverflowError, ValueError):
        raise Mistake("E207", f"`{at.text}` is not a number that can be represented", at) from None
    return bounded(result, at)


def counted_as(number: Number) -> Number:
    """What stands for true and false in arithmetic."""
    return float(number) if isinstance(number, bool) else number


def bounded(result: Number, at: Span) -> Number:
    # Whole numbers first: one of a thousand digits is no float.
    fine = abs(result) <= LARGEST_NUMBER if isinstance(result, int) else math.isfinite(result)
    if not fine:
        raise Mistake("E207", f"`{at.text}` is too large", at)
    return result


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and exponent > 62:
            raise OverflowError
        return int(base**exponent)
    return math.pow(base, exponent)


def power(trace: Trace, base: Value, exponent: Number, at: Span) -> Value:
    """Squares, roots and reciprocals have ops of their own, which hold for negative bases too."""
    base = trace.cast(base, "float", at)
    if exponent == 2:
        return trace.call("square", base, at=at)
    if exponent == 0.5:
        return trace.call("sqrt", base, at=at)
    if exponent == -1:
        return trace.call("reciprocal", base, at=at)
    if exponent in (3, 4):
        square = trace.call("square", base, at=at)
        return trace.call("mul", square, base if exponent == 3 else square, at=at)
    return trace.call("pow", base, trace.const(float(exponent)), at=at)


def negative(trace: Trace, item: Item, at: Span, span: Span) -> Item:
    if isinstance(item, (bool, int, float)):
        return -counted_as(item)
    if isinstance(item, Numbers):
        return Numbers(tuple(-counted_as(i) for i in item.items))
    return trace.call("neg", number_value(trace, item, span), at=at)


def inverse(trace: Trace, item: Item, at: Span, span: Span) -> Item:
    """`not x`."""
    return not item if isinstance(item, bool) else trace.call("not", truth(trace, item, span), at=at)


def truth(trace: Trace, item: Item, at: Span) -> Value:
    value = trace.lift(item, at)
    if value.type.dtype != "bool":
        raise Mistake("E202", f"`{at.text}` is {value.type.dtype}, but a condition is needed here", at)
    return value


def number_value(trace: Trace, item: Item, at: Span) -> Value:
    """A value to calculate with: true and false count as 1.0 and 0.0."""
    value = trace.lift(item, at)
    return trace.cast(value, "float", at) if value.type.dtype == "bool" else value


def alike(
    trace: Trace,
    items: tuple[Item, ...],
    spans: tuple[Span, ...],
    numbers: bool = True,
) -> tuple[Value, ...]:
    """The items as values of one kind; truth beside truth counts as numbers if asked."""
    kinds = {kind for item in items for kind in _kinds(item)}
    common: DType = "float" if numbers and kinds == {"bool"} else common_kind(kinds)
    return tuple(trace.lift(item, span, common) for item, span in zip(items, spans, strict=True))


def _kinds(item: Item) -> set[DType]:
    if isinstance(item, Value):
        return {item.type.dtype}
    if isinstance(item, Numbers):
        return {dtype_of(i) for i in item.items}
    return {dtype_of(item)} if isinstance(item, (bool, int, float)) else set()


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes fit, by NumPy's rule, from the right."""
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b), strict=False))
