"""Matrix products on packed operands.

A matrix of weights is packed into panels of a few vectors' width, once for all the steps of a sequence; a tile of
six rows by one panel is kept in registers for a whole block of `DEPTH` terms. Each entry of a product is the sum over
blocks of terms in order, each block one chain of fused multiply-adds. So its bits depend neither on the number of rows
nor on which thread computes it.

K. Goto, R. van de Geijn (2008), "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct

from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.vectors import Lanes

ROWS = 6
"""Rows of a tile: with four vectors across it takes 24 of 32 registers."""

DEPTH = 256
"""Terms of one chain."""

SUMS = 8
"""So many vectors of sums should grow at once: each can be added to once in four clocks, two in each clock."""

CHUNK = 192
"""Rows that go through all panels before the next rows do."""

LINE = 64
"""Bytes that a cache fetches at once."""

TILE = ("ptr %a", "i64 %lda", "ptr %b", "i64 %apart", "ptr %c", "i64 %ldc", "i64 %terms", "ptr %d", "i64 %ldd",
        "i64 %left", "i64 %more", "ptr %rows")  # fmt: skip
"""What a tile is given."""

Plus = tuple[str, Sequence[str]]
"""What is added to the sums of a tile: whether it is (i1), and its lines."""


class Shape(Struct, frozen=True):
    """What the product kernels of one module have in common: vectors of `width` floats, panels of `across` vectors."""

    dtype: str
    width: int
    across: int

    @property
    def panel(self) -> int:
        return self.width * self.across

    @property
    def together(self) -> int:
        """How many panels are packed at once: as many as four lines of a cache hold."""
        return max(1, 4 * LINE // (self.panel * self.bytes))

    @property
    def element(self) -> str:
        return "float" if self.dtype == "float32" else "double"

    @property
    def bytes(self) -> int:
        return 4 if self.dtype == "float32" else 8


def write(shape: Shape, declared: set[str]) -> str:
    """The text of the kernels `product`, `product_alone` and `pack` for one shape of panels."""
    writer = Writer(shape, declared)
    tiles = [writer.tile(rows, panels) for rows, panels in writer.shapes]
    return "\n\n".join([*tiles, writer.product(), writer.product_alone(), writer.pack()])


class Writer:
    def __init__(self, shape: Shape, declared: set[str]) -> None:
        self.shape, self.declared = shape, declared

    def lanes(self, to: Function) -> Lanes:
        return Lanes(to, self.shape.width, self.shape.element, self.declared)

    def at(self, to: Function, pointer: str, entries: Number) -> str:
        return to.at(pointer, entries, self.shape.element)

    # --- one tile ---

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and panels of each tile."""
        return [(rows, panels) for rows in range(1, ROWS + 1) for panels in range(1, self.beside(rows) + 1)]

    def together(self, to: Function, rows: Number) -> Number:
        """How many panels are read side by side for all rows there are."""
        found: Number = 1
        for few in range(1, ROWS):
            if (panels := self.beside(few)) > 1:
                found = to.let(f"select i1 {to.let(f'icmp eq i64 {rows}, {few}')}, i64 {panels}, i64 {found}")
        return found

    def beside(self, rows: int) -> int:
        """How many panels are read side by side for so many rows."""
        # Four vectors across read memory fast enough, and two of them at a time more slowly (docs/native.md).
        return max(1, SUMS // (rows * self.shape.across)) if self.shape.across < 4 else 1

    def tile(self, rows: int, panels: int) -> str:
        """c (+)= a @ b (+ d) for a tile of listed rows by some panels, which lie `%apart` entries apart.

        `%left` columns are stored; `%more` says whether to add to what stands there; `%d` may be null.
        """
        shape = self.shape
        to = Function(f"tile_{rows}_{panels}", TILE)
        v = self.lanes(to)
        sums = self.zero_sums(to, v, rows, panels)
        places = [to.word("%rows", i) for i in range(rows)]
        starts = [self.at(to, "%a", to.mul(place, "%lda")) for place in places]
        panel = [self.at(to, "%b", to.mul(p, "%apart")) for p in range(panels)]
        with to.loop(0, "%terms") as k:
            b = [self.at(to, start, to.mul(k, shape.panel)) for start in panel]
            columns = [v.load(self.at(to, at, j * shape.width), shape.dtype) for at in b for j in range(shape.across)]
            for i in range(rows):
                self.grow(to, v, sums[i], v.load_one(self.at(to, starts[i], k), shape.dtype), columns)
        c = [self.at(to, "%c", to.mul(place, "%ldc")) for place in places]
        d = [self.at(to, "%d", to.mul(place, "%ldd")) for place in places]
        added = to.let("icmp ne ptr %d, null")
        self.stored(to, v, sums, c, [(to.let("icmp ne i64 %more, 0"), c), (added, d)])
        return to.text()

    def zero_sums(self, to: Function, v: Lanes, rows: int, panels: int = 1) -> list[list[str]]:
        """Places for the sums of a tile."""
        sums = [[to.variable(v.floats) for _ in range(panels * self.shape.across)] for _ in range(rows)]
        self.clear(to, v, sums)
        return sums

    def clear(self, to: Function, v: Lanes, sums: list[list[str]]) -> None:
        for place in (place for row in sums for place in row):
            to.do(f"store {v.floats} zeroinitializer, ptr {place}")

    def grow(self, to: Function, v: Lanes, row: list[str], one: str, columns: list[str]) -> None:
        """Adds one term to the sums of one row of a tile."""
        for place, column in zip(row, columns, strict=True):
            old = to.let(f"load {v.floats}, ptr {place}")
            to.do(f"store {v.floats} {v.fma(one, column, old)}, ptr {place}")

    def stored(self, to: Function, v: Lanes, sums: list[list[str]], lines: Sequence[str], plus: Sequence[Plus]) -> None:
        """The sums of a tile to their lines, plus other lines in their order; a whole panel needs no masks."""
        across = len(sums[0])
        whole = to.let(f"icmp sge i64 %left, {across * self.shape.width}")
        with to.when(whole):
            self.stored_columns(to, v, sums, lines, plus, [None] * across)
        with to.when(to.let(f"xor i1 {whole}, true")):
            masks = [v.first(to.sub("%left", j * self.shape.width)) for j in range(across)]
            self.stored_columns(to, v, sums, lines, plus, masks)

    def stored_columns(
        self,
        to: Function,
        v: Lanes,
        sums: list[list[str]],
        lines: Sequence[str],
        plus: Sequence[Plus],
        masks: Sequence[str | None],
    ) -> None:
        for wanted, others in plus:
            with to.when(wanted):
                for sum, place in self.columns(to, v, sums, others, masks):
                    total = v.two("fadd", to.let(f"load {v.floats}, ptr {sum}"), v.load(place, self.shape.dtype))
                    to.do(f"store {v.floats} {total}, ptr {sum}")
        for sum, place in self.columns(to, v, sums, lines, masks):
            v.store(to.let(f"load {v.floats}, ptr {sum}"), place, self.shape.dtype)

    def columns(
        self, to: Function, v: Lanes, sums: list[list[str]], lines: Sequence[str], masks: Sequence[str | None]
    ) -> Iterator[tuple[str, str]]:
        """Every sum of a tile with its vector in these lines, under its mask."""
        for row, line in zip(sums, lines, strict=True):
            for j, v.mask in enumerate(masks):
                yield row[j], self.at(to, line, j * self.shape.width)
        v.mask = None

    # --- a product with weights ---

    def product(self) -> str:
        """c = a @ b (+ d) over rows and panels; arguments a, b packed, d or null, c, lda, ldd, ldc, terms, columns, and
        whether the panels go from the last to the first."""
        to = Function("product", KERNEL)
        a, b, d, c = (to.pointer("%args", i) for i in range(4))
        lda, ldd, ldc, terms, columns = (to.word("%args", i) for i in range(4, 9))
        panel = self.shape.panel
        added = to.let(f"icmp ne ptr {d}, null")
        back = to.let(f"icmp ne i64 {to.word('%args', 9)}, 0")
        tiles_by_shape = {rows + (ROWS + 1) * panels: f"tile_{rows}_{panels}" for rows, panels in self.shapes}
        with to.loop("%r0", "%r1", CHUNK) as low:
            count = to.sub(to.least(to.add(low, CHUNK), "%r1"), low)
            tiles, together = _Tiles(to, count), self.together(to, count)
            rows, source, target, beside = self.listed(to, low, (a, lda), (c, ldc), (d, ldd))
            with to.loop("%c0", "%c1", together) as n, to.loop(0, terms, DEPTH) as k:
                panels = to.least(together, to.sub("%c1", n))
                turned = to.sub(to.sub(to.add("%c0", "%c1"), panels), n)
                p = to.let(f"select i1 {back}, i64 {turned}, i64 {n}")
                column, left = to.mul(p, panel), to.sub(terms, k)
                last = to.let(f"and i1 {added}, {to.let(f'icmp sle i64 {left}, {DEPTH}')}")
                plus = to.let(f"select i1 {last}, ptr {self.at(to, beside, column)}, ptr null")
                block = self.at(to, b, to.add(self.places(to, p, terms), to.mul(k, panel)))
                with tiles.each() as (first, take):
                    which = to.add(take, to.mul(panels, ROWS + 1))
                    self.chosen(to, which, tiles_by_shape, _given(TILE, (
                        self.at(to, source, k), lda, block, to.mul(terms, panel), self.at(to, target, column), ldc,
                        to.least(DEPTH, left), plus, ldd, to.sub(columns, column), k,
                        to.at(rows, first, "i64"))))  # fmt: skip
        return to.text()

    def product_alone(self) -> str:
        """The same with a matrix that nothing else reads: a few panels are packed, and go through all rows, before the
        next are. Its arguments are those of `product` with the matrix itself in the place of its panels, and the
        entries from term to term and from column to column in that of their direction."""
        to, shape = Function("product_alone", KERNEL), self.shape
        a, b, d, c = (to.pointer("%args", i) for i in range(4))
        lda, ldd, ldc, terms, columns, term, column = (to.word("%args", i) for i in range(4, 11))
        room = to.variable(f"[{DEPTH * shape.panel * shape.together} x {shape.element}]")
        added = to.let(f"icmp ne ptr {d}, null")
        tiles_by_shape = {rows: f"tile_{rows}_1" for rows in range(1, ROWS + 1)}
        with to.loop("%c0", "%c1", shape.together) as n, to.loop(0, terms, DEPTH) as k:
            start, left = to.mul(n, shape.panel), to.sub(terms, k)
            depth = to.least(DEPTH, left)
            wanted = to.let(f"and i1 {added}, {to.let(f'icmp sle i64 {left}, {DEPTH}')}")
            panels, apart = to.least(shape.together, to.sub("%c1", n)), to.mul(depth, shape.panel)
            place = self.at(to, b, to.add(to.mul(k, term), to.mul(start, column)))
            self.panels(to, place, (term, column), room, apart, panels, depth, to.sub(columns, start))
            with to.loop("%r0", "%r1", CHUNK) as low:
                tiles = _Tiles(to, to.sub(to.least(to.add(low, CHUNK), "%r1"), low))
                rows, source, target, beside = self.listed(to, low, (a, lda), (c, ldc), (d, ldd))
                with tiles.each() as (row, take), to.loop(0, panels) as p:
                    first = to.add(start, to.mul(p, shape.panel))
                    plus = to.let(f"select i1 {wanted}, ptr {self.at(to, beside, first)}, ptr null")
                    self.chosen(to, take, tiles_by_shape, _given(TILE, (
                        self.at(to, source, k), lda, self.at(to, room, to.mul(p, apart)), 0, self.at(to, target, first),
                        ldc, depth, plus, ldd, to.sub(columns, first), k, to.at(rows, row, "i64"))))  # fmt: skip
        return to.text()

    def listed(self, to: Function, low: Number, *arrays: tuple[str, str]) -> tuple[str, ...]:
        """The list of the rows from `low` on, and the arrays (with entries from row to row) that it counts in. Without
        a list given it is 0, 1, 2..., and the arrays begin at `low`."""
        numbers = ", ".join(f"i64 {i}" for i in range(CHUNK))
        self.declared.add(f"@in_order = private constant [{CHUNK} x i64] [{numbers}]")
        given = to.let("icmp ne ptr %rows, null")
        rows = to.let(f"select i1 {given}, ptr {to.at('%rows', low, 'i64')}, ptr @in_order")
        start = to.let(f"select i1 {given}, i64 0, i64 {low}")
        return rows, *(self.at(to, array, to.mul(start, row)) for array, row in arrays)

    def places(self, to: Function, panel: Number, terms: Number) -> Number:
        return to.mul(to.mul(panel, terms), self.shape.panel)

    def call(self, to: Function, name: str, *arguments: str) -> None:
        to.do(f"call void @{name}({', '.join(arguments)})")

    def chosen(self, to: Function, which: Number, tiles: Mapping[int, str], arguments: tuple[str, ...]) -> None:
        """Calls one of some tiles."""
        name = to.fresh()
        cases = " ".join(f"i64 {i}, label %{name}.{i}" for i in tiles)
        to.do(f"switch i64 {which}, label %{name}.end [{cases}]")
        for i, tile in tiles.items():
            to.lines.append(f"{name}.{i}:")
            self.call(to, tile, *arguments)
            to.do(f"br label %{name}.end")
        to.lines.append(f"{name}.end:")

    # --- packing ---

    def pack(self) -> str:
        """Panels c0 to c1 of a matrix; arguments source, target, entries from term to term and from column to column,
        terms, columns. What is beyond the last column is zero."""
        shape = self.shape
        to = Function("pack", KERNEL)
        source, target = to.pointer("%args", 0), to.pointer("%args", 1)
        term, column, terms, columns = (to.word("%args", i) for i in range(2, 6))
        apart = to.mul(terms, shape.panel)
        with to.loop("%c0", "%c1", shape.together) as n:
            first, panels = to.mul(n, shape.panel), to.least(shape.together, to.sub("%c1", n))
            place, out = self.at(to, source, to.mul(first, column)), self.at(to, target, to.mul(n, apart))
            self.panels(to, place, (term, column), out, apart, panels, terms, to.sub(columns, first))
        return to.text()

    def panels(self, to: Function, start: str, apart: tuple[Number, Number], out: str, step: Number, panels: Number,
               terms: Number, left: Number) -> None:  # fmt: skip
        """Some terms of a few panels, `step` entries after each other, of which `left` columns are there."""
        term, column = apart
        v, beside = self.lanes(to), to.let(f"icmp eq i64 {column}, 1")
        whole = to.let(f"select i1 {beside}, i64 {to.least(panels, to.div(left, self.shape.panel))}, i64 0")
        self.pack_whole(to, v, start, term, out, step, whole, terms)
        with to.loop(whole, panels) as p:
            first = to.mul(p, self.shape.panel)
            place, room = self.at(to, start, to.mul(first, column)), self.at(to, out, to.mul(p, step))
            with to.when(beside):
                self.pack_rows(to, v, place, term, room, terms, to.sub(left, first))
            with to.when(to.let(f"xor i1 {beside}, true")):
                self.pack_columns(to, v, place, term, column, room, terms, to.sub(left, first))

    def pack_whole(self, to: Function, v: Lanes, start: str, term: Number, out: str, step: Number, panels: Number,
                   terms: Number) -> None:  # fmt: skip
        """Whole panels whose columns lie side by side, a few at a time: to step from row to row is to step from page to
        page. What comes next in each row is fetched meanwhile."""
        shape = self.shape
        with to.loop(0, terms) as k, to.loop(0, panels) as p:
            row = self.at(to, start, to.add(to.mul(k, term), to.mul(p, shape.panel)))
            place = self.at(to, out, to.add(to.mul(p, step), to.mul(k, shape.panel)))
            for j in range(0, shape.panel, LINE // shape.bytes):
                self.fetched(to, self.at(to, row, shape.together * shape.panel + j))
            for j in range(0, shape.panel, shape.width):
                v.store(v.load(self.at(to, row, j), shape.dtype), self.at(to, place, j), shape.dtype)

    def fetched(self, to: Function, place: str) -> None:
        """Asks for a line of the cache that is read soon; nothing is read, so it may lie outside of all arrays."""
        self.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        to.do(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def pack_columns(self, to: Function, v: Lanes, start: str, term: Number, column: Number, out: str, terms: Number,
                     left: Number) -> None:  # fmt: skip
        """One panel whose columns lie apart; where the terms of each lie side by side, a square of numbers at a time is
        turned in the registers."""
        shape, width = self.shape, self.shape.width
        turned = to.let(f"and i1 {to.let(f'icmp eq i64 {term}, 1')}, {to.let(f'icmp sge i64 {left}, {shape.panel}')}")
        squares = to.let(f"select i1 {turned}, i64 {to.mul(to.div(terms, width), width)}, i64 0")
        with to.loop(0, squares, width) as k:
            for first in range(0, shape.panel, width):
                lines = [self.at(to, start, to.add(to.mul(first + i, column), k)) for i in range(width)]
                for i, row in enumerate(v.turned([v.load(line, shape.dtype) for line in lines])):
                    v.store(row, self.at(to, out, to.add(to.mul(to.add(k, i), shape.panel), first)), shape.dtype)
        with to.loop(0, shape.panel) as j:
            known = to.let(f"icmp slt i64 {j}, {left}")
            line = to.let(f"select i1 {known}, ptr {self.at(to, start, to.mul(j, column))}, ptr {start}")
            with to.loop(squares, terms) as k:
                x = to.let(f"load {shape.element}, ptr {self.at(to, line, to.mul(k, term))}")
                x = to.let(f"select i1 {known}, {shape.element} {x}, {shape.element} 0.0")
                to.do(f"store {shape.element} {x}, ptr {self.at(to, out, to.add(to.mul(k, shape.panel), j))}")

    def pack_rows(
        self, to: Function, v: Lanes, start: str, term: Number, out: str, terms: Number, left: Number, listed: str = ""
    ) -> None:
        """Some rows of one panel whose columns lie side by side; the listed ones, if there is a list."""
        shape = self.shape
        masks = [v.first(to.sub(left, j * shape.width)) for j in range(shape.across)]
        with to.loop(0, terms) as k:
            row = self.at(to, start, to.mul(to.word(listed, k) if listed else k, term))
            place = self.at(to, out, to.mul(k, shape.panel))
            for j, mask in enumerate(masks):
                v.mask = mask
                x = v.load(self.at(to, row, j * shape.width), shape.dtype)
                v.mask = None
                v.store(x, self.at(to, place, j * shape.width), shape.dtype)


def _given(params: Sequence[str], values: Sequence[Number]) -> tuple[str, ...]:
    """Values with the types of what they are given for."""
    return tuple(f"{param.split()[0]} {value}" for param, value in zip(params, values, strict=True))


class _Tiles:
    """Some rows as tiles of at most `ROWS`, as even as they go."""

    def __init__(self, to: Function, rows: Number) -> None:
        self.to = to
        self.count = to.div(to.add(rows, ROWS - 1), ROWS)
        self.fewest = to.let(f"udiv i64 {rows}, {self.count}")
        self.larger = to.rem(rows, self.count)

    @contextmanager
    def each(self) -> Iterator[tuple[Number, Number]]:
        """The lines of the block for each tile, given its first row and the number of its rows."""
        to, place = self.to, self.to.variable("i64")
        to.do(f"store i64 0, ptr {place}")
        with to.loop(0, self.count) as i:
            first = to.let(f"load i64, ptr {place}")
            large = to.let(f"icmp slt i64 {i}, {self.larger}")
            take = to.add(self.fewest, to.let(f"zext i1 {large} to i64"))
            yield first, take
            to.do(f"store i64 {to.add(first, take)}, ptr {place}")
