"""The library against its papers: each cell's equations once more in plain NumPy, and what wrappers and sequences do.

`tests/test_modes.py` walks the same cells through all lowerings, padding, finite differences and the laws.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.costs import differences, synthetic
from rnngraph.diagnostics import UserError
from rnngraph.front.imports import library
from rnngraph.viz.summary import summary
from tests.models import ALL, over

Arrays = dict[str, Any]
STEPS, BATCH, WIDTH = 6, 3, 3


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def join(*parts: Any) -> Any:
    return np.concatenate(parts, axis=-1)


def drawn(model: Any, seed: int = 0) -> Arrays:
    """Weights away from their first values, so that no bias is 0 and no gain 1."""
    rng = np.random.default_rng(seed)
    return {k: w + 0.3 * rng.normal(size=w.shape) for k, w in model.init(seed).items()}


def zeros(*names: str, **sizes: int) -> Arrays:
    return {n: np.zeros((BATCH, 4)) for n in names} | {n: np.zeros((BATCH, s)) for n, s in sizes.items()}


# --- equations in NumPy: (x, state by name, weights by name, t) -> output; the state is written to --------------

Step = Callable[[Any, Arrays, Arrays, int], Any]


def lstm_coupled(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    i, j, o = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 3, axis=1)
    i = sigmoid(i + w["w_i"] * s["c"])
    s["c"] = (1 - i) * s["c"] + i * np.tanh(j)
    s["h"] = sigmoid(o + w["w_o"] * s["c"]) * np.tanh(s["c"])
    return s["h"]


def normed(x: Any, w: Arrays, name: str) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return w[f"{name}.gain"] * centred / deviation + w[f"{name}.offset"]


def layer_norm_lstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    both = normed(x @ w["input_kernel"], w, "input_norm") + normed(s["h"] @ w["state_kernel"], w, "state_norm")
    i, j, f, o = np.split(both + w["bias"], 4, axis=1)
    s["c"] = sigmoid(f + 1) * s["c"] + sigmoid(i) * np.tanh(j)
    s["h"] = sigmoid(o) * np.tanh(normed(s["c"], w, "cell_norm"))
    return s["h"]


def mgu(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    f = sigmoid(join(x, s["h"]) @ w["gate_kernel"] + w["gate_bias"])
    s["h"] = (1 - f) * s["h"] + f * np.tanh(join(x, f * s["h"]) @ w["kernel"] + w["bias"])
    return s["h"]


def ugrnn(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    c, g = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 2, axis=1)
    s["h"] = sigmoid(g + 1) * s["h"] + (1 - sigmoid(g + 1)) * np.tanh(c)
    return s["h"]


def janet(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    f, j = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 2, axis=1)
    s["h"] = sigmoid(f) * s["h"] + (1 - sigmoid(f - 1)) * np.tanh(j)
    return s["h"]


def recurrent_highway(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    y = s["h"]
    for k in (1, 2, 3):
        both = y @ w[f"state_kernel.{k}"] + w[f"bias.{k}"] + (x @ w["kernel"] if k == 1 else 0)
        a, g = np.split(both, 2, axis=1)
        y = np.tanh(a) * sigmoid(g - 2) + y * (1 - sigmoid(g - 2))
    s["h"] = y
    return y


def ind_rnn(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    s["h"] = relu(x @ w["kernel"] + w["recurrent"] * s["h"] + w["bias"])
    return s["h"]


def sru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    u, f, r = np.split(x @ w["kernel"], 3, axis=1)
    f, r = sigmoid(f + w["v_f"] * s["c"] + w["b_f"]), sigmoid(r + w["v_r"] * s["c"] + w["b_r"])
    s["c"] = f * s["c"] + (1 - f) * u
    return r * s["c"] + (1 - r) * (x @ w["skip"])


def min_gru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    z, c = np.split(x @ w["kernel"] + w["bias"], 2, axis=1)
    s["h"] = (1 - sigmoid(z)) * s["h"] + sigmoid(z) * c
    return s["h"]


def min_lstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    f, i, c = np.split(x @ w["kernel"] + w["bias"], 3, axis=1)
    f, i = sigmoid(f), sigmoid(i)
    s["h"] = f / (f + i) * s["h"] + i / (f + i) * c
    return s["h"]


def lru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """In complex numbers, as the paper has it."""
    eigenvalue = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    gamma = np.sqrt(1 - np.abs(eigenvalue) ** 2)
    z = eigenvalue * (s["re"] + 1j * s["im"]) + gamma * (x @ (w["into_re"] + 1j * w["into_im"]))
    s["re"], s["im"] = z.real, z.imag
    return (z @ (w["out_of_re"] + 1j * w["out_of_im"])).real + x @ w["through"]


def clockwork(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """By the paper's one matrix, whose blocks below the diagonal are 0."""
    old, new = s["h"], s["h"].copy()
    for k in range(2):
        if t % 2**k == 0:
            rows = slice(2 * k, 2 * k + 2)
            recurrent = np.zeros((4, 2))
            recurrent[2 * k :] = w[f"kernel.{k}"][WIDTH:]
            new[:, rows] = np.tanh(x @ w[f"kernel.{k}"][:WIDTH] + old @ recurrent + w[f"bias.{k}"])
    s["h"] = new
    return new


