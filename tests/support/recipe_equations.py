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


def multiplicative_integration(w: Weights, x: Any) -> Any:
    h, y = zeros(w["b"]), []
    for x_t in x:
        a, b = x_t @ w["w"], h @ w["u"]
        h = np.tanh(w["alpha"] * a * b + w["beta_1"] * b + w["beta_2"] * a + w["b"])
        y.append(h)
    return np.stack(y)
