"""Where the blocks of a loop must meet: before one reads what another has written, or writes what another reads.

Meetings are found by walking through three turns of every loop, with all accesses since the last one in hand.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu.cluster_shared_memory import Handovers
from rnngraph.kernels.gpu.ownership import Law, laws_of
from rnngraph.kernels.gpu.replication import Copies
from rnngraph.kernels.kernel import Product
from rnngraph.planning.program import (
    Code,
    Entry,
    Group,
    Parity,
    Ref,
    Repeat,
    Ring,
    Slot,
    Turn,
    groups_of,
)

Placed = tuple[str, int] | slice
"""An entry of an index with the places of all loops put in."""


class Access(Struct, frozen=True):
    """A view that is read or written, at one turn of all loops: of a slot in far memory, or of what is near."""

    slot: int
    memory: Literal["far", "copy", "handed over"]
    places: tuple[Placed, ...]
    law: Law
    writes: bool


class Meetings(Struct):
    """Before which groups, by identity, the blocks of a team meet, and before which others the threads of a block do.
    The number of a loop stands for the look at whether it is over."""

    blocks: set[Hashable] = field(default_factory=set)
    threads: set[Hashable] = field(default_factory=set)


def meetings(
    repeat: Repeat, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies, handovers: Handovers
) -> Meetings:
    """Where blocks and threads of a loop meet. `units` tells those of each group, by identity."""
    walk = _Walk(slots, units, copies, handovers)
    around = {e.loop for g in groups_of((repeat,)) for ref in g.refs for e in ref.index if isinstance(e, Turn | Ring)}
    walk.repeat(repeat, dict.fromkeys(around, (0, 0)))
    return walk.found


def threads_meet(group: Group) -> bool:
    """Whether the threads of every block meet at the end of a group: they do for each tile of rows that a product
    stages. Of a sum over rows a block may have no part, and of the rows of an axis there may be none."""
    return isinstance(group.kernel, Product) and group.kernel.axes == (BATCH,)


class _Walk:
    def __init__(
        self, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies, handovers: Handovers
    ) -> None:
        self.slots, self.units, self.copies, self.handovers = slots, units, copies, handovers
        self.found = Meetings()
        self.of_blocks: list[Access] = []
        self.of_threads: list[Access] = []

    def repeat(self, repeat: Repeat, at: Mapping[int, tuple[int, int]]) -> None:
        parts = (repeat.rest, repeat.body) if repeat.since is not None else (repeat.body, repeat.rest)
        for i, code in enumerate(parts):
            before = [*self.of_blocks], [*self.of_threads]
            for n in range(3 * i, 3 * i + 3):
                inside = {**at, repeat.loop: (-n if repeat.reverse else n, n)}
                self.code(code, inside)
                if repeat.until is not None and code is repeat.body:  # what `since` looks at is written before
                    looked_at = Access(repeat.until.slot, "far", _placed(repeat.until, inside), None, False)
                    self.visit(("look", repeat.loop), [looked_at])
            if code is repeat.rest or repeat.since is not None:
                self.passed_by(*before)

    def passed_by(self, of_blocks: Sequence[Access], of_threads: Sequence[Access]) -> None:
        """What was in hand before a part of a loop is in hand behind it, as no step may have come to that part."""
        self.of_blocks += [access for access in of_blocks if access not in self.of_blocks]
        self.of_threads += [access for access in of_threads if access not in self.of_threads]

    def code(self, code: Sequence[Code], at: Mapping[int, tuple[int, int]]) -> None:
        for item in code:
            if isinstance(item, Repeat):
                self.repeat(item, at)
            else:
                assert isinstance(item, Group)
                self.visit(id(item), list(self.accesses(item, at)))
                if threads_meet(item):
                    self.of_threads = []

    def accesses(self, group: Group, at: Mapping[int, tuple[int, int]]) -> Iterator[Access]:
        small = id(group) in self.copies.groups
        laws = laws_of(group, self.slots, self.units[id(group)])
        for i, (ref, law) in enumerate(zip((*group.ins, *group.outs), laws, strict=True)):
            writes = i >= len(group.ins)
            near, handed = ((id(group), i) in reads for reads in (self.copies.reads, self.handovers.reads))
            if near or (small and writes):
                yield Access(ref.slot, "copy", (), ("block", 0), writes)
            if small:
                law = ("first", 0) if writes else None
            if handed or (writes and (id(group), i - len(group.ins)) in self.handovers.sent):
                yield Access(ref.slot, "handed over", tuple(map(_in_turn, _placed(ref, at))), law, writes)
            if not near and not handed:
                yield Access(ref.slot, "far", _placed(ref, at), law, writes)

    def visit(self, key: Hashable, here: list[Access]) -> None:
        if key in self.found.blocks or _conflict(self.of_blocks, here, by_law=True):
            self.found.blocks.add(key)
            self.of_blocks, self.of_threads = [], []
        elif key in self.found.threads or _conflict(self.of_threads, here, by_law=False):
            self.found.threads.add(key)
            self.of_threads = []
        self.of_blocks += [access for access in here if access not in self.of_blocks]
        self.of_threads += [access for access in here if access not in self.of_threads]


def _placed(ref: Ref, at: Mapping[int, tuple[int, int]]) -> tuple[Placed, ...]:
    """The index of a view with the places of all loops put in."""
    return tuple(_place(entry, at) for entry in ref.index)


def _place(entry: Entry, at: Mapping[int, tuple[int, int]]) -> Placed:
    if isinstance(entry, slice):
        return entry
    if isinstance(entry, Turn):
        return f"turn {entry.loop}", at[entry.loop][0] + entry.offset
    if isinstance(entry, Ring):
        return "ring", (at[entry.loop][1] + entry.offset) % 2
    if isinstance(entry, Parity):
        return entry.axis, 0
    return "end" if entry < 0 else "begin", entry


def _in_turn(place: Placed) -> Placed:
    """Where the rows of a loop's steps lie near: in two places, in turn."""
    return ("ring", place[1] % 2) if isinstance(place, tuple) and place[0].startswith("turn") else place


def _conflict(before: Sequence[Access], now: Sequence[Access], by_law: bool) -> bool:
    return any(
        (a.slot, a.memory) == (b.slot, b.memory)
        and (a.writes or b.writes) and not (by_law and a.law is not None and a.law == b.law)
        and not any(_apart(x, y) for x, y in zip(a.places, b.places, strict=True))
        for a in before for b in now
    )  # fmt: skip


def _apart(a: Placed, b: Placed) -> bool:
    """Whether two indices of one dimension never meet."""
    if isinstance(a, slice) and isinstance(b, slice):
        ends = (a.start or 0, b.start or 0, a.stop, b.stop)
        if None in ends or min(e for e in ends if e is not None) < 0:
            return False
        return bool(a.stop <= (b.start or 0) or b.stop <= (a.start or 0))
    if isinstance(a, slice) or isinstance(b, slice):
        return False
    return a[0] == b[0] and a[1] != b[1]


