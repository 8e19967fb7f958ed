"""What a reader knows of a value: its expression, and what each of its dimensions means.

Other tools have the batch and the steps among the dimensions; the language leaves them out. A dimension of what is
given is open at first: it becomes a size, the batch or a sequence when something is done with it that says so
(`Learned`); then the model is read once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rnngraph.system.records import Keyed

BATCH_NAME = "batch"


class CannotSay(Exception):
    """Why something of a model has no words in the language."""


class Learned(Exception):
    """What an open dimension is: the name of an axis, or a size."""

    def __init__(self, key: str, role: str | int) -> None:
        super().__init__(key, role)
        self.key, self.role = key, role


class Axis(Keyed, Struct, frozen=True, eq=False):
    """A dimension that the language leaves out. `key` says of which input it is while that is open; `size` is the
    number that the file has for it; `parts` are the axes that were joined to make this one."""

    name: str
    key: str = ""
    size: int | None = None
    parts: tuple[Axis, ...] = ()

    @property
    def open(self) -> bool:
        return self.name.startswith("?")

    @property
    def identity(self) -> object:
        return self.name, self.parts


BATCH = Axis(BATCH_NAME)


class Padded(Struct, frozen=True):
    """A sequence with steps of `fill` in front and behind."""

    axis: Axis
    before: int
    after: int
    fill: float = 0.0


Dim = int | Axis | Padded
Dims = tuple[Dim, ...]


class Value(Keyed, Struct, frozen=True, eq=False):
    """A value of a model. `array` is there if it is constant, `counts` if it is 0, 1, 2 ... along an axis; `whole` is
    what it was before a `reshape`: text and shape."""

    text: str
    dims: Dims
    dtype: str = "float"
    array: Any = None
    counts: Axis | None = None
    whole: tuple[str, tuple[int, ...]] | None = None
    rows: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the language."""
        return sizes(self.dims)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(d for d in self.dims if isinstance(d, Axis))

    @property
    def identity(self) -> object:
        return self.text, self.dims, self.dtype, self.counts, self.whole, self.rows


class Sizes(Struct, frozen=True):
    """A value that is made of sizes of dimensions: one of them, or a row."""

    dims: Dims
    single: bool = False


def sizes(dims: Sequence[Dim]) -> tuple[int, ...]:
    return tuple(d for d in dims if isinstance(d, int))


def turn(dims: Dims) -> list[int]:
    """The places of the dimensions in the order of data here: the batch, the steps, then what the language writes."""
    ranks = [2 if isinstance(d, int) else int(d != BATCH) for d in dims]
    return sorted(range(len(dims)), key=ranks.__getitem__)


def sized(dim: Dim) -> int:
    """A dimension as a size."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Axis) and dim.open and dim.size is not None:
        raise Learned(dim.key, dim.size)
    raise CannotSay(f"it works across the dimension `{name_of(dim)}`")


def as_batch(dim: Dim) -> Axis:
    """A dimension as the batch."""
    if isinstance(dim, Axis):
        if dim.open:
            raise Learned(dim.key, BATCH_NAME)
        if dim.name == BATCH_NAME:
            return dim
    raise CannotSay(f"its dimension `{name_of(dim)}` is where the batch should be")


def as_sequence(dim: Dim) -> Axis:
    """A dimension as the steps of a sequence."""
    if isinstance(dim, Axis):
        if dim.open:
            raise Learned(dim.key, "time")
        if dim.name != BATCH_NAME and not dim.parts:
            return dim
    raise CannotSay(f"its dimension `{name_of(dim)}` is where the steps should be")


def name_of(dim: Dim) -> str:
    """How a dimension is called in messages."""
    if isinstance(dim, Padded):
        return f"{dim.axis.name} with padding"
    return dim.name.lstrip("?") if isinstance(dim, Axis) else str(dim)


def met(a: Dim, b: Dim) -> Dim:
    """The dimension of what is combined elementwise from these two."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise CannotSay(f"sizes {a} and {b} are combined")
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Axis) and not one.open and one.size is not None and one.size == other:
            return one
        if isinstance(one, Axis) and one.open:
            if isinstance(other, Axis) and not other.parts:
                raise Learned(one.key, f"?{other.key}" if other.open else other.name)
            if isinstance(other, int):
                sized(one)
    plain = isinstance(a, Axis) and isinstance(b, Axis) and a.key and b.key and not (a.parts or b.parts)
    if plain and isinstance(a, Axis) and isinstance(b, Axis) and BATCH not in (a, b):
        raise Learned(b.key, a.name)
    raise CannotSay(f"the dimensions `{name_of(a)}` and `{name_of(b)}` are combined")
