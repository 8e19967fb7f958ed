"""The CTC loss and its gradient: alpha and beta of `ops/ctc.py`, with an example of the batch in each lane.

All is computed in 64 bits. Alpha, beta and the log probabilities lie in the scratch that the op has in the plan.
"""

from __future__ import annotations

from rnngraph.kernels.cpu import math_functions
from rnngraph.kernels.cpu.ctc_lanes import CtcLanes
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.vectors import Lanes, hexadecimal
from rnngraph.kernels.kernel import Ctc
from rnngraph.ops.ctc import NEVER


def write(kernel: Ctc, name: str, dtype: str, width: int, declared: set[str]) -> str:
    """The kernel over rows of the batch. Arguments scores, labels, steps, counts, result, scratch; then the steps, rows
    and labels that there are, and how far steps and counts of rows lie apart."""
    to = Function(name, KERNEL)
    writer = _Writer(kernel, to, dtype, Lanes(to, width, "double", declared))
    writer.logs()
    writer.labels()
    with writer.lanes():
        writer.forward()
        total = writer.total()
        if kernel.gradient:
            writer.backward(total)
    if kernel.gradient:
        writer.gradient()
    return to.text()


class _Writer(CtcLanes):
    # --- before: rows one by one, lanes along the classes ---

    def logs(self) -> None:
        """Log probabilities of all classes."""
        to, v, size = self.to, self.v, self.kernel.classes
        top_at, sum_at = to.variable("double"), to.variable("double")
        with to.loop(0, self.time) as t, to.loop("%r0", "%r1") as b:
            source = to.at(self.at["scores"], to.mul(to.add(to.mul(t, self.rows), b), self.kernel.row), self.element)
            target, lowest = self.log(t, b), v.number(float("-inf"))
            to.do(f"store double {hexadecimal(float('-inf'), 'double')}, ptr {top_at}")
            with self.along(size) as k:
                x = self.score(source, k)
                x = v.select(v.mask, x, lowest, v.floats) if v.mask else x
                top = to.let(f"load double, ptr {top_at}")
                top = to.let(f"call double @llvm.maximum.f64(double {top}, double {v.greatest(x)})")
                to.do(f"store double {top}, ptr {top_at}")
            v.declared.add("declare double @llvm.maximum.f64(double, double)")
            top = v.spread(to.let(f"load double, ptr {top_at}"), "float64")
            to.do(f"store double 0.0, ptr {sum_at}")
            with self.along(size) as k:
                grown = math_functions.exp(v, v.two("fsub", self.score(source, k), top))
                grown = v.select(v.mask, grown, "zeroinitializer", v.floats) if v.mask else grown
                old = to.let(f"load double, ptr {sum_at}")
                to.do(f"store double {to.let(f'fadd double {old}, {v.sum(grown)}')}, ptr {sum_at}")
            total = math_functions.log(v, v.spread(to.let(f"load double, ptr {sum_at}"), "float64"))
            with self.along(size) as k:
                x = v.two("fsub", v.two("fsub", self.score(source, k), top), total)
                v.store(x, to.at(target, k, "double"), "float64")

    def score(self, source: str, k: Number) -> str:
        v = self.v
        x = Lanes(self.to, v.width, self.element, v.declared, v.mask).load(
            self.to.at(source, k, self.element), self.dtype
        )
        return x if self.dtype == "float64" else self.to.let(f"fpext <{v.width} x float> {x} to {v.floats}")

    def labels(self) -> None:
        """How many labels a row has, which need a blank in front, and so how many steps the row needs."""
        to, last = self.to, self.kernel.classes - 1
        with to.loop("%r0", "%r1") as b:
            number, needed, here, before = (to.variable("i64") for _ in range(4))
            for place, first in ((number, 0), (needed, 0), (here, 1), (before, -1)):
                to.do(f"store i64 {first}, ptr {place}")
            counts = self.number_of("counts", b)
            with to.loop(0, self.count) as i:
                given = to.let(f"load i64, ptr {self.cell('given', i, b)}")
                one = to.let(f"call i64 @llvm.smax.i64(i64 {to.least(given, last)}, i64 0)")
                to.do(f"store i64 {one}, ptr {self.cell('ids', i, b)}")
                same = to.let(f"icmp eq i64 {one}, {to.let(f'load i64, ptr {before}')}")
                to.do(f"store i64 {one}, ptr {before}")
                never = hexadecimal(NEVER, "double") if self.kernel.merge else "0.0"
                stuck = to.let(f"select i1 {same}, double {never}, double 0.0")
                to.do(f"store double {stuck}, ptr {self.cell('spare', i, b)}")
                goes = to.let(f"icmp ne i64 {given}, {self.kernel.blank}")
                goes = to.let(f"and i1 {goes}, {to.let(f'icmp slt i64 {i}, {counts}')}")
                on = to.let(f"and i64 {to.let(f'load i64, ptr {here}')}, {to.let(f'zext i1 {goes} to i64')}")
                to.do(f"store i64 {on}, ptr {here}")
                self.grow(number, on)
                both = to.let(f"and i64 {on}, {to.let(f'zext i1 {same} to i64')}") if self.kernel.merge else 0
                self.grow(needed, to.add(on, both))
            to.do(f"store i64 {to.let(f'load i64, ptr {number}')}, ptr {self.place('number', (b, 1))}")
            to.do(f"store i64 {to.let(f'load i64, ptr {needed}')}, ptr {self.place('needed', (b, 1))}")

    def forward(self) -> None:
        """Alpha of every step; a row past its end keeps its last."""
        to, b = self.to, self.row
        with to.loop(0, self.count) as i:
            for name in ("label", "blank"):
                self.store(self.never, self.cell(name, i, b))
        start_at = self.place("start", (b, 1))
        self.store("zeroinitializer", start_at)
        with to.loop(0, self.time) as t:
            here, silence, start = self.later(t), self.silence(t), self.load(start_at)
            label_before, blank_before = self.held(self.never, start)
            self.store(self.choose(here, self.plus(start, silence), start), start_at)
            with to.loop(0, self.count) as i:
                places = [self.cell(name, i, b) for name in ("label", "blank")]
                label, blank = (self.load(place) for place in places)
                way = self.either(label if self.kernel.merge else self.never, self.now(blank_before))
                skipped = self.plus(self.now(label_before), self.load(self.cell("spare", i, b)))
                new = self.plus(self.either(way, skipped), self.said(t, self.ints(self.cell("ids", i, b))))
                quiet = self.plus(self.either(blank, label), silence)
                self.set(label_before, label)
                self.set(blank_before, blank)
                found = self.choose(here, new, label), self.choose(here, quiet, blank)
                for value, place, name in zip(found, places, ("all_label", "all_blank"), strict=True):
                    self.store(value, place)
                    if self.kernel.gradient:
                        self.store(value, self.step_cell(name, t, i, b))
            if self.kernel.gradient:
                self.store(self.load(start_at), self.cell("all_start", t, b))

    def total(self) -> str:
        """The log probability of the labels; the loss is written, or which rows count is kept."""
        to, v, b, kind = self.to, self.v, self.row, self.v.type("int64")
        (total_at,) = self.held(self.load(self.place("start", (b, 1))))
        number = self.ints(self.place("number", (b, 1)))
        with to.loop(0, self.count) as i:
            last = to.let(f"icmp eq {kind} {number}, {v.spread(str(to.add(i, 1)), 'int64')}")
            one = self.either(*(self.load(self.cell(name, i, b)) for name in ("label", "blank")))
            self.set(total_at, self.choose(last, one, self.now(total_at)))
        total = self.now(total_at)
        never = v.compare("olt", total, v.number(0.5 * NEVER))
        left = "splat (i1 false)"
        if self.kernel.ignore:
            needed = self.ints(self.place("needed", (b, 1)))
            left = to.let(f"icmp sgt {kind} {needed}, {self.each('steps')}")
        if self.kernel.zero:
            left = to.let(f"or <{v.width} x i1> {left}, {never}")
        if self.kernel.gradient:
            flags = to.let(f"zext <{v.width} x i1> {left} to {kind}")
            v.store(flags, self.place("needed", (b, 1)), "int64")
            return self.choose(never, v.number(-NEVER), total)
        loss = self.choose(never, v.number(float("inf")), to.let(f"fneg {v.floats} {total}"))
        loss = self.choose(left, "zeroinitializer", loss)
        self.narrow(loss, to.at(self.at["out"], b, self.element))
        return total

    def backward(self, total: str) -> None:
        """Beta, and in the place of alpha how likely each label, and silence, is at each step."""
        to, v, b, kind = self.to, self.v, self.row, self.v.type("int64")
        number, start_at = self.ints(self.place("number", (b, 1))), self.place("start", (b, 1))
        with to.loop(0, self.count) as i:
            last = to.let(f"icmp eq {kind} {number}, {v.spread(str(to.add(i, 1)), 'int64')}")
            for name in ("label", "blank"):
                self.store(self.choose(last, "zeroinitializer", self.never), self.cell(name, i, b))
        none = to.let(f"icmp eq {kind} {number}, zeroinitializer")
        self.store(self.choose(none, "zeroinitializer", self.never), start_at)
        with to.loop(0, self.time) as done:
            t = to.sub(to.sub(self.time, 1), done)
            with to.when(to.let(f"icmp sgt i64 {done}, 0")):
                self.beta(to.add(t, 1), start_at)
            silent_at = self.held(self.likely(self.cell("all_start", t, b), self.load(start_at), total))[0]
            with to.loop(0, self.count) as i:
                for name, kept in (("label", "all_label"), ("blank", "all_blank")):
                    place = self.step_cell(kept, t, i, b)
                    chance = self.likely(place, self.load(self.cell(name, i, b)), total)
                    if name == "label":
                        self.store(chance, place)
                    else:
                        self.set(silent_at, self.plus(self.now(silent_at), chance))
            self.store(self.now(silent_at), self.cell("all_start", t, b))

    def likely(self, alpha: str, beta: str, total: str) -> str:
        return math_functions.exp(self.v, self.v.two("fsub", self.plus(self.load(alpha), beta), total))

    def beta(self, t: Number, start_at: str) -> None:
        """Beta of the step before from that of step t, for the rows that have it: labels from the last to the first."""
        to, b = self.to, self.row
        here, silence = self.later(t), self.silence(t)
        new_behind, stuck_behind = self.held(self.never, "zeroinitializer")
        with to.loop(0, self.count) as done:
            i = to.sub(to.sub(self.count, 1), done)
            places = [self.cell(name, i, b) for name in ("label", "blank")]
            label, blank = (self.load(place) for place in places)
            new = self.plus(label, self.said(t, self.ints(self.cell("ids", i, b))))
            quiet, behind = self.plus(blank, silence), self.now(new_behind)
            ahead = self.either(quiet, new) if self.kernel.merge else quiet
            ahead = self.either(ahead, self.plus(behind, self.now(stuck_behind)))
            self.set(stuck_behind, self.load(self.cell("spare", i, b)))
            self.set(new_behind, new)
            for value, old, place in zip((ahead, self.either(quiet, behind)), (label, blank), places, strict=True):
                self.store(self.choose(here, value, old), place)
        start = self.load(start_at)
        on = self.either(self.plus(start, silence), self.now(new_behind))
        self.store(self.choose(here, on, start), start_at)

    # --- behind: rows one by one again ---

    def gradient(self) -> None:
        """The softmax less how likely each class is said there; zeros past the end and in rows that do not count."""
        to, v, size = self.to, self.v, self.kernel.classes
        with to.loop(0, self.time) as t, to.loop("%r0", "%r1") as b:
            logs = self.log(t, b)
            out = to.at(self.at["out"], to.mul(to.add(to.mul(t, self.rows), b), self.kernel.row), self.element)
            counts = to.let(f"icmp sgt i64 {self.number_of('steps', b)}, {t}")
            left = to.let(f"load i64, ptr {self.place('needed', (b, 1))}")
            counts = to.let(f"and i1 {counts}, {to.let(f'icmp eq i64 {left}, 0')}")
            with self.along(size) as k:
                place = to.at(logs, k, "double")
                v.store(math_functions.exp(v, v.load(place, "float64")), place, "float64")
            self.less(to.at(logs, self.kernel.blank, "double"), self.cell("all_start", t, b))
            with to.loop(0, self.count) as i:
                one = to.let(f"load i64, ptr {self.cell('ids', i, b)}")
                self.less(to.at(logs, one, "double"), self.step_cell("all_label", t, i, b))
            wanted = v.spread(to.let(f"zext i1 {counts} to i64"), "int64")
            counts = to.let(f"icmp ne {v.type('int64')} {wanted}, zeroinitializer")
            with self.along(size) as k:
                x = self.choose(counts, v.load(to.at(logs, k, "double"), "float64"), "zeroinitializer")
                self.narrow(x, to.at(out, k, self.element))
