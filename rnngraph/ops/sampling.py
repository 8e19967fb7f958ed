"""Classes drawn by weight, all anew or all different, from a seed, a key, the step and the row alone.

Every row has a stream of its own, SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), whose state is a hash of these four. A number u picks the first class whose sum of weights, with those of
the classes before it, is above u times the sum of all.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import BATCH, Type, union
from rnngraph.ops.index import ramp
from rnngraph.ops.random import GOLDEN, keyed, mix
from rnngraph.ops.table import define, no_rule

MOST_DRAWS = 1_000_000
"""Draws for one row, after which classes that are all different are given up."""


def _draw_type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    _, step, weights = types
    axes = union((step, weights, Type((BATCH,), ())))
    if len(weights.shape) != 1 or weights.dtype != "float":
        raise ShapeError(f"draws by one weight for each class, not by {weights}")
    if weights.axes and weights.axes != axes:
        raise ShapeError("weights are the same for all, or each draw has its own")
    if attrs["unique"] and attrs["count"] > weights.shape[0]:
        raise ShapeError(f"there are {weights.shape[0]} classes, so no {attrs['count']} different ones")
    return (Type(axes, (attrs["count"] + 1,), "int"),)


def _scratch(attrs: Attrs, weights: Type, y: Type) -> dict[str, Type]:
    """By name. One block is as many draws for every row as there are classes to find."""
    axes, block = y.axes, (attrs["count"],)
    return {
        "sums": weights,
        "positive": Type(weights.axes, weights.shape, "bool"),
        "possible": Type(weights.axes, (), "int"),
        **{n: Type(axes, block, "int") for n in ("bits", "spare", "low", "high", "middle", "serial")},
        **{n: Type(axes, block) for n in ("target", "sum")},
        **{n: Type(axes, block, "bool") for n in ("right", "same")},
        **{n: Type(axes, (1,), "int") for n in ("state", "work", "first_sum")},
        **{n: Type(axes, (), "int") for n in ("first", "filled", "tries", "place", "old")},
        **{n: Type(axes, (), "bool") for n in ("open", "known")},
    }


def _draw(backend: Any, node: Node) -> Callable[..., None]:
    xp, attrs, (y,) = backend.xp, node.attrs, node.types
    step_type, weights_type = node.inputs[1].type, node.inputs[2].type
    names = tuple(_scratch(attrs, weights_type, y))
    key = int.from_bytes(sha256(attrs["key"].encode()).digest()[:8], "little")
    index = (*(slice(None) if axis in step_type.axes else None for axis in y.axes), None)

    def run(seed: Any, step: Any, weights: Any, out: Any, *scratch: Any) -> None:
        r = SimpleNamespace(**dict(zip(names, scratch, strict=True)))
        if not out.size:
            return
        _refuse_too_few(xp, node, weights, r)
        _states(xp, key, seed, step, index, r)
        xp.cumsum(weights, axis=-1, out=r.sums)
        r.first_sum.fill(0)
        if weights_type.axes:
            ramp(xp, r.first_sum.reshape(-1), weights.shape[-1])
        out.fill(-1)
        fill = _fill_different if attrs["unique"] else _fill
        fill(backend, node, out, r)

    return run


def _refuse_too_few(xp: Any, node: Node, weights: Any, r: SimpleNamespace) -> None:
    xp.greater_equal(weights, 0, r.positive)
    if not r.positive.all():
        raise _refused(node, "the weight of a class is negative or not a number")
    xp.greater(weights, 0, r.positive)
    xp.sum(r.positive, axis=-1, out=r.possible)
    least = int(r.possible.min())
    needed = node.attrs["count"] if node.attrs["unique"] else 1
    if least < needed:
        what = f"{needed} different classes are" if needed > 1 else "a class is"
        have = f"only {least} of {weights.shape[-1]} have" if least else "none has"
        raise _refused(node, f"{what} to be drawn, but {have} a weight above 0")


def _refused(node: Node, message: str) -> UserError:
    return UserError([Diagnostic("E538", message, node.origin.span)])


def _states(xp: Any, key: int, seed: Any, step: Any, index: tuple[Any, ...], r: SimpleNamespace) -> None:
    """The state of every row's stream; the same row of a larger batch has the same."""
    state, work = r.state.view(xp.uint64), r.work.view(xp.uint64)
    rows = state.shape[-2]
    ramp(xp, state.reshape(-1)[:rows], GOLDEN, GOLDEN)
    state[...] = state.reshape(-1)[:rows].reshape((rows, 1))
    keyed(xp, state, key, seed, step.view(xp.uint64)[index], work)
    for i in range(r.serial.shape[-1]):
        r.serial.view(xp.uint64)[..., i] = (i + 1) * GOLDEN % 2**64


