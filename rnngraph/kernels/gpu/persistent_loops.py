"""A whole loop as one kernel: blocks stay for all steps, keep their part of the matrices near, and meet where one reads
what others have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Protocol

from msgspec import Struct

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu.barriers import Meetings, meetings, threads_meet
from rnngraph.kernels.gpu.cluster_shared_memory import Handovers, handovers_of, moving
from rnngraph.kernels.gpu.functions import SHARED, Functions, blocks_of, entries_of, masked_by
from rnngraph.kernels.gpu.loop_partitioning import Factor, Facts, LoopShape
from rnngraph.kernels.gpu.ownership import first_of
from rnngraph.kernels.gpu.replication import BYTES, NO_COPIES, Copies, copies_of
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import AlongRow, ColumnSums, Elementwise, Kernel, Product, Sums
from rnngraph.planning.program import (
    ALL,
    Code,
    Group,
    Ref,
    Repeat,
    Ring,
    Slot,
    Turn,
    groups_of,
    moments_of,
    repeats_of,
    watched,
)

LINE = 32
"""Numbers of a team's own line of memory: the first counts the meetings of its blocks."""


class Loop(Struct, frozen=True):
    """A loop that can be one kernel: the units of each group by identity, what each block computes for itself, what
    the blocks of a cluster hand over, and where blocks meet."""

    repeat: Repeat
    units: Mapping[int, int]
    copies: Copies
    handovers: Handovers
    meetings: Meetings

    @property
    def slots(self) -> list[int]:
        """The slots that it touches, in order."""
        found = {ref.slot for group in groups_of((self.repeat,)) for ref in group.refs}
        return sorted(found.union(watched((self.repeat,))))

    @property
    def around(self) -> list[int]:
        """The loops around it that its views move with."""
        own = {r.loop for r in repeats_of((self.repeat,))}
        refs = [ref for group in groups_of((self.repeat,)) for ref in group.refs]
        refs += [ref for repeat in repeats_of((self.repeat,)) for ref in repeat.looks]
        return sorted({e.loop for ref in refs for e in ref.index if isinstance(e, Turn | Ring)} - own)

    def fixed(self, matrix: Ref) -> bool:
        """Whether a matrix is the same at all steps."""
        written = {ref.slot for group in groups_of((self.repeat,)) for ref in group.outs}
        return matrix.slot not in written and not any(isinstance(e, Turn | Ring) for e in matrix.index)

    def facts(self) -> Facts:
        groups = list(groups_of((self.repeat,)))
        factors = [
            Factor(
                id(g), g.kernel.terms, self.units[id(g)], g.kernel.width // self.units[id(g)], self.fixed(g.ins[1]),
                self.handovers.rows.get(id(g), "far"),
            )
            for g in groups if isinstance(g.kernel, Product)
        ]  # fmt: skip
        operations = sum(
            entries_of(g.kernel) * len(g.kernel.chain.operations) for g in groups if isinstance(g.kernel, Elementwise)
        )
        widest = max(self.units.values(), default=1)
        alone = not all(of_rows(g.kernel) for g in groups)
        copied = len(self.copies.slots) * BYTES
        near, moved = self.handovers.near, self.handovers.moved
        return Facts(tuple(factors), operations, len(self.meetings.blocks), widest, alone, copied, near, moved)


def why_not(item: Repeat, slots: Sequence[Slot]) -> str:
    """Why a loop cannot be one kernel; "" where it can."""
    for moment in moments_of((item,)):
        if not isinstance(moment, Group):
            return f"`{moment.node.op.name}` has no kernel"
    for repeat in repeats_of((item,)):
        if not all(_of_rows(ref, slots[ref.slot]) for ref in repeat.looks):
            return "it ends by something that is not told row by row"
    return ""


def of_rows(kernel: Kernel) -> bool:
    """Whether rows of the batch are nothing to each other: teams need not know of other teams."""
    return isinstance(kernel, SHARED) and kernel.axes[-1:] == (BATCH,)


