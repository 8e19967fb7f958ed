"""What has to be said of a model that was trained on standardised columns: what is exported takes scaled numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.preprocessing import recipe_in
from rnngraph.model import Model
from rnngraph.training.predict import scaling_of
from rnngraph.weights.save_load import Weights

Array = NDArray[Any]


def scaling_note(model: Model, weights: Mapping[str, Any], loss: bool) -> str:
    """How its inputs are scaled, and its outputs back; nothing where the weights know of no scaling. Targets are inputs
    where the `loss` is an output."""
    recipe = recipe_in(weights.about.data) if isinstance(weights, Weights) else None
    if recipe is None or not recipe.scaling:
        return ""
    taken = {i.name: recipe.scaling_of(i) for i in model.inputs if loss or i.name not in model.roles.targets}
    given = {name: scaling_of(model, name, recipe) for name in model.outputs}
    into = [(name, *np.array(known).T) for name, known in taken.items() if known]
    out = [(name, *known) for name, known in given.items() if known is not None]
    lines = [f"`{n}` takes (value - {_few(mean)}) / {_few(by)}" for n, mean, by in into if _scales(mean, by)]
    lines += [f"`{n}` * {_few(by)} + {_few(mean)} is in the table's units" for n, mean, by in out if _scales(mean, by)]
    return "\n".join(("Columns are standardised, as in training:", *lines))


def _scales(mean: Array, by: Array) -> bool:
    return bool(mean.any() or (by != 1).any())


def _few(numbers: Array) -> str:
    """One number, or a list of them."""
    return repr(numbers.item() if numbers.size == 1 else numbers.tolist())
