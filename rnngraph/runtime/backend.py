"""What a backend is: a device, and how programs are run on it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Program
from rnngraph.runtime.array_updates import NumpyArrays, WholeArrays
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Watch, WatchedBound


class Backend(Device, Protocol):
    """A device with what it takes to run programs there."""

    unrolls: bool
    """Whether a static program has a copy of the step for each step. Where a loop is one kernel that would only cost:
    there both modes run the loops, and the static graph is for counting and looking at."""

    def adapted(self, program: Program, dtype: str) -> Program:
        """The program as this backend runs it."""

    def bound(
        self, program: Program, plan: Plan, arrays: Device | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        """An adapted program with arrays, which `arrays` is asked for where it is given; or over given arenas."""

    def watched(self, program: Program, plan: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        """An adapted program with something around each call of a kernel."""


_HERE = nullcontext()


class StepByStep:
    """How a backend runs programs where it has no kernels but those of the table of ops."""

    notes: tuple[str, ...] = ()
    unrolls = True
    rounding = ""
    whole: WholeArrays = NumpyArrays()

    def here(self) -> AbstractContextManager[Any]:
        return _HERE

    def near(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        return arrays

    def adapted(self, program: Program, dtype: str) -> Program:
        return program

    def bound(
        self, program: Program, plan: Plan, arrays: Device | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        return Bound(program, plan, arrays or self, arenas)  # type: ignore[arg-type]  # its subclasses are backends

    def watched(self, program: Program, plan: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        return WatchedBound(program, plan, self, watch, arenas)  # type: ignore[arg-type]
