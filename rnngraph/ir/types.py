"""The type of a value: axes that the compiler adds, the shape that the user wrote, and what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

DType = Literal["float", "int", "bool"]
BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Type:
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
