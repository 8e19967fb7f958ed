"""How the operand of a step lies in memory, as far as that is known before sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnngraph.program.program import ALL, Ref, Slot


@dataclass(frozen=True)
class Layout:
    """The axes that are left, entries from row to row (rows: their places, the last fastest), and the strides of the
    shape's dimensions with their sizes."""

    axes: tuple[str, ...]
    row: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @property
    def dense(self) -> bool:
        """Whether the entries of one row lie side by side in order."""
        return self.strides == dense(self.sizes)


def dense(sizes: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array in order."""
    strides, stride = [], 1
    for size in reversed(sizes):
        strides.append(stride)
        stride *= size
    return tuple(reversed(strides))


def layout(slots: Sequence[Slot], ref: Ref, dtype: str) -> Layout | None:
    """The layout of a view; None where its rows do not lie at one distance whatever the sizes are."""
    slot = slots[ref.slot]
    names, shape = slot.type.axes, slot.type.shape
    entries = ref.index[slot.ring :]
    places = entries[: len(names)]
    axes = tuple(name for name, e in zip(names, places, strict=True) if isinstance(e, slice))
    if not _rows_in_order(slot, places, len(axes)):
        return None
    row = 1
    for size in shape:
        row *= size
    sizes, strides = [], []
    for size, stride, entry in zip(shape, dense(shape), entries[len(names) :], strict=True):
        if isinstance(entry, slice):
            sizes.append(len(range(size)[entry]))
            strides.append(stride)
    kind = {"float": dtype, "int": "int64", "bool": "bool"}[slot.type.dtype]
    return Layout(axes, row, tuple(sizes), tuple(strides), kind)


def _rows_in_order(slot: Slot, places: Sequence[object], left: int) -> bool:
    """The axes left are the last ones, and all but the first of them are whole."""
    last = places[len(places) - left :]
    if not all(isinstance(e, slice) for e in last):
        return False
    names = slot.type.axes[len(places) - left :]
    return all(e == ALL and name != slot.grow for e, name in list(zip(last, names, strict=True))[1:])
