"""Convolutions, poolings, morphology and statistics against plain loops, and what is said where they do not fit."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError


def computed(body: str, x: Any, **weights: Any) -> Any:
    """What the expression gives for a batch of values x and some weights."""
    declared = "\n  ".join(f"param {k}: [{', '.join(map(str, v.shape))}]" for k, v in weights.items())
    sizes = f"[{', '.join(map(str, x.shape[1:]))}]"
    model = rg.parse(f"model Test {{\n  input x: {sizes}\n  {declared}\n  output {body} as y\n}}\n")
    return model.compile().run({"x": x}, weights)["y"]


def windows(x: Any, size: Any, stride: Any, dilation: Any, padding: bool) -> Any:
    """For each place the values of its window by entry, NaN where it looks outside of the image (batch, h, w, c)."""
    counts, before = [], []
    for n, k, s, d in zip(x.shape[1:3], size, stride, dilation, strict=True):
        reach = (k - 1) * d + 1
        count = -(-n // s) if padding else (n - reach) // s + 1
        counts.append(count)
        before.append(max(0, (count - 1) * s + reach - n) // 2 if padding else 0)
    seen = np.full((len(x), *counts, *size, x.shape[-1]), np.nan)
    for p, q, i, j in product(*map(range, (*counts, *size))):
        row = p * stride[0] + i * dilation[0] - before[0]
        column = q * stride[1] + j * dilation[1] - before[1]
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            seen[:, p, q, i, j] = x[:, row, column]
    return seen


SIZES = [
    ((3, 3), (1, 1), (1, 1)),
    ((2, 3), (2, 1), (1, 1)),
    ((3, 2), (3, 2), (1, 1)),
    ((2, 2), (1, 1), (2, 3)),
    ((3, 1), (2, 2), (2, 1)),
    ((1, 1), (4, 5), (1, 1)),
]


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize(("size", "stride", "dilation"), SIZES)
def test_windows_see_what_they_should(size: Any, stride: Any, dilation: Any, padding: bool) -> None:
    rng = np.random.default_rng(1)
    x, kernel, shape = rng.normal(size=(2, 7, 6, 2)), rng.normal(size=(*size, 2, 3)), rng.normal(size=(*size, 2))
    seen = windows(x, size, stride, dilation, padding)
    rest = f"stride = {list(stride)}, dilation = {list(dilation)}, padding = {str(padding).lower()}"
    conv = np.einsum("bpqijc,ijco->bpqo", np.nan_to_num(seen), kernel)
    assert np.allclose(computed(f"conv2d(x, kernel, {rest})", x, kernel=kernel), conv, rtol=1e-12, atol=1e-13)
    pools = {
        "max_pool": np.nanmax(seen, axis=(3, 4)),
        "avg_pool": np.nanmean(seen, axis=(3, 4)),
    }
    for name, expected in pools.items():
        got = computed(f"{name}(x, {list(size)}, {rest})", x)
        assert np.allclose(got, expected, rtol=1e-12, atol=1e-13)
    counted = computed(f"avg_pool(x, {list(size)}, {rest}, count_padding = true)", x)
    assert np.allclose(counted, np.nan_to_num(seen).mean((3, 4)), rtol=1e-12, atol=1e-13)
    grown = np.nanmax(seen + shape, axis=(3, 4))
    assert np.allclose(computed(f"dilation2d(x, shape, {rest})", x, shape=shape), grown, rtol=1e-12)
    shrunk = np.nanmin(seen - shape[::-1, ::-1], axis=(3, 4))
    assert np.allclose(computed(f"erosion2d(x, shape, {rest})", x, shape=shape), shrunk, rtol=1e-12)


def test_a_line_is_an_image_of_one_row() -> None:
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(3, 8, 2)), rng.normal(size=(3, 2, 4))
    seen = np.nan_to_num(windows(x[:, None], (1, 3), (1, 2), (1, 1), True))
    expected = np.einsum("bpqijc,ijco->bpqo", seen, kernel[None])
    assert np.allclose(computed("conv1d(x, kernel, stride = 2)", x, kernel=kernel), expected[:, 0], rtol=1e-12)
    assert computed("max_pool(x, 3)", x).shape == (3, 3, 2)
    assert computed("max_pool(x, 3, padding = false)", x).shape == (3, 2, 2)


def test_moments_over_time_count_real_steps() -> None:
    model = rg.parse("""
