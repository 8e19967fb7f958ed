"""The papers' equations in plain NumPy, in whatever type of number they are given: what the library is held against.

A step takes (x, states by name, weights by name, t), writes the states and gives the output. Nothing is stabilised:
what the library does so that no number leaves its range must change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Step = Callable[[Any, Arrays, Arrays, int], Any]
WIDTH = 3
"""The size of an input."""


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def join(*parts: Any) -> Any:
    return np.concatenate(parts, axis=-1)


def drawn(model: Any, seed: int = 0) -> Arrays:
    """Weights away from their first values, so that no bias is 0 and no gain 1."""
    rng = np.random.default_rng(seed)
    return {k: w + 0.3 * rng.normal(size=w.shape) for k, w in model.init(seed).items()}


def below(weights: Arrays, name: str) -> Arrays:
    """The weights of one instance, by their own names."""
    return {k.removeprefix(f"{name}."): w for k, w in weights.items() if k.startswith(f"{name}.")}


def run(step: Step, x: Any, state: Arrays, weights: Arrays) -> Any:
    """The outputs of all steps, (batch, time, ...)."""
    return np.stack([step(x[:, t], state, weights, t) for t in range(x.shape[1])], axis=1)


# --- simple networks, LSTMs and GRUs ------------------------------------------------------------------------------


def rnn(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    s["h"] = np.tanh(join(x, s["h"]) @ w["kernel"] + w["bias"])
    return s["h"]


def lstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    i, j, f, o = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 4, axis=1)
    i, f = i + w.get("w_i", 0) * s["c"], f + w.get("w_f", 0) * s["c"]
    s["c"] = sigmoid(f + 1) * s["c"] + sigmoid(i) * np.tanh(j)
    s["h"] = sigmoid(o + w.get("w_o", 0) * s["c"]) * np.tanh(s["c"])
    if "project" in w:
        s["h"] = s["h"] @ w["project"]
    return s["h"]


def gru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    r, u = np.split(sigmoid(join(x, s["h"]) @ w["gates_kernel"] + w["gates_bias"]), 2, axis=1)
    kernel, bias = w["candidate_kernel"], w["candidate_bias"]
    if "candidate_state_bias" in w:  # reset after
        c = x @ kernel[:WIDTH] + bias + r * (s["h"] @ kernel[WIDTH:] + w["candidate_state_bias"])
    else:
        c = join(x, r * s["h"]) @ kernel + bias
    s["h"] = u * s["h"] + (1 - u) * np.tanh(c)
    return s["h"]


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


def sru(highway_bias: float, scaled: bool = True) -> Step:
    alpha = np.sqrt(1 + 2 * np.exp(np.float64(highway_bias))) if scaled else 1.0

    def step(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
        u, f, r = np.split(x @ w["kernel"], 3, axis=1)
        f, r = sigmoid(f + w["v_f"] * s["c"] + w["b_f"]), sigmoid(r + w["v_r"] * s["c"] + w["b_r"])
        s["c"] = f * s["c"] + (1 - f) * u
        return r * s["c"] + (1 - r) * alpha * (x @ w["skip"] if "skip" in w else x)

    return step


def min_gru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    z, c = np.split(x @ w["kernel"] + w["bias"], 2, axis=1)
    s["h"] = (1 - sigmoid(z)) * s["h"] + sigmoid(z) * c
    return s["h"]


def min_lstm(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """f / (f + i) with i / f as one number: both may be too small to be written."""
    f, i, c = np.split(x @ w["kernel"] + w["bias"], 3, axis=1)
    share = 1 / (1 + np.exp(log_sigmoid(i) - log_sigmoid(f)))
    other = 1 / (1 + np.exp(log_sigmoid(f) - log_sigmoid(i)))
    s["h"] = share * s["h"] + other * c
    return s["h"]


def lru(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """In complex numbers, as the paper has it."""
    eigenvalue = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    into = w["into_re"] + 1j * w["into_im"]
    z = eigenvalue * (s["re"] + 1j * s["im"]) + np.exp(w["log_gamma"]) * (x @ into)
    s["re"], s["im"] = z.real, z.imag
    return (z @ (w["out_of_re"] + 1j * w["out_of_im"])).real + x @ w["through"]


def clockwork(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
    """By the paper's one matrix, whose blocks below the diagonal are 0."""
    old, new = s["h"], s["h"].copy()
    for k in range(2):
        if t % 2**k == 0:
            rows = slice(2 * k, 2 * k + 2)
            recurrent = np.zeros((4, 2), x.dtype)
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


