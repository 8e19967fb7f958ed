"""Matrix products on packed operands.

A matrix of weights is packed into panels of a few vectors' width, once for all the steps of a sequence; a tile of
six rows by one panel is kept in registers for a whole block of `DEPTH` terms. Each entry of a product is the sum over
blocks of terms in order, each block one chain of fused multiply-adds. So its bits depend neither on the number of rows
nor on which thread computes it.

K. Goto, R. van de Geijn (2008), "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnngraph.runtime.native.lanes import Lanes
from rnngraph.runtime.native.text import KERNEL, Function, Number

ROWS = 6
"""Rows of a tile: with four vectors across it takes 24 of 32 registers."""

DEPTH = 256
"""Terms of one chain."""

CHUNK = 192
"""Rows that go through all panels before the next rows do."""


@dataclass(frozen=True)
class Shape:
    """What the product kernels of one module have in common: vectors of `width` floats, panels of `across` vectors."""

    dtype: str
    width: int
    across: int

    @property
    def panel(self) -> int:
        return self.width * self.across

    @property
    def element(self) -> str:
        return "float" if self.dtype == "float32" else "double"

    @property
    def bytes(self) -> int:
        return 4 if self.dtype == "float32" else 8


def write(shape: Shape, declared: set[str]) -> str:
    """The text of the kernels `product` and `pack` for one shape of panels."""
    writer = Writer(shape, declared)
    tiles = [writer.tile(rows) for rows in range(1, ROWS + 1)]
    return "\n\n".join([*tiles, writer.wide(), writer.product(), writer.pack()])


class Writer:
    def __init__(self, shape: Shape, declared: set[str]) -> None:
        self.shape, self.declared = shape, declared

    def lanes(self, to: Function) -> Lanes:
        return Lanes(to, self.shape.width, self.shape.element, self.declared)

    def at(self, to: Function, pointer: str, entries: Number) -> str:
        return to.at(pointer, entries, self.shape.element)

    # --- one tile ---

    def tile(self, rows: int) -> str:
        """c (+)= a @ b for a tile of listed rows by one panel.

        `%left` columns of the panel are stored; `%more` says whether to add to what stands there.
        """
        shape, across = self.shape, self.shape.across
        to = Function(f"tile_{rows}", ["ptr %a", "i64 %lda", "ptr %b", "ptr %c", "i64 %ldc", "i64 %terms",
                                       "i64 %left", "i64 %more", "ptr %rows"])  # fmt: skip
        v = self.lanes(to)
        sums = self.zero_sums(to, v, rows)
        places = [to.word("%rows", i) for i in range(rows)]
        starts = [self.at(to, "%a", to.mul(place, "%lda")) for place in places]
        with to.loop(0, "%terms") as k:
            b = self.at(to, "%b", to.mul(k, shape.panel))
            columns = [v.load(self.at(to, b, j * shape.width), shape.dtype) for j in range(across)]
            for i in range(rows):
                self.grow(to, v, sums[i], v.load_one(self.at(to, starts[i], k), shape.dtype), columns)
        self.stored(to, v, sums, "%more", places)
        return to.text()

    def zero_sums(self, to: Function, v: Lanes, rows: int) -> list[list[str]]:
        """Places for the sums of a tile."""
        sums = [[to.variable(v.floats) for _ in range(self.shape.across)] for _ in range(rows)]
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

    def stored(self, to: Function, v: Lanes, sums: list[list[str]], more: Number, places: Sequence[Number]) -> None:
        """The sums of a tile to their rows; a whole panel needs no masks."""
        whole = to.let(f"icmp sge i64 %left, {self.shape.panel}")
        with to.when(whole):
            self.stored_columns(to, v, sums, more, [None] * self.shape.across, places)
        with to.when(to.let(f"xor i1 {whole}, true")):
            masks = [v.first(to.sub("%left", j * self.shape.width)) for j in range(self.shape.across)]
            self.stored_columns(to, v, sums, more, masks, places)

    def stored_columns(
        self,
        to: Function,
        v: Lanes,
        sums: list[list[str]],
        more: Number,
        masks: Sequence[str | None],
        places: Sequence[Number],
    ) -> None:
        for place, row in zip(places, sums, strict=True):
            line = self.at(to, "%c", to.mul(place, "%ldc"))
            for j, v.mask in enumerate(masks):
                value = to.let(f"load {v.floats}, ptr {row[j]}")
                self.put(to, v, self.at(to, line, j * self.shape.width), value, more)
        v.mask = None

    def put(self, to: Function, v: Lanes, place: str, value: str, more: Number) -> None:
        old = v.load(place, self.shape.dtype)
        again = to.let(f"icmp ne i64 {more}, 0")
        total = v.two("fadd", old, value)
        v.store(to.let(f"select i1 {again}, {v.floats} {total}, {v.floats} {value}"), place, self.shape.dtype)

    def wide(self) -> str:
        """One row by two whole panels: with one panel the chains of one row would wait for each other."""
        shape, across = self.shape, self.shape.across
        to = Function("tile_wide", ["ptr %a", "ptr %b", "i64 %next", "ptr %c", "i64 %terms", "i64 %more"])
        v = self.lanes(to)
        sums = [to.variable(v.floats) for _ in range(2 * across)]
        self.clear(to, v, [sums])
        other = self.at(to, "%b", "%next")
        with to.loop(0, "%terms") as k:
            spread = v.load_one(self.at(to, "%a", k), shape.dtype)
            at = to.mul(k, shape.panel)
            for j, place in enumerate(sums):
                panel = self.at(to, "%b" if j < across else other, at)
                column = v.load(self.at(to, panel, j % across * shape.width), shape.dtype)
                old = to.let(f"load {v.floats}, ptr {place}")
                to.do(f"store {v.floats} {v.fma(spread, column, old)}, ptr {place}")
        for j, place in enumerate(sums):
            self.put(to, v, self.at(to, "%c", j * shape.width), to.let(f"load {v.floats}, ptr {place}"), "%more")
        return to.text()

    # --- a product with weights ---

    def product(self) -> str:
        """c = a @ b (+ d) over rows and panels; arguments a, b packed, d or null, c, lda, ldd, ldc, terms, columns."""
        to = Function("product", KERNEL)
        a, b, d, c = (to.pointer("%args", i) for i in range(4))
        lda, ldd, ldc, terms, columns = (to.word("%args", i) for i in range(4, 9))
        panel = self.shape.panel
        added = to.let(f"icmp ne ptr {d}, null")
        with to.loop("%r0", "%r1", CHUNK) as low:
            high = to.least(to.add(low, CHUNK), "%r1")
            first = self.in_pairs(to, to.sub(high, low), columns)
            rows, source, target, beside = self.listed(to, low, (a, lda), (c, ldc), (d, ldd))
            with to.loop("%c0", first, 2) as p:
                only = to.word(rows, 0)
                self.pair(to, self.at(to, source, to.mul(only, lda)), self.at(to, b, self.places(to, p, terms)),
                          self.at(to, target, to.add(to.mul(only, ldc), to.mul(p, panel))), terms)  # fmt: skip
            with to.loop(first, "%c1") as p:
                left = to.sub(columns, to.mul(p, panel))
                self.panel(to, to.sub(high, low), source, lda, self.at(to, b, self.places(to, p, terms)),
                           self.at(to, target, to.mul(p, panel)), ldc, terms, left, rows)  # fmt: skip
            with to.when(added), to.loop("%c0", "%c1") as p:
                column = to.mul(p, panel)
                self.plus(to, to.sub(high, low), self.at(to, beside, column), ldd, self.at(to, target, column), ldc,
                          to.sub(columns, column), rows)  # fmt: skip
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

    def in_pairs(self, to: Function, rows: Number, columns: Number) -> Number:
        """The first panel that is not taken in a pair: whole panels are, where there is one row."""
        one = to.let(f"icmp eq i64 {rows}, 1")
        panel = self.shape.panel
        pairs = to.div(to.sub(to.least(to.mul("%c1", panel), columns), to.mul("%c0", panel)), 2 * panel)
        return to.add("%c0", to.mul(to.let(f"select i1 {one}, i64 {pairs}, i64 0"), 2))

    def pair(self, to: Function, a: str, b: str, c: str, terms: Number) -> None:
        """One row by two panels."""
        with to.loop(0, terms, DEPTH) as k:
            depth = to.least(DEPTH, to.sub(terms, k))
            self.call(to, "tile_wide", f"ptr {self.at(to, a, k)}", f"ptr {self.at(to, b, to.mul(k, self.shape.panel))}",
                      f"i64 {to.mul(terms, self.shape.panel)}", f"ptr {c}", f"i64 {depth}", f"i64 {k}")  # fmt: skip

    def panel(self, to: Function, rows: Number, a: str, lda: Number, b: str, c: str, ldc: Number, terms: Number,
              left: Number, listed: str) -> None:  # fmt: skip
        """Some rows by one panel, block of terms by block."""
        with to.loop(0, terms, DEPTH) as k:
            depth = to.least(DEPTH, to.sub(terms, k))
            self.rows(to, rows, self.at(to, a, k), lda, self.at(to, b, to.mul(k, self.shape.panel)), c, ldc, depth,
                      left, k, listed)  # fmt: skip

    def plus(self, to: Function, rows: Number, d: str, ldd: Number, c: str, ldc: Number, left: Number,
             listed: str) -> None:  # fmt: skip
        """c += d for some rows of one panel."""
        shape, v = self.shape, self.lanes(to)
        masks = [v.first(to.sub(left, j * shape.width)) for j in range(shape.across)]
        with to.loop(0, rows) as i:
            row = to.word(listed, i)
            one, other = self.at(to, c, to.mul(row, ldc)), self.at(to, d, to.mul(row, ldd))
            for j, mask in enumerate(masks):
                v.mask = mask
                place = self.at(to, one, j * shape.width)
                more = v.load(self.at(to, other, j * shape.width), shape.dtype)
                v.store(v.two("fadd", more, v.load(place, shape.dtype)), place, shape.dtype)

    def places(self, to: Function, panel: Number, terms: Number) -> Number:
        return to.mul(to.mul(panel, terms), self.shape.panel)

    def call(self, to: Function, name: str, *arguments: str) -> None:
        to.do(f"call void @{name}({', '.join(arguments)})")

    def rows(self, to: Function, rows: Number, a: str, lda: Number, b: str, c: str, ldc: Number, terms: Number,
             left: Number, more: Number, listed: str) -> None:  # fmt: skip
        """Tiles over some listed rows, as even as they go."""
        place = to.variable("i64")
        to.do(f"store i64 0, ptr {place}")
        name = to.fresh()
        to.do(f"br label %{name}.next")
        to.lines.append(f"{name}.next:")
        done = to.let(f"load i64, ptr {place}")
        rest = to.sub(rows, done)
        tiles = to.let(f"call i64 @llvm.smax.i64(i64 {to.div(to.add(rest, ROWS - 1), ROWS)}, i64 1)")
        take = to.div(to.sub(to.add(rest, tiles), 1), tiles)
        arguments = (f"ptr {a}", f"i64 {lda}", f"ptr {b}", f"ptr {c}", f"i64 {ldc}", f"i64 {terms}", f"i64 {left}",
                     f"i64 {more}", f"ptr {to.at(listed, done, 'i64')}")  # fmt: skip
        self.chosen(to, name, take, "tile", arguments)
        to.do(f"store i64 {to.add(done, take)}, ptr {place}")
        to.do(f"br label %{name}.next")
        to.lines.append(f"{name}.end:")

    def chosen(self, to: Function, name: str, take: Number, tile: str, arguments: tuple[str, ...]) -> None:
        """Calls the tile of so many rows; with none goes to the end."""
        cases = " ".join(f"i64 {i}, label %{name}.{i}" for i in range(1, ROWS + 1))
        to.do(f"switch i64 {take}, label %{name}.end [{cases}]")
        for i in range(1, ROWS + 1):
            to.lines.append(f"{name}.{i}:")
            self.call(to, f"{tile}_{i}", *arguments)
            to.do(f"br label %{name}.on")
        to.lines.append(f"{name}.on:")

    # --- packing ---

    def pack(self) -> str:
        """Panels c0 to c1 of a matrix; arguments source, target, entries from term to term and from column to column,
        terms, columns. What is beyond the last column is zero."""
        shape = self.shape
        to = Function("pack", KERNEL)
        source, target = to.pointer("%args", 0), to.pointer("%args", 1)
        term, column, terms, columns = (to.word("%args", i) for i in range(2, 6))
        v = self.lanes(to)
        beside = to.let(f"icmp eq i64 {column}, 1")
        apart = to.let(f"xor i1 {beside}, true")
        with to.loop("%c0", "%c1") as p:
            out = self.at(to, target, self.places(to, p, terms))
            left = to.sub(columns, to.mul(p, shape.panel))
            with to.when(beside):
                self.pack_rows(to, v, self.at(to, source, to.mul(p, shape.panel)), term, out, terms, left)
            with to.when(apart), to.loop(0, shape.panel) as j:
                known = to.let(f"icmp slt i64 {j}, {left}")
                start = self.at(to, source, to.mul(to.add(to.mul(p, shape.panel), j), column))
                with to.loop(0, terms) as k:
                    place = to.let(f"select i1 {known}, ptr {self.at(to, start, to.mul(k, term))}, ptr {source}")
                    x = to.let(f"load {shape.element}, ptr {place}")
                    x = to.let(f"select i1 {known}, {shape.element} {x}, {shape.element} 0.0")
                    to.do(f"store {shape.element} {x}, ptr {self.at(to, out, to.add(to.mul(k, shape.panel), j))}")
        return to.text()

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
