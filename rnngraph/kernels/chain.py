"""A chain as data: elementwise operations over the same rows and shape, what they load and what they store."""

from __future__ import annotations

from math import prod

from msgspec import Struct

CHOOSING = {"take", "pick", "entries", "place", "one_hot"}
"""Operations whose last operand is an int that chooses an entry."""

LOOKUPS = {"take", "pick", "entries"}
"""Those that choose it in their first operand, a table."""

COPIES = {"identity", "detach", "broadcast", "spread", "straight_through", "reshape"}
"""Operations whose result has the numbers of what they are given."""


class Operand(Struct, frozen=True):
    """An array as a kernel meets it: entries from row to row and from place to place, 0 where it does not move.

    A `table` is not read entry by entry: its value is its place in memory, where an operation looks entries up.
    `rows` says which row of the array a row of the kernel reads: "each" its own, "none" the same always, "inner" and
    "outer" the place on the last or the first of two axes, whose size then follows the addresses in the table.
    `summed` where the entries of a row are stored as their sum: one number.
    """

    dtype: str
    rows: str
    row: int
    strides: tuple[int, ...]
    table: bool = False
    summed: bool = False


class Lookup(Struct, frozen=True):
    """How an int chooses: among how many entries; of a table, how far these lie apart, and whether one int chooses for
    the whole last dimension."""

    entries: int
    apart: int = 0
    whole: bool = False


class Noise(Struct, frozen=True):
    """Random numbers, keyed; among how many in a row of the batch; whether that row is the second of two axes."""

    key: int
    each: int
    second: bool


class Operation(Struct, frozen=True):
    """An op by name, the numbers of its values (loads first, then operations), and their types."""

    op: str
    ins: tuple[int, ...]
    types: tuple[str, ...]
    result: str
    at: Lookup | Noise | None = None
    """What there is to know where the place of an entry matters."""


class Chain(Struct, frozen=True):
    """Elementwise operations over the entries of `dims` in each row."""

    dims: tuple[int, ...]
    loads: tuple[Operand, ...]
    operations: tuple[Operation, ...]
    stores: tuple[tuple[int, Operand], ...]
    dtype: str

    @property
    def of_two_axes(self) -> bool:
        """Whether it must tell the row of the batch from that of another axis."""
        return any(isinstance(o.at, Noise) and o.at.second for o in self.operations)

    @property
    def sums(self) -> bool:
        """Whether it adds up rows."""
        return any(operand.summed for _, operand in self.stores)

    @property
    def flat(self) -> bool:
        """Whether rows and entries make one run of numbers for every operand that moves, and no place in it matters."""
        size = prod(self.dims)
        return not self.sums and not any(operation.at for operation in self.operations) and all(
            (o.rows == "each" and o.row == size and o.strides == (1,)) or (o.rows == "none" and not any(o.strides))
            for o in (*self.loads, *(o for _, o in self.stores))
        )
