"""Functions that other tools have and the language has not, as layers of one formula; what others call ours."""

from __future__ import annotations

from collections.abc import Mapping

OURS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "linear": "identity", "softplus": "softplus",
        "exponential": "exp", "softmax": "softmax", "log_softmax": "log_softmax",
        "log_sigmoid": "log_sigmoid"}  # fmt: skip
"""Activations by their name elsewhere."""

FORMULAS: Mapping[str, tuple[str, str]] = {
    "elu": ("Elu", "where(z > 0, z, exp(min(z, 0)) - 1)"),
    "selu": ("Selu", "1.0507009873554805 * where(z > 0, z, 1.6732632423543772 * (exp(min(z, 0)) - 1))"),
    "softsign": ("Softsign", "z / (1 + abs(z))"),
    "silu": ("Silu", "z * sigmoid(z)"),
    "swish": ("Silu", "z * sigmoid(z)"),
    "relu6": ("Relu6", "clip(z, 0, 6)"),
    "hard_sigmoid": ("HardSigmoid", "clip(z / 6 + 0.5, 0, 1)"),
    "hard_silu": ("HardSilu", "z * clip(z / 6 + 0.5, 0, 1)"),
    "hard_swish": ("HardSilu", "z * clip(z / 6 + 0.5, 0, 1)"),
    "hard_tanh": ("HardTanh", "clip(z, -1, 1)"),
    "leaky_relu": ("LeakyRelu", "where(z > 0, z, 0.2 * z)"),
    "mish": ("Mish", "z * tanh(softplus(z))"),
}
"""The others: the name of the layer, and its formula."""


def layer(name: str, formula: str) -> str:
    """The layer of a formula in z."""
    return f"layer {name} {{\n  input z: [n]\n  output {formula}\n}}"
