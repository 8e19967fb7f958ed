"""What a CPU makes of a program, in words."""

from __future__ import annotations

from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.listing import Listed, listed
from rnngraph.planning.program import Program, Repeat


def kernels_of(program: Program, target: CpuTarget) -> list[Listed]:
    """The kernels, and with how many others a loop runs at once for a few rows."""
    others = {
        item.loop: max(fork.labels)
        for fork in program.forks
        for item, label in zip(program.code[fork.first : fork.last], fork.labels, strict=True)
        if isinstance(item, Repeat) and label >= 0
    }

    def told(repeat: Repeat) -> str:
        found = others.get(repeat.loop, 0)
        return f", under {program.few} rows at once with {found} more" if found else ""

    return listed(program.code, target, told)
