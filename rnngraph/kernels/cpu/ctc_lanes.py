"""Places and vectors of the CTC kernel: an example of the batch in each lane, or one row and lanes along classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.kernels.cpu import math_functions
from rnngraph.kernels.cpu.llvm_text import Function, Number
from rnngraph.kernels.cpu.vectors import Lanes
from rnngraph.kernels.kernel import Ctc
from rnngraph.ops.ctc import NEVER


class CtcLanes:
    """What the steps of the kernel stand on: where its arrays lie, and vectors of rows of the batch."""

    def __init__(self, kernel: Ctc, to: Function, dtype: str, v: Lanes) -> None:
        self.kernel, self.to, self.dtype, self.v = kernel, to, dtype, v
        names = ("scores", "given", "steps", "counts", "out", *kernel.scratch)
        self.at = {n: to.pointer("%args", i) for i, n in enumerate(names)}
        words = (to.word("%args", len(names) + i) for i in range(5))
        self.time, self.rows, self.count, *apart = words
        self.apart = dict(zip(("steps", "counts"), apart, strict=True))
        self.never = v.number(NEVER)
        self.row: Number = 0
        """The first row in the lanes."""

    def place(self, name: str, *indices: tuple[Number, Number]) -> str:
        """Where 8 bytes of an array lie: (index, what one counts) each."""
        entries: Number = 0
        for index, apart in indices:
            entries = self.to.add(entries, self.to.mul(index, apart)) if entries else self.to.mul(index, apart)
        return self.to.at(self.at[name], entries, "i64")

    def cell(self, name: str, i: Number, b: Number) -> str:
        return self.place(name, (i, self.rows), (b, 1))

    def step_cell(self, name: str, t: Number, i: Number, b: Number) -> str:
        return self.place(name, (self.to.mul(t, self.count), self.rows), (i, self.rows), (b, 1))

    def log(self, t: Number, b: Number) -> str:
        """The log probabilities of one step and row."""
        return self.place("logs", (self.to.add(self.to.mul(t, self.rows), b), self.kernel.classes))

    def number_of(self, name: str, b: Number) -> str:
        return self.to.word(self.at[name], self.to.mul(b, self.apart[name]))

    @property
    def element(self) -> str:
        return "float" if self.dtype == "float32" else "double"

    @contextmanager
    def along(self, size: int) -> Iterator[Number]:
        """The lines of the block for each vector of the classes; the last is masked, and so are all."""
        v = self.v
        with self.to.loop(0, size, v.width) as k:
            v.mask = v.first(self.to.sub(size, k)) if size % v.width else None
            yield k
        v.mask = None

    def grow(self, place: str, by: Number) -> None:
        old = self.to.let(f"load i64, ptr {place}")
        self.to.do(f"store i64 {self.to.add(old, by)}, ptr {place}")

    @contextmanager
    def lanes(self) -> Iterator[None]:
        with self.to.loop("%r0", "%r1", self.v.width) as self.row:
            self.v.mask = self.v.first(self.to.sub("%r1", self.row))
            yield
        self.v.mask = None

    def load(self, place: str) -> str:
        return self.v.load(place, "float64")

    def store(self, value: str, place: str) -> None:
        self.v.store(value, place, "float64")

    def ints(self, place: str) -> str:
        return self.v.load(place, "int64")

    def each(self, name: str) -> str:
        """Steps or counts, a number for each lane."""
        v, to, apart = self.v, self.to, self.apart[name]
        start = to.at(self.at[name], to.mul(self.row, apart), "i64")
        places = to.let(f"mul {v.type('int64')} {self.v.ladder()}, {v.spread(str(apart), 'int64')}")
        return v.gather(start, places, "int64")

    def said(self, t: Number, ids: str) -> str:
        """The log probabilities of a class for each row."""
        v, to = self.v, self.to
        rows = to.let(f"mul {v.type('int64')} {self.v.ladder()}, splat (i64 {self.kernel.classes})")
        return v.gather(self.log(t, self.row), to.let(f"add {v.type('int64')} {rows}, {ids}"), "float64")

    def silence(self, t: Number) -> str:
        return self.said(t, f"splat (i64 {self.kernel.blank})")

    def later(self, t: Number) -> str:
        """Which rows have more steps than this number."""
        kind = self.v.type("int64")
        return self.to.let(f"icmp sgt {kind} {self.each('steps')}, {self.v.spread(str(t), 'int64')}")

    def either(self, a: str, b: str) -> str:
        """log(exp(a) + exp(b))."""
        v, to = self.v, self.to
        apart = v.intrinsic("fabs", v.two("fsub", a, b))
        apart = self.choose(v.compare("oeq", a, b), "zeroinitializer", apart)  # also of two infinite ones
        small = math_functions.exp(v, to.let(f"fneg {v.floats} {apart}"))
        return v.two("fadd", v.intrinsic("maxnum", a, b), math_functions.log(v, v.two("fadd", small, v.number(1.0))))

    def choose(self, condition: str, a: str, b: str) -> str:
        return self.v.select(condition, a, b, self.v.floats)

    def plus(self, a: str, b: str) -> str:
        return self.v.two("fadd", a, b)

    def held(self, *first: str) -> list[str]:
        """Places for vectors that change."""
        places = [self.to.variable(self.v.floats) for _ in first]
        for place, value in zip(places, first, strict=True):
            self.to.do(f"store {self.v.floats} {value}, ptr {place}")
        return places

    def now(self, place: str) -> str:
        return self.to.let(f"load {self.v.floats}, ptr {place}")

    def set(self, place: str, value: str) -> None:
        self.to.do(f"store {self.v.floats} {value}, ptr {place}")

    def narrow(self, value: str, place: str) -> None:
        """A vector in the type of the scores."""
        v = self.v
        if self.dtype == "float32":
            value = self.to.let(f"fptrunc {v.floats} {value} to <{v.width} x float>")
        Lanes(self.to, v.width, self.element, v.declared, v.mask).store(value, place, self.dtype)

    def less(self, place: str, by: str) -> None:
        x, y = (self.to.let(f"load double, ptr {at}") for at in (place, by))
        self.to.do(f"store double {self.to.let(f'fsub double {x}, {y}')}, ptr {place}")
