"""Which block of a team writes what, and where the blocks of a loop must meet.

The blocks of a team have the same rows of the batch and share out the units: of a vector of n * units entries a block
owns those whose place modulo `units` is among its own. What a block alone has written it can read without meeting the
others. Meetings are found by walking through three turns of every loop, with all accesses since the last one in hand.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain, Operand
from rnngraph.kernels.gpu.copies import Copies
from rnngraph.kernels.kernel import AlongRow, ColumnSums, Elementwise, Product, Sums
from rnngraph.kernels.layouts import dense
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

Law = tuple[str, int] | None
"""How the entries of a row belong to blocks: by unit, among so many; whole rows one by one; None: in no such way."""


@dataclass(frozen=True)
class Access:
    """A view that is read or written, at one turn of all loops; a slot below 0 is a block's copy of one."""

    slot: int
    places: tuple[tuple[str, int] | slice, ...]
    law: Law
    writes: bool


@dataclass
class Meetings:
    """Before which groups, by identity, the blocks of a team meet, and before which others the threads of a block do.
    The number of a loop stands for the look at whether it is over."""

    blocks: set[Hashable] = field(default_factory=set)
    threads: set[Hashable] = field(default_factory=set)


def meetings(repeat: Repeat, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies) -> Meetings:
    """Where blocks and threads of a loop meet. `units` tells those of each group, by identity."""
    walk = _Walk(slots, units, copies)
    around = {e.loop for g in groups_of((repeat,)) for ref in g.refs for e in ref.index if isinstance(e, Turn | Ring)}
    walk.repeat(repeat, dict.fromkeys(around, (0, 0)))
    return walk.found


class _Walk:
    def __init__(self, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies) -> None:
        self.slots, self.units, self.copies, self.found = slots, units, copies, Meetings()
        self.of_blocks: list[Access] = []
        self.of_threads: list[Access] = []

    def repeat(self, repeat: Repeat, at: Mapping[int, tuple[int, int]]) -> None:
        run, left_out = [repeat.body] * 3, [repeat.rest] * 3
        for n, code in enumerate((*left_out, *run) if repeat.since is not None else (*run, *left_out)):
            inside = {**at, repeat.loop: (-n if repeat.reverse else n, n)}
            self.code(code, inside)
            if repeat.until is not None and code is repeat.body:  # what `since` looks at is written before
                looked_at = Access(repeat.until.slot, _placed(repeat.until, inside), None, False)
                self.visit(("look", repeat.loop), [looked_at])

    def code(self, code: Sequence[Code], at: Mapping[int, tuple[int, int]]) -> None:
        for item in code:
            if isinstance(item, Repeat):
                self.repeat(item, at)
            else:
                assert isinstance(item, Group)
                self.visit(id(item), list(self.accesses(item, at)))
                if isinstance(item.kernel, Product | Sums):
                    self.of_threads = []  # the threads of a block meet at their ends

    def accesses(self, group: Group, at: Mapping[int, tuple[int, int]]) -> Iterator[Access]:
        small = id(group) in self.copies.groups
        laws = _laws(group, self.slots, self.units[id(group)])
        for i, (ref, law) in enumerate(zip((*group.ins, *group.outs), laws, strict=True)):
            writes = i >= len(group.ins)
            near = (id(group), i) in self.copies.reads
            if near or (small and writes):
                yield Access(-1 - ref.slot, (), ("block", 0), writes)
            if small:
                law = ("first", 0) if writes else None
            if not near:
                yield Access(ref.slot, _placed(ref, at), law, writes)

    def visit(self, key: Hashable, here: list[Access]) -> None:
        if key in self.found.blocks or _conflict(self.of_blocks, here, by_law=True):
            self.found.blocks.add(key)
            self.of_blocks, self.of_threads = [], []
        elif key in self.found.threads or _conflict(self.of_threads, here, by_law=False):
            self.found.threads.add(key)
            self.of_threads = []
        self.of_blocks += [access for access in here if access not in self.of_blocks]
        self.of_threads += [access for access in here if access not in self.of_threads]


def _placed(ref: Ref, at: Mapping[int, tuple[int, int]]) -> tuple[tuple[str, int] | slice, ...]:
    """The index of a view with the places of all loops put in."""
    return tuple(_place(entry, at) for entry in ref.index)


