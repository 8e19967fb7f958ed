"""The whole range of inputs, in both widths and by both kernels: right where the mathematics is finite.

The right values are those of `tests/support/equations.py` in extended precision, whose range holds e^11000 and whose
last place is 2000 times finer than that of float64; the gradients, differences of these.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.runtime.native import NativeBackend
from rnngraph.runtime.numpy import NumpyBackend
from tests.support.equations import CELLS, WIDTH, Arrays, below, drawn, fresh, log_sigmoid, run, sigmoid, softmax
from tests.support.models import over

VALUES = (0, 1e-30, -1e-30, 700, -700, 1e5, -1e5, 1e30, -1e30)
ROWS = [[v] * 4 for v in VALUES] + [[700, 0, 1e5, 0], [-1e5, 1e-30, 0, -700], [0, 1e30, 0, -1e30], [1, 700, -1e30, 1]]
BACKENDS = {"numpy": NumpyBackend(), "native": NativeBackend()}
KERNELS = [(name, dtype) for dtype in ("float32", "float64") for name in BACKENDS]

FORMS = {cell.partition("(")[0]: cell for cell in CELLS}
"""Of each cell the last form of the table."""
SUBTLE = {"LSTM(4)", "SLSTM(4)", "MLSTM(4)", "LayerNormLSTM(4)", "MinLSTM(4)", "MLSTM(4, exponential = true)"}
"""Cells that take care of their range themselves, tried in every way; of the others each width and kernel once."""
RANGED = [
    (cell, kernels, dtype)
    for cell in sorted({*FORMS.values(), *SUBTLE})
    for kernels, dtype in KERNELS
    if cell in SUBTLE or (kernels, dtype) in (("numpy", "float64"), ("native", "float32"))
]

RELATIVE = {"float32": 1e-3, "float64": 1e-7}
LAST = np.finfo(np.longdouble).eps


def inputs(dtype: str, width: int = WIDTH) -> Any:
    """A row of the batch for each course of values."""
    return np.repeat(np.array(ROWS)[..., None], width, axis=-1).astype(dtype)


def exact(arrays: Arrays, dtype: str) -> Arrays:
    """As they are in this width, in extended precision."""
    return {k: a.astype(dtype).astype(np.longdouble) for k, a in arrays.items()}


def close(got: Any, right: Any, dtype: str, noise: Any = 0.0) -> bool:
    """Row by row, in parts of the row's largest, with a few of the width's last places at 1."""
    allowed = RELATIVE[dtype] * np.abs(right).max(axis=(1, 2)) + 100 * np.finfo(dtype).eps + noise
    return bool((np.abs(got - right).max(axis=(1, 2)) <= allowed).all())


@np.errstate(all="ignore")
@lru_cache(maxsize=2)
def right(cell: str, dtype: str) -> tuple[Any, Any, Any]:
    """The outputs; their sum differentiated by each input; and how much of that is rounding."""
    step, sizes = CELLS[cell]
    x = inputs(dtype).astype(np.longdouble)
    weights = below(exact(drawn(rg.parse(over(cell, WIDTH))), dtype), "net")

    def outputs(x: Any) -> Any:
        return run(step, x, fresh(sizes, len(x), np.longdouble), weights)

    rows, steps, width = x.shape
    by = 1e-10 * np.maximum(np.abs(x), 1)
    moves = (np.eye(steps * width).reshape(-1, 1, steps, width) * by).reshape(-1, steps, width)
    every = np.tile(x, (steps * width, 1, 1))
    near, far = (outputs(every + n * moves) - outputs(every - n * moves) for n in (1, 2))
    change = (8 * near - far).sum(axis=(1, 2)).reshape(steps, width, rows).transpose(2, 0, 1)
    y = outputs(x)
    noise = 20 * LAST * np.abs(y).max(axis=(1, 2)) / by.min(axis=(1, 2))
    return y, change / (12 * by), noise


@pytest.mark.parametrize(("cell", "kernels", "dtype"), RANGED)
def test_a_cell_over_its_whole_range(cell: str, kernels: str, dtype: str) -> None:
    model, x = rg.parse(over(cell, WIDTH)), inputs(dtype)
    weights = {k: w.astype(dtype) for k, w in drawn(model).items()}
    program = model.compile(backend=BACKENDS[kernels], dtype=dtype, gradient=True)
    y, slopes, noise = right(cell, dtype)
    found = program.run({"x": x}, weights)["y"]
    assert close(found, y, dtype)
    if cell.startswith("MLSTM"):  # its output is as large as its input, and so is the rounding of what cancels
        noise = noise + 100 * np.finfo(dtype).eps * np.abs(x).max(axis=(1, 2))
    if cell == "NAS(4)":  # the relu of a product with x has no slope where x is 0
        noise = np.where((x == 0).any(axis=(1, 2)), 1, noise)
    _, gradients = program.gradients({"x": x}, weights, {"y": np.ones_like(found)})
    assert close(gradients["x"], slopes, dtype, noise)


# --- cells of images, times and memories; layers ------------------------------------------------------------------

LAYERS = {
    "additive": "y = unroll AdditiveAttention(LSTM(4), 5) over x with memory = m",
    "looking first": "y = unroll AdditiveAttention(GRU(4), 5, query = 4) over x with memory = m",
    "multiplicative": "y = unroll MultiplicativeAttention(LSTM(4), 3) over x with memory = m",
    "causal": "y = SelfAttention(4, causal = true)(x)",
    "qrnn": "y = QRNN(4)(x)",
    "images": "y = unroll ConvLSTM(2, 2, peepholes = true) over reshape(x, [3, 1, 1])",
    "times": "y = unroll PhasedLSTM(4, open = 0.9, peepholes = true) over x, 3 + tanh(sum(x))",
    "bag": "y = BagRootN(4, 2)(position(axis = time), x[0])",
    "highway": "y = unroll Highway(LSTM(3)) >> LayerNorm over x",
}
LAYER = "model M { input x: seq[3] input m: seq@source[3] LINE output y loss mean(y) }"


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_over_its_whole_range(name: str) -> None:
    """Finite, and the same by both kernels in either width, but for the last places of a width."""
    model = rg.parse(LAYER.replace("LINE", LAYERS[name]))
    weights = drawn(model)
    found = {}
    for kernels, dtype in KERNELS:
        data = {"x": inputs(dtype), "m": inputs(dtype)[:, ::-1]}
        narrow = {k: w.astype(dtype) for k, w in weights.items()}
        found[kernels, dtype] = model.compile(backend=BACKENDS[kernels], dtype=dtype).run(data, narrow)["y"]
    exactly = found["numpy", "float64"]
    assert np.isfinite(exactly).all()
    for (_, dtype), y in found.items():
        assert close(y.reshape(len(ROWS), 1, -1), exactly.reshape(len(ROWS), 1, -1), dtype)


# --- functions ----------------------------------------------------------------------------------------------------


def norm(x: Any, axis: Any = -1) -> Any:
    return np.sqrt((x * x).sum(axis=axis, keepdims=True))


def shortened(x: Any) -> Any:
    return x * 2 / np.maximum(norm(x), 2)


def neighbours(x: Any) -> Any:
    """The squares of each of three channels and of those beside it."""
    left, right = np.roll(x, 1, axis=-1) * [0, 1, 1], np.roll(x, -1, axis=-1) * [1, 1, 0]
    return x * x + left * left + right * right


def below_largest(x: Any, axis: int = -1) -> Any:
    return x - x.max(axis=axis, keepdims=True)


FUNCTIONS = {
    "norm(x)": lambda x: norm(x)[..., 0],
    "norm(x, axis = time)": lambda x: norm(x, axis=1)[:, 0],
    "global_norm(x, 3 * x)": lambda x: norm(x)[..., 0] * np.sqrt(np.longdouble(10)),
    "clip_by_norm(x, 2)": shortened,
    "lrn(x, 1, 2)": lambda x: x / np.sqrt(2 + neighbours(x)),
    "lrn(x, 0, 2, 1, 0.75)": lambda x: x / (2 + x * x) ** np.longdouble(0.75),
    "sigmoid(x)": sigmoid,
    "softplus(x)": lambda x: -log_sigmoid(-x),
    "log_sigmoid(x)": log_sigmoid,
    "softmax(x)": lambda x: softmax(x, -1),
    "log_softmax(x)": lambda x: below_largest(x) - np.log(np.exp(below_largest(x)).sum(axis=-1, keepdims=True)),
    "softmax(4 * x, axis = time)": lambda x: softmax(4 * x, 1),
    "max(4 * x, axis = time)": lambda x: (4 * x).max(axis=1),
    "min(4 * x, axis = time)": lambda x: (4 * x).min(axis=1),
}


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("kernels", BACKENDS)
def test_functions_over_their_whole_range(kernels: str, padded: bool) -> None:
    dtype = "float64" if padded == (kernels == "numpy") else "float32"
    named = ", ".join(f"{text} as y{i}" for i, text in enumerate(FUNCTIONS))
    program = rg.parse(f"model M {{ input x: seq[3] output {named} }}").compile(
        backend=BACKENDS[kernels], dtype=dtype, gradient=True
    )
    x = inputs(dtype) * np.array([1, 0.5, -0.25], dtype)
    data = {"x": np.pad(x, ((0, 0), (0, 2), (0, 0))), "x.lengths": np.full(len(x), 4)} if padded else {"x": x}
    got = program.run(data, {})
    for i, (text, function) in enumerate(FUNCTIONS.items()):
        with np.errstate(all="ignore"):
            expected = function(x.astype(np.longdouble))
        y = got[f"y{i}"]
        y = y[:, :4] if "time" not in text or "softmax" in text else y
        assert np.allclose(y, expected, rtol=RELATIVE[dtype] / 10, atol=np.finfo(dtype).tiny), text
    _, gradients = program.gradients(data, {}, {name: np.ones_like(y) for name, y in got.items()})
    assert np.isfinite(gradients["x"]).all()
