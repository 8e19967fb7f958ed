"""Rows that a mask leaves out: in a ragged batch those of the steps past the end of a sequence.

A model with lengths says `where(mask, new, old)` of all that a step hands on, so most of what is computed for the rows
that the mask leaves out is never looked at. Here that is found out, over the groups of a program: a slot whose entries
under a false mask are `zero`, or are not `needed` by anyone. A group then runs for the rows where the mask holds; for
the others a smaller one (`past`) writes what is needed of it: mostly old states, handed on, and zeros.

What is left out are sums with zeros and values that `where` drops, so results stay the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain, Operand, Operation
from rnngraph.kernels.constant_folding import FALSE, TRUE, ZERO, Known, folded, remaining
from rnngraph.kernels.kernel import AlongRow, Elementwise, Kernel, Product, Sums
from rnngraph.kernels.row_masks import Masks, Moment, Site, masks_of
from rnngraph.kernels.target import Target
from rnngraph.planning.program import Code, Group, Program, Ref, Repeat, watched


def without_padding(program: Program, target: Target) -> Program:
    """The program with the rows left out that nobody looks at."""
    found = masks_of(program)
    if not found:
        return program
    analysis = _Analysis(program, Masks(program, found), target)
    if not any(analysis.splits(site) for site in analysis.sites):
        return program
    groups = {id(site.item): analysis.rewritten(site) for site in analysis.sites}
    ways = [_replaced(way, groups) for way in program.ways]
    turn = None if program.turn is None else len(ways[0])
    return replace(program, code=tuple(item for way in ways for item in way), turn=turn)


def _replaced(code: Sequence[Code], groups: Mapping[int, tuple[Moment, ...]]) -> tuple[Code, ...]:
    found: list[Code] = []
    for item in code:
        if isinstance(item, Repeat):
            rest = tuple(g for inner in item.rest for g in groups[id(inner)])
            found.append(replace(item, body=_replaced(item.body, groups), rest=rest))
        else:
            found += groups[id(item)]
    return tuple(found)


class _Analysis:
    def __init__(self, program: Program, masks: Masks, target: Target) -> None:
        self.program, self.masks = program, masks
        self.dtype = target.dtype
        self.sites, self.access = masks.sites, masks.access
        self.zeros = {slot for node, slot in program.constants if node.op.name == "const" and not node.attrs["value"]}
        self.folds = _Folds()
        self.zero = self.found_zero()
        self.needed = self.found_needed()

    # --- what is known of slots where the mask is false ---

    def known(self, ref: Ref, site: Site) -> bool:
        """Whether what a view shows under a false mask is zero."""
        return ref.slot in self.zeros or (ref.slot in self.zero and self.masks.in_step(ref, site))

    def found_zero(self) -> set[int]:
        """Slots that are zero wherever their writers' mask is false: all are thought so until one is seen not to be."""
        self.zero = set(self.masks.under)
        todo = list(self.sites)
        while todo:
            site = todo.pop()
            for ref, value in zip(site.outs, self.zero_results(site), strict=False):
                if ref.slot in self.zero and not value:
                    self.zero.discard(ref.slot)
                    todo += [near for near, _ in self.access[ref.slot].reads]
        return self.zero

    def zero_results(self, site: Site) -> list[bool]:
        """For each result whether it is zero under a false mask."""
        item = site.item
        if site.mask is None or not isinstance(item, Group):
            return [False] * len(item.outs)
        if isinstance(item.kernel, Elementwise):
            values = self.fold(site)
            return [values[value] == ZERO for value, _ in item.kernel.chain.stores]
        if self.of_zeros(site):
            return [all(self.known(ref, site) for ref in site.ins[2:])]
        return [False] * len(item.outs)

    def of_zeros(self, site: Site) -> bool:
        """Whether a product, or a sum, is one of zeros under a false mask."""
        item = site.item
        assert isinstance(item, Group)
        linear = isinstance(item.kernel, Product) or (isinstance(item.kernel, AlongRow) and item.kernel.op == "sum")
        return linear and self.known(site.ins[0], site)

    def fold(self, site: Site) -> list[Known]:
        """The values of a chain under a false mask: zero, false, or the value that they equal."""
        assert isinstance(site.item, Group)
        ins = site.ins
        known: dict[int, Known] = {i: ZERO for i, ref in enumerate(ins) if self.known(ref, site)}
        known |= {i: FALSE for i, ref in enumerate(ins) if ref == site.mask}
        return self.folds.of(site.item.kernel, known)

    def found_needed(self) -> set[int]:
        """Slots of which someone looks at what stands under a false mask."""
        self.needed = {ref.slot for ref in self.program.outputs.values()} | set(watched(self.program.code))
        todo = list(self.needed)

        def look(refs: Sequence[Ref]) -> None:
            for ref in refs:
                if ref.slot not in self.needed:
                    self.needed.add(ref.slot)
                    todo.append(ref.slot)

        for site in self.sites:
            look([ref for ref in site.ins if not self.masks.in_step(ref, site)])
            if not self.may_split(site):
                look(site.ins)
        while todo:
            for site, _ in self.access[todo.pop()].writes:
                look(self.looked_at(site))
        return self.needed

    def may_split(self, site: Site) -> bool:
        """Whether a group can be run for some rows alone, if the rest of the program allows it."""
        item = site.item
        if site.mask is None or not isinstance(item, Group):
            return False
        return not isinstance(item.kernel, Sums) or self.known(site.ins[0], site)

    def looked_at(self, site: Site) -> list[Ref]:
        """What a group reads of the rows under a false mask, for those of its results that are needed."""
        item = site.item
        if not self.may_split(site):
            return list(site.ins)
        assert isinstance(item, Group)
        if isinstance(item.kernel, Elementwise):
            return [site.ins[i] for i in self.folds.rest(item.kernel, self.fold(site), self.stores(site))[1]]
        if self.of_zeros(site):
            return [ref for ref in site.ins[2:] if not self.known(ref, site)]
        return [] if isinstance(item.kernel, Sums) else list(site.ins)

    def stores(self, site: Site) -> list[int]:
        """The results of a group that are needed, by their places."""
        return [i for i, ref in enumerate(site.outs) if ref.slot in self.needed]

    # --- the groups made of one ---

    def splits(self, site: Site) -> bool:
        """Whether a group leaves rows to a smaller one, or out."""
        item = site.item
        if not isinstance(item, Group) or not self.may_split(site):
            return False
        if isinstance(item.kernel, Sums | Elementwise):
            return True
        return not self.stores(site) or self.of_zeros(site)

    def rewritten(self, site: Site) -> tuple[Moment, ...]:
        item = site.item
        if not isinstance(item, Group):
            return (item,)
        if not self.splits(site):
            return (replace(item, kernel=_by_row(item.kernel)),) if item.kernel.axes == (BATCH,) else (item,)
        mask = site.mask
        assert mask is not None
        return (self.live(item, mask), *self.past(site, mask))

    def live(self, item: Group, mask: Ref) -> Group:
        """The group for the rows where the mask holds, which need not choose by it any more."""
        kernel, ins = item.kernel, item.ins
        if isinstance(kernel, Elementwise):
            values = self.folds.of(kernel, {i: TRUE for i, ref in enumerate(ins) if ref == mask})
            kernel, loads = self.folds.rest(kernel, values, range(len(item.outs)))
            ins = tuple(ins[i] for i in loads)
        return replace(item, ins=(*ins, mask), kernel=kernel, part="live")

    def past(self, site: Site, mask: Ref) -> tuple[Group, ...]:
        """The group for the rows that the mask leaves out, where anything is needed there."""
        assert isinstance(site.item, Group)
        item, kernel, stores = site.item, site.item.kernel, self.stores(site)
        if not stores or isinstance(kernel, Sums):
            return ()
        if isinstance(kernel, Elementwise):
            made, ins = self.folds.rest(kernel, self.fold(site), stores)
        else:
            ins = [i for i in range(2, len(item.ins)) if not self.known(site.ins[i], site)]
            chain = _handed_on(kernel, self.dtype) if ins else _nothing(kernel, self.dtype)
            made = Elementwise(kernel.axes, chain, by_row=True)
        outs = tuple(item.outs[i] for i in stores)
        return (Group((), (*(item.ins[i] for i in ins), mask), outs, made, "past"),)


