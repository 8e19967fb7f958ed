"""Slots of loops whose workers need not be at the same step."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.planning.program import Program, Repeat, groups_of


def alive_through_loops(program: Program) -> Program:
    """The program in which what a loop touches lives as long as the loop: threads of a CPU, and blocks of a GPU,
    then do not write over what others still read."""
    result = list(program.slots)
    for item in program.code:
        if isinstance(item, Repeat):
            for group in groups_of((item,)):
                for ref in group.refs:
                    result[ref.slot] = replace(result[ref.slot], level=-1)
    return replace(program, slots=tuple(result))
