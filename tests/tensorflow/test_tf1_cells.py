"""docs/tf1_cells.md: every formula is run, as it stands there, and what is said of the differences is so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from tests.language import test_papers
from tests.support.equations import CELLS, drawn, sigmoid
from tests.tensorflow.test_golden import GOLDEN
from tests.tensorflow.tf1_docs import Arrays, Page, Param, Seq, check_reversed, close, run

PAGE = Page("tf1_cells")


# --- cells -----------------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(2, 4, 3))
LENGTHS = np.array([4, 2])


def rnn(x: Any, w: Arrays, h: Any) -> tuple[Any, Arrays]:
    """The equations of `tests/tensorflow/golden/README.md`; outputs over time and the last states."""
    ys = []
    for t in range(x.shape[1]):
        h = np.tanh(np.concatenate([x[:, t], h], 1) @ w["kernel"] + w["bias"])
        ys.append(h)
    return np.stack(ys, 1), {"h": h}


def gru(x: Any, w: Arrays, h: Any) -> tuple[Any, Arrays]:
    ys = []
    for t in range(x.shape[1]):
        r, u = np.split(sigmoid(np.concatenate([x[:, t], h], 1) @ w["gates_kernel"] + w["gates_bias"]), 2, 1)
        c = np.tanh(np.concatenate([x[:, t], r * h], 1) @ w["candidate_kernel"] + w["candidate_bias"])
        h = u * h + (1 - u) * c
        ys.append(h)
    return np.stack(ys, 1), {"h": h}


def lstm(x: Any, w: Arrays, forget: float = 1.0, clip: float = 0, project_clip: float = 0) -> tuple[Any, Arrays]:
    n, ys, cells = w["bias"].size // 4, [], []
    c, h = np.zeros((len(x), n)), np.zeros((len(x), w["project"].shape[1] if "project" in w else n))
    for t in range(x.shape[1]):
        i, j, f, o = np.split(np.concatenate([x[:, t], h], 1) @ w["kernel"] + w["bias"], 4, 1)
        c = sigmoid(f + forget + w.get("w_f", 0) * c) * c + sigmoid(i + w.get("w_i", 0) * c) * np.tanh(j)
        c = np.clip(c, -clip, clip) if clip else c
        h = sigmoid(o + w.get("w_o", 0) * c) * np.tanh(c)
        h = h @ w["project"] if "project" in w else h
        h = np.clip(h, -project_clip, project_clip) if project_clip else h
        ys.append(h)
        cells.append(c)
    return np.stack(ys, 1), {"c": c, "h": h, "cs": np.stack(cells, 1)}


def model_over(lines: str, inputs: str = "input x: seq[3]", head: str = "n = 4") -> tuple[Any, Arrays]:
    """A model of these lines, and weights for it that are nowhere 0."""
    model = rg.parse(f"model M({head}) {{\n  {inputs}\n  {lines}\n}}\n")
    return model, drawn(model)


def local(weights: Arrays, owner: str) -> Arrays:
    return {k.removeprefix(f"{owner}."): v for k, v in weights.items() if k.startswith(f"{owner}.")}


def compared(cell: str, reference: Callable[[Any, Arrays], tuple[Any, Arrays]], head: str = "n = 4") -> None:
    """A cell over a sequence, with and without lengths, against its equations."""
    model, weights = model_over(f"net = {cell}\n  y, final = unroll net over x\n  output y, final", head=head)
    want, last = reference(X, local(weights, "net"))
    got = model.compile(kernels="numpy").run({"x": X}, weights)
    close(got["y"], want)
    for name in ("c", "h"):
        if name in last:
            close(got[f"final.{name}"], last[name])


@PAGE.shows("RNN(n)")
def _(formula: str) -> None:
    compared(formula, lambda x, w: rnn(x, w, np.zeros((2, 4))))


@PAGE.shows("GRU(n)")
def _(formula: str) -> None:
    compared(formula, lambda x, w: gru(x, w, np.zeros((2, 4))))


@PAGE.shows("LSTM(n, forget_bias)")
def _(formula: str) -> None:
    compared(formula, lambda x, w: lstm(x, w, 2.5), "n = 4, forget_bias = 2.5")


@PAGE.shows("LSTM(n, forget_bias = 0)")
def _(formula: str) -> None:
    """Columns of `BlockLSTMV2` are i, f, j, o."""
    compared(formula, lambda x, w: lstm(x, w, 0))


@PAGE.shows("LSTM(n, peepholes = true, cell_clip = 1, projection = 3, projection_clip = 1)")
def _(formula: str) -> None:
    compared(formula, lambda x, w: lstm(x, w, clip=1, project_clip=1))


@PAGE.shows("LSTM(n, cell_clip = 1, straight_clip = true)")
def _(formula: str) -> None:
    compared(formula, lambda x, w: lstm(x, w, clip=1))


@PAGE.shows("LSTM(n, show_cell = true)")
def _(formula: str) -> None:
    model, weights = model_over(f"net = {formula}\n  y, cs = unroll net over x\n  output y, cs")
    y, last = lstm(X, local(weights, "net"))
    got = model.compile(kernels="numpy").run({"x": X}, weights)
    close(got["y"], y)
    close(got["cs"], last["cs"])


def coupled(x: Any, w: Arrays, forget: float) -> Any:
    """`tf.contrib.rnn.CoupledInputForgetGateLSTMCell`: columns j, f, o."""
    c, h, ys = np.zeros((len(x), 4)), np.zeros((len(x), 4)), []
    for t in range(x.shape[1]):
        j, f, o = np.split(np.concatenate([x[:, t], h], 1) @ w["kernel"] + w["bias"], 3, 1)
        f = sigmoid(f + forget + w["w_f"] * c)
        c = f * c + (1 - f) * np.tanh(j)
        h = sigmoid(o + w["w_o"] * c) * np.tanh(c)
        ys.append(h)
    return np.stack(ys, 1)


@PAGE.shows("LSTM(n, coupled = true)")
def _(formula: str) -> None:
    """Weights come over as the page says."""
    written = formula.replace("coupled", "peepholes = true, coupled")
    model, own = model_over(f"net = {written}\n  output unroll net over x as y")
    rng = np.random.default_rng(1)
    theirs = {"kernel": rng.normal(size=(7, 12)), "bias": rng.normal(size=12), "w_f": rng.normal(size=4),
              "w_o": rng.normal(size=4)}  # fmt: skip
    (jk, fk, ok), (jb, fb, ob) = (np.split(theirs[name], 3, -1) for name in ("kernel", "bias"))
    ours = {
        "net.kernel": np.concatenate([-fk, jk, ok], -1), "net.bias": np.concatenate([-(fb + 1.0), jb, ob]),
        "net.w_i": -theirs["w_f"], "net.w_o": theirs["w_o"],
    }  # fmt: skip
    assert set(ours) == set(own)
    close(model.compile(kernels="numpy").run({"x": X}, ours)["y"], coupled(X, theirs, 1.0))


@PAGE.shows("IndRNN(n, tanh)")
def _(formula: str) -> None:
    model, weights = model_over(f"net = {formula}\n  y = unroll net over x\n  output y")
    w, h, expected = local(weights, "net"), 0.0, []
    for t in range(X.shape[1]):
        h = np.tanh(X[:, t] @ w["kernel"] + w["recurrent"] * h + w["bias"])
        expected.append(h)
    close(model.compile(kernels="numpy").run({"x": X}, weights)["y"], np.stack(expected, 1))


@PAGE.shows("PhasedLSTM(n, open = 0.1)")
def _(formula: str) -> None:
    """With TensorFlow's `ratio_on` of 0.1, without its peepholes."""
    text = f"net = {formula}\n  y = unroll net over x, time\n  output y"
    model, weights = model_over(text, "input x: seq[3]\n  input time: seq")
    w, times = local(weights, "net"), np.abs(np.random.default_rng(1).normal(size=X.shape[:2])) * 9
    c = h = np.zeros((len(X), len(w["offset"])))
    expected = []
    for t in range(X.shape[1]):
        i, j, f, o = np.split(np.concatenate([X[:, t], h], -1) @ w["kernel"] + w["bias"], 4, -1)
        phi = (times[:, t, None] / np.exp(w["log_period"]) - w["offset"]) % 1
        k = np.where(phi < 0.05, phi / 0.05, np.where(phi < 0.1, 2 - phi / 0.05, 0))
        moved = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        c, h = k * moved + (1 - k) * c, k * sigmoid(o) * np.tanh(moved) + (1 - k) * h
        expected.append(h)
    assert any((e > 0).any() for e in expected)
    close(model.compile(kernels="numpy").run({"x": X, "time": times}, weights)["y"], np.stack(expected, 1))


