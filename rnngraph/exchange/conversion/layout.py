"""The layouts of other tools, layer by layer: which arrays a layer has, and how gates are ordered in them.

Each layout reads a layer's arrays (by local names) into our own and writes ours; what a layer of that tool
computes stands in `references`, written from its documentation, and the two are always checked against each
other. `Unsayable` says that the tool's layer cannot be this cell.

* TensorFlow 1: `tf.compat.v1.nn.rnn_cell` (BasicRNNCell, GRUCell, BasicLSTMCell, LSTMCell), `contrib.cudnn_rnn`.
* Keras: `keras.layers` SimpleRNN, GRU, LSTM, and those for CuDNN of Keras 2.
* PyTorch: `torch.nn` RNN, GRU, LSTM. * ONNX: operators RNN, GRU, LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.detect import TITLES
from rnngraph.exchange.conversion.gates import Gates, Parts, from_ours, join, split, to_ours
from rnngraph.exchange.conversion.layers import Plain
from rnngraph.exchange.recognise import SIGMOID, Cell
from rnngraph.files.tensors import Arrays


class Unsayable(Exception):
    """Why a layer of another tool cannot be a cell (or cannot hold these arrays)."""


class Layout(Struct, frozen=True):
    """`read(cell, options, theirs)` gives our arrays, `write(cell, ours)` theirs, both by local names; `run(kind,
    options, theirs, x)` is what their layer computes from zero states: (batch, time, inputs) to (batch, time, width).
    `options` are those of their layer (`options`). `may_lack` are arrays that a layer may be without: they count as
    zeros. `plain` are the local names of layers without states, ours to theirs."""

    name: str
    title: str
    read: Callable[[Cell, Mapping[str, Any], Arrays], Arrays]
    write: Callable[[Cell, Arrays], Arrays]
    run: Callable[[str, Mapping[str, Any], Arrays, Any], Any]
    may_lack: frozenset[str]
    plain: Mapping[str, Mapping[str, str]]


def _refuse(cell: Cell, tool: str, *, activations: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    """Raises Unsayable where the cell has an option that the tool's layer has not."""
    if cell.activation not in activations:
        raise Unsayable(f"{tool}'s {cell.kind} has no activation `{cell.activation}`")
    if cell.gate != SIGMOID and "gate" not in allowed:
        raise Unsayable(f"{tool}'s {cell.kind} has no gate activation `{cell.gate}`")
    for option in ("peepholes", "cell_clip", "projection", "projection_clip", "coupled"):
        if cell.options.get(option) and option not in allowed:
            raise Unsayable(f"{tool}'s {cell.kind} has no `{option}`")


def _bias(theirs: Arrays, name: str, like: Any, size: int) -> Any:
    """A bias, or zeros where the layer has none."""
    return theirs.get(name, np.zeros(size, like.dtype))


# --- layers without states ------------------------------------------------------------------------------------------


def read_plain(layout: Layout, layer: Plain, theirs: Arrays) -> Arrays:
    """Our arrays of a layer without states; what it is without counts as zeros, a gain as ones."""
    names = layout.plain[layer.kind]
    found = {ours: theirs[name] for ours, name in names.items() if name in theirs}
    if layer.kind == "Dense":
        kernel = found["kernel"].T if layout.name == "torch" else found["kernel"]
        return {"kernel": kernel, "bias": found.get("bias", np.zeros(kernel.shape[-1], kernel.dtype))}
    if layer.kind == "LayerNorm":
        some = next(iter(found.values()))
        return {"gain": np.ones_like(some), "offset": np.zeros_like(some), **found}
    return found


def write_plain(layout: Layout, layer: Plain, own: Arrays) -> Arrays:
    """Their arrays of a layer without states."""
    turned = layout.name == "torch" and layer.kind == "Dense"
    return {name: own[ours].T if turned else own[ours] for ours, name in layout.plain[layer.kind].items()}


# --- TensorFlow 1: our own layout under other names -----------------------------------------------------------------

_TF1 = {
    "RNN": {"kernel": "kernel", "bias": "bias"},
    "GRU": {"gates/kernel": "gates_kernel", "gates/bias": "gates_bias", "candidate/kernel": "candidate_kernel",
            "candidate/bias": "candidate_bias"},
    "LSTM": {"kernel": "kernel", "bias": "bias", "w_i_diag": "w_i", "w_f_diag": "w_f", "w_o_diag": "w_o",
             "projection/kernel": "project"},
}  # fmt: skip


def _tf1_refuse(cell: Cell) -> None:
    if cell.gate != SIGMOID:
        raise Unsayable(f"TensorFlow 1's {cell.kind} has no gate activation `{cell.gate}`")
    if cell.options.get("coupled"):
        raise Unsayable("TensorFlow 1's cell with coupled gates keeps what its forget gate says, ours its input gate")


