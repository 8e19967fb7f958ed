"""A program with arrays on a GPU whose groups and loops are generated kernels, and the rest CuPy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import numpy as np

from rnngraph.diagnostics.source import Span
from rnngraph.kernels.gpu.modules import Launch, Module
from rnngraph.kernels.gpu.persistent_loops import LINE
from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Code, Group, Program, Repeat, Ring, Step, Turn
from rnngraph.runtime.cuda_graphs import Graphs, Replayed, runs
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Held, Watch, Writer, viewed
from rnngraph.runtime.gpu_loading import Refused, compiled, fit, function_of, module_of, warn
from rnngraph.system.cores import cores_given


class GpuBound(Bound):
    """Like `Bound`; a group is one launch, and so is a loop that one kernel can do."""

    whole_loops = True

    def __init__(
        self,
        program: Program,
        plan: Plan,
        backend: Device,
        target: GpuTarget,
        arenas: Mapping[str, Any] | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        super().__init__(program, plan, backend, arenas)
        self.graphs, self.replayed = graphs, list[Replayed]()
        self.module = Module(program, plan.sizes, target, self.whole_loops)
        self.cupy: Any = backend.xp
        self.sizes = tuple(np.int64(n) for n in self.module.size_numbers)
        self.kernels: dict[str, Any] = {}
        self.load()
        teams = max((launch.teams for launch in self.module.launches.values()), default=0)
        self.counts = backend.xp.zeros(max(1, teams * LINE), "uint32")
        borders = max((launch.borders for launch in self.module.launches.values()), default=0)
        self.borders = backend.xp.empty(max(1, borders), target.dtype)

    # --- kernels ---

    def load(self) -> None:
        """The kernel of each launch. A loop whose kernel is refused goes step by step."""
        parts = self.module.parts(cores_given())
        modules = compiled(self.cupy, [(together, self.module.text_of(names)) for together, names in parts])
        holds = {name: module for (_, names), module in zip(parts, modules, strict=True) for name in names}
        try:
            for launch in list(self.module.launches.values()):
                self.take(launch, holds[launch.name])
        except Refused:  # one is to blame, and has kept the others of its module away
            for message, refused in list(self.one_by_one(self.program.code)):
                warn(message, refused)

    def one_by_one(self, code: Sequence[Code], around: Span | None = None) -> Iterator[tuple[str, Refused]]:
        """Loads each kernel from a module of its own; of loops that have none, what is done instead, and why.
        Refused for a group that has none."""
        for item in code:
            launch, apart = self.module.launches.get(id(item)), id(item) in self.module.joined
            if launch is not None:
                try:
                    self.take(launch, module_of(self.cupy, self.module.text_of([launch.name]), launch.waits))
                    continue
                except Refused as refused:
                    if not isinstance(item, Repeat):
                        raise Refused(refused.why, around or _span(item)) from refused
                    yield self.instead(item, refused.why), Refused(refused.why, item.span)
            if isinstance(item, Repeat):
                yield from self.one_by_one([item] if apart else (*item.body, *item.rest), around or item.span)

    def instead(self, repeat: Repeat, why: str) -> str:
        """Takes back what is refused, and says so."""
        if id(repeat) in self.module.joined:
            self.module.one_after_another(repeat)
            return "loops that could run at once, from this one on, run one after another"
        self.module.step_by_step(repeat, why)
        return "this loop is not one kernel, and goes step by step"

    def take(self, launch: Launch, module: Any) -> None:
        if launch.name not in self.kernels:
            found = function_of(self.cupy, module, launch.name)
            fit(self.cupy, found, launch, self.module.target.processors)
            self.kernels[launch.name] = found

    def stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)

    def made_calls(self, code: Sequence[Code]) -> list[Callable[[], Any]]:
        ordered = self.module.in_order(code)
        if self.graphs is None:
            return super().made_calls(ordered)
        found = list[Callable[[], Any]]()
        for items, together in runs(ordered, self.launches_of):
            calls = super().made_calls(items)
            if together:
                self.replayed.append(Replayed(self.graphs))
                calls = [partial(self.replayed[-1], calls)]
            found += calls
        return found

    def launches_of(self, item: Code) -> float:
        """How many kernels an item launches; infinitely many where the host does more than to launch them."""
        if id(item) in self.module.launches:
            return 1
        if isinstance(item, Repeat) and not item.looks:
            return self.plan.sizes[item.axis] * sum(map(self.launches_of, item.body))
        return inf

    def rebind(self, changed: set[int]) -> None:
        super().rebind(changed)
        for replayed in self.replayed:
            replayed.forget()

    def call(self, item: Code) -> Callable[[], Any]:
        launch = self.module.launches.get(id(item))
        if launch is not None:
            return self.launched(launch)
        if isinstance(item, Repeat):
            return _GpuWriter(self).function(item)
        assert isinstance(item, Step)
        return super().call(item)

    def launched(self, launch: Launch) -> Callable[..., None]:
        """The call of a kernel; it takes the places of the loops around it, where there are any that Python drives."""
        arguments: list[Any] = []
        moving: list[tuple[int, int, list[tuple[Turn | Ring, int]]]] = []
        for ref in launch.views:
            base, index = self.bases[ref.slot], self.index(ref)
            moves = [(e, base.strides[i]) for i, e in enumerate(index) if isinstance(e, Turn | Ring)]
            first = viewed(base, tuple(slice(None) if isinstance(e, Turn | Ring) else e for e in index))
            if moves:
                moving.append((len(arguments), int(first.data.ptr), moves))
            elif self.is_weight(ref.slot):
                self.held.append(Held(arguments, len(arguments), ref.slot, index))
            arguments.append(first)
        around = len(arguments)
        arguments += [np.int64(0)] * (2 * len(launch.around))
        arguments += self.sizes
        if launch.teams:
            arguments.append(self.counts)
        arguments += [np.int64(n) for n in launch.numbers]
        if launch.borders:
            arguments.append(self.borders)
        kernel, grid, block = self.kernels[launch.name], (launch.blocks,), (launch.threads,)

        def call(places: Mapping[int, tuple[int, int]] = {}) -> None:  # nothing is put in
            for place, address, moves in moving:
                arguments[place] = np.uint64(address + sum(_at(entry, places) * size for entry, size in moves))
            for i, loop in enumerate(launch.around):
                arguments[around + 2 * i : around + 2 * i + 2] = [np.int64(n) for n in places[loop]]
            if launch.waits:
                self.cupy.cuda.runtime.memsetAsync(self.counts.data.ptr, 0, self.counts.nbytes, self.stream())
            kernel(grid, block, tuple(arguments), shared_mem=launch.bytes)

        return call


def _span(item: Code) -> Span | None:
    """Where the first of a group's steps is written."""
    steps = item.steps if isinstance(item, Group) else ()
    return steps[0].node.origin.span if steps else None


