"""A GPU of which only is known what there is on it: programs are planned for it, and none is run."""

from __future__ import annotations

from rnngraph.kernels.gpu.adaptation import adapted
from rnngraph.kernels.gpu.target import GpuTarget, h100
from rnngraph.planning.program import Program
from rnngraph.runtime.numpy import NumpyBackend


class DescribedGpu(NumpyBackend):
    """An H100; the plan of a program is that of any other GPU. `kernels` are those that groups of steps would have."""

    name = "cupy"

    def __init__(self, kernels: str, rounding: str) -> None:
        self.kernels, self.rounding, self.unrolls = kernels, rounding, kernels == "cupy"

    def target(self, dtype: str) -> GpuTarget:
        return h100(dtype, self.rounding)

    def adapted(self, program: Program, dtype: str) -> Program:
        return program if self.kernels == "cupy" else adapted(program, self.target(dtype))
