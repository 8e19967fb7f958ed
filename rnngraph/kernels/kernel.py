"""What compiled kernels do, as data: what they need beside addresses, and how they are shared out among threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from rnngraph.ir.types import BATCH
from rnngraph.kernels.cpu.elementwise import Chain
from rnngraph.ops.units import unit

Sizes = Mapping[str, int]


def rows_of(axes: tuple[str, ...], sizes: Sizes) -> int:
    return prod(sizes[axis] for axis in axes)


class Kernel(Protocol):
    """One kernel of a program."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes whose entries are its rows."""

    @property
    def parallel(self) -> str:
        """"rows" where each row is on its own, "columns" where a part of the columns needs all rows, else "one"."""

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        """What follows the addresses in its arguments."""

    def columns(self, sizes: Sizes) -> int:
        """Into how many parts its columns can be cut."""

    def work(self, sizes: Sizes) -> float:
        """Roughly how many additions and multiplications it takes."""


@dataclass(frozen=True)
class Elementwise:
    """A chain over rows; addresses of its loads, then of its stores. `by_row` where rows may be left out."""

    axes: tuple[str, ...]
    chain: Chain
    width: int
    by_row: bool = False

    @property
    def flat(self) -> bool:
        """Whether its columns are the entries of all rows."""
        return self.chain.flat and not self.by_row

    @property
    def parallel(self) -> str:
        return "rows" if self.axes else "one"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        return (sizes[self.axes[1]] if len(self.axes) == 2 else 1,)

    def columns(self, sizes: Sizes) -> int:
        return -(-self.chain.dims[-1] // self.width)

    def work(self, sizes: Sizes) -> float:
        return 4.0 * rows_of(self.axes, sizes) * prod(self.chain.dims) * max(1, len(self.chain.operations))


@dataclass(frozen=True)
class Product:
    """Rows times a packed matrix, maybe plus an array; addresses: left factor, packed matrix, array, result.

    `ldd` is None where there is nothing to add.
    """

    axes: tuple[str, ...]
    lda: int
    ldd: int | None
    ldc: int
    terms: int
    width: int
    panel: int
    parallel: str = "rows"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        return self.lda, self.ldd or 0, self.ldc, self.terms, self.width

    def columns(self, sizes: Sizes) -> int:
        return -(-self.width // self.panel)

    def work(self, sizes: Sizes) -> float:
        return 2.0 * rows_of(self.axes, sizes) * self.terms * self.width


@dataclass(frozen=True)
class Pack:
    """A matrix into panels; addresses: matrix, panels."""

    term: int
    column: int
    terms: int
    width: int
    panel: int
    axes: tuple[str, ...] = ()
    parallel: str = "columns"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        return self.term, self.column, self.terms, self.width

    def columns(self, sizes: Sizes) -> int:
        return -(-self.width // self.panel)

    def work(self, sizes: Sizes) -> float:
        return 4.0 * self.terms * self.width


@dataclass(frozen=True)
class Order:
    """How a sum over rows goes: unit by unit of steps (see `ops.units`) or straight, which way, whether it adds."""

    units: bool
    back: bool
    onto: bool

    def words(self, axes: tuple[str, ...], sizes: Sizes) -> tuple[int, int, int, int]:
        """Rows in all, rows of a unit, whether from the last unit to the first, whether to add."""
        rows = rows_of(axes, sizes)
        steps = unit(sizes[BATCH]) if BATCH in axes else 1
        together = steps * rows_of(axes[1:], sizes) if self.units else rows
        return rows, max(1, together), int(self.back), int(self.onto)


@dataclass(frozen=True)
class Factor:
    """The left factor of a product over rows: entries from row to row, those of the result, rows of the result."""

    lda: int
    ldc: int
    height: int


@dataclass(frozen=True)
class Sums:
    """Products over all rows with one right factor, and maybe its plain sum; addresses: right factor, left factors,
    results, plain sum."""

    axes: tuple[str, ...]
    ldd: int
    width: int
    panel: int
    order: Order
    factors: tuple[Factor, ...]
    summed: bool = False
    parallel: str = "columns"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        factors = tuple(n for f in self.factors for n in (f.lda, f.ldc, f.height))
        return self.ldd, self.width, *self.order.words(self.axes, sizes), *factors

    def columns(self, sizes: Sizes) -> int:
        return -(-self.width // self.panel)

    def work(self, sizes: Sizes) -> float:
        height = sum(f.height for f in self.factors)
        return 2.0 * rows_of(self.axes, sizes) * height * self.width


@dataclass(frozen=True)
class ColumnSums:
    """The sum over all rows; addresses: rows, result."""

    axes: tuple[str, ...]
    row: int
    width: int
    lanes: int
    order: Order
    parallel: str = "columns"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        return self.row, self.width, *self.order.words(self.axes, sizes)

    def columns(self, sizes: Sizes) -> int:
        return -(-self.width // self.lanes)

    def work(self, sizes: Sizes) -> float:
        return 4.0 * rows_of(self.axes, sizes) * self.width


@dataclass(frozen=True)
class AlongRow:
    """A sum, a largest entry or a softmax along each row; addresses: rows, result."""

    axes: tuple[str, ...]
    op: str
    size: int
    row: int
    result: int

    @property
    def parallel(self) -> str:
        return "rows" if self.axes else "one"

    def words(self, sizes: Sizes) -> tuple[int, ...]:
        return ()

    def columns(self, sizes: Sizes) -> int:
        return 1

    def work(self, sizes: Sizes) -> float:
        return 10.0 * rows_of(self.axes, sizes) * self.size
