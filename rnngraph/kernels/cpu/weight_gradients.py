"""Products over all rows, as the gradients of weights are: c = a.T @ d, for several a and the same d at once.

Rows are taken in chunks of about `DEPTH`. Of a chunk both factors are packed, the left one with the rows of a tile side
by side, and stay near while every tile of the results is added to. The terms of one unit of rows are one chain of fused
multiply-adds (of `DEPTH` at most), and the units are added in their order, so that it does not matter which units are
computed together, nor by which thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.products import DEPTH, ROWS, Shape, Writer
from rnngraph.kernels.cpu.vectors import Lanes

ROOM = 816 * DEPTH
"""Bytes of the left factor's packed rows of a chunk: they stay in the nearest memory but one. For as many rows of the
result as that is the right factor is packed once, so it should be many."""


def write(shape: Shape, sources: int, summed: bool, declared: set[str]) -> str:
    """The kernel `sums` for so many left factors; `summed` with the plain sum of the rows of d as well.

    Arguments d, the left factors, their results, the plain sum; then the entries from row to row of d, columns, rows,
    rows of a unit, whether the units go from the last to the first, whether to add, whether rows of zeros in d are left
    out (so that nothing shows of what is beside them); then for each left factor its
    entries from row to row, those of the result, and the rows of the result; then a mask over the rows, or null.
    Columns are counted in panels.
    """
    writer = _Sums(shape, declared)
    tiles = [writer.units_tile(rows) for rows in range(1, ROWS + 1)]
    return "\n\n".join([*tiles, writer.kernel(sources, summed)])


class _Sums(Writer):
    @property
    def tall(self) -> int:
        """Rows of a result that are worked on together."""
        return ROOM // (DEPTH * self.shape.bytes) // ROWS * ROWS

    def units_tile(self, rows: int) -> str:
        """Adds the units of a chunk to one tile, in their order: of each the sum of its terms to what stands there.
        Columns that fill no panel stand in a tile of their own meanwhile, as masks are slow to store."""
        shape = self.shape
        to = Function(f"units_{rows}", ["ptr %a", "ptr %b", "ptr %c", "i64 %ldc", "ptr %bounds", "i64 %count",
                                        "i64 %back", "i64 %left", "i64 %more"])  # fmt: skip
        v = self.lanes(to)
        sums = self.zero_sums(to, v, rows)
        lines = [self.at(to, "%c", to.mul(i, "%ldc")) for i in range(rows)]
        room = to.variable(f"[{rows * shape.panel} x {shape.element}]")
        apart = [self.at(to, room, i * shape.panel) for i in range(rows)]
        masks = [v.first(to.sub("%left", j * shape.width)) for j in range(shape.across)]
        few = to.let(f"icmp slt i64 %left, {shape.panel}")
        with to.when(to.let(f"and i1 {few}, {to.let('icmp ne i64 %more, 0')}")):
            self.copied(to, v, lines, apart, masks)
        here = [to.let(f"select i1 {few}, ptr {a}, ptr {line}") for a, line in zip(apart, lines, strict=True)]
        with to.loop(0, "%count") as m:
            low, high = self.unit(to, m)
            self.clear(to, v, sums)
            whole = to.add(low, to.mul(to.div(to.sub(high, low), 8), 8))
            for first, last, many in ((low, whole, 8), (whole, high, 1)):
                with to.loop(first, last, many) as start:
                    for n in range(many):
                        k = to.add(start, n)
                        b, a = self.at(to, "%b", to.mul(k, shape.panel)), self.at(to, "%a", to.mul(k, ROWS))
                        columns = [v.load(self.at(to, b, j * shape.width), shape.dtype) for j in range(shape.across)]
                        for i in range(rows):
                            self.grow(to, v, sums[i], v.load_one(self.at(to, a, i), shape.dtype), columns)
            self.stored_columns(to, v, sums, here, [(self.more(to, m), here)], [None] * shape.across)
        with to.when(few):
            self.copied(to, v, apart, lines, masks)
        return to.text()

    def copied(
        self, to: Function, v: Lanes, lines: Sequence[str], others: Sequence[str], masks: Sequence[str]
    ) -> None:
        """The masked columns of some lines to others."""
        for line, other in zip(lines, others, strict=True):
            for j, v.mask in enumerate(masks):
                x = v.load(self.at(to, line, j * self.shape.width), self.shape.dtype)
                v.store(x, self.at(to, other, j * self.shape.width), self.shape.dtype)
        v.mask = None

    def more(self, to: Function, m: Number) -> str:
        """Whether the unit at place m is added to what stands there."""
        return to.let(f"icmp ne i64 {to.let(f'or i64 %more, {m}')}, 0")

    def unit(self, to: Function, m: Number) -> tuple[Number, Number]:
        """First packed row and end of the unit that comes at place m."""
        turned = to.let("icmp ne i64 %back, 0")
        place = to.let(f"select i1 {turned}, i64 {to.sub(to.sub('%count', 1), m)}, i64 {m}")
        return to.word("%bounds", place), to.word("%bounds", to.add(place, 1))

    def plain(self) -> str:
        """Adds the plain sums of the units of a packed chunk."""
        to = Function("plain", ["ptr %b", "ptr %c", "ptr %bounds", "i64 %count", "i64 %back", "i64 %left", "i64 %more"])
        v, shape = self.lanes(to), self.shape
        [sums] = self.zero_sums(to, v, 1)
        with to.loop(0, "%count") as m:
            low, high = self.unit(to, m)
            self.clear(to, v, [sums])
            with to.loop(low, high) as k:
                b = self.at(to, "%b", to.mul(k, shape.panel))
                for j, place in enumerate(sums):
                    x = v.load(self.at(to, b, j * shape.width), shape.dtype)
                    old = to.let(f"load {v.floats}, ptr {place}")
                    to.do(f"store {v.floats} {v.two('fadd', old, x)}, ptr {place}")
            self.stored(to, v, [sums], ["%c"], [(self.more(to, m), ["%c"])])
        return to.text()

    def kernel(self, sources: int, summed: bool) -> str:
        to = Function("sums", KERNEL)
        d = to.pointer("%args", 0)
        first = 1 + 2 * sources + summed
        ldd, columns, rows, unit, back, add, sparse = (to.word("%args", first + i) for i in range(7))
        factors = [_Factor(to, i, sources, first + 7 + 3 * i) for i in range(sources)]
        whole = to.pointer("%args", 1 + 2 * sources) if summed else ""
        mask = to.pointer("%args", first + 7 + 3 * sources)
        # The last vector of packed rows may reach beyond them.
        sizes = (DEPTH * n + self.shape.width for n in (self.tall, self.shape.panel))
        room_a, room_d = (to.variable(f"[{size} x {self.shape.element}]") for size in sizes)
        listed, bounds = to.variable(f"[{DEPTH} x i64]"), to.variable(f"[{DEPTH + 1} x i64]")
        # Small units go together in a chunk of about DEPTH rows; a large unit is cut into several.
        together = to.let(f"call i64 @llvm.smax.i64(i64 {to.div(DEPTH, unit)}, i64 1)")
        width = to.mul(together, unit)
        chunks = to.div(to.sub(to.add(rows, width), 1), width)
        turned = to.let(f"icmp ne i64 {back}, 0")
        with to.when(to.let(f"icmp eq i64 {to.let(f'or i64 {rows}, {add}')}, 0")):
            self.nothing(to, factors, whole, columns)
        with to.loop(0, chunks) as n:
            place = to.let(f"select i1 {turned}, i64 {to.sub(to.sub(chunks, 1), n)}, i64 {n}")
            low = to.mul(place, width)
            high = to.least(to.add(low, width), rows)
            with to.loop(low, high, DEPTH) as part:
                tall = to.sub(to.least(to.add(part, DEPTH), high), part)
                more = to.let(f"or i64 {add}, {to.add(n, to.sub(part, low))}")
                which = _Taken(mask, to.let(f"icmp ne i64 {sparse}, 0"), d, ldd, columns)
                depth, count = self.taken(to, part, tall, unit, which, listed, bounds)
                chunk = _Chunk(part, depth, listed, bounds, count, back, more, d, ldd, columns, room_a, room_d)
                for i, factor in enumerate(factors):
                    self.factor(to, factor, chunk, whole if i == 0 else "")
        text = to.text()
        return "\n\n".join([self.plain(), text]) if summed else text

    def taken(
        self, to: Function, first: Number, rows: Number, unit: Number, which: _Taken, listed: str, bounds: str
    ) -> tuple[Number, Number]:
        """Lists the rows of a chunk that are taken, and where each unit begins among them. Returns how many rows and
        how many units there are."""
        count: Number = to.div(to.sub(to.add(rows, unit), 1), unit)
        filled = to.variable("i64")
        to.do(f"store i64 0, ptr {filled}")
        masked = to.let(f"icmp ne ptr {which.mask}, null")
        with to.loop(0, count) as m:
            start = to.mul(m, unit)
            to.do(f"store i64 {to.let(f'load i64, ptr {filled}')}, ptr {to.at(bounds, m, 'i64')}")
            with to.loop(start, to.least(to.add(start, unit), rows)) as row:
                place, one = to.let(f"load i64, ptr {filled}"), to.variable("i64")
                to.do(f"store i64 1, ptr {one}")
                with to.when(masked):
                    byte = to.let(f"load i8, ptr {to.at(which.mask, to.add(first, row), 'i8')}")
                    to.do(f"store i64 {to.let(f'zext i8 {byte} to i64')}, ptr {one}")
                with to.when(which.sparse):
                    start_of_row = self.at(to, which.d, to.mul(to.add(first, row), which.ldd))
                    self.drop_zeros(to, start_of_row, which.columns, one)
                to.do(f"store i64 {row}, ptr {to.at(listed, place, 'i64')}")
                to.do(f"store i64 {to.add(place, to.let(f'load i64, ptr {one}'))}, ptr {filled}")
        depth = to.let(f"load i64, ptr {filled}")
        to.do(f"store i64 {depth}, ptr {to.at(bounds, count, 'i64')}")
        return depth, count

    def drop_zeros(self, to: Function, row: str, columns: Number, one: str) -> None:
        """Does not take a row of zeros."""
        bits, seen = f"i{8 * self.shape.bytes}", to.variable("i64")
        to.do(f"store i64 0, ptr {seen}")

        def goes_on() -> str:
            place = to.let(f"load i64, ptr {seen}")
            inside = to.let(f"icmp slt i64 {place}, {columns}")
            # The last entry is looked at once more behind the end.
            entry = to.let(f"load {bits}, ptr {self.at(to, row, to.least(place, to.sub(columns, 1)))}")
            return to.let(f"and i1 {inside}, {to.let(f'icmp eq {bits} {entry}, 0')}")

        with to.while_(goes_on):
            to.do(f"store i64 {to.add(to.let(f'load i64, ptr {seen}'), 1)}, ptr {seen}")
        with to.when(to.let(f"icmp eq i64 {to.let(f'load i64, ptr {seen}')}, {columns}")):
            to.do(f"store i64 0, ptr {one}")

    def factor(self, to: Function, factor: _Factor, chunk: _Chunk, whole: str) -> None:
        """One chunk of rows of one left factor."""
        tiles = to.div(to.add(factor.height, ROWS - 1), ROWS)
        blocks = to.add(to.div(to.sub(tiles, 1), self.tall // ROWS), 1)
        even = to.mul(to.div(to.sub(to.add(tiles, blocks), 1), blocks), ROWS)
        with to.loop(0, factor.height, even) as top:
            block = to.least(to.sub(factor.height, top), even)
            source = self.at(to, factor.a, to.add(to.mul(chunk.first, factor.lda), top))
            self.pack_left(to, source, factor.lda, chunk, block)
            with to.loop("%c0", "%c1") as p:
                column = to.mul(p, self.shape.panel)
                left = to.sub(chunk.columns, column)
                start = self.at(to, chunk.d, to.add(to.mul(chunk.first, chunk.ldd), column))
                self.pack_rows(to, self.lanes(to), start, chunk.ldd, chunk.room_d, chunk.depth, left, chunk.listed)
                if whole:
                    with to.when(to.let(f"icmp eq i64 {top}, 0")):
                        self.call(to, "plain", f"ptr {chunk.room_d}", f"ptr {self.at(to, whole, column)}",
                                  f"ptr {chunk.bounds}", f"i64 {chunk.count}", f"i64 {chunk.back}", f"i64 {left}",
                                  f"i64 {chunk.more}")  # fmt: skip
                with to.loop(0, block, ROWS) as i:
                    target = self.at(to, factor.c, to.add(to.mul(to.add(top, i), factor.ldc), column))
                    self.chosen(to, to.least(to.sub(block, i), ROWS), {n: f"units_{n}" for n in range(1, ROWS + 1)},
                                (f"ptr {self.at(to, chunk.room_a, to.mul(i, chunk.depth))}", f"ptr {chunk.room_d}",
                                 f"ptr {target}", f"i64 {factor.ldc}", f"ptr {chunk.bounds}", f"i64 {chunk.count}",
                                 f"i64 {chunk.back}", f"i64 {left}", f"i64 {chunk.more}"))  # fmt: skip

    def nothing(self, to: Function, factors: list[_Factor], whole: str, columns: Number) -> None:
        """Sums over no rows, in the panels of this thread."""
        start = to.mul("%c0", self.shape.panel)
        end = to.least(to.mul("%c1", self.shape.panel), columns)
        for factor in factors:
            with to.loop(0, factor.height) as i, to.loop(start, end) as j:
                place = self.at(to, factor.c, to.add(to.mul(i, factor.ldc), j))
                to.do(f"store {self.shape.element} 0.0, ptr {place}")
        if whole:
            with to.loop(start, end) as j:
                to.do(f"store {self.shape.element} 0.0, ptr {self.at(to, whole, j)}")

    def pack_left(self, to: Function, a: str, lda: Number, chunk: _Chunk, height: Number) -> None:
        """The left factor of a chunk with the rows of each tile side by side."""
        v, width = self.lanes(to), self.shape.width
        with to.loop(0, height, ROWS) as i:
            tall = to.least(to.sub(height, i), ROWS)
            group = self.at(to, chunk.room_a, to.mul(i, chunk.depth))
            masks = [v.first(to.sub(tall, j)) for j in range(0, ROWS, width)]
            with to.loop(0, chunk.depth) as k:
                source = self.at(to, a, to.add(to.mul(to.word(chunk.listed, k), lda), i))
                out = self.at(to, group, to.mul(k, ROWS))
                for j, v.mask in enumerate(masks):
                    x = v.load(self.at(to, source, j * width), self.shape.dtype)
                    # Whole vectors, as masks are slow to store; what is beyond is written over by the next row.
                    v.mask = None
                    v.store(x, self.at(to, out, j * width), self.shape.dtype)


class _Taken(NamedTuple):
    """Which rows are taken: where the mask holds, if it is not null; those of d that are no zeros, if it is sparse."""

    mask: str
    sparse: str
    d: str
    ldd: Number
    columns: Number


class _Factor:
    """The arguments of one left factor and its result."""

    def __init__(self, to: Function, i: int, sources: int, first: int) -> None:
        self.a, self.c = to.pointer("%args", 1 + i), to.pointer("%args", 1 + sources + i)
        self.lda, self.ldc, self.height = (to.word("%args", first + j) for j in range(3))


class _Chunk:
    """Some rows of d: those that are taken, the units that they fall into, and where they are packed."""

    def __init__(self, first: Number, depth: Number, listed: str, bounds: str, count: Number, back: Number,
                 more: Number, d: str, ldd: Number, columns: Number, room_a: str, room_d: str) -> None:  # fmt: skip
        self.first, self.depth, self.listed, self.bounds, self.count = first, depth, listed, bounds, count
        self.back, self.more = back, more
        self.d, self.ldd, self.columns = d, ldd, columns
        self.room_a, self.room_d = room_a, room_d

