"""What the code generator for CPUs can do, and what this machine gives."""

from __future__ import annotations

from msgspec import Struct

from rnngraph.kernels.cpu import elementwise
from rnngraph.kernels.cpu.reductions import ROW_OPS


class CpuTarget(Struct, frozen=True):
    """A CPU for programs of one float type: lanes of a vector, vectors across a tile, threads."""

    dtype: str
    width: int
    across: int
    threads: int
    worth: float = 1.5e8
    """So much work in a piece of code pays for threads that all take part in it, and wait for each other."""
    worth_waking: float = 2e7
    """So much work that one thread does pays for waking others, who take what they come in time for."""
    worth_meeting: float = 2e6
    """So much work pays for telling others of it: between two meetings, where threads share columns and not rows, or in
    a task that a thread takes if it comes in time."""
    near: int = 2**18
    """Entries of a matrix that a core's own cache holds."""

    inward: bool = True
    several: bool = True
    sums_in_chains: bool = True

    @property
    def doubles(self) -> int:
        """Lanes of 64 bits."""
        return self.width if self.dtype == "float64" else max(1, self.width // 2)

    @property
    def panel(self) -> int:
        """Columns of a matrix that are packed side by side: as many as a tile has."""
        return self.width * self.across

    def elementwise(self, op: str, types: tuple[str, ...], result: str) -> bool:
        return elementwise.known(op, types, result)

    def along_row(self, op: str) -> bool:
        return op in ROW_OPS
