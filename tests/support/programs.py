"""Random programs of the language, by a seed: whatever can be written, the ways to run it must agree.

Cells with states of every type, loops inside of steps (three deep, over memories, reversed, with ends of their own),
poles behind conditions, lookups, wrappers, pipes, several axes, outputs that the loss does not see. All vectors have
WIDTH values.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH = 3
ROWS = 5
"""Of a table that is looked up."""
UNARY = (
    "tanh",
    "sigmoid",
    "softplus",
    "sin",
    "exp",
    "abs",
    "-",
    "softmax",
    "relu",
    "log_sigmoid",
    "square",
    "cumsum",
    "flip",
)
KINDS = ("vector", "number", "int", "bool")


@dataclass
class Body:
    """A cell being written: what may be read so far, by kind, and the lines that declare and say it."""

    name: str
    rng: random.Random
    known: dict[str, list[str]]
    head: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    params: int = 0

    def chance(self, part: float) -> bool:
        return self.rng.random() < part

    def param(self, type: str, initial: str) -> str:
        name = f"k{self.params}"
        self.params += 1
        self.head.append(f"param {name}: {type} ~ {initial}")
        return name

    def let(self, kind: str, text: str) -> str:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.known[kind].append(name)
        return name

    # --- expressions ---

    def say(self, kind: str, depth: int) -> str:
        if depth == 0 or self.chance(0.2):
            return self.rng.choice(self.known[kind])
        rule: Callable[[int], str] = getattr(self, kind)
        return rule(depth - 1)

    def vector(self, d: int) -> str:
        v, pick = lambda: self.say("vector", d), self.rng.choice
        a = v()
        ways = (
            lambda: f"{pick(UNARY)}(0.5 * {a})",
            lambda: f"({a} {pick('+-*')} {v()})",
            lambda: f"(0.3 * [{a}, {v()}] @ {self.param(f'[{2 * WIDTH}, {WIDTH}]', 'uniform(-0.7, 0.7)')})",
            lambda: f"where({self.say('bool', d)}, {a}, {v()})",
            lambda: f"where({a} {pick(('<', '>=', '>'))} {v()}, {a}, 0.5 * {v()})",
            lambda: f"[{a}, {v()}][{self.window()}]",
            lambda: f"([{a}[{WIDTH}:], {v()}] + sum({a}[:0]))",
            lambda: f"({a} * {self.say('number', d)})",
            lambda: f"table[{self.say('int', d)} % {ROWS}]",
            lambda: f"clip({a}, -0.8, 0.9)",
            lambda: f"where({a} > 0.1, log({a}) + ({a}) ** 0.5 + 1 / ({a}), {v()})",
            lambda: f"where(norm({a}) > 0, {a} / norm({a}), {a})",
        )
        return pick(ways)()

    def window(self) -> str:
        start = self.rng.randint(0, WIDTH)
        return f"{start}:{start + WIDTH}"

    def number(self, d: int) -> str:
        v, n, pick = lambda: self.say("vector", d), lambda: self.say("number", d), self.rng.choice
        b = n()
        ways = (
            lambda: f"{pick(('sum', 'mean', 'max', 'min', 'norm'))}({v()} + 0.3)",
            lambda: f"{v()}[{self.rng.randrange(-WIDTH, WIDTH)}]",
            lambda: f"0.1 * float({self.say('int', d)})",
            lambda: f"float({self.say('bool', d)})",
            lambda: f"tanh({b})",
            lambda: f"({b} {pick('+-*')} {n()})",
            lambda: f"where({b} > 0.2, log({b}) / sqrt({b} - 0.1), {n()})",
            lambda: f"({v()} @ {v()})",
            lambda: f"{v()}[{self.say('int', d)} % {WIDTH}]",
        )
        return pick(ways)()

    def int(self, d: int) -> str:
        i = lambda: self.say("int", d)  # noqa: E731
        ways = (
            lambda: largest(self.say("vector", d)),
            lambda: f"({i()} + {i()}) % 4",
            lambda: f"({i()} * 3 + 1) % 7",
            lambda: f"where({self.say('bool', d)}, {i()}, {i()})",
        )
        return self.rng.choice(ways)()

    def bool(self, d: int) -> str:
        b = lambda: self.say("bool", d)  # noqa: E731
        ways = (
            lambda: f"{self.say('number', d)} {self.rng.choice(('<', '<=', '>', '>='))} {self.say('number', d)}",
            lambda: f"{self.say('int', d)} % 2 == 0",
            lambda: f"not ({b()})",
            lambda: f"({b()} {self.rng.choice(('and', 'or'))} {b()})",
        )
        return self.rng.choice(ways)()

    # --- the whole ---

    def text(self, outputs: Sequence[str], stop: str = "") -> str:
        lines = [*self.head, *self.lines, f"output {', '.join(outputs)}", *([f"stop {stop}"] if stop else [])]
        return f"cell {self.name} {{\n  " + "\n  ".join(lines) + "\n}\n"


class Writer:
    """A program being written: the cells so far, each for one use."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cells: list[str] = []

    def chance(self, part: float) -> bool:
        return self.rng.random() < part

    def cell(self, deep: int, memory: bool, over: bool) -> tuple[str, int]:
        """A cell with input `x`, and `memory` if asked; its name and how many outputs it has.

        `deep` loops may stand in it; `over` says that it runs over a memory, of which `m` is the present step.
        """
        known = {
            "vector": ["x", "(x @ wx)", "bias"],
            "number": ["x[0]", "bias[1]"],
            "int": ["t", "2"],
            "bool": ["x[1] > 0.1"],
        }
        body = Body(f"Cell{len(self.cells)}", self.rng, known)
        self.cells.append("")
        at = len(self.cells) - 1
        body.head += ["input x: [n]"]
        if memory:
            body.head += ["input memory: seq@source[k]"]
        if over:
            body.head += ["input m: [j]"]
            known["vector"] += ["m"]
        body.head += [f"param wx: [n, {WIDTH}] ~ normal(0, 0.5)", f"param bias: [{WIDTH}] ~ normal(0, 0.3)"]
        body.head += [f"param table: [{ROWS}, {WIDTH}] ~ normal(0, 0.5)"]
        states = self.states(body)
        if deep and self.chance(0.8):
            self.loop(body, deep - 1, memory)
        for _ in range(self.rng.randint(0, 2)):
            kind = self.rng.choice(KINDS)
            body.let(kind, body.say(kind, 2))
        self.nexts(body, states)
        outputs = [body.say("vector", 2) for _ in range(self.rng.randint(1, 2))]
        place = largest("s0'")
        stop = self.rng.choice(("norm(s0') > 0.9", f"t + {place} >= 1")) if self.chance(0.3) else ""
        self.cells[at] = body.text(outputs, stop)
        return body.name, len(outputs)

    def states(self, body: Body) -> list[tuple[str, str]]:
        """One to three vectors, and now and then a count and a switch."""
        found = [(f"s{i}", "vector") for i in range(self.rng.randint(1, 3))]
        found += [("count", "int")] * self.chance(0.3) + [("on", "bool")] * self.chance(0.3)
        types = {
            "vector": (f"[{WIDTH}]", ("0", "0.25")),
            "int": ("int", ("0", "1")),
            "bool": ("bool", ("false", "true")),
        }
        for name, kind in found:
            type, first = types[kind]
            body.head.append(f"state {name}: {type} = {self.rng.choice(first)}")
            body.known[kind].append(name)
        return found

    def nexts(self, body: Body, states: Sequence[tuple[str, str]]) -> None:
        for name, kind in states:
            value = body.say(kind, 3)
            forms = {
                "vector": f"tanh({value} + 0.2 * {name})",
                "int": f"({value} + {name}) % 5",
                "bool": f"({value}) == {name}",
            }
            body.lines.append(f"{name}' = {forms[kind]}")
            if kind == "vector" and self.chance(0.2):
                row = self.rng.choice((f"{body.say('int', 1)} % {WIDTH}", str(self.rng.randrange(-WIDTH, WIDTH))))
                body.lines.append(f"{name}'[{row}] = {body.say('number', 2)}")
            body.known[kind].append(f"{name}'")

    def loop(self, body: Body, deep: int, memory: bool) -> None:
        """A loop inside of the step, and what it leaves to read."""
        over = memory and self.chance(0.6)
        inner, outputs = self.cell(deep, memory and not over, over)
        parts = [f"unroll {inner}()"]
        if over:
            source = self.rng.choice(("memory", "every(memory, 2)", "shift(memory, 1)", "shift(memory, -1)"))
            parts += [f"over {source}", *(["reversed"] * self.chance(0.4))]
            # The first input that is not given by name is the row of the memory.
        given = [f"x = {body.say('vector', 1)}"]
        if memory and not over:
            given.append("memory = memory")
        parts.append(f"with {', '.join(given)}")
        if not over:
            parts.append(f"for {self.rng.randint(1, 3)}")
        start = self.rng.choice(("", f" from record(s0 = {body.say('vector', 1)})"))
        if start and self.more_states(inner):
            start = ""
        names = [f"y{len(body.lines)}_{i}" for i in range(outputs)]
        end = f"e{len(body.lines)}"
        body.lines.append(f"{', '.join((*names, end))} = {' '.join(parts)}{start}")
        body.known["vector"] += [f"{end}.s0", *(f"last({n})" for n in names)]

    def more_states(self, name: str) -> bool:
        text = next(c for c in self.cells if c.startswith(f"cell {name} "))
        return text.count("state ") > 1

    # --- the model ---

    def model(self) -> str:
        memory = self.chance(0.5)
        cell, outputs = self.cell(2 if self.chance(0.4) else 1, memory, False)
        runs = f"{cell}()"
        if outputs == 1 and not memory and self.chance(0.5):
            runs = self.rng.choice(
                (f"Residual({runs})", f"Projected({runs}, 3)", f"{runs} >> GRU(3)", f"Highway({runs})")
            )
        source = self.rng.choice(
            ("x", "x reversed", "shift(x, 1)", "tanh(x)", "every(x, 2)", "shift(x, -1)", "x / norm(x)")
        )
        beside = " with memory = m" if memory else ""
        names = [f"y{i}" for i in range(outputs)]
        lines = ["input x: seq[3]", *(["input m: seq@source[3]"] if memory else [])]
        if "reversed" in source:
            source = "x reversed"
        lines.append(f"{', '.join(names)}, final = unroll {runs} over {source}{beside}")
        shown = list(names)
        if self.chance(0.4):
            second, more = self.cell(0, False, False)
            later = [f"z{i}" for i in range(more)]
            lines.append(
                f"{', '.join(later)} = unroll {second}() over {names[0]}{' reversed' if self.chance(0.5) else ''}"
            )
            shown += later
        if self.chance(0.3):
            lines.append(f"w = softmax(sum({shown[-1]}), axis = time)" if "every" not in source else "w = last(y0)")
            lines.append(f"p = mean({shown[0]}, axis = time)" if "every" not in source else "p = w")
            shown += ["p"]
        wanted = [n for n in shown if self.chance(0.7)] or shown[:1]
        goals = [self.goal(n) for n in wanted]
        if self.chance(0.25):
            lines += self.image()
            shown, goals = [*shown, "grid", "side"], [*goals, self.rng.choice(("mean(grid * grid)", "sum(tanh(grid))"))]
        lines.append(f"output {', '.join(shown)}, final")
        lines.append("loss " + " + ".join(goals))
        return "\n".join(self.cells) + "model Try {\n  " + "\n  ".join(lines) + "\n}\n"

    def image(self) -> list[str]:
        """An input over two axes, of which a cell sees each place and what was made above it; and what is added up over
        one of the axes."""
        inner, outputs = self.cell(0, False, True)
        there, down = (" reversed" if self.chance(0.4) else "" for _ in range(2))
        made = ", ".join(f"y{i}" for i in range(outputs))
        shown = self.rng.choice(("above'", "above' + 0.5", "above' + reversed(above')", "shift(above', 1)"))
        summed = self.rng.choice(("grid", "softmax(sum(grid), axis = row)", "softmax(sum(grid), axis = column)"))
        self.cells.append(
            f"cell Scan {{\n  input line: seq@column[n]\n  state above: seq@column[{WIDTH}] = 0.25\n"
            f"  {made} = unroll {inner}() over line, above{there}\n  above' = tanh(y0)\n  output {shown}\n}}\n"
        )
        return [
            "input image: seq@row@column[3]",
            f"grid = unroll Scan() over image{down}",
            f"side = {self.rng.choice(('sum', 'mean'))}({summed}, axis = {self.rng.choice(('row', 'column'))})",
        ]

    def goal(self, name: str) -> str:
        """A loss of a sequence, or of a vector."""
        along = [] if name == "p" else [f"mean(sum({name} * last({name})))", f"norm(last({name}))"]
        return self.rng.choice([f"mean({name} * {name})", f"mean({name} * {name})", f"sum(tanh({name}))", *along])


