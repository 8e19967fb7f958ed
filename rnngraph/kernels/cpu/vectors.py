"""Vectors of numbers in a kernel: the types of the lanes, loads, stores and arithmetic on whole vectors.

Floats have the program's type; whole numbers are 64 bits; truth values are one bit a lane and one byte in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field

from rnngraph.kernels.cpu.llvm_text import Function, Number

ELEMENT = {"float32": "float", "float64": "double", "int64": "i64", "bool": "i1"}
BYTES = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}
SHORT = {"float": "f32", "double": "f64", "i64": "i64", "i8": "i8", "i1": "i1"}


OUT = 2**30
"""A place that is none. Lanes are left out by it, not by a constant mask: LLVM 22 fails on masked loads of which
one half is known to load nothing, where it has to cut the vector in two."""


class Limit(Struct, frozen=True):
    """A number in each lane, so much more than the first, which is to be one of 0 to size - 1."""

    first: Number
    further: Sequence[int]
    size: int


class Lanes(Struct):
    """Writes operations over vectors of `width` lanes into a function.

    `element` is the float type, "float" or "double"; `mask` (i1 lanes) limits memory accesses.
    """

    to: Function
    width: int
    element: str
    declared: set[str]
    mask: str | None = None
    counted: dict[str, int] = field(default_factory=dict)
    """Masks of the first lanes of which it is known how many they are."""

    def type(self, dtype: str) -> str:
        return f"<{self.width} x {ELEMENT[dtype]}>"

    def memory(self, dtype: str) -> tuple[str, str]:
        """The element as it lies in memory, and a vector of such."""
        element = "i8" if dtype == "bool" else ELEMENT[dtype]
        return element, f"<{self.width} x {element}>"

    def first(self, count: Number) -> str:
        """A mask of the first lanes: so many, at most all and at least none."""
        kind, most = f"<{self.width} x i32>", self.to.least(count, self.width)
        all = self.spread_short(self.to.let(f"trunc i64 {most} to i32"))
        mask = self.to.let(f"icmp slt {kind} {self.ladder()}, {all}")
        if isinstance(count, int):
            self.counted[mask] = count
        return mask

    def ladder(self) -> str:
        """0, 1, 2..., as text."""
        return self.numbers(range(self.width))

    def numbers(self, numbers: Sequence[int]) -> str:
        """A whole number of 32 bits for each lane, as text."""
        return f"<{', '.join(f'i32 {i}' for i in numbers)}>"

    def below(self, limit: Limit, lanes: Sequence[int]) -> str:
        """A mask of those of some lanes that are within a limit."""
        kind, start = f"<{self.width} x i32>", self.to.let(f"trunc i64 {limit.first} to i32")
        further = [one if lane in lanes else OUT for lane, one in enumerate(limit.further)]
        places = self.to.let(f"add {kind} {self.spread_short(start)}, {self.numbers(further)}")
        return self.to.let(f"icmp ult {kind} {places}, splat (i32 {limit.size})")

    def within(self, limits: Sequence[Limit], lanes: Sequence[int]) -> str | None:
        """A mask of those of some lanes that are within all limits; None where all are."""
        if not limits:
            return None
        first, *others = limits
        mask = self.below(first, lanes)
        for other in others:
            mask = self.to.let(f"and <{self.width} x i1> {mask}, {self.below(other, range(self.width))}")
        return mask

    def spread_short(self, one: str) -> str:
        """A whole number of 32 bits in every lane."""
        kind = f"<{self.width} x i32>"
        first = self.to.let(f"insertelement {kind} poison, i32 {one}, i32 0")
        return self.to.let(f"shufflevector {kind} {first}, {kind} poison, <{self.width} x i32> zeroinitializer")

    def over(self, size: int, visit: Callable[[Number], None]) -> None:
        """Calls `visit(place)` in a loop over the whole vectors of so many entries, then for the masked rest."""
        whole, mask = size // self.width * self.width, self.mask
        self.mask = None
        if whole:
            with self.to.loop(0, whole, self.width) as place:
                visit(place)
        if size > whole:
            self.mask = self.first(size - whole)
            visit(whole)
        self.mask = mask

    def along(self, count: Number, visit: Callable[[Number], None]) -> None:
        """The same for a number that is known when it runs; no mask may be set."""
        whole = self.to.let(f"and i64 {count}, {-self.width}")
        with self.to.loop(0, whole, self.width) as place:
            visit(place)
        left = self.to.sub(count, whole)
        with self.to.when(self.to.let(f"icmp sgt i64 {left}, 0")):
            self.mask = self.first(left)
            visit(whole)
            self.mask = None

    # --- memory ---

    def load(self, pointer: str, dtype: str) -> str:
        _, vector = self.memory(dtype)
        if self.mask is None:
            found = self.to.let(f"load {vector}, ptr {pointer}, align {BYTES[dtype]}")
        else:
            found = self.masked(pointer, dtype, self.mask, "zeroinitializer")
        return self.truth(found) if dtype == "bool" else found

    def masked(self, pointer: str, dtype: str, mask: str, others: str) -> str:
        """The lanes of a mask, as they lie in memory, among others."""
        element, vector = self.memory(dtype)
        name, lanes = f"llvm.masked.load.v{self.width}{SHORT[element]}.p0", f"<{self.width} x i1>"
        self.declared.add(f"declare {vector} @{name}(ptr, {lanes}, {vector})")
        place = f"ptr align {BYTES[dtype]} {pointer}"
        return self.to.let(f"call {vector} @{name}({place}, {lanes} {mask}, {vector} {others})")

    def load_lanes(
        self, pointer: str, apart: Sequence[int], dtype: str, lanes: Sequence[int], limits: Sequence[Limit]
    ) -> str:
        """In some lanes, within limits, entries so far from a pointer; zeros in others. Neighbours in memory that stand
        in neighbouring lanes are loaded at once."""
        runs, found = list[list[int]](), "zeroinitializer"
        for lane in lanes:
            if runs and runs[-1][-1] == lane - 1 and apart[lane] == apart[lane - 1] + 1:
                runs[-1].append(lane)
            else:
                runs.append([lane])
        if 2 * len(runs) > self.width:
            near = [apart[i] if i in lanes else apart[lanes[0]] for i in range(self.width)]
            mask, self.mask = self.mask, self.within(limits, lanes)
            found = self.gather(pointer, self.numbers(near), dtype, "i32")
            self.mask = mask
            return self.only(found, lanes, (), "zeroinitializer", dtype)
        for run in runs:
            start = self.to.at(pointer, (apart[run[0]] - run[0]) * BYTES[dtype], "i8")
            mask = self.within(limits, run)
            found = self.masked(start, dtype, mask, found) if mask else self.with_run(found, start, dtype, run)
        return self.truth(found) if dtype == "bool" else found

    def only(self, value: str, lanes: Sequence[int], limits: Sequence[Limit], others: str, dtype: str) -> str:
        """A vector in some lanes, within limits, and another one elsewhere."""
        mask, kind = self.within(limits, lanes), self.type(dtype)
        if mask is not None:
            return self.select(mask, value, others, kind)
        return self.shuffled(value, others, kind, [i + self.width * (i not in lanes) for i in range(self.width)])

    def with_run(self, vector: str, pointer: str, dtype: str, run: Sequence[int]) -> str:
        """A vector, as it lies in memory, with other numbers in a run of lanes; the pointer is that of lane 0."""
        element, kind = self.memory(dtype)
        for first, count in _halves(run[0], len(run), self.width):
            place = self.to.at(pointer, first * BYTES[dtype], "i8")
            part = self.to.let(f"load <{count} x {element}>, ptr {place}, align {BYTES[dtype]}")
            spread = [i - first if first <= i < first + count else 0 for i in range(self.width)]
            wide = self.shuffled(part, part, f"<{count} x {element}>", spread)
            chosen = [i + self.width if first <= i < first + count else i for i in range(self.width)]
            vector = self.shuffled(vector, wide, kind, chosen)
        return vector

    def shuffled(self, a: str, b: str, kind: str, lanes: Sequence[int]) -> str:
        """The lanes of two vectors that are chosen."""
        chosen = f"<{len(lanes)} x i32> {self.numbers(lanes)}"
        return self.to.let(f"shufflevector {kind} {a}, {kind} {b}, {chosen}")

    def truth(self, bytes: str) -> str:
        return self.to.let(f"icmp ne <{self.width} x i8> {bytes}, zeroinitializer")

    def load_one(self, pointer: str, dtype: str) -> str:
        """One number in every lane."""
        element, _ = self.memory(dtype)
        one = self.to.let(f"load {element}, ptr {pointer}")
        if dtype == "bool":
            one = self.to.let(f"icmp ne i8 {one}, 0")
        return self.spread(one, dtype)

    def spread(self, one: str, dtype: str) -> str:
        vector = self.type(dtype)
        first = self.to.let(f"insertelement {vector} poison, {ELEMENT[dtype]} {one}, i32 0")
        return self.to.let(f"shufflevector {vector} {first}, {vector} poison, <{self.width} x i32> zeroinitializer")

    def gather(self, pointer: str, places: str, dtype: str, kind: str = "i64") -> str:
        """The entries at these places (whole numbers, one in each lane) from a pointer on."""
        element, vector = self.memory(dtype)
        pointers, bits = f"<{self.width} x ptr>", f"<{self.width} x i1>"
        name = f"llvm.masked.gather.v{self.width}{SHORT[element]}.v{self.width}p0"
        self.declared.add(f"declare {vector} @{name}({pointers}, {bits}, {vector})")
        at = self.to.let(f"getelementptr {element}, ptr {pointer}, <{self.width} x {kind}> {places}")
        given = f"{pointers} align {BYTES[dtype]} {at}, {bits} {self.mask or 'splat (i1 true)'}"
        found = self.to.let(f"call {vector} @{name}({given}, {vector} zeroinitializer)")
        return self.truth(found) if dtype == "bool" else found

    def store(self, value: str, pointer: str, dtype: str) -> None:
        element, vector = self.memory(dtype)
        if dtype == "bool":
            value = self.to.let(f"zext <{self.width} x i1> {value} to {vector}")
        if self.mask is None:
            self.to.do(f"store {vector} {value}, ptr {pointer}, align {BYTES[dtype]}")
            return
        if self.mask in self.counted:
            self.store_first(self.counted[self.mask], value, pointer, dtype)
            return
        name = f"llvm.masked.store.v{self.width}{SHORT[element]}.p0"
        self.declared.add(f"declare void @{name}({vector}, ptr, <{self.width} x i1>)")
        place = f"ptr align {BYTES[dtype]} {pointer}"
        self.to.do(f"call void @{name}({vector} {value}, {place}, <{self.width} x i1> {self.mask})")

    def turned(self, rows: Sequence[str]) -> list[str]:
        """The columns of a square of as many vectors as each has lanes."""
        half = self.width // 2
        mixed = [[first + i + side for i in range(half) for side in (0, self.width)] for first in (0, half)]
        for _ in range(half.bit_length()):
            pairs = zip(rows[:half], rows[half:], strict=True)
            rows = [self.shuffled(one, two, self.floats, lanes) for one, two in pairs for lanes in mixed]
        return list(rows)

    def store_first(self, count: int, value: str, pointer: str, dtype: str) -> None:
        """Some of the lanes, by halves, which some machines do faster than by a mask."""
        element, vector = self.memory(dtype)
        for first, part in _halves(0, count, self.width):
            some = self.shuffled(value, "poison", vector, range(first, first + part))
            place = self.to.at(pointer, first * BYTES[dtype], "i8")
            self.to.do(f"store <{part} x {element}> {some}, ptr {place}, align {BYTES[dtype]}")

    # --- arithmetic ---

    def number(self, value: float) -> str:
        """A float in every lane, as text."""
        return f"splat ({self.element} {hexadecimal(value, self.element)})"

    @property
    def floats(self) -> str:
        return f"<{self.width} x {self.element}>"

    @property
    def integers(self) -> str:
        """Whole numbers of the width of a float, for work on its bits."""
        return f"<{self.width} x {'i32' if self.element == 'float' else 'i64'}>"

    def two(self, op: str, a: str, b: str) -> str:
        return self.to.let(f"{op} {self.floats} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        """a * b + c, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def intrinsic(self, name: str, *values: str) -> str:
        full = f"llvm.{name}.v{self.width}{SHORT[self.element]}"
        kinds = ", ".join([self.floats] * len(values))
        self.declared.add(f"declare {self.floats} @{full}({kinds})")
        return self.to.let(f"call {self.floats} @{full}({', '.join(f'{self.floats} {v}' for v in values)})")

    def ints(self, name: str, a: str, b: str) -> str:
        """`smax` or `smin` of whole numbers."""
        kind, full = self.type("int64"), f"llvm.{name}.v{self.width}i64"
        self.declared.add(f"declare {kind} @{full}({kind}, {kind})")
        return self.to.let(f"call {kind} @{full}({kind} {a}, {kind} {b})")

    def select(self, condition: str, a: str, b: str, vector: str) -> str:
        return self.to.let(f"select <{self.width} x i1> {condition}, {vector} {a}, {vector} {b}")

    def compare(self, how: str, a: str, b: str) -> str:
        return self.to.let(f"fcmp {how} {self.floats} {a}, {b}")

    def at_most(self, x: str, limit: str) -> str:
        """The smaller of the two; not a number stays so."""
        return self.select(self.compare("ogt", x, limit), limit, x, self.floats)

    def at_least(self, x: str, limit: str) -> str:
        return self.select(self.compare("olt", x, limit), limit, x, self.floats)

    def polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        """The sum of c[i] * x**i, by Horner's rule."""
        total = self.number(coefficients[-1])
        for c in coefficients[-2::-1]:
            total = self.fma(total, x, self.number(c))
        return total

    def sum(self, vector: str) -> str:
        """The sum of the lanes, halves added to halves."""
        return self._folded(vector, lambda a, b, kind: self.to.let(f"fadd {kind} {a}, {b}"))

    def greatest(self, vector: str) -> str:
        def larger(a: str, b: str, kind: str) -> str:
            width = int(kind.split()[0][1:])
            return Lanes(self.to, width, self.element, self.declared).intrinsic("maximum", a, b)

        return self._folded(vector, larger)

    def _folded(self, vector: str, join: Any) -> str:
        width = self.width
        while width > 1:
            half, kind = width // 2, f"<{width} x {self.element}>"
            low = ", ".join(f"i32 {i}" for i in range(half))
            high = ", ".join(f"i32 {i + half}" for i in range(half))
            a = self.to.let(f"shufflevector {kind} {vector}, {kind} poison, <{half} x i32> <{low}>")
            b = self.to.let(f"shufflevector {kind} {vector}, {kind} poison, <{half} x i32> <{high}>")
            vector = join(a, b, f"<{half} x {self.element}>")
            width = half
        return self.to.let(f"extractelement <1 x {self.element}> {vector}, i32 0")


def _halves(first: int, count: int, width: int) -> Iterator[tuple[int, int]]:
    """A run as runs whose lengths are halves of halves of the width, the longest first."""
    part = width
    while count:
        if part <= count:
            yield first, part
            first, count = first + part, count - part
        else:
            part //= 2


def hexadecimal(value: float, type: str) -> str:
    """LLVM writes floats of both kinds as the 64 bits of a double; for the narrow kind it must be exact."""
    import struct

    narrow = struct.unpack("f", struct.pack("f", value))[0] if type == "float" else value
    return f"0x{struct.unpack('<Q', struct.pack('<d', narrow))[0]:016X}"
