"""A loop of one chain as one kernel: a thread takes an entry of a row through all steps.

Nobody reads what another thread writes, so states stay in registers, and what several steps read from far memory is
asked for before the first of them is done. Where rows end there are two chains, one for the rows that go on and one
for the others.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cached_property
from math import prod
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain, Operand
from rnngraph.kernels.gpu.chains import computed, offset, places
from rnngraph.kernels.gpu.expressions import TYPES
from rnngraph.kernels.gpu.persistent_loops import Loop, loop_of, parameters
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import Elementwise
from rnngraph.planning.program import Entry, Group, Ref, Repeat, Ring, Slot, Turn, groups_of

MOST, WORDS, LEFT = 32, 64, 8
"""The most steps whose inputs are asked for at once, and how many registers these may take; the most of those that are
left at the end."""


class State(Struct, frozen=True):
    """What a thread hands on from step to step: the view and the layout in which it is read, which operands it is of
    the chain of each group, and which value of that chain is the next one."""

    ref: Ref
    operand: Operand
    operands: tuple[frozenset[int], ...]
    values: tuple[int, ...]


class Recurrence(Struct, frozen=True):
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
    def masked(self) -> bool:
        """Whether rows end."""
        return len(self.groups) > 1

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

    def stays(self, ref: Ref) -> bool:
        """Whether what a step writes here is written over by a later one."""
        return not any(isinstance(e, Turn) and e.loop == self.repeat.loop for e in ref.index)

    def written(self, slot: int) -> bool:
        return any(ref.slot == slot for group in self.groups for ref in group.outs)


def recurrence_of(repeat: Repeat, slots: Sequence[Slot], elsewhere: Container[int]) -> Recurrence | None:
    """A loop whose groups all have kernels as a recurrence; None where it is another. `elsewhere` are the slots that
    are read outside of it."""
    walked = _to_the_end(repeat, elsewhere)
    groups = [g for g in walked.body if isinstance(g, Group) and isinstance(g.kernel, Elementwise)]
    groups.sort(key=lambda group: group.part)
    if walked.looks or len(groups) != len(walked.body) or not _one_for_each_row(groups):
        return None
    loop = loop_of(walked, slots)
    return None if loop.meetings.blocks else Recurrence(loop, tuple(groups), tuple(_states(walked, groups)))


def _one_for_each_row(groups: Sequence[Group]) -> bool:
    """Whether it is one group for all rows, or one for the live ones and one for those past their end."""
    if any(group.kernel.axes != (BATCH,) for group in groups):
        return False
    if [group.part for group in groups] != ["live", "past"]:
        return [group.part for group in groups] == [""]
    live, past = groups
    return live.ins[-1].key == past.ins[-1].key and live.kernel.chain.dims == past.kernel.chain.dims


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


class Load(NamedTuple):
    """An operand that is no state: what it is called, and when it is read: `once` for all steps, `ahead` of the steps
    that are done together, or in its own `step`, where steps before may have written it."""

    name: str
    ref: Ref
    operand: Operand
    when: Literal["once", "ahead", "step"]


class Text(Struct, frozen=True, dict=True):
    """The pieces that a kernel of a recurrence is put together from. States are called `c0`, `c1` ..., what a step
    reads `in`."""

    recurrence: Recurrence
    views: Views

    @property
    def size(self) -> str:
        return self.views.names[self.recurrence.repeat.axis]

    @property
    def counter(self) -> str:
        return f"k{self.recurrence.repeat.loop}"

    @property
    def place(self) -> str:
        """The statement that tells the place on the axis at a step."""
        repeat = self.recurrence.repeat
        return f"const Int t{repeat.loop} = {f'{self.size} - 1 - ' * repeat.reverse}{self.counter};"

    @cached_property
    def loads(self) -> list[Load]:
        return [
            Load(f"x{g}_{i}", ref, operand, self.when(ref))
            for g, group in enumerate(self.recurrence.groups)
            for i, (ref, operand) in enumerate(zip(group.operands, group.kernel.chain.loads, strict=True))
            if self.recurrence.state(g, i) is None
        ]

    def when(self, ref: Ref) -> Literal["once", "ahead", "step"]:
        if self.recurrence.written(ref.slot):
            return "step"
        return "ahead" if self.recurrence.moves(ref) else "once"

    @property
    def ahead(self) -> list[Load]:
        return [load for load in self.loads if load.when == "ahead"]

    @property
    def together(self) -> int:
        """Steps whose inputs are asked for at once."""
        words = sum(1 if load.operand.dtype in ("float32", "bool") else 2 for load in self.ahead)
        return max(2, min(MOST, WORDS // max(1, words)))

    def before(self) -> list[str]:
        """What stands before the first step: states, what is the same at all steps, and what asks for the inputs of a
        step."""
        known = enumerate(self.recurrence.states)
        states = [self.state(n) + f" c{n} = {self.load(s.ref, s.operand)};" for n, s in known]
        once = [f"{self.kind(o)} {name} = {self.load(ref, o)};" for name, ref, o, when in self.loads if when == "once"]
        kinds = [f"{self.kind(load.operand, '')} {load.name};" for load in self.ahead]
        values = [self.load(load.ref, load.operand) for load in self.ahead]
        if self.recurrence.masked:
            mask = self.recurrence.groups[0].ins[-1]
            kinds.append("bool live;")
            values.append(f"p{mask.slot}[{self.views.start(mask)} + row]")
        return [
            *places(self.recurrence.chains[0].dims), f"const Int {self.counter} = 0;", self.place, *states, *once,
            f"struct Inputs {{ {' '.join(kinds)} }};",
            f"auto inputs = [&](Int {self.counter}) {{ {self.place} return Inputs{{{', '.join(values)}}}; }};",
        ]  # fmt: skip

    def state(self, n: int) -> str:
        return TYPES[self.recurrence.states[n].operand.dtype]

    def kind(self, operand: Operand, constant: str = "const ") -> str:
        return f"{'const ' if operand.table else constant}{TYPES[operand.dtype]}{'*' * operand.table}"

    def load(self, ref: Ref, operand: Operand) -> str:
        start = f"{self.views.start(ref)} + {offset(operand)}"
        return f"p{ref.slot} + {start}" if operand.table else f"p{ref.slot}[{start}]"

    def step(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """A step, from the statements of each group."""
        late = [f"{self.kind(o)} {name} = {self.load(ref, o)};" for name, ref, o, when in self.loads if when == "step"]
        if not self.recurrence.masked:
            return [self.place, *late, *groups[0]]
        live, past = ([f"  {line}" for line in lines] for lines in groups)
        return [self.place, *late, "if (in.live) {", *live, "} else {", *past, "}"]

    def computed(self, group: int) -> tuple[list[str], list[str]]:
        """The statements of a group, and the names of its values."""
        ahead, chain = {load.name for load in self.ahead}, self.recurrence.chains[group]
        names = [f"x{group}_{i}" for i in range(len(chain.loads))]
        states = [self.recurrence.state(group, i) for i in range(len(chain.loads))]
        loads = [
            f"c{n}" if n is not None else f"{'in.' * (name in ahead)}{name}"
            for name, n in zip(names, states, strict=True)
        ]
        return computed(chain, loads)

    def whole(self, group: int, kept: str = "", at_last: str = "") -> list[str]:
        """All that a group does at a step; its results are written where a condition holds, those that later steps
        write over where another one does."""
        statements, values = self.computed(group)
        one = self.recurrence.groups[group]
        for ref, (value, store) in zip(one.outs, self.recurrence.chains[group].stores, strict=True):
            when = at_last if self.recurrence.stays(ref) else kept
            statements.append(f"{when}{self.load(ref, store)} = {values[value]};")
        return [*statements, *self.handed_on(group, values)]

    def handed_on(self, group: int, values: Sequence[str]) -> list[str]:
        return [f"c{n} = {values[state.values[group]]};" for n, state in enumerate(self.recurrence.states)]

    def loop(self, first: str, end: str, does: str, unless: str = "", then: str = "") -> list[str]:
        """A loop over steps, several together; what is left in fewer, as the last of them may be behind the end. `does`
        says what is done at a step of which the inputs are `{i}` and the number is `{k}`; `then` follows them, and the
        loop ends where `unless` holds."""
        k, going = self.counter, f"!{unless} && " * bool(unless)
        step, left = does.format(i="in[j]", k=f"{k} + j"), min(LEFT, self.together)
        return [
            f"Int {k} = {first};",
            f"for (; {going}{k} + {self.together} <= {end}; {k} += {self.together}) {{",
            *_together(self.together, f"inputs({k} + j)", step, then),
            "}",
            f"for (; {going}{k} < {end}; {k} += {left}) {{",
            *_together(left, f"inputs(least({k} + j, {end} - 1))", f"if ({k} + j < {end}) {{ {step} }}", then),
            "}",
        ]


def _together(count: int, asked: str, step: str, then: str) -> list[str]:
    return [
        f"  Inputs in[{count}];",
        "#pragma unroll",
        f"  for (int j = 0; j < {count}; ++j) in[j] = {asked};",
        "#pragma unroll",
        f"  for (int j = 0; j < {count}; ++j) {{ {step} }}",
        *([f"  {then}"] if then else []),
    ]


class Walk(Struct):
    """The function in which a thread walks through all steps of an entry. One block of a processor is enough: with
    more, there would be no registers for what is asked for at once."""

    recurrence: Recurrence
    views: Views
    told = ("blocks",)
    alone = True
    cluster = 1

    @property
    def loop(self) -> Loop:
        return self.recurrence.loop

    def text(self, name: str) -> str:
        recurrence, views, text = self.recurrence, self.views, Text(self.recurrence, self.views)
        entries, states = recurrence.entries, range(len(recurrence.states))
        step = text.step([text.whole(g) for g in range(len(recurrence.groups))])
        taken = "".join(f", {text.state(n)}& c{n}" for n in states)
        does = f"step({{i}}, {{k}}{''.join(f', c{n}' for n in states)});"
        return f"""
__device__ __forceinline__ void {name}({parameters([self.loop], views, alone=True)}, Int blocks, Int block) {{
  const Int i = block * blockDim.x + threadIdx.x;
  if (i >= {views.names[BATCH]} * {entries} || {text.size} == 0) return;
  const Int row = i / {entries}, inner = row, outer = 0;
  const int e = int(i % {entries});
  {lines(text.before(), 2)}
  auto step = [&](const Inputs& in, Int {text.counter}{taken}) {{
    {lines(step, 4)}
  }};
  {{
    {lines(text.loop("0", text.size, does), 4)}
  }}
}}
"""


def lines(statements: Sequence[str], depth: int) -> str:
    return ("\n" + " " * depth).join(statements)
