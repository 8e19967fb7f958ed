"""The weights of a cell gate by gate: the middle between our layout and every other.

An LSTM has the gates i, j, f, o (j is the candidate: g in PyTorch, c in Keras and ONNX), a GRU r, u, c (u is z
elsewhere, c is n or h), a simple network only h. Matrices are for rows: `x @ input[g] + h @ state[g]`. All biases
count as they act: that of f includes the forget bias, which our layout adds at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field

from rnngraph.exchange.recognise import Cell
from rnngraph.files.safetensors import Arrays

GATES = {"RNN": "h", "GRU": "ruc", "LSTM": "ijfo"}
Gates = dict[str, Any]


def gates_of(cell: Cell) -> str:
    """The gates of a cell in the order of our columns: one whose gates are coupled has no f."""
    return "ijo" if cell.options.get("coupled") else GATES[cell.kind]


class Parts(Struct, frozen=True):
    """By gate: `input` (inputs, units), `state` (width, units), `bias` and `state_bias` (units,), the second only
    where the candidate of a GRU has one behind its reset gate; `peepholes` (units,); `project` (units, width)."""

    input: Gates
    state: Gates
    bias: Gates
    state_bias: Gates = field(default_factory=dict)
    peepholes: Gates = field(default_factory=dict)
    project: Any = None


def split(array: Any, gates: Sequence[str], axis: int = -1) -> Gates:
    """The parts of an array of gates side by side. Raises ValueError where it cannot be cut evenly."""
    return dict(zip(gates, np.split(array, len(gates), axis=axis), strict=True))


def join(parts: Mapping[str, Any], gates: Sequence[str], axis: int = -1) -> Any:
    return np.concatenate([parts[g] for g in gates], axis=axis)


def from_ours(cell: Cell, own: Arrays) -> Parts:
    """The parts of the weights of a cell, by local names."""
    n = cell.inputs
    if cell.kind == "GRU":
        kernels = {**split(own["gates_kernel"], "ru"), "c": own["candidate_kernel"]}
        bias = {**split(own["gates_bias"], "ru"), "c": own["candidate_bias"]}
        after = {"c": own["candidate_state_bias"]} if "candidate_state_bias" in own else {}
        return Parts(_rows(kernels, 0, n), _rows(kernels, n, None), bias, after)
    gates = gates_of(cell)
    kernels, bias = split(own["kernel"], gates), split(own["bias"], gates)
    if "f" in gates:
        bias["f"] = bias["f"] + np.asarray(cell.forget_bias, bias["f"].dtype)
    peepholes = {g: own[f"w_{g}"] for g in "ifo" if f"w_{g}" in own}
    return Parts(_rows(kernels, 0, n), _rows(kernels, n, None), bias, {}, peepholes, own.get("project"))


def _rows(kernels: Gates, start: int, stop: int | None) -> Gates:
    return {g: k[start:stop] for g, k in kernels.items()}


def to_ours(cell: Cell, parts: Parts) -> Arrays:
    """The weights of a cell by local names."""
    kernels = {g: np.concatenate([parts.input[g], parts.state[g]]) for g in parts.input}
    if cell.kind == "GRU":
        own = {"gates_kernel": join(kernels, "ru"), "gates_bias": join(parts.bias, "ru"),
               "candidate_kernel": kernels["c"], "candidate_bias": parts.bias["c"]}  # fmt: skip
        return own | ({"candidate_state_bias": parts.state_bias["c"]} if parts.state_bias else {})
    gates, bias = gates_of(cell), dict(parts.bias)
    if "f" in gates:
        bias["f"] = bias["f"] - np.asarray(cell.forget_bias, bias["f"].dtype)
    own = {"kernel": join(kernels, gates), "bias": join(bias, gates)}
    own |= {f"w_{g}": value for g, value in parts.peepholes.items() if g in gates}
    return own | ({"project": parts.project} if parts.project is not None else {})
