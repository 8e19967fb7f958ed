"""The plan: one lifetime per slot, and one place per slot in an arena, an array that a program works in.

The prediction of memory is the allocation: an arena is an array of exactly the bytes that `Plan.arenas` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rnngraph.planning.arena import Piece, bound, placed
from rnngraph.planning.program import (
    AFTER,
    BEFORE,
    CATEGORIES,
    Code,
    Fork,
    Program,
    Repeat,
    moments_of,
    places,
    watched,
)

ALIGN = 64
"""Every slot starts at a multiple of this many bytes, so that kernels meet the same alignment in both modes."""

PLANNED = tuple(c for c in CATEGORIES if c != "parameters")
"""Parameters stay where the user has them; all else is placed."""

TOGETHER: Mapping[str, str] = dict.fromkeys(PLANNED, "all")
"""One arena for all categories: what is alive at different times shares its room."""

APART: Mapping[str, str] = {category: category for category in PLANNED}
"""An arena for each category: for programs that share those of others."""


class Plan(Struct, frozen=True):
    """For given sizes: the bytes of each slot, its place in its arena, the bytes of each arena, and whose they are.

    `homes` tells the arena of each category; `bytes` is by category, see `shares`.
    """

    sizes: Mapping[str, int]
    dtype: str
    slot_bytes: tuple[int, ...]
    offsets: tuple[int, ...]
    homes: Mapping[str, str]
    arenas: Mapping[str, int]
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def plan(
    program: Program, sizes: Mapping[str, int], dtype: str, homes: Mapping[str, str] = TOGETHER
) -> Plan:
    """Places every slot for the given axis sizes, each in the arena of its category."""
    lives, owners = lifetimes(program, sizes), program.categories
    slot_bytes = tuple(
        slot.bytes(sizes, dtype) if first >= 0 else 0 for slot, (first, _) in zip(program.slots, lives, strict=True)
    )
    offsets, arenas, found = [0] * len(program.slots), dict[str, int](), dict[str, int]()
    slots = [i for i, (first, _) in enumerate(lives) if first >= 0 and slot_bytes[i] and owners[i] in homes]
    for arena in dict.fromkeys(homes.values()):
        members = [i for i in slots if homes[owners[i]] == arena]
        pieces = [Piece(*lives[i], rounded(slot_bytes[i])) for i in members]
        placing = placed(pieces)
        for slot, start in zip(members, placing.starts, strict=True):
            offsets[slot] = start
        arenas[arena] = placing.height + ALIGN if placing.height else 0
        here = [category for category in homes if homes[category] == arena]
        found |= shares(pieces, [owners[i] for i in members], here, arenas[arena])
    found["parameters"] = sum(slot_bytes[i] for i in program.weights.values())
    return Plan(dict(sizes), dtype, slot_bytes, tuple(offsets), homes, arenas, {c: found[c] for c in CATEGORIES})


def shares(pieces: Sequence[Piece], owners: Sequence[str], categories: Sequence[str], arena: int) -> dict[str, int]:
    """Whose the bytes of an arena are: each category's are the most that it holds at once, the rest is the last's.

    Where categories take the same room in turn, it is counted once, for the first of them.
    """
    found, left = dict[str, int](), arena
    for category in categories[:-1]:
        most = bound([piece for piece, owner in zip(pieces, owners, strict=True) if owner == category])
        found[category] = min(left, most)
        left -= found[category]
    return {**found, categories[-1]: left}


def rounded(size: int) -> int:
    """The bytes that a slot takes in its arena."""
    return -(-size // ALIGN) * ALIGN


# --- lifetimes --------------------------------------------------------------------------------------------------


def lifetimes(program: Program, sizes: Mapping[str, int]) -> list[tuple[int, int]]:
    """First and last position of each slot in the order of the program; a slot used inside a loop that it does not
    belong to lives for the whole loop."""
    lives: list[tuple[int, int]] = [(-1, -1)] * len(program.slots)
    end = _mark(program, program.code, 0, lives)
    for fork in program.forked(sizes):
        _at_once(program, fork, lives)
    kept = {ref.slot for ref in program.outputs.values()}
    for slot in kept:
        lives[slot] = (max(lives[slot][0], 0), end)
    constants = (slot for _, slot in program.constants)
    for slot in (*program.inputs.values(), *program.weights.values(), *constants):
        lives[slot] = (0, end)
    return lives


def _mark(program: Program, code: Sequence[Code], position: int, lives: list[tuple[int, int]]) -> int:
    for item in code:
        if not isinstance(item, Repeat):
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
    for slot in {ref.slot for moment in moments_of((repeat,)) for ref in moment.refs} | set(watched((repeat,))):
        if program.slots[slot].level not in own:
            _extend(lives, slot, start, end)


def _at_once(program: Program, fork: Fork, lives: list[tuple[int, int]]) -> None:
    """What strands touch is alive all through a fork; what runs before them from its start on, what runs after them to
    its end. Only the first strand gives room on, as it would if it ran alone: to itself, as all others have theirs."""
    start = sum(map(places, program.code[: fork.first]))
    items = program.code[fork.first : fork.last]
    end = start + sum(map(places, items)) - 1
    for item, label in zip(items, fork.labels, strict=True):
        if label == 0:
            continue
        for slot in {ref.slot for moment in moments_of((item,)) for ref in moment.refs} | set(watched((item,))):
            first, last = lives[slot]
            _extend(lives, slot, first if label == AFTER else start, last if label == BEFORE else end)


def _inside(repeat: Repeat) -> set[int]:
    found = {repeat.loop}
    for item in repeat.body:
        if isinstance(item, Repeat):
            found |= _inside(item)
    return found


def _extend(lives: list[tuple[int, int]], slot: int, first: int, last: int) -> None:
    start, end = lives[slot]
    lives[slot] = (first if start < 0 or first < start else start, end if end > last else last)
