"""How the operand of a step lies in memory, as far as that is known before sizes are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod

from msgspec import Struct

from rnngraph.ir.types import Dtypes, Type
from rnngraph.planning.program import Ref, Slot


class Layout(Struct, frozen=True, eq=False):
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


Pattern = tuple[tuple[int | None, int | None] | None, ...]
"""For each dimension of a slot's array what a view takes: a range, or None for one place."""


class View(Struct, frozen=True, eq=False):
    """A view of a slot; its layout is None where its rows do not lie at one distance whatever the sizes are."""

    slot: int
    ref: Ref
    layout: Layout | None


class Views:
    """The views of one program, each one object, so that they are quickly compared and looked up."""

    def __init__(self, slots: Sequence[Slot], dtype: str) -> None:
        self.slots, self.dtype = slots, dtype
        self.known: dict[object, View] = {}
        self.met: dict[int, View] = {}

    def of(self, ref: Ref) -> View:
        """The view that a ref of the program is: one object has one identity as long as the program is there."""
        found = self.met.get(id(ref))
        if found is None:
            key = ref.key
            found = self.known.get(key)
            if found is None:
                found = self.known[key] = View(ref.slot, ref, self.layout(ref))
            self.met[id(ref)] = found
        return found

    def layout(self, ref: Ref) -> Layout | None:
        slot = self.slots[ref.slot]
        pattern = tuple([(e.start, e.stop) if isinstance(e, slice) else None for e in ref.index])
        return _laid_out(slot.type, slot.ring, slot.grow, pattern, self.dtype)


@cache
def _laid_out(type: Type, ring: bool, grow: str | None, pattern: Pattern, dtype: str) -> Layout | None:
    """Found once for the many steps of a static program: so a layout can be told by its identity."""
    names, shape = type.axes, type.shape
    entries = pattern[ring:]
    places = entries[: len(names)]
    axes = tuple(name for name, e in zip(names, places, strict=True) if e is not None)
    if not _rows_in_order(names, grow, places, len(axes)):
        return None
    sizes, strides = [], []
    for size, stride, entry in zip(shape, dense(shape), entries[len(names) :], strict=True):
        if entry is not None:
            sizes.append(len(range(size)[slice(*entry)]))
            strides.append(stride)
    return Layout(axes, prod(shape), tuple(sizes), tuple(strides), Dtypes(dtype).of(type.dtype))


def _rows_in_order(names: tuple[str, ...], grow: str | None, places: Pattern, left: int) -> bool:
    """The axes left are the last ones, and all but the first of them are whole."""
    last = places[len(places) - left :]
    if None in last:
        return False
    owners = names[len(places) - left :]
    return all(e == (None, None) and name != grow for e, name in list(zip(last, owners, strict=True))[1:])
