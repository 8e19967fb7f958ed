"""How strongly the last step of an output depends on each earlier step of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.data.shapes import steps_of
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.model import Model
from rnngraph.run_options import RunOptions

Arrays = Mapping[str, Any]


def gradients_back(model: Model, how: RunOptions, output: str, data: Arrays, weights: Arrays) -> dict[str, Any]:
    """The gradient of the sum of the last step of an output, by each sequence of floats: (batch, steps, ...).

    UserError where there is no such output of floats over time, CannotDo where no data are sequences of floats.
    """
    sequences = [i for i in model.inputs if i.axis and i.type.dtype == "float"]
    outputs = {n: v.type for n, v in model.graph.outputs.items() if v.type.dtype == "float" and len(v.type.axes) > 1}
    if output not in outputs:
        known = did_you_mean(output, outputs) or f"there are: {', '.join(outputs) or 'none'}"
        raise UserError(f"`{output}` is no output of floats at every step", "E646", known)
    if not sequences:
        help = "what an embedding looks up has none; give the model vectors"
        raise CannotDo("no data of the model are sequences of floats, so there are no gradients by step", "E646", help)
    program = how.compiled(model, steps_of(model.inputs, data), gradient=True)
    results = program.run(data, weights)
    last = np.zeros_like(results[output])
    last[:, -1] = 1
    _, found = program.gradients(data, weights, {output: last})
    return {i.name: found[i.name] for i in sequences if i.name in found}