def _place(entry: Entry, at: Mapping[int, tuple[int, int]]) -> tuple[str, int] | slice:
    if isinstance(entry, slice):
        return entry
    if isinstance(entry, Turn):
        return f"turn {entry.loop}", at[entry.loop][0] + entry.offset
    if isinstance(entry, Ring):
        return "ring", (at[entry.loop][1] + entry.offset) % 2
    if isinstance(entry, Parity):
        return entry.axis, 0
    return "end" if entry < 0 else "begin", entry


def _conflict(before: Sequence[Access], now: Sequence[Access], by_law: bool) -> bool:
    return any(
        a.slot == b.slot and (a.writes or b.writes) and not (by_law and a.law is not None and a.law == b.law)
        and not any(_apart(x, y) for x, y in zip(a.places, b.places, strict=True))
        for a in before for b in now
    )  # fmt: skip


def _apart(a: tuple[str, int] | slice, b: tuple[str, int] | slice) -> bool:
    """Whether two indices of one dimension never meet."""
    if isinstance(a, slice) and isinstance(b, slice):
        ends = (a.start or 0, b.start or 0, a.stop, b.stop)
        if None in ends or min(e for e in ends if e is not None) < 0:
            return False
        return bool(a.stop <= (b.start or 0) or b.stop <= (a.start or 0))
    if isinstance(a, slice) or isinstance(b, slice):
        return False
    return a[0] == b[0] and a[1] != b[1]


# --- who owns what ----------------------------------------------------------------------------------------------


def _laws(group: Group, slots: Sequence[Slot], units: int) -> list[Law]:
    """For each view that a group reads, then for each that it writes."""
    kernel = group.kernel
    own: Law = ("unit", units)
    masks: list[Law] = [None] if group.part else []
    if kernel.axes[-1:] != (BATCH,):
        return [None] * (len(group.ins) + len(group.outs))
    if isinstance(kernel, Elementwise):
        operands = [*kernel.chain.loads, *(o for _, o in kernel.chain.stores)]
        refs = [*group.operands, *group.outs]
        laws: list[Law] = [
            own if _by_unit(kernel.chain, operand, _first(ref, slots[ref.slot]), units) else None
            for operand, ref in zip(operands, refs, strict=True)
        ]
        loads = len(kernel.chain.loads)
        return [*laws[:loads], *masks, *laws[loads:]]
    if isinstance(kernel, Product):
        beside = [_own(group.operands[2], slots, units)] if kernel.ldd else [None] * (kernel.ldd is not None)
        return [None, None, *beside, *masks, _own(group.outs[0], slots, units)]
    if isinstance(kernel, ColumnSums):
        return [_own(group.operands[0], slots, units), *masks, _own(group.outs[0], slots, units)]
    if isinstance(kernel, AlongRow):
        rows: Law = (f"rows of {' '.join(kernel.axes)} by {kernel.lines}", 0)
        return [rows, *masks, rows]
    return [None] * (len(group.ins) + len(group.outs))


def _own(ref: Ref, slots: Sequence[Slot], units: int) -> Law:
    return ("unit", units) if _first(ref, slots[ref.slot]) % units == 0 else None


def _first(ref: Ref, slot: Slot) -> int:
    """The place of a view's first entry in a row of its slot."""
    entries = ref.index[slot.ring + len(slot.type.axes) :]
    total = 0
    for entry, size, stride in zip(entries, slot.type.shape, dense(slot.type.shape), strict=True):
        start = entry.start or 0 if isinstance(entry, slice) else entry
        assert isinstance(start, int)  # loops walk along axes alone
        total += (start % size if start else 0) * stride
    return total


def _by_unit(chain: Chain, operand: Operand, first: int, units: int) -> bool:
    """Whether each entry lies, in its row, at its own place modulo the number of units."""
    if operand.table or operand.rows not in ("each", "inner"):
        return False
    after = [prod(chain.dims[i + 1 :]) for i in range(len(chain.dims))]
    steps = zip(chain.dims, operand.strides, after, strict=True)
    return first % units == 0 and all(size == 1 or (stride - own) % units == 0 for size, stride, own in steps)
