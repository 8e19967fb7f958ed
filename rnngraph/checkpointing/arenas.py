"""Where everything stands: one arena per category of the ledger, cut into regions before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from msgspec import Struct

from rnngraph.ir.types import Type
from rnngraph.planning.plan import ALIGN, PLANNED, Plan, rounded
from rnngraph.planning.program import CATEGORIES, ITEMSIZE

SHARED = ("inputs", "saved", "workspace")
"""Categories in which the parts use one place in turn."""


class Layout(Struct, frozen=True):
    """The regions by name, and the bytes of each arena: exactly what a run allocates."""

    sizes: Mapping[str, int]
    dtype: str
    regions: Mapping[str, tuple[str, int, int]]
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


class Regions:
    """Hands out places, one behind the other."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = dict.fromkeys(CATEGORIES, 0)
        self.regions: dict[str, tuple[str, int, int]] = {}

    def add(self, name: str, category: str, bytes: int) -> None:
        self.regions[name] = (category, self.taken[category], bytes)
        self.taken[category] += rounded(bytes)

    def layout(self, sizes: Mapping[str, int], dtype: str, parameters: int) -> Layout:
        totals = {c: n + ALIGN if n else 0 for c, n in self.taken.items() if c in PLANNED}
        return Layout(sizes, dtype, self.regions, {c: totals.get(c, parameters) for c in CATEGORIES})


def shared(plans: Iterable[Plan]) -> dict[str, int]:
    """The bytes of each place that the parts use in turn."""
    plans = list(plans)
    return {c: max((p.bytes[c] for p in plans), default=0) for c in SHARED}


def bytes_of(type: Type, sizes: Mapping[str, int], dtype: str) -> int:
    """The bytes of an array."""
    return ITEMSIZE[type.dtype, dtype] * prod(shape_of(type, sizes))


def shape_of(type: Type, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return (*(sizes[a] for a in type.axes), *type.shape)