@PAGE.shows("LayerNormLSTM", "UGRNN", "NAS", "ConvLSTM", "SRU")
def _(formula: str) -> None:
    """Their equations in NumPy stand in `tests/support/equations.py`."""
    if formula == "ConvLSTM":
        test_papers.test_conv_lstm_over_one_pixel_is_an_lstm()
    else:
        test_papers.test_a_cell_is_its_equations(next(cell for cell in CELLS if cell.startswith(f"{formula}(")))


# --- running a cell --------------------------------------------------------------------------------------------------


def ran(formula: str, inputs: str = "input x: seq[3]", **data: Any) -> tuple[Arrays, Arrays]:
    """The results of a loop over a GRU `net`, and its weights."""
    lines = formula.replace("CELL", "net")
    if not lines.startswith(("y, final", "z, end")):
        lines = f"y = {lines}"
    outputs = "y, final" if "final" in lines else "z as y, end as final" if lines[0] == "z" else "y"
    model, weights = model_over(f"net = GRU(n)\n  {lines}\n  output {outputs}", inputs)
    return model.compile(kernels="numpy").run({"x": X, **data}, weights), local(weights, "net")


@PAGE.shows("y, final = unroll CELL over x", "unroll CELL over x")
def _(formula: str) -> None:
    got, w = ran(formula)
    y, last = gru(X, w, np.zeros((2, 4)))
    close(got["y"], y)
    assert "final.h" not in got or np.allclose(got["final.h"], last["h"])


