"""How fast a model is on this machine: time per step, rate of its products and the machine's, time by source line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import prod
from typing import Any

import numpy as np
from msgspec import Struct, to_builtins

from rnngraph.analysis.equality import cotangents_for, machine, synthetic
from rnngraph.analysis.flops import flops, flops_by_step, multiply_adds
from rnngraph.analysis.results import LineTime, Profile, Spread
from rnngraph.analysis.timing import repeated, spread
from rnngraph.checkpointing.execution import Walker
from rnngraph.checkpointing.options import ALL
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.ir.graph import Node
from rnngraph.language.elaboration.mistakes import counted
from rnngraph.model import Model
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Program, Step
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound, Watch
from rnngraph.system.cores import cores_given

EDGE = 2048
"""Rows and columns of a large product, for machines whose cores cannot be asked."""

PACKING = ("", "weights, packed for products")
"""What compiled kernels do that is no step of the program."""


class Speed(Struct, frozen=True):
    """One task: the seconds of a run, the floating-point operations of its products, where time goes."""

    task: str
    times: Spread
    flops: int
    profile: Profile

    @property
    def seconds(self) -> float:
        """The median."""
        return self.times.middle

    @property
    def rate(self) -> float:
        """Operations of products per second of the whole run."""
        return self.flops / self.seconds


class Bench(Struct, frozen=True):
    """Speeds for one schedule and size; `peak` is in operations per second, `peak_of` says what it is the rate of."""

    model: str
    batch: int
    axes: Mapping[str, int]
    """Steps of each axis of the data."""
    how: str
    machine: str
    peak: float
    peak_of: str
    speeds: tuple[Speed, ...]

    @property
    def steps(self) -> int:
        """Those of the longest axis."""
        return max(self.axes.values(), default=1)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_builtins(self) | {"steps": self.steps}
        for speed, told in zip(self.speeds, found["speeds"], strict=True):
            told |= {"seconds": speed.seconds, "ms": 1e3 * speed.seconds}
            told |= {"ms_per_step": 1e3 * speed.seconds / self.steps}
            told |= {"gflops": speed.rate / 1e9, "of_peak": speed.rate / self.peak}
        return found


def bench(
    model: Model,
    dtype: str,
    compiled: Mapping[str, Callable[[], CompiledProgram]],
    steps: Mapping[str, int],
    batch: int,
    seconds: float,
    tell: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Runs the model on made-up data for about so many seconds per task, forward alone and with gradients.

    `compiled` makes the program of each task; `steps` are those of each axis, and what is told per step is told per
    step of the longest.
    """
    data, weights = synthetic(model, steps, batch, 0), model.init(0, dtype)
    cotangents, speeds = cotangents_for(model, steps, batch), []
    for task in ("infer", "train") if cotangents is None or cotangents else ("infer",):
        tell(task)
        given = cotangents if task == "train" else None
        program = compiled[task]()
        program.made_up = True
        variant, sizes = _variant(program, data, given), program.check(data).sizes
        took = _seconds(program, data, weights, given, seconds / 2)
        profile = profiled(program, data, weights, given, seconds / 2)
        work = profile.flops or flops(variant.graph.nodes(), variant.all_sizes(sizes))
        speeds.append(Speed(task, took, work, profile))
    tell("the machine")
    kept = "" if program.schedule.keep == ALL else f", --keep {program.schedule.keep}"
    rounded = f"products in {program.backend.rounding}, " if program.backend.rounding else ""
    how = f"{dtype}, {rounded}{program.schedule.unroll}, {program.backend.kernels} kernels{kept}"
    return Bench(
        model.block.definition,
        batch,
        steps,
        how,
        machine(program.backend),
        *peak(program.backend, dtype),
        tuple(speeds),
    )


def _seconds(
    program: CompiledProgram, data: Arrays, weights: Arrays, cotangents: Arrays | None, seconds: float
) -> Spread:
    """The times of calls as a user makes them, after a first one."""

    def run() -> Any:
        if program.schedule.gradient:
            return program.gradients(data, weights, cotangents)
        return program.run(data, weights)

    run()
    return spread(repeated(run, seconds))


# --- what the machine can do --------------------------------------------------------------------------------------


def peak(backend: Backend, dtype: str) -> tuple[float, str]:
    """Floating-point operations per second that the machine can do, and of what: of the cores that products run on."""
    if backend.name == "numpy":
        with suppress(ImportError, OSError, RuntimeError):  # nothing can be compiled here
            from rnngraph.kernels.cpu import peak_speed, threads

            count = threads.available() if backend.kernels == "native" else cores_given()
            return peak_speed.peak(dtype, count), f"multiply-adds in the registers of {counted(count, 'thread')}"
    return large_product(backend, dtype), f"a large product in {dtype}"


