"""A profile: the time that the kernels of each source line take in a run, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np

from rnngraph.analysis.flops import flops_by_step, multiply_adds
from rnngraph.analysis.results import LineTime, Profile
from rnngraph.analysis.timing import repeated
from rnngraph.checkpointing.execution import Walker
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.ir.graph import Node
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import Program, Step
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound, Watch

PACKING = ("", "weights, packed for products")
"""What compiled kernels do that is no step of the program."""


def profiled(
    program: CompiledProgram, data: Arrays, weights: Arrays, cotangents: Arrays | None = None, seconds: float = 1.0
) -> Profile:
    """What the kernels of each source line take in one run: the middle one of those made in about so many seconds.

    With gradients where the program has them; of the sum of outputs times `cotangents` where there is no loss. Compiled
    kernels run one after another on one thread for this.
    """
    checked, variant = program.check(data), variant_of(program, data, cotangents)
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


def variant_of(program: CompiledProgram, data: Arrays, cotangents: Arrays | None) -> Variant:
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
