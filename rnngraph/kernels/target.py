"""What a code generator is asked while a program is fused for it."""

from __future__ import annotations

from typing import Protocol


class Target(Protocol):
    """A machine, for programs of one float type."""

    @property
    def dtype(self) -> str:
        """The float type."""

    @property
    def near(self) -> int:
        """Entries of a matrix that nearby memory holds from step to step. A larger one comes from further away each
        time, and is worth reading for many rows at once."""

    @property
    def inward(self) -> bool:
        """Whether a product with a sequence can be better made step by step, inside of the loop that reads it."""

    @property
    def several(self) -> bool:
        """Whether a product can have several rows for each place on its axes; a nest does it else."""

    @property
    def sums_in_chains(self) -> bool:
        """Whether a chain can add up the entries of each row."""

    def elementwise(self, op: str, types: tuple[str, ...], result: str) -> bool:
        """Whether a chain can hold this op on operands of these types."""

    def along_row(self, op: str) -> bool:
        """Whether there is a kernel for this op along each row."""
