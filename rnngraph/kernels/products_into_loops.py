"""Products of all steps taken into the loop that reads them, a step at a time.

A product with a sequence is moved out of its loop by `passes/hoist.py`, so that it is made for many rows at once. Where
one step has many rows by itself, that gains nothing, and all its results go to far memory and back. Bits are the same
either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.kernel import Product
from rnngraph.kernels.target import Target
from rnngraph.planning.program import Code, Group, Ref, Repeat, Slot, Turn, moments_of, steps_of


def taken_inward(
    code: Sequence[Code], slots: list[Slot], readers: Mapping[int, int], target: Target
) -> list[Code]:
    """The code outside of all loops with such products in theirs; marks the slots of what they make.

    `readers` tells how often each slot is read in the whole program.
    """
    found, gone = list(code), set[int]()
    for i, item in enumerate(code):
        if not isinstance(item, Repeat) or not all(isinstance(moment, Group) for moment in moments_of((item,))):
            continue
        taken = [at for at in range(i) if _takes(code, at, i, readers)]
        body = [_at_step(code[at], item) for at in taken]
        found[i] = replace(item, body=(*body, *item.body))
        rows = {group.outs[0].slot: enough_rows(group.kernel, target) for group in body}
        for slot in rows:
            slots[slot] = replace(slots[slot], passing=item.axis, large=rows[slot])
        gone.update(taken)
    return [item for i, item in enumerate(found) if i not in gone]


LARGE = 16
"""From so many rows on a step is as fast as many steps together, if the matrix is near."""


def enough_rows(kernel: Product, target: Target) -> int:
    """From how many rows on a product is better made step by step. A matrix that is not near is read again at each
    step; else all results are written to far memory and read again, at about four times the time for a number."""
    rows = LARGE if kernel.terms * kernel.width <= target.near else max(LARGE, kernel.terms // 8)
    return -(-rows // kernel.each)


def _takes(code: Sequence[Code], at: int, loop: int, readers: Mapping[int, int]) -> bool:
    """Whether the loop alone reads what the group makes, each step its own, and nothing up to its end changes what the
    group reads."""
    group, repeat = code[at], code[loop]
    assert isinstance(repeat, Repeat)
    if not isinstance(group, Group) or not isinstance(group.kernel, Product):
        return False
    if group.kernel.axes != (repeat.axis, BATCH):
        return False
    made, read = group.outs[0], {ref.slot for ref in group.ins}
    here, within = _reads(repeat, made.slot), _reads(group, made.slot)
    own = all(ref.index[0] == Turn(repeat.loop, 0) for ref in here)
    changed = {ref.slot for moment in moments_of(code[at + 1 : loop + 1]) for ref in moment.outs}
    alone = bool(here) and len(here + within) == readers[made.slot]
    return made.whole and own and alone and not (read | {made.slot}) & changed


def _reads(item: Code, slot: int) -> list[Ref]:
    return [ref for step in steps_of((item,)) for ref in step.ins if ref.slot == slot]


def _at_step(group: Code, repeat: Repeat) -> Group:
    """The group for one step of the loop."""
    assert isinstance(group, Group)

    def now(ref: Ref) -> Ref:
        return ref.at(0, Turn(repeat.loop, 0))

    left, panels, *plus = group.ins
    beside = [now(ref) if group.kernel.ldd else ref for ref in plus]
    kernel = replace(group.kernel, axes=(BATCH,))
    return Group(group.steps, (now(left), panels, *beside), (now(group.outs[0]),), kernel)


def for_all_steps(group: Group, axis: str) -> Group:
    """A group that was taken inward, made for all steps of its loop once more."""

    def whole(ref: Ref) -> Ref:
        first, *rest = ref.index
        return Ref(ref.slot, (slice(first.offset, None), *rest)) if isinstance(first, Turn) else ref

    ins, outs = tuple(map(whole, group.ins)), tuple(map(whole, group.outs))
    return replace(group, ins=ins, outs=outs, kernel=replace(group.kernel, axes=(axis, BATCH)))