def _of_rows(ref: Ref, slot: Slot) -> bool:
    """Whether a view has one entry for each row of the batch."""
    left = [name for name, e in zip(slot.type.axes, ref.index[slot.ring :], strict=False) if isinstance(e, slice)]
    return left == [BATCH] and not slot.type.shape


def loop_of(repeat: Repeat, slots: Sequence[Slot], copying: bool = True) -> Loop:
    """What there is to know of a loop. Where its blocks are not `copying`, a number of a row is one block's to compute:
    copies for many rows have no room."""
    units = _units(repeat)
    copies = copies_of(repeat, slots) if copying else NO_COPIES
    handovers = handovers_of(repeat, slots, units, copies)
    far, near = (meetings(repeat, slots, units, copies, handed) for handed in (Handovers(), handovers))
    if len(near.blocks) > len(far.blocks):
        return Loop(repeat, units, copies, Handovers(), far)
    return Loop(repeat, units, copies, handovers, near)


def _units(repeat: Repeat) -> dict[int, int]:
    """The units of each group. A vector of several gates is cut as one of them is, so that what a unit needs of it is
    with the block that has the unit; and a product as the chain that reads it."""
    groups = list(groups_of((repeat,)))
    chains = [g for g in groups if isinstance(g.kernel, Elementwise)]
    sizes = sorted({entries_of(g.kernel) for g in chains})
    found = {id(g): _gate(entries_of(g.kernel), sizes) for g in chains}
    for group in groups:
        if isinstance(group.kernel, Product):
            width, made = group.kernel.width, group.outs[0].slot
            read = [found[id(g)] for g in chains if any(ref.slot == made for ref in g.ins)]
            found[id(group)] = next((n for n in read if width % n == 0 and 8 * n >= width), width)
        elif isinstance(group.kernel, ColumnSums):
            found[id(group)] = _gate(group.kernel.width, sizes)
    return {id(g): found.get(id(g), 1) for g in groups}


def _gate(size: int, sizes: Sequence[int]) -> int:
    """The smallest vector of which one of so many entries can be a few gates."""
    return next((n for n in sizes if n >= 8 and size % n == 0 and 8 * n >= size), size)


def slots_of(loops: Sequence[Loop]) -> list[int]:
    """The slots that loops touch, in order."""
    return sorted({slot for loop in loops for slot in loop.slots})


def parameters(loops: Sequence[Loop], views: Views, alone: bool = False) -> str:
    """What the kernel of loops is told: slots, places of the loops around, sizes, and where blocks count who has come.
    Where a thread is `alone`, no two slots are known to it under two names."""
    written = {ref.slot for group in groups_of([loop.repeat for loop in loops]) for ref in group.outs}
    own = slots_of(loops)
    kinds = {s: f"{'const ' * (s not in written)}{views.kind(s)}*{' __restrict__' * alone}" for s in own}
    slots = ", ".join(f"{kinds[s]} p{s}" for s in own)
    around = "".join(f"Int t{n}, Int k{n}, " for loop in loops for n in loop.around)
    sizes = ", ".join(f"Int {size}" for size in views.names.values())
    return f"{slots}, {around}{sizes}, Int steps_of_unit, unsigned* counts"


class Function(Protocol):
    """A loop as a function of the number of a block."""

    @property
    def loop(self) -> Loop:
        """Which loop."""

    @property
    def told(self) -> tuple[str, ...]:
        """The numbers that it is told of its shape; `blocks` is how many blocks it has."""

    @property
    def alone(self) -> bool:
        """Whether its threads need nothing of each other."""

    @property
    def cluster(self) -> int:
        """Blocks that are launched as a cluster."""

    def text(self, name: str) -> str:
        """The function: its parameters are those of a kernel, what it is told, and the number of a block."""


