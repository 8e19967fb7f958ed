"""A program as it is run on a GPU: fused, its slots safe from blocks that are ahead."""

from __future__ import annotations

from rnngraph.kernels.fusion import fused
from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.kernels.loop_slots import alive_through_loops
from rnngraph.planning.program import Program


def adapted(program: Program, target: GpuTarget) -> Program:
    """The program with groups where there are kernels; its results are the same up to rounding."""
    return alive_through_loops(fused(program, target))
