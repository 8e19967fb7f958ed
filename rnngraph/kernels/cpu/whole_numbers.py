"""Whole numbers in a chain, and quotients and remainders of floats that are rounded down, as NumPy has them."""

from __future__ import annotations

from rnngraph.kernels.cpu.vectors import Lanes

ARITHMETIC = {"add": "add", "sub": "sub", "mul": "mul"}
OF_INTS = {*ARITHMETIC, "neg", "abs", "sign", "maximum", "minimum", "mod", "floordiv"}


def mod(v: Lanes, a: str, b: str) -> str:
    """The remainder with the sign of b."""
    zero, rest = v.number(0.0), v.two("frem", a, b)
    moved = v.select(_other_sign(v, rest, b), v.two("fadd", rest, b), rest, v.floats)
    return v.select(v.compare("oeq", rest, zero), v.intrinsic("copysign", zero, b), moved, v.floats)


def _other_sign(v: Lanes, rest: str, b: str) -> str:
    """Whether a remainder that is not zero has another sign than b."""
    zero, bits = v.number(0.0), f"<{v.width} x i1>"
    other = v.to.let(f"xor {bits} {v.compare('olt', b, zero)}, {v.compare('olt', rest, zero)}")
    return v.to.let(f"and {bits} {other}, {v.compare('one', rest, zero)}")


def floordiv(v: Lanes, a: str, b: str) -> str:
    """The quotient rounded down, exact where `a - a mod b` is."""
    rest = v.two("frem", a, b)
    whole = v.two("fdiv", v.two("fsub", a, rest), b)
    whole = v.select(_other_sign(v, rest, b), v.two("fsub", whole, v.number(1.0)), whole, v.floats)
    down = v.intrinsic("floor", whole)
    up = v.two("fadd", down, v.number(1.0))
    near = v.select(v.compare("ogt", v.two("fsub", whole, down), v.number(0.5)), up, down, v.floats)
    plain = v.two("fdiv", a, b)
    zero = v.number(0.0)
    near = v.select(v.compare("oeq", whole, zero), v.intrinsic("copysign", zero, plain), near, v.floats)
    return v.select(v.compare("oeq", b, zero), plain, near, v.floats)


def of_ints(v: Lanes, op: str, x: list[str]) -> str:
    kind, let = v.type("int64"), v.to.let
    if op in ARITHMETIC:
        return let(f"{ARITHMETIC[op]} {kind} {x[0]}, {x[1]}")
    if op in ("maximum", "minimum"):
        return v.ints("smax" if op == "maximum" else "smin", *x)
    if op == "neg":
        return let(f"sub {kind} zeroinitializer, {x[0]}")
    if op == "abs":
        return v.ints("smax", x[0], let(f"sub {kind} zeroinitializer, {x[0]}"))
    if op == "sign":
        return v.ints("smin", v.ints("smax", x[0], "splat (i64 -1)"), "splat (i64 1)")
    return _divided(v, op, *x)


def _divided(v: Lanes, op: str, a: str, b: str) -> str:
    """`mod` and `floordiv` of ints: rounded down, and 0 where b is."""
    kind, bits, let = v.type("int64"), f"<{v.width} x i1>", v.to.let
    none, last = let(f"icmp eq {kind} {b}, zeroinitializer"), let(f"icmp eq {kind} {b}, splat (i64 -1)")
    safe = v.select(let(f"or {bits} {none}, {last}"), "splat (i64 1)", b, kind)  # the machine divides by neither
    quotient, rest = let(f"sdiv {kind} {a}, {safe}"), let(f"srem {kind} {a}, {safe}")
    other = let(f"icmp slt {kind} {let(f'xor {kind} {rest}, {safe}')}, zeroinitializer")
    inexact = let(f"and {bits} {other}, {let(f'icmp ne {kind} {rest}, zeroinitializer')}")
    if op == "mod":
        return v.select(inexact, let(f"add {kind} {rest}, {safe}"), rest, kind)
    found = v.select(inexact, let(f"sub {kind} {quotient}, splat (i64 1)"), quotient, kind)
    found = v.select(last, let(f"sub {kind} zeroinitializer, {a}"), found, kind)
    return v.select(none, "zeroinitializer", found, kind)
