"""What kernels do, as data: whatever machine they are written for."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Protocol

from msgspec import Struct

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain
from rnngraph.ops.summation_order import unit

Sizes = Mapping[str, int]


def rows_of(axes: tuple[str, ...], sizes: Sizes) -> int:
    return prod(sizes[axis] for axis in axes)


def one_row_each(kernel: object) -> bool:
    """Whether a kernel has one row for each place on its axes, so that a mask over these can leave some out."""
    return not isinstance(kernel, Product | Sums) or kernel.each == 1


class Kernel(Protocol):
    """One kernel of a program."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes whose entries are its rows."""

    @property
    def title(self) -> str:
        """What it does, in a few words."""

    def work(self, sizes: Sizes) -> float:
        """Roughly how many additions and multiplications it takes."""


class Elementwise(Struct, frozen=True):
    """A chain over rows; addresses of its loads, then of its stores. `by_row` where rows may be left out."""

    axes: tuple[str, ...]
    chain: Chain
    by_row: bool = False

    @property
    def flat(self) -> bool:
        """Whether its columns are the entries of all rows."""
        return self.chain.flat and not self.by_row

    @property
    def title(self) -> str:
        return "chain over " + " by ".join(map(str, self.chain.dims)) + ", with sums along rows" * self.chain.sums

    def work(self, sizes: Sizes) -> float:
        return 4.0 * rows_of(self.axes, sizes) * prod(self.chain.dims) * max(1, len(self.chain.operations))


class Product(Struct, frozen=True):
    """Rows times a matrix, maybe plus an array; addresses: left factor, matrix, array, result.

    From row to row there are `lda`, `ldd` and `ldc` entries (`ldd` is None where there is nothing to add); in the
    matrix `term` entries from one of its `terms` rows to the next, `column` from one of its `width` columns. There are
    `each` rows for each place on the axes, as the places of an image. Where it is `alone` no other reads the matrix.
    """

    axes: tuple[str, ...]
    lda: int
    ldd: int | None
    ldc: int
    term: int
    column: int
    terms: int
    width: int
    each: int = 1
    alone: bool = False

    @property
    def title(self) -> str:
        return f"product {self.terms} to {self.width}" + (f", {self.each} rows each" if self.each > 1 else "")

    def work(self, sizes: Sizes) -> float:
        return 2.0 * rows_of(self.axes, sizes) * self.each * self.terms * self.width


class Order(Struct, frozen=True):
    """How a sum over rows goes: in units (see `ops.summation_order`) or straight, which way, whether to add."""

    units: bool
    back: bool
    onto: bool

    def words(self, axes: tuple[str, ...], sizes: Sizes, each: int = 1) -> tuple[int, int, int, int]:
        """Rows in all, rows of a unit, whether from the last unit to the first, whether to add. There are `each` rows
        for each place on the axes."""
        rows = rows_of(axes, sizes) * each
        steps = unit(sizes[BATCH]) if BATCH in axes else 1
        together = steps * rows_of(axes[1:], sizes) * each if self.units else rows
        return rows, max(1, together), int(self.back), int(self.onto)


class Factor(Struct, frozen=True):
    """The left factor of a product over rows: entries from row to row, those of the result, rows of the result."""

    lda: int
    ldc: int
    height: int


class Sums(Struct, frozen=True):
    """Products over all rows with one right factor, and maybe its plain sum; addresses: right factor, left factors,
    results, plain sum. There are `each` rows for each place on the axes. Where it is `sparse`, rows of zeros in the
    right factor are left out."""

    axes: tuple[str, ...]
    ldd: int
    width: int
    order: Order
    factors: tuple[Factor, ...]
    summed: bool = False
    each: int = 1
    sparse: bool = False

    @property
    def title(self) -> str:
        return f"sums over rows {' + '.join(str(f.height) for f in self.factors)} by {self.width}"

    def work(self, sizes: Sizes) -> float:
        height = sum(f.height for f in self.factors)
        return 2.0 * rows_of(self.axes, sizes) * self.each * height * self.width


class ColumnSums(Struct, frozen=True):
    """The sum over all rows; addresses: rows, result."""

    axes: tuple[str, ...]
    row: int
    width: int
    order: Order

    @property
    def title(self) -> str:
        return f"sums over rows of {self.width}"

    def work(self, sizes: Sizes) -> float:
        return 4.0 * rows_of(self.axes, sizes) * self.width


class Scatter(Struct, frozen=True):
    """Rows added to those of a table of zeros that ints choose; addresses: rows, ints, table.

    Each of the kernel's rows has `each` rows of `width` entries and as many ints; from row to row there are
    `row` entries and `ids` ints.
    """

    axes: tuple[str, ...]
    row: int
    ids: int
    each: int
    entries: int
    width: int
    order: Order

    @property
    def title(self) -> str:
        return f"rows of {self.width} added to chosen ones of {self.entries}"

    def work(self, sizes: Sizes) -> float:
        return 4.0 * (rows_of(self.axes, sizes) * self.each + self.entries) * self.width


class Ctc(Struct, frozen=True):
    """The CTC loss of each example, or its gradient by the scores, which have `row` entries from row to row; addresses:
    scores, labels, steps and labels of the rows, result, scratch. `axis` and `over` are those of scores and labels."""

    axes: tuple[str, ...]
    gradient: bool
    axis: str
    over: str
    classes: int
    row: int
    blank: int
    merge: bool
    ignore: bool
    zero: bool
    each: tuple[bool, bool]
    """Whether steps, and labels, are counted for each row."""
    known: bool
    """Whether the labels are data, which have been looked at before the run."""

    @property
    def scratch(self) -> tuple[str, ...]:
        """What it uses of the op's scratch, by name."""
        found = ("logs", "one", "label", "blank", "ids", "spare")
        return (*found, "all_label", "all_blank", "all_start") if self.gradient else found

    @property
    def title(self) -> str:
        return f"CTC {'gradient' if self.gradient else 'loss'} of {self.classes} classes"

    def work(self, sizes: Sizes) -> float:
        states, passes = 2 * sizes[self.over] + self.classes, 3 if self.gradient else 1
        return 50.0 * sizes[self.axis] * rows_of(self.axes, sizes) * states * passes


class AlongRow(Struct, frozen=True):
    """A sum, a largest entry or a softmax along each row, or along each of its lines, which lie one behind the other;
    addresses: rows, result."""

    axes: tuple[str, ...]
    op: str
    size: int
    row: int
    result: int
    lines: int = 1

    @property
    def title(self) -> str:
        return f"{self.op} of {f'{self.lines} by ' if self.lines > 1 else ''}{self.size}"

    @property
    def of_line(self) -> int:
        """Entries that a line has in the result."""
        return self.size if self.op in ("softmax", "log_softmax") else 1

    def work(self, sizes: Sizes) -> float:
        each = 80.0 if self.of_line > 1 else 10.0  # a softmax has exponentials
        return each * rows_of(self.axes, sizes) * self.lines * self.size


BLOCK = 4096
"""Entries whose squares are added up together, before the sums of all blocks are."""


class Squares(Struct, frozen=True):
    """The sum of the squares in each block of an array, in float64; addresses: array, a result for each block."""

    axes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "sums of squares"

    def work(self, sizes: Sizes) -> float:
        return 2.0 * BLOCK
