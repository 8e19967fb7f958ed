"""Cells of `examples/papers/` once more in plain NumPy, one example at a time: written from the papers, not the files.

Each takes the weights by their names behind the cell's, and the sequences of one example; it gives the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.equations import sigmoid, softmax

Weights = dict[str, Any]


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


def zeros(array: Any) -> Any:
    """A state of the size of this bias."""
    return np.zeros(array.shape[-1])


# --- recurrent matrices ---------------------------------------------------------------------------------------------


def irnn(w: Weights, x: Any) -> Any:
    h, y = zeros(w["b"]), []
    for x_t in x:
        h = relu(w["w"].T @ x_t + w["v"].T @ h + w["b"])
        y.append(h)
    return np.stack(y)


def antisymmetric(w: Weights, x: Any) -> Any:
    a = w["w"].T
    m = a - a.T - 0.01 * np.eye(len(a))
    h, y = zeros(a), []
    for x_t in x:
        z = sigmoid(m @ h + w["v_z"].T @ x_t + w["b_z"])
        h = h + 0.1 * z * np.tanh(m @ h + w["v_h"].T @ x_t + w["b_h"])
        y.append(h)
    return np.stack(y)


def exp_rnn(w: Weights, x: Any) -> Any:
    """The exponential by the eigenvectors of a hermitian matrix."""
    a = np.tril(w["a"], -1)
    values, vectors = np.linalg.eigh(-1j * (a - a.T))
    rotation = ((vectors * np.exp(1j * values)) @ vectors.conj().T).real
    h, y = zeros(w["b"]), []
    for x_t in x:
        z = h @ rotation + x_t @ w["w"]
        h = np.sign(z) * relu(np.abs(z) + w["b"])
        y.append(h)
    return np.stack(y)


def unitary(w: Weights, x: Any) -> Any:
    n = len(w["b"])
    phases = [np.exp(1j * w[f"phase{k}.theta"]) for k in ("", "_2", "_3")]
    normals = [w[f"reflection{k}.v"][0] + 1j * w[f"reflection{k}.v"][1] for k in ("", "_2")]
    r1, r2 = (np.eye(n) - 2 * np.outer(v, v.conj()) / (abs(v) ** 2).sum() for v in normals)
    fourier = np.fft.fft(np.eye(n), norm="ortho")
    d1, d2, d3 = map(np.diag, phases)
    shuffled = np.eye(n)[np.argsort(w["shuffle.draws"])]
    matrix = d3 @ r2 @ fourier.conj() @ d2 @ shuffled @ r1 @ fourier @ d1
    h, y = w["h_0"][0] + 1j * w["h_0"][1], []
    for x_t in x:
        z = matrix @ h + x_t @ (w["v_re"] + 1j * w["v_im"])
        h = np.where(abs(z) + w["b"] > 0, (abs(z) + w["b"]) * z / abs(z), 0)
        y.append(np.concatenate([h.real, h.imag]) @ w["dense.kernel"] + w["dense.bias"])
    return np.stack(y)


# --- differential equations -------------------------------------------------------------------------------------------


def co_rnn(w: Weights, x: Any) -> Any:
    h, speed, out = zeros(w["b"]), zeros(w["b"]), []
    for u in x:
        force = np.tanh(w["w"].T @ h + w["w_z"].T @ speed + w["v"].T @ u + w["b"])
        speed = speed + 0.05 * (force - 2.7 * h - 4.7 * speed)
        h = h + 0.05 * speed
        out.append(h)
    return np.stack(out)


def lem(w: Weights, x: Any) -> Any:
    y, z, out = zeros(w["b_z"]), zeros(w["b_z"]), []
    for u in x:

        def sums(k: str, state: Any, u: Any = u) -> Any:
            return w[f"w_{k}"].T @ state + w[f"v_{k}"].T @ u + w[f"b_{k}"]

        fast, slow = sigmoid(sums("1", y)), sigmoid(sums("2", y))
        z = z + fast * (np.tanh(sums("z", y)) - z)
        y = y + slow * (np.tanh(sums("y", z)) - y)
        out.append(y)
    return np.stack(out)


def ltc(w: Weights, x: Any) -> Any:
    s, y = zeros(w["b"]), []
    for i in x:
        for _ in range(6):
            f = sigmoid(i @ w["w"] + s @ w["u"] + w["b"])
            s = (s + 0.1 * f * w["a"]) / (1 + 0.1 * (1 / np.exp(w["log_tau"]) + f))
        y.append(s)
    return np.stack(y)


def gru_d(w: Weights, x: Any, m: Any, delta: Any) -> Any:
    h, last, y = zeros(w["b"]), w["mean"], []
    for x_t, here, gap in zip(x, m > 0.5, delta, strict=True):
        gamma = np.exp(-relu(w["w_x"] * gap + w["b_x"]))
        full = np.where(here, x_t, gamma * last + (1 - gamma) * w["mean"])
        last = np.where(here, x_t, last)
        h = np.exp(-relu(gap @ w["w_h"] + w["b_h"])) * h
        mask = m[len(y)]
        r, z = np.split(sigmoid(np.r_[full, h, mask] @ w["w_gates"] + w["b_gates"]), 2)
        h = (1 - z) * h + z * np.tanh(np.r_[full, r * h, mask] @ w["w"] + w["b"])
        y.append(h)
    return np.stack(y)


# --- products of input and state --------------------------------------------------------------------------------------


def mi_rnn(w: Weights, x: Any) -> Any:
    h, y = zeros(w["b"]), []
    for x_t in x:
        a, b = x_t @ w["w"], h @ w["u"]
        h = np.tanh(w["alpha"] * a * b + w["beta_1"] * b + w["beta_2"] * a + w["b"])
        y.append(h)
    return np.stack(y)


def ordered_neurons(w: Weights, x: Any) -> Any:
    units = len(w["b"]) // 6
    c, h, y = np.zeros(units), np.zeros(units), []
    for x_t in x:
        f, i, o, g, f2, i2 = np.split(np.r_[x_t, h] @ w["w"] + w["b"], 6)
        master_f, master_i = np.cumsum(softmax(f2, 0)), 1 - np.cumsum(softmax(i2, 0))
        both = master_f * master_i
        c = (sigmoid(f) * both + (master_f - both)) * c + (sigmoid(i) * both + (master_i - both)) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.stack(y)


# --- LSTMs in other cells -------------------------------------------------------------------------------------------


def lstm(w: Weights, name: str, x: Any, c: Any, h: Any) -> Any:
    """A step of the library's LSTM."""
    i, j, f, o = np.split(np.r_[x, h] @ w[f"{name}.kernel"] + w[f"{name}.bias"], 4)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
    return c, sigmoid(o) * np.tanh(c)


