"""The CTC loss and its gradient: alpha and beta of `ops/ctc.py`, a row of the batch at a time, labels in the lanes.

All is computed in 64 bits, in probabilities rather than their logarithms (`ctc_lanes`). What is kept of every step and
label lies in the scratch that the op has in the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rnngraph.kernels.cpu import math_functions
from rnngraph.kernels.cpu.ctc_lanes import NEVER, CtcLanes, Scaled, stored
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.vectors import Lanes
from rnngraph.kernels.kernel import Ctc

LN2 = 0.6931471805599453
LOWEST = -(2.0**49)
"""A score that is so much below the largest has a probability of 0. The exponent of what has passed one is below it."""


def write(kernel: Ctc, name: str, dtype: str, width: int, declared: set[str]) -> str:
    """The kernel over rows of the batch. Arguments scores, labels, steps, counts, result, scratch; then the steps, rows
    and labels that there are, and how far steps and counts of rows lie apart."""
    to = Function(name, KERNEL)
    writer = _Writer(kernel, to, dtype, Lanes(to, width, "double", declared))
    with to.loop("%r0", "%r1") as writer.row:
        writer.whole_row()
    return to.text()


class _Writer(CtcLanes):
    number: str
    """How many labels the row has."""
    real: str
    """How many steps."""

    def whole_row(self) -> None:
        steps = self.to.least(self.number_of("steps"), self.time)
        self.real = self.to.let(f"call i64 @llvm.smax.i64(i64 {steps}, i64 0)")
        bad = self.logs()
        needed = self.labels()
        total = self.total(self.forward(), bad)
        left, never = self.left_out(total, needed)
        if self.kernel.gradient:
            self.backward(total, never)
            self.gradient(left)
        else:
            self.loss(total, left, never)

    def logs(self) -> str:
        """Of all classes the probabilities beside that of the likeliest, and their sum. What is returned is 0, or not a
        number where a score is none."""
        v, bad = self.v, self.to.variable("double")
        self.to.do(f"store {stored(0.0)}, ptr {bad}")
        with self.to.loop(0, self.real) as t:
            source, top_at = self.entry("scores", t), self.variable(v.number(float("-inf")))
            v.over(self.kernel.classes, partial(self.grow_top, source, top_at))
            top = v.spread(v.greatest(self.value(top_at)), "float64")
            sum_at = self.variable(v.number(0.0))
            v.over(self.kernel.classes, partial(self.grow_sum, source, top, self.log(t), sum_at))
            total = v.sum(self.value(sum_at))
            self.to.do(f"store double {total}, ptr {self.each_step('one', t)}")
            nothing = self.to.let(f"fmul double {total}, {stored(0.0).split()[1]}")
            old = self.to.let(f"load double, ptr {bad}")
            self.to.do(f"store double {self.to.let(f'fadd double {old}, {nothing}')}, ptr {bad}")
        return v.load_one(bad, "float64")

    def grow_top(self, source: str, top_at: list[str], k: Number) -> None:
        v = self.v
        x = self.where_there(self.score(source, k), v.number(float("-inf")))
        self.set(top_at, (v.at_least(x, self.value(top_at)),))

    def grow_sum(self, source: str, top: str, target: str, sum_at: list[str], k: Number) -> None:
        v = self.v
        below = v.at_least(self.minus(self.score(source, k), top), v.number(LOWEST))
        found = Scaled(*math_functions.exp_parts(v, below))
        v.store(self.closed(found), self.to.at(target, k, "double"), "float64")
        more = self.where_there(self.plain(found), v.number(0.0))
        self.set(sum_at, (v.two("fadd", self.value(sum_at), more),))

    def labels(self) -> str:
        """How many labels the row has, which need a blank in front, and so how many steps the row needs."""
        to, last = self.to, self.kernel.classes - 1
        number, needed, here, before = (to.variable("i64") for _ in range(4))
        for place, first in ((number, 0), (needed, 0), (here, 1), (before, -1)):
            to.do(f"store i64 {first}, ptr {place}")
        counts = self.number_of("counts")
        with to.loop(0, self.count) as i:
            given = to.word(self.at["given"], to.add(to.mul(i, self.rows), self.row))
            one = to.let(f"call i64 @llvm.smax.i64(i64 {to.least(given, last)}, i64 0)")
            to.do(f"store i64 {one}, ptr {self.cell('ids', i)}")
            same = to.let(f"icmp eq i64 {one}, {to.let(f'load i64, ptr {before}')}")
            to.do(f"store i64 {one}, ptr {before}")
            never = stored(NEVER if self.kernel.merge else 0.0)
            stuck = to.let(f"select i1 {same}, {never}, {stored(0.0)}")
            to.do(f"store double {stuck}, ptr {self.cell('spare', i)}")
            goes = to.let(f"icmp ne i64 {given}, {self.kernel.blank}")
            goes = to.let(f"and i1 {goes}, {to.let(f'icmp slt i64 {i}, {counts}')}")
            on = to.let(f"and i64 {to.let(f'load i64, ptr {here}')}, {to.let(f'zext i1 {goes} to i64')}")
            to.do(f"store i64 {on}, ptr {here}")
            self.grow(number, on)
            both = to.let(f"and i64 {on}, {to.let(f'zext i1 {same} to i64')}") if self.kernel.merge else 0
            self.grow(needed, to.add(on, both))
        self.number = to.let(f"load i64, ptr {number}")
        return to.let(f"load i64, ptr {needed}")

    # --- alpha ---

    def forward(self) -> Scaled:
        """Alpha of every step; what is returned is the last of no label said."""
        v = self.v
        start_at = self.variable(self.one, v.number(0.0))
        v.along(self.number, self.nothing_yet)
        with self.to.loop(0, self.real) as t:
            start, silence = self.now(start_at), self.silence(t)
            label_at, blank_at = self.variable(self.one, self.never), self.variable(*start)
            v.along(self.number, partial(self.alpha, t, silence, label_at, blank_at))
            self.set(start_at, self.times(start, silence))
            if self.kernel.gradient:
                self.store_one(self.closed(self.now(start_at)), self.each_step("all_start", t))
        return self.now(start_at)

    def nothing_yet(self, i: Number) -> None:
        for name in ("label", "blank"):
            self.v.store(self.never, self.cell(name, i), "float64")

    def alpha(self, t: Number, silence: Scaled, label_at: list[str], blank_at: list[str], i: Number) -> None:
        """Of some labels at step t from that of the step before; of the labels in front of them it is in two places."""
        v = self.v
        label, blank = (self.load(self.cell(name, i)) for name in ("label", "blank"))
        before = [self.behind(self.now(at), here) for at, here in ((label_at, label), (blank_at, blank))]
        self.set(label_at, label)
        self.set(blank_at, blank)
        skipped = self.unless_stuck(before[0], v.load(self.cell("spare", i), "float64"))
        ways = self.plus(before[1], skipped, *([label] if self.kernel.merge else []))
        new = self.times(ways, self.said(t, v.load(self.cell("ids", i), "int64")))
        for name, value in (("label", new), ("blank", self.times(self.plus(blank, label), silence))):
            self.store(value, self.cell(name, i))
            if self.kernel.gradient:
                self.store(value, self.step_cell(f"all_{name}", t, i))

    def unless_stuck(self, x: Scaled, stuck: str) -> Scaled:
        """Nothing for what needs a blank in between."""
        return Scaled(x.mantissa, self.v.two("fadd", x.exponent, stuck))

    def total(self, start: Scaled, bad: str) -> Scaled:
        """The probability of the labels, not divided by that of all that could be said."""
        to = self.to
        total_at = self.variable(*start)
        with to.when(to.let(f"icmp sgt i64 {self.number}, 0")):
            last = to.sub(self.number, 1)
            both = (self.load_one(self.cell(name, last)) for name in ("label", "blank"))
            self.set(total_at, self.normal(self.plus(*both)))
        return Scaled(*(self.v.two("fadd", part, bad) for part in self.now(total_at)))

    def left_out(self, total: Scaled, needed: str) -> tuple[str, str]:
        """Whether the row counts as 0, and whether no path says its labels: in each lane."""
        to, v = self.to, self.v
        never = v.compare("olt", total.exponent, v.number(LOWEST))
        left = "splat (i1 false)"
        if self.kernel.ignore:
            more = to.let(f"icmp sgt i64 {needed}, {self.number_of('steps')}")
            spread = v.spread(to.let(f"zext i1 {more} to i64"), "int64")
            left = to.let(f"icmp ne {v.type('int64')} {spread}, zeroinitializer")
        return (to.let(f"or <{v.width} x i1> {left}, {never}") if self.kernel.zero else left), never

    def loss(self, total: Scaled, left: str, never: str) -> None:
        to, v = self.to, self.v
        all_at = self.variable(self.one, v.number(0.0))
        with to.loop(0, self.real) as t:
            step = Scaled(v.load_one(self.each_step("one", t), "float64"), v.number(0.0))
            self.set(all_at, self.times(self.now(all_at), step))
        all = self.now(all_at)
        part = math_functions.log(v, v.two("fdiv", total.mantissa, all.mantissa))
        log = v.fma(self.minus(total.exponent, all.exponent), v.number(LN2), part)
        loss = self.choose(never, v.number(float("inf")), to.let(f"fneg {v.floats} {log}"))
        loss = self.choose(left, "zeroinitializer", loss)
        v.mask = v.first(1)
        self.narrow(loss, to.at(self.at["out"], self.row, self.element))
        v.mask = None

    # --- beta, and the gradient ---

    def backward(self, total: Scaled, never: str) -> None:
        """Beta, and in the place of alpha how likely each label, and silence, is at each step."""
        to, v = self.to, self.v
        inverse = self.choose(never, v.number(0.0), v.two("fdiv", self.one, total.mantissa))
        v.along(self.number, self.nothing_yet)
        start_at = self.variable(self.one, v.number(0.0))
        with to.when(to.let(f"icmp sgt i64 {self.number}, 0")):
            self.set(start_at, (self.one, self.never))
            for name in ("label", "blank"):
                to.do(f"store {stored(0.0)}, ptr {self.cell(name, to.sub(self.number, 1))}")
        with to.loop(0, self.real) as done:
            t = to.sub(to.sub(self.real, 1), done)
            with to.when(to.let(f"icmp sgt i64 {done}, 0")):
                self.beta(to.add(t, 1), start_at)
            likely = partial(self.likely, Scaled(inverse, total.exponent))
            silent_at, start = self.variable(v.number(0.0)), self.each_step("all_start", t)
            v.along(self.number, partial(self.occupied, t, likely, silent_at))
            first = to.let(f"extractelement {v.floats} {likely(self.load_one(start), self.now(start_at))}, i32 0")
            silent = to.let(f"fadd double {first}, {v.sum(self.value(silent_at))}")
            to.do(f"store double {silent}, ptr {start}")

    def occupied(
        self, t: Number, likely: Callable[[Scaled, Scaled], str], silent_at: list[str], i: Number
    ) -> None:
        """How likely some labels, and the blanks behind them, are at step t."""
        v = self.v
        label, blank = (
            likely(self.load(self.step_cell(f"all_{name}", t, i)), self.load(self.cell(name, i)))
            for name in ("label", "blank")
        )
        v.store(label, self.step_cell("all_label", t, i), "float64")
        self.set(silent_at, (v.two("fadd", self.value(silent_at), blank),))

    def likely(self, part: Scaled, alpha: Scaled, beta: Scaled) -> str:
        """alpha * beta / total, of which the mantissa's inverse and the exponent are given."""
        v = self.v
        exponent = self.minus(v.two("fadd", alpha.exponent, beta.exponent), part.exponent)
        mantissa = v.two("fmul", v.two("fmul", alpha.mantissa, beta.mantissa), part.mantissa)
        return v.two("fmul", mantissa, self.power(v.at_most(exponent, v.number(2.0))))

    def beta(self, t: Number, start_at: list[str]) -> None:
        """Beta of the step before from that of step t: labels from the last to the first."""
        v, silence = self.v, self.silence(t)
        new_at, stuck_at = self.variable(self.one, self.never), self.variable(v.number(0.0))
        self.descending(self.number, partial(self.beta_of, t, silence, new_at, stuck_at))
        first = Scaled(*(v.shuffled(part, part, v.floats, [0] * v.width) for part in self.now(new_at)))
        self.set(start_at, self.normal(self.plus(self.times(self.now(start_at), silence), first)))

    def beta_of(self, t: Number, silence: Scaled, new_at: list[str], stuck_at: list[str], i: Number) -> None:
        """Of some labels; `new_at` and `stuck_at` hold what was found for those behind them."""
        v = self.v
        label, blank = (self.load(self.cell(name, i)) for name in ("label", "blank"))
        new = self.times(label, self.said(t, v.load(self.cell("ids", i), "int64")))
        quiet, stuck = self.times(blank, silence), v.load(self.cell("spare", i), "float64")
        after = self.ahead(new, self.now(new_at))
        (stuck_after,) = self.ahead((stuck,), (self.value(stuck_at),))
        self.set(new_at, new)
        self.set(stuck_at, (stuck,))
        ways = self.plus(quiet, self.unless_stuck(Scaled(*after), stuck_after), *([new] if self.kernel.merge else []))
        self.store(self.normal(ways), self.cell("label", i))
        self.store(self.normal(self.plus(quiet, Scaled(*after))), self.cell("blank", i))

    def gradient(self, left: str) -> None:
        """The softmax less how likely each class is said there; zeros past the end and in rows that do not count."""
        to, v, size = self.to, self.v, self.kernel.classes
        with to.loop(0, self.real) as t:
            logs = self.log(t)
            scale = v.two("fdiv", self.one, v.load_one(self.each_step("one", t), "float64"))
            v.over(size, partial(self.softmax, logs, scale))
            self.less(to.at(logs, self.kernel.blank, "double"), self.each_step("all_start", t))
            with to.loop(0, self.number) as i:
                one = to.let(f"load i64, ptr {self.cell('ids', i)}")
                self.less(to.at(logs, one, "double"), self.step_cell("all_label", t, i))
            v.over(size, partial(self.hand_out, logs, self.entry("out", t), left))
        with to.loop(self.real, self.time) as t:
            out = self.entry("out", t)
            v.over(size, lambda k: self.narrow("zeroinitializer", to.at(out, k, self.element)))

    def softmax(self, logs: str, scale: str, k: Number) -> None:
        place = self.to.at(logs, k, "double")
        value = self.plain(self.of_class(self.v.load(place, "float64")))
        self.v.store(self.v.two("fmul", value, scale), place, "float64")

    def hand_out(self, logs: str, out: str, left: str, k: Number) -> None:
        x = self.v.load(self.to.at(logs, k, "double"), "float64")
        self.narrow(self.choose(left, "zeroinitializer", x), self.to.at(out, k, self.element))
