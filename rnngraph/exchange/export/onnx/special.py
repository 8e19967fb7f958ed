"""Functions for which onnxruntime has no operator, or none for doubles."""

from __future__ import annotations

from rnngraph.exchange.export.onnx.rules import operands
from rnngraph.exchange.export.onnx.scope import Rule, Scope
from rnngraph.ir.graph import Node
from rnngraph.ops import error_function as ef


def _polynomial(s: Scope, coefficients: ef.Coefficients, x: str) -> str:
    total = s.number(coefficients[-1])
    for c in coefficients[-2::-1]:
        total = s.emit("Add", s.emit("Mul", total, x), s.number(c))
    return total


def _quotient(s: Scope, parts: ef.Quotient, x: str) -> str:
    return str(s.emit("Div", _polynomial(s, parts[0], x), _polynomial(s, parts[1], x)))


def _erf(s: Scope, node: Node, x: str) -> str:
    """Of doubles as it is computed here."""
    if s.whole.dtype == "float32":
        return str(s.emit("Erf", x))
    low, high, end = (s.number(n) for n in (-ef.EDGE, ef.EDGE, ef.END))
    size, near = s.emit("Abs", x), s.emit("Min", s.emit("Max", x, low), high)
    close = s.emit("Add", near, s.emit("Mul", near, _quotient(s, ef.NEAR, s.emit("Mul", near, near))))
    far = s.emit("Min", s.emit("Max", size, high), end)
    rest = s.emit("Mul", s.emit("Exp", s.emit("Neg", s.emit("Mul", far, far))), _quotient(s, ef.FAR, far))
    signed = s.emit("Mul", s.emit("Sign", x), s.emit("Sub", high, rest))
    return str(s.emit("Where", s.emit("LessOrEqual", size, high), close, signed))


def _atan2(s: Scope, node: Node, *names: str) -> str:
    """By the arctangent of floats, and for doubles one step of Newton's from there."""
    y, x = operands(s, node, names)
    zero, one = s.number(0), s.number(1)
    size = s.emit("Max", s.emit("Abs", y), s.emit("Abs", x))
    size = s.emit("Where", s.emit("Equal", size, zero), one, size)
    up, across = s.emit("Div", y, size), s.emit("Div", x, size)
    angle = s.emit("Atan", _narrow(s, s.emit("Div", s.emit("Abs", up), s.emit("Abs", across))))
    angle = s.emit("Cast", angle, to=s.whole.element("float"))
    angle = s.emit("Where", s.emit("Equal", up, zero), zero, angle)  # 0 / 0, too
    angle = s.emit("Where", _is_negative(s, x), s.emit("Sub", s.number(3.141592653589793), angle), angle)
    angle = s.emit("Where", _is_negative(s, y), s.emit("Neg", angle), angle)
    if s.whole.dtype == "float32":
        return str(angle)
    sine, cosine = s.emit("Sin", angle), s.emit("Cos", angle)
    off = s.emit("Sub", s.emit("Mul", up, cosine), s.emit("Mul", across, sine))
    along = s.emit("Add", s.emit("Mul", across, cosine), s.emit("Mul", up, sine))
    nowhere = s.emit("Equal", along, zero)
    return str(s.emit("Add", angle, s.emit("Div", off, s.emit("Where", nowhere, one, along))))


def _narrow(s: Scope, x: str) -> str:
    return x if s.whole.dtype == "float32" else str(s.emit("Cast", x, to=1))


def _is_negative(s: Scope, x: str) -> str:
    """Of the two zeros, that which is negative too."""
    zero = s.number(0)
    return str(s.emit("Or", s.emit("Less", x, zero), s.emit("Less", s.emit("Reciprocal", x), zero)))


def _argsort(s: Scope, node: Node, x: str) -> str:
    size, falling = node.inputs[0].type.shape[-1], int(node.attrs["falling"])
    if node.inputs[0].type.dtype == "bool":
        x = s.emit("Cast", x, to=s.whole.element("int"))
    _, places = s.emit("TopK", x, s.ints(size), results=2, axis=-1, largest=falling, sorted=1)
    return str(places)


RULES: dict[str, Rule] = {"erf": _erf, "atan2": _atan2, "argsort": _argsort}
