"""The NumPy backend with compiled kernels: arrays stay NumPy arrays, and what no kernel takes NumPy still does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnngraph.kernels.cpu.adaptation import adapted
from rnngraph.kernels.cpu.modules import target
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.cpu.threads import walker
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Program
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Watch
from rnngraph.runtime.native_execution import NativeBound, WatchedNativeBound
from rnngraph.runtime.native_updates import NativeArrays
from rnngraph.runtime.numpy import NumpyBackend


class NativeBackend(NumpyBackend):
    """Runs groups of steps as compiled kernels. ImportError or RuntimeError where LLVM is not to be had."""

    kernels = "native"

    def __init__(self, target: Callable[[str], CpuTarget] = target) -> None:
        """`target` tells what the machine gives to programs of a float type."""
        self.target = target
        self.whole = NativeArrays(target)
        walker()  # so that what is missing shows here

    def adapted(self, program: Program, dtype: str) -> Program:
        return adapted(program, self.target(dtype))

    def bound(
        self, program: Program, plan: Plan, arrays: Device | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        return NativeBound(program, plan, arrays or self, self.target(plan.dtype), arenas)

    def watched(self, program: Program, plan: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        return WatchedNativeBound(program, plan, self, self.target(plan.dtype), watch, arenas)
