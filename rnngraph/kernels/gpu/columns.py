"""A loop of one chain as one kernel: a thread takes an entry of a row through all steps.

Nobody reads what another thread writes, so states stay in registers, and what comes from far memory for the next steps
is asked for before the steps at hand are done. Where rows end there are two chains, one for the rows that go on and one
for the others.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import prod

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain, Operand
from rnngraph.kernels.gpu.chains import computed, offset, places
from rnngraph.kernels.gpu.expressions import TYPES
from rnngraph.kernels.gpu.loops import Loop, loop_of
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import Elementwise
from rnngraph.planning.program import Entry, Group, Ref, Repeat, Ring, Slot, Turn, groups_of

UNROLLED = 8
"""Steps whose inputs are asked for at once."""


@dataclass(frozen=True)
class State:
    """What a thread hands on from step to step: the view and the layout in which it is read, which operands it is of
    the chain of each group, and which value of that chain is the next one."""

    ref: Ref
    operand: Operand
    operands: tuple[frozenset[int], ...]
    values: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """A loop in which every entry goes its own way: a group for all rows, or one for those that go on and one for the
    others. All its steps are run."""

    loop: Loop
    groups: tuple[Group, ...]
    states: tuple[State, ...]

    @property
    def repeat(self) -> Repeat:
        return self.loop.repeat

    @property
    def chains(self) -> tuple[Chain, ...]:
        return tuple(group.kernel.chain for group in self.groups)

    @property
    def entries(self) -> int:
        """Entries of a row."""
        return prod(self.chains[0].dims)

    def state(self, group: int, operand: int) -> int | None:
        """The number of the state that an operand of a group is."""
        return next((n for n, s in enumerate(self.states) if operand in s.operands[group]), None)

    def moves(self, ref: Ref) -> bool:
        """Whether a view is another at each step."""
        return any(isinstance(e, Turn | Ring) and e.loop == self.repeat.loop for e in ref.index)

    def written(self, slot: int) -> bool:
        return any(ref.slot == slot for group in self.groups for ref in group.outs)


def column_of(repeat: Repeat, slots: Sequence[Slot], elsewhere: Container[int]) -> Column | None:
    """A loop whose groups all have kernels as a column; None where it is another. `elsewhere` are the slots that are
    read outside of it."""
    loop = loop_of(_to_the_end(repeat, elsewhere), slots)
    body = loop.repeat.body
    if loop.repeat.looks or loop.meetings.blocks:
        return None
    groups = [g for g in body if isinstance(g, Group) and isinstance(g.kernel, Elementwise)]
    if len(groups) != len(body) or any(g.kernel.axes != (BATCH,) for g in groups):
        return None
    groups.sort(key=lambda group: group.part)
    if [g.part for g in groups] == ["live", "past"]:
        live, past = groups
        if live.ins[-1].key != past.ins[-1].key or live.kernel.chain.dims != past.kernel.chain.dims:
            return None
    elif [g.part for g in groups] != [""]:
        return None
    return Column(loop, tuple(groups), tuple(_states(loop.repeat, groups)))


def _to_the_end(repeat: Repeat, elsewhere: Container[int]) -> Repeat:
    """The loop that does not look whether it is over for every row, where that is all it finds out by looking: steps
    behind the end change no state."""
    if repeat.until is None:
        return repeat
    looked = repeat.until.slot
    body = tuple(g for g in repeat.body if not (isinstance(g, Group) and {ref.slot for ref in g.outs} == {looked}))
    read = any(ref.slot == looked for group in groups_of(body) for ref in group.ins)
    return repeat if read or looked in elsewhere else replace(repeat, body=body, until=None, rest=())


def _states(repeat: Repeat, groups: Sequence[Group]) -> list[State]:
    found = dict[tuple[tuple[object, ...], Operand], Ref]()
    for group in groups:
        for ref, operand in zip(group.operands, group.kernel.chain.loads, strict=True):
            found.setdefault((_now(ref, repeat), operand), ref)
    states = []
    for (now, operand), ref in found.items():
        values = [_next_value(repeat, group, now, operand) for group in groups]
        made = tuple(value for value in values if value is not None)
        if len(made) == len(groups):
            reads = tuple(frozenset(_operands(repeat, group, now, operand)) for group in groups)
            states.append(State(ref, operand, reads, made))
    return states


def _operands(repeat: Repeat, group: Group, now: object, operand: Operand) -> list[int]:
    reads = zip(group.operands, group.kernel.chain.loads, strict=True)
    return [i for i, (ref, load) in enumerate(reads) if load == operand and _now(ref, repeat) == now]


def _next_value(repeat: Repeat, group: Group, now: object, operand: Operand) -> int | None:
    """The value that a group writes to where the next step reads this operand."""
    stores = zip(group.outs, group.kernel.chain.stores, strict=True)
    found = (v for ref, (v, store) in stores if store == operand and _next(ref, repeat) == now)
    return None if operand.table else next(found, None)


def _now(ref: Ref, repeat: Repeat) -> tuple[object, ...]:
    """What a view shows, as something that can be compared."""
    return (ref.slot, *(_place(entry, repeat, 0) for entry in ref.index))


def _next(ref: Ref, repeat: Repeat) -> tuple[object, ...]:
    """What a view has to show at the next step for it to be what this one shows now."""
    return (ref.slot, *(_place(entry, repeat, 1) for entry in ref.index))


def _place(entry: Entry, repeat: Repeat, ahead: int) -> object:
    if isinstance(entry, Turn) and entry.loop == repeat.loop:
        return "turn", entry.offset + (ahead if repeat.reverse else -ahead)
    if isinstance(entry, Ring) and entry.loop == repeat.loop:
        return "ring", (entry.offset - ahead) % 2
    return (entry.start, entry.stop) if isinstance(entry, slice) else entry


# --- text --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """The pieces that a kernel of a column is put together from. States are called `c0`, `c1` ..."""

    column: Column
    views: Views

    @property
    def size(self) -> str:
        return self.views.names[self.column.repeat.axis]

    @property
    def counter(self) -> str:
        return f"k{self.column.repeat.loop}"

    def place(self, counter: str) -> str:
        """The statement that tells the place on the axis at a step."""
        return f"const Int t{self.column.repeat.loop} = {f'{self.size} - 1 - ' * self.column.repeat.reverse}{counter};"

    def before(self) -> list[str]:
        """What is there before the first step: states, and what is the same at all steps."""
        states = [
            f"{TYPES[s.operand.dtype]} c{n} = {self.load(s.ref, s.operand)};" for n, s in enumerate(self.column.states)
        ]
        return [f"const Int {self.counter} = 0;", self.place("0"), *places(self.column.chains[0].dims), *states, *(
            f"{self.kind(operand)} {name} = {self.load(ref, operand)};"
            for name, ref, operand, once in self.loads() if once
        )]  # fmt: skip

    def loads(self) -> list[tuple[str, Ref, Operand, bool]]:
        """What is read beside states: its name, and whether it is the same at all steps."""
        return [
            (f"x{g}_{i}", ref, operand, not self.column.moves(ref) and not self.column.written(ref.slot))
            for g, group in enumerate(self.column.groups)
            for i, (ref, operand) in enumerate(zip(group.operands, group.kernel.chain.loads, strict=True))
            if self.column.state(g, i) is None
        ]

    def kind(self, operand: Operand) -> str:
        return f"const {TYPES[operand.dtype]}{'*' * operand.table}"

    def load(self, ref: Ref, operand: Operand) -> str:
        start = f"{self.views.start(ref)} + {offset(operand)}"
        return f"p{ref.slot} + {start}" if operand.table else f"p{ref.slot}[{start}]"

    def step(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """A step, from the statements of each group."""
        loads = [f"{self.kind(o)} {name} = {self.load(ref, o)};" for name, ref, o, once in self.loads() if not once]
        if len(groups) == 1:
            return [*loads, *groups[0]]
        mask = self.column.groups[0].ins[-1]
        live, past = ([f"  {line}" for line in lines] for lines in groups)
        asked = f"const bool live = p{mask.slot}[{self.views.start(mask)} + row];"
        return [asked, *loads, "if (live) {", *live, "} else {", *past, "}"]

    def computed(self, group: int) -> tuple[list[str], list[str]]:
        """The statements of a group, and the names of its values."""
        chain = self.column.chains[group]
        states = [self.column.state(group, i) for i in range(len(chain.loads))]
        return computed(chain, [f"x{group}_{i}" if n is None else f"c{n}" for i, n in enumerate(states)])

    def whole(self, group: int, kept: str = "", at_last: str = "") -> list[str]:
        """All that a group does at a step; its results are written where a condition holds, those that are the same
        at all steps where another one does."""
        lines, values = self.computed(group)
        one = self.column.groups[group]
        for ref, (value, store) in zip(one.outs, self.column.chains[group].stores, strict=True):
            turns = any(isinstance(e, Turn) and e.loop == self.column.repeat.loop for e in ref.index)
            lines.append(f"{kept if turns else at_last}{self.load(ref, store)} = {values[value]};")
        return [*lines, *self.handed_on(group, values)]

    def handed_on(self, group: int, values: Sequence[str]) -> list[str]:
        return [f"c{n} = {values[state.values[group]]};" for n, state in enumerate(self.column.states)]


def write(column: Column, views: Views, parameters: str, name: str) -> str:
    """The kernel in which a thread walks through all steps; `parameters` are those of every kernel of a loop."""
    text = Text(column, views)
    k, size, entries = text.counter, text.size, column.entries
    step = [text.place(k), *text.step([text.whole(g) for g in range(len(column.groups))])]
    return f"""
extern "C" __global__ void __launch_bounds__(THREADS)
{name}({parameters}) {{
  const Int i = Int(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= {views.names[BATCH]} * {entries} || {size} == 0) return;
  const Int row = i / {entries}, inner = row, outer = 0;
  const int e = int(i % {entries});
  {lines(text.before(), 2)}
#pragma unroll {UNROLLED}
  for (Int {k} = 0; {k} < {size}; ++{k}) {{
    {lines(step, 4)}
  }}
}}
"""


def lines(statements: Sequence[str], depth: int) -> str:
    return ("\n" + " " * depth).join(statements)