@PAGE.shows("--unroll static --steps N", "--unroll dynamic")
def _(formula: str) -> None:
    """As schedules of one model."""
    model, weights = model_over("net = GRU(n)\n  output unroll net over x as y")
    words = formula.split()
    program = model.compile(words[1], 4 if "N" in words else None, kernels="numpy")
    close(program.run({"x": X}, weights)["y"], gru(X, local(weights, "net"), np.zeros((2, 4)))[0])


@PAGE.shows("x.lengths")
def _(formula: str) -> None:
    got, w = ran("y, final = unroll CELL over x", **{formula: LENGTHS})
    y, _ = gru(X, w, np.zeros((2, 4)))
    close(got["y"], np.where((np.arange(4) < LENGTHS[:, None])[..., None], y, 0))
    close(got["final.h"], np.stack([y[0, 3], y[1, 1]]))


@PAGE.shows("y, final = unroll CELL over x from s", "final.h")
def _(formula: str) -> None:
    first = np.random.default_rng(1).normal(size=(2, 4))
    if formula == "final.h":
        got, w = ran("y, final = unroll CELL over x", **{formula: first})
    else:
        got, w = ran(formula, "input x: seq[3]\n  input s: [4]", s=first)
    close(got["y"], gru(X, w, first)[0])


@PAGE.shows("final.*")
def _(formula: str) -> None:
    """A run of two segments, the second from where the first ended."""
    model, weights = model_over("net = LSTM(n)\n  y, final = unroll net over x\n  output y, final")
    program = model.compile(kernels="numpy")
    first = program.run({"x": X[:, :2]}, weights)
    handed = {k: v for k, v in first.items() if k.startswith(formula.rstrip("*"))}
    second = program.run({"x": X[:, 2:], **handed}, weights)
    close(np.concatenate([first["y"], second["y"]], 1), lstm(X, local(weights, "net"))[0])


def backwards(x: Any, w: Arrays, run_cell: Callable[..., tuple[Any, Arrays]]) -> tuple[Any, Any]:
    """Each row backwards within its length: outputs at their own steps, and the state after the first one."""
    ys, last = np.zeros((len(x), x.shape[1], 4)), []
    for b, n in enumerate(LENGTHS):
        y, states = run_cell(x[b : b + 1, :n][:, ::-1], w)
        ys[b, :n] = y[0, ::-1]
        last.append(states["h"][0])
    return ys, np.stack(last)


