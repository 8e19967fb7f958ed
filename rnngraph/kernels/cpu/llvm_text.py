"""Writes LLVM's intermediate language: one function at a time, with loops and conditions as blocks of Python.

Names of values are strings; a whole number stands for itself, so that what is known when a kernel is written is
computed here and not by the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Number = int | str
"""A 64-bit whole number: known now, or the name of a value."""

KERNEL = ("ptr %args", "i64 %r0", "i64 %r1", "i64 %c0", "i64 %c1", "ptr %rows")
"""What every kernel is given: its arguments, the first row and the one after the last, columns likewise, and, where it
is not null, a list: then rows are places in it."""


class Function:
    """The text of one function that returns nothing, or a 64-bit number."""

    def __init__(self, name: str, params: Sequence[str], returns: str = "void") -> None:
        self.name, self.params, self.returns = name, params, returns
        self.counters: list[str] = []
        self.lines: list[str] = []
        self.used = 0

    def text(self) -> str:
        head = f"define {self.returns} @{self.name}({', '.join(self.params)}) nounwind {{"
        last = ["  ret void"] if self.returns == "void" else []
        return "\n".join([head, "entry:", *self.counters, *self.lines, *last, "}"])

    # --- single lines ---

    def fresh(self) -> str:
        self.used += 1
        return f"v{self.used}"

    def let(self, text: str) -> str:
        """A new value."""
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def add(self, a: Number, b: Number) -> Number:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0 or b == 0:
            return b if a == 0 else a
        return self.let(f"add i64 {a}, {b}")

    def sub(self, a: Number, b: Number) -> Number:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.let(f"sub i64 {a}, {b}")

    def mul(self, a: Number, b: Number) -> Number:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1 or b == 1:
            return b if a == 1 else a
        return self.let(f"mul i64 {a}, {b}")

    def div(self, a: Number, b: Number) -> Number:
        return a if b == 1 else self.let(f"udiv i64 {a}, {b}")

    def rem(self, a: Number, b: Number) -> Number:
        return self.let(f"urem i64 {a}, {b}")

    def least(self, a: Number, b: Number) -> Number:
        return self.let(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def at(self, pointer: str, index: Number, type: str) -> str:
        """The address `index` values of a type further on."""
        return pointer if index == 0 else self.let(f"getelementptr {type}, ptr {pointer}, i64 {index}")

    def word(self, pointer: str, index: Number) -> str:
        """A 64-bit number from a table."""
        return self.let(f"load i64, ptr {self.at(pointer, index, 'i64')}")

    def pointer(self, pointer: str, index: Number) -> str:
        """An address from a table."""
        return self.let(f"load ptr, ptr {self.at(pointer, index, 'i64')}")

    def row(self, place: Number) -> Number:
        """The row of a kernel at a place of the list `%rows`; the place itself where there is no list."""
        found = self.variable("i64")
        self.do(f"store i64 {place}, ptr {found}")
        with self.when(self.let("icmp ne ptr %rows, null")):
            self.do(f"store i64 {self.word('%rows', place)}, ptr {found}")
        return self.let(f"load i64, ptr {found}")

    # --- blocks ---

    @contextmanager
    def loop(self, first: Number, last: Number, step: Number = 1) -> Iterator[str]:
        """The lines of the block for each number from `first` while below `last`."""
        place, name = self.variable("i64"), self.fresh()
        self.do(f"store i64 {first}, ptr {place}")
        self.do(f"br label %{name}.test")
        self.lines.append(f"{name}.test:")
        now = self.let(f"load i64, ptr {place}")
        more = self.let(f"icmp slt i64 {now}, {last}")
        self.do(f"br i1 {more}, label %{name}.body, label %{name}.done")
        self.lines.append(f"{name}.body:")
        yield now
        self.do(f"store i64 {self.let(f'add i64 {now}, {step}')}, ptr {place}")
        self.do(f"br label %{name}.test")
        self.lines.append(f"{name}.done:")

    @contextmanager
    def while_(self, condition: Callable[[], str]) -> Iterator[None]:
        """The lines of the block as long as a condition (i1) holds, which is written in front of them."""
        name = self.fresh()
        self.do(f"br label %{name}.test")
        self.lines.append(f"{name}.test:")
        self.do(f"br i1 {condition()}, label %{name}.body, label %{name}.done")
        self.lines.append(f"{name}.body:")
        yield
        self.do(f"br label %{name}.test")
        self.lines.append(f"{name}.done:")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """The lines of the block where a condition (i1) holds."""
        name = self.fresh()
        self.do(f"br i1 {condition}, label %{name}.then, label %{name}.end")
        self.lines.append(f"{name}.then:")
        yield
        self.do(f"br label %{name}.end")
        self.lines.append(f"{name}.end:")

    @contextmanager
    def unless(self, conditions: Sequence[str]) -> Iterator[None]:
        """The lines of the block where no condition (i1) holds."""
        if not conditions:
            yield
            return
        any = conditions[0]
        for other in conditions[1:]:
            any = self.let(f"or i1 {any}, {other}")
        with self.when(self.let(f"xor i1 {any}, true")):
            yield

    def variable(self, type: str) -> str:
        """A place for one value that changes."""
        name = f"%{self.fresh()}"
        self.counters.append(f"  {name} = alloca {type}, align 64")
        return name
