"""Nests of loops over arrays that lie in any regular way: what no faster kernel takes.

Sums have the order of the faster kernels: over rows the terms of a unit are one chain, and units are added in their
order; products are chains of fused multiply-adds of at most `DEPTH` terms. So it does not matter which kernel a program
has for the same sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnngraph.kernels.cpu import steps
from rnngraph.kernels.cpu.elementwise import apply
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.products import DEPTH
from rnngraph.kernels.cpu.vectors import BYTES, Lanes
from rnngraph.kernels.nests import Move, Nest, Strand

Places = Sequence[str]
"""Where the entry at hand of each array lies."""


def write(nest: Nest, name: str, dtype: str, width: int, declared: set[str]) -> str:
    """The kernel over rows of the batch; its arguments are told in `Nest`."""
    to = Function(name, KERNEL)
    _Writer(nest, to, Lanes(to, width, "float" if dtype == "float32" else "double", declared)).kernel()
    return to.text()


class _Writer:
    def __init__(self, nest: Nest, to: Function, v: Lanes) -> None:
        self.nest, self.to, self.v = nest, to, v
        strands, loops = nest.strands, len(nest.loops)
        self.bases = [to.pointer("%args", i) for i in range(len(strands))]
        at = len(strands)
        self.counts = [to.word("%args", at + i) for i in range(loops)]
        self.unit, self.size = to.word("%args", at + loops), to.word("%args", at + loops + 1)
        at += loops + 2
        turns = range(loops + 1)
        self.steps = [[to.word("%args", at + len(turns) * i + j) for j in turns] for i in range(len(strands))]
        self.apart = to.word("%args", at + len(turns) * len(strands)) if nest.move else 0
        self.turns: list[Number] = [0] * loops
        self.kind = v.type(strands[-1].dtype)
        self.total, self.part, self.terms = to.variable(self.kind), to.variable(self.kind), to.variable("i64")

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
        return [self.further(p, s, turn, dim) for p, s in zip(places, self.nest.strands, strict=True)]

    def further(self, place: str, strand: Strand, turn: Number, dim: int) -> str:
        return self.to.at(place, self.to.mul(turn, strand.strides[dim] * BYTES[strand.dtype]), "i8")

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
        first, size = dims[0], self.nest.dims[dims[0]]
        if len(dims) > 1 or self.nest.lanes != ("inner" if first >= self.results else "result"):
            with self.to.loop(0, size) as turn:
                self.over_dims(self.along(places, turn, first), dims[1:], visit)
            return
        self.v.over(size, lambda turn: visit(self.along(places, turn, first)))

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
        if nest.move is not None:
            self.from_another_step(nest.move, places)
            return
        if not nest.how:
            values = [self.load(p, s) for p, s in zip(operands, nest.strands, strict=False)]
            v.store(apply(v, nest.operation, values), result, nest.strands[-1].dtype)
            return
        mask = v.mask
        self.reduced(places)
        v.mask = mask
        found = self.now(self.total)
        if nest.lanes == "inner":
            one = v.greatest(found) if nest.how == "max" else v.sum(found)
            found = v.spread(one, nest.strands[-1].dtype)
            v.mask = v.first(1)
        if nest.how == "max" and nest.summed:
            none = self.to.let(f"icmp eq i64 {self.all_turns()}, 0")
            found = self.to.let(f"select i1 {none}, {v.floats} zeroinitializer, {v.floats} {found}")
        v.store(found, result, nest.strands[-1].dtype)
        v.mask = mask

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

    def plus(self, a: str, b: str) -> str:
        return self.to.let(f"{'fadd' if self.kind == self.v.floats else 'add'} {self.kind} {a}, {b}")

    def load(self, place: str, strand: Strand) -> str:
        """The numbers of an operand: a vector where it moves along the lanes, else one for all lanes."""
        if self.nest.lanes == "batch":
            moves = strand.places[0] is not None
        else:
            moves = self.nest.lanes != "one" and strand.strides[self.lane] == 1
        return self.v.load(place, strand.dtype) if moves else self.v.load_one(place, strand.dtype)

    @property
    def lane(self) -> int:
        """The dimension whose entries are in the lanes."""
        return self.results - 1 if self.nest.lanes == "result" else len(self.nest.dims) - 1

    def reduced(self, places: Places) -> None:
        """Into `total` the sum, or the largest, of all terms of one entry."""
        nest, v, to = self.nest, self.v, self.to
        lowest = v.number(float("-inf")) if nest.how == "max" else "zeroinitializer"
        self.set(self.total, lowest)
        self.set(self.part, lowest)
        loops, dims = self.inner_loops(), list(range(self.results, len(nest.dims)))
        if nest.how == "sum" and nest.onto:
            self.set(self.total, v.load(places[-1], nest.strands[-1].dtype))
        if nest.how == "max" or not loops:
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
        nest, v, to = self.nest, self.v, self.to
        values = [self.load(p, s) for p, s in zip(places[:-1], nest.strands, strict=False)]
        if nest.how == "max":
            x = values[0] if v.mask is None else v.select(v.mask, values[0], v.number(float("-inf")), v.floats)
            self.set(self.part, v.intrinsic("maximum", self.now(self.part), x))
            return
        if len(values) == 1:
            x = values[0]
            if nest.lanes == "inner" and v.mask is not None:
                x = v.select(v.mask, x, "zeroinitializer", v.floats)
            self.set(self.part, self.plus(self.now(self.part), x))
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
        """The chain at hand joins the total."""
        v = self.v
        if self.nest.how == "max":
            self.set(self.total, v.intrinsic("maximum", self.now(self.total), self.now(self.part)))
            return
        self.set(self.total, self.plus(self.now(self.total), self.now(self.part)))
        self.set(self.part, "zeroinitializer")