@PAGE.shows("z, end = unroll CELL over x reversed", "unroll CELL over x reversed")
def _(formula: str) -> None:
    got, w = ran(formula, **{"x.lengths": LENGTHS})
    y, last = backwards(X, w, lambda x, w: gru(x, w, np.zeros((1, 4))))
    close(got["y"], y)
    assert "end" not in formula or np.allclose(got["final.h"], last)


PAGE.shows("reversed(x)")(check_reversed)


@PAGE.shows("Bidirectional(LSTM(4), LSTM(4))(x)", "Bidirectional(GRU(3), GRU(3))(Bidirectional(LSTM(4), LSTM(4))(x))")
def _(formula: str) -> None:
    model, weights = model_over(f"output {formula} as y", head="")
    got = model.compile(kernels="numpy").run({"x": X, "x.lengths": LENGTHS}, weights)["y"]
    (lower,) = {k.rpartition(".forward")[0] for k in weights if ".forward.kernel" in k}
    real = (np.arange(4) < LENGTHS[:, None])[..., None]
    forward = np.where(real, lstm(X, local(weights, f"{lower}.forward"))[0], 0)
    y = np.concatenate([forward, backwards(X, local(weights, f"{lower}.backward"), lstm)[0]], -1)
    if "GRU" in formula:
        (upper,) = {k.rpartition(".forward")[0] for k in weights if ".forward.gates_kernel" in k}
        up, down = (local(weights, f"{upper}.{way}") for way in ("forward", "backward"))
        one = lambda x, w: gru(x, w, np.zeros((len(x), 3)))  # noqa: E731
        z = np.zeros((2, 4, 6))
        for b, n in enumerate(LENGTHS):
            part = y[b : b + 1, :n]
            z[b, :n] = np.concatenate([one(part, up)[0][0], one(part[:, ::-1], down)[0][0, ::-1]], -1)
        y = z
    close(got, y)


@PAGE.shows("unroll CELL for N", "stop condition", "state h: [n] = e")
def _(formula: str) -> None:
    """A cell on its own output, from 0.5 or 0, for three steps or until its first entry is above a limit."""
    state = formula.replace("[n]", "[2]").replace("e", "0.5") if formula.startswith("state") else "state h: [2] = 0"
    ends = f"condition = h'[0] > 1.25\n  {formula}" if formula.startswith("stop") else ""
    cell = f"cell Own {{\n  {state.replace('stat0.5', 'state')}\n  h' = h + [0.5, 1]\n  output h'\n  {ends}\n}}\n"
    loop = (formula if "unroll" in formula else "unroll CELL for N").replace("CELL", "Own()").replace("N", "4")
    text = f"{cell}model M {{\n  input z: [2]\n  y = {loop}\n  output y + 0 * z as y\n}}"
    got = rg.parse(text).compile(kernels="numpy").run({"z": np.zeros((1, 2))}, {})["y"][0]
    want = np.arange(1, 5)[:, None] * [0.5, 1] + (0.5 if formula.startswith("state") else 0)
    close(got, np.where(np.arange(4)[:, None] < 3, want, 0) if ends else want)


@PAGE.shows("a >> b")
def _(formula: str) -> None:
    lines = f"a = RNN(4)\n  b = GRU(3)\n  y, final = unroll {formula} over x\n  output y, final"
    model, weights = model_over(lines)
    inner, first = rnn(X, local(weights, "a"), np.zeros((2, 4)))
    y, second = gru(inner, local(weights, "b"), np.zeros((2, 3)))
    got = model.compile(kernels="numpy").run({"x": X}, weights)
    for name, want in (("y", y), ("final.0.h", first["h"]), ("final.1.h", second["h"])):
        close(got[name], want)


@PAGE.shows("[final.c, final.h]")
def _(formula: str) -> None:
    model, weights = model_over(f"net = LSTM(n)\n  y, final = unroll net over x\n  output {formula} as both")
    last = lstm(X, local(weights, "net"))[1]
    close(model.compile(kernels="numpy").run({"x": X}, weights)["both"], np.concatenate([last["c"], last["h"]], 1))


# --- wrappers --------------------------------------------------------------------------------------------------------