def gru(w: Weights, name: str, x: Any, h: Any) -> Any:
    """A step of the library's GRU."""
    r, u = np.split(sigmoid(np.r_[x, h] @ w[f"{name}.gates_kernel"] + w[f"{name}.gates_bias"]), 2)
    c = np.tanh(np.r_[x, r * h] @ w[f"{name}.candidate_kernel"] + w[f"{name}.candidate_bias"])
    return u * h + (1 - u) * c


def layer_norm(w: Weights, name: str, x: Any) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.gain"] + w[f"{name}.offset"]


def dense(w: Weights, name: str, x: Any) -> Any:
    return x @ w[f"{name}.kernel"] + w[f"{name}.bias"]


def hyper_lstm(w: Weights, x: Any) -> Any:
    units = w["b_0"].size // 4
    c, h, small, y = np.zeros(units), np.zeros(units), (np.zeros(2), np.zeros(2)), []
    for x_t in x:
        small = lstm(w, "lstm", np.r_[x_t, h], *small)

        def scale(name: str, gate: int, hyper: Any = small[1]) -> Any:
            z = np.split(hyper @ w[f"{name}.into"] + w[f"{name}.offset"], 4)[gate]
            return w[f"{name}.out_of"][gate].T @ z

        gates = [
            scale("by_h", k) * (h @ w["w_h"][:, k * units : (k + 1) * units])
            + scale("by_x", k) * (x_t @ w["w_x"][:, k * units : (k + 1) * units])
            + scale("by_b", k) + w["b_0"][k * units : (k + 1) * units]
            for k in range(4)
        ]  # fmt: skip
        i, g, f, o = gates
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.stack(y)


