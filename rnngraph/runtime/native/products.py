"""Matrix products on packed operands.

A matrix of weights is packed into panels of a few vectors' width, once for all the steps of a sequence; a tile of
six rows by one panel is kept in registers for a whole block of `DEPTH` terms. Each entry of a product is the sum over
blocks of terms in order, each block one chain of fused multiply-adds. So its bits depend neither on the number of rows
nor on which thread computes it.

K. Goto, R. van de Geijn (2008), "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (3).
"""

from __future__ import annotations

from dataclasses import dataclass

from rnngraph.runtime.native.lanes import Lanes
from rnngraph.runtime.native.text import Function, Number

ROWS = 6
"""Rows of a tile: with four vectors across it takes 24 of 32 registers."""

DEPTH = 256
"""Terms of one chain."""

TALL = 96
"""Rows of a sum over rows that are packed together: with their terms they stay in the nearest memory but one."""

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
    """The text of every product kernel for one shape of panels."""
    writer = _Writer(shape, declared)
    tiles = [writer.tile(rows, strided) for rows in range(1, ROWS + 1) for strided in (False, True)]
    return "\n\n".join([*tiles, writer.wide(), writer.product(), writer.pack(), writer.sums()])


class _Writer:
    def __init__(self, shape: Shape, declared: set[str]) -> None:
        self.shape, self.declared = shape, declared

    def lanes(self, to: Function) -> Lanes:
        return Lanes(to, self.shape.width, self.shape.element, self.declared)

    def at(self, to: Function, pointer: str, entries: Number) -> str:
        return to.at(pointer, entries, self.shape.element)

    # --- one tile ---

    def tile(self, rows: int, packed: bool) -> str:
        """c (+)= a @ b for a tile of rows by one panel.

        The left factor is given by rows, or packed with the rows of a tile side by side. `%left` columns of the panel
        are stored; `%more` says whether to add to what stands there.
        """
        shape, across = self.shape, self.shape.across
        kind = "packed" if packed else "rows"
        to = Function(f"tile_{kind}_{rows}", ["ptr %a", "i64 %lda", "ptr %b", "ptr %c", "i64 %ldc", "i64 %terms",
                                              "i64 %left", "i64 %more"])  # fmt: skip
        v = self.lanes(to)
        sums = [[to.variable(v.floats) for _ in range(across)] for _ in range(rows)]
        for place in (place for row in sums for place in row):
            to.do(f"store {v.floats} zeroinitializer, ptr {place}")
        starts = [self.at(to, "%a", to.mul(i, "%lda")) for i in range(rows)]
        with to.loop(0, "%terms") as k:
            b = self.at(to, "%b", to.mul(k, shape.panel))
            columns = [v.load(self.at(to, b, j * shape.width), shape.dtype) for j in range(across)]
            group = self.at(to, "%a", to.mul(k, ROWS)) if packed else ""
            for i in range(rows):
                one = self.at(to, group, i) if packed else self.at(to, starts[i], k)
                spread = v.load_one(one, shape.dtype)
                for j in range(across):
                    old = to.let(f"load {v.floats}, ptr {sums[i][j]}")
                    to.do(f"store {v.floats} {v.fma(spread, columns[j], old)}, ptr {sums[i][j]}")
        self.stored(to, v, sums)
        return to.text()

    def stored(self, to: Function, v: Lanes, sums: list[list[str]]) -> None:
        shape = self.shape
        for j in range(shape.across):
            v.mask = self.mask(to, to.sub("%left", j * shape.width))
            for i, row in enumerate(sums):
                place = self.at(to, "%c", to.add(to.mul(i, "%ldc"), j * shape.width))
                self.put(to, v, place, to.let(f"load {v.floats}, ptr {row[j]}"))

    def put(self, to: Function, v: Lanes, place: str, value: str) -> None:
        old = v.load(place, self.shape.dtype)
        again = to.let("icmp ne i64 %more, 0")
        total = v.two("fadd", old, value)
        v.store(to.let(f"select i1 {again}, {v.floats} {total}, {v.floats} {value}"), place, self.shape.dtype)

    def mask(self, to: Function, left: Number) -> str:
        """The lanes below a number of columns."""
        width = self.shape.width
        many = to.let(f"call i64 @llvm.smax.i64(i64 {to.least(left, width)}, i64 0)")
        vector = f"<{width} x i64>"
        one = to.let(f"insertelement {vector} poison, i64 {many}, i32 0")
        all = to.let(f"shufflevector {vector} {one}, {vector} poison, <{width} x i32> zeroinitializer")
        ladder = ", ".join(f"i64 {i}" for i in range(width))
        return to.let(f"icmp slt {vector} <{ladder}>, {all}")

    def wide(self) -> str:
        """One row by two whole panels: with one panel the chains of one row would wait for each other."""
        shape, across = self.shape, self.shape.across
        to = Function("tile_wide", ["ptr %a", "ptr %b", "i64 %next", "ptr %c", "i64 %terms", "i64 %more"])
        v = self.lanes(to)
        sums = [to.variable(v.floats) for _ in range(2 * across)]
        for place in sums:
            to.do(f"store {v.floats} zeroinitializer, ptr {place}")
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
            self.put(to, v, self.at(to, "%c", j * shape.width), to.let(f"load {v.floats}, ptr {place}"))
        return to.text()

    # --- a product with weights ---

    def product(self) -> str:
        """c (+)= a @ b over rows and panels; arguments a, b packed, c, lda, ldc, terms, columns, whether to add."""
        to = Function("product", ["ptr %args", "i64 %r0", "i64 %r1", "i64 %c0", "i64 %c1"])
        a, b, c = (to.pointer("%args", i) for i in range(3))
        lda, ldc, terms, columns, add = (to.word("%args", i) for i in range(3, 8))
        panel = self.shape.panel
        with to.loop("%r0", "%r1", CHUNK) as low:
            high = to.least(to.add(low, CHUNK), "%r1")
            with to.loop(0, terms, DEPTH) as k:
                depth = to.least(DEPTH, to.sub(terms, k))
                more = to.let(f"or i64 {add}, {k}")
                one = to.let(f"icmp eq i64 {to.sub(high, low)}, 1")
                pairs = to.div(to.sub(to.least(to.mul("%c1", panel), columns), to.mul("%c0", panel)), 2 * panel)
                pairs = to.let(f"select i1 {one}, i64 {pairs}, i64 0")
                first = to.add("%c0", to.mul(pairs, 2))
                source = self.at(to, a, to.add(to.mul(low, lda), k))
                target = self.at(to, c, to.mul(low, ldc))
                block = self.at(to, b, to.mul(k, panel))
                with to.loop("%c0", first, 2) as p:
                    self.call(to, "tile_wide", f"ptr {source}", f"ptr {self.at(to, block, self.places(to, p, terms))}",
                              f"i64 {to.mul(terms, panel)}", f"ptr {self.at(to, target, to.mul(p, panel))}",
                              f"i64 {depth}", f"i64 {more}")  # fmt: skip
                with to.loop(first, "%c1") as p:
                    packed = self.at(to, block, self.places(to, p, terms))
                    column = to.mul(p, panel)
                    self.rows(to, "rows", to.sub(high, low), source, lda, lda, packed, self.at(to, target, column),
                              ldc, depth, to.sub(columns, column), more)  # fmt: skip
        return to.text()

    def places(self, to: Function, panel: Number, terms: Number) -> Number:
        return to.mul(to.mul(panel, terms), self.shape.panel)

    def call(self, to: Function, name: str, *arguments: str) -> None:
        to.do(f"call void @{name}({', '.join(arguments)})")

    def rows(self, to: Function, kind: str, rows: Number, a: str, step: Number, lda: Number, b: str, c: str,
             ldc: Number, terms: Number, left: Number, more: Number) -> None:  # fmt: skip
        """Tiles over some rows, as even as they go; `step` is from the rows of one tile to the next, per row."""
        place = to.variable("i64")
        to.do(f"store i64 0, ptr {place}")
        name = to.fresh()
        to.do(f"br label %{name}.next")
        to.lines.append(f"{name}.next:")
        done = to.let(f"load i64, ptr {place}")
        rest = to.sub(rows, done)
        tiles = to.div(to.add(rest, ROWS - 1), ROWS)
        many = to.let(f"call i64 @llvm.smax.i64(i64 {tiles}, i64 1)")
        # Packed rows stand in groups of ROWS; rows in memory are shared out evenly.
        take = to.least(rest, ROWS) if kind == "packed" else to.div(to.sub(to.add(rest, many), 1), many)
        source, target = self.at(to, a, to.mul(done, step)), self.at(to, c, to.mul(done, ldc))
        cases = " ".join(f"i64 {i}, label %{name}.{i}" for i in range(1, ROWS + 1))
        to.do(f"switch i64 {take}, label %{name}.end [{cases}]")
        for i in range(1, ROWS + 1):
            to.lines.append(f"{name}.{i}:")
            self.call(to, f"tile_{kind}_{i}", f"ptr {source}", f"i64 {lda}", f"ptr {b}", f"ptr {target}",
                      f"i64 {ldc}", f"i64 {terms}", f"i64 {left}", f"i64 {more}")  # fmt: skip
            to.do(f"br label %{name}.on")
        to.lines.append(f"{name}.on:")
        to.do(f"store i64 {to.add(done, take)}, ptr {place}")
        to.do(f"br label %{name}.next")
        to.lines.append(f"{name}.end:")

    # --- packing ---

    def pack(self) -> str:
        """Panels c0 to c1 of a matrix; arguments source, target, entries from term to term and from column to column,
        terms, columns. What is beyond the last column is zero."""
        shape = self.shape
        to = Function("pack", ["ptr %args", "i64 %r0", "i64 %r1", "i64 %c0", "i64 %c1"])
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
        self, to: Function, v: Lanes, start: str, term: Number, out: str, terms: Number, left: Number
    ) -> None:
        """Some rows of one panel whose columns lie side by side."""
        shape = self.shape
        masks = [self.mask(to, to.sub(left, j * shape.width)) for j in range(shape.across)]
        with to.loop(0, terms) as k:
            row, place = self.at(to, start, to.mul(k, term)), self.at(to, out, to.mul(k, shape.panel))
            for j, mask in enumerate(masks):
                v.mask = mask
                x = v.load(self.at(to, row, j * shape.width), shape.dtype)
                v.mask = None
                v.store(x, self.at(to, place, j * shape.width), shape.dtype)

    # --- sums over rows ---

    def sums(self) -> str:
        """c (+)= a.T @ d, a sum over many rows in blocks of at most DEPTH rows, each block within one unit of rows.

        Arguments a, d, c, lda, ldd, ldc, rows of c, columns, rows of a and d, rows of a unit, whether the units go from
        the last to the first, whether to add.
        """
        to = Function("sums", ["ptr %args", "i64 %r0", "i64 %r1", "i64 %c0", "i64 %c1"])
        a, d, c = (to.pointer("%args", i) for i in range(3))
        lda, ldd, ldc, height, columns, rows, unit, back, add = (to.word("%args", i) for i in range(3, 12))
        room_a, room_d = (to.variable(f"[{DEPTH * n} x {self.shape.element}]") for n in (TALL, self.shape.panel))
        # Small units go together in a chunk of about DEPTH rows; a large unit is cut into several.
        together = to.let(f"call i64 @llvm.smax.i64(i64 {to.div(DEPTH, unit)}, i64 1)")
        width = to.mul(together, unit)
        chunks = to.div(to.sub(to.add(rows, width), 1), width)
        panel = self.shape.panel
        turned = to.let(f"icmp ne i64 {back}, 0")
        with to.when(to.let(f"icmp eq i64 {to.let(f'or i64 {rows}, {add}')}, 0")):
            self.zeros(to, c, ldc, height, columns)
        with to.loop(0, chunks) as n:
            place = to.let(f"select i1 {turned}, i64 {to.sub(to.sub(chunks, 1), n)}, i64 {n}")
            low = to.mul(place, width)
            high = to.least(to.add(low, width), rows)
            with to.loop(low, high, to.let(f"call i64 @llvm.smax.i64(i64 {DEPTH}, i64 {DEPTH})")) as part:
                end = to.least(to.add(part, DEPTH), high)
                depth = to.sub(end, part)
                begun = to.let(f"or i64 {add}, {to.add(n, to.sub(part, low))}")
                with to.loop(0, height, TALL) as top:
                    block = to.least(to.sub(height, top), TALL)
                    self.pack_left(to, self.at(to, a, to.add(to.mul(part, lda), top)), lda, room_a, depth, block)
                    with to.loop("%c0", "%c1") as p:
                        column = to.mul(p, panel)
                        left = to.sub(columns, column)
                        start = self.at(to, d, to.add(to.mul(part, ldd), column))
                        self.pack_rows(to, self.lanes(to), start, ldd, room_d, depth, left)
                        with to.loop(0, block, ROWS) as i:
                            tall = to.least(to.sub(block, i), ROWS)
                            target = self.at(to, c, to.add(to.mul(to.add(top, i), ldc), column))
                            source = self.at(to, room_a, to.mul(i, depth))
                            self.units(to, turned, depth, unit, begun, tall, source, room_d, target, ldc, left)
        return to.text()

    def zeros(self, to: Function, c: str, ldc: Number, height: Number, columns: Number) -> None:
        """A sum of nothing, in the panels of this thread."""
        with to.loop("%c0", "%c1") as p, to.loop(0, height) as i:
            start = to.mul(p, self.shape.panel)
            end = to.least(to.add(start, self.shape.panel), columns)
            with to.loop(start, end) as j:
                place = self.at(to, c, to.add(to.mul(i, ldc), j))
                to.do(f"store {self.shape.element} 0.0, ptr {place}")

    def pack_left(self, to: Function, a: str, lda: Number, room: str, depth: Number, height: Number) -> None:
        """The left factor of a chunk with the rows of each tile side by side."""
        element = self.shape.element
        with to.loop(0, height, ROWS) as i:
            tall = to.least(to.sub(height, i), ROWS)
            group = self.at(to, room, to.mul(i, depth))
            with to.loop(0, depth) as k:
                source, out = self.at(to, a, to.add(to.mul(k, lda), i)), self.at(to, group, to.mul(k, ROWS))
                with to.loop(0, tall) as j:
                    x = to.let(f"load {element}, ptr {self.at(to, source, j)}")
                    to.do(f"store {element} {x}, ptr {self.at(to, out, j)}")

    def units(self, to: Function, turned: str, depth: Number, unit: Number, begun: Number, tall: Number, source: str,
              right: str, target: str, ldc: Number, left: Number) -> None:  # fmt: skip
        """The units of one chunk added to one tile, in their order."""
        count = to.div(to.sub(to.add(depth, unit), 1), unit)
        with to.loop(0, count) as m:
            place = to.let(f"select i1 {turned}, i64 {to.sub(to.sub(count, 1), m)}, i64 {m}")
            low = to.mul(place, unit)
            terms = to.sub(to.least(to.add(low, unit), depth), low)
            more = to.let(f"or i64 {begun}, {m}")
            self.rows(to, "packed", tall, self.at(to, source, to.mul(low, ROWS)), 0, 0,
                      self.at(to, right, to.mul(low, self.shape.panel)), target, ldc, terms, left, more)  # fmt: skip
