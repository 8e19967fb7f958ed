"""The text of a program's kernels, and with what each is launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import inf, prod

from msgspec import Struct

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import Chain
from rnngraph.kernels.gpu import chains, chunked_scans, persistent_loops
from rnngraph.kernels.gpu.elementwise_recurrences import Recurrence, Walk, recurrence_of
from rnngraph.kernels.gpu.expressions import MIXED, TYPES
from rnngraph.kernels.gpu.functions import SHARED, Functions, Tiles, blocks_of, entries_of
from rnngraph.kernels.gpu.loop_partitioning import LoopShape, loop_shape, shapes_at_once
from rnngraph.kernels.gpu.target import THREADS, GpuTarget
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import BLOCK, AlongRow, ColumnSums, Ctc, Elementwise, Product, Scatter, Sums
from rnngraph.kernels.nests import Nest
from rnngraph.ops.summation_order import unit
from rnngraph.planning.program import BEFORE, Code, Fork, Group, Program, Ref, Repeat, moments_of

OPTIONS = ("--std=c++17", "--fmad=false")
"""Additions and multiplications are fused where the text says so, and nowhere else: bits must not depend on what the
compiler makes of the text around them."""

PART = 2048
"""Letters of kernels that are worth a module of their own, for which what every module begins with is compiled, too."""

EACH = 1024
"""Entries that a block computes at least, where it computes them one by one."""


@cache
def prelude() -> str:
    """What every module begins with."""
    return _written("barriers.cuh") + _written("prelude.cuh")


def _written(name: str) -> str:
    return files("rnngraph.kernels.gpu").joinpath(name).read_text("utf-8")


def update_text(chain: Chain, arrays: int, written: Sequence[int]) -> str:
    """A kernel `update(arrays..., numbers, entries)`: a chain over whole arrays of one size, whose results go into
    those of them that `written` numbers."""
    kind = TYPES[chain.dtype]
    loads = [f"a{i}[i]" for i in range(arrays)] + [f"numbers[{i}]" for i in range(len(chain.loads) - arrays)]
    body = "\n    ".join(chains.entry(chain, loads, [f"a{i}[i]" for i in written])[0])
    parameters = ", ".join(f"{kind}* a{i}" for i in range(arrays))
    return f"""{prelude()}
extern "C" __global__ void __launch_bounds__(THREADS) update({parameters}, const {kind}* numbers, Int entries) {{
  for (Int i = Int(blockIdx.x) * THREADS + threadIdx.x; i < entries; i += Int(gridDim.x) * THREADS) {{
    {body}
  }}
}}
"""


def cluster_text(blocks: int) -> str:
    """A kernel `room()` that does nothing, in clusters of so many blocks."""
    bounds = f"__cluster_dims__({blocks}, 1, 1) __launch_bounds__(THREADS, 1)"
    return f'{prelude()}\nextern "C" __global__ void {bounds} room() {{}}\n'


def squares_text(dtype: str) -> str:
    """A kernel `squares(array, sums, entries)`: of each `BLOCK` entries the sum of their squares, in float64."""
    return f"""{prelude()}
