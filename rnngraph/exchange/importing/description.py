"""What a reader makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from rnngraph.exchange.importing.text import Described
from rnngraph.exchange.importing.values import Dims


class Port(Struct, frozen=True):
    """An input or output: its name in the file and here, what its dimensions are, its type; an `optional` input has a
    value of its own."""

    theirs: str
    ours: str
    dims: Dims
    dtype: str = "float"
    optional: bool = False


class Read(Struct, frozen=True):
    """A model as it was read: its description, its inputs and outputs, what should be told. `lengths` are inputs of the
    file that hold the lengths of the rows of a sequence, by name: here they are given with the data;
    `half` is whether it computes with numbers of 16 bits;
    `proofs` compare single layers with their definitions, where the file's own model cannot be run."""

    described: Described
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: tuple[str, ...] = ()
    lengths: Mapping[str, str] = field(default_factory=dict)
    half: bool = False
    proofs: tuple[Callable[[], None], ...] = ()
