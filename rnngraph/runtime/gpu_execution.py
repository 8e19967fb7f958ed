"""A program with arrays on a GPU whose groups and loops are generated kernels, and the rest CuPy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.kernels.gpu.loops import LINE
from rnngraph.kernels.gpu.modules import OPTIONS, Launch, Module
from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Code, Group, Program, Repeat, Ring, Step, Turn
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Held, Watch, Writer, viewed

PLAIN = 48 * 1024
"""Bytes of near memory that a block has without asking."""


class GpuBound(Bound):
    """Like `Bound`; a group is one launch, and so is a loop that one kernel can do."""

    whole_loops = True

    def __init__(
        self, program: Program, plan: Plan, backend: Device, target: GpuTarget, arenas: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(program, plan, backend, arenas)
        self.module = Module(program, plan.sizes, target, self.whole_loops)
        self.cupy: Any = backend.xp
        self.sizes = tuple(np.int64(n) for n in self.module.size_numbers)
        teams = max((launch.teams for launch in self.module.launches.values()), default=0)
        self.counts = backend.xp.zeros(max(1, teams * LINE), "uint32")
        borders = max((launch.borders for launch in self.module.launches.values()), default=0)
        self.borders = backend.xp.empty(max(1, borders), target.dtype)
        self.kernels: dict[str, Any] = {}
        self.modules: dict[bool, Any] = {}

    def kernel(self, launch: Launch) -> Any:
        """The compiled kernel of a launch."""
        if launch.name not in self.kernels:
            together = launch.waits
            if together not in self.modules:
                self.modules[together] = self.cupy.RawModule(
                    code=self.module.text(together),
                    options=OPTIONS,
                    backend="nvrtc",
                    enable_cooperative_groups=together,
                )
            try:
                found = self.modules[together].get_function(launch.name)
            except self.cupy.cuda.compiler.CompileException as error:
                reason = next(iter(str(error).strip().splitlines()), "no reason given")
                raise CannotDo(f"NVRTC does not compile a kernel: {reason}", "E507", "use `--kernels cupy`") from error
            if launch.bytes > PLAIN:
                found.max_dynamic_shared_size_bytes = launch.bytes
            self.kernels[launch.name] = found
        return self.kernels[launch.name]

    def stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)

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
        kernel, grid, block = self.kernel(launch), (launch.blocks,), (launch.threads,)

        def call(places: Mapping[int, tuple[int, int]] = {}) -> None:  # nothing is put in
            for place, address, moves in moving:
                arguments[place] = np.uint64(address + sum(_at(entry, places) * size for entry, size in moves))
            for i, loop in enumerate(launch.around):
                arguments[around + 2 * i : around + 2 * i + 2] = [np.int64(n) for n in places[loop]]
            if launch.waits:
                self.cupy.cuda.runtime.memsetAsync(self.counts.data.ptr, 0, self.counts.nbytes, self.stream())
            kernel(grid, block, tuple(arguments), shared_mem=launch.bytes)

        return call


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
