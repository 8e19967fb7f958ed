"""The forms of the language, one frozen dataclass each, every one with its place in the source.

Only the parser makes them; only `front` and the formatter read them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from rnngraph.diagnostics.source import Source, Span

# --- expressions ---------------------------------------------------------------------------------


class Number(Struct, frozen=True):
    """`3`, `0.5`, `1e-4`."""

    value: int | float
    span: Span


class Bool(Struct, frozen=True):
    """`true`, `false`."""

    value: bool
    span: Span


class Text(Struct, frozen=True):
    """`"cells.rnn"`."""

    value: str
    span: Span


class Name(Struct, frozen=True):
    """`h`, or `h'` where `primed`."""

    name: str
    primed: bool
    span: Span


class Field(Struct, frozen=True):
    """`final.h`: one part of a record."""

    record: Expr
    name: str
    span: Span


class Argument(Struct, frozen=True):
    """One argument of a call; `name` is None where it is given by position."""

    name: str | None
    value: Expr
    span: Span


class Call(Struct, frozen=True):
    """`tanh(x)`, `LSTM(units = 4)`, `LSTM(4)(x)`."""

    function: Expr
    arguments: tuple[Argument, ...]
    span: Span


class Range(Struct, frozen=True):
    """`start:stop` inside an index; either end may be missing."""

    start: Expr | None
    stop: Expr | None
    span: Span


class Index(Struct, frozen=True):
    """`x[0]`, `x[1:3]`, `table[token]`, `m[0, 1:2]`."""

    value: Expr
    indices: tuple[Expr | Range, ...]
    span: Span


class Unary(Struct, frozen=True):
    """`-x`, `not x`."""

    operator: Literal["-", "not"]
    operand: Expr
    span: Span


class Binary(Struct, frozen=True):
    """`or`, `and`, comparisons, `+ - * / % @ **`, loosest first. `//` divides sizes."""

    operator: Literal["or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "//", "%", "@", "**"]
    left: Expr
    right: Expr
    span: Span


class Pipe(Struct, frozen=True):
    """`LSTM(4) >> LSTM(5)`: the parts in order, flattened."""

    parts: tuple[Expr, ...]
    span: Span


class Join(Struct, frozen=True):
    """`[x, h]`: concatenation; `[]` is nothing, to begin with."""

    parts: tuple[Expr, ...]
    span: Span


class Gathered(Struct, frozen=True):
    """`f(k) for k in 1..n`, among arguments or the parts of `[ ]`: what an expression gives in each turn."""

    value: Expr
    name: str
    first: Expr
    last: Expr
    span: Span
    name_span: Span


class Binding(Struct, frozen=True):
    """`memory = m` after `with`."""

    name: str
    value: Expr
    span: Span


class Unroll(Struct, frozen=True):
    """`unroll CELL over x, dx reversed with memory = m for 50 from thought`; each part may be missing."""

    cell: Expr
    over: tuple[Expr, ...]
    reversed: bool
    constants: tuple[Binding, ...]
    steps: Expr | None
    initial: Expr | None
    span: Span


class FromStates(Struct, frozen=True):
    """`lstm(x) from s`: a call, with the states before it."""

    call: Expr
    initial: Expr
    span: Span


Expr = (
    Number | Bool | Text | Name | Field | Call | Index | Unary | Binary | Pipe | Join | Gathered | Unroll | FromStates
)

# --- types ----------------------------------------------------------------------------------------


class TypeSpec(Struct, frozen=True):
    """`[n, 3]`, `int`, `seq[3]`, `seq int`, `seq@row@column[3] int`, `bool`, `float`, `[3] int`.

    `axes` are the names after each `@`, as written: none for one value, one "" for plain `seq`.
    `sizes` is empty for a single number. `dtype` is "float" where none is written.
    """

    axes: tuple[str, ...]
    sizes: tuple[Expr, ...]
    dtype: Literal["float", "int", "bool"]
    span: Span
    anything: bool = False
    """Of an input without a type: a value of any shape and kind."""

    @property
    def over(self) -> tuple[str, ...]:
        """The time axes by name."""
        return tuple(axis or "time" for axis in self.axes)


# --- statements -----------------------------------------------------------------------------------


class Input(Struct, frozen=True):
    """`input x: [n]`; with `default` (`input x: [n] = 0`) it may be left out; `input x` takes anything."""

    name: str
    type: TypeSpec
    default: Expr | None
    span: Span
    name_span: Span
    together: tuple[str, ...]
    """All names of a declaration that has several, at the first of them: `input x, y: [n]`. At the others nothing."""


class State(Struct, frozen=True):
    """`state h: [units] = 0`; zero where no value is written."""

    name: str
    type: TypeSpec
    initial: Expr | None
    span: Span
    name_span: Span
    together: tuple[str, ...]
    """As of `Input`."""


class Param(Struct, frozen=True):
    """`param kernel: [n, units] ~ glorot_uniform`, `param b: [units] = 0`, `frozen param ...`.

    `initial` is the expression after `~` (a Name or Call of an initialiser) where `drawn`, else after `=`.
    """

    name: str
    type: TypeSpec
    initial: Expr | None
    drawn: bool
    frozen: bool
    span: Span
    name_span: Span
    together: tuple[str, ...]
    """As of `Input`."""


class Target(Struct, frozen=True):
    """The left side of a definition: `y`, `h'`, or `_` for a value that is not wanted; `m'[i]` for a row of a state."""

    name: str
    primed: bool
    span: Span
    indices: tuple[Expr | Range, ...] = ()


class Assign(Struct, frozen=True):
    """`a, b = split(x, 2)`, `h' = tanh(x)`, `y, final = unroll ...`."""

    targets: tuple[Target, ...]
    value: Expr
    span: Span


class OutputItem(Struct, frozen=True):
    """One of the values after `output`; `name` is what follows `as`."""

    value: Expr
    name: str | None
    span: Span


class Output(Struct, frozen=True):
    """`output y, final`, `output argmax(scores) as predicted`."""

    items: tuple[OutputItem, ...]
    span: Span


class Loss(Struct, frozen=True):
    """`loss cross_entropy(scores, tag)`; several are added up."""

    value: Expr
    span: Span


class Metric(Struct, frozen=True):
    """`metric accuracy(scores, tag)`, `metric mean(y) as level`."""

    value: Expr
    name: str | None
    span: Span


class Stop(Struct, frozen=True):
    """`stop token' == end`."""

    value: Expr
    span: Span


class For(Struct, frozen=True):
    """`for k in 1..depth { ... }`: repeated while compiling, both ends included."""

    name: str
    first: Expr
    last: Expr
    body: tuple[Statement, ...]
    span: Span
    name_span: Span


class If(Struct, frozen=True):
    """`if peepholes { ... } else { ... }`: chosen while compiling; `else if` nests in `orelse`."""

    condition: Expr
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...]
    span: Span


class Option(Struct, frozen=True):
    """`epochs 20`, `optimizer adam(rate = 0.001)` in a `train` or `schedule` block."""

    name: str
    value: Expr
    span: Span
    name_span: Span


class Options(Struct, frozen=True):
    """`train { ... }` or `schedule { ... }` inside a model or at top level."""

    kind: Literal["train", "schedule"]
    options: tuple[Option, ...]
    span: Span


Statement = Input | State | Param | Assign | Output | Loss | Metric | Stop | For | If | Options

# --- definitions ------------------------------------------------------------------------------------


class Setting(Struct, frozen=True):
    """One of the settings in parentheses: `units`, `activation = tanh`."""

    name: str
    default: Expr | None
    span: Span


class Definition(Struct, frozen=True):
    """`cell LSTM(units) { ... }`, `layer ...`, `model ...`."""

    kind: Literal["cell", "layer", "model"]
    name: str
    settings: tuple[Setting, ...]
    body: tuple[Statement, ...]
    span: Span
    name_span: Span


class Import(Struct, frozen=True):
    """`import "cells.rnn"`."""

    path: str
    span: Span


class File(Struct, frozen=True):
    """A whole text, in the order written."""

    source: Source
    items: tuple[Import | Definition | Options, ...]