def nas(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    a = np.split(x @ w["input_kernel"], 8, axis=1)
    b = np.split(s["h"] @ w["state_kernel"] + w["bias"], 8, axis=1)
    first = [sigmoid(a[0] + b[0]), relu(a[1] + b[1]), sigmoid(a[2] + b[2]), relu(a[3] * b[3]),
             np.tanh(a[4] + b[4]), sigmoid(a[5] + b[5]), np.tanh(a[6] + b[6]), sigmoid(a[7] + b[7])]  # fmt: skip
    second = [np.tanh(first[0] * first[1]), np.tanh(first[2] + first[3]),
              np.tanh(first[4] * first[5]), sigmoid(first[6] + first[7])]  # fmt: skip
    s["c"] = np.tanh(second[0] + s["c"]) * second[1]
    s["h"] = np.tanh(s["c"] * np.tanh(second[2] + second[3]))
    return s["h"]


def multiplicative_lstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    m = (x @ w["input_factor"]) * (s["h"] @ w["state_factor"])
    i, j, f, o = np.split(join(x, m) @ w["kernel"] + w["bias"], 4, axis=1)
    s["c"] = sigmoid(f + 1) * s["c"] + sigmoid(i) * np.tanh(j)
    s["h"] = sigmoid(o) * np.tanh(s["c"])
    return s["h"]


def slstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """Without the stabiliser, which must change nothing: c / n has the same common factor above and below."""
    z, i, f, o = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 4, axis=1)
    s["c"] = sigmoid(f) * s["c"] + np.exp(i) * np.tanh(z)
    s["n"] = sigmoid(f) * s["n"] + np.exp(i)
    s["h"] = sigmoid(o) * s["c"] / s["n"]
    return s["h"]


def mlstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """Without the stabiliser: the matrix is a sum of outer products of values and keys."""
    q, k, v, o = np.split(x @ w["kernel"] + w["bias"], 4, axis=1)
    k = k / 2
    i, f = np.split(x @ w["gate_kernel"] + w["gate_bias"], 2, axis=1)[::-1]
    i, f = np.exp(i), sigmoid(f)
    s["c"] = f[..., None] * s["c"] + i[..., None] * v[:, :, None] * k[:, None, :]
    s["n"] = f * s["n"] + i * k
    weight = np.abs((s["n"] * q).sum(axis=1, keepdims=True))
    return sigmoid(o) * np.einsum("bij,bj->bi", s["c"], q) / np.maximum(weight, 1)


