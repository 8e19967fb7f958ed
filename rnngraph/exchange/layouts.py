"""The layouts of other tools, layer by layer: which arrays a layer has, and how gates are ordered in them.

Each layout reads a layer's arrays (by local names) into our own and writes ours; what a layer of that tool
computes stands in `references`, written from its documentation, and the two are always checked against each
other. `Unsayable` says that the tool's layer cannot be this cell.

* TensorFlow 1: `tf.compat.v1.nn.rnn_cell` (BasicRNNCell, GRUCell, BasicLSTMCell, LSTMCell).
* Keras: `keras.layers` SimpleRNN, GRU, LSTM. * PyTorch: `torch.nn` RNN, GRU, LSTM. * ONNX: operators RNN, GRU, LSTM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnngraph.exchange import references
from rnngraph.exchange.looks import TITLES
from rnngraph.exchange.parts import GATES, Parts, from_ours, join, split, to_ours
from rnngraph.exchange.recognise import Cell
from rnngraph.learn.files import Arrays


class Unsayable(Exception):
    """Why a layer of another tool cannot be a cell (or cannot hold these arrays)."""


@dataclass(frozen=True)
class Layout:
    """`read(cell, theirs)` gives our arrays, `write(cell, ours)` theirs, both by local names;
    `run(cell, theirs, x)` is what their layer computes from zero states: (batch, time, inputs) to
    (batch, time, width)."""

    name: str
    title: str
    read: Callable[[Cell, Arrays], Arrays]
    write: Callable[[Cell, Arrays], Arrays]
    run: Callable[[Cell, Arrays, Any], Any]


def _refuse(cell: Cell, tool: str, *, activations: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    """Raises Unsayable where the cell has an option that the tool's layer has not."""
    if cell.activation not in activations:
        raise Unsayable(f"{tool}'s {cell.kind} has no activation `{cell.activation}`")
    for option in ("peepholes", "cell_clip", "projection", "projection_clip"):
        if cell.options.get(option) and option not in allowed:
            raise Unsayable(f"{tool}'s {cell.kind} has no `{option}`")


def _bias(theirs: Arrays, name: str, like: Any, size: int) -> Any:
    """A bias, or zeros where the layer has none."""
    return theirs.get(name, np.zeros(size, like.dtype))


# --- TensorFlow 1: our own layout under other names -----------------------------------------------------------------

_TF1 = {
    "RNN": {"kernel": "kernel", "bias": "bias"},
    "GRU": {"gates/kernel": "gates_kernel", "gates/bias": "gates_bias", "candidate/kernel": "candidate_kernel",
            "candidate/bias": "candidate_bias"},
    "LSTM": {"kernel": "kernel", "bias": "bias", "w_i_diag": "w_i", "w_f_diag": "w_f", "w_o_diag": "w_o",
             "projection/kernel": "project"},
}  # fmt: skip


def _tf1_refuse(cell: Cell) -> None:
    if cell.options.get("reset_after"):
        raise Unsayable("TensorFlow 1's GRUCell has its reset gate before the product: write `reset_after = false`")


def _tf1_read(cell: Cell, theirs: Arrays) -> Arrays:
    _tf1_refuse(cell)
    return {ours: theirs[name] for name, ours in _TF1[cell.kind].items() if name in theirs}


def _tf1_write(cell: Cell, own: Arrays) -> Arrays:
    _tf1_refuse(cell)
    return {name: own[ours] for name, ours in _TF1[cell.kind].items() if ours in own}


# --- Keras ----------------------------------------------------------------------------------------------------------

_KERAS = {"RNN": "h", "GRU": "urc", "LSTM": "ifjo"}


