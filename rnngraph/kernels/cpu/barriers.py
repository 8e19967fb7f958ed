"""Where threads meet: before one reads what others have written since they last met, or writes what others may still
use."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from rnngraph.ir.types import BATCH
from rnngraph.kernels.cpu.sharing import listed, parallel
from rnngraph.planning.program import Code, Group, Repeat, Slot

Item = Group | Repeat


class Share(NamedTuple):
    """Which thread of how many, and how it takes part: by rows of the batch, or by columns."""

    thread: int
    threads: int
    by_rows: bool
    masked: bool = False
    """Whether the program leaves rows out."""

    @property
    def dealt(self) -> bool:
        """Whether rows of the batch are dealt out one by one."""
        return self.masked and self.by_rows and self.threads > 1


ALONE = Share(0, 1, True)
"""One thread that does everything."""


Owner = Hashable
"""Those of one owner are shared out alike: what a thread reads of them it has written itself."""


def _owner(group: Group, share: Share) -> Owner:
    """The first thread, where it does all; of rows their axes, whether lists of them are taken in turn, or are dealt
    out; of all else the group itself."""
    kind, axes = parallel(group.kernel), group.kernel.axes
    if kind == "rows" and share.by_rows:
        return axes, bool(group.part) and axes != (BATCH,), share.dealt and listed(group.kernel)
    return "first" if kind == "one" else id(group)


def alike(code: Sequence[Code], share: Share) -> bool:
    """Whether each thread has the same rows in all groups."""
    groups = [item for item in code if isinstance(item, Group)]
    owners = {_owner(group, share) for group in groups}
    return share.by_rows and len(groups) == len(code) and len(owners) == 1 and "first" not in owners


def meetings(
    code: Sequence[Item], share: Share, room: Callable[[int], tuple[int, int]], slots: Sequence[Slot]
) -> list[bool]:
    """After which items all threads meet. In a loop the first follow the last, so that they are looked at twice.

    `room` tells where the array of a slot starts and ends.
    """
    found, since = [False] * len(code), _Since(room, slots)
    owners = ["" if isinstance(item, Repeat) else _owner(item, share) for item in code]
    for n in range(2 * len(code)):
        i = n % len(code)
        item, owner = code[i], owners[i]
        if since.used and (isinstance(item, Repeat) or since.waits(item, owner)):
            found[i - 1] = True
            since.clear()
        if n >= len(code) and found[i]:
            break
        if isinstance(item, Repeat):
            found[i] = True
        else:
            since.add(item, owner)
    return found


class _Since:
    """What threads have used since they last met: for each slot by whose parts.

    Two slots of one type at one address are no matter where a thread meets there its own rows alone, but for histories,
    of which views begin at the first step or the second. All else in here lies apart: what is read was alive since the
    threads met, and what is written was looked at.
    """

    LIMIT = 4000

    def __init__(self, room: Callable[[int], tuple[int, int]], slots: Sequence[Slot]) -> None:
        self.room, self.slots = room, slots
        self.used: dict[int, set[Owner]] = {}
        self.written: dict[int, set[Owner]] = {}
        self.starts: list[int] = []
        self.rooms: dict[int, int] = {}

    def clear(self) -> None:
        for kept in (self.used, self.written, self.starts, self.rooms):
            kept.clear()

    def add(self, group: Group, owner: Owner) -> None:
        for ref in group.refs:
            self.used.setdefault(ref.slot, set()).add(owner)
            start, end = self.room(ref.slot)
            if start < end and start not in self.rooms:
                insort(self.starts, start)
                self.rooms[start] = ref.slot
        for ref in group.outs:
            self.written.setdefault(ref.slot, set()).add(owner)

    def waits(self, group: Group, owner: Owner) -> bool:
        """Whether a group reads what others may still write, or writes what they may still use; or whether so much was
        used that it is better not to look."""
        own = {owner}
        return (
            len(self.used) > self.LIMIT
            or any(self.written.get(ref.slot, own) != own for ref in group.ins)
            or any(self.used.get(ref.slot, own) != own or self.meets(ref.slot, own) for ref in group.outs)
        )

    def meets(self, slot: int, own: set[Owner]) -> bool:
        """Whether another slot's array lies where this one's does. Looks at one room alone, the last that starts before
        this one ends: those before it end before it."""
        low, high = self.room(slot)
        i = bisect_left(self.starts, high) - 1
        if i < 0 or slot in self.used:
            return False
        other = self.rooms[self.starts[i]]
        start, end = self.room(other)
        one, two = self.slots[other], self.slots[slot]
        own_rows = start == low and one.type == two.type and one.grow is two.grow is None and self.used[other] == own
        return end > low and not own_rows