def mogrifier_lstm(w: Weights, x: Any) -> Any:
    units = w["lstm.bias"].size // 4
    c, h, y = np.zeros(units), np.zeros(units), []
    for x_t in x:
        for k in range(1, 6):
            if k % 2:
                x_t = 2 * sigmoid(h @ w[f"q.{k}"]) * x_t
            else:
                h = 2 * sigmoid(x_t @ w[f"r.{k}"]) * h
        c, h = lstm(w, "lstm", x_t, c, h)
        y.append(h)
    return np.stack(y)


def hm_lstm(w: Weights, x: Any) -> Any:
    units = len(w["b.0"]) // 4
    c, h, z, y = np.zeros((3, units)), np.zeros((3, units)), np.zeros(3), []
    for x_t in x:
        old_h, old_z, below, moved = h.copy(), z.copy(), x_t, 1.0
        for k in range(3):
            sums = old_h[k] @ w[f"u.{k}"] + moved * (below @ w[f"w.{k}"]) + w[f"b.{k}"]
            if k < 2:
                sums = sums + old_z[k] * (old_h[k + 1] @ w[f"v.{k}"])
            f, i, o, g = (sums[j * units : (j + 1) * units] for j in range(4))
            if old_z[k] == 1:
                c[k] = sigmoid(i) * np.tanh(g)
            elif moved == 1:
                c[k] = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
            if old_z[k] == 1 or moved == 1:
                h[k] = sigmoid(o) * np.tanh(c[k])
            z[k] = float(np.clip((sums[-1] + 1) / 2, 0, 1) > 0.5)
            below, moved = h[k], z[k]
        y.append(h[2].copy())
    return np.stack(y)


def skip_rnn(w: Weights, x: Any) -> Any:
    h, chance, y = np.zeros(4), 1.0, []
    for x_t in x:
        u = np.round(chance)
        h = u * gru(w, "inner", x_t, h) + (1 - u) * h
        more = sigmoid(h @ w["w"] + w["b"])
        chance = more if u else chance + min(more, 1 - chance)
        y.append(h)
    return np.stack(y)


def rim(w: Weights, x: Any) -> Any:
    modules, units, keys = w["query"].shape
    h, y = np.zeros((modules, units)), []
    for x_t in x:
        inputs = np.stack([x_t, 0 * x_t])
        looks = [softmax(h[m] @ w["query"][m] @ (inputs @ w["key"]).T / np.sqrt(keys), 0) for m in range(modules)]
        active = sorted(range(modules), key=lambda m: -looks[m][0])[:2]
        new = h.copy()
        for m in active:
            seen = looks[m] @ (inputs @ w["value"])
            r, u = np.split(sigmoid(np.r_[seen, h[m]] @ w["w"][m]), 2)
            new[m] = u * h[m] + (1 - u) * np.tanh(np.r_[seen, r * h[m]] @ w["w_c"][m])
        q, k, v = (np.stack([new[m] @ w[name][m] for m in range(modules)]) for name in ("w_q", "w_k", "w_v"))
        told = softmax(q @ k.T / np.sqrt(keys), 1) @ v
        h = np.stack([new[m] + told[m] if m in active else h[m] for m in range(modules)])
        y.append(h.ravel())
    return np.stack(y)