def wrapped(formula: str, cell: str = "RNN(3)", head: str = "k = 5", **how: Any) -> tuple[Any, Arrays]:
    """What a wrapped cell gives, and the weights, those of the cell under `inner`."""
    model, weights = model_over(
        f"net = {cell}\n  whole_ = {formula.replace('CELL', 'net')}\n  output unroll whole_ over x as y", head=head
    )
    return model.compile(kernels="numpy", **how).run({"x": X, "seed": 3} if how else {"x": X}, weights)["y"], weights


def plain(weights: Arrays, x: Any = X) -> Any:
    return rnn(x, local(weights, "net"), np.zeros((2, 3)))[0]


@PAGE.shows("Residual(CELL)")
def _(formula: str) -> None:
    y, w = wrapped(formula)
    close(y, X + plain(w))


@PAGE.shows("Highway(CELL)")
def _(formula: str) -> None:
    y, w = wrapped(formula)
    carry = sigmoid(X @ w["whole_.kernel"] + w["whole_.bias"])
    close(y, carry * X + (1 - carry) * plain(w))


@PAGE.shows("DropoutAround(CELL, inputs, states, outputs)")
@PAGE.shows("DropoutAround(CELL, outputs = 0.5, per_sequence = true)")
@PAGE.shows("Dropout(0.1) >> CELL >> Dropout(0.1)")
def _(formula: str) -> None:
    """Nothing outside of training; in training outputs are 0 or as much larger as that is often."""
    head = "inputs = 0, states = 0, outputs = 0.5" if "inputs" in formula else "k = 5"
    y, w = wrapped(formula, head=head)
    close(y, plain(w))
    trained, w = wrapped(formula, head=head, training=True)
    assert (trained == 0).any() and not (trained == 0).all()
    if ">>" not in formula:
        close(trained, np.where(trained == 0, 0, 2 * plain(w)))
    if "per_sequence" in formula:
        assert ((trained == 0) == (trained == 0)[:, :1]).all()


@PAGE.shows("Zoneout(CELL, 0.1)")
def _(formula: str) -> None:
    """In training each entry of a state is the new or the old one; outside of it their mean."""
    y, w = wrapped(formula)
    h, want = np.zeros((2, 3)), []
    for t in range(4):
        h = 0.1 * h + 0.9 * rnn(X[:, t : t + 1], local(w, "net"), h)[1]["h"]
        want.append(h)
    close(y, np.stack(want, 1))
    trained, w = wrapped(formula.replace("0.1", "0.5"), training=True)
    before = np.concatenate([np.zeros((2, 1, 3)), trained[:, :-1]], 1)
    for t in range(4):
        new = rnn(X[:, t : t + 1], local(w, "net"), before[:, t])[1]["h"]
        assert (np.isclose(trained[:, t], new) | np.isclose(trained[:, t], before[:, t])).all()


@PAGE.shows("Dense(k) >> CELL", "CELL >> Dense(k)", "Projected(CELL, k)")
def _(formula: str) -> None:
    y, w = wrapped(formula)
    (dense,) = {k.removesuffix(".kernel") for k in w if k.endswith(".kernel") and not k.startswith("net")}
    layer = lambda x: x @ w[f"{dense}.kernel"] + w[f"{dense}.bias"]  # noqa: E731
    close(y, plain(w, layer(X)) if formula.startswith("Dense") else layer(plain(w)))


@PAGE.shows("Embedding(v, n) >> CELL", "Embedding(v, n)(ids)")
def _(formula: str) -> None:
    ids = np.array([[0, 2, 1], [4, 4, 0]])
    line = f"unroll {formula} over ids".replace("CELL", "net") if ">>" in formula else formula
    cell = "net = RNN(3)\n  " if ">>" in formula else ""
    model, w = model_over(f"{cell}y = {line}\n  output y", "input ids: seq int", "v = 5, n = 3")
    (table,) = (a for k, a in w.items() if k.endswith(".table"))
    got = model.compile(kernels="numpy").run({"ids": ids}, w)["y"]
    close(got, plain(w, table[ids]) if cell else table[ids])


