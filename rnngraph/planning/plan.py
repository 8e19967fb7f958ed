"""The plan: one lifetime per slot, and one place per slot in an arena, an array that a program works in.

The prediction of memory is the allocation: an arena is an array of exactly the bytes that `Plan.arenas` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rnngraph.planning.arena import Piece, bound, placed
from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.program import CATEGORIES, Program

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