def _tf1_read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _tf1_refuse(cell)
    own = {ours: theirs[name] for name, ours in _TF1[cell.kind].items() if name in theirs}
    if cell.kind == "GRU" and cell.options["reset_after"]:
        given, remembered = (f"candidate/{part}_projection/" for part in ("input", "hidden"))
        own["candidate_kernel"] = np.concatenate([theirs[f"{given}kernel"], theirs[f"{remembered}kernel"]])
        own["candidate_bias"] = theirs[f"{given}bias"]
        own["candidate_state_bias"] = theirs[f"{remembered}bias"]
    if cell.kind == "LSTM" and (more := options["forget_bias"] - cell.forget_bias):
        bias = split(own["bias"], "ijfo")
        own["bias"] = join({**bias, "f": bias["f"] + np.asarray(more, bias["f"].dtype)}, "ijfo")
    return own


def _tf1_write(cell: Cell, own: Arrays) -> Arrays:
    _tf1_refuse(cell)
    made = {name: own[ours] for name, ours in _TF1[cell.kind].items() if ours in own}
    if cell.kind == "GRU" and cell.options["reset_after"]:
        kernel, bias = made.pop("candidate/kernel"), made.pop("candidate/bias")
        made["candidate/input_projection/kernel"], made["candidate/input_projection/bias"] = kernel[: cell.inputs], bias
        made["candidate/hidden_projection/kernel"] = kernel[cell.inputs :]
        made["candidate/hidden_projection/bias"] = own["candidate_state_bias"]
    return made


# --- Keras ----------------------------------------------------------------------------------------------------------

_KERAS = {"RNN": "h", "GRU": "urc", "LSTM": "ifjo"}


def _keras_read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _keras_refuse(cell)
    gates, after = _KERAS[cell.kind], bool(cell.options.get("reset_after"))
    theirs = _of_cudnn(theirs, gates) if _is_cudnn(theirs) else theirs
    kernel, bias = theirs["kernel"], theirs.get("bias")
    if bias is None:
        bias = np.zeros((2, kernel.shape[1]) if after else kernel.shape[1], kernel.dtype)
    parts = Parts(split(kernel, gates), split(theirs["recurrent_kernel"], gates), {})
    if not after:
        return to_ours(cell, Parts(parts.input, parts.state, split(bias, gates)))
    first, second = split(bias[0], gates), split(bias[1], gates)
    summed = {g: first[g] + second[g] if g != "c" else first[g] for g in gates}
    return to_ours(cell, Parts(parts.input, parts.state, summed, {"c": second["c"]}))


def _is_cudnn(theirs: Arrays) -> bool:
    """Whether the arrays are those of a `CuDNNLSTM` or `CuDNNGRU`: as many biases for the state as for the input."""
    bias = theirs.get("bias")
    return bias is not None and bias.ndim == 1 and bias.size == 2 * theirs["kernel"].shape[-1]


def _of_cudnn(theirs: Arrays, gates: str) -> Arrays:
    """The arrays of the plain layer. CuDNN keeps the matrix of a gate as (units, inputs); Keras 2 gives it the shape
    (inputs, units) without moving a number, and has the state's as (units, units) turned over."""
    inputs, units = len(theirs["kernel"]), len(theirs["recurrent_kernel"])
    kernel = {g: a.reshape(units, inputs).T for g, a in split(theirs["kernel"], gates).items()}
    state = {g: a.T for g, a in split(theirs["recurrent_kernel"], gates).items()}
    both = theirs["bias"].reshape(2, -1)
    bias = both if gates == _KERAS["GRU"] else both.sum(axis=0)
    return {"kernel": join(kernel, gates), "recurrent_kernel": join(state, gates), "bias": bias}


def _keras_write(cell: Cell, own: Arrays) -> Arrays:
    _keras_refuse(cell)
    gates, parts = _KERAS[cell.kind], from_ours(cell, own)
    bias = join(parts.bias, gates)
    if parts.state_bias:
        zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
        bias = np.stack([bias, join({**zeros, **parts.state_bias}, gates)])
    return {"kernel": join(parts.input, gates), "recurrent_kernel": join(parts.state, gates), "bias": bias}


def _keras_refuse(cell: Cell) -> None:
    _refuse(cell, "Keras", activations=("tanh", "relu", "sigmoid", "identity"), allowed=("gate",))


# --- PyTorch --------------------------------------------------------------------------------------------------------

_TORCH = {"RNN": "h", "GRU": "ruc", "LSTM": "ifjo"}


def _torch_refuse(cell: Cell) -> None:
    allowed = ("tanh", "relu") if cell.kind == "RNN" else ("tanh",)
    _refuse(cell, "PyTorch", activations=allowed, allowed=("projection",))
    if cell.kind == "GRU" and not cell.options["reset_after"]:
        raise Unsayable("PyTorch's GRU has its reset gate behind the product: write `reset_after = true`")


