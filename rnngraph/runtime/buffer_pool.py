"""Arrays for forward passes that wait for their backward pass: each has its own, used again when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound


class Spares:
    """The arrays of one program, for given sizes, that no call waits with."""

    def __init__(self, backend: Device, make: Callable[[], Bound]) -> None:
        """`make` makes new arrays, or raises CannotDo where there is no room for them."""
        self.backend, self.make = backend, make
        self.free: list[Bound] = []

    def begun(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> Begun:
        """The forward pass, on arrays that are its own until its backward pass is over."""
        begun = Begun(self, self.free.pop() if self.free else self.make())
        begun.results = begun.bound.run_there(inputs, weights)
        return begun


class Begun:
    """A forward pass that is done. Its arrays are given back after the backward pass, or when nobody holds it."""

    results: dict[str, Any]
    """By name, as views of its arrays."""

    def __init__(self, spares: Spares, bound: Bound) -> None:
        self.spares, self.bound = spares, bound

    def run_back(self, cotangents: Mapping[str, Any]) -> dict[str, Any]:
        """All results by name, as views of its arrays; None is a cotangent of zeros.

        This writes over what the forward pass saved: only once.
        """
        return self.bound.run_back(cotangents)

    def __del__(self) -> None:
        self.spares.free.append(self.bound)