CELLS: dict[str, tuple[Step, Arrays]] = {
    "LSTM(4, coupled = true, peepholes = true)": (lstm_coupled, zeros("c", "h")),
    "LayerNormLSTM(4)": (layer_norm_lstm, zeros("c", "h")),
    "MGU(4)": (mgu, zeros("h")),
    "UGRNN(4)": (ugrnn, zeros("h")),
    "JANET(4)": (janet, zeros("h")),
    "RecurrentHighway(4)": (recurrent_highway, zeros("h")),
    "IndRNN(4)": (ind_rnn, zeros("h")),
    "SRU(4)": (sru, zeros("c")),
    "MinGRU(4)": (min_gru, zeros("h")),
    "MinLSTM(4)": (min_lstm, zeros("h")),
    "LRU(4, 5)": (lru, zeros(re=5, im=5)),
    "Clockwork(4, 2)": (clockwork, zeros("h")),
    "NAS(4)": (nas, zeros("c", "h")),
    "MultiplicativeLSTM(4)": (multiplicative_lstm, zeros("c", "h")),
    "SLSTM(4)": (slstm, zeros("c", "n", "h")),
    "MLSTM(4)": (mlstm, {"c": np.zeros((BATCH, 4, 4)), "n": np.zeros((BATCH, 4))}),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_its_equations(cell: str) -> None:
    step, state = CELLS[cell]
    model = rg.parse(over(cell, WIDTH))
    weights, data = drawn(model), synthetic(model, STEPS, BATCH, 2)
    local = {k.removeprefix("net."): v for k, v in weights.items()}
    state = {k: v.copy() for k, v in state.items()}
    expected = [step(data["x"][:, t], state, local, t) for t in range(STEPS)]
    got = model.compile().run(data, weights)
    assert np.allclose(got["y"], np.stack(expected, axis=1), rtol=1e-10, atol=1e-12)
    if cell not in ("SLSTM(4)", "MLSTM(4)"):  # whose states are scaled by the stabiliser
        assert all(np.allclose(got[f"final.{k}"], v, rtol=1e-10, atol=1e-12) for k, v in state.items())


@pytest.mark.parametrize("cell", ["SLSTM(4)", "MLSTM(4)"])
def test_exponential_gates_stay_finite(cell: str) -> None:
    """Gates at e^1000 would overflow without the stabiliser."""
    model = rg.parse(over(cell))
    weights = {k: w * 2000 for k, w in drawn(model).items()}
    program = model.compile(gradient=True)
    data = synthetic(model, 30, 2, 1)
    assert all(np.isfinite(v).all() for v in program.run(data, weights).values())
    assert all(np.isfinite(v).all() for v in program.gradients(data, weights)[1].values())


def test_qrnn_is_a_convolution_and_a_pooling() -> None:
    model = rg.parse(ALL["qrnn"])
    w, data = drawn(model), synthetic(model, STEPS, BATCH, 0)
    before = np.concatenate([np.zeros((BATCH, 1, WIDTH)), data["x"][:, :-1]], axis=1)
    z, f, o = np.split(join(before, data["x"]) @ w["qrnn.kernel"] + w["qrnn.bias"], 3, axis=-1)
    c, expected = np.zeros((BATCH, 4)), []
    for t in range(STEPS):
        c = sigmoid(f[:, t]) * c + (1 - sigmoid(f[:, t])) * np.tanh(z[:, t])
        expected.append(sigmoid(o[:, t]) * c)
    assert np.allclose(model.compile().run(data, w)["y"], np.stack(expected, axis=1), rtol=1e-10)


def test_phased_lstm_is_its_equations() -> None:
    model = rg.parse(ALL["phased lstm"])
    w, data = drawn(model), synthetic(model, STEPS, BATCH, 0)
    times, c, h, expected = 3 * np.abs(data["time"]), np.zeros((BATCH, 4)), np.zeros((BATCH, 4)), []
    w = {k.rpartition(".")[2]: v for k, v in w.items()}
    for t in range(STEPS):
        i, j, f, o = np.split(join(data["x"][:, t], h) @ w["kernel"] + w["bias"], 4, axis=1)
        phi = (times[:, t, None] / np.exp(w["log_period"]) - w["offset"]) % 1
        k = np.where(phi < 0.45, 2 * phi / 0.9, np.where(phi < 0.9, 2 - 2 * phi / 0.9, 0))
        moved = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        c, h = k * moved + (1 - k) * c, k * sigmoid(o) * np.tanh(moved) + (1 - k) * h
        expected.append(h)
    named = drawn(model)
    assert np.allclose(model.compile().run(data, named)["y"], np.stack(expected, axis=1), rtol=1e-10)


def test_conv_lstm_over_one_pixel_is_an_lstm() -> None:
    """A window of one and an image of one pixel: the plain cell."""
    image = rg.parse("model M { input x: seq[1, 1, 3] net = ConvLSTM(4, 1) y = unroll net over x output y }")
    plain = rg.parse(over("LSTM(4)"))
    weights, x = drawn(plain), synthetic(plain, 5, 2, 0)["x"]
    other = {"net.kernel": weights["net.kernel"][None, None], "net.bias": weights["net.bias"]}
    got = image.compile().run({"x": x[:, :, None, None]}, other)["y"]
    assert np.allclose(got[:, :, 0, 0], plain.compile().run({"x": x}, weights)["y"], rtol=1e-12)


def test_attention_weighs_the_real_steps_of_its_memory() -> None:
    model = rg.parse(ALL["attention general"])
    w, data = drawn(model), synthetic(model, 4, 2, 0)
    data["source.lengths"] = np.array([3, 1])
    data["source"][0, 3:] = np.nan
    data["source"][1, 1:] = np.nan
    got = model.compile(watch=("weights",)).run(data, w)
    assert got["weights"].shape == (2, 4, 4)  # over the decoder's steps, then over source
    assert np.allclose(got["weights"].sum(axis=2), 1)
    assert not got["weights"][0, :, 3:].any() and not got["weights"][1, :, 1:].any()
    context = got["y"][..., 4:]
    assert np.allclose(context[1], data["source"][1, 0])  # the one real step is all that there is to look at
    y = got["y"][0, 0, :4]
    scores = data["source"][0, :3] @ (y @ w["multiplicative_attention.kernel"])
    weights = np.exp(scores - scores.max())
    assert np.allclose(context[0, 0], (weights / weights.sum()) @ data["source"][0, :3])


# --- wrappers -----------------------------------------------------------------------------------------------


def test_highway_and_projection() -> None:
    plain, wrapped = rg.parse(over("GRU(3)")), rg.parse(over("Highway(GRU(3))"))
    w, x = drawn(wrapped), synthetic(plain, 4, 2, 0)
    inner = plain.compile().run(x, {k.replace(".inner", ""): v for k, v in w.items() if ".inner" in k})["y"]
    carry = sigmoid(x["x"] @ w["net.kernel"] + w["net.bias"])
    got = wrapped.compile().run(x, w)
    assert np.allclose(got["y"], carry * x["x"] + (1 - carry) * inner)
    assert got["final.inner.h"].shape == (2, 3)
    model = rg.parse(over("Projected(GRU(3), 2)"))
    w = drawn(model)
    inner = plain.compile().run(x, {k.replace(".inner", ""): v for k, v in w.items() if ".inner" in k})["y"]
    assert np.allclose(
        model.compile().run(x, w)["y"], inner @ w["net.project.kernel"] + w["net.project.bias"], rtol=1e-12
    )


def test_dropout_per_sequence_keeps_its_mask() -> None:
    text = "model M {{ input x: seq[50] y = Dropout(0.5, {})(x) output y }}"
    data = {"x": np.ones((3, 7, 50)), "seed": 5}
    fixed = rg.parse(text.format("per_sequence = true")).compile(training=True).run(data, {})["y"]
    assert np.array_equal(fixed, np.repeat(fixed[:, :1], 7, axis=1))
    assert not np.array_equal(fixed[0], fixed[1])
    moving = rg.parse(text.format("per_sequence = false")).compile(training=True).run(data, {})["y"]
    assert not np.array_equal(moving[:, 0], moving[:, 1])
    for y in (fixed, moving):
        assert set(np.unique(y)) == {0.0, 2.0}
        assert 0.3 < (y == 0).mean() < 0.7
    assert np.array_equal(rg.parse(text.format("true")).compile().run(data, {})["y"], data["x"])


def test_dropout_around_a_cell() -> None:
    plain = over("LSTM(4)")
    none = over("DropoutAround(LSTM(4))")
    model = rg.parse(none)
    w, data = drawn(model), synthetic(model, 5, 2, 0) | {"seed": 3}
    inner = {k.replace(".inner", ""): v for k, v in w.items()}
    expected = rg.parse(plain).compile().run(data, inner)["y"]
    assert np.array_equal(model.compile(training=True).run(data, w)["y"], expected)
    all_kinds = rg.parse(over("DropoutAround(LSTM(4), 0.3, 0.3, 0.3)"))
    assert np.array_equal(all_kinds.compile().run(data, w)["y"], expected)
    dropped = rg.parse(over("DropoutAround(LSTM(40), states = 0.5)"))
    got = dropped.compile(training=True).run(data, drawn(dropped))
    assert 0.2 < (got["final.inner.c"] == 0).mean() < 0.8
    assert 0.2 < (got["final.inner.h"] == 0).mean() < 0.8


def test_zoneout_keeps_entries_of_states() -> None:
    """While training an entry is old or new; else the mean of the two."""
    model = rg.parse(over("Zoneout(GRU(40), 0.5)"))
    w, data = drawn(model), synthetic(model, 1, 4, 0) | {"seed": 1}
    start = {"final.inner.h": np.random.default_rng(0).normal(size=(4, 40))}
    inner = {k.replace(".inner", ""): v for k, v in w.items()}
    old = start["final.inner.h"]
    new = rg.parse(over("GRU(40)")).compile().run({**data, "final.h": old}, inner)["y"][:, 0]
    got = model.compile(training=True).run({**data, **start}, w)
    kept = got["final.inner.h"] == old
    assert 0.3 < kept.mean() < 0.7
    assert np.array_equal(got["final.inner.h"], np.where(kept, old, new))
    assert np.array_equal(got["y"][:, 0], got["final.inner.h"])
    assert np.allclose(model.compile().run({**data, **start}, w)["final.inner.h"], (old + new) / 2)


def test_a_rule_for_states_needs_the_size_of_the_state() -> None:
    text = "layer Half { input old: [n] input new: [n] output new[:1] } cell W(inner) { input x: [n]"
    with pytest.raises(UserError, match="a rule gives one value of the size of the state"):
        rg.parse(f"{text} output revise(inner, Half(), x) }} {over('W(GRU(4))')}")


def test_fixed_tensors_and_masks() -> None:
    model = rg.parse("""model M { input x: [3]
      mask = reshape(range(3), [3, 1]) >= range(3)
      output x @ eye(3), where(mask, 1, 0) as mask, range(size(x)) as r loss sum(x @ where(mask, eye(3), 2)) }""")
    got = model.compile(gradient=True).run({"x": np.array([[1.0, 2.0, 3.0]])}, {})
    assert got["output"].tolist() == [[1, 2, 3]]
    assert got["mask"].reshape(3, 3).tolist() == np.tri(3).tolist()
    assert got["r"].reshape(-1).tolist() == [0, 1, 2]


# --- how weights begin ----------------------------------------------------------------------------------------


def test_a_weight_that_begins_as_an_expression_of_others() -> None:
    model = rg.parse("""model M { input x: [4]
      param w: [4, 2]  ~ normal
      param v: [4, 2] = 2 * w + 1
      param norms: [2] = sum(square(v), axis = 0)
      frozen param table: [3] = [1, 2, 3.5]
      frozen param corner: [2, 2] = reshape([1, 0, 0, 1], [2, 2])
      output x @ w + x @ v, norms @ corner, table }""")
    w = model.init(3)
    assert np.array_equal(w["v"], 2 * w["w"] + 1)
    assert np.allclose(w["norms"], (w["v"] ** 2).sum(axis=0))
    assert w["table"].tolist() == [1, 2, 3.5] and w["corner"].tolist() == [[1, 0], [0, 1]]
    assert {n.name for n in model.weights if n.frozen} == {"table", "corner"}
    assert model.init(3, "float32")["v"].dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input x: [3] param w: [3] = x output x * w", "depends on `x`"),
        ("input x: [3] param a: [3] = b param b: [3] = a output x * a * b", "there is no `a` here"),
        ("input x: [3] param a: [3] = b param b: [4] = 1 output x * a + b[0]", "`a` has 3 values, but `b` has 4"),
    ],
)
def test_what_a_weight_cannot_begin_as(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        rg.parse(f"model M {{ {text} }}")
    assert message in str(caught.value)


# --- gradients -----------------------------------------------------------------------------------------------


def test_detach_and_straight_through() -> None:
    text = "model M {{ input x: [3] y = {} output y loss sum(y) }}"
    x = np.array([[-2.0, 0.5, 3.0]])
    for e, value, grad in (
        ("detach(x) * x", x * x, x),
        ("clip(x, -1, 1)", np.clip(x, -1, 1), [[0.0, 1.0, 0.0]]),
        ("straight_through(clip(x, -1, 1), x)", np.clip(x, -1, 1), [[1.0, 1.0, 1.0]]),
        ("straight_through(sign(x), 2 * x)", np.sign(x), [[2.0, 2.0, 2.0]]),
    ):
        program = rg.parse(text.format(e)).compile(gradient=True)
        assert np.array_equal(program.run({"x": x}, {})["y"], value)
        assert np.array_equal(program.gradients({"x": x}, {})[1]["x"], grad)


def test_detach_cuts_the_way_back_through_time() -> None:
    """A state that is detached at every step: the gradient of one step alone."""
    cell = "cell Cut { input x: [n] state h: [n] = 0 param w: [n, n] h' = tanh(x + detach(h) @ w) output h' }"
    model = rg.parse(cell + over("Cut()"))
    data, w = synthetic(model, 3, 1, 0), drawn(model)
    program = model.compile(gradient=True)
    results = program.run(data, w)
    _, grads = program.gradients(data, w, {"final.h": np.ones((1, 3))})
    assert not grads["x"][:, :2].any()
    assert np.allclose(grads["x"][:, 2], 1 - results["final.h"] ** 2)


# --- sequences ------------------------------------------------------------------------------------------------


def test_pooling_over_real_steps() -> None:
    model = rg.parse("""model M { input x: seq[2]
      output max(x, axis = time) as most, min(x, axis = time) as least, sum(x, axis = time) as total,
        softmax(x, axis = time) as weights, log_softmax(x, axis = time) as logs }""")
    x = np.random.default_rng(0).normal(size=(3, 4, 2)) - 5
    lengths = np.array([4, 2, 0])
    x[1, 2:] = np.nan
    got = model.compile().run({"x": x, "x.lengths": lengths}, {})
    for row, n in enumerate(lengths):
        real = x[row, :n]
        assert np.array_equal(got["most"][row], real.max(axis=0) if n else np.zeros(2))
        assert np.array_equal(got["least"][row], real.min(axis=0) if n else np.zeros(2))
        weights = np.exp(real) / np.exp(real).sum(axis=0)
        assert np.allclose(got["weights"][row, :n], weights) and not got["weights"][row, n:].any()
        assert np.allclose(got["logs"][row, :n], np.log(weights)) and not got["logs"][row, n:].any()


def test_softmax_over_time_of_large_scores() -> None:
    model = rg.parse("model M { input x: seq[] output softmax(x, axis = time) as y loss last(x) }")
    y = model.compile().run({"x": np.array([[1000.0, 0.0, -1000.0]])}, {})["y"]
    assert y.tolist() == [[1.0, 0.0, 0.0]]


def test_steps_past_the_longest_row_are_not_run() -> None:
    """The dynamic program leaves its loop; what is there stays as the masks of the static one have it."""
    model = rg.parse(over("LSTM(4) >> GRU(3)"))
    data = synthetic(model, 40, 3, 0) | {"x.lengths": np.array([2, 0, 3])}
    w = drawn(model)
    dynamic, static = model.compile(), model.compile("static", 40)
    results = [p.run(data, w) for p in (dynamic, static, model.compile(7))]
    for other in results[1:]:
        assert not [d for d in differences(results[0], other) if not d.equal]
    variant = next(v for s, v in dynamic._variants.items() if s.padded)
    assert [item.until for item in variant.program.code if hasattr(item, "until")] != [None]


def test_shift_with_a_first_value() -> None:
    model = rg.parse("model M { input x: seq int output shift(x, 1, fill = 9) as a, shift(x, -2, fill = 7) as b }")
    got = model.compile().run({"x": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), "x.lengths": np.array([4, 2])}, {})
    assert got["a"].tolist() == [[9, 1, 2, 3], [9, 5, 0, 0]]
    assert got["b"].tolist() == [[3, 4, 7, 7], [7, 7, 0, 0]]


