"""Layers of a stack as loops of their own: which they are, and the bits of the same layers written one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.compilation.variant import Signature
from rnngraph.ir.graph import LOOP

ONE = """
model M(units = 5) {{
  input x: seq[3]
  y, final = unroll {} over x
  output y
  loss squared_error(y, 0)
}}
"""
BY_ITSELF = """
model M(units = 5) {
  input x: seq[3]
  h, first = unroll GRU(units) over x
  k, second = unroll LSTM(4) over h
  y, third = unroll RNN(units) over k
  output y
  loss squared_error(y, 0)
}
"""
FEEDBACK = """
cell Both(units) {
  input x
  state below: [units] = 0
  state above: [units] = 0
  new = tanh(Dense(units)([x, below, above]))
  below' = new
  above' = tanh(Dense(units)([new, above]))
  output above'
}
"""
"""The lower layer reads the old state of the upper one."""


def loops(text: str, padded: bool = False) -> int:
    program = rg.parse(text).compile()
    graph = dict(program.variant(Signature(padded=padded)).stages())["distribute"]
    return sum(node.op is LOOP for node in graph.all_nodes())


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("cells", "layers"),
    [
        ("GRU(units)", 1),
        ("GRU(units) >> LSTM(4)", 2),
        ("GRU(units) >> LSTM(4) >> RNN(units)", 3),
        ("LSTM(3) >> LayerNorm() >> Dropout(0.3) >> GRU(units)", 2),
        ("Residual(GRU(3)) >> Residual(LSTM(3))", 2),
        ("MinGRU(units) >> MinGRU(units)", 1),
    ],
)
def test_each_layer_has_a_loop(cells: str, layers: int, padded: bool) -> None:
    assert loops(ONE.format(cells), padded) == layers


def test_layers_that_need_each_other_have_one_loop() -> None:
    assert loops(FEEDBACK + ONE.format("Both(units)")) == 1
    assert loops(FEEDBACK + ONE.format("Both(units)"), padded=True) == 1


@pytest.mark.parametrize("lengths", [None, [6, 2, 5], [3, 0, 1]])
@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("unroll", ["static", "dynamic", 2])
def test_a_stack_has_the_bits_of_its_layers_written_one_by_one(
    kernels: str, unroll: str | int, lengths: list[int] | None
) -> None:
    """Results, states and gradients; what stands in the padding is seen nowhere."""
    found: list[list[Any]] = []
    for text in (ONE.format("GRU(units) >> LSTM(4) >> RNN(units)"), BY_ITSELF):
        model = rg.parse(text)
        shapes = {name: array.shape for name, array in model.init(0).items()}
        random = np.random.default_rng(1)
        weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
        steps = 6 if unroll == "static" else None
        program = model.compile(unroll, steps, kernels=kernels, gradient=True)
        data = synthetic(model, 6, 3, 1)
        if lengths:
            data["x.lengths"] = np.array(lengths)
            data["x"][np.arange(6) >= data["x.lengths"][:, None]] = np.nan
        loss, gradients = program.gradients(data, weights)
        found.append([loss, *gradients.values(), program.run(data, weights)["y"]])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
