"""Made-up data for a model: random inputs of the right shapes, and cotangents for its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.compiled import Arrays
from rnngraph.data.lengths import LENGTHS, as_given
from rnngraph.ir.types import BATCH, size_of
from rnngraph.language.elaboration.elaborated import DataInput
from rnngraph.model import Model
from rnngraph.passes.index_sizes import reached

Steps = int | Mapping[str, int]
"""Steps of every sequence, or of those over each axis."""


def synthetic(model: Model, steps: Steps, batch: int, seed: int, padded: bool = False) -> Arrays:
    """Random data for a model: normal floats, ids inside their tables; `padded` adds random lengths from 0 on."""
    rng = np.random.default_rng(seed)
    limits, data = reached(model.graph), dict[str, Any]()
    for item in model.inputs:
        over = [_steps_on(steps, axis) for axis in item.axes]
        sizes = [*[batch] * (BATCH in item.type.axes), *over, *item.type.shape]
        data[item.name] = _random(item, sizes, limits.get(item.name, 2), rng)
    if padded:
        axes = dict.fromkeys(axis for i in model.inputs for axis in i.axes)
        lengths = {axis: rng.integers(0, _steps_on(steps, axis) + 1, batch) for axis in axes}
        sequences = [i for i in model.inputs if i.axes and BATCH in i.type.axes]
        data |= {i.name + LENGTHS: as_given(i.axes, lengths) for i in sequences}
    return data


def _steps_on(steps: Steps, axis: str) -> int:
    return steps if isinstance(steps, int) else steps[axis]


def _random(item: DataInput, sizes: Sequence[int], limit: int, rng: np.random.Generator) -> Any:
    if item.type.dtype == "int":
        return rng.integers(0, limit, sizes)
    return rng.normal(size=sizes) if item.type.dtype == "float" else rng.integers(0, 2, sizes).astype(bool)


def cotangents_for(model: Model, steps: Steps, batch: int) -> Arrays | None:
    """Ones for every float output of a model without a loss; None where there is one."""
    outputs = model.graph.outputs
    if "loss" in outputs:
        return None
    sizes, orders = {BATCH: batch}, model.made.orders
    found = {}
    for name in model.outputs:
        type = outputs[name].type
        if type.dtype == "float":
            lengths = [size_of(a, lambda axis: sizes.get(axis) or _steps_on(steps, axis)) for a in orders[name]]
            found[name] = np.ones(lengths + list(type.shape))
    return found
