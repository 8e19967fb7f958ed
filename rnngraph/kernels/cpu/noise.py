"""Random numbers in a chain: those of `ops/random.py`, to the bit."""

from __future__ import annotations

from rnngraph.kernels.chain import Noise, Operation
from rnngraph.kernels.cpu.llvm_text import Number
from rnngraph.kernels.cpu.vectors import Lanes
from rnngraph.ops.random import FIRST, GOLDEN, SECOND, SEED, STEP


def uniform(v: Lanes, operation: Operation, noise: Noise, x: list[str], entry: Number) -> str:
    """Numbers from 0 to 1 by seed, step and the entry of the row of the batch; `entry` is that of the first lane."""
    seed, step = x
    ladder = ", ".join(f"i64 {_signed((i + 1) * GOLDEN + noise.key)}" for i in range(v.width))
    first = v.spread(str(v.to.mul(entry, _signed(GOLDEN))), "int64")
    counter = _two(v, "add", _two(v, "add", first, f"<{ladder}>"), _times(v, seed, SEED))
    mixed = _mixed(v, _two(v, "add", _mixed(v, counter), _times(v, step, STEP)))
    bits = 53 if v.element == "double" else 24
    kept = _two(v, "lshr", mixed, f"splat (i64 {64 - bits})")
    if v.element == "float":
        kept = v.to.let(f"trunc {v.type('int64')} {kept} to {v.integers}")
    number = v.to.let(f"sitofp {v.integers} {kept} to {v.floats}")
    return v.two("fmul", number, v.number(2.0**-bits))


def _mixed(v: Lanes, x: str) -> str:
    """The finaliser of SplitMix64."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        x = _times(v, _two(v, "xor", x, _two(v, "lshr", x, f"splat (i64 {shift})")), factor)
    return _two(v, "xor", x, _two(v, "lshr", x, "splat (i64 31)"))


def _two(v: Lanes, op: str, a: str, b: str) -> str:
    return v.to.let(f"{op} {v.type('int64')} {a}, {b}")


def _times(v: Lanes, x: str, factor: int) -> str:
    return _two(v, "mul", x, f"splat (i64 {_signed(factor)})")


def _signed(bits: int) -> int:
    """64 bits as LLVM writes them."""
    bits %= 2**64
    return bits - 2**64 if bits >= 2**63 else bits
