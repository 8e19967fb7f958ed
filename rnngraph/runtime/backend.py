"""What a backend is: an array module, and the few things that array modules do differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Backend(Protocol):
    """An array module with what the kernels need beside it."""

    name: str
    xp: Any

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        """Writes the sum of products to `out`."""

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        """Writes `table[ids]` to `out`; an id outside the table takes the nearest row inside."""

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        """Adds `rows[i]` to `out[ids[i]]` for each i in order, the same bits each time."""

    def empty(self, bytes: int) -> Any:
        """A new array of so many bytes; CannotDo where there is no room."""

    def give(self, array: Any, target: Any) -> None:
        """Copies a NumPy array into an array of the backend."""

    def fetch(self, array: Any) -> Any:
        """A NumPy array with the contents of one of the backend's."""

    def fits(self, array: Any, dtype: str) -> bool:
        """Whether kernels can read this array as it is: the backend's own, contiguous, of this type."""

    def wait(self) -> None:
        """Returns when all that was asked for is done."""

    def free_bytes(self) -> int:
        """The memory that is free for arrays now."""


@dataclass(frozen=True)
class Dtypes:
    """The array types of one program."""

    float: str

    def of(self, kind: str) -> str:
        names: Mapping[str, str] = {"float": self.float, "int": "int64", "bool": "bool"}
        return names[kind]
