"""Walks along lines: running sums, what comes first, what is largest, kept entries moved to the front.

Some take several lines at once, one in each lane; the others, which go where the numbers say, take one line with plain
numbers. All find what NumPy finds: of equal entries the first, and what is no number before or behind all that are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnngraph.kernels.cpu import math_functions
from rnngraph.kernels.cpu.llvm_text import Number
from rnngraph.kernels.cpu.vectors import BYTES, ELEMENT, Lanes, hexadecimal
from rnngraph.kernels.nests import Nest, Strand

Load = Callable[[str, Strand], str]


class Walker:
    """Writes the walk along one line, or along one in each lane. `steps` are the bytes from one entry of each array to
    the next where they are steps of a loop, `count` is how many there are of these."""

    def __init__(self, nest: Nest, v: Lanes, load: Load, steps: Sequence[Number], count: Number) -> None:
        assert nest.walk is not None
        self.nest, self.walk, self.v, self.to, self.load = nest, nest.walk, v, v.to, load
        self.apart = [
            near * BYTES[s.dtype] if many else far
            for near, many, far, s in zip(self.walk.apart, self.walk.counts, steps, nest.strands, strict=True)
        ]
        self.counts = [many or count for many in self.walk.counts]
        self.dtype = nest.strands[0].dtype
        self.floats = self.dtype.startswith("float")

    def line(self, places: Sequence[str]) -> None:
        self.places = places
        {
            "argmax": self.largest, "cumsum": self.running, "softmax": self.softmax, "log_softmax": self.softmax,
            "top_k": self.top, "argsort": self.order, "entries": self.chosen, "put_entries": self.put,
            "compact": self.front, "expand": self.back,
        }[self.walk.kind]()  # fmt: skip

    def at(self, array: int, entry: Number) -> str:
        return self.to.at(self.places[array], self.to.mul(entry, self.apart[array]), "i8")

    # --- several lines at once ---

    def entry(self, array: int, i: Number) -> str:
        return self.load(self.at(array, i), self.nest.strands[array])

    def keep(self, value: str, i: Number) -> None:
        self.v.store(value, self.at(len(self.places) - 1, i), self.nest.strands[-1].dtype)

    def held(self, kind: str, value: str) -> str:
        place = self.to.variable(kind)
        self.to.do(f"store {kind} {value}, ptr {place}")
        return place

    def now(self, kind: str, place: str) -> str:
        return self.to.let(f"load {kind}, ptr {place}")

    def running(self) -> None:
        """Sums of all before an entry and of itself, from the first one on or from the last."""
        to, kind, count = self.to, self.v.type(self.dtype), self.counts[0]
        total = self.held(kind, self.v.number(-0.0) if self.floats else "zeroinitializer")
        with to.loop(0, count) as n:
            i = to.sub(to.sub(count, 1), n) if self.walk.back else n
            sum = f"{'fadd' if self.floats else 'add'} {kind} {self.now(kind, total)}, {self.entry(0, i)}"
            grown = to.let(sum)
            to.do(f"store {kind} {grown}, ptr {total}")
            self.keep(grown, i)

    def largest(self) -> None:
        """The place of the first that is larger than all before it, or no number."""
        to, v, kind, ints = self.to, self.v, self.v.type(self.dtype), self.v.type("int64")
        top, place = self.held(kind, self.entry(0, 0)), self.held(ints, "zeroinitializer")
        with to.loop(1, self.counts[0]) as i:
            x, best = self.entry(0, i), self.now(kind, top)
            before = self.before(x, best, kind, rising=False, none_first=True)
            to.do(f"store {kind} {v.select(before, x, best, kind)}, ptr {top}")
            here = v.select(before, v.spread(str(i), "int64"), self.now(ints, place), ints)
            to.do(f"store {ints} {here}, ptr {place}")
        self.v.store(self.now(ints, place), self.places[-1], "int64")

    def softmax(self) -> None:
        """exp(x - largest) over its sum, or x - largest - log(sum)."""
        to, v, kind, count = self.to, self.v, self.v.floats, self.counts[0]
        log = self.walk.kind == "log_softmax"
        top, total = self.held(kind, self.entry(0, 0)), self.held(kind, "zeroinitializer")
        with to.loop(1, count) as i:
            to.do(f"store {kind} {v.intrinsic('maximum', self.now(kind, top), self.entry(0, i))}, ptr {top}")
        largest = self.now(kind, top)
        with to.loop(0, count) as i:
            shifted = v.two("fsub", self.entry(0, i), largest)
            grown = math_functions.exp(v, shifted)
            self.keep(shifted if log else grown, i)
            to.do(f"store {kind} {v.two('fadd', self.now(kind, total), grown)}, ptr {total}")
        last = self.now(kind, total)
        last = math_functions.log(v, last) if log else last
        with to.loop(0, count) as i:
            part = v.load(self.at(1, i), self.dtype)
            self.keep(v.two("fsub" if log else "fdiv", part, last), i)

    def before(self, a: str, b: str, kind: str, rising: bool, none_first: bool) -> str:
        """Whether an entry comes before another that stands in front of it."""
        to = self.to
        if not self.floats:
            sign = "s" if self.dtype == "int64" else "u"
            return to.let(f"icmp {sign}{'lt' if rising else 'gt'} {kind} {a}, {b}")
        more = to.let(f"fcmp o{'lt' if rising else 'gt'} {kind} {a}, {b}")
        first, second = (a, b) if none_first else (b, a)
        truth = f"<{kind[1:].split()[0]} x i1>" if kind.startswith("<") else "i1"
        none = to.let(f"fcmp uno {kind} {first}, {first}")
        one = to.let(f"fcmp ord {kind} {second}, {second}")
        return to.let(f"or {truth} {more}, {to.let(f'and {truth} {none}, {one}')}")

    # --- one line, with plain numbers ---

    def plain(self, array: int, i: Number) -> str:
        """One number, a truth value as it lies in memory."""
        return self.to.let(f"load {self.element(array)}, ptr {self.at(array, i)}")

    def write(self, value: Number, array: int, i: Number) -> None:
        self.to.do(f"store {self.element(array)} {value}, ptr {self.at(array, i)}")

    def element(self, array: int) -> str:
        dtype = self.nest.strands[array].dtype
        return "i8" if dtype == "bool" else ELEMENT[dtype]

    def first_of(self, a: str, b: str) -> str:
        """Whether an entry comes before another that stands in front of it, in a list of the largest or in order."""
        rising = self.walk.kind == "argsort" and not self.walk.back
        return self.before(a, b, self.element(0), rising, none_first=not rising)

    def key(self, i: Number) -> str:
        """What the largest entries are found by: the lowest of all stands for minus infinity too."""
        x = self.plain(0, i)
        if not self.floats:
            return self.to.let(f"call i64 @llvm.smax.i64(i64 {x}, i64 {1 - 2**63})")
        element, short = self.element(0), "f32" if self.dtype == "float32" else "f64"
        self.v.declared.add(f"declare {element} @llvm.maximum.{short}({element}, {element})")
        lowest = hexadecimal(-3.4028234663852886e38 if short == "f32" else -1.7976931348623157e308, element)
        return self.to.let(f"call {element} @llvm.maximum.{short}({element} {x}, {element} {lowest})")

    def top(self) -> None:
        """Each entry moves up in the list of the largest so far. Once that is full, blocks of entries none of which is
        larger than its last one are left out."""
        to, most, count = self.to, self.counts[1], self.counts[0]
        assert isinstance(most, int) and isinstance(count, int)
        block = 2 * self.v.width
        near = self.apart[0] == BYTES[self.dtype] and self.floats
        begin = -(-most // block) * block if near else count
        self.write(0, 1, 0)
        with to.loop(1, min(begin, count)) as i:
            self.offer(i)
        whole = max(begin, count // block * block)
        if begin < whole:
            with (
                to.loop(begin, whole, block) as first,
                to.when(self.some_larger(first, block)),
                to.loop(first, to.add(first, block)) as i,
            ):
                self.offer(i)
        if whole < count:
            with to.loop(whole, count) as i:
                self.offer(i)

    def some_larger(self, first: str, block: int) -> str:
        """Whether of a block of entries, near each other, one may come before the last of the list."""
        to, kind = self.to, f"<{block} x {self.element(0)}>"
        last = self.key(self.plain(1, to.sub(self.counts[1], 1)))
        one = to.let(f"insertelement {kind} poison, {self.element(0)} {last}, i32 0")
        least = to.let(f"shufflevector {kind} {one}, {kind} poison, <{block} x i32> zeroinitializer")
        entries = to.let(f"load {kind}, ptr {self.at(0, first)}, align {BYTES[self.dtype]}")
        larger = to.let(f"fcmp ugt {kind} {entries}, {least}")  # what is no number, too
        return to.let(f"icmp ne i{block} {to.let(f'bitcast <{block} x i1> {larger} to i{block}')}, 0")

    def offer(self, i: str) -> None:
        """Puts an entry into the list, if it is large enough."""
        to, most = self.to, self.counts[1]
        x, place = self.key(i), to.variable("i64")
        behind = to.least(i, most)
        last = self.key(self.plain(1, to.sub(behind, 1)))
        full = to.let(f"icmp sge i64 {i}, {most}")
        late = to.let(f"xor i1 {self.first_of(x, last)}, true")
        with to.unless([to.let(f"and i1 {full}, {late}")]):
            to.do(f"store i64 {to.least(i, to.sub(most, 1))}, ptr {place}")
            self.move_up(x, place)
            self.write(i, 1, self.now("i64", place))

    def move_up(self, x: str, place: str) -> None:
        """Moves the places before one down by one, as far as an entry comes before theirs."""
        to = self.to

        def goes_on() -> str:
            at = self.now("i64", place)
            above = to.let(f"call i64 @llvm.smax.i64(i64 {to.sub(at, 1)}, i64 0)")
            inside = to.let(f"icmp sgt i64 {at}, 0")
            return to.let(f"and i1 {inside}, {self.first_of(x, self.key(self.plain(1, above)))}")

        with to.while_(goes_on):
            at = self.now("i64", place)
            self.write(self.plain(1, to.sub(at, 1)), 1, at)
            to.do(f"store i64 {to.sub(at, 1)}, ptr {place}")

    def order(self) -> None:
        """Runs of 1, 2, 4 ... in order become runs twice as long, from one array to the other."""
        to, count = self.to, self.counts[0]
        assert isinstance(count, int)
        passes = (count - 1).bit_length()
        with to.loop(0, count) as i:
            self.write(i, 1 + passes % 2, i)
        for done in range(passes):
            source = 1 + (passes - done) % 2
            with to.loop(0, count, 2 << done) as low:
                middle, end = (to.least(to.add(low, far << done), count) for far in (1, 2))
                self.merge(source, low, middle, end)

    def merge(self, source: int, low: Number, middle: Number, end: Number) -> None:
        to, last = self.to, self.to.sub(self.counts[0], 1)
        left, right = self.held("i64", str(low)), self.held("i64", str(middle))
        with to.loop(low, end) as to_place:
            i, j = self.now("i64", left), self.now("i64", right)
            a, b = (self.plain(source, to.least(place, last)) for place in (i, j))
            none_left = to.let(f"icmp sge i64 {i}, {middle}")
            some_right = to.let(f"icmp slt i64 {j}, {end}")
            sooner = to.let(f"and i1 {some_right}, {self.first_of(self.plain(0, b), self.plain(0, a))}")
            chosen = to.let(f"or i1 {none_left}, {sooner}")
            self.write(to.let(f"select i1 {chosen}, i64 {b}, i64 {a}"), 3 - source, to_place)
            step = to.let(f"zext i1 {chosen} to i64")
            to.do(f"store i64 {to.add(j, step)}, ptr {right}")
            to.do(f"store i64 {to.add(i, to.sub(1, step))}, ptr {left}")

    def inside(self, id: str, count: Number) -> str:
        """An int; one outside takes the nearest inside."""
        most = self.to.sub(count, 1)
        return self.to.let(f"call i64 @llvm.smax.i64(i64 {self.to.least(id, most)}, i64 0)")

    def chosen(self) -> None:
        with self.to.loop(0, self.counts[1]) as i:
            self.write(self.plain(0, self.inside(self.plain(1, i), self.counts[0])), 2, i)

    def put(self) -> None:
        """Zeros, to which one entry after another is added."""
        to, element = self.to, self.element(0)
        with to.loop(0, self.counts[2]) as i:
            self.write(zero(self.dtype), 2, i)
        with to.loop(0, self.counts[0]) as i:
            at = self.inside(self.plain(1, i), self.counts[2])
            how = "fadd" if self.floats else "add"
            self.write(to.let(f"{how} {element} {self.plain(2, at)}, {self.plain(0, i)}"), 2, at)

    def kept(self, i: Number) -> str:
        return self.to.let(f"icmp ne i8 {self.plain(1, i)}, 0")

    def front(self) -> None:
        """What is kept one behind the other; zeros after it."""
        to, done = self.to, self.held("i64", "0")
        with to.loop(0, self.counts[0]) as i, to.when(self.kept(i)):
            at = self.now("i64", done)
            self.write(self.plain(0, i), 2, at)
            to.do(f"store i64 {to.add(at, 1)}, ptr {done}")
        with to.loop(self.now("i64", done), self.counts[0]) as i:
            self.write(zero(self.dtype), 2, i)

    def back(self) -> None:
        """The next one from the front where one was kept; zeros elsewhere."""
        to, done = self.to, self.held("i64", "0")
        with to.loop(0, self.counts[0]) as i:
            here = self.kept(i)
            self.write(zero(self.dtype), 2, i)
            with to.when(here):
                at = self.now("i64", done)
                self.write(self.plain(0, at), 2, i)
                to.do(f"store i64 {to.add(at, 1)}, ptr {done}")


def zero(dtype: str) -> str:
    return "0.0" if dtype.startswith("float") else "0"