@pytest.mark.parametrize("steps", [1, 4, 5, 7])
@pytest.mark.parametrize("by", [1, 2, 3])
def test_every_second_step(steps: int, by: int) -> None:
    model = rg.parse(
        f"model M {{ input x: seq[2] z = every(x, {by}) y, final = unroll GRU(2) over z output z, y, last(z) as e }}"
    )
    x, lengths = np.random.default_rng(0).normal(size=(3, steps, 2)), np.array([steps, 0, steps // 2])
    for unroll in ("dynamic", "static"):
        program = model.compile(unroll, steps if unroll == "static" else None)
        got = program.run({"x": x, "x.lengths": lengths}, model.init())
        for row, n in enumerate(lengths):
            real = x[row, :n:by]
            assert np.array_equal(got["z"][row, : len(real)], real) and not got["z"][row, len(real) :].any()
            assert not got["y"][row, len(real) :].any()
            assert np.array_equal(got["e"][row], real[-1] if len(real) else np.zeros(2))


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_its_equations(causal: bool) -> None:
    model = rg.parse(f"model M {{ input x: seq[3] y = SelfAttention(4, {str(causal).lower()})(x) output y }}")
    w, x, lengths = drawn(model), np.random.default_rng(1).normal(size=(2, 5, 3)), np.array([5, 3])
    got = model.compile().run({"x": x, "x.lengths": lengths}, w)["y"]
    for row, n in enumerate(lengths):
        q, k, v = np.split(x[row, :n] @ w["self_attention.kernel"], 3, axis=1)
        scores = q @ k.T / 2
        if causal:
            scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        assert np.allclose(got[row, :n], weights / weights.sum(axis=1, keepdims=True) @ v)


STOPS = """
cell Count(limit) {
  state n: int = 0
  n' = n + 1
  output n'
  stop n' >= limit
}
model M { output unroll Count(LIMIT) for 5 as n }
"""


def test_a_row_stops_after_the_step_that_says_so() -> None:
    model = rg.parse("""
cell Sum {
  input x: []
  input limit: []
  state s: [] = 0
  s' = s + x
  output s'
  stop s' > limit
}
model M { input x: seq[] input limit: [] y, final = unroll Sum over x with limit = limit output y, final }
""")
    x, limit = np.ones((4, 6)), np.array([0.5, 2.5, 100.0, 0.0])
    for unroll in ("dynamic", "static", 4):
        program = model.compile(unroll, 6 if unroll == "static" else None, gradient=True)
        got = program.run({"x": x, "limit": limit}, {})
        assert got["final.s"].tolist() == [1.0, 3.0, 6.0, 1.0]
        assert got["y"].tolist() == [[1, 0, 0, 0, 0, 0], [1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0]]
        _, grads = program.gradients({"x": x, "limit": limit}, {}, {"final.s": np.ones(4)})
        assert grads["x"].sum(axis=1).tolist() == [1.0, 3.0, 6.0, 1.0]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("n' < 0 and false", None),
        ("false", "it is false at every step"),
        ("t == 5", "the left side is from 0 to 4, the right side 5"),
        ("t > 4", "the left side is from 0 to 4, the right side 4"),
        ("argmax([n, 1, 2]) == 3", "the left side is from 0 to 2, the right side 3"),
        ("t >= 4", None),
    ],
)
def test_a_stop_that_can_never_be_reached(condition: str, reason: str | None) -> None:
    text = STOPS.replace("n' >= limit", condition).replace("(limit)", "").replace("(LIMIT)", "")
    if reason is None:
        rg.parse(text)
        return
    with pytest.raises(UserError) as caught:
        rg.parse(text)
    (found,) = caught.value.diagnostics
    assert found.code == "E317" and reason in found.message


