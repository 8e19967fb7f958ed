"""Keras: `keras.layers` SimpleRNN, GRU, LSTM, and those for CuDNN of Keras 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.detect import TITLES
from rnngraph.exchange.conversion.gates import Parts, from_ours, join, split, to_ours
from rnngraph.exchange.conversion.layout import NORM, Layout, refuse, same
from rnngraph.exchange.recognise import Cell
from rnngraph.files.safetensors import Arrays

_GATES = {"RNN": "h", "GRU": "urc", "LSTM": "ifjo"}


def _read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _refuse(cell)
    gates, after = _GATES[cell.kind], bool(cell.options.get("reset_after"))
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
    bias = both if gates == _GATES["GRU"] else both.sum(axis=0)
    return {"kernel": join(kernel, gates), "recurrent_kernel": join(state, gates), "bias": bias}


def _write(cell: Cell, own: Arrays) -> Arrays:
    _refuse(cell)
    gates, parts = _GATES[cell.kind], from_ours(cell, own)
    bias = join(parts.bias, gates)
    if parts.state_bias:
        zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
        bias = np.stack([bias, join({**zeros, **parts.state_bias}, gates)])
    return {"kernel": join(parts.input, gates), "recurrent_kernel": join(parts.state, gates), "bias": bias}


def _refuse(cell: Cell) -> None:
    refuse(cell, "Keras", activations=("tanh", "relu", "sigmoid", "identity"), allowed=("gate",))


KERAS = Layout(
    "keras", TITLES["keras"], _read, _write, references.keras, frozenset({"bias"}),
    {"Dense": same("kernel bias"), "Embedding": {"table": "embeddings"}, "LayerNorm": NORM},
)  # fmt: skip
