"""Places and numbers of the CTC kernel: one row of the batch at a time, its labels in the lanes of vectors.

A probability is `mantissa * 2**exponent`, two floats, as those of whole sequences are too small for one. So sums and
products of them need neither exponentials nor logarithms. In memory the two are one float, `exponent + mantissa - 1`,
of whose 52 bits the exponent takes a few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rnngraph.kernels.cpu.llvm_text import Function, Number
from rnngraph.kernels.cpu.math_functions import SHIFTER
from rnngraph.kernels.cpu.vectors import Lanes, hexadecimal
from rnngraph.kernels.kernel import Ctc

NEVER = -(2.0**50)
"""The exponent of a probability of 0: finite, so that two of them have a difference."""
LEAST = -1023.0
"""An exponent that makes 0, as the smallest float has one more."""
BIAS, ONE, DIGITS = 1023.0, 0x3FF << 52, (1 << 52) - 1
"""Of the exponent in a float of 64 bits; the float 1, and all bits of a mantissa."""


class Scaled(NamedTuple):
    """mantissa * 2**exponent in each lane."""

    mantissa: str
    exponent: str


class CtcLanes:
    """What the steps of the kernel stand on: where its arrays lie, and vectors of labels."""

    def __init__(self, kernel: Ctc, to: Function, dtype: str, v: Lanes) -> None:
        self.kernel, self.to, self.dtype, self.v = kernel, to, dtype, v
        names = ("scores", "given", "steps", "counts", "out", *kernel.scratch)
        self.at = {n: to.pointer("%args", i) for i, n in enumerate(names)}
        words = (to.word("%args", len(names) + i) for i in range(5))
        self.time, self.rows, self.count, *apart = words
        self.apart = dict(zip(("steps", "counts"), apart, strict=True))
        self.one, self.never = v.number(1.0), v.number(NEVER)
        self.row: Number = 0
        """The row of the batch."""

    # --- places: the entries of a row lie side by side ---

    def cell(self, name: str, i: Number) -> str:
        """Where an array has 8 bytes of a label."""
        return self.to.at(self.at[name], self.to.add(self.to.mul(self.row, self.count), i), "i64")

    def step(self, t: Number) -> Number:
        return self.to.add(self.to.mul(self.row, self.time), t)

    def step_cell(self, name: str, t: Number, i: Number) -> str:
        return self.to.at(self.at[name], self.to.add(self.to.mul(self.step(t), self.count), i), "i64")

    def each_step(self, name: str, t: Number) -> str:
        return self.to.at(self.at[name], self.step(t), "i64")

    def log(self, t: Number) -> str:
        """The probabilities of the classes at one step, before they are divided by their sum."""
        return self.to.at(self.at["logs"], self.to.mul(self.step(t), self.kernel.classes), "i64")

    def entry(self, name: str, t: Number) -> str:
        """Scores, or the result, of one step."""
        place = self.to.mul(self.to.add(self.to.mul(t, self.rows), self.row), self.kernel.row)
        return self.to.at(self.at[name], place, self.element)

    def number_of(self, name: str) -> str:
        return self.to.word(self.at[name], self.to.mul(self.row, self.apart[name]))

    @property
    def element(self) -> str:
        return "float" if self.dtype == "float32" else "double"

    # --- loops and variables ---

    def descending(self, count: Number, visit: Callable[[Number], None]) -> None:
        """`Lanes.along` from the end."""
        to, v = self.to, self.v
        whole = to.let(f"and i64 {count}, {-v.width}")
        left = to.sub(count, whole)
        with to.when(to.let(f"icmp sgt i64 {left}, 0")):
            v.mask = v.first(left)
            visit(whole)
            v.mask = None
        with to.loop(0, whole, v.width) as done:
            visit(to.sub(to.sub(whole, v.width), done))

    def grow(self, place: str, by: Number) -> None:
        self.to.do(f"store i64 {self.to.add(self.to.let(f'load i64, ptr {place}'), by)}, ptr {place}")

    def variable(self, *first: str) -> list[str]:
        """Places for vectors that change."""
        places = [self.to.variable(self.v.floats) for _ in first]
        self.set(places, first)
        return places

    def now(self, places: list[str]) -> Scaled:
        return Scaled(*(self.value([place]) for place in places))

    def value(self, places: list[str]) -> str:
        (place,) = places
        return self.to.let(f"load {self.v.floats}, ptr {place}")

    def set(self, places: list[str], values: tuple[str, ...]) -> None:
        for place, value in zip(places, values, strict=True):
            self.to.do(f"store {self.v.floats} {value}, ptr {place}")

    # --- memory ---

    def load(self, place: str) -> Scaled:
        """Numbers of labels; 0 for those that are not there."""
        v = self.v
        return self.opened(v.masked(place, "float64", v.mask, self.never) if v.mask else v.load(place, "float64"))

    def load_one(self, place: str) -> Scaled:
        return self.opened(self.v.load_one(place, "float64"))

    def store(self, value: Scaled, place: str) -> None:
        self.v.store(self.closed(value), place, "float64")

    def store_one(self, vector: str, place: str) -> None:
        """What all lanes hold."""
        one = self.to.let(f"extractelement {self.v.floats} {vector}, i32 0")
        self.to.do(f"store double {one}, ptr {place}")

    def said(self, t: Number, ids: str) -> Scaled:
        """The probability of a class in each lane."""
        return self.of_class(self.v.gather(self.log(t), ids, "float64"))

    def silence(self, t: Number) -> Scaled:
        return self.of_class(self.v.load_one(self.to.at(self.log(t), self.kernel.blank, "i64"), "float64"))

    def score(self, source: str, k: Number) -> str:
        v, found = self.v, self.to.at(source, k, self.element)
        x = Lanes(self.to, v.width, self.element, v.declared, v.mask, v.counted).load(found, self.dtype)
        return x if self.dtype == "float64" else self.to.let(f"fpext <{v.width} x float> {x} to {v.floats}")

    def narrow(self, value: str, place: str) -> None:
        """Stores a vector in the type of the scores."""
        v = self.v
        if self.dtype == "float32":
            value = self.to.let(f"fptrunc {v.floats} {value} to <{v.width} x float>")
        Lanes(self.to, v.width, self.element, v.declared, v.mask, v.counted).store(value, place, self.dtype)

    def less(self, place: str, by: str) -> None:
        x, y = (self.to.let(f"load double, ptr {at}") for at in (place, by))
        self.to.do(f"store double {self.to.let(f'fsub double {x}, {y}')}, ptr {place}")

    # --- arithmetic ---

    def opened(self, y: str) -> Scaled:
        exponent = self.v.intrinsic("floor", y)
        return Scaled(self.minus(self.minus(y, exponent), self.v.number(-1.0)), exponent)

    def of_class(self, y: str) -> Scaled:
        """The same of a class, whose mantissa is as near to 1 as can be."""
        exponent = self.v.intrinsic("rint", y)
        return Scaled(self.minus(self.minus(y, exponent), self.v.number(-1.0)), exponent)

    def closed(self, x: Scaled) -> str:
        return self.v.two("fadd", x.exponent, self.minus(x.mantissa, self.one))

    def plain(self, x: Scaled) -> str:
        return self.v.two("fmul", x.mantissa, self.power(x.exponent))

    def power(self, n: str) -> str:
        """2**n for whole numbers of at most 1023; 0 where that is too small for a float."""
        v = self.v
        biased = v.two("fadd", v.at_least(n, v.number(LEAST)), v.number(SHIFTER + BIAS))
        bits = self.to.let(f"shl {v.integers} {self.bits(biased)}, splat (i64 52)")
        return self.to.let(f"bitcast {v.integers} {bits} to {v.floats}")

    def plus(self, *terms: Scaled) -> Scaled:
        """The sum, its exponent that of the largest."""
        v, (first, *others) = self.v, terms
        top = first.exponent
        for other in others:
            top = v.at_least(top, other.exponent)
        total = v.number(0.0)
        for term in terms:
            total = v.fma(term.mantissa, self.power(self.minus(term.exponent, top)), total)
        return Scaled(total, top)

    def times(self, x: Scaled, y: Scaled) -> Scaled:
        """The product, its mantissa at least 1 and less than 2."""
        found = self.v.two("fmul", x.mantissa, y.mantissa)
        return self.normal(Scaled(found, self.v.two("fadd", x.exponent, y.exponent)))

    def normal(self, x: Scaled) -> Scaled:
        to, v = self.to, self.v
        bits = self.bits(x.mantissa)
        whole = to.let(f"lshr {v.integers} {bits}, splat (i64 52)")
        raw = to.let(f"or {v.integers} {whole}, splat (i64 {0x433 << 52})")  # 2**52 and so much more
        more = self.minus(to.let(f"bitcast {v.integers} {raw} to {v.floats}"), v.number(2.0**52 + BIAS))
        rest = to.let(f"or {v.integers} {to.let(f'and {v.integers} {bits}, splat (i64 {DIGITS})')}, splat (i64 {ONE})")
        return Scaled(to.let(f"bitcast {v.integers} {rest} to {v.floats}"), v.two("fadd", x.exponent, more))

    def bits(self, x: str) -> str:
        return self.to.let(f"bitcast {self.v.floats} {x} to {self.v.integers}")

    def minus(self, a: str, b: str) -> str:
        return self.v.two("fsub", a, b)

    def behind(self, before: Scaled, here: Scaled) -> Scaled:
        """The numbers that begin one lane earlier."""
        v = self.v
        lanes = range(v.width - 1, 2 * v.width - 1)
        return Scaled(*(v.shuffled(a, b, v.floats, lanes) for a, b in zip(before, here, strict=True)))

    def ahead(self, here: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
        """The vectors that begin one lane later."""
        v = self.v
        return [v.shuffled(a, b, v.floats, range(1, v.width + 1)) for a, b in zip(here, after, strict=True)]

    def choose(self, condition: str, a: str, b: str) -> str:
        return self.v.select(condition, a, b, self.v.floats)

    def where_there(self, value: str, others: str) -> str:
        """A vector in the lanes of the mask, and another one elsewhere."""
        return self.choose(self.v.mask, value, others) if self.v.mask else value


def stored(value: float) -> str:
    """A number as a store has it."""
    return f"double {hexadecimal(value, 'double')}"
