"""Runs a program without its plan: every array is made when it is first needed and dropped after it was last read.

Slow, and only for measuring: what is alive at each place of the program can then be seen from outside (by Python's
tracer of memory), and a lifetime that ended too soon would show in the results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Code, Entry, Group, Program, Ref, Repeat, Ring, Step, Turn, places
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Index, viewed

Watch = Callable[[int], None]
"""Called after each kernel, before anything is dropped, with its place in the order of lifetimes."""


class Unplanned(Bound):
    """A program whose slots are arrays of their own, alive from the first to the last place that needs them."""

    def __init__(self, program: Program, plan: Plan, backend: Device, watch: Watch) -> None:
        self.watch = watch
        self.born, self.dead = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for slot, (first, last) in enumerate(lifetimes(program, plan.sizes)):
            self.born[first].append(slot)
            self.dead[last].append(slot)
        self.whole = {*program.inputs.values(), *(slot for _, slot in program.constants)}
        self.loops: dict[int, tuple[int, int]] = {}
        """Of each running loop its place on the axis and the number of finished steps."""
        super().__init__(program, replace(plan, arenas={}), backend)

    def base(self, slot: int) -> Any:
        return self.fresh(slot) if slot in self.whole else None

    def fresh(self, slot: int) -> Any:
        """A new array for a slot."""
        slots, sizes = self.program.slots, self.plan.sizes
        return self.backend.xp.empty(slots[slot].shape(sizes), self.dtypes.of(slots[slot].type.dtype))

    def run(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
        for name, slot in self.program.weights.items():
            self.bases[slot] = self.backend.xp.array(weights[name], self.dtypes.float)
        for name, slot in self.program.inputs.items():
            self.backend.give(inputs[name], self.bases[slot])
        self.sequence(self.program.code, 0)
        return {name: viewed(self.bases[ref.slot], self.index(ref)) for name, ref in self.program.outputs.items()}

    # --- one place after another ---

    def sequence(self, code: Sequence[Code], place: int) -> None:
        for item in code:
            assert not isinstance(item, Group), "a program of plain kernels"
            if isinstance(item, Repeat):
                self.repeat(item, place)
            else:
                self.step(item, place)
            place += places(item)

    def repeat(self, repeat: Repeat, place: int) -> None:
        self.make(place)
        size, done, end = self.plan.sizes[repeat.axis], repeat.since is not None, place + places(repeat) - 1
        after = place + sum(places(item) for item in repeat.body)
        for n in range(size):
            self.loops[repeat.loop] = (size - 1 - n if repeat.reverse else n, n)
            if repeat.since is not None and done:
                done = self.over(repeat.since)
            if done:
                self.sequence(repeat.rest, after)
                continue
            self.sequence(repeat.body, place)
            if repeat.until is not None:
                done = self.over(repeat.until)
        self.drop(end)

    def over(self, look: Ref) -> bool:
        """Whether there is nothing to do for any row."""
        return bool(viewed(self.bases[look.slot], self.now(self.index(look))).all())

    def step(self, step: Step, place: int) -> None:
        self.make(place)
        kernel, arguments = self.parts(step)
        kernel(*(viewed(self.bases[ref.slot], self.now(index)) for ref, index in arguments))
        self.watch(place)
        self.drop(place)

    def make(self, place: int) -> None:
        for slot in self.born[place]:
            if self.bases[slot] is None:
                self.bases[slot] = self.fresh(slot)

    def drop(self, place: int) -> None:
        for slot in self.dead[place]:
            self.bases[slot] = None

    def now(self, index: Index) -> Index:
        """An index with the places of the running loops put in."""
        return tuple([self.place_of(entry) for entry in index])

    def place_of(self, entry: Entry | None) -> Any:
        if isinstance(entry, Turn):
            return self.loops[entry.loop][0] + entry.offset
        return (self.loops[entry.loop][1] + entry.offset) % 2 if isinstance(entry, Ring) else entry