def _keras_read(cell: Cell, theirs: Arrays) -> Arrays:
    _keras_refuse(cell)
    gates, kernel = _KERAS[cell.kind], theirs["kernel"]
    after = bool(cell.options.get("reset_after"))
    bias = _bias(theirs, "bias", kernel, kernel.shape[1])
    if after and "bias" not in theirs:
        bias = np.stack([bias, bias])
    if after != (bias.ndim == 2):
        other = "false" if after else "true"
        raise Unsayable(f"the bias has {bias.ndim} dimensions: write `reset_after = {other}`")
    parts = Parts(split(kernel, gates), split(theirs["recurrent_kernel"], gates), {})
    if not after:
        return to_ours(cell, Parts(parts.input, parts.state, split(bias, gates)))
    first, second = split(bias[0], gates), split(bias[1], gates)
    summed = {g: first[g] + second[g] if g != "c" else first[g] for g in gates}
    return to_ours(cell, Parts(parts.input, parts.state, summed, {"c": second["c"]}))


def _keras_write(cell: Cell, own: Arrays) -> Arrays:
    _keras_refuse(cell)
    gates, parts = _KERAS[cell.kind], from_ours(cell, own)
    bias = join(parts.bias, gates)
    if parts.state_bias:
        zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
        bias = np.stack([bias, join({**zeros, **parts.state_bias}, gates)])
    return {"kernel": join(parts.input, gates), "recurrent_kernel": join(parts.state, gates), "bias": bias}


def _keras_refuse(cell: Cell) -> None:
    _refuse(cell, "Keras", activations=("tanh", "relu", "sigmoid", "identity"))


# --- PyTorch --------------------------------------------------------------------------------------------------------

_TORCH = {"RNN": "h", "GRU": "ruc", "LSTM": "ifjo"}


def _torch_refuse(cell: Cell) -> None:
    allowed = ("tanh", "relu") if cell.kind == "RNN" else ("tanh",)
    _refuse(cell, "PyTorch", activations=allowed, allowed=("projection",))
    if cell.kind == "GRU" and not cell.options["reset_after"]:
        raise Unsayable("PyTorch's GRU has its reset gate behind the product: write `reset_after = true`")


def _torch_read(cell: Cell, theirs: Arrays) -> Arrays:
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
    _refuse(cell, "ONNX", activations=("tanh", "relu", "sigmoid"), allowed=("peepholes",))


def _onnx_read(cell: Cell, theirs: Arrays) -> Arrays:
    _onnx_refuse(cell)
    gates, kernel = _ONNX[cell.kind], theirs["W"][0]
    both = _bias(theirs, "B", kernel, 2 * len(kernel)).reshape(-1)
    first, second = (split(half, gates) for half in np.split(both, 2))
    after = {"c": second["c"]} if cell.options.get("reset_after") else {}
    summed = {g: first[g] if g in after else first[g] + second[g] for g in gates}
    peepholes = split(theirs["P"][0], "iof") if "P" in theirs and cell.options.get("peepholes") else {}
    return to_ours(cell, Parts(split(kernel.T, gates), split(theirs["R"][0].T, gates), summed, after, peepholes))


def _onnx_write(cell: Cell, own: Arrays) -> Arrays:
    _onnx_refuse(cell)
    gates, parts = _ONNX[cell.kind], from_ours(cell, own)
    zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
    bias = np.concatenate([join(parts.bias, gates), join({**zeros, **parts.state_bias}, gates)])
    made = {"W": join(parts.input, gates).T[None], "R": join(parts.state, gates).T[None], "B": bias[None]}
    return made | ({"P": join(parts.peepholes, "iof")[None]} if parts.peepholes else {})


TF1 = Layout("tf1", TITLES["tf1"], _tf1_read, _tf1_write, references.tf1)
KERAS = Layout("keras", TITLES["keras"], _keras_read, _keras_write, references.keras)
TORCH = Layout("torch", TITLES["torch"], _torch_read, _torch_write, references.torch)
ONNX = Layout("onnx", TITLES["onnx"], _onnx_read, _onnx_write, references.onnx)
LAYOUTS = {layout.name: layout for layout in (TF1, KERAS, TORCH, ONNX)}

__all__ = ["GATES", "KERAS", "LAYOUTS", "ONNX", "TF1", "TORCH", "Layout", "Unsayable"]
