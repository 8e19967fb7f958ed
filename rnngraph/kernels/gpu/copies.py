"""What every block of a team computes for itself: a few numbers for each row, such as the mean of a layer norm.

Each block has a copy near; one of them also writes the slot. So the blocks need not meet to learn a number that each
can compute from what all have read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu.target import FOLDS
from rnngraph.kernels.kernel import AlongRow, Elementwise
from rnngraph.planning.program import Code, Group, Ref, Repeat, Slot

FEW = 4
"""Numbers of a row, at most, of which each block has a copy."""
BYTES = 8
"""Bytes of a number near, whatever its type."""


@dataclass(frozen=True)
class Copies:
    """The groups that every block does, by identity; which operands are read near, as (group, number); and for each
    slot with a copy the place of its numbers among those that a row has near."""

    groups: frozenset[int]
    reads: frozenset[tuple[int, int]]
    slots: Mapping[int, int]
    numbers: int
    """Numbers of a row near, in all."""


def copies_of(repeat: Repeat, slots: Sequence[Slot]) -> Copies:
    walk = _Walk(slots)
    walk.code(repeat.body)
    places, total = dict[int, int](), 0
    for slot in walk.made:
        places[slot] = total
        total += width(slots[slot])
    return Copies(frozenset(walk.groups), frozenset(walk.reads), places, total)


def width(slot: Slot) -> int:
    """Numbers of a row of a slot."""
    return prod(slot.type.shape)


class _Walk:
    """Goes through the groups of a step in order. `there` tells which rows of a slot each block has near by then."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.groups, self.reads = set[int](), set[tuple[int, int]]()
        self.made: dict[int, None] = {}
        self.there: dict[int, object] = {}

    def code(self, code: Sequence[Code]) -> None:
        for item in code:
            if isinstance(item, Repeat):
                self.there.clear()
                self.code(item.body)
                self.there.clear()
            else:
                assert isinstance(item, Group)
                self.group(item)

    def group(self, group: Group) -> None:
        near = self.near(group)
        self.reads.update((id(group), i) for i in near)
        small = self.small(group, near)
        for ref in group.outs:
            self.there.pop(ref.slot, None)
            if small:
                self.there[ref.slot] = self.place(ref)
                self.made[ref.slot] = None
        if small:
            self.groups.add(id(group))

    def near(self, group: Group) -> list[int]:
        """The operands that were written before in the same step."""
        if not isinstance(group.kernel, Elementwise | AlongRow) or group.kernel.axes != (BATCH,):
            return []
        return [i for i, ref in enumerate(group.ins) if self.there.get(ref.slot) == self.place(ref)]

    def small(self, group: Group, near: Sequence[int]) -> bool:
        """Whether every block does it. What it writes nobody may read from afar meanwhile."""
        kernel, outs = group.kernel, [self.slots[ref.slot] for ref in group.outs]
        if kernel.axes != (BATCH,) or not all(width(s) <= FEW and s.type.axes[-1:] == (BATCH,) for s in outs):
            return False
        written = {self.place(ref) for ref in group.outs}
        again = [i for i, ref in enumerate(group.ins) if self.place(ref) in written]
        if isinstance(kernel, AlongRow):
            return kernel.op in FOLDS and not again
        return isinstance(kernel, Elementwise) and kernel.chain.dims == (1,) and all(i in near for i in again)

    def place(self, ref: Ref) -> object:
        """Which rows of its slot a view shows."""
        slot = self.slots[ref.slot]
        return Ref(ref.slot, ref.index[: slot.ring + len(slot.type.axes)]).key
