"""A GPU whose teams have a given number of blocks."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.runtime.cupy import GeneratedBackend


class InParts(GeneratedBackend):
    """So many blocks share out the units of the same rows; they are a cluster where `cluster` allows so many."""

    def __init__(self, parts: int, rounding: str = "", cluster: int = 0) -> None:
        super().__init__(rounding)
        self.parts, self.cluster = parts, cluster

    def target(self, dtype: str) -> GpuTarget:
        return replace(super().target(dtype), parts=self.parts, cluster=self.cluster)