def multiplicative_lstm(gate_inside: bool) -> Step:
    def step(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
        m = (x @ w["input_factor"]) * (s["h"] @ w["state_factor"])
        i, j, f, o = np.split(join(x, m) @ w["kernel"] + w["bias"], 4, axis=1)
        s["c"] = sigmoid(f + 1) * s["c"] + sigmoid(i) * (j if gate_inside else np.tanh(j))
        s["h"] = np.tanh(sigmoid(o) * s["c"]) if gate_inside else sigmoid(o) * np.tanh(s["c"])
        return s["h"]

    return step


# --- exponential gates --------------------------------------------------------------------------------------------


def slstm(exponential: bool = False) -> Step:
    """c / n is a mean of all tanh(z) so far; how much they weigh together is kept as a logarithm."""

    def step(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
        z, i, f, o = np.split(join(x, s["h"]) @ w["kernel"] + w["bias"], 4, axis=1)
        old = s.get("weight", -np.inf) + (f if exponential else log_sigmoid(f))
        s["weight"] = np.logaddexp(old, i)
        s["mean"] = sigmoid(old - i) * s.get("mean", 0) + sigmoid(i - old) * np.tanh(z)
        s["h"] = sigmoid(o) * s["mean"]
        return s["h"]

    return step


def mlstm(exponential: bool = False) -> Step:
    """C q / max(|n q|, 1) as sums over all steps so far: of values, each times k . q and its weight."""

    def step(x: Any, s: Arrays, w: Arrays, t: int) -> Any:
        q, k, v, o = np.split(x @ w["kernel"] + w["bias"], 4, axis=1)
        f, i = np.split(x @ w["gate_kernel"] + w["gate_bias"], 2, axis=1)
        past = s.setdefault("past", [])
        past[:] = [(weight + (f if exponential else log_sigmoid(f)), *rest) for weight, *rest in past]
        past.append((i, k / 2, v))
        largest = np.max([weight for weight, *_ in past], axis=0)
        seen = [np.exp(weight - largest) * (k * q).sum(axis=1, keepdims=True) for weight, k, _ in past]
        above = sum(one * v for one, (*_, v) in zip(seen, past, strict=True)) * np.exp(np.minimum(largest, 0))
        weight = np.maximum(np.abs(sum(seen)) * np.exp(np.minimum(largest, 0)), np.exp(np.minimum(-largest, 0)))
        return sigmoid(o) * np.where(above == 0, 0, above / np.where(weight == 0, 1, weight))

    return step


# --- the table: a cell, its step, the sizes of its states ---------------------------------------------------------

C: Mapping[str, tuple[int, ...]] = {"c": (4,)}
H: Mapping[str, tuple[int, ...]] = {"h": (4,)}

CELLS: dict[str, tuple[Step, Mapping[str, tuple[int, ...]]]] = {
    "RNN(4)": (rnn, H),
    "LSTM(4)": (lstm, {**C, **H}),
    "LSTM(4, peepholes = true)": (lstm, {**C, **H}),
    "LSTM(4, projection = 2)": (lstm, {**C, "h": (2,)}),
    "LSTM(4, coupled = true, peepholes = true)": (lstm_coupled, {**C, **H}),
    "GRU(4)": (gru, H),
    "GRU(4, reset_after = true)": (gru, H),
    "LayerNormLSTM(4)": (layer_norm_lstm, {**C, **H}),
    "MGU(4)": (mgu, H),
    "UGRNN(4)": (ugrnn, H),
    "JANET(4)": (janet, H),
    "RecurrentHighway(4)": (recurrent_highway, H),
    "IndRNN(4)": (ind_rnn, H),
    "SRU(4)": (sru(0), C),
    "SRU(3, highway_bias = -2)": (sru(-2), {"c": (3,)}),
    "SRU(4, scaled = false)": (sru(0, False), C),
    "MinGRU(4)": (min_gru, H),
    "MinLSTM(4)": (min_lstm, H),
    "LRU(4, 5)": (lru, {"re": (5,), "im": (5,)}),
    "Clockwork(4, 2)": (clockwork, H),
    "NAS(4)": (nas, {**C, **H}),
    "MultiplicativeLSTM(4)": (multiplicative_lstm(False), {**C, **H}),
    "MultiplicativeLSTM(4, gate_inside = true)": (multiplicative_lstm(True), {**C, **H}),
    "SLSTM(4)": (slstm(), H),
    "SLSTM(4, exponential = true)": (slstm(True), H),
    "MLSTM(4)": (mlstm(), {}),
    "MLSTM(4, exponential = true)": (mlstm(True), {}),
}


def fresh(sizes: Mapping[str, tuple[int, ...]], batch: int, dtype: Any = np.float64) -> Arrays:
    """States before the first step."""
    return {name: np.zeros((batch, *size), dtype) for name, size in sizes.items()}
