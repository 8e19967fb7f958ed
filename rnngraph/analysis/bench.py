"""How fast a model is on this machine: time per step, rate of its products and the machine's, time by source line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from msgspec import Struct, to_builtins

from rnngraph.analysis.equality import machine
from rnngraph.analysis.flops import flops
from rnngraph.analysis.profiler import profiled, variant_of
from rnngraph.analysis.results import Profile, Spread
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.analysis.timing import repeated, spread
from rnngraph.checkpointing.options import ALL
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.language.elaboration.mistakes import counted
from rnngraph.model import Model
from rnngraph.runtime.backend import Backend
from rnngraph.system.cores import cores_given

EDGE = 2048
"""Rows and columns of a large product, for machines whose cores cannot be asked."""


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
        variant, sizes = variant_of(program, data, given), program.check(data).sizes
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