model Test {
  input x: seq[2]
  mean, variance = moments(x, axis = time)
  count, total, squares = sufficient_statistics(x, axis = time, shift = 0.5)
  again, spread = normalize_moments(count, total, squares, 0.5)
  heavy, around = weighted_moments(x, sum(square(x)), axis = time)
  output mean, variance, again, spread, heavy, around
}
""")
    x = np.random.default_rng(3).normal(size=(3, 5, 2))
    x[1, 3:] = x[2] = np.nan
    got = model.compile().run({"x": x, "x.lengths": np.array([5, 3, 0])}, {})
    assert not any(got[name][2].any() for name in ("mean", "variance", "heavy", "around"))  # of no steps
    for row, real in enumerate((x[0], x[1, :3])):
        assert np.allclose(got["mean"][row], real.mean(0), rtol=1e-13)
        assert np.allclose(got["variance"][row], real.var(0), rtol=1e-13)
        assert np.allclose(got["again"][row], real.mean(0), rtol=1e-12)
        assert np.allclose(got["spread"][row], real.var(0), rtol=1e-12)
        weights = (real**2).sum(1, keepdims=True)
        assert np.allclose(got["heavy"][row], (weights * real).sum(0) / weights.sum(), rtol=1e-12)


@pytest.mark.parametrize(("body", "slope"), [("clip_by_norm(x, 1)", 1.0), ("global_norm(x) * x", 0.0)])
def test_the_gradient_of_a_norm_of_zero_is_a_number(body: str, slope: float) -> None:
    model = rg.parse(f"model Test {{\n  input x: [3]\n  output {body} as y\n}}\n")
    _, grads = model.compile(gradient=True).gradients({"x": np.zeros((1, 3))}, {}, {"y": np.ones((1, 3))})
    assert np.array_equal(grads["x"], np.full((1, 3), slope))


def test_clip_by_value_stops_the_gradient_where_it_clips() -> None:
    model = rg.parse("model Test {\n  input x: [4]\n  output clip(x, -1, 0.5) as y\n}\n")
    data = {"x": np.array([[-3.0, -0.5, 0.25, 2.0]])}
    program = model.compile(gradient=True)
    assert program.run(data, {})["y"].tolist() == [[-1.0, -0.5, 0.25, 0.5]]
    assert program.gradients(data, {}, {"y": np.ones((1, 4))})[1]["x"].tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_dimensions_in_another_order() -> None:
    x = np.random.default_rng(4).normal(size=(2, 3, 4, 5))
    assert np.array_equal(computed("transpose(x, [1, 2, 0])", x), x.transpose(0, 2, 3, 1))
    assert np.array_equal(computed("transpose(x)", x), x.transpose(0, 3, 2, 1))
    assert np.array_equal(computed("flip(x, axis = 1)", x), x[:, :, ::-1])
    assert np.allclose(computed("sum(x, axis = [0, -1])", x), x.sum((1, 3)), rtol=1e-12)
    assert np.allclose(computed("mean(x, axis = [1, 2])", x), x.mean((2, 3)), rtol=1e-12)


WRONG = {
    "conv2d(v, kernel)": ("E204", "`conv2d` takes [height, width, channels], but `v` has 4 values"),
    "conv2d(x, v)": ("E204", "a kernel of `conv2d` is [height, width, channels, results]"),
    "conv2d(x, kernel[:, :, 1:])": ("E201", "`x` has 2 channels, but `kernel[:, :, 1:]` is for 1"),
    "conv2d(x, kernel, stride = [1, 2, 3])": ("E204", "`stride` of `conv2d` is one number, or 2 numbers"),
    "conv2d(x, kernel, padding = 1)": ("E208", "`padding` of `conv2d` is `true` or `false`"),
    "conv2d(x, kernel, dilation = 4, padding = false)": ("E201", "windows of 9 x 9 do not fit"),
    "max_pool(v[0], 2)": ("E204", "`max_pool` takes"),
    "max_pool(x, 0)": ("E203", ""),
    "max_pool(x, 2, stride = 1, dilation = 9)": ("E201", "some windows lie wholly in the padding"),
    "dilation2d(x, kernel)": ("E201", "a filter of `dilation2d` is [height, width, 2] here"),
    "lrn(x, -1)": ("E204", "a radius of 0 or more"),
    "moments(x, axis = [0, 3])[0]": ("E204", "these dimensions do not exist"),
    "sum(x, axis = [0, 0])": ("E204", "a dimension is given twice"),
    "sum(x, axis = time)": ("E305", "`x` is not a sequence over `time`"),
    "clip_by_norm(x, 0)": ("E207", "must be above 0"),
    "clip_by_norm(x, v)": ("E204", "a limit is one number"),
    "transpose(x, [0, 1])": ("E204", "`order` names each dimension once"),
    "weighted_moments(v, x)[0]": ("E201", "`v` has 4 values but `x` has"),
}


@pytest.mark.parametrize("body", WRONG)
def test_what_does_not_fit_is_said_at_its_place(body: str) -> None:
    text = f"""model Test {{
  input x: [6, 5, 2]
  input v: [4]
  param kernel: [3, 3, 2, 2]
  output {body} as y, sum(v) + sum(x) + sum(kernel) as z
}}
"""
    with pytest.raises(UserError) as caught:
        rg.parse(text)
    (told,) = [d for d in caught.value.diagnostics if d.severity == "error"]
    code, words = WRONG[body]
    assert told.code == code
    assert words in told.message
    assert told.span is not None and told.span.text in body
