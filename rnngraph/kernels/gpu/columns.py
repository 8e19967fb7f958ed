"""A loop of one chain as one kernel: a thread takes an entry of a row through all steps.

Nobody reads what another thread writes, so states stay in registers, and what comes from far memory for the next steps
is asked for before the steps at hand are done.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu.chains import entry, offset, places
from rnngraph.kernels.gpu.expressions import TYPES
from rnngraph.kernels.gpu.loops import Loop
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import Elementwise
from rnngraph.planning.program import Entry, Group, Ref, Repeat, Ring, Turn

UNROLLED = 8
"""Steps whose inputs are asked for at once."""


def column_of(loop: Loop) -> Group | None:
    """The one chain of a loop in which every entry goes its own way; None where the loop is another."""
    repeat = loop.repeat
    if len(repeat.body) != 1 or repeat.looks or loop.meetings.blocks:
        return None
    (group,) = repeat.body
    if not isinstance(group, Group) or not isinstance(group.kernel, Elementwise) or group.part:
        return None
    return group if group.kernel.axes == (BATCH,) else None


def write(loop: Loop, group: Group, views: Views, parameters: str, name: str) -> str:
    """The kernel; `parameters` are those of every kernel of a loop."""
    repeat, chain, size = loop.repeat, group.kernel.chain, views.names[loop.repeat.axis]
    t, k, entries = f"t{repeat.loop}", f"k{repeat.loop}", prod(chain.dims)
    carried = {i: j for i in range(len(group.ins)) if (j := _carrier(repeat, group, i)) is not None}
    once = {*carried, *(i for i in range(len(group.ins)) if not _moves(group, i, repeat.loop))}
    loads = [f"c{i}" if i in once else _load(group, i, views) for i in range(len(group.ins))]
    stores = zip(group.outs, chain.stores, strict=True)
    results = [f"p{ref.slot}[{views.start(ref)} + {offset(o)}]" for ref, (_, o) in stores]
    step = [*entry(chain, loads, results), *(f"c{i} = v{chain.stores[j][0]};" for i, j in carried.items())]
    before = [*places(chain.dims), *_once(group, views, once, set(carried))]
    return f"""
extern "C" __global__ void __launch_bounds__(THREADS)
{name}({parameters}) {{
  const Int i = Int(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= {views.names[BATCH]} * {entries} || {size} == 0) return;
  const Int row = i / {entries}, inner = row, outer = 0;
  const int e = int(i % {entries});
  const Int {k} = 0, {t} = {f"{size} - 1" if repeat.reverse else "0"};
  {_lines(before, 2)}
#pragma unroll {UNROLLED}
  for (Int {k} = 0; {k} < {size}; ++{k}) {{
    const Int {t} = {f"{size} - 1 - {k}" if repeat.reverse else k};
    {_lines(step, 4)}
  }}
}}
"""


def _lines(lines: list[str], depth: int) -> str:
    return ("\n" + " " * depth).join(lines)


def _load(group: Group, i: int, views: Views) -> str:
    ref, operand = group.ins[i], group.kernel.chain.loads[i]
    start = f"{views.start(ref)} + {offset(operand)}"
    return f"p{ref.slot} + {start}" if operand.table else f"p{ref.slot}[{start}]"


def _once(group: Group, views: Views, once: set[int], carried: set[int]) -> Iterator[str]:
    """What is loaded before the first step: states, and what is the same at all steps."""
    for i in sorted(once):
        operand = group.kernel.chain.loads[i]
        kind = f"{'' if i in carried else 'const '}{TYPES[operand.dtype]}{'*' * operand.table}"
        yield f"{kind} c{i} = {_load(group, i, views)};"


def _moves(group: Group, i: int, loop: int) -> bool:
    """Whether what is loaded is another at each step."""
    ref = group.ins[i]
    written = any(out.slot == ref.slot for out in group.outs)
    return written or any(isinstance(e, Turn | Ring) and e.loop == loop for e in ref.index)


def _carrier(repeat: Repeat, group: Group, i: int) -> int | None:
    """Which result is what this operand reads at the next step."""
    operand = group.kernel.chain.loads[i]
    for j, (ref, (_, store)) in enumerate(zip(group.outs, group.kernel.chain.stores, strict=True)):
        if store == operand and not operand.table and _next(ref, repeat) == _now(group.ins[i], repeat):
            return j
    return None


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
