"""Products of a few rows with weights as they lie: to pack a matrix takes longer than to read it for some rows.

Where a text is generated a step at a time, each weight is read once. The rows of the matrix are walked in their order,
many columns of them at a time, and added to sums that stay near. The terms of an entry are the same chain as in a tile
(`products.py`), so its bits are too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.packing import Pack
from rnngraph.kernels.cpu.products import DEPTH, Shape, Writer
from rnngraph.kernels.kernel import Product, Sizes, rows_of
from rnngraph.planning.program import Code, Group, Program, Ref, Repeat, groups_of

FEW = 16
"""Up to so many rows, of all products with a matrix together, it is not packed."""

HELD, WIDE = 8, 1024
"""Rows and columns of the sums that are held at once."""

TERMS = 8
"""Terms that are added between reading a sum and writing it."""


def in_place(program: Program, sizes: Sizes) -> dict[int, Ref]:
    """Of slots for panels that are not worth packing, the weights that they would be packed from."""
    rows = Counter[int]()
    for group, times in _products(program.code, sizes, 1):
        rows[group.ins[1].slot] += times * group.kernel.each * rows_of(group.kernel.axes, sizes)
    packs = (g for g in groups_of(program.code) if isinstance(g.kernel, Pack))
    return {
        pack.outs[0].slot: pack.ins[0]
        for pack in packs
        # What a program computes may be overwritten before the product.
        if program.categories[pack.ins[0].slot] == "parameters" and pack.kernel.column == 1
        and rows[pack.outs[0].slot] <= FEW
    }  # fmt: skip


def _products(code: Sequence[Code], sizes: Sizes, times: int) -> Iterator[tuple[Group, int]]:
    """Every product with how often it is made."""
    for item in code:
        if isinstance(item, Repeat):
            yield from _products((*item.body, *item.rest), sizes, times * sizes[item.axis])
        elif isinstance(item, Group) and isinstance(item.kernel, Product):
            yield item, times


def write(shape: Shape, declared: set[str]) -> str:
    """The text of the kernel `direct`; its arguments are those of `product` with the matrix itself in the place of its
    panels, and the entries between its rows in that of their direction."""
    return _Direct(shape, declared).kernel()


class _Direct(Writer):
    def kernel(self) -> str:
        to, shape = Function("direct", KERNEL), self.shape
        a, b, d, c = (to.pointer("%args", i) for i in range(4))
        lda, ldd, ldc, terms, columns, ldb = (to.word("%args", i) for i in range(4, 10))
        room = to.variable(f"[{HELD * WIDE} x {shape.element}]")
        added = to.let(f"icmp ne ptr {d}, null")
        start, end = to.mul("%c0", shape.panel), to.least(to.mul("%c1", shape.panel), columns)
        with to.loop("%r0", "%r1", HELD) as low:
            count = to.least(to.sub("%r1", low), HELD)
            rows, source, target, beside = self.listed(to, low, (a, lda), (c, ldc), (d, ldd))
            with to.loop(start, end, WIDE) as column, to.loop(0, terms, DEPTH) as k:
                wide, left = to.least(to.sub(end, column), WIDE), to.sub(terms, k)
                matrix = self.at(to, b, to.add(to.mul(k, ldb), column))
                self.summed(to, room, rows, count, wide, (self.at(to, source, k), lda), (matrix, ldb), left)
                more = to.let(f"icmp ne i64 {k}, 0")
                last = to.let(f"and i1 {added}, {to.let(f'icmp sle i64 {left}, {DEPTH}')}")
                with to.loop(0, count) as i:
                    place = to.word(rows, i)
                    line = self.at(to, target, to.add(to.mul(place, ldc), column))
                    other = self.at(to, beside, to.add(to.mul(place, ldd), column))
                    self.handed_out(to, self.held(to, room, i), wide, line, [(more, line), (last, other)])
        return to.text()

    def held(self, to: Function, room: str, row: Number) -> str:
        return self.at(to, room, to.mul(row, WIDE))

    def summed(self, to: Function, room: str, rows: str, count: Number, wide: Number, left: tuple[str, Number],
               matrix: tuple[str, Number], terms: Number) -> None:  # fmt: skip
        """One block of terms into the sums that are held, from zero."""
        (a, lda), (b, ldb), dtype = left, matrix, self.shape.dtype
        depth = to.least(terms, DEPTH)
        whole = to.mul(to.div(depth, TERMS), TERMS)
        with to.loop(0, count) as i:
            held, v = self.held(to, room, i), self.lanes(to)
            with to.loop(0, wide, self.shape.width) as j:
                v.store("zeroinitializer", self.at(to, held, j), dtype)
        for first, last, many in ((0, whole, TERMS), (whole, depth, 1)):
            with to.loop(first, last, many) as term, to.loop(0, count) as i:
                row = self.at(to, a, to.add(to.mul(to.word(rows, i), lda), term))
                ones = [self.lanes(to).load_one(self.at(to, row, n), dtype) for n in range(many)]
                lines = [self.at(to, b, to.mul(to.add(term, n), ldb)) for n in range(many)]
                self.grown(to, self.held(to, room, i), wide, ones, lines)

    def grown(self, to: Function, held: str, wide: Number, ones: Sequence[str], lines: Sequence[str]) -> None:
        """Adds some terms to the sums of one row, which are held in whole vectors."""
        dtype, v = self.shape.dtype, self.lanes(to)

        def grow(j: Number) -> None:
            terms = [v.load(self.at(to, line, j), dtype) for line in lines]
            v.mask = None
            place = self.at(to, held, j)
            total = v.load(place, dtype)
            for one, term in zip(ones, terms, strict=True):
                total = v.fma(one, term, total)
            v.store(total, place, dtype)

        v.along(wide, grow)

    def handed_out(self, to: Function, held: str, wide: Number, line: str, plus: Sequence[tuple[str, str]]) -> None:
        """The sums of one row to its line, plus other lines in their order."""
        dtype, v = self.shape.dtype, self.lanes(to)

        def hand_out(j: Number) -> None:
            mask, v.mask = v.mask, None
            place, total = to.variable(v.floats), v.load(self.at(to, held, j), dtype)
            to.do(f"store {v.floats} {total}, ptr {place}")
            v.mask = mask
            for wanted, other in plus:
                with to.when(wanted):
                    total = v.two("fadd", to.let(f"load {v.floats}, ptr {place}"), v.load(self.at(to, other, j), dtype))
                    to.do(f"store {v.floats} {total}, ptr {place}")
            v.store(to.let(f"load {v.floats}, ptr {place}"), self.at(to, line, j), dtype)

        v.along(wide, hand_out)
