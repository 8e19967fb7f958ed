"""What a backend is: an array module, and the few things that array modules do differently."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rnngraph.planning.plan import Plan
    from rnngraph.planning.program import Program
    from rnngraph.runtime.execution import Bound, Watch


class Backend(Protocol):
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

    def adapted(self, program: Program, dtype: str) -> Program:
        """The program as this backend runs it."""

    def bound(
        self, program: Program, plan: Plan, arrays: Backend | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        """An adapted program with arrays, which `arrays` is asked for where it is given; or over given arenas."""

    def watched(self, program: Program, plan: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        """An adapted program with something around each call of a kernel."""

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        """Writes the sum of products to `out`."""

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        """Writes `table[ids]` to `out`; an id outside the table takes the nearest row inside."""

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        """Adds `rows[i]` to `out[ids[i]]` for each i in order, the same bits each time; ids as in `take_rows`."""

    def empty(self, bytes: int) -> Any:
        """A new array of so many bytes; CannotDo where there is no room."""

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


class StepByStep:
    """How a backend runs programs where it has no kernels but those of the table of ops."""

    notes: tuple[str, ...] = ()

    def here(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def near(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        return arrays

    def adapted(self, program: Program, dtype: str) -> Program:
        return program

    def bound(
        self, program: Program, plan: Plan, arrays: Backend | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        from rnngraph.runtime.execution import Bound

        return Bound(program, plan, arrays or self, arenas)  # type: ignore[arg-type]  # its subclasses are backends

    def watched(self, program: Program, plan: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        from rnngraph.runtime.execution import WatchedBound

        return WatchedBound(program, plan, self, watch, arenas)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Dtypes:
    """The array types of one program."""

    float: str

    def of(self, kind: str) -> str:
        names: Mapping[str, str] = {"float": self.float, "int": "int64", "bool": "bool"}
        return names[kind]
