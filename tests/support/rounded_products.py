"""What products on tensor cores are to be: those of rounded operands, in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.api import Model, parse
from rnngraph.runtime.numpy import NumpyBackend

BITS = {"bf16": 8, "tf32": 11}
"""Of each kind of number those of its significand."""


class Rounded(NumpyBackend):
    """NumPy, whose products round their operands first."""

    def __init__(self, kind: str) -> None:
        self.bits = BITS[kind]
        self.xp = SimpleNamespace(**{**vars(np), "matmul": self.matmul})

    def rounded(self, x: Any) -> Any:
        fraction, exponent = np.frexp(x)
        return np.ldexp(np.round(np.ldexp(fraction, self.bits)), exponent - self.bits)  # a half goes to the even one

    def matmul(self, a: Any, b: Any, out: Any) -> Any:
        return np.matmul(self.rounded(a), self.rounded(b), out=out)


def product(terms: int, width: int) -> Model:
    return parse(
        f"model M {{\n input x: seq[{terms}]\n param w: [{terms}, {width}]\n y = x @ w\n output y\n}}\n"
    )


def far(model: Model, kind: str, batch: int) -> float:
    """How far a model's `y` and its gradients are from those of rounded operands."""
    data, weights = in_float32(synthetic(model, 2, batch, 0)), in_float32(model.init(0))
    random = np.random.default_rng(1)
    cotangents = in_float32({"y": random.normal(size=(batch, 2, *model.graph.outputs["y"].type.shape))})
    right = model.compile(backend=Rounded(kind), gradient=True)
    program = model.compile(backend="cupy", dtype="float32", gradient=True, products=kind)
    return worst(*(everything(one, data, weights, cotangents) for one in (right, program)))


def worst(right: Any, found: Any) -> float:
    """The largest difference, relative to the largest entry of its array."""
    return max(d.max_abs / max(np.abs(right[d.name]).max(initial=0), 1e-3) for d in differences(right, found))


def in_float32(arrays: Any) -> Any:
    return {name: np.asarray(array, "float32") for name, array in arrays.items()}
