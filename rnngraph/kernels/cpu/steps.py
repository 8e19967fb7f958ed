"""Which step of a sequence a step of another one is, where ops look along time."""

from __future__ import annotations

from rnngraph.kernels.cpu.llvm_text import Function, Number
from rnngraph.kernels.nests import Move


def source(to: Function, move: Move, t: Number, length: Number, size: Number) -> tuple[Number, str]:
    """The operand's step for step t of the result, and whether there is one (i1).

    `length` is the row's number of steps, that of all rows where they have none of their own; `size` that of the array.
    """
    if move.kind == "shift":
        step = to.sub(t, move.by)
        return step, _both(to, _holds(to, "sge", step, 0), _holds(to, "slt", step, size))
    if move.kind == "reverse":
        return to.sub(to.sub(size, 1), t), _holds(to, "slt", t, size)
    if move.kind == "reverse_within":
        inside = _holds(to, "slt", t, length)
        turned = to.sub(to.sub(length, 1), t)
        return to.let(f"select i1 {inside}, i64 {turned}, i64 {t}"), _holds(to, "slt", t, size)
    if move.kind in ("last", "last_within"):
        return to.sub(length, 1), _holds(to, "sgt", length, 0)
    if move.kind in ("place_last", "place_last_within"):
        return 0, _holds(to, "eq", t, to.sub(length, 1))
    if move.kind == "every":
        return to.mul(t, move.by), _holds(to, "slt", t, size)
    step = to.let(f"sdiv i64 {t}, {move.by}")
    return step, _holds(to, "eq", to.mul(step, move.by), t)


def _holds(to: Function, how: str, a: Number, b: Number) -> str:
    return to.let(f"icmp {how} i64 {a}, {b}")


def _both(to: Function, a: str, b: str) -> str:
    return to.let(f"and i1 {a}, {b}")
