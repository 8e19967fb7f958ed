"""The cells of `examples/papers/`: against their equations in NumPy, in both modes, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import synthetic
from tests.support import recipe_equations
from tests.support.equations import drawn
from tests.support.paths import ROOT
from tests.support.running import same_bits

PAPERS = sorted((ROOT / "examples" / "papers").glob("*.rnn"))
SMALL: dict[str, dict[str, Any]] = {}
"""Settings other than `units = 4`."""
STEPS, BATCH = 5, 2


def small(name: str) -> Any:
    return rg.load(ROOT / "examples" / "papers" / f"{name}.rnn", **SMALL.get(name, {"units": 4}))


def one_net(weights: dict[str, Any]) -> dict[str, Any]:
    """By their names behind the first, that of the cell."""
    return {name.partition(".")[2]: w for name, w in weights.items()}


@pytest.mark.parametrize("name", [path.stem for path in PAPERS])
def test_a_recipe_is_its_equations(name: str) -> None:
    model = small(name)
    weights, data = drawn(model), synthetic(model, STEPS, BATCH, 0)
    found = model.compile().run(data, weights)
    assert same_bits(found, model.compile(unroll="static", steps=STEPS).run(data, weights))
    equations = getattr(recipe_equations, name)
    expected = [equations(one_net(weights), *(data[i.name][row] for i in model.inputs)) for row in range(BATCH)]
    assert np.allclose(found["y"], np.stack(expected), rtol=1e-9, atol=1e-12)
