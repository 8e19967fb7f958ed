"""Bytes alive over time in each mode, told and measured: what the picture of memory shows."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from rnngraph.compiled import CompiledProgram, Signature, Variant
from rnngraph.costs import Asked, array_bytes, cotangents_for, synthetic
from rnngraph.model import Model
from rnngraph.program.memory import Plan, plan
from rnngraph.program.timeline import Moment, timeline
from rnngraph.runtime.numpy import NumpyBackend
from rnngraph.runtime.unplanned import Unplanned
from rnngraph.viz.memory import Panel

POINTS = 24
"""So many measured points are spread over a run, and one more at its peak."""


def panels(model: Model, asked: Asked) -> Iterator[Panel]:
    """For each mode what the longest of the runs asked for holds, step by step; with NumPy's kernels."""
    steps = max(asked.steps)
    cotangents = cotangents_for(model, steps, asked.batch)
    gradient = cotangents is None or bool(cotangents)
    wanted = ("loss",) if cotangents is None else tuple(cotangents)
    data, weights = synthetic(model, steps, asked.batch, asked.seed), model.init(asked.seed, asked.dtype)
    for mode in asked.modes:
        program = model.compile(
            mode, steps if mode == "static" else None, "numpy", asked.dtype, gradient=gradient, kernels="numpy"
        )
        variant = program.variant(Signature(cotangents=wanted if gradient else None))
        yield _panel(str(mode), program, variant, data, weights, cotangents or {})


def _panel(title: str, program: CompiledProgram, variant: Variant, data: Any, weights: Any, cotangents: Any) -> Panel:
    checked = program.check(data)
    made = plan(variant.program, variant.all_sizes(checked.sizes), variant.schedule.dtype)
    moments = timeline(variant.program, made.sizes, made.slot_bytes)
    inputs = {n: program.input(n, variant, checked, cotangents) for n in variant.program.inputs}
    starts = (0, *accumulate(moment.calls for moment in moments))
    return Panel(
        title,
        starts[:-1],
        tuple(moment.bytes for moment in moments),
        starts[-1],
        _backward(moments, starts),
        _measured(variant, made, moments, inputs, weights),
        made.total,
        _line(max(moments, key=lambda moment: moment.total)),
    )


def _backward(moments: Sequence[Moment], starts: Sequence[int]) -> int | None:
    """The kernels before the first step of the backward pass."""
    found = (s for m, s in zip(moments, starts, strict=False) if m.step and m.step.node.origin.backward)
    return next(found, None)


def _line(moment: Moment) -> str:
    span = moment.step.node.origin.span if moment.step else None
    return f"at {span.source.name}:{span.line}" if span else ""


def _measured(
    variant: Variant, plan: Plan, moments: Sequence[Moment], inputs: Any, weights: Any
) -> tuple[tuple[int, int], ...]:
    """Kernels that ran before, and the bytes of arrays that the tracer saw, at places spread over the run."""
    told = {moment.at: moment.total for moment in moments}
    peak = max(told, key=told.__getitem__)
    every = max(1, sum(moment.calls for moment in moments) // POINTS)
    found, ran, due = list[tuple[int, int]](), 0, 0

    def watch(place: int) -> None:
        nonlocal ran, due
        if place in told and (ran >= due or (place == peak and all(b < told[peak] for _, b in found))):
            gc.collect()
            found.append((ran, array_bytes()))
            due = ran + every
        ran += 1

    gc.collect()
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            Unplanned(variant.program, plan, NumpyBackend(), watch).run(inputs, weights)
    finally:
        tracemalloc.stop()
    return tuple(found)
