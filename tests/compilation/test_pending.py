"""A forward pass whose backward pass comes later: the numbers of both in one go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from tests.support.models import CELLS, LAYERS
from tests.support.running import same_bits

NAMES = ("bidirectional", "tagger", "two speeds", "self attention", "lstm everything", "dropout", "slstm", "zoneout")
MODELS = {name: (LAYERS | CELLS)[name] for name in NAMES}
TWICE = """
model Twice {
  input x: seq[3]
  y, final = unroll RNN(3) over x
  output y, last(y) as end, final, x, x as again, 2 * x as double, 2 * x as doubled
  loss mean(y * y)
}
"""


def data_of(model: Any, rng: np.random.Generator) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for item in model.inputs:
        batch = "batch" in item.type.axes
        shape = (*(3,) * batch, *(5,) * len(item.axes), *item.type.shape)
        data[item.name] = rng.normal(size=shape) if item.type.dtype == "float" else rng.integers(0, 2, shape)
        if batch and item.axes:
            data[f"{item.name}.lengths"] = np.array([5, 2, 4])
    return data


@pytest.mark.parametrize("name", MODELS)
def test_both_passes_have_the_numbers_of_one_go(name: str) -> None:
    rng, model = np.random.default_rng(0), rg.parse(MODELS[name])
    program = model.compile(gradient=True, training=True)
    data, weights = data_of(model, rng), model.init(1)
    results = program.run(data, weights)
    cotangents = {n: rng.normal(size=results[n].shape) for n in program.differentiable}
    pending, other = program.begin(data, weights), program.begin(data, weights)
    assert same_bits(pending.results, results)
    _, wanted = program.gradients(data, weights, cotangents)
    for one in (other, pending):
        assert same_bits(one.gradients(cotangents), wanted)


@pytest.mark.parametrize("options", [{}, {"unroll": "static", "steps": 4}, {"keep": "sqrt"}, {"kernels": "numpy"}])
def test_what_is_handed_out_twice_gets_both_cotangents(options: dict[str, Any]) -> None:
    """Under two names one value, or equal ones; the loss with a weight."""
    rng, model = np.random.default_rng(0), rg.parse(TWICE)
    program, data, weights = model.compile(gradient=True, **options), {"x": rng.normal(size=(2, 4, 3))}, model.init(1)
    results = program.run(data, weights)
    cotangents = {n: rng.normal(size=results[n].shape) for n in program.differentiable}
    alone = [program.gradients(data, weights, {n: c})[1] for n, c in cotangents.items()]
    _, both = program.gradients(data, weights, cotangents)
    for name, found in both.items():
        assert np.allclose(found, sum(one[name] for one in alone), rtol=1e-12)
    assert np.allclose(program.gradients(data, weights, {"again": cotangents["again"]})[1]["x"], cotangents["again"])
