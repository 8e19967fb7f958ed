"""What every block of a team computes for itself: single numbers of each row, such as the mean of a layer norm.

Each block has a copy near; one of them also writes the slot. So the blocks need not meet to learn a number that each
can compute from what all have read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from msgspec import Struct

from rnngraph.ir.types import BATCH
from rnngraph.kernels.kernel import AlongRow, Elementwise
from rnngraph.planning.program import Code, Group, Ref, Repeat, Slot

FOLDS = ("sum", "max_over")
"""What has one number for a row."""
BYTES = 8
"""Bytes of a number near, whatever its type."""


class Copies(Struct, frozen=True):
    """The groups that every block does, by identity; which operands are read near, as (group, number); and for each
    slot with a copy its place among those that a row has near."""

    groups: frozenset[int]
    reads: frozenset[tuple[int, int]]
    slots: Mapping[int, int]


NO_COPIES = Copies(frozenset(), frozenset(), {})


def copies_of(repeat: Repeat, slots: Sequence[Slot]) -> Copies:
    walk = _Walk(slots)
    walk.code(repeat.body)
    places = {slot: place for place, slot in enumerate(walk.made)}
    return Copies(frozenset(walk.groups), frozenset(walk.reads), places)


def _rows(group: Group, others: bool = False) -> object:
    """Which rows a group is for, or which it leaves out; "" for all."""
    return ((group.part == "live") != others, group.ins[-1].key) if group.part else ""


class _Walk:
    """Goes through the groups of a step in order. `there` tells what of a slot each block has near by then: at which
    step, and of which rows."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.groups, self.reads = set[int](), set[tuple[int, int]]()
        self.made: dict[int, None] = {}
        self.there: dict[int, tuple[object, object]] = {}

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
            before = self.there.pop(ref.slot, None)
            if small:
                rest = (self.place(ref), _rows(group, others=True))
                self.there[ref.slot] = self.place(ref), "" if before == rest else _rows(group)
                self.made[ref.slot] = None
        if small:
            self.groups.add(id(group))

    def near(self, group: Group) -> list[int]:
        """The operands that were written before in the same step, for these rows at least."""
        if not isinstance(group.kernel, Elementwise | AlongRow) or group.kernel.axes != (BATCH,):
            return []
        rows = ("", _rows(group))
        return [
            i for i, ref in enumerate(group.ins)
            if (found := self.there.get(ref.slot)) and found[0] == self.place(ref) and found[1] in rows
        ]  # fmt: skip

    def small(self, group: Group, near: Sequence[int]) -> bool:
        """Whether every block does it. What it writes nobody may read from afar meanwhile."""
        kernel, outs = group.kernel, [self.slots[ref.slot] for ref in group.outs]
        if kernel.axes != (BATCH,) or not all(prod(s.type.shape) == 1 and s.type.axes[-1:] == (BATCH,) for s in outs):
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
