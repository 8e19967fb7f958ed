"""The table of one thread: which kernels it runs, over which rows and columns, and where their operands are."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from rnngraph.program.memory import Plan
from rnngraph.program.program import ALL, Entry, Group, Parity, Program, Ref, Repeat, Ring, Turn
from rnngraph.runtime.native import walk
from rnngraph.runtime.native.compile import Addresses
from rnngraph.runtime.native.kernels import Elementwise, Product, rows_of
from rnngraph.runtime.native.threads import walker

Item = Group | Repeat


class Share(NamedTuple):
    """Which thread of how many, and how it takes part: by rows of the batch, or by columns."""

    thread: int
    threads: int
    by_rows: bool


class Tables:
    """Makes tables over the arrays of one program, `bases` for each slot."""

    def __init__(self, program: Program, plan: Plan, bases: Sequence[Any], addresses: Addresses) -> None:
        self.program, self.plan, self.bases, self.addresses = program, plan, bases, addresses
        self.sizes = plan.sizes
        self.known: dict[int, tuple[int, tuple[int, ...], tuple[int, ...]]] = {}
        self.kept: list[array[int]] = []
        self.given: dict[int, list[tuple[array[int], int, int]]] = {}
        """Where the addresses of arrays stand that come from outside: table, word, bytes beyond the array's start."""
        self.fixed: dict[int, tuple[int, int, int]] = {}
        self.parts: dict[tuple[int, Share], tuple[int, int, int, int]] = {}

    def place(self, slot: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Address, strides in bytes and sizes of a slot's array."""
        if slot not in self.known:
            base = self.bases[slot]
            self.known[slot] = (base.__array_interface__["data"][0], base.strides, base.shape)
        return self.known[slot]

    def words(self, numbers: Sequence[int]) -> int:
        """The address of a table of words, which lives as long as this object."""
        return self.keep(array("q", numbers))

    def keep(self, words: array[int]) -> int:
        self.kept.append(words)
        return words.buffer_info()[0]

    def move(self, slots: set[int]) -> None:
        """Puts the new addresses of arrays from outside in the place of the old ones."""
        for slot in slots:
            self.known.pop(slot, None)  # not there where no compiled kernel reads it
            address = self.place(slot)[0]
            for words, i, beyond in self.given.get(slot, ()):
                words[i] = address + beyond

    # --- operands ---

    def operand(self, ref: Ref) -> tuple[int, list[tuple[int, int]]]:
        """The address of a view with all running loops at place 0, and the places it follows with bytes for each."""
        address, strides, shape = self.place(ref.slot)
        moves = []
        for entry, stride, size in zip(ref.index, strides, shape, strict=True):
            if entry is ALL:
                continue
            fixed, place = self.start(entry, size)
            address += fixed * stride
            if place is not None:
                moves.append((place, stride))
        return address, moves

    def start(self, entry: Entry, size: int) -> tuple[int, int | None]:
        if isinstance(entry, slice):
            return (entry.start or 0) % (size + 1) if entry.start else 0, None
        if isinstance(entry, Turn):
            return entry.offset, 3 * entry.loop
        if isinstance(entry, Ring):
            return 0, 3 * entry.loop + 1 + entry.offset % 2
        found = self.sizes[entry.axis] % 2 if isinstance(entry, Parity) else entry
        return found % size if size else 0, None

    # --- entries ---

    def entries(self, code: Sequence[Item], share: Share) -> list[int]:
        """The words of all entries of some code. Where one thread must not run ahead of another, all meet."""
        found: list[int] = []
        touched = _Touched(self)
        for i, item in enumerate(code):
            if isinstance(item, Repeat):
                found += self.repeat(item, share)
                if share.threads > 1:
                    found += self.meeting()
                touched.clear()
                continue
            if share.threads > 1 and touched.clash(item):
                found[walk.BARRIER - walk.WORDS] = 1
                touched.clear()
            words = self.group(item, share)
            following = code[(i + 1) % len(code)]
            if share.threads > 1 and not _on_its_own(item, following, share):
                words[walk.BARRIER] = 1
                touched.clear()
            elif share.threads > 1:
                touched.add(item)
            found += words
        return found

    def meeting(self) -> list[int]:
        words = [0] * walk.WORDS
        words[walk.KERNEL], words[walk.BARRIER] = walker().nothing, 1
        return words

    def group(self, group: Group, share: Share) -> list[int]:
        kernel, words = group.kernel, [0] * walk.WORDS
        part = self.parts.get((id(kernel), share))
        if part is None:
            part = self.parts[id(kernel), share] = self.part(kernel, share)
        words[walk.KERNEL] = self.addresses.of(kernel)
        words[walk.ROW0 : walk.COL1 + 1] = part
        words[walk.ARGS], words[walk.MOVES], words[walk.MOVING] = self.fixed.get(id(group)) or self.arguments(group)
        return words

    def arguments(self, group: Group) -> tuple[int, int, int]:
        """Where the arguments of a group stand, how many of them move, and where it stands how.

        All threads share those of which none moves.
        """
        kernel, args, moves = group.kernel, array("q"), array("q")
        for ref in (*group.ins, *group.outs):
            address, moving = self.operand(ref)
            if self.program.categories[ref.slot] == "parameters":
                beyond = address - self.place(ref.slot)[0]
                given = self.given.setdefault(ref.slot, [])
                given.append((args, len(args), beyond))
                if moving:
                    given.append((moves, len(moves) + 1, beyond))
            for i, (place, bytes) in enumerate(moving):
                moves.extend([len(args), address if i == 0 else -1, place, bytes])
            args.append(address)
        if isinstance(kernel, Product) and kernel.ldd is None:
            args.insert(2, 0)  # nothing to add
            moves = array("q", [n + (n == 2 and i % walk.MOVE == 0) for i, n in enumerate(moves)])
        args.extend(kernel.words(self.sizes))
        if moves:
            return self.keep(args), len(moves) // walk.MOVE, self.keep(moves)
        return self.fixed.setdefault(id(group), (self.keep(args), 0, 0))

    def part(self, kernel: Any, share: Share) -> tuple[int, int, int, int]:
        """The rows and columns that fall to one thread."""
        rows, columns = rows_of(kernel.axes, self.sizes), kernel.columns(self.sizes)
        if isinstance(kernel, Elementwise) and kernel.flat:
            return self.run(kernel, rows, share)
        alone = kernel.parallel == "one" or (columns < 2 and not (kernel.parallel == "rows" and share.by_rows))
        if alone:
            ranges = (0, rows, 0, columns) if share.thread == 0 else (0, 0, 0, 0)
        elif kernel.parallel == "rows" and share.by_rows:
            ranges = (*_cut(rows, share), 0, columns)
        else:
            ranges = (0, rows, *_cut(columns, share))
        if not isinstance(kernel, Elementwise):
            return ranges
        first, last, low, high = ranges
        return first, last, low * kernel.width, min(high * kernel.width, kernel.chain.dims[-1])

    def run(self, kernel: Elementwise, rows: int, share: Share) -> tuple[int, int, int, int]:
        """A flat chain counts the entries of all rows as one run."""
        whole = prod(kernel.chain.dims)
        if kernel.parallel == "one":
            return (0, 0, 0, rows * whole) if share.thread == 0 else (0, 0, 0, 0)
        if share.by_rows:
            first, last = _cut(rows, share)
            return 0, 0, first * whole, last * whole
        low, high = _cut(-(-rows * whole // kernel.width), share)
        return 0, 0, low * kernel.width, min(high * kernel.width, rows * whole)

    # --- loops ---

    def repeat(self, repeat: Repeat, share: Share) -> list[int]:
        body, rest = self.entries(repeat.body, share), self.entries(repeat.rest, share)  # type: ignore[arg-type]
        loop = [0] * 11
        loop[walk.STEPS], loop[walk.REVERSE] = self.sizes[repeat.axis], int(repeat.reverse)
        loop[walk.PLACE], loop[walk.UNTIL_STEP] = 3 * repeat.loop, 1
        if repeat.until is not None:
            address, [(place, stride)] = self.operand(repeat.until)
            flags = self.place(repeat.until.slot)[2][-1]
            loop[walk.UNTIL], loop[walk.UNTIL_STRIDE], loop[walk.UNTIL_PLACE] = address, stride, place
            alone = any(w for w in body[walk.BARRIER :: walk.WORDS])
            loop[walk.UNTIL_FIRST], loop[walk.UNTIL_LAST] = (0, flags) if alone else _cut(flags, share)
        loop[walk.REST], loop[walk.REST_COUNT] = self.words(rest), len(rest) // walk.WORDS
        words = [0] * walk.WORDS
        words[walk.BODY], words[walk.COUNT] = self.words(body), len(body) // walk.WORDS
        words[walk.LOOP] = self.words(loop)
        return words


class _Touched:
    """The memory that threads have used since they last met: another slot's turn there must wait for all.

    Two slots of one type at one address are no matter: a thread meets there its own rows alone. All else in here lies
    apart: what is read was alive since the threads met, and what is written was looked at.
    """

    LIMIT = 4000

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.slots: set[int] = set()
        self.starts: list[int] = []
        self.owners: dict[int, int] = {}

    def clear(self) -> None:
        self.slots.clear()
        self.starts.clear()
        self.owners.clear()

    def add(self, group: Group) -> None:
        for ref in group.refs:
            if ref.slot not in self.slots:
                self.slots.add(ref.slot)
                start, end = self.room(ref.slot)
                if start < end and start not in self.owners:
                    insort(self.starts, start)
                    self.owners[start] = ref.slot

    def room(self, slot: int) -> tuple[int, int]:
        """Where the array of a slot starts and ends."""
        start = self.tables.place(slot)[0]
        return start, start + self.tables.plan.slot_bytes[slot]

    def clash(self, group: Group) -> bool:
        """Whether the group writes where another slot was used, or so many were that it is better not to look."""
        return len(self.slots) > self.LIMIT or any(self.meets(ref.slot) for ref in group.outs)

    def meets(self, slot: int) -> bool:
        """Looks at one room alone, the last that starts before this slot's ends: those before it end before it."""
        low, high = self.room(slot)
        i = bisect_left(self.starts, high) - 1
        if i < 0 or slot in self.slots:
            return False
        other = self.owners[self.starts[i]]
        start, end = self.room(other)
        types = self.tables.program.slots
        return end > low and not (start == low and types[other].type == types[slot].type)


def _cut(size: int, share: Share) -> tuple[int, int]:
    return size * share.thread // share.threads, size * (share.thread + 1) // share.threads


def _on_its_own(item: Item, following: Item, share: Share) -> bool:
    """Whether a thread may go on to the next entry while others are still at this one."""
    if isinstance(item, Repeat) or isinstance(following, Repeat):
        return False
    if not (item.kernel.parallel == following.kernel.parallel == "rows" and share.by_rows):
        return False
    same: bool = item.kernel.axes == following.kernel.axes
    return same
