"""What a device is to a program: an array module, and the few things that array modules do differently."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rnngraph.runtime.array_updates import WholeArrays


class Outside(Protocol):
    """Room outside of the memory that a run computes in, from and to which one buffer is copied while it computes.

    The next copy begins when the one before is done.
    """

    def write(self, start: int, size: int) -> None:
        """Begins to copy the first bytes of the buffer to a place here."""

    def read(self, start: int, size: int) -> None:
        """Begins to copy bytes from a place here to the beginning of the buffer."""

    def wait(self) -> None:
        """What is computed from now on comes after all that has begun; CannotDo where that failed."""


class Device(Protocol):
    """An array module with what the kernels need beside it."""

    name: str
    xp: Any
    kernels: str
    """Who does the arithmetic: "numpy", "cupy", or "native" for kernels compiled here."""
    runs_on: str
    """The array module and its version, and the device where there is one."""
    notes: tuple[str, ...]
    """What a reader of its measured bytes is to know."""
    each_step: bool
    """Whether a product over many steps is made for each on its own: its bits would depend on how many there are."""

    rounding: str
    """What operands of products are rounded to; "" for products in the type of numbers."""

    whole: WholeArrays
    """Who computes over whole arrays of the host, beside programs."""

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        """Writes the sum of products to `out`."""

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        """Writes `table[ids]` to `out`; an id outside the table takes the nearest row inside."""

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        """Adds `rows[i]` to `out[ids[i]]` for each i in order, the same bits each time; ids as in `take_rows`."""

    def empty(self, bytes: int) -> Any:
        """A new array of so many bytes; CannotDo where there is no room."""

    def outside(self, told: str, bytes: int, buffer: Any) -> Outside:
        """Room for so many bytes where the user `told` that it is to be; CannotDo where there is none."""

    def give(self, array: Any, target: Any) -> None:
        """Copies an array into one of the backend's."""

    def fetch(self, array: Any) -> Any:
        """A NumPy array with the contents of one that is on a device; what is on the host already, as it is."""

    def near(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays as this backend can read them: those of another device are brought to its own."""

    def fits(self, array: Any, dtype: str) -> bool:
        """Whether kernels can read this array as it is: the backend's own, contiguous, of this type."""

    def wait(self) -> None:
        """Returns when all that was asked for is done."""

    def free_bytes(self) -> int:
        """The memory that is free for arrays now."""

    def taken_bytes(self) -> int:
        """The bytes of all arrays that are alive, as those tell who hand out the memory: by differences alone."""

    def here(self) -> AbstractContextManager[Any]:
        """Within it, what runs is run where the backend's arrays are."""
