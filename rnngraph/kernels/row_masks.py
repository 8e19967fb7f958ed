"""Which mask says what rows a group of a program is for: see `padding`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from rnngraph.ir.types import BATCH
from rnngraph.kernels.kernel import AlongRow, Elementwise, Product, Sums, one_row_each
from rnngraph.planning.program import ALL, Code, Group, Program, Ref, Repeat, Slot, Step, Turn, moments_of, watched

Moment = Step | Group


class StepsOfRows:
    """The steps that the code of a static program works on, where rows have lengths: what is of two steps is better not
    one group, for it is for other rows."""

    def __init__(self, program: Program) -> None:
        self.slots = program.slots
        self.ragged = bool(_lengths(program))
        self.made: dict[int, tuple[str, int]] = {}
        self.order: dict[tuple[str, int], int] = {}

    def of(self, step: Step) -> tuple[str, int] | None:
        """The axis and the step that a view shows; else the last one met among those that its operands were made at."""
        if not self.ragged:
            return None
        made = [self.made[ref.slot] for ref in step.ins if ref.slot in self.made]
        shown = next(filter(None, map(self.shown, step.refs)), None)
        own = shown or max(made, key=self.order.__getitem__, default=None)
        if own is not None:
            self.order.setdefault(own, len(self.order))
            self.made |= {ref.slot: own for ref in step.outs}
        return own

    def shown(self, ref: Ref) -> tuple[str, int] | None:
        slot = self.slots[ref.slot]
        if slot.grow is not None or slot.ring:
            return None
        entries = zip(slot.type.axes, ref.index, strict=False)
        return next(((axis, entry) for axis, entry in entries if isinstance(entry, int)), None)


class Site(Struct, eq=False):
    """A moment of the program, its place in the order, the loops it stands in, what it reads and writes (a slot that
    holds one value after another has a number for each), and the mask of the rows it is for."""

    item: Moment
    place: int
    loops: tuple[int, ...]
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]
    mask: Ref | None = None


def _sites(program: Program) -> tuple[list[Site], list[Slot]]:
    """All moments in order; and the slots, then those that stand for further values of one."""
    moments, slots = list(_moments(program.code, ())), list(program.slots)
    reused, now, sites = _reused(program, moments), dict[int, int](), list[Site]()
    for place, (item, loops) in enumerate(moments):
        ins = tuple([ref._replace(slot=now.get(ref.slot, ref.slot)) for ref in item.ins])
        for slot in {ref.slot for ref in item.outs} & reused:
            now[slot] = len(slots)
            slots.append(slots[slot])
        outs = tuple([ref._replace(slot=now.get(ref.slot, ref.slot)) for ref in item.outs])
        sites.append(Site(item, place, loops, ins, outs))
    return sites, slots


def _reused(program: Program, moments: Sequence[tuple[Moment, tuple[int, ...]]]) -> set[int]:
    """Slots that hold several values one after another, within one step, always as the same view."""
    views: dict[int, list[tuple[bool, Ref, tuple[int, ...]]]] = defaultdict(list)
    for item, loops in moments:
        for write, refs in ((False, item.ins), (True, item.outs)):
            for ref in refs:
                views[ref.slot].append((write, ref, loops))
    outside = {ref.slot for ref in program.outputs.values()} | {*program.inputs.values(), *watched(program.code)}
    return {
        slot for slot, found in views.items()
        if slot not in outside and not program.slots[slot].ring and found[0][0] and sum(w for w, *_ in found) > 1
        and all(ref.whole and loops == found[0][2] for _, ref, loops in found)
    }  # fmt: skip


def _moments(code: Sequence[Code], loops: tuple[int, ...]) -> Iterator[tuple[Moment, tuple[int, ...]]]:
    """Every moment and the loops around it; what stands for a step of one that has ended has a number of its own."""
    for item in code:
        if isinstance(item, Repeat):
            yield from _moments(item.body, (*loops, item.loop))
            yield from _moments(item.rest, (*loops, -1 - item.loop))
        else:
            yield item, loops


class Access(Struct, eq=False):
    """Who writes and who reads a slot, and by which views."""

    writes: list[tuple[Site, Ref]] = field(default_factory=list)
    reads: list[tuple[Site, Ref]] = field(default_factory=list)


class Masks:
    """Of a program with masks: for each moment the one of its rows, and for each slot the one under which all who write
    it do so."""

    def __init__(self, program: Program, found: set[int]) -> None:
        self.found = found
        self.sites, self.slots = _sites(program)
        self.access: dict[int, Access] = defaultdict(Access)
        self.writers: dict[tuple[int, ...], list[Site]] = defaultdict(list)
        self.readers: dict[tuple[int, ...], list[Site]] = defaultdict(list)
        for site in self.sites:
            for ref in site.ins:
                self.access[ref.slot].reads.append((site, ref))
                self.readers[_steps(ref)].append(site)
            for ref in site.outs:
                self.access[ref.slot].writes.append((site, ref))
                self.writers[_steps(ref)].append(site)
        self.spread()
        under = {slot: self.written_under(access) for slot, access in self.access.items()}
        self.under = {slot: mask for slot, mask in under.items() if mask is not None}

    def spread(self) -> None:
        """Masks of the groups that choose by one; then of those that only feed them, or only read what they zero."""
        todo = []
        for site in self.sites:
            site.mask = self.chosen_by(site)
            if site.mask is not None:
                todo.append(site)
        while todo:
            site = todo.pop()
            for near in self.neighbours(site):
                if near.mask is None and (mask := self.beside(near, site)) is not None:
                    near.mask = mask
                    todo.append(near)

    def chosen_by(self, site: Site) -> Ref | None:
        """The one mask by which a chain chooses."""
        item = site.item
        if not isinstance(item, Group) or not isinstance(item.kernel, Elementwise):
            return None
        conditions = {op.ins[0] for op in item.kernel.chain.operations if op.op == "where"}
        found = [ref for i, ref in enumerate(item.ins) if i in conditions and ref.slot in self.found]
        if len(found) != 1 or self.axes(found[0]) != item.kernel.axes:
            return None
        return found[0]

    def axes(self, ref: Ref) -> tuple[str, ...] | None:
        """The axes that a view of a mask leaves, all of them whole."""
        entries = list(zip(self.slots[ref.slot].type.axes, ref.index, strict=True))
        if any(isinstance(e, slice) and e != ALL for _, e in entries):
            return None
        return tuple(axis for axis, e in entries if isinstance(e, slice))

    def neighbours(self, site: Site) -> Iterator[Site]:
        """Those who write what a moment reads, or read what it writes: the same steps of it, or all."""
        for refs, users in ((site.ins, self.writers), (site.outs, self.readers)):
            for ref in refs:
                own = _steps(ref)
                for known_as in {own, own[:1]}:
                    yield from users.get(known_as, ())

    def beside(self, site: Site, other: Site) -> Ref | None:
        """The mask of a group that is to be run for the rows of the other one."""
        item, mask = site.item, other.mask
        if not isinstance(item, Group) or not isinstance(item.kernel, Elementwise | Product | AlongRow | Sums):
            return None
        if not one_row_each(item.kernel):
            return None
        assert mask is not None
        if item.kernel.axes[-1:] != (BATCH,):
            return None
        axes, passing = self.slots[mask.slot].type.axes, self.slots[item.outs[0].slot].passing
        if not self.stands(mask.slot, site) or (passing is not None and passing not in axes):
            return None
        if item.kernel.axes == axes:
            return Ref(mask.slot, (ALL,) * len(axes))
        if site.loops != other.loops or item.kernel.axes != self.axes(mask):
            return None
        return mask if all(self.of_step(ref, mask) for ref in (*site.ins, *site.outs)) else None

    def stands(self, mask: int, site: Site) -> bool:
        """Whether a mask is known at a place, and is the one that all see who use it: what a loop's body makes anew at
        each step means nothing outside of that step."""
        writer, ref = self.access[mask].writes[0]
        turns = {entry.loop for entry in ref.index if isinstance(entry, Turn)}
        same = site.loops[: len(writer.loops)] == writer.loops
        return writer.place < site.place and (same or turns.issuperset(writer.loops))

    def of_step(self, ref: Ref, mask: Ref) -> bool:
        """Whether a view can be of the step that a mask speaks of."""
        slot, places = self.slots[ref.slot], dict(zip(self.slots[mask.slot].type.axes, mask.index, strict=True))
        if slot.ring or slot.grow is not None:
            return True
        return all(e == places.get(a, e) for a, e in zip(slot.type.axes, ref.index, strict=False))

    def written_under(self, access: Access) -> int | None:
        """The mask under which all who write a slot do so."""
        masks = {site.mask.slot for site, ref in access.writes if site.mask and self.aligned(ref, site)}
        whole = all(site.mask and self.aligned(ref, site) for site, ref in access.writes)
        return masks.pop() if whole and len(masks) == 1 else None

    def in_step(self, ref: Ref, site: Site) -> bool:
        """Whether those who write what a view shows leave out the rows that the one who reads it leaves out."""
        return site.mask is not None and self.under.get(ref.slot) == site.mask.slot and self.aligned(ref, site)

    def aligned(self, ref: Ref, site: Site) -> bool:
        """Whether a view shows, row by row, the very steps that the group's mask speaks of."""
        slot, mask = self.slots[ref.slot], site.mask
        if mask is None or slot.ring or slot.grow is not None or BATCH not in slot.type.axes:
            return False
        whole = all(axis in slot.type.axes for axis in self.slots[mask.slot].type.axes)
        return self.of_step(ref, mask) and (whole or self.passed_on(ref.slot, site))

    def passed_on(self, slot: int, site: Site) -> bool:
        """Whether a group gets what a slot holds from groups of the same step, under the same mask."""
        return all(s.loops == site.loops and s.mask == site.mask for s, _ in self.access[slot].writes)


