"""What the layers of other tools compute, in plain NumPy, from their documented equations.

Every function takes a layer's own arrays and a batch (batch, time, inputs), starts from zero states and gives
the outputs (batch, time, width). They are written apart from `layouts`, so that each checks the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnngraph.exchange.recognise import Cell
from rnngraph.learn.files import Arrays

Step = Callable[..., tuple[Any, ...]]


def sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "identity": lambda x: x,
}


def _over(x: Any, states: tuple[int, ...], step: Step) -> Any:
    """The outputs of a step function over time; it takes the input and the states, h last, and gives new states."""
    now = tuple(np.zeros((len(x), size)) for size in states)
    outputs = []
    for t in range(x.shape[1]):
        now = step(x[:, t], *now)
        outputs.append(now[-1])
    return np.stack(outputs, axis=1)


def tf1(cell: Cell, w: Arrays, x: Any) -> Any:
    """`rnn_cell_impl.py` of TensorFlow 1.15."""
    act, n = _FUNCTIONS[cell.activation], cell.units
    if cell.kind == "RNN":
        return _over(x, (n,), lambda u, h: (act(np.concatenate([u, h], 1) @ w["kernel"] + w["bias"]),))

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        value = sigmoid(np.concatenate([u, h], 1) @ w["gates/kernel"] + w["gates/bias"])
        r, z = np.split(value, 2, axis=1)
        c = act(np.concatenate([u, r * h], 1) @ w["candidate/kernel"] + w["candidate/bias"])
        return (z * h + (1 - z) * c,)

    def lstm(u: Any, c: Any, m: Any) -> tuple[Any, ...]:
        i, j, f, o = np.split(np.concatenate([u, m], 1) @ w["kernel"] + w["bias"], 4, axis=1)
        i, f = i + w.get("w_i_diag", 0) * c, f + w.get("w_f_diag", 0) * c
        c = sigmoid(f + cell.forget_bias) * c + sigmoid(i) * act(j)
        if clip := cell.options["cell_clip"]:
            c = np.clip(c, -clip, clip)
        m = sigmoid(o + w.get("w_o_diag", 0) * c) * act(c)
        if "projection/kernel" in w:
            m = m @ w["projection/kernel"]
            if clip := cell.options["projection_clip"]:
                m = np.clip(m, -clip, clip)
        return c, m

    return _over(x, (n,), gru) if cell.kind == "GRU" else _over(x, (n, cell.width), lstm)


def keras(cell: Cell, w: Arrays, x: Any) -> Any:
    """`SimpleRNNCell`, `GRUCell` and `LSTMCell` of keras.layers."""
    act, n = _FUNCTIONS[cell.activation], cell.units
    kernel, recurrent, bias = w["kernel"], w["recurrent_kernel"], w.get("bias", np.zeros(w["kernel"].shape[1]))
    if cell.kind == "RNN":
        return _over(x, (n,), lambda u, h: (act(u @ kernel + bias + h @ recurrent),))

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        after = bool(cell.options["reset_after"])
        input_bias, recurrent_bias = bias if after and bias.ndim == 2 else (bias, np.zeros(3 * n))
        xz, xr, xh = np.split(u @ kernel + input_bias, 3, axis=1)
        wz, wr, wh = np.split(recurrent, 3, axis=1)
        bz, br, bh = np.split(recurrent_bias, 3)
        z, r = sigmoid(xz + h @ wz + bz), sigmoid(xr + h @ wr + br)
        hh = act(xh + r * (h @ wh + bh)) if after else act(xh + (r * h) @ wh)
        return (z * h + (1 - z) * hh,)

    def lstm(u: Any, c: Any, h: Any) -> tuple[Any, ...]:
        z0, z1, z2, z3 = np.split(u @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(z1) * c + sigmoid(z0) * act(z2)
        return c, sigmoid(z3) * act(c)

    return _over(x, (n,), gru) if cell.kind == "GRU" else _over(x, (n, n), lstm)


def torch(cell: Cell, w: Arrays, x: Any) -> Any:
    """`torch.nn.RNN`, `GRU` and `LSTM`, one layer and direction."""
    act, n, rows = _FUNCTIONS[cell.activation], cell.units, len(w["weight_ih"])
    b_ih, b_hh = (w.get(name, np.zeros(rows)) for name in ("bias_ih", "bias_hh"))

    def both(u: Any, h: Any) -> tuple[Any, Any]:
        return u @ w["weight_ih"].T + b_ih, h @ w["weight_hh"].T + b_hh

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        (ir, iz, i_n), (hr, hz, hn) = (np.split(part, 3, axis=1) for part in both(u, h))
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        return ((1 - z) * np.tanh(i_n + r * hn) + z * h,)

    def lstm(u: Any, c: Any, h: Any) -> tuple[Any, ...]:
        i, f, g, o = np.split(sum(both(u, h)), 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return c, h @ w["weight_hr"].T if "weight_hr" in w else h

    if cell.kind == "RNN":
        return _over(x, (n,), lambda u, h: (act(sum(both(u, h))),))
    return _over(x, (n,), gru) if cell.kind == "GRU" else _over(x, (n, cell.width), lstm)


def onnx(cell: Cell, w: Arrays, x: Any) -> Any:
    """The operators RNN, GRU and LSTM of the ONNX specification, one direction."""
    act, n = _FUNCTIONS[cell.activation], cell.units
    weight, recurrent = w["W"][0].T, w["R"][0].T
    wb, rb = np.split(w["B"][0] if "B" in w else np.zeros(2 * weight.shape[1]), 2)
    if cell.kind == "RNN":
        return _over(x, (n,), lambda u, h: (act(u @ weight + h @ recurrent + wb + rb),))

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        xz, xr, xh = np.split(u @ weight + wb, 3, axis=1)
        rz, rr, rh = np.split(recurrent, 3, axis=1)
        bz, br, bh = np.split(rb, 3)
        z, r = sigmoid(xz + h @ rz + bz), sigmoid(xr + h @ rr + br)
        inner = r * (h @ rh + bh) if cell.options["reset_after"] else (r * h) @ rh + bh
        return ((1 - z) * act(xh + inner) + z * h,)

    def lstm(u: Any, c: Any, h: Any) -> tuple[Any, ...]:
        i, o, f, g = np.split(u @ weight + h @ recurrent + wb + rb, 4, axis=1)
        pi, po, pf = np.split(w["P"][0], 3) if "P" in w else (0, 0, 0)
        c_new = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * act(g)
        return c_new, sigmoid(o + po * c_new) * act(c_new)

    return _over(x, (n,), gru) if cell.kind == "GRU" else _over(x, (n, n), lstm)
