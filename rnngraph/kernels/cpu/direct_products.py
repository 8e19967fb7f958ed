"""Products of a few rows with weights as they lie: to pack a matrix takes longer than to read it for some rows.

Where a text is generated a step at a time, each weight is read once. The rows of the matrix are walked in their order,
many columns of them at a time, and added to sums that stay near. The terms of an entry are the same chain as in a tile
(`products.py`), so its bits are too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rnngraph.ir.types import BATCH
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.packing import Pack
from rnngraph.kernels.cpu.products import DEPTH, Shape, Writer
from rnngraph.kernels.kernel import Product, Sizes, rows_of
from rnngraph.planning.program import Code, Group, Program, Ref, Repeat, groups_of

FEW = 16
"""Up to so many rows, of all products with a matrix together, it is not packed."""

HELD, WIDE = 8, 2048
"""Rows and columns of the sums that are held at once."""

BLOCKS = (4, 3), (2, 8), (1, 8)
"""Rows that each number of the matrix is read for, and terms that are added between reading a sum and writing it: most
rows first, and what is left over by smaller blocks."""


def unpacked(program: Program, sizes: Sizes, threads: int) -> dict[int, tuple[Ref, str]]:
    """Of slots for panels that are not made, the weights that they would be packed from, and the kernel that takes
    these as they lie."""
    rows, products = Counter[int](), Counter[int]()
    for group, times in _products(program.code, sizes, 1):
        made, panels = program.slots[group.outs[0].slot], group.ins[1].slot
        rows[panels] += times * group.kernel.each * rows_of(group.kernel.axes, sizes)
        products[panels] += 1 if made.before(sizes) else times
    # Threads that share rows would each pack all columns.
    by_columns = threads == 1 or sizes[BATCH] < 2 * threads
    found = {}
    for group in groups_of(program.code):
        # What a program computes may be overwritten before the product.
        if isinstance(group.kernel, Pack) and program.categories[group.ins[0].slot] == "parameters":
            slot = group.outs[0].slot
            if _is_direct(rows[slot], group.kernel.column):
                found[slot] = group.ins[0], "direct"
            elif by_columns and products[slot] == 1:
                found[slot] = group.ins[0], "product_alone"
    return found


def alone(kernel: Product, sizes: Sizes) -> str:
    """The kernel for a product that alone reads its weights, which are never packed before."""
    return "direct" if _is_direct(kernel.each * rows_of(kernel.axes, sizes), kernel.column) else "product_alone"


def _is_direct(rows: int, column: int) -> bool:
    return rows <= FEW and column == 1


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
        dtype, depth = self.shape.dtype, to.least(terms, DEPTH)
        with to.loop(0, count) as i:
            held, v = self.held(to, room, i), self.lanes(to)
            with to.loop(0, wide, self.shape.width) as j:
                v.store("zeroinitializer", self.at(to, held, j), dtype)
        begin: Number = 0
        for beside, together in BLOCKS:
            end = to.add(begin, to.mul(to.div(to.sub(count, begin), beside), beside))
            whole = to.mul(to.div(depth, together), together)
            for first, last, many in ((0, whole, together), (whole, depth, 1)):
                with to.loop(first, last, many) as term, to.loop(begin, end, beside) as i:
                    block = [to.add(i, n) for n in range(beside)]
                    held_rows = [self.held(to, room, row) for row in block]
                    ones = [self.ones(to, left, to.word(rows, row), term, many) for row in block]
                    lines = [self.at(to, matrix[0], to.mul(to.add(term, n), matrix[1])) for n in range(many)]
                    self.grown(to, held_rows, wide, ones, lines)
            begin = end

    def ones(self, to: Function, left: tuple[str, Number], row: Number, term: Number, many: int) -> list[str]:
        """Some terms of a row, each in all lanes."""
        start = self.at(to, left[0], to.add(to.mul(row, left[1]), term))
        return [self.lanes(to).load_one(self.at(to, start, n), self.shape.dtype) for n in range(many)]

    def grown(
        self, to: Function, held: Sequence[str], wide: Number, ones: Sequence[Sequence[str]], lines: Sequence[str]
    ) -> None:
        """Adds some terms to the sums of some rows, which are held in whole vectors."""
        dtype, v = self.shape.dtype, self.lanes(to)

        def grow(j: Number) -> None:
            terms = [v.load(self.at(to, line, j), dtype) for line in lines]
            v.mask = None
            places = [self.at(to, row, j) for row in held]
            totals = [v.load(place, dtype) for place in places]
            for n, term in enumerate(terms):
                totals = [v.fma(row[n], term, total) for row, total in zip(ones, totals, strict=True)]
            for place, total in zip(places, totals, strict=True):
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
