"""The plan: one lifetime per slot, and one place per slot in the arena, the one array that a program works in.

The prediction of memory is the allocation: the arena is an array of exactly `Plan.arena` bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnngraph.program.arena import Piece, bound, placed
from rnngraph.program.program import CATEGORIES, Code, Program, Repeat, Step, steps_of

ALIGN = 64
"""Every slot starts at a multiple of this many bytes, so that kernels meet the same alignment in both modes."""

@dataclass(frozen=True)
class Plan:
    """For given sizes: the bytes of each slot, its place in the arena, the bytes of the arena, and whose they are.

    `bytes` is by category, see `shares`. Parameters are not in the arena: they stay where the user has them.
    """

    sizes: Mapping[str, int]
    dtype: str
    slot_bytes: tuple[int, ...]
    offsets: tuple[int, ...]
    arena: int
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def plan(program: Program, sizes: Mapping[str, int], dtype: str) -> Plan:
    """Places every slot for the given axis sizes."""
    lives = lifetimes(program)
    slot_bytes = tuple(slot.bytes(sizes, dtype) for slot in program.slots)
    weights = set(program.weights.values())
    members = [i for i, (first, _) in enumerate(lives) if first >= 0 and slot_bytes[i] and i not in weights]
    pieces = [Piece(*lives[i], rounded(slot_bytes[i])) for i in members]
    found = placed(pieces)
    offsets = [0] * len(program.slots)
    for slot, start in zip(members, found.starts, strict=True):
        offsets[slot] = start
    arena = found.height + ALIGN if found.height else 0
    bytes = shares(pieces, [program.categories[i] for i in members], arena)
    bytes["parameters"] = sum(slot_bytes[i] for i in weights)
    return Plan(dict(sizes), dtype, slot_bytes, tuple(offsets), arena, bytes)


def shares(pieces: Sequence[Piece], categories: Sequence[str], arena: int) -> dict[str, int]:
    """Whose the bytes of an arena are: each category's are the most that it holds at once, the rest is workspace.

    Where categories take the same room in turn, it is counted once, for the first of them.
    """
    found, left = dict.fromkeys(CATEGORIES, 0), arena
    for kind in ("inputs", "outputs", "saved", "gradients"):
        found[kind] = min(left, bound([p for p, c in zip(pieces, categories, strict=True) if c == kind]))
        left -= found[kind]
    return {**found, "workspace": left}


def rounded(size: int) -> int:
    """The bytes that a slot takes in its arena."""
    return -(-size // ALIGN) * ALIGN


# --- lifetimes --------------------------------------------------------------------------------------------------


def lifetimes(program: Program) -> list[tuple[int, int]]:
    """First and last position of each slot in the order of the program; a slot used inside a loop that it does not
    belong to lives for the whole loop."""
    lives: list[tuple[int, int]] = [(-1, -1)] * len(program.slots)
    end = _mark(program, program.code, 0, lives)
    kept = {ref.slot for ref in program.outputs.values()}
    for slot in kept:
        lives[slot] = (max(lives[slot][0], 0), end)
    constants = (slot for _, slot in program.constants)
    for slot in (*program.inputs.values(), *program.weights.values(), *constants):
        lives[slot] = (0, end)
    return lives


def _mark(program: Program, code: Sequence[Code], position: int, lives: list[tuple[int, int]]) -> int:
    for item in code:
        if isinstance(item, Step):
            for ref in item.refs:
                _extend(lives, ref.slot, position, position)
            position += 1
        else:
            start = position
            position = _mark(program, (*item.body, *item.rest), position, lives) + 1
            _stretch(program, item, start, position - 1, lives)
    return position


def _stretch(program: Program, repeat: Repeat, start: int, end: int, lives: list[tuple[int, int]]) -> None:
    """What a loop touches and does not own is alive all through it."""
    own = _inside(repeat)
    for slot in {ref.slot for step in steps_of((repeat,)) for ref in step.refs}:
        if program.slots[slot].level not in own:
            _extend(lives, slot, start, end)


def _inside(repeat: Repeat) -> set[int]:
    found = {repeat.loop}
    for item in repeat.body:
        if isinstance(item, Repeat):
            found |= _inside(item)
    return found


def _extend(lives: list[tuple[int, int]], slot: int, first: int, last: int) -> None:
    start, end = lives[slot]
    lives[slot] = (first if start < 0 or first < start else start, end if end > last else last)