def kernel(name: str, functions: Sequence[Function], views: Views) -> str:
    """A kernel whose blocks do a loop, or are shared out among several that need nothing of each other."""
    numbered = [(f"{name}_{i}", i, function) for i, function in enumerate(functions)]
    told = ", ".join(f"Int {number}{i}" for _, i, function in numbered for number in function.told)
    texts = "".join(function.text(own) for own, _, function in numbered)
    calls = "\n".join(f"  {line}" for told in numbered for line in _called(*told, views))
    cluster, alone = max(f.cluster for f in functions), all(f.alone for f in functions)
    parts = f" __cluster_dims__({cluster}, 1, 1)" if cluster > 1 else ""
    return f"""{texts}
extern "C" __global__ void{parts} __launch_bounds__(THREADS, 1)
{name}({parameters([function.loop for function in functions], views, alone)}, {told}) {{
  Int block = blockIdx.x;
{calls}
}}
"""


def _called(name: str, i: int, function: Function, views: Views) -> Iterator[str]:
    """The call of the loop number i: the first blocks that are left are its own."""
    loop, told = function.loop, [f"{number}{i}" for number in function.told]
    around = [f"{kind}{n}" for n in loop.around for kind in "tk"]
    given = [*(f"p{slot}" for slot in loop.slots), *around, *views.names.values(), "steps_of_unit", "counts", *told]
    yield f"if (block < blocks{i}) return {name}({', '.join(given)}, block);"
    yield f"block -= blocks{i};"
    if "teams" in function.told:
        yield f"counts += teams{i} * {LINE};"


