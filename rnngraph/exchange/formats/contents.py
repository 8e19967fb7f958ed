"""What a file of another tool holds: its arrays, and what it says of the layers that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct, field

from rnngraph.files.safetensors import Arrays


class Key(NamedTuple):
    """Where a group of arrays stands: the module's name, the number of its layer, its direction."""

    module: str
    number: int = 0
    reverse: bool = False

    def __str__(self) -> str:
        layer = f" layer {self.number}" if self.number else ""
        name = f"`{self.module}`" if self.module else "the arrays without a module's name"
        return f"{name}{layer}{' reversed' if self.reverse else ''}"


class Said(NamedTuple):
    """An option of a layer as its file has it: the value in our own words, and how the file puts it."""

    value: Any
    words: str


HALF = 2
"""Bytes of a number of a type that NumPy has not, as bfloat16: arrays hold them as float32."""
Says = Mapping[str, Said]
"""By the name of the option, ours (`reset_after`); `kind` is what the layer is: `GRU`, `Dense`, or `RECURRENT`."""
RECURRENT = "some cell"
"""The kind of a layer of which a file says no more."""


class Found(Struct, frozen=True):
    """`says` has what the file says of a module, `places` a path that tells the order of modules whose names do not;
    `types` is how an array is stored that NumPy has no type for; `layout` is set where the kind of file tells it;
    `notes` are of what was made of several arrays, and of what the file says besides."""

    arrays: Arrays
    says: Mapping[Key, Says] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""
    notes: tuple[str, ...] = ()
