"""A program as it is run on a CPU: fused, its matrices in panels, its slots safe from threads that are ahead, and
what may run at once known."""

from __future__ import annotations

from rnngraph.kernels.cpu.packing import packed
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.fusion import fused
from rnngraph.kernels.loop_lifetimes import alive_through_loops
from rnngraph.planning.forks import with_forks
from rnngraph.planning.program import Program


def adapted(program: Program, target: CpuTarget) -> Program:
    """The program with groups where there are kernels; its results are the same up to rounding."""
    return with_forks(packed(alive_through_loops(fused(program, target)), target))