def _at(entry: Turn | Ring, places: Mapping[int, tuple[int, int]]) -> int:
    """The place that a running loop stands at: (turn on the axis, finished steps) of each."""
    if isinstance(entry, Ring):
        return (places[entry.loop][1] + entry.offset) % 2
    return places[entry.loop][0] + entry.offset


class WatchedGpuBound(GpuBound):
    """Runs group by group, with something around each: loops are driven from Python."""

    whole_loops = False

    def __init__(
        self,
        program: Program,
        plan: Plan,
        backend: Device,
        target: GpuTarget,
        watch: Watch,
        arenas: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(program, plan, backend, target, arenas)
        self.watch = watch

    def call(self, item: Code) -> Callable[[], Any]:
        return self.watch(super().call(item), item.steps) if isinstance(item, Group) else super().call(item)

    def parts(self, step: Step) -> Any:
        kernel, arguments = super().parts(step)
        return self.watch(kernel, (step,)), arguments


class _GpuWriter(Writer):
    """Writes the function of a repeat that no one kernel can do."""

    bound: GpuBound

    def turn(self, repeat: Repeat, size: int, depth: int) -> None:
        self.names.setdefault("places", {})
        super().turn(repeat, size, depth)

    def placed(self, repeat: Repeat, depth: int) -> None:
        self.line(depth, f"places[{repeat.loop}] = (t{repeat.loop}, n{repeat.loop})")

    def body(self, code: Sequence[Code], depth: int) -> None:
        rows: dict[tuple[str, str], str] = {}
        for item in code:
            if isinstance(item, Group):
                name = self.name("g", self.bound.call(item))
                self.line(depth, f"{name}(places)")
            elif isinstance(item, Repeat):
                launch = self.bound.module.launches.get(id(item))
                if launch is None:
                    self.repeat(item, depth)
                else:
                    name = self.name("l", self.bound.launched(launch))
                    self.line(depth, f"{name}(places)")
            else:
                self.step(item, depth, rows)
