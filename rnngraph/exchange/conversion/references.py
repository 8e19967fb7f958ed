"""What the layers of other tools compute, in plain NumPy, from their documented equations.

Every function takes the kind of a layer, the options that it has there (under our names, see `options`), its own
arrays and a batch (batch, time, inputs), starts from zero states and gives the outputs (batch, time, width), each at
its own step. They are written apart from `layouts`, so that each checks the other, and know nothing of our cell: what
is run is what the file says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnngraph.files.safetensors import Arrays

Step = Callable[..., tuple[Any, ...]]
Options = Mapping[str, Any]


def sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "identity": lambda x: x,
    "clip(0.2 * z + 0.5, 0, 1)": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "clip(z / 6 + 0.5, 0, 1)": lambda z: np.clip(z / 6 + 0.5, 0, 1),
}


def _over(options: Options, x: Any, states: tuple[int, ...], step: Step) -> Any:
    """The outputs of a step function over time; it takes the input and the states, h last, and gives new states."""
    now = tuple(np.zeros((len(x), size)) for size in states)
    order = range(x.shape[1])[:: -1 if options.get("reverse") else 1]
    outputs = {}
    for t in order:
        now = step(x[:, t], *now)
        outputs[t] = now[-1]
    return np.stack([outputs[t] for t in range(x.shape[1])], axis=1)


def tf1(kind: str, options: Options, w: Arrays, x: Any) -> Any:
    """`rnn_cell_impl.py` of TensorFlow 1.15, and `CudnnCompatibleGRUCell` of its `contrib`."""
    act = _FUNCTIONS[options["activation"]]
    if kind == "RNN":
        n = w["kernel"].shape[1]
        return _over(options, x, (n,), lambda u, h: (act(np.concatenate([u, h], 1) @ w["kernel"] + w["bias"]),))

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        value = sigmoid(np.concatenate([u, h], 1) @ w["gates/kernel"] + w["gates/bias"])
        r, z = np.split(value, 2, axis=1)
        if options["reset_after"]:
            kept = h @ w["candidate/hidden_projection/kernel"] + w["candidate/hidden_projection/bias"]
            given = u @ w["candidate/input_projection/kernel"] + w["candidate/input_projection/bias"]
            return (z * h + (1 - z) * act(given + r * kept),)
        c = act(np.concatenate([u, r * h], 1) @ w["candidate/kernel"] + w["candidate/bias"])
        return (z * h + (1 - z) * c,)

    def lstm(u: Any, c: Any, m: Any) -> tuple[Any, ...]:
        i, j, f, o = np.split(np.concatenate([u, m], 1) @ w["kernel"] + w["bias"], 4, axis=1)
        i, f = i + w.get("w_i_diag", 0) * c, f + w.get("w_f_diag", 0) * c
        c = sigmoid(f + options["forget_bias"]) * c + sigmoid(i) * act(j)
        if clip := options["cell_clip"]:
            c = np.clip(c, -clip, clip)
        m = sigmoid(o + w.get("w_o_diag", 0) * c) * act(c)
        if "projection/kernel" in w:
            m = m @ w["projection/kernel"]
            if clip := options["projection_clip"]:
                m = np.clip(m, -clip, clip)
        return c, m

    if kind == "GRU":
        return _over(options, x, (w["gates/kernel"].shape[1] // 2,), gru)
    units = w["kernel"].shape[1] // 4
    return _over(options, x, (units, w["kernel"].shape[0] - x.shape[2]), lstm)


def keras(kind: str, options: Options, w: Arrays, x: Any) -> Any:
    """`SimpleRNNCell`, `GRUCell` and `LSTMCell` of keras.layers; of the arrays of Keras 2's CuDNN layers, what CuDNN
    itself does with them: `matrix @ value`, each matrix kept row by row."""
    act, n = _FUNCTIONS[options["activation"]], len(w["recurrent_kernel"])
    gate = _FUNCTIONS[options.get("gate", "sigmoid")]
    gates = w["kernel"].shape[1] // n
    bias = w.get("bias", np.zeros(w["kernel"].shape[1]))
    cudnn = bias.ndim == 1 and bias.size == 2 * gates * n
    two = bias.reshape(2, -1) if cudnn or bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])

    def given(u: Any) -> list[Any]:
        blocks = np.split(w["kernel"], gates, axis=1)
        if cudnn:
            blocks = [np.ravel(block).reshape(n, u.shape[1]).T for block in blocks]
        return [u @ block + b for block, b in zip(blocks, np.split(two[0], gates), strict=True)]

    def kept(h: Any) -> list[Any]:
        blocks = np.split(w["recurrent_kernel"], gates, axis=1)
        return [h @ (k.T if cudnn else k) + b for k, b in zip(blocks, np.split(two[1], gates), strict=True)]

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        (xz, xr, xh), (hz, hr, hh) = given(u), kept(h)
        z, r = gate(xz + hz), gate(xr + hr)
        before = (r * h) @ w["recurrent_kernel"][:, 2 * n :]
        new = act(xh + r * hh) if options["reset_after"] else act(xh + before)
        return (z * h + (1 - z) * new,)

    def lstm(u: Any, c: Any, h: Any) -> tuple[Any, ...]:
        i, f, g, o = (a + b for a, b in zip(given(u), kept(h), strict=True))
        c = gate(f) * c + gate(i) * act(g)
        return c, gate(o) * act(c)

    if kind == "RNN":
        return _over(options, x, (n,), lambda u, h: (act(given(u)[0] + kept(h)[0]),))
    return _over(options, x, (n,), gru) if kind == "GRU" else _over(options, x, (n, n), lstm)


def torch(kind: str, options: Options, w: Arrays, x: Any) -> Any:
    """`torch.nn.RNN`, `GRU` and `LSTM`, one layer and direction."""
    rows, width = len(w["weight_ih"]), w["weight_hh"].shape[1]
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

    if kind == "RNN":
        act = _FUNCTIONS[options["activation"]]
        return _over(options, x, (width,), lambda u, h: (act(sum(both(u, h))),))
    return _over(options, x, (width,), gru) if kind == "GRU" else _over(options, x, (rows // 4, width), lstm)


def onnx(kind: str, options: Options, w: Arrays, x: Any) -> Any:
    """The operators RNN, GRU and LSTM of the ONNX specification, one direction."""
    act, n = _FUNCTIONS[options["activation"]], w["R"].shape[2]
    gate = _FUNCTIONS[options.get("gate", "sigmoid")]
    weight, recurrent = w["W"][0].T, w["R"][0].T
    wb, rb = np.split(w["B"][0] if "B" in w else np.zeros(2 * weight.shape[1]), 2)
    if kind == "RNN":
        return _over(options, x, (n,), lambda u, h: (act(u @ weight + h @ recurrent + wb + rb),))

    def gru(u: Any, h: Any) -> tuple[Any, ...]:
        xz, xr, xh = np.split(u @ weight + wb, 3, axis=1)
        rz, rr, rh = np.split(recurrent, 3, axis=1)
        bz, br, bh = np.split(rb, 3)
        z, r = gate(xz + h @ rz + bz), gate(xr + h @ rr + br)
        inner = r * (h @ rh + bh) if options["reset_after"] else (r * h) @ rh + bh
        return ((1 - z) * act(xh + inner) + z * h,)

    def lstm(u: Any, c: Any, h: Any) -> tuple[Any, ...]:
        i, o, f, g = np.split(u @ weight + h @ recurrent + wb + rb, 4, axis=1)
        pi, po, pf = np.split(w["P"][0], 3) if "P" in w else (0, 0, 0)
        put = gate(i + pi * c)
        c_new = (1 - put if options["coupled"] else gate(f + pf * c)) * c + put * act(g)
        return c_new, gate(o + po * c_new) * act(c_new)

    return _over(options, x, (n,), gru) if kind == "GRU" else _over(options, x, (n, n), lstm)


def plain(kind: str, options: Options, w: Arrays, x: Any) -> Any:
    """A layer without states, with its arrays under our names: a matrix of a `Dense` stands as (in, out)."""
    if kind == "Embedding":
        return w["table"][x]
    if kind == "Dense":
        return x @ w["kernel"] + w.get("bias", 0)
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + options["epsilon"])
    return scaled * w.get("gain", 1) + w.get("offset", 0)
