"""The table of one thread: which kernels it runs, over which rows and columns, and where their operands are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from typing import Any, TypeGuard

from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.cpu import table_interpreter as walk
from rnngraph.kernels.cpu.barriers import ALONE, Item, Share, alike, meetings
from rnngraph.kernels.cpu.direct_products import alone, unpacked
from rnngraph.kernels.cpu.modules import Addresses
from rnngraph.kernels.cpu.packing import Pack
from rnngraph.kernels.cpu.sharing import arguments_of, columns_of, listed, parallel
from rnngraph.kernels.cpu.threads import Job, Words
from rnngraph.kernels.kernel import Elementwise, Kernel, Product, rows_of
from rnngraph.kernels.nests import Nest
from rnngraph.kernels.products_into_loops import for_all_steps
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import ALL, Code, Entry, Group, Parity, Program, Ref, Repeat, Ring, Turn

Stage = Item | list[list[Item]]
"""What runs behind what ran before: an item, or strands that may run at once."""

Ranges = tuple[tuple[int, int, int, int], int, int]
"""Rows from and to, columns from and to; of rows taken through lists how far apart they are, and the lists."""


class Tables:
    """Makes tables over the arrays of one program, `bases` for each slot."""

    def __init__(self, program: Program, plan: Plan, bases: Sequence[Any], addresses: Addresses) -> None:
        self.program, self.plan, self.bases, self.addresses = program, plan, bases, addresses
        self.sizes, self.target = plan.sizes, addresses.machine
        self.known: dict[int, tuple[int, tuple[int, ...], tuple[int, ...]]] = {}
        self.kept: list[array[int]] = []
        self.unpacked = unpacked(program, plan.sizes, self.target.threads)
        """Of slots for panels that are not made, the matrices, and the kernels that take these."""
        self.products = Counter[int]()
        """How many there are of each matrix in panels."""
        self.whole: dict[int, Group] = {}
        """Of groups of a step, by identity, those for all steps."""
        self.given: dict[int, list[tuple[array[int], int, int]]] = {}
        """Where the addresses of arrays stand that come from outside: table, word, bytes beyond the array's start."""
        self.fixed: dict[int, tuple[int, int, int, int]] = {}
        self.ranges: dict[tuple[int, str, Share], Ranges] = {}
        self.no_places = [0] * (3 * _loops(program.code) + 3)
        """The places of all loops before any runs."""

    def place(self, slot: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Address, strides in bytes and sizes of a slot's array."""
        if slot not in self.known:
            base = self.bases[slot]
            self.known[slot] = (base.__array_interface__["data"][0], base.strides, base.shape)
        return self.known[slot]

    def room(self, slot: int) -> tuple[int, int]:
        """Where the array of a slot starts and ends."""
        start = self.place(slot)[0]
        return start, start + self.plan.slot_bytes[slot]

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
            return entry.offset, 3 * entry.loop if size > 1 else None  # a slot may have room for one step alone
        if isinstance(entry, Ring):
            return 0, 3 * entry.loop + 1 + entry.offset % 2
        found = self.sizes[entry.axis] % 2 if isinstance(entry, Parity) else entry
        return found % size if size else 0, None

    # --- entries ---

    def entries(self, code: Sequence[Item], share: Share) -> list[int]:
        """The words of all entries of some code. Where one thread must not run ahead of another, all meet."""
        code = [part for item in code for part in self.parts(item)]
        meet = meetings(code, share, self.room, self.program.slots) if share.threads > 1 else [False] * len(code)
        found: list[int] = []
        for item, met in zip(code, meet, strict=True):
            found += self.repeat(item, share) if isinstance(item, Repeat) else self.group(item, share)
            found[walk.BARRIER - walk.WORDS] = int(met)
        return found

    def parts(self, item: Item) -> list[Item]:
        """A loop with, before it, what it makes step by step for large batches alone; no packing that is left out."""
        if isinstance(item, Group):
            return [] if isinstance(item.kernel, Pack) and item.outs[0].slot in self.unpacked else [item]
        early = [group for group in item.body if self.is_early(group)]
        for group in early:
            self.whole.setdefault(id(group), for_all_steps(group, item.axis))
        body = tuple(group for group in item.body if not self.is_early(group))
        return [*(self.whole[id(group)] for group in early), replace(item, body=body)]

    def is_early(self, item: Code) -> TypeGuard[Group]:
        return isinstance(item, Group) and self.program.slots[item.outs[0].slot].before(self.sizes)

    def group(self, group: Group, share: Share) -> list[int]:
        kernel, words = group.kernel, [0] * walk.WORDS
        known_as = id(kernel), group.part, share
        part = self.ranges.get(known_as)
        if part is None:
            part = self.ranges[known_as] = self.part(group, share)
        lying = self.lying(group)
        words[walk.KERNEL] = self.addresses.unpacked(lying) if lying else self.addresses.of(kernel)
        words[walk.WANTED] = int(group.part == "live")
        words[walk.ROW0 : walk.COL1 + 1], words[walk.STRIDE], words[walk.JUMP] = part
        words[walk.ARGS], words[walk.MASK], words[walk.MOVES], words[walk.MOVING] = (
            self.fixed.get(id(group)) or self.arguments(group)
        )
        return words

    def lying(self, group: Group) -> str:
        """The kernel of a product with a matrix as it lies; empty for all else."""
        if not isinstance(group.kernel, Product):
            return ""
        if group.kernel.alone:
            return alone(group.kernel, self.sizes)
        _, kernel = self.unpacked.get(group.ins[1].slot, (None, ""))
        return kernel

    def arguments(self, group: Group) -> tuple[int, int, int, int]:
        """Where the arguments of a group stand, which is the mask, how many move, and where it stands how.

        All threads share those of which none moves.
        """
        kernel, args, moves = group.kernel, array("q"), array("q")
        for i, ref in enumerate((*group.operands, *group.outs)):
            if i == 2 and isinstance(kernel, Product) and kernel.ldd is None:
                args.append(0)  # nothing to add
            self.argument(self.unpacked[ref.slot][0] if ref.slot in self.unpacked else ref, args, moves)
        args.extend(arguments_of(kernel, self.sizes))
        if isinstance(kernel, Nest):
            args.extend(kernel.words(self.sizes, self.apart(group, kernel)))
        if self.lying(group):
            args.extend((kernel.term, kernel.column))
        elif isinstance(kernel, Product):
            self.direction(group.ins[1].slot, args, moves)
        mask = len(args) if group.part else 0
        if group.part:
            self.argument(group.ins[-1], args, moves)
        else:
            args.append(0)  # no mask
        if moves:
            return self.keep(args), mask, len(moves) // walk.MOVE, self.keep(moves)
        return self.fixed.setdefault(id(group), (self.keep(args), mask, 0, 0))

    def apart(self, group: Group, nest: Nest) -> list[list[int]]:
        """For each array of a nest how far its loops move along it, in bytes."""
        arrays = zip((*group.ins, *group.outs), nest.strands, strict=True)
        strides = [(self.place(ref.slot)[1], strand.places) for ref, strand in arrays]
        found = [[0 if place is None else own[place] for place in places] for own, places in strides]
        steps = nest.move.place if nest.move else None
        return [*found, [0 if steps is None else strides[0][0][steps]]] if nest.move else found

    def argument(self, ref: Ref, args: array[int], moves: array[int]) -> None:
        """One more argument: the address of a view, and how it moves with the running loops."""
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

    def direction(self, panels: int, args: array[int], moves: array[int]) -> None:
        """Which way a product goes over its panels: at the next step another, as what was read last is near still."""
        if moves:
            moves.extend([len(args), 0, moves[-2] // 3 * 3 + 1, 1])  # the parity of the steps done of that loop
        self.products[panels] += 1
        args.append(self.products[panels] % 2)

    def part(self, group: Group, share: Share) -> Ranges:
        """The rows and columns that fall to one thread."""
        kernel = group.kernel
        by_columns = isinstance(kernel, Product) and kernel.alone
        own = share._replace(by_rows=False) if by_columns else share
        dealt = own.dealt and kernel.axes == (BATCH,) and listed(kernel)
        if (by_columns or parallel(kernel) == "rows") and (group.part or dealt):
            return self.listed(kernel, own)
        return self.run_of_rows(kernel, own), 0, 0

    def listed(self, kernel: Any, share: Share) -> Ranges:
        """Rows taken through lists. Rows of the batch are dealt out to the threads one by one, as long ones may stand
        side by side; of rows of all steps each thread takes lists in turn."""
        rows, parts = rows_of(kernel.axes, self.sizes), columns_of(kernel, self.target)
        if isinstance(kernel, Elementwise):
            parts = kernel.chain.dims[-1]
        if not share.by_rows:
            if isinstance(kernel, Product):
                return (0, rows, *_cut(parts, share)), 1, walk.LISTED
            return (*_cut(rows, share), 0, parts), 1, walk.LISTED
        jump = walk.LISTED * share.threads
        if kernel.axes == (BATCH,):
            return (share.thread, rows, 0, parts), share.threads, jump
        return (walk.LISTED * share.thread, rows, 0, parts), 1, jump

    def run_of_rows(self, kernel: Any, share: Share) -> tuple[int, int, int, int]:
        """One run of rows, or of columns."""
        rows, parts = rows_of(kernel.axes, self.sizes), columns_of(kernel, self.target)
        if isinstance(kernel, Elementwise) and kernel.flat:
            return self.run(kernel, rows, share)
        alone = parallel(kernel) == "one" or (parts < 2 and not (parallel(kernel) == "rows" and share.by_rows))
        if alone:
            ranges = (0, rows, 0, parts) if share.thread == 0 else (0, 0, 0, 0)
        elif parallel(kernel) == "rows" and share.by_rows:
            ranges = (*_cut(rows, share), 0, parts)
        else:
            ranges = (0, rows, *_cut(parts, share))
        first, last, low, high = ranges
        if isinstance(kernel, Product):
            return first * kernel.each, last * kernel.each, low, high
        if not isinstance(kernel, Elementwise):
            return ranges
        if kernel.chain.sums:
            return first, last, 0, kernel.chain.dims[-1]
        return first, last, low * self.target.width, min(high * self.target.width, kernel.chain.dims[-1])

    def run(self, kernel: Elementwise, rows: int, share: Share) -> tuple[int, int, int, int]:
        """A flat chain counts the entries of all rows as one run."""
        whole = prod(kernel.chain.dims)
        if parallel(kernel) == "one":
            return (0, 0, 0, rows * whole) if share.thread == 0 else (0, 0, 0, 0)
        if share.by_rows:
            first, last = _cut(rows, share)
            return 0, 0, first * whole, last * whole
        low, high = _cut(-(-rows * whole // self.target.width), share)
        return 0, 0, low * self.target.width, min(high * self.target.width, rows * whole)

    # --- loops ---

    def repeat(self, repeat: Repeat, share: Share) -> list[int]:
        body, rest = self.entries(repeat.body, share), self.entries(repeat.rest, share)  # type: ignore[arg-type]
        if rest and share.threads > 1 and not alike((*repeat.body, *repeat.rest), share):
            body[walk.BARRIER - walk.WORDS] = rest[walk.BARRIER - walk.WORDS] = 1  # one may follow the other
        loop = [0] * walk.LOOP_WORDS
        loop[walk.STEPS], loop[walk.REVERSE] = self.sizes[repeat.axis], int(repeat.reverse)
        loop[walk.PLACE] = 3 * repeat.loop
        together = any((*body[walk.BARRIER :: walk.WORDS], *rest[walk.BARRIER :: walk.WORDS]))
        if together and repeat.until is not None:
            body[walk.BARRIER - walk.WORDS] = 1  # all leave at the same step, once every flag of it stands
        for ref in repeat.looks:
            look = walk.UNTIL if ref is repeat.until else walk.SINCE
            loop[look : look + 3] = self.look(ref)
            loop[walk.FIRST], loop[walk.LAST], loop[walk.STEP] = self.looked_at(ref, share, together)
        loop[walk.REST], loop[walk.REST_COUNT] = self.words(rest), len(rest) // walk.WORDS
        words = [0] * walk.WORDS
        words[walk.BODY], words[walk.COUNT] = self.words(body), len(body) // walk.WORDS
        words[walk.LOOP] = self.words(loop)
        return words

    def looked_at(self, ref: Ref, share: Share, together: bool) -> tuple[int, int, int]:
        """The flags that a thread looks at: all, where threads are at the same step; else those of its own rows."""
        flags = self.place(ref.slot)[2][-1]
        if together:
            return 0, flags, 1
        return (share.thread, flags, share.threads) if share.dealt else (*_cut(flags, share), 1)

    def look(self, ref: Ref) -> tuple[int, int, int]:
        """Where the address of flags stands, how many moves it has, and where these are."""
        address, moves = array("q"), array("q")
        self.argument(ref, address, moves)
        return self.keep(address), len(moves) // walk.MOVE, self.keep(moves)

    # --- forks ---

    def forked(self, stages: Sequence[Stage], threads: int) -> tuple[list[int], bool]:
        """The words of code of which one thread does all but what is worth telling others of: large kernels, a part
        each, and strands of loops; and whether there is any of these."""
        found, any = list[int](), False
        for stage in stages:
            for tasks in self.tasks(stage, threads):
                found += tasks[0] if len(tasks) == 1 else self.fork(tasks)
                any |= len(tasks) > 1
        return found, any

    def tasks(self, stage: Stage, threads: int) -> Iterator[list[list[int]]]:
        """One behind the other what can be done at once: the words of each."""
        if isinstance(stage, list):
            works = sorted(map(self.work, stage))
            strands = stage if works[-2] >= self.target.worth_meeting else [list(chain(*stage))]
            yield [self.entries(strand, ALONE) for strand in strands]
            return
        for part in self.parts(stage):
            if isinstance(part, Group) and part.kernel.work(self.sizes) >= self.target.worth_meeting:
                yield [self.group(part, self.share_of(part.kernel, thread, threads)) for thread in range(threads)]
            else:
                yield [self.entries([part], ALONE)]

    def share_of(self, kernel: Kernel, thread: int, threads: int) -> Share:
        """What of a kernel one task is: of a wide product each needs only a part of the matrix."""
        wide = isinstance(kernel, Product) and columns_of(kernel, self.target) >= 4 * threads
        return Share(thread, threads, not wide and rows_of(kernel.axes, self.sizes) >= 2 * threads)

    def fork(self, tasks: Sequence[list[int]]) -> list[int]:
        """The words of an entry whose tasks threads take as they come."""
        fork = Words([0, len(tasks), *[0] * (walk.TASK0 - 2), *(word for task in tasks for word in self.job(task))])
        self.kept.append(fork.room)
        words = [0] * walk.WORDS
        words[walk.BODY] = fork.address
        return words

    def job(self, words: list[int]) -> Job:
        """What a thread is given to walk."""
        return self.words(words), len(words) // walk.WORDS, self.words(self.no_places)

    def work(self, code: Sequence[Code]) -> float:
        total = 0.0
        for item in code:
            if isinstance(item, Repeat):
                total += self.sizes[item.axis] * self.work(item.body)
            elif isinstance(item, Group):
                total += item.kernel.work(self.sizes)
        return total


def _loops(code: Sequence[Code]) -> int:
    return max((max(i.loop, _loops(i.body)) for i in code if isinstance(i, Repeat)), default=0)


def _cut(size: int, share: Share) -> tuple[int, int]:
    return size * share.thread // share.threads, size * (share.thread + 1) // share.threads
