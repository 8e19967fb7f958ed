"""What the blocks of a cluster hand over in shared memory.

A block stores what others read of it into the near memory of each of them, where the rows of a slot have room: two for
each row of the batch, in turn, where each step has its own. So one meeting is enough, and once they have met a block
finds near what it reads. The slot in far memory is written as ever: others read it after the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Literal

from msgspec import Struct, field

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu.ownership import first_of, laws_of
from rnngraph.kernels.gpu.replication import Copies
from rnngraph.kernels.kernel import AlongRow, Elementwise, Product
from rnngraph.planning.program import ALL, Code, Group, Ref, Repeat, Ring, Slot, Turn, groups_of

Region = tuple[tuple[int, int], ...]
"""Which entries of a row a view has: in each dimension from where to where."""

Rows = Literal["far", "near", "in place"]
"""Where a product finds its rows: in far memory, near, or near so that it can take them as they lie, by fours."""


class Handovers(Struct, frozen=True):
    """The operands that are read near and the results that are sent, as (group by identity, number)."""

    reads: frozenset[tuple[int, int]] = frozenset()
    sent: frozenset[tuple[int, int]] = frozenset()
    places: Mapping[int, int] = field(default_factory=dict)
    """Of each slot where it begins among the numbers that a row of the batch has near."""
    states: tuple[tuple[Ref, int], ...] = ()
    """What the first step finds there, and how many steps behind that is."""
    near: int = 0
    """Numbers that a row of the batch has near."""
    moved: int = 0
    """Numbers of a row that are sent to each block at a step."""
    rows: Mapping[int, Rows] = field(default_factory=dict)
    """How products, by identity, find their rows where these are handed over."""


def handovers_of(repeat: Repeat, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies) -> Handovers:
    """What can be handed over in a loop. `units` tells those of each group, by identity."""
    loop = _Loop(repeat, slots, units, copies)
    found = [handed for slot in sorted(loop.written) if (handed := loop.handed(slot))]
    reads, sent = ([use for handed in found for use in handed[i]] for i in (0, 1))
    places, at = dict[int, int](), 0
    for use in sent:
        if use.ref.slot not in places:
            places[use.ref.slot] = at
            at += -(-(1 if moving(use.ref) is None else 2) * prod(slots[use.ref.slot].type.shape) // 4) * 4
    return Handovers(
        frozenset((id(use.group), use.number) for use in reads),
        frozenset((id(use.group), use.number) for use in sent),
        places,
        tuple({use.ref.key: (use.ref, use.lag) for use in reads if loop.first(use)}.values()),
        at,
        sum(_volume(region) for _, region in {(use.ref.slot, use.region) for use in sent}),
        {id(u.group): _rows(u, slots[u.ref.slot]) for u in reads if isinstance(u.group.kernel, Product)},
    )


def _rows(read: _Use, slot: Slot) -> Rows:
    """A slot begins at a place that is a multiple of four."""
    kernel = read.group.kernel
    return "near" if any(n % 4 for n in (first_of(read.ref, slot), kernel.lda, kernel.terms)) else "in place"


def moving(ref: Ref) -> Turn | Ring | None:
    """The place in a view that is another at each step."""
    return next((entry for entry in ref.index if isinstance(entry, Turn | Ring)), None)


class _Use(Struct, frozen=True):
    """A view that a group reads or writes: which of its operands or results it is, which entries it has, and when."""

    group: Group
    number: int
    ref: Ref
    region: Region
    time: int
    own: bool
    """Whether each block has to do with its own units alone."""
    fits: bool
    """Whether it could be near."""
    lag: int
    """How many steps it is behind."""

    @property
    def rows(self) -> tuple[str, object]:
        """The part of the rows that it is for, and the mask that tells it."""
        return self.group.part, self.group.ins[-1].key if self.group.part else None


class _Loop:
    """What the groups of a loop read and write; those of a loop in it read and write far memory alone."""

    def __init__(self, repeat: Repeat, slots: Sequence[Slot], units: Mapping[int, int], copies: Copies) -> None:
        self.repeat, self.slots, self.units, self.copies = repeat, slots, units, copies
        self.reads, self.writes = self.uses(repeat.body, repeat.lags)
        self.rest = self.uses(repeat.rest)[1]
        self.written = {use.ref.slot for use in self.writes}
        own = {id(item) for item in (*repeat.body, *repeat.rest)}
        self.inside = {ref.slot for g in groups_of((repeat,)) if id(g) not in own for ref in g.outs}

    def uses(self, code: Sequence[Code], lags: Sequence[int] = ()) -> tuple[list[_Use], list[_Use]]:
        timed = enumerate(zip(lags or (0,) * len(code), code, strict=True))
        groups = [(time, lag, item) for time, (lag, item) in timed if isinstance(item, Group)]
        reads = [use for told in groups for use in self.of_group(*told, 0, told[2].operands)]
        return reads, [use for told in groups for use in self.of_group(*told, len(told[2].ins), told[2].outs)]

    def of_group(self, time: int, lag: int, group: Group, first: int, refs: Sequence[Ref]) -> Iterator[_Use]:
        laws, own = laws_of(group, self.slots, self.units[id(group)]), ("unit", self.units[id(group)])
        for number, ref in enumerate(refs):
            slot, law = self.slots[ref.slot], laws[first + number]
            alike = _stride(group, number, bool(first)) == prod(slot.type.shape) and self.by_rows(ref, slot)
            small = id(group) in self.copies.groups
            free = (law == own and not small) if first else (id(group), number) not in self.copies.reads
            yield _Use(group, number, ref, _region(ref, slot), time, law == own and not small, alike and free, lag)

    def by_rows(self, ref: Ref, slot: Slot) -> bool:
        """Whether a view has numbers of every row of the batch, those of one step where steps have their own."""
        places = ref.index[: slot.ring + len(slot.type.axes)]
        steps = [e for e in places if isinstance(e, Turn | Ring) and e.loop == self.repeat.loop]
        batch = slot.type.axes[-1:] == (BATCH,) and places[-1] == ALL
        return slot.type.dtype == "float" and batch and len(places) == len(steps) + 1 <= 2

    def handed(self, slot: int) -> tuple[list[_Use], list[_Use]] | None:
        """The reads and the writes of a slot that are near; None where nothing of it is handed over."""
        writes = [use for use in (*self.writes, *self.rest) if use.ref.slot == slot]
        if slot in self.inside or not all(w.fits for w in writes) or len({moving(w.ref) for w in writes}) > 1:
            return None
        reads = [use for use in self.reads if use.ref.slot == slot and use.fits and self.there(use)]
        sent = [w for w in writes if any(_volume(_common(w.region, r.region)) for r in reads)]
        return (reads, sent) if not all(use.own for use in reads) else None

    def there(self, read: _Use) -> bool:
        """Whether all that is read has been sent in the same step, or in the one before."""
        return self.fresh(read) or self.carried(read)

    def fresh(self, read: _Use) -> bool:
        before = [use for use in self.of_slot(self.writes, read) if use.time < read.time]
        return bool(before) and self.steps_ago(read, before[0]) == 0 and _covered(read, before, of_rows=True)

    def carried(self, read: _Use) -> bool:
        """Whether it was sent in the step before, or is there before the first."""
        writes, rest = self.of_slot(self.writes, read), self.of_slot(self.rest, read)
        moves = moving(read.ref) is not None
        late = moves or all(use.time >= read.time for use in writes)
        ago = {self.steps_ago(read, use) for use in (*writes, *rest)}
        left_out = not self.repeat.rest or _covered(read, rest)
        return late and ago == {int(moves)} and _covered(read, writes) and left_out

    def first(self, read: _Use) -> bool:
        """Whether it is there before the first step: what another layer has made is not."""
        return self.carried(read) and any(use.lag == read.lag for use in self.of_slot(self.writes, read))

    def of_slot(self, uses: Sequence[_Use], read: _Use) -> list[_Use]:
        return [use for use in uses if use.ref.slot == read.ref.slot]

    def steps_ago(self, read: _Use, write: _Use) -> int | None:
        """How many steps before this one that was written which a view shows, by its place on the axis alone."""
        r, w = moving(read.ref), moving(write.ref)
        if isinstance(r, Turn) and isinstance(w, Turn):
            return r.offset - w.offset if self.repeat.reverse else w.offset - r.offset
        if isinstance(r, Ring) and isinstance(w, Ring):
            return (w.offset - r.offset) % 2
        return 0 if r is None and w is None else None


def _stride(group: Group, number: int, writes: bool) -> int | None:
    """Entries from one row of the batch to the next; None for what cannot be near."""
    kernel = group.kernel
    if kernel.axes != (BATCH,):
        return None
    if isinstance(kernel, Elementwise):
        operand = kernel.chain.stores[number][1] if writes else kernel.chain.loads[number]
        alone = operand.table or operand.summed or operand.rows not in ("each", "inner")
        return None if alone else operand.row
    if isinstance(kernel, Product) and kernel.each == 1:
        return kernel.ldc if writes else kernel.lda if number == 0 else None
    return kernel.row if isinstance(kernel, AlongRow) and not writes else None


def _region(ref: Ref, slot: Slot) -> Region:
    entries = ref.index[slot.ring + len(slot.type.axes) :]
    return tuple(
        (entry.start or 0, size if entry.stop is None else entry.stop) if isinstance(entry, slice)
        else (entry % size, entry % size + 1) if isinstance(entry, int) else (0, 0)
        for entry, size in zip(entries, slot.type.shape, strict=True)
    )  # fmt: skip


def _common(a: Region, b: Region) -> Region:
    return tuple((max(x[0], y[0]), max(x[0], y[0], min(x[1], y[1]))) for x, y in zip(a, b, strict=True))


def _volume(region: Region) -> int:
    return prod(end - first for first, end in region)


def _covered(read: _Use, writes: Sequence[_Use], of_rows: bool = False) -> bool:
    """Whether all that is read is among what is written: for all rows, or, `of_rows`, for those of the reader."""
    rows = dict[Region, set[tuple[str, object]]]()
    for use in writes:
        rows.setdefault(use.region, set()).add(use.rows)
    whole = [
        region for region, parts in rows.items()
        if ("", None) in parts or (of_rows and read.rows in parts)
        or any(part == "live" and ("past", mask) in parts for part, mask in parts)
    ]  # fmt: skip
    apart = not any(_volume(_common(a, b)) for a, b in combinations(whole, 2))
    return apart and sum(_volume(_common(read.region, region)) for region in whole) == _volume(read.region)
