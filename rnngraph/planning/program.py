"""A program: steps and repeats over slots. Sizes of axes are not known here; `plan.plan` puts them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH, DType, Type

ITEMSIZE: dict[tuple[DType, str], int] = {
    ("float", "float64"): 8,
    ("float", "float32"): 4,
    ("int", "float64"): 8,
    ("int", "float32"): 8,
    ("bool", "float64"): 1,
    ("bool", "float32"): 1,
}
"""Bytes of one number, by its kind and the program's float type."""

CATEGORIES = ("parameters", "inputs", "outputs", "saved", "gradients", "workspace")


class Turn(NamedTuple):
    """The place on the axis of a running loop, plus an offset."""

    loop: int
    offset: int


class Ring(NamedTuple):
    """One of two rows in turn: (number of finished steps of the loop + offset) modulo 2."""

    loop: int
    offset: int


class Parity(NamedTuple):
    """The row of a ring that a loop over this axis leaves its last value in."""

    axis: str


Place = int | Turn | Ring | Parity
Entry = slice | Place
ALL = slice(None)


class Ref(NamedTuple):
    """A view of a slot: one index per dimension of the slot's array."""

    slot: int
    index: tuple[Entry, ...]  # type: ignore[assignment]  # shadows tuple.index

    def at(self, dim: int, entry: Entry) -> Ref:
        """The view of this view that fixes or narrows one of its remaining dimensions."""
        left = [i for i, e in enumerate(self.index) if isinstance(e, slice)]
        i = left[dim]
        inside = self.index[i]
        assert isinstance(inside, slice)
        return Ref(self.slot, (*self.index[:i], _within(inside, entry), *self.index[i + 1 :]))

    @property
    def key(self) -> tuple[object, ...]:
        """What tells views apart, to be looked up by."""
        return (self.slot, *[(e.start, e.stop, "slice") if isinstance(e, slice) else (e, type(e)) for e in self.index])

    @property
    def whole(self) -> bool:
        return self.index == (ALL,) * len(self.index)

    @property
    def contiguous(self) -> bool:
        """Whether the view is one run of memory: places first, then everything."""
        tail = [e for e in self.index if isinstance(e, slice)]
        places = len(self.index) - len(tail)
        return all(not isinstance(e, slice) for e in self.index[:places]) and (
            not tail or all(e == ALL for e in tail[1:])
        )

    def torn(self, dims: int) -> bool:
        """Whether there are gaps between the entries of a row of so many dimensions."""
        tail = [e for e in self.index if isinstance(e, slice)]
        return dims > 1 and any(e != ALL for e in tail[1 - dims :])


def _within(outer: slice, entry: Entry) -> Entry:
    low = outer.start or 0
    if isinstance(entry, slice):
        if entry == ALL:
            return outer
        return slice(low + entry.start, low + entry.stop)
    if isinstance(entry, Turn):
        return entry._replace(offset=entry.offset + low)
    if isinstance(entry, int):
        return low + entry if entry >= 0 else (outer.stop or 0) + entry
    return entry


class Slot(Struct, frozen=True):
    """An array that the program writes. `grow` names the axis that has one row more (a state's history);
    a `ring` has two rows in front. `level` is the loop whose turn it lives in, -1 for the whole program. `passing`
    names the axis whose loop makes each step itself from `large` rows on: then there is room for one step."""

    type: Type
    grow: str | None = None
    ring: bool = False
    level: int = -1
    passing: str | None = None
    large: int = 0

    def passes(self, sizes: Mapping[str, int]) -> bool:
        """Whether there is room for one step."""
        return self.passing is not None and sizes[BATCH] >= self.large

    def before(self, sizes: Mapping[str, int]) -> bool:
        """Whether all steps are made before the loop that would make each itself."""
        return self.passing is not None and not self.passes(sizes)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        one = self.passing if self.passes(sizes) else None
        axes = tuple(1 if a == one else sizes[a] + (a == self.grow) for a in self.type.axes)
        return ((2,) if self.ring else ()) + axes + self.type.shape

    def bytes(self, sizes: Mapping[str, int], dtype: str) -> int:
        count = ITEMSIZE[self.type.dtype, dtype]
        for size in self.shape(sizes):
            count *= size
        return count


class Step(Struct, frozen=True):
    """One call of a kernel: its node, the views it reads and writes, and scratch slots."""

    node: Node
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]
    scratch: tuple[Ref, ...] = ()

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (*self.ins, *self.outs, *self.scratch)


class Group(Struct, frozen=True):
    """Steps that one kernel does at once: a single moment in the life of slots.

    `ins` and `outs` are what it reads and writes in memory; what only passes from one of its steps to another does not
    show. `kernel` is known to the runtime that made the group. With a `part` the last of `ins` is a mask over its rows:
    it is for the "live" ones, where the mask holds, or for those "past" them.
    """

    steps: tuple[Step, ...]
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]
    kernel: Any
    part: Literal["", "live", "past"] = ""

    @property
    def operands(self) -> tuple[Ref, ...]:
        """What it reads beside a mask."""
        return self.ins[:-1] if self.part else self.ins

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (*self.ins, *self.outs)


