"""What a program's kernels on a GPU are, in words: which loops are one kernel, and how they are spread."""

from __future__ import annotations

from rnngraph.kernels.gpu.modules import Module
from rnngraph.kernels.listing import Listed, listed
from rnngraph.planning.program import Repeat


def listed_on_gpu(module: Module) -> list[Listed]:
    """Kernels in the order of the program; of each loop whether it is one kernel, and if not, why."""

    def told(repeat: Repeat) -> str:
        if id(repeat) in module.spread_out:
            return f": one kernel, {module.spread_out[id(repeat)]}"
        why = module.whys.get(id(repeat))
        return f": a kernel for each step, as {why}" if why else ""

    return listed(module.program.code, module.target, told, "CuPy")
