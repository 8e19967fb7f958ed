"""A program as it is run on a CPU: fused, its matrices in panels, its slots safe from threads that are ahead."""

from __future__ import annotations

from dataclasses import replace

from rnngraph.kernels.cpu.packing import packed
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.fusion import fused
from rnngraph.planning.program import Program, Repeat, groups_of


def adapted(program: Program, target: CpuTarget) -> Program:
    """The program with groups where there are kernels; its results are the same up to rounding."""
    return packed(for_threads(fused(program, target)), target)


def for_threads(program: Program) -> Program:
    """What a loop's body writes lives as long as the loop: its threads need not be at the same step."""
    result = list(program.slots)
    for item in program.code:
        if isinstance(item, Repeat):
            for group in groups_of(item.body):
                for ref in group.refs:
                    result[ref.slot] = replace(result[ref.slot], level=-1)
    return replace(program, slots=tuple(result))