class Repeat(Struct, frozen=True):
    """A while-loop: the body for each place of the axis, backwards where `reverse`, `turn` steps at a time."""

    loop: int
    axis: str
    reverse: bool
    turn: int
    body: tuple[Code, ...]
    label: str = ""
    until: Ref | None = None
    """Leave once every entry of this view holds after a step."""
    since: Ref | None = None
    """Begin with the first step before which not every entry of this view holds."""
    rest: tuple[Step | Group, ...] = ()
    """Run for each step that is left out, to bring states there and zeros to what is handed out."""
    span: Span | None = None
    """Where it is written."""
    lags: tuple[int, ...] = ()
    """How many steps each item of the body is behind, in a wavefront: its views say so too."""

    @property
    def looks(self) -> tuple[Ref, ...]:
        """What tells which steps are left out."""
        return tuple(ref for ref in (self.until, self.since) if ref is not None)


Code = Step | Group | Repeat

BEFORE, AFTER = -2, -1
FEW = 4
"""From so many rows of a batch on, two threads have rows of their own to share a loop by."""


class Fork(NamedTuple):
    """A part of the code of a program in which loops need nothing of each other.

    For each item from `first` on `labels` tells of which loop's strand it is: strands may run at once. What is BEFORE
    must run ahead of all strands, what is AFTER behind them; each of these in the order of the code. With a `wave` they
    need of each other what is made at the same step: they run at once as that one loop, or as those of `halves`.
    """

    first: int
    labels: tuple[int, ...]
    wave: Repeat | None = None
    halves: tuple[Fork, ...] = ()

    @property
    def last(self) -> int:
        """The item behind it."""
        return self.first + len(self.labels)


class Program(Struct, frozen=True):
    """Everything but sizes. `inputs` and `weights` map names to slots, `outputs` names to views."""

    slots: tuple[Slot, ...]
    code: tuple[Code, ...]
    constants: tuple[tuple[Node, int], ...]
    inputs: Mapping[str, int]
    weights: Mapping[str, int]
    outputs: Mapping[str, Ref]
    categories: tuple[str, ...] = ()
    """For each slot, which part of the ledger its bytes belong to."""
    turn: int | None = None
    """Where the code of the backward pass begins, in a program whose two ways are run apart."""
    forks: tuple[Fork, ...] = ()
    """Where loops run at once, for a batch of a few rows, by whoever can do so."""
    few: int = FEW
    """Of fewer rows than this."""
    plain: Program | None = None
    """The program as it was before kernels took parts of it, for who may have to do without them."""

    @property
    def ways(self) -> tuple[tuple[Code, ...], ...]:
        """The code in the pieces that are run apart."""
        return (self.code,) if self.turn is None else (self.code[: self.turn], self.code[self.turn :])

    def forked(self, sizes: Mapping[str, int]) -> tuple[Fork, ...]:
        """Where loops may run at once: what they write is then alive at once. With rows enough for all threads that
        would take memory for nothing."""
        return self.forks if self.forks and sizes[BATCH] < self.few else ()

    @property
    def steps(self) -> Iterator[Step]:
        return steps_of(self.code)

    @property
    def axes(self) -> frozenset[str]:
        """Those of slots and of loops: along the axis of an inner loop there may be no slot."""
        walked = {repeat.axis for repeat in repeats_of(self.code)}
        return frozenset(walked.union(*(slot.type.axes for slot in self.slots)))


def steps_of(code: tuple[Code, ...]) -> Iterator[Step]:
    """Every step, those inside repeats once."""
    for item in code:
        if isinstance(item, Step):
            yield item
        elif isinstance(item, Group):
            yield from item.steps
        else:
            yield from steps_of(item.body)
            yield from steps_of(item.rest)


def moments_of(code: Sequence[Code]) -> Iterator[Step | Group]:
    """Everything that is done at once, those inside repeats once."""
    for item in code:
        if isinstance(item, Repeat):
            yield from moments_of(item.body)
            yield from moments_of(item.rest)
        else:
            yield item


def repeats_of(code: Sequence[Code]) -> Iterator[Repeat]:
    """Every loop, outer ones before inner ones."""
    for item in code:
        if isinstance(item, Repeat):
            yield item
            yield from repeats_of(item.body)


def groups_of(code: Sequence[Code]) -> Iterator[Group]:
    """Every group, those inside repeats once."""
    return (moment for moment in moments_of(code) if isinstance(moment, Group))


def gradients_made(program: Program) -> list[tuple[int, tuple[str, ...]]]:
    """Behind so many items of the code these gradients are there."""
    ends = enumerate(program.code, 1)
    last = {ref.slot: end for end, item in ends for moment in moments_of((item,)) for ref in moment.outs}
    found = dict[int, tuple[str, ...]]()
    for name, ref in program.outputs.items():
        if program.categories[ref.slot] == "gradients":
            found[last[ref.slot]] = (*found.get(last[ref.slot], ()), name)
    return sorted(found.items())


def watched(code: Sequence[Code]) -> Iterator[int]:
    """The slots that loops look at to see which steps to leave out."""
    return (ref.slot for repeat in repeats_of(code) for ref in repeat.looks)


def places(item: Code) -> int:
    """How many places of the program's order an item takes: a loop those inside it and one for its end, others one."""
    return 1 + sum(places(inner) for inner in (*item.body, *item.rest)) if isinstance(item, Repeat) else 1
