"""Kernels for sums over all rows, and for sums, largest entries and softmax along each row.

The order of every sum depends on sizes alone: along a row lanes add up side by side and then in halves; over rows the
terms of a unit are added in order, and the units in theirs (see `ops.summation_order`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rnngraph.kernels.cpu import math_functions
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.products import DEPTH
from rnngraph.kernels.cpu.vectors import Lanes
from rnngraph.kernels.kernel import AlongRow

ACROSS = 8
"""Vectors of columns that a sum over rows takes at a time."""


class _Kernel:
    def __init__(self, name: str, dtype: str, width: int, declared: set[str]) -> None:
        self.to = Function(name, KERNEL)
        self.dtype, self.width = dtype, width
        self.v = Lanes(self.to, width, "float" if dtype == "float32" else "double", declared)

    def at(self, pointer: str, entries: Number) -> str:
        return self.to.at(pointer, entries, self.v.element)

    def unit(self, start: str, out: str, row: Number, low: Number, high: Number, left: Number) -> None:
        """Adds the rows of one unit, summed in order, to a few vectors of columns; whole vectors need no masks."""
        whole = self.to.let(f"icmp sge i64 {left}, {ACROSS * self.width}")
        with self.to.when(whole):
            self.unit_columns(start, out, row, low, high, [None] * ACROSS)
        with self.to.when(self.to.let(f"xor i1 {whole}, true")):
            masks = [self.v.first(self.to.sub(left, j * self.width)) for j in range(ACROSS)]
            self.unit_columns(start, out, row, low, high, masks)

    def unit_columns(
        self, start: str, out: str, row: Number, low: Number, high: Number, masks: Sequence[str | None]
    ) -> None:
        to, v = self.to, self.v
        sums = [to.variable(v.floats) for _ in masks]
        for place in sums:
            to.do(f"store {v.floats} zeroinitializer, ptr {place}")
        with to.loop(low, high) as r:
            line = self.at(start, to.mul(r, row))
            for j, (place, v.mask) in enumerate(zip(sums, masks, strict=True)):
                old = to.let(f"load {v.floats}, ptr {place}")
                total = v.two("fadd", old, v.load(self.at(line, j * self.width), self.dtype))
                to.do(f"store {v.floats} {total}, ptr {place}")
        for j, (place, v.mask) in enumerate(zip(sums, masks, strict=True)):
            target = self.at(out, j * self.width)
            part = to.let(f"load {v.floats}, ptr {place}")
            v.store(v.two("fadd", v.load(target, self.dtype), part), target, self.dtype)
        v.mask = None


@contextmanager
def in_units(to: Function, rows: Number, unit: Number, back: Number) -> Iterator[tuple[Number, Number]]:
    """The lines of the block for the first row and the end of each unit, from the last unit on if `back` is not 0."""
    turned = to.let(f"icmp ne i64 {back}, 0")
    count = to.div(to.sub(to.add(rows, unit), 1), unit)
    with to.loop(0, count) as n:
        place = to.let(f"select i1 {turned}, i64 {to.sub(to.sub(count, 1), n)}, i64 {n}")
        low = to.mul(place, unit)
        yield low, to.least(to.add(low, unit), rows)


def write_columns(name: str, dtype: str, width: int, declared: set[str]) -> str:
    """The sum over rows of each column, columns being counted in vectors.

    Arguments source, result, entries from row to row, columns, rows, rows of a unit, whether the units go from the last
    to the first, whether to add. A large unit is cut as the sums that stand beside a product are
    (`cpu/weight_gradients`): the bits do not depend on which of the two is taken.
    """
    kernel = _Kernel(name, dtype, width, declared)
    to = kernel.to
    source, target = to.pointer("%args", 0), to.pointer("%args", 1)
    row, columns, rows, unit, back, add = (to.word("%args", i) for i in range(2, 8))
    end = to.least(to.mul("%c1", width), columns)
    with to.when(to.let(f"icmp eq i64 {add}, 0")), to.loop(to.mul("%c0", width), end) as j:
        to.do(f"store {kernel.v.element} 0.0, ptr {kernel.at(target, j)}")
    with in_units(to, rows, unit, back) as (low, high), to.loop(low, high, DEPTH) as part:
        behind = to.least(to.add(part, DEPTH), high)
        with to.loop("%c0", "%c1", ACROSS) as column:
            first = to.mul(column, width)
            kernel.unit(kernel.at(source, first), kernel.at(target, first), row, part, behind, to.sub(end, first))
    return to.text()


def write_squares(name: str, dtype: str, width: int, block: int, declared: set[str]) -> str:
    """The sum of squares of each block, columns being blocks. Arguments source, results in float64, entries in all."""
    to = Function(name, KERNEL)
    v = Lanes(to, width, "float" if dtype == "float32" else "double", declared)
    wide = Lanes(to, width, "double", declared)
    source, target, entries = to.pointer("%args", 0), to.pointer("%args", 1), to.word("%args", 2)
    place = to.variable(wide.floats)
    with to.loop("%c0", "%c1") as at:
        first = to.mul(at, block)
        line, count = to.at(source, first, v.element), to.least(to.sub(entries, first), block)
        to.do(f"store {wide.floats} zeroinitializer, ptr {place}")

        def added(i: Number, line: str = line) -> None:
            x = v.load(to.at(line, i, v.element), dtype)
            if dtype == "float32":
                x = to.let(f"fpext {v.floats} {x} to {wide.floats}")
            old = to.let(f"load {wide.floats}, ptr {place}")
            to.do(f"store {wide.floats} {wide.two('fadd', old, wide.two('fmul', x, x))}, ptr {place}")

        v.along(count, added)
        total = wide.sum(to.let(f"load {wide.floats}, ptr {place}"))
        to.do(f"store double {total}, ptr {to.at(target, at, 'double')}")
    return to.text()


# --- along rows ----------------------------------------------------------------------------------------------

ROW_OPS = ("sum", "max_over", "argmax", "softmax", "log_softmax")


def write_row(asked: AlongRow, name: str, dtype: str, width: int, declared: set[str]) -> str:
    """What is asked along each line of each row; arguments source, result."""
    kernel = _Row(name, dtype, width, declared, asked.size)
    to, op = kernel.to, asked.op
    source, target = to.pointer("%args", 0), to.pointer("%args", 1)
    with to.loop("%r0", "%r1") as place:
        r = to.row(place)
        with to.loop(0, asked.lines) as i:
            line = kernel.at(source, to.add(to.mul(r, asked.row), to.mul(i, asked.size)))
            at = to.add(to.mul(r, asked.result), to.mul(i, asked.of_line))
            out = kernel.at(target, at)
            if op == "argmax":
                to.do(f"store i64 {kernel.first(line)}, ptr {to.at(target, at, 'i64')}")
            elif op == "sum":
                to.do(f"store {kernel.v.element} {kernel.total(line)}, ptr {out}")
            elif op == "max_over":
                to.do(f"store {kernel.v.element} {kernel.largest(line)}, ptr {out}")
            else:
                kernel.softmax(line, out, op == "log_softmax")
    return to.text()


class _Row(_Kernel):
    """One row of known length: whole vectors, then what is left."""

    def __init__(self, name: str, dtype: str, width: int, declared: set[str], size: int) -> None:
        super().__init__(name, dtype, width, declared)
        self.size = size

    def total(self, line: str) -> str:
        return self.folded(line, "zeroinitializer", lambda a, x: self.v.two("fadd", a, x), self.v.sum)

    def largest(self, line: str) -> str:
        lowest = self.v.number(float("-inf"))

        def larger(a: str, x: str) -> str:
            if self.v.mask is not None:  # lanes beyond the end must not win
                x = self.v.select(self.v.mask, x, lowest, self.v.floats)
            return self.v.intrinsic("maximum", a, x)

        return self.folded(line, lowest, larger, self.v.greatest)

    def first(self, line: str) -> str:
        """The first place of the largest entry, or of what is no number."""
        to, element, found = self.to, self.v.element, self.to.variable("i64")
        top = self.largest(line)
        to.do(f"store i64 0, ptr {found}")
        with to.loop(0, self.size) as done:  # from the last to the first
            place = to.sub(self.size - 1, done)
            x = to.let(f"load {element}, ptr {self.at(line, place)}")
            none, same = (to.let(f"fcmp {how} {element} {x}, {y}") for how, y in (("uno", x), ("oeq", top)))
            here = to.let(f"or i1 {none}, {same}")
            with to.when(here):
                to.do(f"store i64 {place}, ptr {found}")
        return to.let(f"load i64, ptr {found}")

    def folded(self, line: str, start: str, join: object, fold: object) -> str:
        assert callable(join) and callable(fold)
        to, v = self.to, self.v
        place = to.variable(v.floats)
        to.do(f"store {v.floats} {start}, ptr {place}")

        def visit(i: Number) -> None:
            x = v.load(self.at(line, i), self.dtype)
            old = to.let(f"load {v.floats}, ptr {place}")
            to.do(f"store {v.floats} {join(old, x)}, ptr {place}")

        self.v.over(self.size, visit)
        found = fold(to.let(f"load {v.floats}, ptr {place}"))
        assert isinstance(found, str)
        return found

    def softmax(self, line: str, out: str, log: bool) -> None:
        """exp(x - largest) over its sum, or x - largest - log(sum)."""
        to, v = self.to, self.v
        top = v.spread(self.largest(line), self.dtype)
        place = to.variable(v.floats)
        to.do(f"store {v.floats} zeroinitializer, ptr {place}")

        def first(i: Number) -> None:
            shifted = v.two("fsub", v.load(self.at(line, i), self.dtype), top)
            grown = math_functions.exp(v, shifted)
            v.store(shifted if log else grown, self.at(out, i), self.dtype)
            if v.mask is not None:
                grown = v.select(v.mask, grown, "zeroinitializer", v.floats)
            old = to.let(f"load {v.floats}, ptr {place}")
            to.do(f"store {v.floats} {v.two('fadd', old, grown)}, ptr {place}")

        self.v.over(self.size, first)
        total = v.spread(v.sum(to.let(f"load {v.floats}, ptr {place}")), self.dtype)
        last = math_functions.log(v, total) if log else total

        def second(i: Number) -> None:
            x = v.load(self.at(out, i), self.dtype)
            v.store(v.two("fsub" if log else "fdiv", x, last), self.at(out, i), self.dtype)

        self.v.over(self.size, second)
