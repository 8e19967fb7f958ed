"""Which block of a team writes what.

The blocks of a team have the same rows of the batch and share out the units: of a vector of n * units entries a block
owns those whose place modulo `units` is among its own. What a block alone has written it can read without meeting the
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain, Operand
from rnngraph.kernels.kernel import AlongRow, ColumnSums, Elementwise, Product
from rnngraph.kernels.layouts import dense
from rnngraph.planning.program import Group, Ref, Slot

Law = tuple[str, int] | None
"""How the entries of a row belong to blocks: by unit, among so many; whole rows one by one; None: in no such way."""


def laws_of(group: Group, slots: Sequence[Slot], units: int) -> list[Law]:
    """For each view that a group reads, then for each that it writes."""
    kernel = group.kernel
    own: Law = ("unit", units)
    masks: list[Law] = [None] if group.part else []
    if kernel.axes[-1:] != (BATCH,):
        return [None] * (len(group.ins) + len(group.outs))
    if isinstance(kernel, Elementwise):
        operands = [*kernel.chain.loads, *(o for _, o in kernel.chain.stores)]
        refs = [*group.operands, *group.outs]
        laws: list[Law] = [
            own if _by_unit(kernel.chain, operand, first_of(ref, slots[ref.slot]), units) else None
            for operand, ref in zip(operands, refs, strict=True)
        ]
        loads = len(kernel.chain.loads)
        return [*laws[:loads], *masks, *laws[loads:]]
    if isinstance(kernel, Product):
        beside = [_own(group.operands[2], slots, units)] if kernel.ldd else [None] * (kernel.ldd is not None)
        return [None, None, *beside, *masks, _own(group.outs[0], slots, units)]
    if isinstance(kernel, ColumnSums):
        return [_own(group.operands[0], slots, units), *masks, _own(group.outs[0], slots, units)]
    if isinstance(kernel, AlongRow):
        rows: Law = (f"rows of {' '.join(kernel.axes)} by {kernel.lines}", 0)
        return [rows, *masks, rows]
    return [None] * (len(group.ins) + len(group.outs))


def _own(ref: Ref, slots: Sequence[Slot], units: int) -> Law:
    return ("unit", units) if first_of(ref, slots[ref.slot]) % units == 0 else None


def first_of(ref: Ref, slot: Slot) -> int:
    """The place of a view's first entry in a row of its slot."""
    entries = ref.index[slot.ring + len(slot.type.axes) :]
    total = 0
    for entry, size, stride in zip(entries, slot.type.shape, dense(slot.type.shape), strict=True):
        start = entry.start or 0 if isinstance(entry, slice) else entry
        assert isinstance(start, int)  # loops walk along axes alone
        total += (start % size if start else 0) * stride
    return total


def _by_unit(chain: Chain, operand: Operand, first: int, units: int) -> bool:
    """Whether each entry lies, in its row, at its own place modulo the number of units."""
    if operand.table or operand.rows not in ("each", "inner"):
        return False
    after = [prod(chain.dims[i + 1 :]) for i in range(len(chain.dims))]
    steps = zip(chain.dims, operand.strides, after, strict=True)
    return first % units == 0 and all(size == 1 or (stride - own) % units == 0 for size, stride, own in steps)
