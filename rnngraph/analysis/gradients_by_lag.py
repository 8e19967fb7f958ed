"""How strongly the last step of an output depends on each earlier step of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.lengths import lengths_of, real_steps
from rnngraph.data.result_tables import apart
from rnngraph.data.shape_checks import steps_of
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.types import BATCH
from rnngraph.model import Model
from rnngraph.run_options import RunOptions

Arrays = Mapping[str, Any]


def ones_at_ends(
    order: Sequence[str],
    sizes: Mapping[str, int],
    shape: Sequence[int],
    lengths: Mapping[str, Any],
    own: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """An array with the axes in this order: ones where each row has its own last step, zeros elsewhere. `own` says
    which steps are a row's own, where lengths alone do not."""
    array = np.zeros((*(sizes[axis] for axis in order), *shape))
    told = {axis: real_steps(axis, lengths) if own is None else _ends(own) for axis in order if axis != BATCH}
    ends = {axis: np.full(sizes[BATCH], sizes[axis]) if found is None else found for axis, found in told.items()}
    rows = np.flatnonzero(np.all([end > 0 for end in ends.values()], axis=0))
    array[tuple(rows if axis == BATCH else ends[axis][rows] - 1 for axis in order)] = 1
    return array


def _ends(own: NDArray[Any]) -> NDArray[Any]:
    """How many steps there are up to the last own one of each row."""
    steps = np.arange(1, own.shape[1] + 1)
    found: NDArray[Any] = np.max(own * steps, axis=1, initial=0)
    return found


def gradients_back(model: Model, how: RunOptions, output: str, data: Arrays, weights: Arrays) -> dict[str, Any]:
    """The gradient of the sum of an output at each row's own last step, by each sequence of floats: (batch, steps,
    ...).

    UserError where there is no such output of floats over time, CannotDo where no data are sequences of floats.
    """
    sequences = [i for i in model.inputs if i.axes and i.type.dtype == "float"]
    outputs = {n: v.type for n, v in model.graph.outputs.items() if v.type.dtype == "float" and len(v.type.axes) > 1}
    if output not in outputs:
        known = did_you_mean(output, outputs) or f"there are: {', '.join(outputs) or 'none'}"
        raise UserError(f"`{output}` is no output of floats at every step", "E646", known)
    if not sequences:
        help = "what an embedding looks up has none; give the model vectors"
        raise CannotDo("no data of the model are sequences of floats, so there are no gradients by step", "E646", help)
    program = how.compiled(model, steps_of(model.inputs, data), gradient=True).telling_own_steps()
    results, own = apart(program.run(data, weights))
    order, array = model.made.orders[output], results[output]
    sizes = dict(zip(order, array.shape, strict=False))
    lengths = lengths_of(model.inputs, data)
    last = ones_at_ends(order, sizes, array.shape[len(order) :], lengths, own.get(output))
    _, found = program.gradients(data, weights, {output: last})
    return {i.name: found[i.name] for i in sequences if i.name in found}
