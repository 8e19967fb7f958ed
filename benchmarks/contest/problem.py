"""The numbers of one contest, the same for everyone, and how the others' weights are cut out of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import rnngraph as rg
from contest.cells import Cell

TASKS = ("infer", "train")
"""`infer`: all outputs. `train`: the gradients of the inputs and of every weight, of sum(outputs * cotangent)."""

Arrays = dict[str, Any]
Prepared = tuple[Callable[[], Any], Callable[[Any], Arrays]]
"""The call that is timed, and what makes named batch-major arrays of its result."""


class Absent(Exception):
    """A contestant that is not installed, or does not do this; the text says which."""


class Size(NamedTuple):
    batch: int
    steps: int
    inputs: int
    units: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


@dataclass(frozen=True)
class Problem:
    """`x` (batch, steps, inputs), the weights under our names, `cotangent` (batch, steps, units); float32."""

    cell: Cell
    size: Size
    x: Any
    weights: Mapping[str, Any]
    cotangent: Any

    def leaves(self) -> list[Arrays]:
        """The weights as the others take them, layer by layer."""
        return [self._cut(k) for k in range(self.cell.layers)]

    def _cut(self, layer: int) -> Arrays:
        start = self._prefix(layer)
        own = {name.removeprefix(start): a for name, a in self.weights.items() if name.startswith(start)}
        for name, parts in self.cell.joined.items():
            own[name] = np.concatenate([own.pop(part) for part in parts], axis=-1)
        found: Arrays = {}
        for name, array in own.items():
            if array.ndim == 2 and len(array) == self._inputs(layer) + self.size.units:
                found[f"{name}_x"], found[f"{name}_h"] = np.split(array, [self._inputs(layer)])
            else:
                found[name] = array
        return {name: np.ascontiguousarray(a) for name, a in found.items()}

    def gradients(self, x: Any, leaves: list[Arrays]) -> Arrays:
        """Gradients by our names, from that of `x` (batch-major) and those of the leaves."""
        found = {"x": x}
        for layer, own in enumerate(leaves):
            whole = {n: a for n, a in own.items() if n[-2:] not in ("_x", "_h")}
            whole |= {n[:-2]: np.concatenate([a, own[f"{n[:-2]}_h"]]) for n, a in own.items() if n.endswith("_x")}
            for name, parts in self.cell.joined.items():
                widths = [self.weights[self._prefix(layer) + part].shape[-1] for part in parts]
                pieces = np.split(whole.pop(name), np.cumsum(widths)[:-1], axis=-1)
                whole |= dict(zip(parts, pieces, strict=True))
            found |= {self._prefix(layer) + name: a for name, a in whole.items()}
        return found

    def _prefix(self, layer: int) -> str:
        return "net." if self.cell.layers == 1 else f"net.{layer}."

    def _inputs(self, layer: int) -> int:
        return self.size.units if layer else self.size.inputs

    def multiply_adds(self, task: str) -> int:
        """Of the products by weights; those for the gradients of both factors come with training."""
        matrices = sum(a.size for a in self.weights.values() if a.ndim == 2)
        return matrices * self.size.batch * self.size.steps * (3 if task == "train" else 1)


def reordered(array: Any, order: Sequence[int]) -> Any:
    """The columns of the gates in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.ascontiguousarray(np.concatenate([parts[k] for k in order], axis=-1))


def model(cell: Cell, size: Size) -> rg.Model:
    """The network as a user of ours would write it."""
    net = " >> ".join([cell.text.format(units=size.units)] * cell.layers)
    return rg.parse(
        f"{cell.definition}\nmodel Contest {{\n  input x: seq[{size.inputs}]\n  net = {net}\n"
        "  y, _ = unroll net over x\n  output y\n}\n",
        "Contest",
    )


def problem(cell: Cell, size: Size) -> Problem:
    """Random numbers; weights scaled by 1/sqrt(units), for a wilder network is chaotic and nothing can be compared."""
    rng = np.random.default_rng(0)

    def drawn(name: str, shape: tuple[int, ...]) -> Any:
        scale = size.units**-0.5 if len(shape) == 2 else 0.1
        return (rng.normal(0, scale, shape) + name.endswith(".gain")).astype("float32")

    weights = {w.name: drawn(w.name, w.shape) for w in model(cell, size).weights}
    x = rng.normal(size=(size.batch, size.steps, size.inputs)).astype("float32")
    cotangent = rng.normal(size=(size.batch, size.steps, size.units)).astype("float32")
    return Problem(cell, size, x, weights, cotangent)
