"""Bytes alive over time in each mode and schedule, told and measured: what the picture of memory shows."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from rnngraph.analysis.equality import Asked, step_for
from rnngraph.analysis.results import Panel
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.checkpointing.plan import Walking
from rnngraph.checkpointing.timeline import moments as walked_moments
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.model import Model
from rnngraph.planning.plan import Plan
from rnngraph.planning.timeline import Moment, timeline
from rnngraph.runtime.numpy import NumpyBackend, array_bytes
from rnngraph.runtime.unplanned import Unplanned
from rnngraph.system import garbage

POINTS = 24
"""So many measured points are spread over a run, and one more at its peak."""


def panels(model: Model, asked: Asked) -> Iterator[Panel]:
    """For each mode, and for each schedule in dynamic mode, what the longest of the runs asked for holds, step by step.

    With NumPy's kernels. Only what keeps everything is measured: a schedule's arrays are made before its run.
    """
    steps = asked.at(model, max(asked.steps))
    cotangents = cotangents_for(model, steps, asked.batch)
    data, weights = synthetic(model, steps, asked.batch, asked.seed), model.init(asked.seed, asked.dtype)
    for way in (*map(str, asked.modes), *(f"dynamic, {schedule}" for schedule in asked.schedules)):
        program = step_for(model, NumpyBackend(), asked, way, steps)
        variant = program.variant(Signature(cotangents=model.differentiated if program.schedule.gradient else None))
        checked = program.check(data)
        made = variant.plan(checked.sizes)
        if isinstance(made, Walking):
            yield _walked(way, made)
        else:
            inputs = {n: program.input(n, variant, checked, cotangents or {}) for n in variant.program.inputs}
            yield _planned(way, variant, made, inputs, weights)


def _planned(title: str, variant: Variant, made: Plan, inputs: Any, weights: Any) -> Panel:
    moments = timeline(variant.program, made.sizes, made.slot_bytes)
    backward = [bool(m.step and m.step.node.origin.backward) for m in moments]
    return _panel(title, moments, backward, _measured(variant, made, moments, inputs, weights), made.total)


def _walked(title: str, made: Walking) -> Panel:
    turned, moments = zip(*walked_moments(made), strict=True)
    return _panel(title, moments, turned, (), made.total)


def _panel(
    title: str, moments: Sequence[Moment], backward: Sequence[bool], measured: tuple[tuple[int, int], ...], total: int
) -> Panel:
    """`backward` is true of the first moment of the backward pass, and false of those before it."""
    starts = (0, *accumulate(moment.calls for moment in moments))
    return Panel(
        title,
        starts[:-1],
        tuple(moment.bytes for moment in moments),
        starts[-1],
        starts[backward.index(True)] if True in backward else None,
        measured,
        total,
        _line(max(moments, key=lambda moment: moment.total)),
    )


def _line(moment: Moment) -> str:
    span = moment.step.node.origin.span if moment.step else None
    return f"at {span.at}" if span else ""


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

    with garbage.only_new():
        gc.collect()
        tracemalloc.start()
        try:
            with np.errstate(all="ignore"):
                Unplanned(variant.program, plan, NumpyBackend(), watch).run(inputs, weights)
        finally:
            tracemalloc.stop()
    return tuple(found)
