"""Nests of loops over arrays that lie in any regular way: what no faster kernel takes.

Sums have the order of the faster kernels: over rows the terms of a unit are one chain, and units are added in their
order; products are chains of fused multiply-adds of at most `DEPTH` terms. So it does not matter which kernel a program
has for the same sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from math import prod

from rnngraph.kernels.affine_accesses import Gap
from rnngraph.kernels.cpu import lookups, steps
from rnngraph.kernels.cpu.elementwise import apply
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.products import DEPTH
from rnngraph.kernels.cpu.scans_and_sorts import Walker
from rnngraph.kernels.cpu.vectors import BYTES, Lanes, Limit
from rnngraph.kernels.nests import Move, Nest, Strand

Places = Sequence[str]
"""Where the entry at hand of each array lies."""


AT_ONCE = 8
"""Vectors of short dimensions that are written one by one."""


def write(nest: Nest, name: str, dtype: str, width: int, declared: set[str]) -> str:
    """The kernel over rows of the batch; its arguments are told in `Nest`."""
    to = Function(name, KERNEL)
    _Writer(nest, to, Lanes(to, width, "float" if dtype == "float32" else "double", declared)).kernel()
    return to.text()


class _Writer:
    def __init__(self, nest: Nest, to: Function, v: Lanes) -> None:
        self.nest, self.to, self.v = nest, to, v
        strands, loops = nest.strands, len(nest.loops)
        self.bases = [
            to.at(to.pointer("%args", i), strand.first * BYTES[strand.dtype], "i8") for i, strand in enumerate(strands)
        ]
        at = len(strands)
        self.counts = [to.word("%args", at + i) for i in range(loops)]
        self.unit, self.size = to.word("%args", at + loops), to.word("%args", at + loops + 1)
        at += loops + 2
        turns = range(loops + 1)
        self.steps = [[to.word("%args", at + len(turns) * i + j) for j in turns] for i in range(len(strands))]
        self.apart = to.word("%args", at + len(turns) * len(strands)) if nest.move else 0
        self.turns: list[Number] = [0] * loops
        self.spots: list[Number] = [0] * len(nest.dims)
        """The place in each dimension, in those of the lanes that of the first of them."""
        self.coordinates: dict[int, Sequence[int]] = {}
        """Of dimensions in the lanes: how much further each lane is."""
        self.vectors = self.dims_of_vectors()
        self.limits: list[Limit] = []
        self.lanes: Sequence[int] = range(v.width)
        """The lanes that have an entry, and of those what else is to be asked."""
        self.kind = v.type(strands[-1].dtype)
        self.total, self.part, self.terms = to.variable(self.kind), to.variable(self.kind), to.variable("i64")

    @property
    def walker(self) -> Walker:
        """Lines are walked along the last loop, if it is not a dimension that they are."""
        along = [own[-1] for own in self.steps]
        return Walker(self.nest, self.v, self.load, along, self.counts[-1] if self.nest.summed else 0)

    def kernel(self) -> None:
        lanes = self.nest.lanes == "batch"
        with self.to.loop("%r0", "%r1", self.v.width if lanes else 1) as row:
            self.v.mask = self.v.first(self.to.sub("%r1", row)) if lanes else self.v.first(1)
            outer = list(range(len(self.nest.loops) - self.nest.summed))
            self.over_axes(self.moved(self.bases, row, 0), outer, self.entries)

    def moved(self, places: Places, turn: Number, loop: int) -> list[str]:
        """The places at a turn of a loop: 0 is the batch, then come the others."""
        return [
            self.to.at(p, self.to.mul(turn, steps[loop]), "i8") if strand.places[loop] is not None else p
            for p, steps, strand in zip(places, self.steps, self.nest.strands, strict=True)
        ]

    def along(self, places: Places, turn: Number, dim: int) -> list[str]:
        return [
            self.to.at(p, self.to.mul(turn, s.strides[dim] * BYTES[s.dtype]), "i8")
            for p, s in zip(places, self.nest.strands, strict=True)
        ]

    def over_axes(self, places: Places, loops: list[int], visit: Callable[[Places], None]) -> None:
        if not loops:
            visit(places)
            return
        with self.to.loop(0, self.counts[loops[0]]) as turn:
            self.turns[loops[0]] = turn
            self.over_axes(self.moved(places, turn, loops[0] + 1), loops[1:], visit)

    def over_dims(self, places: Places, dims: list[int], visit: Callable[[Places], None]) -> None:
        """Visits every entry; those of a dimension that is in the lanes by vectors."""
        if not dims:
            visit(places)
            return
        if dims[0] in self.vectors:
            self.over_vectors(places, visit)
            return
        first = dims[0]
        with self.to.loop(0, self.nest.dims[first]) as turn:
            self.spots[first] = turn
            known = [gap for gap in self.nest.gaps if first >= self.results and self.deepest(gap) == first]
            with self.where_it_is(self.along(places, turn, first), known) as there:
                self.over_dims(there, dims[1:], visit)

    def over_vectors(self, places: Places, visit: Callable[[Places], None]) -> None:
        """Visits the dimensions in the lanes: one by vectors; several, which are small, entry by entry of the text."""
        v, sizes = self.v, [self.nest.dims[dim] for dim in self.vectors]
        if len(sizes) == 1:
            self.coordinates = {self.lane: range(v.width)}

            def inside(turn: Number) -> None:
                self.spots[self.lane] = turn
                self.lanes = range(v.width if v.mask is None else sizes[0] % v.width)
                visit(self.along(places, turn, self.lane))

            v.over(sizes[0], inside)
            return
        entries, mask = [*product(*map(range, sizes))], v.mask
        for first in range(0, len(entries), v.width):
            some = entries[first : first + v.width]
            self.lanes = range(len(some))
            v.mask = v.first(len(some)) if len(some) < v.width else None
            some += [some[-1]] * (v.width - len(some))
            self.coordinates = dict(zip(self.vectors, zip(*some, strict=True), strict=True))
            out, strand = places[-1], self.nest.strands[-1]
            visit([*places[:-1], self.to.at(out, first * BYTES[strand.dtype], "i8")])
        v.mask = mask

    def dims_of_vectors(self) -> range:
        """The dimensions in the lanes: the last one, and where that is short others before it, if the result has all
        of them in one run."""
        nest, width = self.nest, self.v.width
        if nest.lanes not in ("result", "inner"):
            return range(0)
        first, strides = self.lane, nest.strands[-1].strides
        short = not nest.how and nest.move is None and nest.dims[first] < width
        while short and first and strides[first - 1] == strides[first] * nest.dims[first]:
            if prod(nest.dims[first - 1 : self.lane + 1]) > AT_ONCE * width:
                break
            first -= 1
        return range(first, self.lane + 1)

    def deepest(self, gap: Gap) -> int:
        """The last dimension that a gap depends on; -1 where it is one in the lanes."""
        last = max((dim for dim, each in enumerate(gap.each) if each), default=-1)
        return -1 if any(gap.each[dim] for dim in self.vectors) else last

    @property
    def results(self) -> int:
        """How many dimensions the result has."""
        return len(self.nest.dims) - self.nest.inner

    def entries(self, places: Places) -> None:
        self.over_dims(places, list(range(self.results)), self.entry)

    # --- one entry of the result, or a vector of them ---

    def entry(self, places: Places) -> None:
        nest, v = self.nest, self.v
        *operands, result = places
        if nest.walk is not None:
            self.walker.line(places)
            return
        if nest.move is not None:
            self.from_another_step(nest.move, places)
            return
        if not nest.how:
            self.read(operands, result)
            return
        mask = v.mask
        self.reduced(places)
        v.mask = mask
        found = self.now(self.total)
        if nest.lanes == "inner":
            found = v.spread(v.greatest(found), nest.strands[-1].dtype) if nest.how == "max" else found
            v.mask = v.first(1)
        if nest.how == "max" and nest.summed:
            none = self.to.let(f"icmp eq i64 {self.all_turns()}, 0")
            found = self.to.let(f"select i1 {none}, {self.kind} zeroinitializer, {self.kind} {found}")
        v.store(found, result, nest.strands[-1].dtype)
        v.mask = mask

    def read(self, operands: Places, result: str) -> None:
        """The operation on the entries of the operands; what fills a gap where the first has none."""
        nest, v, dtype = self.nest, self.v, self.nest.strands[-1].dtype
        filling = v.number(nest.fill) if nest.fill else "zeroinitializer"
        if any(not self.of_lanes(gap) for gap in nest.gaps):
            v.store(filling, result, dtype)
        with self.where_it_is(operands, nest.gaps) as there:
            value = apply(v, nest.operation, [self.load(p, s) for p, s in zip(there, nest.strands, strict=False)])
            if nest.fill:
                value = v.only(value, self.lanes, self.limits, filling, dtype)
            v.store(value, result, dtype)

    def all_turns(self) -> Number:
        count: Number = 1
        for i in self.inner_loops():
            count = self.to.mul(count, self.counts[i])
        return count

    def inner_loops(self) -> list[int]:
        loops = len(self.nest.loops)
        return list(range(loops - self.nest.summed, loops))

    def from_another_step(self, move: Move, places: Places) -> None:
        """The entry of the step that this one is, or zero."""
        to, v, (first, *_), out = self.to, self.v, self.nest.strands, self.nest.strands[-1].dtype
        t = 0 if move.loop is None else self.turns[move.loop]
        length = to.let(f"load i64, ptr {places[1]}") if len(places) == 3 else self.size
        step, there = steps.source(to, move, t, length, self.size)
        with to.when(to.let(f"xor i1 {there}, true")):
            v.store("zeroinitializer", places[-1], out)
        with to.when(there):
            at = to.at(places[0], to.mul(step, self.apart), "i8")
            v.store(self.load(at, first), places[-1], out)

    def now(self, place: str) -> str:
        return self.to.let(f"load {self.kind}, ptr {place}")

    def set(self, place: str, value: str) -> None:
        self.to.do(f"store {self.kind} {value}, ptr {place}")

    @property
    def floats(self) -> bool:
        return self.nest.strands[-1].dtype.startswith("float")

    @property
    def nothing(self) -> str:
        """What a sum, or the largest, of no terms begins with."""
        if self.nest.how != "max":
            return "zeroinitializer"
        return self.v.number(float("-inf")) if self.floats else f"splat (i64 {-(2**63)})"

    def together(self, a: str, b: str) -> str:
        """The sum of two, or the larger, or whether one holds."""
        if self.nest.how == "max":
            return self.v.intrinsic("maximum", a, b) if self.floats else self.v.ints("smax", a, b)
        how = "or" if self.nest.how == "any" else "fadd" if self.floats else "add"
        return self.to.let(f"{how} {self.kind} {a}, {b}")

    def of_lanes(self, gap: Gap) -> bool:
        """Whether lanes differ in whether there is an entry."""
        return any(gap.each[dim] for dim in self.vectors)

    @contextmanager
    def where_it_is(self, places: Places, some: Sequence[Gap]) -> Iterator[Places]:
        """The lines of the block where the first operand has an entry, as far as some gaps tell; of the lanes that have
        one `lanes` and `limits` tell."""
        to, before = self.to, (self.lanes, self.limits)
        first, *others = places
        missing = list[str]()
        for gap in some:
            place = self.place_of(gap)
            if self.of_lanes(gap):
                self.limit(gap, place)
                continue
            if gap.by > 1:
                divided = to.let(f"sdiv i64 {place}, {gap.by}")
                missing.append(to.let(f"icmp ne i64 {to.mul(divided, gap.by)}, {place}"))
                first, place = self.further(first, gap.apart, divided), divided
            missing.append(to.let(f"icmp uge i64 {place}, {gap.size}"))
        with to.unless(missing):
            yield [first, *others]
        self.lanes, self.limits = before

    def place_of(self, gap: Gap) -> Number:
        """Where a gap's dimension is read, before it is divided; in lanes that of the first of them."""
        place: Number = gap.first
        for spot, each in zip(self.spots, gap.each, strict=True):
            place = self.to.add(place, self.to.mul(spot, each))
        return place

    def limit(self, gap: Gap, place: Number) -> None:
        """Leaves out the lanes that have no entry: here, if it is known of each."""
        further = self.of_each_lane(gap.each)
        if isinstance(place, int):
            self.lanes = [lane for lane in self.lanes if 0 <= place + further[lane] < gap.size]
        else:
            self.limits = [*self.limits, Limit(place, further, gap.size)]

    def further(self, first: str, entries: int, times: Number) -> str:
        """A place in the first operand, so many entries further on."""
        return self.to.at(first, self.to.mul(times, entries * BYTES[self.nest.strands[0].dtype]), "i8")

    def of_each_lane(self, each: Sequence[int]) -> tuple[int, ...]:
        """How much further each lane is, given that along each dimension."""
        return tuple(sum(each[dim] * own[i] for dim, own in self.coordinates.items()) for i in range(self.v.width))

    def load(self, place: str, strand: Strand) -> str:
        """The numbers of an operand: a vector where it moves along the lanes, else one for all lanes."""
        v, apart = self.v, self.of_each_lane(strand.strides)
        if self.nest.lanes == "batch" and strand.places[0] is not None:
            apart = tuple(range(v.width))
        if not any(apart):
            return v.load_one(place, strand.dtype)
        whole = not self.limits and isinstance(self.lanes, range)
        if whole and apart == tuple(range(v.width)):
            return v.load(place, strand.dtype)
        return v.load_lanes(place, apart, strand.dtype, self.lanes, self.limits)

    @property
    def lane(self) -> int:
        """The dimension whose entries are in the lanes."""
        return self.results - 1 if self.nest.lanes == "result" else len(self.nest.dims) - 1

    def reduced(self, places: Places) -> None:
        """Into `total` the sum, or the largest, of all terms of one entry."""
        nest, v, to = self.nest, self.v, self.to
        self.set(self.total, self.nothing)
        self.set(self.part, self.nothing)
        loops, dims = self.inner_loops(), list(range(self.results, len(nest.dims)))
        if nest.how == "sum" and nest.onto:
            load = v.load_one if nest.lanes == "inner" else v.load
            self.set(self.total, load(places[-1], nest.strands[-1].dtype))
        if nest.how != "sum" or not loops:
            to.do(f"store i64 0, ptr {self.terms}")
            self.over_axes(places, loops, lambda at: self.over_dims(at, dims, self.term))
            self.flush()
            return
        first, count = loops[0], self.counts[loops[0]]
        least = to.least(self.unit, to.let(f"call i64 @llvm.smax.i64(i64 {count}, i64 1)"))
        units = to.div(to.sub(to.add(count, least), 1), least)
        with to.loop(0, units) as n:
            low = to.mul(to.sub(to.sub(units, 1), n) if nest.back else n, least)
            to.do(f"store i64 0, ptr {self.terms}")
            with to.loop(low, to.least(to.add(low, least), count)) as turn:
                inside = self.moved(places, turn, first + 1)
                self.over_axes(inside, loops[1:], lambda at: self.over_dims(at, dims, self.term))
            self.flush()

    def term(self, places: Places) -> None:
        """One more term; a chain of products ends after `DEPTH` of them."""
        left = [gap for gap in self.nest.gaps if self.deepest(gap) < self.results]
        with self.where_it_is(places[:-1], left) as there:
            self.joined([self.load(p, s) for p, s in zip(there, self.nest.strands, strict=False)])

    def joined(self, values: list[str]) -> None:
        nest, v, to = self.nest, self.v, self.to
        if not self.floats or len(values) == 1:
            x = lookups.outside(v, nest.operation, values) if nest.how == "any" else apply(v, nest.operation, values)
            if nest.lanes == "inner" and v.mask is not None:
                x = v.select(v.mask, x, self.nothing, self.kind)
            self.set(self.part, self.together(self.now(self.part), x))
            return
        old = self.now(self.part)
        grown = v.fma(values[0], values[1], old)
        if nest.lanes == "inner" and v.mask is not None:
            grown = v.select(v.mask, grown, old, v.floats)
        self.set(self.part, grown)
        count = to.add(to.let(f"load i64, ptr {self.terms}"), 1)
        to.do(f"store i64 {count}, ptr {self.terms}")
        with to.when(to.let(f"icmp eq i64 {count}, {DEPTH}")):
            self.flush()
            to.do(f"store i64 0, ptr {self.terms}")

    def flush(self) -> None:
        """The chain at hand joins the total: what lies in lanes as one number, as a sum may go on from that of the
        units before."""
        part = self.now(self.part)
        if self.nest.lanes == "inner" and self.nest.how == "sum":
            part = self.v.spread(self.v.sum(part), self.nest.strands[-1].dtype)
        self.set(self.total, self.together(self.now(self.total), part))
        self.set(self.part, self.nothing)