def _steps(ref: Ref) -> tuple[int, ...]:
    """The slot, and the steps of a static program that a view is of."""
    return (ref.slot, *[entry for entry in ref.index if isinstance(entry, int)])


def masks_of(program: Program) -> set[int]:
    """Slots of truth values for rows of the batch that are written once, and tell of lengths and nothing else. By other
    values a model may choose as it likes: there zero times infinity is its own business."""
    known = _of_lengths(program)
    if not known:
        return known
    written = Counter(ref.slot for moment in moments_of(program.code) for ref in moment.outs)
    return {
        i for i in known
        if (slot := program.slots[i]).type.dtype == "bool" and not slot.type.shape and slot.type.axes[-1:] == (BATCH,)
        and not slot.ring and slot.grow is None and written[i] == 1
    }  # fmt: skip


def _lengths(program: Program) -> set[int]:
    """The inputs that tell how long rows are."""
    return {slot for name, slot in program.inputs.items() if "lengths@" in name}


def _of_lengths(program: Program) -> set[int]:
    """Slots that hold what is computed from lengths, steps and constants alone, whenever they are written: what a step
    of a loop hands to the next is known only where each step knows it."""
    lengths = _lengths(program)
    if not lengths:
        return lengths
    known = lengths | {slot for name, slot in program.inputs.items() if name.startswith("steps@")}
    known |= {slot for _, slot in program.constants}
    readers = defaultdict[int, list[Step]](list)
    for step in program.steps:
        known |= {ref.slot for ref in step.outs}
        for ref in step.ins:
            readers[ref.slot].append(step)
    todo = [slot for slot in readers if slot not in known]
    while todo:
        for step in readers[todo.pop()]:
            lost = known.intersection([ref.slot for ref in step.outs])
            known -= lost
            todo += lost
    return known
