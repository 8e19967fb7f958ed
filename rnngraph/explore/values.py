"""A run looked at from inside: every named value at every step, gradients step by step back, time by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.analysis.profiler import profiled
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.compiled import CompiledProgram
from rnngraph.data.shape_checks import steps_of
from rnngraph.explore.state_gradients import gradients_of_states
from rnngraph.explore.tables import Tables
from rnngraph.ir.types import BATCH
from rnngraph.model import Model

Json = dict[str, Any]
Arrays = Mapping[str, Any]

ROWS, UNITS, STEPS = 4, 64, 400
"""So much is shown of each value: rows of the batch, entries of a step, steps."""
NUMBERS = 100_000
"""So many numbers are shown in all: of more, fewer rows."""
SECONDS = 0.2
"""So long runs are repeated to time their lines."""


class Run(Struct, frozen=True):
    """What is run: rows of data, weights, and what is said of both."""

    data: Arrays
    weights: Arrays
    told: str


def random_run(model: Model, steps: int, rows: int, seed: int) -> Run:
    told = f"random data and weights, seed {seed}"
    return Run(synthetic(model, steps, rows, seed), model.init(seed), told)


def values_json(model: Model, run: Run) -> Json:
    """Watched values and outputs, gradients with respect to states, milliseconds by line."""
    tables = Tables()
    names = model.made.watchable
    program = model.compile(watch=names, kernels="numpy")
    program.made_up = True
    results = program.run(run.data, run.weights)
    series = [*_given(model, run, tables), *_watched(program, results, tables)]
    found = {"series": series, "gradients": list(_gradients(model, run)), "times": _times(model, run)}
    steps = steps_of(model.inputs, run.data)
    return {"how": run.told, "steps": steps, **_fewer_rows(found), **tables.to_json()}


def _given(model: Model, run: Run, tables: Tables) -> Iterator[Json]:
    for item in model.inputs:
        if item.axes and item.name in run.data:
            yield _series(item.name, "input", item.order, run.data[item.name], tables.of_span(item.span))


def _watched(program: CompiledProgram, results: Arrays, tables: Tables) -> Iterator[Json]:
    """What has a value at each step, of the model's own outputs and of what stands inside its cells."""
    outputs, orders = program.made.graph.outputs, program.made.orders
    for name, value in outputs.items():
        plain = name.removeprefix("watch.")
        twice = name != plain and plain in outputs
        if set(orders[name]) - {BATCH} and not twice:
            kind, span = "output" if plain == name else "inside", tables.of_span(value.node.origin.span)
            yield _series(plain, kind, orders[name], results[plain], span)


def _series(name: str, kind: str, axes: tuple[str, ...], array: Any, span: int) -> Json:
    """Rows, steps, entries: of further axes (where attention looks) the entries are what is left of them."""
    array = np.asarray(array, float)
    array = array if axes[0] == BATCH else array[None]
    flat = array.reshape(*array.shape[:2], prod(array.shape[2:]))
    shown = flat[:ROWS, :STEPS, :UNITS]
    over = [axis for axis in axes if axis != BATCH]
    sizes = {"entries": flat.shape[2], "steps": flat.shape[1]}
    return {"name": name, "kind": kind, "axes": over, "span": span, **sizes, "rows": _rounded(shown)}


def _rounded(array: Any) -> list[Any]:
    """Four digits of each number; None of what is no number."""
    found: list[Any] = []
    for row in array:
        found.append([[float(f"{x:.4g}") if np.isfinite(x) else None for x in step] for step in row.tolist()])
    return found


def _fewer_rows(found: Json) -> Json:
    """It with as many rows as can be shown."""
    every = [*found["series"], *found["gradients"]]
    count = sum(len(s["rows"][0]) * len(s["rows"][0][0]) for s in every if s["rows"] and s["rows"][0])
    rows = max(1, NUMBERS // max(1, count))
    return {
        key: [{**s, "rows": s["rows"][:rows]} for s in told] if key != "times" else told for key, told in found.items()
    }


# --- backward ----------------------------------------------------------------------------------------------------


def _gradients(model: Model, run: Run) -> Iterator[Json]:
    if model.differentiated:
        for of, name, axis, array in gradients_of_states(model, run.data, run.weights):
            yield {**_series(name, "gradient", (BATCH, axis), array, -1), "of": of}


def _times(model: Model, run: Run) -> list[Json]:
    """The seconds that the kernels of each line take."""
    gradient = bool(model.differentiated)
    program = model.compile(gradient="weights" if gradient else False, dtype="float32")
    program.made_up = True
    rows = program.check(run.data).sizes.get(BATCH, 1)
    ones = cotangents_for(model, steps_of(model.inputs, run.data), rows) if gradient else None
    found = profiled(program, dict(run.data), dict(run.weights), ones, SECONDS)
    return [{"place": n.place, "forward": n.forward, "backward": n.backward} for n in found.lines if n.place]
