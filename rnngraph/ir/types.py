"""The type of a value: axes that the compiler adds, the shape that the user wrote, and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

DType = Literal["float", "int", "bool"]
BATCH = "batch"

FIXED = "@for"
"""`50@for` is an axis of 50 steps, whatever the data."""
EVERY = "/"
"""`time/2` is the axis of every second step of `time`, from the first on; `time/1` is `time` once more."""


class Type(Struct, frozen=True):
    """`axes` are names in the one fixed order: time axes by name, then the batch."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType = "float"

    def __str__(self) -> str:
        sizes = ",".join(map(str, self.shape))
        axes = " ".join(self.axes)
        return f"{axes}{'[' + sizes + ']'} {self.dtype}".strip()

    @property
    def rank(self) -> int:
        """Number of axes and dimensions together: the rank of the array."""
        return len(self.axes) + len(self.shape)

    def with_axes(self, axes: Iterable[str]) -> Type:
        return Type(in_order(axes), self.shape, self.dtype)


def in_order(axes: Iterable[str]) -> tuple[str, ...]:
    """The fixed order of axes: times sorted by name, the batch last."""
    return tuple(sorted(set(axes), key=lambda a: (a == BATCH, a)))


def union(types: Iterable[Type]) -> tuple[str, ...]:
    """The axes of an operation over operands of these types."""
    found: list[tuple[str, ...]] = [t.axes for t in types]
    if not found:
        return ()
    widest = max(found, key=len)
    if all(a == widest or set(a) <= set(widest) for a in found):
        return widest
    return in_order(axis for axes in found for axis in axes)


def every(axis: str) -> tuple[str, int]:
    """Of a derived axis, the axis it is of, and how many steps of that one make one of its own; ("", 1) of others."""
    base, _, by = axis.rpartition(EVERY)
    return (base, int(by)) if base else ("", 1)


def root(axis: str) -> str:
    """The axis that a derived one is of in the end; any other itself."""
    base, _ = every(axis)
    return root(base) if base else axis


def stride(axis: str) -> int:
    """How many steps of its root make one of an axis."""
    base, by = every(axis)
    return by * stride(base) if base else by


def is_fixed(axis: str) -> bool:
    """Whether the model alone says how many steps there are."""
    return root(axis).endswith(FIXED)


def size_of(axis: str, given: Callable[[str], int]) -> int:
    """The number of steps of an axis; `given` tells it of those that the data bring."""
    base, by = every(axis)
    if base:
        return -(-size_of(base, given) // by)
    return int(axis.removesuffix(FIXED)) if axis.endswith(FIXED) else given(axis)


class Dtypes(Struct, frozen=True):
    """The array types of one program."""

    float: str

    def of(self, kind: str) -> str:
        names: Mapping[str, str] = {"float": self.float, "int": "int64", "bool": "bool"}
        return names[kind]