def test_stop_belongs_to_a_cell() -> None:
    with pytest.raises(UserError, match="`stop` ends the steps of a cell, but `M` is a model"):
        rg.parse("model M { input x: [] output x stop x > 1 }")
    with pytest.raises(UserError, match="a condition is needed"):
        rg.parse(STOPS.replace("n' >= limit", "n' + limit").replace("LIMIT", "3"))


# --- the files -------------------------------------------------------------------------------------------------


def test_every_cell_names_its_paper() -> None:
    for entry in resources.files("rnngraph.library").iterdir():
        text = entry.read_text(encoding="utf-8") if entry.name.endswith(".rnn") else ""
        if "\ncell " in text and entry.name != "projected.rnn":
            comments = [line for line in text.splitlines() if line.startswith("#")]
            assert any(f"({year})" in line for line in comments for year in range(1950, 2027)), entry.name


def test_every_cell_and_layer_is_walked() -> None:
    used = "\n".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("*.py"))
    inner = {"QRNNPooling"}
    cells = {d.name for d in library().values() if d.kind == "cell"}
    assert {name for name in cells - inner if f"{name}(" not in used} == set()


def test_the_library_does_not_see_what_a_file_calls_its_own() -> None:
    """A file's own `Dense` with other settings leaves the library's cells as they are."""
    own = "layer Dense(a, b, c) { input x: [n] output x * (a + b + c) }"
    model = rg.parse(own + over("Projected(GRU(3), 2)"))
    assert {w.name for w in model.weights} >= {"net.project.kernel", "net.project.bias"}


# --- how it is shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_model_has_a_picture_and_rows_in_the_summary(name: str) -> None:
    model = rg.parse(ALL[name])
    assert "<svg" in model._repr_svg_()
    rows = summary(model.block, model.weights)
    assert sum(r.values for r in rows) == sum(w.size for w in model.init().values())