extern "C" __global__ void __launch_bounds__(THREADS) squares(const {TYPES[dtype]}* x, double* sums, Int entries) {{
  __shared__ double parts[WARPS];
  const Int first = Int(blockIdx.x) * {BLOCK}, end = least(first + {BLOCK}, entries);
  double sum = 0;
  for (Int i = first + threadIdx.x; i < end; i += THREADS) sum = plus_times(double(x[i]), double(x[i]), sum);
  sum = added_up(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {{
    double total = 0;
    for (int warp = 0; warp < WARPS; ++warp) total += parts[warp];
    sums[blockIdx.x] = total;
  }}
}}
"""


class Launch(Struct, frozen=True):
    """A kernel by name and its grid, the views that it is told (for a loop: whole slots), the numbers after the sizes,
    and bytes of near memory. Of a loop also the teams, and whether their blocks wait for each other in far memory."""

    name: str
    blocks: int
    views: tuple[Ref, ...]
    numbers: tuple[int, ...]
    bytes: int = 0
    teams: int = 0
    waits: bool = False
    cluster: int = 1
    """Blocks of a cluster, which wait for each other at its barrier."""
    around: tuple[int, ...] = ()
    """The loops around it whose places it is told."""
    threads: int = THREADS
    """Threads of a block."""
    borders: int = 0
    """Numbers that it keeps of the chunks of a loop while it runs."""


class Joined(Struct, frozen=True):
    """Loops of a fork that are one kernel; by the identity of each what it is by itself: its launch, and its shape in
    words."""

    fork: Fork
    apart: Mapping[int, tuple[Launch, str]]

    def in_order(self, code: Sequence[Code]) -> list[Code]:
        """The first items of the code, those of the fork, in the order in which they are called."""
        parts: dict[str, list[Code]] = {part: [] for part in ("before", "needed", "loops", "needing", "after")}
        passed = set[int]()
        for item, label in zip(code, self.fork.labels, strict=False):
            if id(item) in self.apart:
                passed.add(label)
                parts["loops"].append(item)
            elif label < 0:
                parts["before" if label == BEFORE else "after"].append(item)
            elif self.fork.wave is None:
                parts["needing" if label in passed else "needed"].append(item)
        return [*parts["before"], *parts["needed"], parts["loops"][0], *parts["needing"], *parts["after"]]


def _shared_out(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Names in parts of about the same size: the largest first, each to the part that has the least."""
    parts: list[list[str]] = [[] for _ in range(max(1, min(most, sum(sizes.values()) // PART)))]
    filled = [0] * len(parts)
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        least = filled.index(min(filled))
        parts[least].append(name)
        filled[least] += sizes[name]
    return [part for part in parts if part]


@dataclass
class Module:
    """Kernels for a program of given sizes."""

    program: Program
    sizes: Mapping[str, int]
    target: GpuTarget
    whole_loops: bool = True
    """Whether loops are one kernel where they can be."""
    known: dict[str, str] = field(default_factory=dict)
    """The text of each kernel, by name."""
    bodies: dict[str, str] = field(default_factory=dict)
    """The name of each kernel of a group, by its text behind the name."""
    launches: dict[int, Launch] = field(default_factory=dict)
    """Of each group and each loop that is one kernel, by identity."""
    spread_out: dict[int, str] = field(default_factory=dict)
    """Of each such loop: how it is spread over the device."""
    whys: dict[int, str] = field(default_factory=dict)
    """Of each loop that is not: why."""
    met: dict[int, persistent_loops.Loop] = field(default_factory=dict)
    """Each loop whose blocks meet."""
    walked: dict[int, Recurrence] = field(default_factory=dict)
    """Each loop in which every entry is walked by a thread."""
    joined: dict[int, Joined] = field(default_factory=dict)
    """Loops that are one kernel together, by the first of them."""

    def __post_init__(self) -> None:
        self.axes = sorted({*self.program.axes, BATCH})
        self.views = Views(self.program.slots, {axis: f"n{i}" for i, axis in enumerate(self.axes)}, self.target.dtype)
        self.functions = Functions(self.views, self.target.products)
        self.add(self.program.code)
        for fork in self.program.forked(self.sizes):
            for chosen in (fork,) if fork.wave is None else self.waves(fork)[1]:
                self.join(chosen)

    def add(self, code: Sequence[Code]) -> None:
        for item in code:
            if isinstance(item, Repeat):
                self.add_loop(item)
            elif isinstance(item, Group):
                self.launches[id(item)] = self.launch(item)

    def add_loop(self, repeat: Repeat) -> None:
        why = persistent_loops.why_not(repeat, self.program.slots) if self.whole_loops else "it is run step by step"
        if not why:
            recurrence = recurrence_of(repeat, self.program.slots, self.read_beside(repeat))
            if recurrence is not None:
                self.launches[id(repeat)] = self.recurrence(repeat, recurrence)
                return
            for copying in (True, False):
                loop = persistent_loops.loop_of(repeat, self.program.slots, copying)
                shape = loop_shape(loop.facts(), self.sizes[BATCH], self.target)
                if shape is not None:
                    self.met[id(repeat)] = loop
                    self.launches[id(repeat)] = self.launched([loop], [shape])
                    return
            why = "what it stages has no room near"
        self.whys[id(repeat)] = why
        self.add((*repeat.body, *repeat.rest))

    def step_by_step(self, repeat: Repeat, why: str) -> None:
        """Takes back that a loop is one kernel."""
        del self.launches[id(repeat)], self.spread_out[id(repeat)]
        self.whys[id(repeat)] = why
        self.add((*repeat.body, *repeat.rest))

    def join(self, fork: Fork) -> None:
        """Makes one kernel of the loops of a fork, where that takes less time than one after another."""
        repeats = self.loops_of(fork)
        apart = {id(r): (self.launches[id(r)], self.spread_out[id(r)]) for r in repeats if id(r) in self.spread_out}
        launch = self.at_once(repeats) if fork.wave is None else self.wavefront(fork.wave)
        if launch is None:
            return
        for repeat in repeats:
            del self.launches[id(repeat)]
            if fork.wave is None:
                self.spread_out[id(repeat)] += f", at once with {len(repeats) - 1} more"
            else:
                self.spread_out[id(repeat)] = f"{self.spread_out[id(fork.wave)]}, in waves with {len(repeats) - 1} more"
        self.spread_out.pop(id(fork.wave), None)
        self.launches[id(repeats[0])] = launch
        self.joined[id(repeats[0])] = Joined(fork, apart)

    def at_once(self, repeats: Sequence[Repeat]) -> Launch | None:
        met = [self.met[id(r)] for r in repeats if id(r) in self.met]
        walked = [self.walked[id(r)] for r in repeats if id(r) in self.walked]
        if len(met) == len(repeats):
            steps = [self.sizes[r.axis] for r in repeats]
            shapes = shapes_at_once([loop.facts() for loop in met], steps, self.sizes[BATCH], self.target)
            return None if shapes is None else self.launched(met, shapes)
        room = THREADS * self.target.processors
        if len(walked) == len(repeats) and sum(map(self.threads, walked)) <= room:
            return self.launched_walks(walked)
        return None

    def loops_of(self, fork: Fork) -> list[Repeat]:
        items = zip(self.program.code[fork.first : fork.last], fork.labels, strict=True)
        return [item for item, label in items if isinstance(item, Repeat) and label >= 0]

    def waves(self, fork: Fork) -> tuple[float, list[Fork]]:
        """As which wavefronts the loops of a fork take the least time, and the clocks of them all."""
        loops = self.loops_of(fork)
        if fork.wave is None or not all(id(r) in self.met for r in loops):
            return inf, []
        halves = [self.waves(half) for half in fork.halves]
        inside = {id(r) for half in fork.halves for r in self.loops_of(half)}
        alone = [self.clocks(self.met[id(r)], self.sizes[r.axis]) for r in loops]
        rest = sum(clocks for r, clocks in zip(loops, alone, strict=True) if id(r) not in inside)
        whole = self.clocks(self.loop(fork.wave), self.sizes[fork.wave.axis] + max(fork.wave.lags))
        in_halves = rest + sum(clocks for clocks, _ in halves)
        ways = [(sum(alone), []), (in_halves, [one for _, chosen in halves for one in chosen]), (whole, [fork])]
        return min(ways, key=lambda way: way[0])

    def clocks(self, loop: persistent_loops.Loop, steps: int) -> float:
        shape = loop_shape(loop.facts(), self.sizes[BATCH], self.target)
        return inf if shape is None else steps * shape.clocks

    def loop(self, repeat: Repeat) -> persistent_loops.Loop:
        """What there is to know of a loop whose blocks meet."""
        if id(repeat) not in self.met:
            self.met[id(repeat)] = persistent_loops.loop_of(repeat, self.program.slots)
        return self.met[id(repeat)]

    def wavefront(self, wave: Repeat) -> Launch | None:
        shape = loop_shape(self.loop(wave).facts(), self.sizes[BATCH], self.target)
        return None if shape is None else self.launched([self.loop(wave)], [shape])

    def one_after_another(self, first: Repeat) -> None:
        """Takes back that loops are one kernel together."""
        for repeat, (launch, told) in self.joined.pop(id(first)).apart.items():
            self.launches[repeat], self.spread_out[repeat] = launch, told

    def in_order(self, code: Sequence[Code]) -> list[Code]:
        """The code of a way as it is called: for loops that are one kernel stands the first of them, behind all that is
        needed by any."""
        forks = {id(self.program.code[joined.fork.first]): joined for joined in self.joined.values()}
        found, i = list[Code](), 0
        while i < len(code):
            joined = forks.get(id(code[i]))
            found += [code[i]] if joined is None else joined.in_order(code[i:])
            i += 1 if joined is None else len(joined.fork.labels)
        return found

    def parts(self, most: int) -> list[tuple[bool, list[str]]]:
        """The kernels that are launched, in parts that take about the same time to compile, `most` of them at most
        for those whose blocks wait for each other (True), and as many for the others."""
        waits = {launch.name: launch.waits for launch in self.launches.values()}
        found = list[tuple[bool, list[str]]]()
        for together in sorted(set(waits.values())):
            sizes = {name: len(text) for name, text in self.known.items() if waits.get(name) is together}
            found += [(together, names) for names in _shared_out(sizes, most)]
        return found

    def text_of(self, names: Sequence[str]) -> str:
        """The text of these kernels."""
        kernels = [self.known[name] for name in names]
        whole = "\n".join(kernels)
        functions = [text for name, text in self.functions.texts.items() if f" {name}(" in whole]
        asked = {"tensor_cores.cuh": self.target.rounding, "ctc.cuh": "Ctc<" in whole}
        beside = [name for name, used in asked.items() if used]
        return "\n".join([prelude(), *map(_written, beside), MIXED, *functions, whole])

    def launched(self, made: Sequence[persistent_loops.Loop], shapes: Sequence[LoopShape]) -> Launch:
        """The launch of a loop, or of several at once."""
        name, each = self.loop_name(), list(zip(made, shapes, strict=True))
        writers = [persistent_loops.Writer(loop, self.functions, shape) for loop, shape in each]
        self.known[name] = persistent_loops.kernel(name, writers, self.views)
        for loop, shape in each:
            self.spread_out[id(loop.repeat)] = shape.told(loop.facts(), self.target)
        return Launch(
            name,
            sum(shape.blocks for shape in shapes),
            self.whole(made),
            tuple(n for writer in writers for n in writer.numbers),
            max(shape.bytes for shape in shapes),
            sum(shape.teams for shape in shapes),
            any(shape.parts > 1 and not shape.clustered for shape in shapes),
            max(shape.cluster for shape in shapes),
            tuple(n for loop in made for n in loop.around),
        )

    def read_beside(self, repeat: Repeat) -> set[int]:
        """The slots that are read outside of a loop."""
        inside = {id(moment) for moment in moments_of((repeat,))}
        moments = [moment for moment in moments_of(self.program.code) if id(moment) not in inside]
        return {ref.slot for moment in moments for ref in moment.ins} | {
            ref.slot for ref in self.program.outputs.values()
        }

    def recurrence(self, repeat: Repeat, recurrence: Recurrence) -> Launch:
        """The launch of a loop in which every entry goes its own way: in chunks of steps at once where that can be."""
        entries, why = self.threads(recurrence), chunked_scans.why_not(recurrence)
        scan = None if why else chunked_scans.scan_shape(entries, self.sizes[repeat.axis], self.target)
        if scan is not None:
            return self.in_chunks(repeat, recurrence, scan, entries)
        threads = f"{entries:,} thread{'s' * (entries != 1)}, each of an entry of a row"
        self.spread_out[id(repeat)] = f"{threads}; {why or 'linear, but at these sizes sooner walked than in chunks'}"
        self.walked[id(repeat)] = recurrence
        return self.launched_walks([recurrence])

    def threads(self, recurrence: Recurrence) -> int:
        """One for each entry of a row."""
        return self.sizes[BATCH] * recurrence.entries

    def launched_walks(self, walked: Sequence[Recurrence]) -> Launch:
        """The launch of a loop whose entries are walked, or of several at once."""
        name, entries = self.loop_name(), [self.threads(recurrence) for recurrence in walked]
        walks = [Walk(recurrence, self.views) for recurrence in walked]
        self.known[name] = persistent_loops.kernel(name, walks, self.views)
        each = next((n for n in (THREADS, 128, 64) if sum(entries) >= n * self.target.processors), 32)
        blocks = tuple(max(1, -(-n // each)) for n in entries)
        found = [recurrence.loop for recurrence in walked]
        around = tuple(n for loop in found for n in loop.around)
        return Launch(name, sum(blocks), self.whole(found), blocks, teams=1, around=around, threads=each)

    def in_chunks(self, repeat: Repeat, recurrence: Recurrence, scan: chunked_scans.Scan, entries: int) -> Launch:
        name, loop = self.loop_name(), recurrence.loop
        kernel = chunked_scans.Kernel(recurrence, self.views)
        self.known[name] = kernel.text(persistent_loops.parameters([loop], self.views, alone=True), name)
        self.spread_out[id(repeat)] = scan.told(entries)
        kept, around = kernel.kept * scan.chunks * entries, tuple(loop.around)
        numbers = (scan.steps, scan.chunks)
        return Launch(name, scan.blocks, self.whole([loop]), numbers, 0, 1, True, around=around, borders=kept)

    def loop_name(self) -> str:
        return f"loop{sum(name.startswith('loop') for name in self.known)}"

    def whole(self, made: Sequence[persistent_loops.Loop]) -> tuple[Ref, ...]:
        """The slots of loops, as their kernel is told them."""
        slots = persistent_loops.slots_of(made)
        dims = {slot: len(self.views.sizes(self.program.slots[slot])) for slot in slots}
        return tuple(Ref(slot, (slice(None),) * dims[slot]) for slot in slots)

    def launch(self, group: Group) -> Launch:
        """The launch of a group outside of such a loop."""
        kernel, views = group.kernel, (*group.operands, *group.outs)
        kinds = [self.views.kind(ref.slot) for ref in views]
        pointers = [f"a{i}" for i in range(len(views))]
        parameters = [f"{kind}* {name}" for kind, name in zip(kinds, pointers, strict=True)]
        mask = "mask" if group.part else "(const bool*)0"
        if group.part:
            parameters.append("const bool* mask")
            views = (*views, group.ins[-1])
        units = entries_of(kernel) if isinstance(kernel, SHARED) else 1
        tiles = self.tiles(kernel) if isinstance(kernel, Product) else None
        call = self.functions.call(group, units, pointers, mask, tiles)
        name = self.kernel(call, parameters, kernel.axes, self.near if tiles else "")
        blocks, numbers = self.spread(kernel)
        return Launch(name, blocks, views, numbers, self.bytes(kernel, tiles))

    @property
    def near(self) -> str:
        kind = self.views.kind_of_floats
        return f"  {kind}* near = ({kind}*)dynamic_shared();\n"

    def kernel(self, call: str, parameters: Sequence[str], axes: Sequence[str], near: str) -> str:
        """The name of the kernel that does a call; the same one for all groups whose calls read the same."""
        batch = self.views.names[axes[-1]] if axes else "1"
        outer = self.views.size(axes[:-1])
        sizes = ", ".join(f"Int {name}" for name in self.views.names.values())
        body = (
            f"({', '.join(parameters)}, {sizes}, "
            f"Int steps_of_unit, Int rows_each, Int outer_each, Int parts) {{\n{near}"
            f"  const Share s = shared_out({batch}, {outer}, rows_each, outer_each, int(parts));\n"
            f"  const int block = int(blockIdx.x);\n  {call}\n}}\n"
        )
        if body not in self.bodies:
            name = self.bodies[body] = f"group{len(self.bodies)}"
            self.known[name] = f'extern "C" __global__ void __launch_bounds__(THREADS)\n{name}{body}'
        return self.bodies[body]

    def tiles(self, kernel: Product) -> Tiles:
        products = self.target.products
        tall, staged, chunk, _ = products.outside
        return Tiles(tall, staged, min(chunk, -(-kernel.terms // products.turn) * products.turn))

    def bytes(self, kernel: object, tiles: Tiles | None) -> int:
        if tiles is None:
            return 0
        products = self.target.products
        entries = products.rows(tiles.staged, tiles.chunk) + products.matrix(tiles.chunk, products.outside[-1])
        return entries * self.target.itemsize

    def spread(self, kernel: object) -> tuple[int, tuple[int, int, int]]:
        """Blocks; rows of the batch, places before it and parts of the units that one of them has."""
        if isinstance(kernel, Sums | ColumnSums):
            return blocks_of(kernel), (1, 1, 1)
        if isinstance(kernel, Ctc):
            return max(1, self.sizes[BATCH]), (1, 1, 1)
        if isinstance(kernel, Scatter):
            return max(1, min(kernel.entries, self.target.processors)), (1, 1, 1)
        assert isinstance(kernel, SHARED)
        batch = self.sizes[kernel.axes[-1]] if kernel.axes else 1
        outer = prod(self.sizes[axis] for axis in kernel.axes[:-1])
        if isinstance(kernel, Product):
            _, staged, _, columns = self.target.products.outside
            return self.split(outer, batch, -(-kernel.width // columns), staged)
        if isinstance(kernel, Elementwise):
            size = entries_of(kernel)
            parts = 1 if outer * batch >= self.target.processors else -(-size // EACH)
            return self.split(outer, batch, parts, max(1, EACH // size))
        entries = 32 * (kernel.lines if isinstance(kernel, AlongRow) else 1)
        if isinstance(kernel, Nest):
            entries = prod(self.sizes[axis] for axis in kernel.loops) * prod(kernel.dims)
        parts = -(-outer * batch * entries // THREADS)
        return self.split(outer, batch, max(1, min(parts, 8 * self.target.processors)), 2**30)

    def split(self, outer: int, batch: int, parts: int, rows: int) -> tuple[int, tuple[int, int, int]]:
        """About so many rows for each block: whole batches where there are several."""
        batch, outer = max(1, batch), max(1, outer)
        outer_each = max(1, min(outer, rows // batch))
        rows_each = min(batch, rows)
        blocks = -(-outer // outer_each) * -(-batch // rows_each) * parts
        return blocks, (rows_each, outer_each, parts)

    @property
    def size_numbers(self) -> tuple[int, ...]:
        """What every kernel is told of the sizes of axes, and of a unit."""
        return (*(self.sizes.get(axis, 1) for axis in self.axes), unit(self.sizes[BATCH]) if BATCH in self.sizes else 1)
