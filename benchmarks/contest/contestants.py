"""Who takes part, by name. What a contestant needs is imported when its turn comes, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from contest.problem import Absent, Prepared, Problem

Prepare = Callable[[Problem, str, str], Prepared]


def ours(**schedule: Any) -> Prepare:
    def prepare(p: Problem, task: str, cell: str) -> Prepared:
        from contest.ours import compiled
        from rnngraph import CannotDo

        try:
            return compiled(p, task, **schedule)
        except CannotDo as error:
            raise Absent(str(error)) from error

    return prepare


def theirs(module: str, function: str, *more: Any) -> Prepare:
    def prepare(p: Problem, task: str, cell: str) -> Prepared:
        try:
            found = import_module(f"contest.{module}")
        except ImportError as error:
            raise Absent(f"not installed: {error.name or error}") from error
        made: Prepared = getattr(found, function)(p, task, cell, *more)
        return made

    return prepare


def square_product(edge: int) -> Prepare:
    """What the machine can do: the limit of every time is counted at the rate of this product."""

    def prepare(p: Problem, task: str, cell: str) -> Prepared:
        a, b = (np.random.default_rng(k).normal(size=(edge, edge)).astype("float32") for k in (0, 1))
        c = np.empty_like(a)
        return lambda: np.matmul(a, b, out=c), lambda _: {}

    return prepare


EDGES = {"square product": 2048, "small square product": 256}
"""The yardsticks of speed, and the edges of their matrices; the small one where results alone count, not times."""
REFERENCE = "float64"
"""The yardstick of errors."""

CONTESTANTS: Mapping[str, Prepare] = {
    "ours": ours(kernels="native"),
    "ours static": ours(kernels="native", unroll="static"),
    "ours NumPy": ours(kernels="numpy"),
    "PyTorch layer": theirs("in_torch", "layer"),
    "PyTorch loop": theirs("in_torch", "loop"),
    "JAX scan": theirs("in_jax", "scan", True),
    "JAX scan inline": theirs("in_jax", "scan", False),
    "onnxruntime": theirs("in_onnx", "operator"),
    "onnxruntime Scan": theirs("in_onnx", "scan"),
    "TF 1 static": theirs("in_tensorflow", "session", True),
    "TF 1 dynamic": theirs("in_tensorflow", "session", False),
    "Keras 3": theirs("in_keras", "layer"),
    **{name: square_product(edge) for name, edge in EDGES.items()},
    REFERENCE: ours(kernels="numpy", dtype="float64"),
}