def _block(backend: Any, r: SimpleNamespace) -> Any:
    """Into `low`: the next classes of every row."""
    xp = backend.xp
    bits, spare, state = r.bits.view(xp.uint64), r.spare.view(xp.uint64), r.state.view(xp.uint64)
    xp.add(r.serial.view(xp.uint64), state, bits)
    xp.add(state, xp.uint64(r.serial.shape[-1] * GOLDEN % 2**64), state)
    mix(xp, bits, spare)
    digits = 53 if r.target.dtype.itemsize == 8 else 24
    xp.right_shift(bits, xp.uint64(64 - digits), bits)
    xp.copyto(r.target, bits, casting="unsafe")
    xp.multiply(r.target, 2.0**-digits, r.target)
    _search(backend, 1 - 2.0 ** (1 - digits), r)
    return r.low


def _search(backend: Any, most: float, r: SimpleNamespace) -> None:
    """Into `low`: the first class whose sum is above the target, by halving."""
    xp, flat, classes = backend.xp, r.sums.reshape(-1), r.sums.shape[-1]
    xp.minimum(r.target, most, out=r.target)
    xp.add(r.first_sum, classes - 1, r.middle)
    backend.take_rows(flat, r.middle, r.sum)
    xp.multiply(r.target, r.sum, r.target)
    r.low.fill(0)
    r.high.fill(classes - 1)
    for _ in range(max(classes - 1, 0).bit_length()):
        xp.add(r.low, r.high, r.middle)
        xp.right_shift(r.middle, 1, r.middle)
        xp.add(r.middle, r.first_sum, r.spare)
        backend.take_rows(flat, r.spare, r.sum)
        xp.less_equal(r.sum, r.target, r.right)
        xp.copyto(r.high, r.middle, where=xp.logical_not(r.right, r.same))
        xp.add(r.middle, 1, r.middle)
        xp.minimum(r.middle, classes - 1, out=r.middle)
        xp.copyto(r.low, r.middle, where=r.right)


def _fill(backend: Any, node: Node, out: Any, r: SimpleNamespace) -> None:
    out[..., :-1] = _block(backend, r)
    out[..., -1] = node.attrs["count"]


def _fill_different(backend: Any, node: Node, out: Any, r: SimpleNamespace) -> None:
    """Draws until every row has found enough; a class that was found before counts as a try alone."""
    xp, count, flat = backend.xp, node.attrs["count"], out.reshape(-1)
    r.filled.fill(0)
    r.tries.fill(0)
    ramp(xp, r.first.reshape(-1), count + 1)
    for _ in range(-(-MOST_DRAWS // count)):
        classes = _block(backend, r)
        if _nothing_new(xp, classes, count, out, r):
            continue
        for i in range(count):
            _try(backend, classes[..., i], count, flat, out, r)
        xp.less(r.filled, count, r.open)
        if not r.open.any():
            out[..., -1] = r.tries
            return
    raise _refused(node, f"{MOST_DRAWS:,} draws did not find {count} different classes: too few of them are likely")


def _nothing_new(xp: Any, classes: Any, count: int, out: Any, r: SimpleNamespace) -> bool:
    """Whether every row that is still open has found the whole block before: then it only costs tries."""
    xp.less(r.filled, count, r.open)
    xp.logical_not(r.open, r.known)
    r.right[...] = r.known[..., None]
    for i in range(count):
        xp.equal(classes, out[..., i : i + 1], r.same)
        xp.logical_or(r.right, r.same, r.right)
    if not r.right.all():
        return False
    xp.multiply(r.open, count, r.old)
    xp.add(r.tries, r.old, r.tries)
    return True


def _try(backend: Any, found: Any, count: int, flat: Any, out: Any, r: SimpleNamespace) -> None:
    """One draw of every row that is still open; the last place of a row takes what is not needed."""
    xp = backend.xp
    xp.less(r.filled, count, r.open)
    xp.equal(out[..., :-1], found[..., None], r.same)
    xp.any(r.same, axis=-1, out=r.known)
    xp.add(r.tries, r.open, r.tries)
    xp.add(r.first, r.filled, r.place)
    backend.take_rows(flat, r.place, r.old)
    xp.logical_not(r.known, r.known)
    xp.copyto(r.old, found, where=r.known)
    flat[r.place] = r.old
    xp.logical_and(r.known, r.open, r.known)
    xp.add(r.filled, r.known, r.filled)


_SEED, _STEP = Type((), (), "int"), Type(("time",), (), "int")
define(
    "draw",
    _draw_type,
    kernel=_draw,
    vjp=no_rule,
    scratch=lambda attrs, types, results: tuple(_scratch(attrs, types[2], results[0]).values()),
    strided=False,
    examples=(
        ({"count": 2, "unique": True, "key": "a"}, (_SEED, _STEP, Type((), (5,)))),
        ({"count": 7, "unique": False, "key": "a"}, (_SEED, _SEED, Type((BATCH,), (5,)))),
    ),
)
"""The classes, and last how many draws it took. Attributes: `count`, `unique` (all different), `key`."""