def _torch_read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _torch_refuse(cell)
    gates, kernel = _TORCH[cell.kind], theirs["weight_ih"]
    first, second = (split(_bias(theirs, n, kernel, len(kernel)), gates) for n in ("bias_ih", "bias_hh"))
    summed = {g: first[g] if g == "c" else first[g] + second[g] for g in gates}
    after = {"c": second["c"]} if cell.kind == "GRU" else {}
    project = theirs["weight_hr"].T if "weight_hr" in theirs else None
    return to_ours(cell, Parts(split(kernel.T, gates), split(theirs["weight_hh"].T, gates), summed, after, {}, project))


def _torch_write(cell: Cell, own: Arrays) -> Arrays:
    _torch_refuse(cell)
    gates, parts = _TORCH[cell.kind], from_ours(cell, own)
    zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
    made = {
        "weight_ih": join(parts.input, gates).T,
        "weight_hh": join(parts.state, gates).T,
        "bias_ih": join(parts.bias, gates),
        "bias_hh": join({**zeros, **parts.state_bias}, gates),
    }
    return made | ({"weight_hr": parts.project.T} if parts.project is not None else {})


# --- ONNX: one direction; arrays have that direction as their first dimension of size 1 -----------------------------

_ONNX = {"RNN": "h", "GRU": "urc", "LSTM": "iofj"}


def _onnx_refuse(cell: Cell) -> None:
    _refuse(cell, "ONNX", activations=("tanh", "relu", "sigmoid"), allowed=("peepholes", "coupled", "gate"))


def _onnx_read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _onnx_refuse(cell)
    gates, kernel = _ONNX[cell.kind], theirs["W"][0]
    both = _bias(theirs, "B", kernel, 2 * len(kernel)).reshape(-1)
    first, second = (split(half, gates) for half in np.split(both, 2))
    after = {"c": second["c"]} if cell.options.get("reset_after") else {}
    summed = {g: first[g] if g in after else first[g] + second[g] for g in gates}
    peepholes = split(theirs["P"][0], "iof") if cell.options.get("peepholes") else {}
    input, state = split(kernel.T, gates), split(theirs["R"][0].T, gates)
    return to_ours(cell, Parts(input, state, summed, after, peepholes))


def _onnx_write(cell: Cell, own: Arrays) -> Arrays:
    _onnx_refuse(cell)
    gates, parts = _ONNX[cell.kind], from_ours(cell, own)
    input, state, biases = (_with_f(part, gates) for part in (parts.input, parts.state, parts.bias))
    zeros = {g: np.zeros_like(biases[g]) for g in gates}
    bias = np.concatenate([join(biases, gates), join({**zeros, **parts.state_bias}, gates)])
    made = {"W": join(input, gates).T[None], "R": join(state, gates).T[None], "B": bias[None]}
    return made | ({"P": join(_with_f(parts.peepholes, "iof"), "iof")[None]} if parts.peepholes else {})


def _with_f(parts: Gates, gates: str) -> Gates:
    """Every gate of the operator: the one that coupled gates leave unused is zeros."""
    some = next(iter(parts.values()))
    return {g: parts.get(g, np.zeros_like(some)) for g in gates}


# --- all of them ----------------------------------------------------------------------------------------------------


def _same(local: str) -> dict[str, str]:
    return {name: name for name in local.split()}


_NORM = {"gain": "gamma", "offset": "beta"}
TF1 = Layout(
    "tf1", TITLES["tf1"], _tf1_read, _tf1_write, references.tf1, frozenset(),
    {"Dense": _same("kernel bias"), "Embedding": _same("table"), "LayerNorm": _NORM},
)  # fmt: skip
KERAS = Layout(
    "keras", TITLES["keras"], _keras_read, _keras_write, references.keras, frozenset({"bias"}),
    {"Dense": _same("kernel bias"), "Embedding": {"table": "embeddings"}, "LayerNorm": _NORM},
)  # fmt: skip
TORCH = Layout(
    "torch", TITLES["torch"], _torch_read, _torch_write, references.torch, frozenset({"bias_ih", "bias_hh"}),
    {
        "Dense": {"kernel": "weight", "bias": "bias"}, "Embedding": {"table": "weight"},
        "LayerNorm": {"gain": "weight", "offset": "bias"},
    },
)  # fmt: skip
ONNX = Layout(
    "onnx", TITLES["onnx"], _onnx_read, _onnx_write, references.onnx, frozenset({"B"}),
    {"Dense": _same("kernel bias"), "Embedding": _same("table"), "LayerNorm": _same("gain offset")},
)  # fmt: skip
LAYOUTS = {layout.name: layout for layout in (TF1, KERAS, TORCH, ONNX)}