@PAGE.shows("table[ids]")
def _(formula: str) -> None:
    ids, table = np.array([[0, 2, 1], [4, 4, 0]]), np.random.default_rng(0).normal(size=(5, 3))
    close(run(formula, {"ids": Seq(ids), "table": Param(table)})[0], table[ids])


@PAGE.shows("AdditiveAttention(CELL, units)", "MultiplicativeAttention(CELL)", "with memory = m")
def _(formula: str) -> None:
    """Of a memory with one real step all of the weight is on that one."""
    cell = formula if "CELL" in formula else "MultiplicativeAttention(CELL)"
    lines = f"net = RNN(3)\n  whole_ = {cell.replace('CELL', 'net')}\n  y, final = unroll whole_ over x with memory = m"
    lines += "\n  output final.context as context"
    model, w = model_over(lines, "input x: seq[3]\n  input m: seq@source[2]", "units = 4")
    memory = np.random.default_rng(1).normal(size=(2, 3, 2))
    memory[:, 1:] = np.nan
    data = {"x": X, "m": memory, "m.lengths": np.array([1, 1])}
    close(model.compile(kernels="numpy").run(data, w)["context"], memory[:, 0])


# --- losses of sequences ---------------------------------------------------------------------------------------------


def xent(scores: Any, labels: Any) -> Any:
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, labels[..., None], -1)[..., 0]


@PAGE.shows(
    "loss cross_entropy(scores, label)",
    "loss sum(cross_entropy(scores, label), axis = time)",
    "loss sequence_loss(scores, label, weight)",
)
def _(formula: str) -> None:
    labels, weight = np.array([[0, 2, 1, 0], [1, 1, 2, 2]]), np.array([[1, 0.5, 2, 0], [0.25, 1, 3, 7]])
    real = np.arange(4) < LENGTHS[:, None]
    each = xent(X, labels) * real
    inputs = "input scores: seq[3]\n  input label: seq int" + ("\n  input weight: seq" if "weight" in formula else "")
    data = {"scores": X, "label": labels, "scores.lengths": LENGTHS} | (
        {"weight": weight} if "weight" in formula else {}
    )
    want = each.sum() / real.sum()
    if "sum(" in formula:
        want = each.sum(1).mean()
    if "weight" in formula:
        want = (each * weight).sum() / (weight * real).sum()
    close(rg.parse(f"model M {{\n  {inputs}\n  {formula}\n}}").compile(kernels="numpy").run(data, {})["loss"], want)


# --- where the two differ --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"x": np.zeros((0, 4, 3))}, "E516"),
        ({"x": X, "x.lengths": np.array([1.9, 2.0])}, "E521"),
        ({"x": X, "x.lengths": np.array([-1, 2])}, "E522"),
        ({"x": X, "x.lengths": np.array([4, 5])}, "E522"),
        ({"x": np.where(np.arange(4)[:, None] == 1, np.nan, X)}, "E530"),
        ({"x": np.where(np.arange(4)[:, None] == 1, np.inf, X)}, "E530"),
    ],
)
def test_what_tensorflow_takes_and_we_refuse(data: Arrays, code: str) -> None:
    model, weights = model_over("net = GRU(n)\n  y, final = unroll net over x\n  output y, final")
    with pytest.raises(UserError) as error:
        model.compile(kernels="numpy").run(data, weights)
    assert [d.code for d in error.value.diagnostics] == [code]


def test_what_tensorflow_does_with_them() -> None:
    """As the page says: `tests/tensorflow/golden/behaviours.json` has what was tried."""
    probes = {p["id"]: p for p in json.loads((GOLDEN / "behaviours.json").read_text())["probes"]}
    assert probes["dynamic_empty_batch"]["result"]["value"]["out_shape"] == [0, 4, 3]
    for way in ("static", "dynamic"):
        assert probes["lengths_float"][way]["value"]["steps_not_zero"] == 1
        assert probes["lengths_negative"][way]["value"]["steps_not_zero"] == 0
        assert probes["lengths_beyond_time"][way]["value"]["steps_not_zero"] == 4


@pytest.mark.parametrize("formula", PAGE.formulas)
def test_a_formula_of_the_page(formula: str) -> None:
    PAGE.checks[formula](formula)


def test_no_check_is_of_a_formula_that_is_gone() -> None:
    assert set(PAGE.formulas) == set(PAGE.checks)