class _Folds:
    """What is left of chains; found once for the many steps of a static program, which share their kernels."""

    def __init__(self) -> None:
        self.values: dict[Hashable, list[Known]] = {}
        self.kernels: dict[Hashable, tuple[Elementwise, list[int]]] = {}

    def of(self, kernel: Elementwise, known: Mapping[int, Known]) -> list[Known]:
        """Every value of a chain, given what is known of some loads."""
        key = id(kernel), *known.items()
        if key not in self.values:
            self.values[key] = folded(kernel.chain, known)
        return self.values[key]

    def rest(self, kernel: Elementwise, values: list[Known], stores: Sequence[int]) -> tuple[Elementwise, list[int]]:
        """The kernel that makes these stores, and the numbers of the loads that it takes."""
        key = id(values), *stores
        if key not in self.kernels:
            chain, loads = remaining(kernel.chain, values, stores)
            self.kernels[key] = replace(kernel, chain=chain, by_row=True), loads
        return self.kernels[key]


def _by_row(kernel: Kernel) -> Kernel:
    return replace(kernel, by_row=True) if isinstance(kernel, Elementwise) else kernel


def _nothing(kernel: Product | AlongRow, dtype: str) -> Chain:
    """A product or a sum of zeros."""
    row, width = (kernel.ldc, kernel.width) if isinstance(kernel, Product) else (kernel.result, 1)
    stored = Operand(dtype, "each", row, (1,))
    return Chain((width,), (), (Operation("zero", (), (), dtype),), ((0, stored),), dtype)


def _handed_on(kernel: Product, dtype: str) -> Chain:
    """What is added to a product of zeros."""
    stored = Operand(dtype, "each", kernel.ldc, (1,))
    load = Operand(dtype, "each" if kernel.ldd else "none", kernel.ldd or 0, (1,))
    return Chain((kernel.width,), (load,), (Operation("identity", (0,), (dtype,), dtype),), ((1, stored),), dtype)
