"""Layers of a stack as a wavefront: one loop in which each layer is a step behind the one that it needs.

A layer's loop needs of the one before only what that has made at the same step. So all layers can do a step in the same
wave, each of a later place, and the blocks that share them meet as often as those of one layer: n + layers - 1 waves
instead of layers times n steps. What stood between the loops, as the product of a layer's input, is done step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Noise, Operand
from rnngraph.kernels.gpu.persistent_loops import loop_of
from rnngraph.kernels.kernel import AlongRow, Elementwise, Kernel, Product
from rnngraph.planning.forks import needed
from rnngraph.planning.program import AFTER, BEFORE, Code, Entry, Fork, Group, Program, Ref, Repeat, Ring, Slot, Turn

LAYERS = 4
"""The most that are one wavefront: what they touch is alive at once."""


def with_waves(program: Program) -> Program:
    """The program that tells which loops could be a wavefront, where they are of no fork already."""
    found, first = list(program.forks), 0
    for way in program.ways:
        taken = {i - first for fork in program.forks for i in range(fork.first, fork.last)}
        found += (_later(fork, first) for fork in _Way(way, program.slots, taken).waves())
        first += len(way)
    return replace(program, forks=tuple(sorted(found, key=lambda fork: fork.first)))


def _later(fork: Fork, items: int) -> Fork:
    return fork._replace(first=fork.first + items, halves=tuple(_later(half, items) for half in fork.halves))


class _Way:
    """A piece of a program in which loops may be a wavefront, but for those items that are `taken`."""

    def __init__(self, code: Sequence[Code], slots: Sequence[Slot], taken: set[int]) -> None:
        self.code, self.slots, self.taken = code, slots, taken
        self.far = needed(code)
        self.phases = {i: list(_in_phases(item, slots)) for i, item in self.loops() if _plain(item)}

    def loops(self) -> Iterator[tuple[int, Repeat]]:
        return ((i, item) for i, item in enumerate(self.code) if isinstance(item, Repeat))

    def waves(self) -> Iterator[Fork]:
        """Of loops that follow each other as many as can be one."""
        loops = [i for i, _ in self.loops()]
        while loops:
            counts = range(min(LAYERS, len(loops)), 1, -1)
            count = next((n for n in counts if self.stacked(loops[:n]) and self.wave(loops[:n])), 1)
            yield from self.with_halves(loops[:count])
            loops = loops[count:]

    def stacked(self, loops: Sequence[int]) -> bool:
        """Whether each loop needs the one before, and all walk alike."""
        layers = [item for i, item in self.loops() if i in loops and i in self.phases]
        alike = len(layers) == len(loops) and len({(layer.axis, layer.reverse) for layer in layers}) == 1
        free = self.taken.isdisjoint(range(loops[0], loops[-1] + 1))
        return alike and free and all(one in self.far[after] for one, after in pairwise(loops))

    def with_halves(self, loops: Sequence[int]) -> list[Fork]:
        """Loops as one, or what else they could be; nothing where they cannot."""
        wave = self.wave(loops) if len(loops) > 1 else None
        if wave is None:
            return []
        middle = len(loops) // 2
        return [wave._replace(halves=(*self.with_halves(loops[:middle]), *self.with_halves(loops[middle:])))]

    def wave(self, loops: Sequence[int]) -> Fork | None:
        """Loops as one; None where they cannot be."""
        items, first = range(loops[0], loops[-1] + 1), self.code[loops[0]]
        labels = tuple(_label(i, loops, self.far) for i in items)
        if any(i not in loops and not isinstance(self.code[i], Group) for i in items):
            return None
        assert isinstance(first, Repeat)
        parts = [part for i, lag in zip(items, labels, strict=True) if lag >= 0 for part in self.parts(i, lag, first)]
        made = [part for part in parts if part is not None]
        if len(made) < len(parts) or not _in_step(made, first, self.slots):
            return None
        made.sort(key=lambda part: (part.phase, part.lag))  # layers need nothing of each other in a wave
        body, lags = tuple(part.group for part in made), tuple(part.lag for part in made)
        return Fork(loops[0], labels, replace(first, body=body, lags=lags))

    def parts(self, i: int, lag: int, first: Repeat) -> Iterator[_Part | None]:
        """The groups of an item in the loop of all; None for what cannot be there."""
        item = self.code[i]
        for phase, group in self.phases[i] if isinstance(item, Repeat) else _in_phases(item, self.slots):
            made = _part(group, item, lag, first, self.slots)
            yield None if made is None else _Part(made, lag, phase)


def _plain(repeat: Repeat) -> bool:
    """Whether a loop does the same groups at all steps."""
    return not repeat.looks and all(isinstance(item, Group) for item in repeat.body)


def _label(item: int, loops: Sequence[int], far: Sequence[set[int]]) -> int:
    """How many steps an item is behind; BEFORE or AFTER where it is of no layer."""
    if item in loops:
        return loops.index(item)
    if not any(loop in far[item] for loop in loops):
        return BEFORE
    return min((n for n, loop in enumerate(loops) if item in far[loop]), default=AFTER)


class _Part(NamedTuple):
    """A group as it is in the loop of all, how many steps it is behind, and how often the blocks of its layer have met
    in a step before it."""

    group: Group
    lag: int
    phase: int


def _in_phases(item: Code, slots: Sequence[Slot]) -> Iterator[tuple[int, Group]]:
    """The groups of an item, each with how often blocks have met before it."""
    met, phase = loop_of(item, slots).meetings.blocks if isinstance(item, Repeat) else (), 0
    for group in item.body if isinstance(item, Repeat) else (item,):
        assert isinstance(group, Group)
        phase += id(group) in met
        yield phase, group


def _part(group: Group, of: Code, lag: int, first: Repeat, slots: Sequence[Slot]) -> Group | None:
    """A group of a loop, or one for all steps, in the loop of all; None where that cannot be."""
    behind = lag if first.reverse else -lag
    if isinstance(of, Repeat):
        moved = {of.loop: first.loop}
        ins, outs = (tuple(_moved(ref, moved, behind, -lag) for ref in refs) for refs in (group.ins, group.outs))
        return replace(group, ins=ins, outs=outs)
    kernel = _of_a_step(group.kernel, first.axis)
    refs = [_at_step(ref, slots[ref.slot], first, behind) for ref in group.refs]
    if kernel is None or None in refs:
        return None
    found = [ref for ref in refs if ref is not None]
    n = len(group.ins)
    return replace(group, ins=tuple(found[:n]), outs=tuple(found[n:]), kernel=kernel)


def _moved(ref: Ref, loops: Mapping[int, int], turns: int, steps: int) -> Ref:
    def entry(e: Entry) -> Entry:
        if isinstance(e, Turn) and e.loop in loops:
            return Turn(loops[e.loop], e.offset + turns)
        return Ring(loops[e.loop], e.offset + steps) if isinstance(e, Ring) and e.loop in loops else e

    return Ref(ref.slot, tuple(map(entry, ref.index)))


def _at_step(ref: Ref, slot: Slot, loop: Repeat, behind: int) -> Ref | None:
    """Of a view of all steps that of one; None where it has them in another way."""
    if loop.axis not in slot.type.axes:
        return ref
    at = slot.ring + slot.type.axes.index(loop.axis)
    entry = ref.index[at]
    if not isinstance(entry, slice) or (entry.start or 0) < 0:
        return None
    return Ref(ref.slot, (*ref.index[:at], Turn(loop.loop, (entry.start or 0) + behind), *ref.index[at + 1 :]))


def _of_a_step(kernel: Kernel, axis: str) -> Kernel | None:
    """A kernel over all steps as one over the rows of a step."""
    if kernel.axes != (axis, BATCH) or not isinstance(kernel, Elementwise | Product | AlongRow):
        return None
    if isinstance(kernel, Elementwise):
        chain = kernel.chain
        if any(isinstance(operation.at, Noise) for operation in chain.operations):
            return None
        loads = tuple(map(_operand, chain.loads))
        stores = tuple((value, _operand(operand)) for value, operand in chain.stores)
        return replace(kernel, axes=(BATCH,), chain=replace(chain, loads=loads, stores=stores))
    return replace(kernel, axes=(BATCH,))


def _operand(operand: Operand) -> Operand:
    """Of an operand with a row for each step the row of a step."""
    return replace(operand, rows="none", row=0) if operand.rows == "outer" else operand


def _in_step(parts: Sequence[_Part], loop: Repeat, slots: Sequence[Slot]) -> bool:
    """Whether what two layers touch is, where one of them writes it, what the earlier has written at the same step."""
    uses = dict[int, list[tuple[int, bool, Ref]]]()
    for group, lag, _ in parts:
        for i, ref in enumerate(group.refs):
            uses.setdefault(ref.slot, []).append((lag, i >= len(group.ins), ref))
    return all(_by_turns(found, loop, slots[slot]) for slot, found in uses.items())


def _by_turns(uses: Sequence[tuple[int, bool, Ref]], loop: Repeat, slot: Slot) -> bool:
    writers = {lag for lag, writes, _ in uses if writes}
    if not writers or len({lag for lag, _, _ in uses}) == 1:
        return True
    if len(writers) > 1 or loop.axis not in slot.type.axes:
        return False
    at, (writer,) = slot.ring + slot.type.axes.index(loop.axis), writers
    written, read = ({_step(ref.index[at], lag, loop) for lag, w, ref in uses if w == flag and (w or lag != writer)}
                     for flag in (True, False))  # fmt: skip
    return len(written) == 1 and None not in written and read == written and all(lag >= writer for lag, _, _ in uses)


def _step(entry: Entry, lag: int, loop: Repeat) -> int | None:
    """How far the place of an entry is from the step that its layer is at."""
    if not isinstance(entry, Turn) or entry.loop != loop.loop:
        return None
    return entry.offset - (lag if loop.reverse else -lag)
