"""Random numbers that depend on (seed, key, step, row) alone: the same in both modes and after a resume.

A counter is mixed by the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
number generators"), twice; no state is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from rnngraph.ir import interval_arithmetic as ranges
from rnngraph.ir.graph import Attrs, Node
from rnngraph.ir.types import BATCH, Type, union
from rnngraph.ops.index import ramp
from rnngraph.ops.table import define, no_rule

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
STEP, SEED = 0xD1342543DE82EF95, 0xA0761D6478BD642F


def _infer(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    axes = union((*types, Type((BATCH,), ()))) if attrs.get("rows", True) else union(types)
    return (Type(axes, tuple(attrs["shape"])),)


def _scratch(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    (y,) = results
    counter = Type(y.axes, y.shape, "int")
    return counter, counter


def mix(xp: Any, x: Any, work: Any) -> None:
    for shift, factor in ((30, FIRST), (27, SECOND)):
        xp.right_shift(x, xp.uint64(shift), work)
        xp.bitwise_xor(x, work, x)
        xp.multiply(x, xp.uint64(factor), x)
    xp.right_shift(x, xp.uint64(31), work)
    xp.bitwise_xor(x, work, x)


def number_of(key: str) -> int:
    """The 64 bits that stand for a key."""
    return int.from_bytes(sha256(key.encode()).digest()[:8], "little")


def keyed(xp: Any, x: Any, key: int, seed: Any, step: Any, work: Any) -> None:
    """Mixes the key of a place, the seed and the step into counters of rows, in place."""
    xp.add(x, xp.uint64(key), x)
    xp.multiply(seed.view(xp.uint64), xp.uint64(SEED), work)
    xp.add(x, work, x)
    mix(xp, x, work)
    xp.multiply(step, xp.uint64(STEP), work)
    xp.add(x, work, x)
    mix(xp, x, work)


def _uniform(backend: Any, node: Node) -> Callable[..., None]:
    xp = backend.xp
    y, step_type = node.types[0], node.inputs[1].type
    lead = y.axes.index(BATCH) if node.attrs.get("rows", True) else len(y.axes)
    key = number_of(node.attrs["key"])
    index = tuple(slice(None) if axis in step_type.axes else None for axis in y.axes) + (None,) * len(y.shape)

    def run(seed: Any, step: Any, out: Any, x: Any, work: Any) -> None:
        x, work = x.view(xp.uint64), work.view(xp.uint64)
        first = x[(0,) * lead].reshape(-1) if x.size and lead else x.reshape(-1)
        ramp(xp, first, GOLDEN, GOLDEN)
        if x.size and lead:
            x[...] = x[(0,) * lead]
        keyed(xp, x, key, seed, step.view(xp.uint64)[index], work)
        bits = 53 if out.dtype.itemsize == 8 else 24
        xp.right_shift(x, xp.uint64(64 - bits), x)
        xp.copyto(out, x, casting="unsafe")
        xp.multiply(out, 2.0**-bits, out)

    return run


# With `rows` False there is no batch: the numbers are those of the first row, for all.
define(
    "uniform",
    _infer,
    kernel=_uniform,
    vjp=no_rule,
    scratch=_scratch,
    strided=False,
    range=ranges.within(0, 1),
    examples=(
        ({"shape": (3,), "key": "a"}, (Type((), (), "int"), Type((), (), "int"))),
        ({"shape": (3,), "key": "a"}, (Type((), (), "int"), Type(("time",), (), "int"))),
        ({"shape": (), "key": "a"}, (Type((), (), "int"), Type(("time", "batch"), (), "int"))),
        ({"shape": (2, 3), "key": "a", "rows": False}, (Type((), (), "int"), Type((), (), "int"))),
    ),
)
