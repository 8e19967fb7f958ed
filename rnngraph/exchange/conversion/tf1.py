"""TensorFlow 1: our own layout under other names.

`tf.compat.v1.nn.rnn_cell` (BasicRNNCell, GRUCell, BasicLSTMCell, LSTMCell), `contrib.cudnn_rnn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.detect import TITLES
from rnngraph.exchange.conversion.gates import join, split
from rnngraph.exchange.conversion.layout import NORM, Layout, Unsayable, same
from rnngraph.exchange.recognise import SIGMOID, Cell
from rnngraph.files.safetensors import Arrays

_NAMES = {
    "RNN": {"kernel": "kernel", "bias": "bias"},
    "GRU": {"gates/kernel": "gates_kernel", "gates/bias": "gates_bias", "candidate/kernel": "candidate_kernel",
            "candidate/bias": "candidate_bias"},
    "LSTM": {"kernel": "kernel", "bias": "bias", "w_i_diag": "w_i", "w_f_diag": "w_f", "w_o_diag": "w_o",
             "projection/kernel": "project"},
}  # fmt: skip


def _refuse(cell: Cell) -> None:
    if cell.gate != SIGMOID:
        raise Unsayable(f"TensorFlow 1's {cell.kind} has no gate activation `{cell.gate}`")
    if cell.options.get("coupled"):
        raise Unsayable("TensorFlow 1's cell with coupled gates keeps what its forget gate says, ours its input gate")


def _read(cell: Cell, options: Mapping[str, Any], theirs: Arrays) -> Arrays:
    _refuse(cell)
    own = {ours: theirs[name] for name, ours in _NAMES[cell.kind].items() if name in theirs}
    if cell.kind == "GRU" and cell.options["reset_after"]:
        given, remembered = (f"candidate/{part}_projection/" for part in ("input", "hidden"))
        own["candidate_kernel"] = np.concatenate([theirs[f"{given}kernel"], theirs[f"{remembered}kernel"]])
        own["candidate_bias"] = theirs[f"{given}bias"]
        own["candidate_state_bias"] = theirs[f"{remembered}bias"]
    if cell.kind == "LSTM" and (more := options["forget_bias"] - cell.forget_bias):
        bias = split(own["bias"], "ijfo")
        own["bias"] = join({**bias, "f": bias["f"] + np.asarray(more, bias["f"].dtype)}, "ijfo")
    return own


def _write(cell: Cell, own: Arrays) -> Arrays:
    _refuse(cell)
    made = {name: own[ours] for name, ours in _NAMES[cell.kind].items() if ours in own}
    if cell.kind == "GRU" and cell.options["reset_after"]:
        kernel, bias = made.pop("candidate/kernel"), made.pop("candidate/bias")
        made["candidate/input_projection/kernel"], made["candidate/input_projection/bias"] = kernel[: cell.inputs], bias
        made["candidate/hidden_projection/kernel"] = kernel[cell.inputs :]
        made["candidate/hidden_projection/bias"] = own["candidate_state_bias"]
    return made


TF1 = Layout(
    "tf1", TITLES["tf1"], _read, _write, references.tf1, frozenset(),
    {"Dense": same("kernel bias"), "Embedding": same("table"), "LayerNorm": NORM},
)  # fmt: skip
