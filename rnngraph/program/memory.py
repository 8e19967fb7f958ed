"""The plan: one lifetime per slot, one place per slot in the arena of its category.

The prediction of memory is the allocation: each category is one array of exactly `Plan.bytes[category]` bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnngraph.program.program import CATEGORIES, Code, Program, Repeat, Step, steps_of

ALIGN = 64
"""Every slot starts at a multiple of this many bytes, so that kernels meet the same alignment in both modes."""

PLANNED = tuple(c for c in CATEGORIES if c != "parameters")
"""Parameters stay where the user has them; all else is placed."""


@dataclass(frozen=True)
class Plan:
    """For given sizes: the bytes of each slot, its place in its category's arena, and the bytes of each arena."""

    sizes: Mapping[str, int]
    dtype: str
    slot_bytes: tuple[int, ...]
    offsets: tuple[int, ...]
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def plan(program: Program, sizes: Mapping[str, int], dtype: str) -> Plan:
    """Places every slot for the given axis sizes."""
    lives = lifetimes(program)
    slot_bytes = tuple(slot.bytes(sizes, dtype) for slot in program.slots)
    offsets = [0] * len(program.slots)
    totals = {}
    for category in PLANNED:
        members = [i for i, c in enumerate(program.categories) if c == category]
        total = _arranged(members, lives, slot_bytes, offsets)
        totals[category] = total + ALIGN if total else 0
    totals["parameters"] = sum(slot_bytes[i] for i in program.weights.values())
    return Plan(dict(sizes), dtype, slot_bytes, tuple(offsets), {c: totals[c] for c in CATEGORIES})


# --- lifetimes --------------------------------------------------------------------------------------------------


def lifetimes(program: Program) -> list[tuple[int, int]]:
    """First and last position of each slot in the order of the program; a slot used inside a loop that it does not
    belong to lives for the whole loop."""
    lives: list[tuple[int, int]] = [(-1, -1)] * len(program.slots)
    end = _mark(program, program.code, 0, lives, ())
    kept = {ref.slot for ref in program.outputs.values()}
    for slot in kept:
        lives[slot] = (max(lives[slot][0], 0), end)
    for slot in (*program.inputs.values(), *(slot for _, slot in program.constants)):
        lives[slot] = (0, end)
    return lives


def _mark(
    program: Program,
    code: Sequence[Code],
    position: int,
    lives: list[tuple[int, int]],
    loops: tuple[int, ...],
) -> int:
    for item in code:
        if isinstance(item, Step):
            for ref in item.refs:
                _extend(lives, ref.slot, position, position)
            position += 1
        else:
            start = position
            position = _mark(program, (*item.body, *item.rest), position, lives, (*loops, item.loop)) + 1
            _stretch(program, item, start, position - 1, lives)
    return position


def _stretch(program: Program, repeat: Repeat, start: int, end: int, lives: list[tuple[int, int]]) -> None:
    """What a loop touches and does not own is alive all through it."""
    own = _inside(repeat)
    for slot in {ref.slot for step in _steps(repeat) for ref in step.refs}:
        if program.slots[slot].level not in own:
            _extend(lives, slot, start, end)


def _inside(repeat: Repeat) -> set[int]:
    found = {repeat.loop}
    for item in repeat.body:
        if isinstance(item, Repeat):
            found |= _inside(item)
    return found


def _steps(repeat: Repeat) -> list[Step]:
    return list(steps_of((*repeat.body, *repeat.rest)))


def _extend(lives: list[tuple[int, int]], slot: int, first: int, last: int) -> None:
    start, end = lives[slot]
    lives[slot] = (first if start < 0 else min(start, first), max(end, last))


# --- the arena ---------------------------------------------------------------------------------------------------


def _arranged(
    members: Sequence[int], lives: Sequence[tuple[int, int]], sizes: Sequence[int], offsets: list[int]
) -> int:
    """Gives each member an offset so that slots alive together do not overlap; returns the bytes needed.

    One sweep over time: ended slots give their room back, each new one takes the smallest gap that holds it.
    """
    free = _Gaps()
    alive: list[tuple[int, int, int]] = []
    for slot in sorted((m for m in members if lives[m][0] >= 0), key=lambda m: (lives[m][0], -sizes[m])):
        start, end = lives[slot]
        while alive and alive[0][0] < start:
            _, offset, size = alive.pop(0)
            free.give(offset, size)
        size = -(-sizes[slot] // ALIGN) * ALIGN
        if size:
            offsets[slot] = free.take(size)
            insort(alive, (end, offsets[slot], size))
    return free.top


class _Gaps:
    """The free room of an arena that may still grow: gaps by offset, the top open."""

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        self.top = 0

    def take(self, size: int) -> int:
        fitting = [(length, at) for at, length in self.gaps if length >= size]
        if fitting:
            length, at = min(fitting)
            self.gaps.remove((at, length))
            if length > size:
                insort(self.gaps, (at + size, length - size))
            return at
        if self.gaps and sum(self.gaps[-1]) == self.top:
            at, _ = self.gaps.pop()
            self.top = at + size
            return at
        self.top += size
        return self.top - size

    def give(self, at: int, size: int) -> None:
        i = bisect_left(self.gaps, (at, 0))
        if i < len(self.gaps) and self.gaps[i][0] == at + size:
            size += self.gaps.pop(i)[1]
        if i and sum(self.gaps[i - 1]) == at:
            at, before = self.gaps.pop(i - 1)
            size += before
        insort(self.gaps, (at, size))
