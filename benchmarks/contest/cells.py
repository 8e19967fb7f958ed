"""The cells of the contest: in our language, and as one step that every array library of the others can run.

Ours are the library's, or written out where it has none. A step for the others has its products by the inputs taken
apart (`inputs`), so that whoever can, computes them for all steps at once. Their weights have the names of ours; a
kernel whose rows are the input and then the state comes as two, `..._x` and `..._h`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Array = Any
Leaves = Mapping[str, Array]
States = tuple[Array, ...]


class Ops(Protocol):
    """What a step needs of an array library beside operators."""

    def sigmoid(self, a: Array) -> Array: ...
    def tanh(self, a: Array) -> Array: ...
    def relu(self, a: Array) -> Array: ...
    def sqrt(self, a: Array) -> Array: ...
    def mean(self, a: Array) -> Array:
        """Over the last dimension, which stays with size 1."""

    def split(self, a: Array, parts: int) -> tuple[Array, ...]:
        """Along the last dimension."""


@dataclass(frozen=True)
class Cell:
    """`text` makes the cell in our language; `step` gives new states, the output last, from the parts of `inputs`.

    `joined` names leaves of the others that are several weights of ours side by side.
    """

    text: str
    inputs: Callable[[Array, Leaves], tuple[Array, ...]]
    step: Callable[[Ops, tuple[Array, ...], States, Leaves], States]
    states: int = 1
    layers: int = 1
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    definition: str = ""


def whole(x: Array, p: Leaves) -> tuple[Array, ...]:
    return (x @ p["kernel_x"] + p["bias"],)


def rnn(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    return (ops.tanh(parts[0] + states[0] @ p["kernel_h"]),)


def lstm(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    c, h = states
    i, j, f, o = ops.split(parts[0] + h @ p["kernel_h"], 4)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(j)
    return c, ops.sigmoid(o) * ops.tanh(c)


def peepholes(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    c, h = states
    i, j, f, o = ops.split(parts[0] + h @ p["kernel_h"], 4)
    c = ops.sigmoid(f + p["w_f"] * c) * c + ops.sigmoid(i + p["w_i"] * c) * ops.tanh(j)
    return c, ops.sigmoid(o + p["w_o"] * c) * ops.tanh(c)


def gru(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    (h,) = states
    r, u, c = ops.split(parts[0], 3)
    hr, hu, hc = ops.split(h @ p["kernel_h"], 3)
    r, u = ops.sigmoid(r + hr), ops.sigmoid(u + hu)
    c = ops.tanh(c + r * (hc + p["candidate_state_bias"]))
    return (u * h + (1 - u) * c,)


def gated(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    c, h = states
    a, f, o = ops.split(parts[0] + h @ p["kernel_h"], 3)
    f, o = ops.sigmoid(f), ops.sigmoid(o)
    c = f * c + (1 - f) * ops.tanh(a)
    return c, o * ops.relu(c) + (1 - o) * h


def normalised(ops: Ops, a: Array, p: Leaves, name: str) -> Array:
    centred = a - ops.mean(a)
    return p[f"{name}.gain"] * centred / ops.sqrt(ops.mean(centred * centred) + 1e-5) + p[f"{name}.offset"]


def layer_norm_lstm(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    c, h = states
    z = normalised(ops, parts[0], p, "input_norm") + normalised(ops, h @ p["state_kernel"], p, "state_norm")
    i, j, f, o = ops.split(z + p["bias"], 4)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(j)
    return c, ops.sigmoid(o) * ops.tanh(normalised(ops, c, p, "cell_norm"))


def mgu(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    (h,) = states
    f = ops.sigmoid(parts[0] + h @ p["gate_kernel_h"])
    return ((1 - f) * h + f * ops.tanh(parts[1] + (f * h) @ p["kernel_h"]),)


def recurrent_highway(ops: Ops, parts: tuple[Array, ...], states: States, p: Leaves) -> States:
    (s,) = states
    for k in range(1, 5):
        both = s @ p[f"state_kernel.{k}"] + p[f"bias.{k}"]
        a, g = ops.split(both + parts[0] if k == 1 else both, 2)
        g = ops.sigmoid(g)
        s = ops.tanh(a) * g + s * (1 - g)
    return (s,)


GATED = """
cell Gated(units) {
  input x: [n]
  state c: [units] = 0
  state h: [units] = 0
  param kernel: [n + units, 3 * units] ~ glorot_uniform
  param bias: [3 * units] = 0

  a, f, o = split([x, h] @ kernel + bias, 3)
  c' = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(a)
  h' = sigmoid(o) * relu(c') + (1 - sigmoid(o)) * h
  output h'
}
"""

CELLS: Mapping[str, Cell] = {
    "lstm": Cell("LSTM({units}, 0)", whole, lstm, states=2),
    "gru": Cell(
        "GRU({units}, reset_after = true)",
        whole,
        gru,
        joined={"kernel": ("gates_kernel", "candidate_kernel"), "bias": ("gates_bias", "candidate_bias")},
    ),
    "rnn": Cell("RNN({units})", whole, rnn),
    "gated": Cell("Gated({units})", whole, gated, states=2, definition=GATED),
    "layer_norm_lstm": Cell(
        "LayerNormLSTM({units}, 0)", lambda x, p: (x @ p["input_kernel"],), layer_norm_lstm, states=2
    ),
    "peephole_lstm": Cell("LSTM({units}, 0, peepholes = true)", whole, peepholes, states=2),
    "mgu": Cell(
        "MGU({units})",
        lambda x, p: (x @ p["gate_kernel_x"] + p["gate_bias"], x @ p["kernel_x"] + p["bias"]),
        mgu,
    ),
    "recurrent_highway": Cell("RecurrentHighway({units}, 4, 0)", lambda x, p: (x @ p["kernel"],), recurrent_highway),
    "lstm_stack": Cell("LSTM({units}, 0)", whole, lstm, states=2, layers=4),
}
"""By the name that `--cells` takes. `gated` is a cell that no library has, with rectified outputs."""
