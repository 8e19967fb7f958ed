"""What an expression can be while a model is elaborated: a number, a value, a cell, a record."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.syntax.ast import Definition

Number = bool | int | float


class Numbers(Struct, frozen=True):
    """`[4, 8]`: several numbers known while compiling: sizes, or a constant vector."""

    items: tuple[Number, ...]


NOTHING = Numbers(())
"""`[]`."""


class Words(Struct, frozen=True):
    """`"h i, i j -> h j"`: a text that a function reads."""

    text: str


class Builtin(Struct, frozen=True):
    """A function of the language, as `tanh`, by bare name."""

    name: str


class Class(Struct, frozen=True):
    """A cell or layer that has not been given its settings."""

    definition: Definition


class Instance(Struct, eq=False):
    """A cell or layer with its settings. Its weights are made at its first use.

    `path` is decided by whoever names it: a definition (`enc = LSTM(4)`), a setting, a place in a pipe.
    """

    definition: Definition
    settings: Mapping[str, Item]
    span: Span
    path: tuple[str, ...] | None = None
    shapes: dict[str, tuple[tuple[int, ...], Span]] = field(default_factory=dict)
    """Of every weight made so far: its shape, and the use that made it."""
    states: dict[str, tuple[tuple[int, ...], Span]] = field(default_factory=dict)
    axis: str = ""
    reverse: bool = False

    @property
    def title(self) -> str:
        return self.definition.name


class PipeOf(Struct, eq=False):
    """`A >> B`: cells, layers and functions in order."""

    parts: tuple[Instance | PipeOf | Builtin, ...]
    span: Span
    path: tuple[str, ...] | None = None
    axis: str = ""
    reverse: bool = False
    count: int = 0
    """Of its parts, those of pipes in it counted too."""

    @property
    def title(self) -> str:
        return " >> ".join(p.name if isinstance(p, Builtin) else p.title for p in self.parts)


class Part(Struct, frozen=True):
    """One entry of a record: a final state, and where the state is declared."""

    value: Value
    span: Span


class Record(Struct, frozen=True):
    """Final states by name (`h`, `0.c`, `inner.h`).

    `beside` is what else a run needs that goes on from there; it is filled in once the whole model is known.
    """

    parts: Mapping[str, Part]
    beside: Mapping[str, Value] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Value]:
        return {name: p.value for name, p in self.parts.items()} | dict(self.beside)

    def field(self, name: str) -> Part | Record | None:
        """`final.h`, or of nested names (`0.c`) the part under `final.0`."""
        if name in self.parts:
            return self.parts[name]
        below = {k[len(name) + 1 :]: v for k, v in self.parts.items() if k.startswith(name + ".")}
        return Record(below) if below else None


class Several(Struct, frozen=True):
    """The results of a function or call with more than one output."""

    items: tuple[Item, ...]


class Unrolled(Struct, frozen=True):
    """The sequences that an `unroll` gives, and the final states."""

    outputs: tuple[Item, ...]
    final: Record


class AxisName(Struct, frozen=True):
    """`time` in `mean(x, axis = time)`."""

    name: str


class Poison(Struct, frozen=True):
    """Stands for what could not be made; whoever meets it stays silent, since the error has been told."""


POISON = Poison()
Item = (
    Number | Numbers | Words | Builtin | Class | Instance | PipeOf | Record
    | Several | Unrolled | AxisName | Poison | Value
)  # fmt: skip


class Given(Struct, frozen=True):
    """One argument as evaluated, its place, and its name where it has one."""

    item: Item
    span: Span
    name: str | None = None


def free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that is not taken."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    return found


def free_place(wanted: tuple[str, ...], taken: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """The same for a path, which is taken then.

    `taken` remembers of each path the number tried last: a thousand layers of one name would else be counted anew each.
    """
    found, count = wanted, taken.get(wanted, 1)
    while found in taken:
        count += 1
        found = (*wanted[:-1], f"{wanted[-1]}_{count}")
    taken[wanted] = count
    taken.setdefault(found, 1)
    return found


def is_number(item: object) -> bool:
    return isinstance(item, (bool, int, float))


def whole_number(item: object) -> int | None:
    """The whole number that an item is: 4, and 4.0."""
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not float(item).is_integer():
        return None
    return int(item)


def is_literal(item: object) -> bool:
    """A number, or several, known while compiling: of whatever kind is needed."""
    return is_number(item) or isinstance(item, Numbers)


def kind_of(item: Item) -> str:
    """What to call an item in a message."""
    match item:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case Numbers():
            return "a list of numbers" if item != NOTHING else "empty"
        case Words():
            return "a text"
        case Builtin():
            return "a function"
        case Class() | Instance():
            return f"a {item.definition.kind}"
        case PipeOf():
            return "a pipe of cells"
        case Record():
            return "a record of states"
        case Several() | Unrolled():
            return "several values"
        case _:
            return "a value"
