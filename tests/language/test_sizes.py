"""Sizes of 0: what is made of no entries, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from tests.support.constructs import MODELS


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_a_memory_of_no_steps_is_none(kernels: str, tmp_path: Path) -> None:
    """With k = 1 the causal convolution reads the present step alone; weights without entries go through a file."""
    model = rg.parse(MODELS["sizes of 0"])
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {"x": rng.normal(size=(2, 5, 3)), "e": np.zeros((2, 5, 0)), "f": np.zeros((2, 2, 0))}
    rg.save_weights(tmp_path / "w.safetensors", model.init(3))
    weights = rg.load_weights(tmp_path / "w.safetensors")
    assert weights["causal.q"].shape == (3, 0) and weights["causal.r"].shape == (0, 3)
    found = model.compile(kernels=kernels, gradient=True).run(data, weights)
    want = data["x"] * weights["causal.w"][0] + 1  # a product of no numbers is 1
    np.testing.assert_allclose(found["y"], want, rtol=1e-12)
    np.testing.assert_array_equal(found["some"], found["y"])
    np.testing.assert_array_equal(found["after.s"], np.ones((2, 2)))
    for name in ("s", "norm", "e2"):
        assert not found[name].any()
    assert found["p"].shape == (2, 5, 0, 3) and found["final.past"].shape == (2, 0, 3) and not found["any"].any()
    loss, slopes = model.compile(kernels=kernels, gradient=True).gradients(data, weights)
    alone = np.mean(found["z"] ** 2, axis=-1) + np.sum(want**2, axis=-1)
    np.testing.assert_allclose(loss, alone.mean(), rtol=1e-12)
    np.testing.assert_allclose(slopes["causal.w"][0], np.sum(2 * want * data["x"], axis=(0, 1)) / 10, rtol=1e-12)
    assert slopes["causal.q"].shape == (3, 0) and slopes["u"].shape == (0, 3)


@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("lengths", [{}, {"x.lengths": [0, 0], "c.lengths": [0, 0]}])
def test_a_number_over_no_steps_is_zero(kernels: str, lengths: dict[str, list[int]]) -> None:
    numbers = [f"{f}({x}, axis = time)" for f in ("sum", "mean", "max", "min", "norm", "logsumexp") for x in "xc"]
    model = rg.parse(f"model M {{ input x: seq[2]  input c: seq int  output {', '.join([*numbers, 'last(x)'])} }}")
    steps = 3 if lengths else 0
    data = {"x": np.ones((2, steps, 2)), "c": np.ones((2, steps), int), **lengths}
    found = model.compile(kernels=kernels).run(data, {})
    assert len(found) == 13 and not any(array.any() for array in found.values())


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("max(e)", "no entry is the largest, as there are none"),
        ("argmin(e)", "no entry is the largest, as there are none"),
        ("mean(e)", "`e` has 0 values: there is no mean of no entries"),
        ("moments(e)", "there is no mean of no entries"),
        ("squared_error(e, e)", "there is no mean of no entries"),
        ("e[0]", "`0` chooses among no elements"),
        ("e[k]", "`k` chooses among no elements"),
        ("one_hot(k, 0)", "`k` chooses among no elements"),
        ("cross_entropy(e, k)", "`e` has 0 values: there is no class"),
        ("x[2:1]", "`2:1` chooses nothing"),
        ("x[:4]", "lies outside the 3 values there are"),
        ("conv1d(x[:, None], zeros([0, 1, 2]))", "has no entries"),
        ("window(x, 0)", "a size must be positive here, not 0"),
        ("zeros([2, -1])", "a size cannot be negative"),
        ("x + zeros([0])", "`x` has 3 values but `zeros([0])` has 0 values"),
    ],
)
def test_what_needs_an_entry_is_refused(expression: str, message: str) -> None:
    text = f"model M {{\n  input x: seq[3]\n  input e: seq[0]\n  input k: int\n  output {expression}, k, x, e\n}}\n"
    with pytest.raises(UserError) as refused:
        rg.parse(text).made  # noqa: B018
    assert message in str(refused.value)
