"""Matrices in panels: each is packed once before the first product that reads it, outside of a loop where it stays the
same; wide weights of a single product as it goes (see `Product.alone`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.types import Type
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.kernel import Product, Sizes
from rnngraph.kernels.layouts import View, Views
from rnngraph.planning.program import Code, Group, Program, Ref, Repeat, Ring, Slot, Turn, groups_of, moments_of

WIDE = 2048
"""From so many columns on there are enough for any number of threads, each of which packs its own."""


class Pack(Struct, frozen=True):
    """A matrix into panels; addresses: matrix, panels."""

    term: int
    column: int
    terms: int
    width: int
    axes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"packing {self.terms} by {self.width}"

    def work(self, sizes: Sizes) -> float:
        return 4.0 * self.terms * self.width


def packed(program: Program, target: CpuTarget) -> Program:
    """The program with its matrices in panels."""
    packing = _Packing(program, target)
    ways = [packing.way(way) for way in program.ways]
    added = len(packing.slots) - len(program.slots)
    return replace(
        program,
        slots=tuple(packing.slots),
        code=tuple(item for way in ways for item in way),
        categories=(*program.categories, *("workspace",) * added),
        turn=None if program.turn is None else len(ways[0]),
    )


class _Packing:
    def __init__(self, program: Program, target: CpuTarget) -> None:
        self.slots, self.panel = list(program.slots), target.panel
        self.views = Views(program.slots, target.dtype)
        self.panels = defaultdict[int, dict[tuple[View, Pack], Ref]](dict)
        self.uses = Counter[tuple[View, Pack]]()
        self.categories = program.categories

    def way(self, code: Sequence[Code]) -> list[Code]:
        """Code that is run by itself: it packs what it needs."""
        self.panels.clear()
        self.uses = Counter(self.key(g) for g in groups_of(code) if isinstance(g.kernel, Product))
        return self.code(code, -1)

    def code(self, code: Sequence[Code], level: int) -> list[Code]:
        found: list[Code] = []
        changed = _written(code)
        for item in code:
            if isinstance(item, Repeat):
                found += self.repeat(item)
            elif isinstance(item, Group) and isinstance(item.kernel, Product):
                alone = level < 0 and self.is_alone(item)
                found += [_alone(item)] if alone else self.product(item, level >= 0 and item.ins[1].slot in changed)
            else:
                found.append(item)
            self.forget(_written((item,)))
        return found

    def forget(self, written: set[int]) -> None:
        """Panels are of a slot as it was when they were made: an op may write over its operand."""
        for slot in written:
            self.panels.pop(slot, None)

    def repeat(self, repeat: Repeat) -> list[Code]:
        """The loop, after the packing of what stays the same in it."""
        changed = _written((repeat,))
        before = [pack for group in groups_of(repeat.body) for pack in self.ahead(group, changed)]
        body = tuple(self.code(repeat.body, repeat.loop))
        self.forget(changed)
        rest = tuple(i for i in self.code(repeat.rest, repeat.loop) if not isinstance(i, Repeat))
        return [*before, replace(repeat, body=body, rest=rest)]

    def ahead(self, group: Group, changed: set[int]) -> list[Group]:
        """The packing of a product's matrix in front of a loop, where it is the same at each step."""
        if not isinstance(group.kernel, Product):
            return []
        matrix, key = group.ins[1], self.key(group)
        moves = any(isinstance(entry, Turn | Ring) for entry in matrix.index)
        return [] if moves or matrix.slot in changed or key in self.panels[matrix.slot] else [self.pack(matrix, key)]

    def product(self, group: Group, changes: bool) -> list[Group]:
        """The product over panels; `changes` where its matrix is another one at the next step."""
        left, matrix, *rest = group.ins
        key, panels = self.key(group), self.panels[matrix.slot]
        before = [] if key in panels else [self.pack(matrix, key)]
        found = replace(group, ins=(left, panels[key], *rest))
        if changes:
            del panels[key]
        return [*before, found]

    def is_alone(self, group: Group) -> bool:
        """Whether it is the only product with wide weights. What a program computes may be overwritten before it."""
        weights = self.categories[group.ins[1].slot] == "parameters"
        return weights and group.kernel.width >= WIDE and self.uses[self.key(group)] == 1

    def key(self, group: Group) -> tuple[View, Pack]:
        """A product's matrix, and how it is packed."""
        kernel = group.kernel
        return self.views.of(group.ins[1]), Pack(kernel.term, kernel.column, kernel.terms, kernel.width)

    def pack(self, matrix: Ref, key: tuple[View, Pack]) -> Group:
        _, pack = key
        self.slots.append(Slot(Type((), (-(-pack.width // self.panel), pack.terms, self.panel))))
        room = self.panels[matrix.slot][key] = Ref(len(self.slots) - 1, (slice(None),) * 3)
        return Group((), (matrix,), (room,), pack)


def _alone(group: Group) -> Group:
    return replace(group, kernel=replace(group.kernel, alone=True))


def _written(code: Sequence[Code]) -> set[int]:
    return {ref.slot for moment in moments_of(tuple(code)) for ref in moment.outs}
