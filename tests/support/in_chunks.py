"""A device that does linear loops in chunks of a given number of steps."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.runtime.cupy import GeneratedBackend
from tests.support.cuda.emulator import Launch

WALKED = 10**6
"""Steps of a chunk with which every loop is walked."""


class InChunks(GeneratedBackend):
    """A device whose chunks have a given number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def target(self, dtype: str) -> GpuTarget:
        return replace(super().target(dtype), chunk=self.steps)


def loops(launches: list[Launch]) -> list[Launch]:
    return [launch for launch in launches if launch.name.startswith("loop")]


def in_chunks(launch: Launch) -> bool:
    return "borders" in launch.module.text.partition(f"\n{launch.name}(")[2].partition("\n")[0]
