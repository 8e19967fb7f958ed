"""Where the view of a slot begins, and how its axes lie, as expressions of C++ over the sizes that a kernel is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from msgspec import Struct

from rnngraph.ir.types import Dtypes
from rnngraph.kernels.gpu.expressions import TYPES
from rnngraph.planning.program import Entry, Parity, Ref, Ring, Slot, Turn


class Views(Struct, frozen=True):
    """The views of one program; `names` are those of the sizes of axes."""

    slots: Sequence[Slot]
    names: Mapping[str, str]
    dtype: str

    def kind(self, slot: int) -> str:
        """The type of a slot's numbers."""
        return TYPES[Dtypes(self.dtype).of(self.slots[slot].type.dtype)]

    @property
    def kind_of_floats(self) -> str:
        return TYPES[self.dtype]

    def size(self, axes: Sequence[str]) -> str:
        return " * ".join(self.names[axis] for axis in axes) or "1"

    def sizes(self, slot: Slot) -> list[str]:
        """The sizes of a slot's array, as it lies in memory."""
        axes = [f"({self.names[a]} + 1)" if a == slot.grow else self.names[a] for a in slot.type.axes]
        return [*(["2"] if slot.ring else []), *axes, *map(str, slot.type.shape)]

    def strides(self, slot: Slot) -> list[str]:
        sizes = self.sizes(slot)
        return [_product(sizes[i + 1 :]) for i in range(len(sizes))]

    def start(self, ref: Ref) -> str:
        """The first entry of a view, from the first of its slot."""
        slot = self.slots[ref.slot]
        parts = []
        for entry, size, stride in zip(ref.index, self.sizes(slot), self.strides(slot), strict=True):
            place = self.place(entry, size)
            if place != "0":
                parts.append(place if stride == "1" else f"{place} * {stride}")
        return " + ".join(parts) or "0"

    def place(self, entry: Entry, size: str) -> str:
        if isinstance(entry, slice):
            return _from_end(entry.start or 0, f"({size})")
        if isinstance(entry, Turn):
            return f"(t{entry.loop} + {entry.offset})" if entry.offset else f"t{entry.loop}"
        if isinstance(entry, Ring):
            return f"((k{entry.loop} + {entry.offset}) & 1)"
        if isinstance(entry, Parity):
            return f"({self.names[entry.axis]} & 1)"
        return _from_end(entry, f"({size})")


def _from_end(place: int, size: str) -> str:
    return str(place) if place >= 0 else f"({size} - {-place})"


def _product(sizes: Sequence[str]) -> str:
    """The product of sizes, what is known of it as one number."""
    known = prod(int(s) for s in sizes if s.isdigit())
    unknown = [s for s in sizes if not s.isdigit()]
    return " * ".join([*unknown, *([str(known)] if known != 1 or not unknown else [])])
