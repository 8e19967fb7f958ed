"""What is computed over whole arrays beside a program: the norm of all gradients, and an optimiser's step, in place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rnngraph.kernels.chain_tracing import Formula

Group = Sequence[Any]
"""Arrays of one shape that a formula takes together."""


class WholeArrays(Protocol):
    """Who computes over whole arrays."""

    @property
    def on_device(self) -> bool:
        """Whether its arrays are not on the host."""

    def own(self, array: Any) -> Any:
        """A copy, in order, that can be updated."""

    def host(self, array: Any) -> Any:
        """The array on the host; as it is where it is there."""

    def norm(self, arrays: Sequence[Any]) -> float:
        """The length of all arrays as one vector, added up in float64, the same on any number of threads."""

    def update(
        self, formula: Formula, groups: Sequence[Group], numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        """Writes each result of `formula(array, ..., numbers)` over that array of the group that `written` numbers."""


class NumpyArrays:
    """By NumPy."""

    on_device = False

    def own(self, array: Any) -> Any:
        return np.array(array, order="C")

    def host(self, array: Any) -> Any:
        return array

    def norm(self, arrays: Sequence[Any]) -> float:
        return math.sqrt(sum(float(np.sum(np.square(a, dtype=np.float64))) for a in arrays))

    def update(
        self, formula: Formula, groups: Sequence[Group], numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        for group in groups:
            results = formula(*group, numbers)
            for place, result in zip(written, results, strict=True):
                group[place][...] = result
