"""The library against its papers: each cell's equations once more in plain NumPy, and how weights begin.

The equations stand in `tests/support/equations.py`.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.language.elaboration.imports import library
from tests.support.equations import CELLS, WIDTH, below, drawn, fresh, gru, join, run, sigmoid, softmax
from tests.support.models import ALL, over, parsed

STEPS, BATCH = 6, 3


def test_every_cell_names_its_paper() -> None:
    for entry in resources.files("rnngraph.language.library").iterdir():
        text = entry.read_text(encoding="utf-8") if entry.name.endswith(".rnn") else ""
        if "\ncell " in text and entry.name not in ("projected.rnn", "masking.rnn"):
            comments = [line for line in text.splitlines() if line.startswith("#")]
            assert any(f"({year})" in line for line in comments for year in range(1950, 2027)), entry.name


def test_every_cell_has_its_equations() -> None:
    """Beside those of the table, cells of images, times and memories, which have tests of their own below."""
    wrappers = {"DropoutAround", "DropConnect", "Zoneout", "Residual", "Highway", "Projected", "Masked", "ResetAt"}
    own = {"ConvLSTM", "PhasedLSTM", "QRNNPooling", "AdditiveAttention", "MultiplicativeAttention"}
    cells = {d.name for d in library().values() if d.kind == "cell"}
    tabled = {cell.partition("(")[0] for cell in CELLS}
    assert tabled | wrappers | own | {"LearnedUnigramSampler"} == cells


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_its_equations(cell: str) -> None:
    step, sizes = CELLS[cell]
    model = rg.parse(over(cell, WIDTH))
    weights, data = drawn(model), synthetic(model, STEPS, BATCH, 2)
    state = fresh(sizes, BATCH)
    expected = run(step, data["x"], state, below(weights, "net"))
    got = model.compile().run(data, weights)
    assert np.allclose(got["y"], expected, rtol=1e-10, atol=1e-12)
    assert all(np.allclose(got[f"final.{k}"], state[k], rtol=1e-10, atol=1e-12) for k in sizes)


def test_the_first_input_gate_may_be_small() -> None:
    """Nothing is stored before the first step, so how small its gate is does not matter, also where zeros are fed."""
    step, _ = CELLS["SLSTM(4)"]
    model = rg.parse(over("SLSTM(4)"))
    weights, x = drawn(model), np.random.default_rng(0).normal(size=(3, 5, 3))
    weights["net.bias"][4:8] = [-15.0, -60.0, -200.0, -1e4]
    expected = run(step, x, fresh({"h": (4,)}, 3), below(weights, "net"))
    zeros = {f"final.{k}": np.zeros((3, 4)) for k in "cnmh"}
    program = model.compile(gradient=True)
    for data in ({"x": x}, {"x": x, **zeros}):
        assert np.allclose(program.run(data, weights)["y"], expected, rtol=1e-10)
        assert all(np.isfinite(g).all() for g in program.gradients(data, weights)[1].values())


# --- how weights begin --------------------------------------------------------------------------------------------


def test_weights_begin_as_the_papers_say() -> None:
    w = rg.parse(over("SRU(4, highway_bias = -2)")).init(0)
    assert w["net.b_r"].tolist() == [-2.0] * 4 and not w["net.b_f"].any()
    w = rg.parse(over("LRU(4, 200)")).init(0)
    assert np.allclose(np.exp(w["net.log_gamma"]) ** 2, 1 - np.exp(-np.exp(w["net.nu"])) ** 2, rtol=1e-12)
    assert w["net.into_re"].std() == pytest.approx(1 / np.sqrt(2 * 3), rel=0.1)
    assert w["net.out_of_im"].std() == pytest.approx(1 / np.sqrt(200), rel=0.1)
    frozen = [weight.name for weight in rg.parse(over("LRU(4, 200)")).weights if weight.frozen]
    assert not frozen  # gamma is trained


# --- cells of times, images and memories ------------------------------------------------------------------------------


def test_qrnn_is_a_convolution_and_a_pooling() -> None:
    model = rg.parse("model M { input x: seq[3] y, c = QRNN(4, 2, show_state = true)(x) output y, c }")
    w, x, lengths = drawn(model), np.random.default_rng(0).normal(size=(BATCH, STEPS, WIDTH)), np.array([6, 2, 0])
    before = np.concatenate([np.zeros((BATCH, 1, WIDTH)), x[:, :-1]], axis=1)
    z, f, o = np.split(join(before, x) @ w["qrnn.kernel"] + w["qrnn.bias"], 3, axis=-1)
    c, states, shown = np.zeros((BATCH, 4)), [np.zeros((BATCH, 4))], []
    for t in range(STEPS):
        c = sigmoid(f[:, t]) * c + (1 - sigmoid(f[:, t])) * np.tanh(z[:, t])
        states.append(c)
        shown.append(sigmoid(o[:, t]) * c)
    got = model.compile().run({"x": x, "x.lengths": lengths}, w)
    for row, n in enumerate(lengths):
        assert np.allclose(got["y"][row, :n], np.stack(shown, axis=1)[row, :n], rtol=1e-10)
        assert np.allclose(got["c"][row], states[n][row], rtol=1e-10)


@pytest.mark.parametrize("peepholes", [False, True])
def test_phased_lstm_is_its_equations(peepholes: bool) -> None:
    model = rg.parse(ALL["phased lstm"].replace("peepholes = true", f"peepholes = {str(peepholes).lower()}"))
    named, data = drawn(model), synthetic(model, STEPS, BATCH, 0)
    times, c, h, expected = 3 * np.abs(data["time"]), np.zeros((BATCH, 4)), np.zeros((BATCH, 4)), []
    w = {k.rpartition(".")[2]: v for k, v in named.items()}
    assert ("w_o" in w) == peepholes
    for t in range(STEPS):
        i, j, f, o = np.split(join(data["x"][:, t], h) @ w["kernel"] + w["bias"], 4, axis=1)
        i, f = i + w.get("w_i", 0) * c, f + w.get("w_f", 0) * c
        phi = (times[:, t, None] / np.exp(w["log_period"]) - w["offset"]) % 1
        k = np.where(phi < 0.45, 2 * phi / 0.9, np.where(phi < 0.9, 2 - 2 * phi / 0.9, 0))
        moved = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        c = k * moved + (1 - k) * c
        h = k * sigmoid(o + w.get("w_o", 0) * c) * np.tanh(moved) + (1 - k) * h
        expected.append(h)
    assert np.allclose(model.compile().run(data, named)["y"], np.stack(expected, axis=1), rtol=1e-10)


def test_conv_lstm_over_one_pixel_is_an_lstm() -> None:
    """A window of one and an image of one pixel: the plain cell."""
    image = rg.parse("model M { input x: seq[1, 1, 3] net = ConvLSTM(4, 1) y = unroll net over x output y }")
    plain = rg.parse(over("LSTM(4)"))
    weights, x = drawn(plain), synthetic(plain, 5, 2, 0)["x"]
    other = {"net.kernel": weights["net.kernel"][None, None], "net.bias": weights["net.bias"]}
    got = image.compile().run({"x": x[:, :, None, None]}, other)["y"]
    assert np.allclose(got[:, :, 0, 0], plain.compile().run({"x": x}, weights)["y"], rtol=1e-12)


READER = """model M { input source: seq@source[3] input x: seq@target[2] input h0: [4]
  y, final = unroll CELL over x with memory = source BEGIN output y, final }"""


def reader(cell: str, begin: str = "") -> tuple[Any, Any, Any]:
    """A model of this cell over a memory, its weights by their own names, and a run."""
    model = rg.parse(READER.replace("CELL", cell).replace("BEGIN", begin))
    rng, weights = np.random.default_rng(1), drawn(model)
    data = {"source": rng.normal(size=(2, 5, 3)), "x": rng.normal(size=(2, 4, 2)), "h0": rng.normal(size=(2, 4))}
    return data, {k.partition(".")[2]: v for k, v in weights.items()}, model.compile().run(data, weights)


def found(scores: Any, memory: Any) -> Any:
    return np.einsum("bs,bsm->bm", softmax(scores, axis=1), memory)


def additive(query: Any, memory: Any, w: Any) -> Any:
    scores = np.tanh((query @ w["query_kernel"])[:, None] + memory @ w["key_kernel"]) @ w["v"]
    return found(scores, memory)


def test_additive_attention_looks_after_the_step_or_before_it() -> None:
    data, w, got = reader("AdditiveAttention(GRU(4), 5)", "from record(h = h0)")
    state, context = {"h": data["h0"]}, np.zeros((2, 3))
    for t in range(4):
        h = gru(join(data["x"][:, t], context), state, below(w, "inner"), t)
        context = additive(h, data["source"], w)
        assert np.allclose(got["y"][:, t], join(h, context), rtol=1e-10)
    # Bahdanau and others: c_i is of s_{i-1}, s_i of c_i
    data, w, got = reader("AdditiveAttention(GRU(4), 5, query = 4)", "from record(h = h0, before = h0)")
    state = {"h": data["h0"]}
    for t in range(4):
        context = additive(state["h"], data["source"], w)
        h = gru(join(data["x"][:, t], context), state, below(w, "inner"), t)
        assert np.allclose(got["y"][:, t], join(h, context), rtol=1e-10)


@pytest.mark.parametrize("units", [0, 6])
def test_multiplicative_attention_hands_on_what_it_found_or_what_it_made_of_it(units: int) -> None:
    data, w, got = reader(f"MultiplicativeAttention(GRU(4), {units})", "from record(h = h0)")
    state, context = {"h": data["h0"]}, np.zeros((2, units or 3))
    for t in range(4):
        h = gru(join(data["x"][:, t], context), state, below(w, "inner"), t)
        context = found(np.einsum("bm,bsm->bs", h @ w["kernel"], data["source"]), data["source"])
        if units:
            context = np.tanh(join(h, context) @ w["output_kernel"])
        assert np.allclose(got["y"][:, t], context if units else join(h, context), rtol=1e-10)


def test_attention_weighs_the_real_steps_of_its_memory() -> None:
    model = parsed("attention general")
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
