"""A plan larger than the machine is refused before anything is allocated."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.diagnostics.source import Span
from rnngraph.ir.types import BATCH, is_fixed
from rnngraph.planning.plan import Plan, plan
from rnngraph.planning.program import Program


def refuse_if_too_large(program: Program, made: Plan, free: int, static: bool) -> None:
    """CannotDo where the plan takes more than is free, naming its largest part and what would fit."""
    if made.total <= free:
        return
    largest = max(range(len(program.slots)), key=lambda i: made.slot_bytes[i])
    span = _maker(program, largest)
    part = program.slots[largest].type
    raise CannotDo(
        [
            Diagnostic(
                "E502",
                f"this run takes {megabytes(made.total)} and {megabytes(free)} are free",
                span,
                note=f"the largest part, {megabytes(made.slot_bytes[largest])} ({part}), is made here" if span else "",
                help=_advice(program, made, free, static),
            )
        ]
    )


def megabytes(bytes: int) -> str:
    return f"{bytes / 1e9:,.1f} GB" if bytes >= 1e9 else f"{bytes / 1e6:,.1f} MB"


def _maker(program: Program, slot: int) -> Span | None:
    for step in program.steps:
        if any(ref.slot == slot for ref in step.outs) and step.node.origin.span:
            return step.node.origin.span
    return None


def _advice(program: Program, made: Plan, free: int, static: bool) -> str:
    times = [axis for axis in made.sizes if axis != BATCH and not is_fixed(axis)]
    if not times:
        return f"a smaller batch than {made.sizes.get(BATCH, 1)} may fit"
    axis = max(times, key=lambda a: made.sizes[a])
    if static:
        fits = int(made.sizes[axis] * free / made.total)
        return f"about {fits:,} steps would fit, or a smaller batch than {made.sizes[BATCH]}"
    fits = longest(program, made, axis, free)
    batch = made.sizes.get(BATCH, 1)
    if not fits:
        return f"not even one step fits with a batch of {batch:,}"
    return f"{fits:,} steps would fit with a batch of {batch:,}, or a smaller batch"


def longest(program: Program, made: Plan, axis: str, free: int) -> int:
    """The largest number of steps on an axis whose plan fits."""
    low, high = 0, made.sizes[axis]
    while low < high:
        middle = (low + high + 1) // 2
        if plan(program, {**made.sizes, axis: middle}, made.dtype).total <= free:
            low = middle
        else:
            high = middle - 1
    return low
