"""ONNX: the operators RNN, GRU, LSTM in one direction, which is the first dimension of arrays, of size 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.detect import TITLES
from rnngraph.exchange.conversion.gates import Gates, Parts, from_ours, join, split, to_ours
from rnngraph.exchange.conversion.layout import Layout, bias_of, refuse, same
from rnngraph.exchange.recognise import Cell
from rnngraph.files.safetensors import Arrays

_GATES = {"RNN": "h", "GRU": "urc", "LSTM": "iofj"}


def _refuse(cell: Cell) -> None:
    refuse(cell, "ONNX", activations=("tanh", "relu", "sigmoid"), allowed=("peepholes", "coupled", "gate"))


def _read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _refuse(cell)
    gates, kernel = _GATES[cell.kind], theirs["W"][0]
    both = bias_of(theirs, "B", kernel, 2 * len(kernel)).reshape(-1)
    first, second = (split(half, gates) for half in np.split(both, 2))
    after = {"c": second["c"]} if cell.options.get("reset_after") else {}
    summed = {g: first[g] if g in after else first[g] + second[g] for g in gates}
    peepholes = split(theirs["P"][0], "iof") if cell.options.get("peepholes") else {}
    input, state = split(kernel.T, gates), split(theirs["R"][0].T, gates)
    return to_ours(cell, Parts(input, state, summed, after, peepholes))


def _write(cell: Cell, own: Arrays) -> Arrays:
    _refuse(cell)
    gates, parts = _GATES[cell.kind], from_ours(cell, own)
    input, state, biases = (_with_f(part, gates) for part in (parts.input, parts.state, parts.bias))
    zeros = {g: np.zeros_like(biases[g]) for g in gates}
    bias = np.concatenate([join(biases, gates), join({**zeros, **parts.state_bias}, gates)])
    made = {"W": join(input, gates).T[None], "R": join(state, gates).T[None], "B": bias[None]}
    return made | ({"P": join(_with_f(parts.peepholes, "iof"), "iof")[None]} if parts.peepholes else {})


def _with_f(parts: Gates, gates: str) -> Gates:
    """Every gate of the operator: the one that coupled gates leave unused is zeros."""
    some = next(iter(parts.values()))
    return {g: parts.get(g, np.zeros_like(some)) for g in gates}


ONNX = Layout(
    "onnx", TITLES["onnx"], _read, _write, references.onnx, frozenset({"B"}),
    {"Dense": same("kernel bias"), "Embedding": same("table"), "LayerNorm": same("gain offset")},
)  # fmt: skip
