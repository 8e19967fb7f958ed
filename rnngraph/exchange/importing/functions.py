"""Functions that other tools have and the language has not, as layers of one formula; what others call ours."""

from __future__ import annotations

from collections.abc import Mapping

from rnngraph.exchange.recognise import HARD

OURS = {**{name: name for name in (
            "tanh", "relu", "sigmoid", "softplus", "softmax", "log_softmax", "log_sigmoid", "elu", "selu", "silu",
            "gelu", "softsign", "hard_sigmoid", "mish",
        )}, "linear": "identity", "exponential": "exp", "swish": "silu"}  # fmt: skip
"""Activations by their name elsewhere."""

FORMULAS: Mapping[str, tuple[str, str]] = {
    "relu6": ("Relu6", "clip(z, 0, 6)"),
    "hard_silu": ("HardSilu", "z * hard_sigmoid(z)"),
    "hard_swish": ("HardSilu", "z * hard_sigmoid(z)"),
    "hard_tanh": ("HardTanh", "clip(z, -1, 1)"),
    "leaky_relu": ("LeakyRelu", "leaky_relu(z, 0.2)"),
}
"""The others: the name of the layer, and its formula."""
OLD_HARD = ("OldHardSigmoid", HARD[0])
"""Keras 2's `hard_sigmoid`."""


def layer(name: str, formula: str) -> str:
    """The layer of a formula in z."""
    return f"layer {name} {{\n  input z: [n]\n  output {formula}\n}}"
