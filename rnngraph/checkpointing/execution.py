"""Runs a cut program: the parts for all steps, and between them the walks along the axis, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.checkpointing.actions import HERE, Action, Advance, Back, Load, Save, Visit
from rnngraph.checkpointing.arenas import SHARED, bytes_of, shape_of
from rnngraph.checkpointing.plan import HELD, KEPT, Key, Walking, lasting
from rnngraph.checkpointing.segments import COTANGENT, END, MADE, STATE, STEPS, WITHIN, Carried
from rnngraph.checkpointing.stages import AFTER, BACK, BEFORE, BETWEEN, LAST_WITHIN, THERE, WALKS
from rnngraph.checkpointing.swap import Swap
from rnngraph.ir.types import Dtypes, Type
from rnngraph.planning.plan import ALIGN, PLANNED, rounded
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound, address, viewed

Arrays = dict[str, Any]


class Store:
    """Places in memory for what is kept: states and tapes."""

    def __init__(self, backend: Backend, room: Any, width: int) -> None:
        self.copyto, self.room, self.width = backend.xp.copyto, room, width

    def put(self, place: int, source: Any) -> None:
        self.copyto(self.at(place, source.size), source)

    def get(self, place: int, target: Any) -> None:
        self.copyto(target, self.at(place, target.size))

    def at(self, place: int, size: int) -> Any:
        return self.room[place * self.width : place * self.width + size]


class Walker:
    """A walking with its arrays. `run` is what `Bound.run` is for a program that is not cut."""

    def __init__(self, walking: Walking, backend: Backend, arrays: Backend | None = None) -> None:
        """`arrays` is asked for the arenas, where it is given."""
        self.walking, self.backend, self.cut = walking, backend, walking.cut
        self.dtypes = Dtypes(walking.layout.dtype)
        self.arenas = {c: (arrays or backend).empty(walking.bytes[c]) for c in PLANNED if walking.bytes[c]}
        common = {c: self.region(c) for c in SHARED}
        self.bounds = {
            key: backend.bound(part.program, walking.plans[key], arenas=common)
            for key, part in walking.parts.items()
        }
        self.kept = {
            name: self.array(self.region(HELD + name), type)
            for name, (type, _) in lasting(self.cut, walking.parts).items()
        }
        self.states = self.packed(STATE, self.cut.states)
        self.cotangents = self.packed(COTANGENT, self.cut.cotangents)
        kept = self.region(KEPT)
        self.store: Store | Swap = Store(backend, kept, walking.width)
        if walking.course.swap:
            outside = backend.outside(walking.course.swap, walking.swapped, kept)
            self.store = Swap(outside, walking.width, kept, backend.xp.copyto)
        self.taped: dict[int, str] = {}
        self.last: Bound | None = None

    # --- arrays ---

    def region(self, name: str) -> Any:
        """The bytes of a region."""
        category, first, size = self.walking.layout.regions[name]
        if not size:
            return next(iter(self.arenas.values()))[:0]
        arena = self.arenas[category]
        start = -address(arena) % ALIGN + first
        return arena[start : start + size]

    def array(self, region: Any, type: Type) -> Any:
        shape = shape_of(type, self.walking.layout.sizes)
        return region[: bytes_of(type, self.walking.layout.sizes, self.walking.layout.dtype)].view(
            self.dtypes.of(type.dtype)
        ).reshape(shape)

    def packed(self, name: str, carried: Sequence[Carried]) -> list[Any]:
        region, found, start = self.region(name), [], 0
        for one in carried:
            size = bytes_of(one.type, self.walking.layout.sizes, self.walking.layout.dtype)
            found.append(self.array(region[start : start + size], one.type))
            start += rounded(size)
        return found

    # --- a run ---

    def bind(self, weights: Mapping[str, Any]) -> None:
        """Makes the calls of every part over these weights."""
        given = {**weights, **self.kept, **{f"{MADE}{name}": array for name, array in self.kept.items()}}
        for bound in self.bounds.values():
            bound.bind(given)

    def run(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> Arrays:
        """Results by name, as views that the next run writes over."""
        self.bind(weights)
        self.inputs = inputs
        self.lengths = {n: np.asarray(a) for n, a in inputs.items() if n.startswith("lengths@")}
        for name in self.kept:
            if name in inputs:
                self.backend.give(inputs[name], self.kept[name])
        self.whole(BEFORE)
        self.begin(self.states, self.cut.states)
        for name, held in self.cut.held.items():
            if held.stage in WALKS and self.cut.axis not in held.type.axes:
                self.kept[name].fill(0)
        self.turned = False
        for action in self.walking.course.actions:
            self.act(action)
        self.turn()
        self.finish(BACK, self.cotangents)
        self.whole(AFTER)
        return {name: self.kept[held] for name, held in self.cut.results.items()}

    def act(self, action: Action) -> None:
        match action:
            case Visit(chunk, tape):
                self.forward("first", chunk, tape)
            case Advance(chunk, tape):
                self.forward("advance" if tape is None else "again", chunk, tape)
            case Save(place):
                self.store.put(place, self.region(STATE))
            case Load(place):
                self.store.get(place, self.region(STATE))
            case Back(chunk, tape):
                self.turn()
                self.back(chunk, tape)

    def forward(self, kind: str, chunk: int, tape: int | None) -> None:
        """One chunk there, and a tape of it where one is wanted."""
        self.segment(kind, chunk, True, False)
        self.taped[chunk] = kind
        if tape is not None and tape != HERE:
            self.store.put(tape, self.region("saved"))
            if not self.walking.course.swap:
                self.store.put(tape + self.walking.course.tape - 1, self.region(STATE))

    def back(self, chunk: int, tape: int | None) -> None:
        if tape is None:
            self.segment("again", chunk, True, True)
            return
        if tape != HERE:
            self.store.get(tape, self.region("saved"))
        before = self.taped_before(chunk)
        if before is not None and isinstance(self.store, Swap):
            self.store.ahead(before, self.region("saved").size)
        self.segment(self.taped[chunk], chunk, False, True)

    def taped_before(self, chunk: int) -> int | None:
        """The place of the tape that is needed next."""
        return (chunk - 1) * self.walking.course.tape if chunk else None

    def turn(self) -> None:
        """Between the walks: once, before the first backward pass."""
        if not self.turned:
            self.turned = True
            self.finish(THERE, self.states)
            self.whole(BETWEEN)
            self.begin(self.cotangents, self.cut.cotangents)

    def begin(self, states: Sequence[Any], carried: Sequence[Carried]) -> None:
        for state, one in zip(states, carried, strict=True):
            self.backend.xp.copyto(state, self.kept[one.first])

    def finish(self, walk: int, states: Sequence[Any]) -> None:
        """Keeps those last values of states that others read."""
        for name, held in self.cut.held.items():
            if held.stage == walk and held.carried is not None:
                self.backend.xp.copyto(self.kept[name], states[held.carried])

    # --- parts ---

    def ready(self, key: Key) -> Bound:
        """A part whose constants stand."""
        bound = self.bounds[key]
        if self.last is not bound:
            bound.fill()
            self.last = bound
        return bound

    def whole(self, stage: int) -> None:
        bound = self.ready(("whole", stage))
        for name, slot in bound.program.inputs.items():
            self.backend.give(self.inputs[name], bound.bases[slot])
        for way in range(2):
            bound.go(way)
        for name, array in self.made(bound):
            self.backend.xp.copyto(self.kept[name], array)

    def made(self, bound: Bound) -> Iterator[tuple[str, Any]]:
        """The outputs of a part that do not stand where they belong yet."""
        for name, ref in bound.program.outputs.items():
            if name not in bound.program.weights:
                yield name, viewed(bound.bases[ref.slot], bound.index(ref))

    def segment(self, kind: str, chunk: int, there: bool, back: bool) -> None:
        """One chunk there, back, or both."""
        first, behind = self.walking.course.span(chunk)
        key = (kind, behind - first)
        bound, part = self.ready(key), self.walking.parts[key]
        for name, slot in bound.program.inputs.items():
            if not (name.startswith(STATE) and not there) and not (name.startswith(COTANGENT) and not back):
                self.give(name, part.types[name], bound.bases[slot], first, behind)
        for way, wanted in enumerate((there, back)):
            if wanted:
                bound.go(way)
        for name, array in self.made(bound):
            self.take(name, array, first, behind, there, back)

    def give(self, name: str, type: Type, target: Any, first: int, behind: int) -> None:
        """An input of a segment: of what is long the rows of its steps."""
        copyto = self.backend.xp.copyto
        if name.startswith(STATE):
            copyto(target, self.states[int(name.removeprefix(STATE))])
        elif name.startswith(COTANGENT):
            copyto(target, self.cotangents[int(name.removeprefix(COTANGENT))])
        elif name.startswith(END):
            self.at_the_end(name.removeprefix(END), target, behind)
        elif name.startswith(WITHIN):
            self.backend.give(self.within(name.removeprefix(WITHIN), first, behind), target)
        elif name == f"{STEPS}{self.cut.axis}":
            self.backend.give(np.arange(first, behind), target)
        elif name in self.kept:
            copyto(target, self.rows(self.kept[name], type, first, behind))
        else:
            self.backend.give(self.rows(self.inputs[name], type, first, behind), target)

    def rows(self, array: Any, type: Type, first: int, behind: int) -> Any:
        return array[(*(slice(None),) * type.axes.index(self.cut.axis), slice(first, behind))]

    def at_the_end(self, name: str, target: Any, behind: int) -> None:
        if behind == self.walking.course.steps:
            self.backend.xp.copyto(target, self.kept[name])
        else:
            target.fill(0)

    def within(self, name: str, first: int, behind: int) -> Any:
        """Lengths counted from the segment's first step; 0 where the row's last step is in another segment."""
        lengths = self.lengths[name] - first
        return np.where((lengths > 0) & (lengths <= behind - first), lengths, 0)

    def take(self, name: str, array: Any, first: int, behind: int, there: bool, back: bool) -> None:
        """An output of a segment to where it belongs."""
        copyto = self.backend.xp.copyto
        if name.startswith(STATE):
            if there:
                copyto(self.states[int(name.removeprefix(STATE))], array)
        elif name.startswith(COTANGENT):
            if back:
                copyto(self.cotangents[int(name.removeprefix(COTANGENT))], array)
        elif there if self.cut.held[name].stage == THERE else back:
            self.keep(name, array, first, behind)

    def keep(self, name: str, array: Any, first: int, behind: int) -> None:
        held, target, copyto = self.cut.held[name], self.kept[name], self.backend.xp.copyto
        if self.cut.axis in held.type.axes:
            copyto(self.rows(target, held.type, first, behind), array)
        elif held.node.op is LAST_WITHIN:
            here = self.within(held.node.inputs[1].node.attrs["name"], first, behind) > 0
            copyto(target, array, where=self.backend.xp.asarray(here).reshape(-1, *(1,) * (target.ndim - 1)))
        elif behind == self.walking.course.steps:  # `last`
            copyto(target, array)