class Writer(Struct):
    """Writes the kernel of one loop for one shape."""

    loop: Loop
    functions: Functions
    shape: LoopShape
    told = "rows_each", "parts", "teams", "blocks"
    alone = False

    @property
    def views(self) -> Views:
        return self.functions.views

    @property
    def cluster(self) -> int:
        return self.shape.cluster

    @property
    def numbers(self) -> tuple[int, ...]:
        """What is `told`."""
        return self.shape.rows_each, self.shape.parts, self.shape.teams, self.shape.blocks

    def text(self, name: str) -> str:
        kind = self.views.kind_of_floats
        kept = "\n".join(f"  {line}" for line in self.kept())
        body = "\n".join(f"    {line}" for line in self.repeat(self.loop.repeat))
        batch = self.views.names[BATCH]
        handed = "\n".join(f"    {line}" for line in self.brought_near())
        told = ", ".join([parameters([self.loop], self.views), *(f"Int {number}" for number in self.told), "Int block"])
        return f"""
__device__ __forceinline__ void {name}({told}) {{
  {kind}* near = ({kind}*)dynamic_shared();
  unsigned char *copies = dynamic_shared() + {self.shape.copies}, *handed = dynamic_shared() + {self.shape.handed or 0};
  const int part = int(block % parts);
{kept}
  for (Int number = block / parts; number < teams; number += blocks / parts) {{
    Team team{{counts + number * {LINE}, unsigned(parts), 0}};
    const int row0 = int(number * rows_each), rows = int(least(rows_each, {batch} - row0));
{handed}
{body}
    {"cluster_barrier();" if self.hands_over else "__syncthreads();"}
  }}
}}
"""

    @property
    def hands_over(self) -> bool:
        """Whether blocks hand over in shared memory. No block of a cluster may send before all have begun, nor end, or
        go on to other rows, before all have sent."""
        return self.shape.handed is not None

    def brought_near(self) -> Iterator[str]:
        """What the first step of a loop finds handed over."""
        if not self.hands_over:
            return
        repeat, size = self.loop.repeat, self.views.names[self.loop.repeat.axis]
        for ref, lag in self.loop.handovers.states:
            shape = self.views.slots[ref.slot].type.shape
            whole = Ref(ref.slot, (*ref.index[: len(ref.index) - len(shape)], *(ALL,) * len(shape)))
            yield f"if ({size} > 0) {{"
            yield f"  const Int k{repeat.loop} = {lag}, {self.place(repeat)};"
            yield f"  bring_near({self.far(whole)}, {self.handed(whole)}, row0, rows, {prod(shape)});"
            yield "}"
        yield "cluster_barrier();"

    def kept(self) -> Iterator[str]:
        """Matrices that stay near for all steps."""
        batch, found = self.views.names[BATCH], False
        for group in groups_of((self.loop.repeat,)):
            tiles = self.shape.tiles.get(id(group))
            if tiles is not None and tiles.kept is not None:
                if not found:
                    yield f"const Share own{{{batch}, 0, 1, 0, 1, part, int(parts)}};"
                found = True
                matrix, units = self.far(group.ins[1]), self.loop.units[id(group)]
                yield self.functions.brought_near(group.kernel, units, matrix, tiles.kept)
        if found:
            yield "__syncthreads();"

    def repeat(self, repeat: Repeat) -> Iterator[str]:
        number, size = repeat.loop, self.views.names[repeat.axis]
        if repeat.looks:
            yield f"bool over{number} = {'false' if repeat.since is None else 'true'};"
        waves = f"{size} + {max(repeat.lags)}" if repeat.lags else size
        yield f"for (Int k{number} = 0; k{number} < {waves}; ++k{number}) {{"
        yield f"  const Int {self.place(repeat)};"
        if repeat.since is not None:
            yield f"  if (over{number}) {{"
            yield from _indented(_indented(self.vote(repeat, repeat.since)))
            yield "  }"
        if repeat.lags:
            yield from _indented(self.wave(repeat))
        elif not repeat.looks:
            yield from _indented(self.code(repeat.body))
        else:
            yield f"  if (!over{number}) {{"
            yield from _indented(_indented(self.code(repeat.body)))
            if repeat.until is not None:
                yield from _indented(_indented(self.vote(repeat, repeat.until)))
            yield "  } else {"
            yield from _indented(_indented(self.code(repeat.rest)))
            yield "  }"
        yield "}"
        if repeat is not self.loop.repeat:
            yield from self.without_steps(repeat)

    def without_steps(self, repeat: Repeat) -> Iterator[str]:
        """What a loop in the loop orders, where it has no steps: others count on it."""
        found, groups = self.loop.meetings, list(groups_of((repeat,)))
        keys = {*(id(group) for group in groups), *(("look", inner.loop) for inner in repeats_of((repeat,)))}
        if not found.blocks.isdisjoint(keys):
            yield f"if ({self.views.names[repeat.axis]} == 0) {self.met}"
        elif not found.threads.isdisjoint(keys) or any(map(threads_meet, groups)):
            yield f"if ({self.views.names[repeat.axis]} == 0) __syncthreads();"

    def place(self, repeat: Repeat) -> str:
        """The definition of the place on the axis."""
        number, size = repeat.loop, self.views.names[repeat.axis]
        return f"t{number} = {f'{size} - 1 - k{number}' if repeat.reverse else f'k{number}'}"

    def wave(self, repeat: Repeat) -> Iterator[str]:
        """A step of each layer, where it has one. All meet in all waves, the threads of a block too, as they do at the
        end of a product."""
        number, size = repeat.loop, self.views.names[repeat.axis]
        for group, lag in zip(repeat.body, repeat.lags, strict=True):
            assert isinstance(group, Group)
            yield from self.meeting(id(group))
            yield f"if (k{number} >= {lag} && k{number} < {size} + {lag}) {{"
            yield from _indented(self.group(group))
            yield "} else __syncthreads();" if threads_meet(group) else "}"

    def vote(self, repeat: Repeat, look: Ref) -> Iterator[str]:
        """Whether there is nothing to do for any row of the team."""
        yield from self.meeting(("look", repeat.loop))
        yield "bool all = true;"
        yield "for (int b = threadIdx.x; b < rows; b += THREADS)"
        yield f"  all = all && p{look.slot}[{self.views.start(look)} + row0 + b];"
        yield f"over{repeat.loop} = __syncthreads_and(all);"

    def meeting(self, key: object) -> Iterator[str]:
        if key in self.loop.meetings.blocks:
            yield self.met
        elif key in self.loop.meetings.threads:
            yield "__syncthreads();"

    @property
    def met(self) -> str:
        return "cluster_barrier();" if self.shape.clustered else "meet(team);"

    def code(self, code: Sequence[Code]) -> Iterator[str]:
        for item in code:
            if isinstance(item, Repeat):
                yield from self.repeat(item)
            else:
                assert isinstance(item, Group)
                yield from self.meeting(id(item))
                yield from self.group(item)

    def group(self, group: Group) -> Iterator[str]:
        kernel = group.kernel
        ins = [self.read(group, i) for i in range(len(group.ins))]
        outs = [self.far(ref) for ref in group.outs]
        mask = ins.pop() if group.part else "(const bool*)0"
        if id(group) in self.loop.copies.groups:
            yield from self.by_each(group, ins, outs, mask)
            return
        units, tiles = self.loop.units[id(group)], self.shape.tiles.get(id(group))
        if isinstance(kernel, ColumnSums):
            call = self.functions.own_columns(group, units, [*ins, *outs], mask)
        else:
            call = self.functions.call(group, units, [*ins, *outs], mask, tiles, self.sent(group))
        if isinstance(kernel, Sums):
            yield f"for (int block = part; block < {blocks_of(kernel)}; block += int(parts)) {{ {call} }}"
            return
        outers = f"int({self.views.size(kernel.axes[:-1])})"
        last = self.views.size(kernel.axes[-1:])
        rows = "row0, rows" if of_rows(kernel) else f"0, int({last})"
        yield f"{{ const Share s{{{last}, {rows}, 0, {outers}, part, int(parts)}}; {call} }}"

    def by_each(self, group: Group, ins: list[str], outs: list[str], mask: str) -> Iterator[str]:
        """What every block computes for itself; the first of a team also writes the slots."""
        near = [self.near(ref) for ref in group.outs]
        yield f"{{ const Share s{{{self.views.names[BATCH]}, row0, rows, 0, 1, 0, 1}};"
        yield f"  {self.functions.call(group, entries_of(group.kernel), [*ins, *near], mask)}"
        if isinstance(group.kernel, AlongRow):
            yield f"  if (part == 0) {{ {self.functions.call(group, 1, [*ins, *outs], mask)} }} }}"
            return
        copies = [
            f"handed_on(s, {copy}, {slot}, {masked_by(group, mask)});" for copy, slot in zip(near, outs, strict=True)
        ]
        yield f"  if (part == 0) {{ {' '.join(copies)} }} }}"

    def read(self, group: Group, i: int) -> str:
        if (id(group), i) in self.loop.copies.reads:
            return self.near(group.ins[i])
        return self.handed(group.ins[i]) if self.from_near(group, i) else self.far(group.ins[i])

    def from_near(self, group: Group, i: int) -> bool:
        """Whether an operand has been handed over near."""
        return self.hands_over and (id(group), i) in self.loop.handovers.reads

    def sent(self, group: Group) -> dict[int, str]:
        """Where results of a group lie near, by number: those that are stored there in all blocks of the cluster."""
        sent = self.loop.handovers.sent if self.hands_over else ()
        return {i: self.handed(ref) for i, ref in enumerate(group.outs) if (id(group), i) in sent}

    def far(self, ref: Ref) -> str:
        return f"p{ref.slot} + {self.views.start(ref)}"

    def near(self, ref: Ref) -> str:
        """The block's copy, as if it began with the first row of the batch."""
        at = f"copies + rows_each * {self.loop.copies.slots[ref.slot] * BYTES}"
        return f"(({self.views.kind(ref.slot)}*)({at}) - row0)"

    def handed(self, ref: Ref) -> str:
        """What is handed over of a slot, as if it began with the first row of the batch."""
        slot, step = self.views.slots[ref.slot], moving(ref)
        row = prod(slot.type.shape)
        at = f"(({self.views.kind(ref.slot)}*)handed + rows_each * {self.loop.handovers.places[ref.slot]}"
        turn = "" if step is None else f" + ({self.views.place(step, '')} & 1) * rows_each * {row}"
        return f"{at}{turn} - row0 * {row} + {first_of(ref, slot)})"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)

