"""How the products of a program are made: on which units of a processor, and how their operands lie near.

An entry near is a number of the program's type, or, on tensor cores, a word of 32 bits: one number of tf32 or two of
bf16.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

MULTIPLICATIONS = 100.0
"""Of one processor, per clock."""


class Products(Protocol):
    """What the spread of a loop and the text of a kernel ask."""

    @property
    def turn(self) -> int:
        """Terms after which those who share out the terms begin anew: a part of a product has a multiple of them."""

    @property
    def in_place(self) -> bool:
        """Whether rows that are near can be taken as they lie there."""

    @property
    def outside(self) -> tuple[int, int, int, int]:
        """Of a product outside of loops: rows of a tile, rows and terms staged at a time, columns of a block."""

    def matrix(self, terms: int, columns: int) -> int:
        """Entries of a matrix near."""

    def rows(self, rows: int, terms: int) -> int:
        """Entries of rows near."""

    def tall(self, rows: int) -> int:
        """Rows of a tile where a block has so many."""

    def clocks(self, rows: int, terms: int, columns: int) -> float:
        """What the multiplications take."""

    def product(self, sizes: str) -> str:
        """The function that makes a product, by the sizes that its template takes first."""

    def sums(self, sizes: str) -> str:
        """The function that makes sums over rows."""

    def staging(self, terms: int, units: int, gates: int) -> str:
        """The function that brings a whole matrix near."""


class Plain(Struct, frozen=True):
    """Products in the program's own type, on the ordinary units."""

    itemsize: int
    turn = 32
    in_place = True

    @property
    def outside(self) -> tuple[int, int, int, int]:
        return 8, 32, 256 // self.itemsize, 32

    def matrix(self, terms: int, columns: int) -> int:
        """An odd number of columns, so that lanes meet different banks."""
        return -(-terms // 4) * 4 * (columns | 1)

    def rows(self, rows: int, terms: int) -> int:
        return rows * (terms + 4)

    def tall(self, rows: int) -> int:
        return next(n for n in (8, 4, 2, 1) if n <= rows or n == 1)

    def clocks(self, rows: int, terms: int, columns: int) -> float:
        return rows * terms * (columns | 1) / MULTIPLICATIONS

    def product(self, sizes: str) -> str:
        return f"product<{sizes}>"

    def sums(self, sizes: str) -> str:
        return f"sums<{sizes}>"

    def staging(self, terms: int, units: int, gates: int) -> str:
        return f"stage_matrix<{terms}, {units}, {gates}, {-(-terms // 4) * 4}>"


class OnTensorCores(Struct, frozen=True):
    """Products of operands that are rounded, with sums in float32. An instruction takes 16 columns and 8 rows through
    `step` terms; it has 128 words of a matrix and 64 of the rows."""

    kind: str
    step: int
    in_place = False

    @property
    def turn(self) -> int:
        return 4 * self.step

    @property
    def outside(self) -> tuple[int, int, int, int]:
        return 32, 64, 8 * self.step, 64

    def steps(self, terms: int) -> int:
        return -(-terms // self.step)

    def matrix(self, terms: int, columns: int) -> int:
        return -(-columns // 16) * self.steps(terms) * 128

    def rows(self, rows: int, terms: int) -> int:
        return -(-rows // 8) * self.steps(terms) * 64

    def tall(self, rows: int) -> int:
        return next(n for n in (8, 16, 32) if n >= rows or n == 32)

    def clocks(self, rows: int, terms: int, columns: int) -> float:
        """Near memory gives 32 words a clock; that is what takes time."""
        tall = self.tall(rows)
        return -(-rows // tall) * (self.matrix(terms, columns) + -(-columns // 16) * self.rows(tall, terms)) / 32

    def product(self, sizes: str) -> str:
        return f"tensor_product<{self.kind}, {sizes}>"

    def sums(self, sizes: str) -> str:
        return f"tensor_sums<{self.kind}, {sizes}>"

    def staging(self, terms: int, units: int, gates: int) -> str:
        return f"stage_tensor_matrix<{self.kind}, {terms}, {units}, {gates}, {self.steps(terms) * self.step}>"


TENSOR_CORES = {"bf16": OnTensorCores("Bf16", 16), "tf32": OnTensorCores("Tf32", 8)}
"""By the name of what operands are rounded to."""