def large_product(backend: Backend, dtype: str) -> float:
    """The rate of a square product, the best of several."""
    a, b = (np.random.default_rng(k).normal(size=(EDGE, EDGE)).astype(dtype) for k in (0, 1))
    left, right, out = (backend.xp.asarray(array) for array in (a, b, np.empty_like(a)))

    def run() -> None:
        backend.xp.matmul(left, right, out=out)
        backend.wait()

    return 2 * EDGE**3 / min(repeated(run, 0.5))


# --- time by source line -----------------------------------------------------------------------------------------


def profiled(
    program: CompiledProgram, data: Arrays, weights: Arrays, cotangents: Arrays | None = None, seconds: float = 1.0
) -> Profile:
    """What the kernels of each source line take in one run: the middle one of those made in about so many seconds.

    With gradients where the program has them; of the sum of outputs times `cotangents` where there is no loss. Compiled
    kernels run one after another on one thread for this.
    """
    checked, variant = program.check(data), _variant(program, data, cotangents)
    made = variant.plan(checked.sizes)
    clock = _Clock(program.backend.wait)
    watching: Any = _Watching(program.backend, clock)
    bound = watching.bound(variant.program, made) if isinstance(made, Plan) else Walker(made, watching)
    inputs = {name: program.input(name, variant, checked, cotangents or {}) for name in variant.inputs}
    found: list[Profile] = []

    def run() -> None:
        began = clock.start()
        with np.errstate(all="ignore"):
            bound.run(inputs, weights)
        found.append(clock.profile(time.perf_counter() - began))

    run()
    repeated(run, seconds)
    return sorted(found[1:], key=lambda profile: profile.seconds)[len(found) // 2 - 1]


def _variant(program: CompiledProgram, data: Arrays, cotangents: Arrays | None) -> Variant:
    """The program that runs for such data."""
    checked = program.check(data)
    wanted = tuple(cotangents) if cotangents else ("loss",) if program.schedule.gradient else None
    return program.variant(Signature(bool(checked.lengths), frozenset(checked.states), wanted))


class _Watching:
    """A backend whose programs run with something around each kernel."""

    def __init__(self, backend: Backend, clock: _Clock) -> None:
        self._backend, self._clock = backend, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def bound(self, program: Program, plan: Plan, arrays: None = None, arenas: Any = None) -> Bound:
        return self._backend.watched(program, plan, self._clock.of(program, plan), arenas)


class _Clock:
    """Keeps the time of each kernel under the lines that its steps come from, forward and backward."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait = wait
        self.spent: dict[tuple[str, str], list[float]] = {}
        self.flops = 0

    def start(self) -> float:
        """Forgets the runs before; when it did so."""
        for spent in self.spent.values():
            spent[:] = [0.0, 0.0]
        self.flops = 0
        return time.perf_counter()

    def profile(self, seconds: float) -> Profile:
        """Of the run that took so many seconds, the lines, the slowest first."""
        lines = (LineTime(*place, *spent) for place, spent in self.spent.items())
        return Profile(tuple(sorted(lines, key=lambda line: -line.seconds)), seconds, self.flops)

    def of(self, program: Program, plan: Plan) -> Watch:
        """For a program of these sizes; a run that is cut has several."""
        return partial(self.watch, plan.sizes, flops_by_step(program.code, plan.sizes))

    def watch(
        self,
        sizes: Mapping[str, int],
        counts: Mapping[int, int],
        kernel: Callable[..., Any],
        steps: tuple[Step, ...],
    ) -> Callable[..., Any]:
        """The kernel with a clock. One that does several steps shares its time out by their operations. `counts` are
        the operations of each product that is done once, by the identity of its step."""
        works = [_work(step.node, sizes) for step in steps]
        shares = [(self._of(step.node), work / sum(works)) for step, work in zip(steps, works, strict=True)]
        shares = shares or [((self.spent.setdefault(PACKING, [0.0, 0.0]), 0), 1.0)]
        clock, wait, flops = time.perf_counter, self.wait, sum(counts.get(id(step), 0) for step in steps)

        def timed(*arrays: Any) -> None:
            began = clock()
            kernel(*arrays)
            wait()
            took = clock() - began
            self.flops += flops
            for (spent, part), share in shares:
                spent[part] += took * share

        return timed

    def _of(self, node: Node) -> tuple[list[float], int]:
        return self.spent.setdefault(_place(node), [0.0, 0.0]), int(node.origin.backward)


def _work(node: Node, sizes: Mapping[str, int]) -> int:
    """About how many operations a step takes; at least one."""
    if node.op.name == "contract":
        return max(1, 2 * multiply_adds(node, sizes))
    type = node.types[0]
    return max(1, 4 * prod(type.shape) * prod(sizes[axis] for axis in type.axes))


def _place(node: Node) -> tuple[str, str]:
    """Where the line stands that a step comes from, and its text."""
    span = node.origin.span
    if span is None:
        return "", "of no line"
    return span.at, span.source.line(span.line).strip()