def largest(vector: str) -> str:
    """Where a vector is largest, with nothing left to chance among entries that are equal by their equations.

    A state of which every entry begins as 0.25 stays so in `tanh(s0)`: there onnxruntime rounds the last entry of three
    otherwise than the first two, and another entry would be the largest."""
    return f"argmax({vector} + 0.01 * range({WIDTH}))"


class Linear(Body):
    """A cell whose states are linear in those of the step before, entry by entry; all else is made of the data."""

    states: tuple[str, ...] = ()

    def factor(self) -> str:
        """A vector or a number that is hardly larger than 1, now and then 0, or of a pole that is not taken."""
        v, b = self.say("vector", 1), self.say("bool", 1)
        ways = (
            f"sigmoid({v})",
            f"tanh({v})",
            f"where({b}, 0.0, 1.0)",
            f"where({v} > 0.1, 0.1 / ({v}), 0.9)",
            self.rng.choice(("0.9", "1.0", "-0.5", f"sigmoid({self.say('number', 1)})")),
        )
        return self.rng.choice(ways)

    def linear(self, d: int) -> str:
        if d == 0 or self.chance(0.2):
            return self.rng.choice(self.states)
        one, other = self.linear(d - 1), self.linear(d - 1)
        ways = (
            f"{self.factor()} * {one}",
            f"{one} * {self.factor()}",
            f"(0.5 * {one} {self.rng.choice('+-')} {other} * 0.5)",
            f"(-{one})",
            f"{one} / (1.1 + square({self.say('vector', 1)}))",
            f"where({self.say('bool', 1)}, {one}, {other})",
            f"where({self.say('vector', 1)} > 0.2, {one}, 0.0)",
        )
        return self.rng.choice(ways)


