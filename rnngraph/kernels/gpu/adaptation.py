"""A program as it is run on a GPU: fused where there are kernels, its slots safe from blocks that are ahead, and what
may run at once known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from rnngraph.kernels.fusion import fused
from rnngraph.kernels.gpu.functions import supported
from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.kernels.gpu.wavefront import with_waves
from rnngraph.kernels.loop_lifetimes import alive_through_loops
from rnngraph.planning.forks import with_forks
from rnngraph.planning.program import Code, Group, Program, Repeat

FEW = 17
"""From so many rows of a batch on, loops at once would take more of the memory than they give back in time."""


def adapted(program: Program, target: GpuTarget) -> Program:
    """The program with groups where there are kernels; its results are the same up to rounding."""
    made = fused(program, target)
    ways = [tuple(_opened(way)) for way in made.ways]
    turn = None if made.turn is None else len(ways[0])
    code = tuple(item for way in ways for item in way)
    whole = alive_through_loops(replace(made, code=code, turn=turn, plain=program))
    return with_waves(with_forks(whole, FEW, with_gradients=True))


def _opened(code: Sequence[Code], in_loop: bool = False) -> Iterator[Code]:
    """Groups that only a CPU has a kernel for as the steps they were."""
    for item in code:
        if isinstance(item, Repeat):
            rest = tuple(step for step in _opened(item.rest, True) if not isinstance(step, Repeat))
            yield replace(item, body=tuple(_opened(item.body, True)), rest=rest)
        elif isinstance(item, Group) and not supported(item.kernel, in_loop):
            yield from item.steps
        else:
            yield item
