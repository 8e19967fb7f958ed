"""PyTorch: `torch.nn` RNN, GRU, LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.detect import TITLES
from rnngraph.exchange.conversion.gates import Parts, from_ours, join, split, to_ours
from rnngraph.exchange.conversion.layout import Layout, Unsayable, bias_of, refuse
from rnngraph.exchange.recognise import Cell
from rnngraph.files.safetensors import Arrays

_GATES = {"RNN": "h", "GRU": "ruc", "LSTM": "ifjo"}


def _refuse(cell: Cell) -> None:
    allowed = ("tanh", "relu") if cell.kind == "RNN" else ("tanh",)
    refuse(cell, "PyTorch", activations=allowed, allowed=("projection",))
    if cell.kind == "GRU" and not cell.options["reset_after"]:
        raise Unsayable("PyTorch's GRU has its reset gate behind the product: write `reset_after = true`")


def _read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _refuse(cell)
    gates, kernel = _GATES[cell.kind], theirs["weight_ih"]
    first, second = (split(bias_of(theirs, n, kernel, len(kernel)), gates) for n in ("bias_ih", "bias_hh"))
    summed = {g: first[g] if g == "c" else first[g] + second[g] for g in gates}
    after = {"c": second["c"]} if cell.kind == "GRU" else {}
    project = theirs["weight_hr"].T if "weight_hr" in theirs else None
    return to_ours(cell, Parts(split(kernel.T, gates), split(theirs["weight_hh"].T, gates), summed, after, {}, project))


def _write(cell: Cell, own: Arrays) -> Arrays:
    _refuse(cell)
    gates, parts = _GATES[cell.kind], from_ours(cell, own)
    zeros = {g: np.zeros_like(parts.bias[g]) for g in gates}
    made = {
        "weight_ih": join(parts.input, gates).T,
        "weight_hh": join(parts.state, gates).T,
        "bias_ih": join(parts.bias, gates),
        "bias_hh": join({**zeros, **parts.state_bias}, gates),
    }
    return made | ({"weight_hr": parts.project.T} if parts.project is not None else {})


TORCH = Layout(
    "torch", TITLES["torch"], _read, _write, references.torch, frozenset({"bias_ih", "bias_hh"}),
    {
        "Dense": {"kernel": "weight", "bias": "bias"}, "Embedding": {"table": "weight"},
        "LayerNorm": {"gain": "weight", "offset": "bias"},
    },
)  # fmt: skip