def linear(seed: int) -> str:
    """The text of a program of one or two loops that are linear in their states, with this seed."""
    rng = random.Random(seed)
    cells = [_linear_cell(f"Cell{n}", rng) for n in range(rng.choice((1, 1, 2)))]
    source = rng.choice(("x", "x", "x reversed", "shift(x, 1)", "every(x, 2)", "tanh(x)"))
    lines = ["input x: seq[3]", f"y0, final = unroll Cell0() over {source}"]
    lines += [f"y1 = unroll Cell1() over y0{rng.choice(('', ' reversed'))}"] * (len(cells) > 1)
    y = f"y{len(cells) - 1}"
    loss = rng.choice((f"mean({y} * {y})", f"sum(tanh({y}))", f"mean(sum({y} * last({y})))"))
    lines += [f"output {y}, final", f"loss {loss}"]
    return "\n".join(cells) + "model Try {\n  " + "\n  ".join(lines) + "\n}\n"


def _linear_cell(name: str, rng: random.Random) -> str:
    known = {
        "vector": ["x", "(x @ wx)", "bias"],
        "number": ["x[0]", "bias[1]"],
        "int": ["t", "2"],
        "bool": ["x[1] > 0.1"],
    }
    body = Linear(name, rng, known)
    body.head += ["input x: [n]", f"param wx: [n, {WIDTH}] ~ normal(0, 0.5)", f"param bias: [{WIDTH}] ~ normal(0, 0.3)"]
    body.head += [f"param table: [{ROWS}, {WIDTH}] ~ normal(0, 0.5)"]
    names = [f"s{n}" for n in range(rng.randint(1, 3))]
    body.head += [f"state {state}: [{WIDTH}] = {rng.choice(('0', '0.25'))}" for state in names]
    body.states = tuple(names)
    for state in names:
        body.lines.append(f"{state}' = {body.linear(3)} + {body.say('vector', 2)}")
        body.states += (f"{state}'",)
    known["vector"] += body.states
    return body.text([body.say("vector", 2)])


def program(seed: int) -> str:
    """The text of the program with this seed."""
    return Writer(seed).model()
