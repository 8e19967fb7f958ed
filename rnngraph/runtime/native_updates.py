"""Whole arrays by compiled kernels: one pass over each, by all cores, with the bits that NumPy gives for each entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.kernels.chain_tracing import Formula, traced
from rnngraph.kernels.cpu import array_kernels
from rnngraph.kernels.cpu.modules import Addresses
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.kernel import BLOCK, Elementwise, Squares
from rnngraph.runtime.array_updates import Group, NumpyArrays
from rnngraph.runtime.execution import address


class NativeArrays(NumpyArrays):
    """Arrays of one float type that lie in one run of memory; others go to NumPy."""

    def __init__(self, target: Callable[[str], CpuTarget]) -> None:
        self.target = target
        self.known: dict[object, tuple[Elementwise, Addresses]] = {}
        self.squares: dict[str, Addresses] = {}

    def norm(self, arrays: Sequence[Any]) -> float:
        total = 0.0
        for dtype, some in _by_type([(a,) for a in arrays]).items():
            alone = [a for (a,) in some]
            total += self.squared(alone, dtype) if dtype else NumpyArrays().norm(alone) ** 2
        return math.sqrt(total)

    def squared(self, arrays: Sequence[Any], dtype: str) -> float:
        if dtype not in self.squares:
            self.squares[dtype] = Addresses((), self.target(dtype))
        blocks = [-(-a.size // BLOCK) for a in arrays]
        sums = np.empty(sum(blocks))
        jobs, place = [], address(sums)
        for a, count in zip(arrays, blocks, strict=True):
            jobs.append(((address(a), place, a.size), count))
            place += 8 * count
        array_kernels.run(Squares(), self.squares[dtype], jobs, sum(a.nbytes for a in arrays))
        return float(sums.sum())

    def update(
        self, formula: Formula, groups: Sequence[Group], numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        for dtype, some in _by_type(groups).items():
            if dtype:
                self.written(formula, some, numbers, written, dtype)
            else:
                NumpyArrays().update(formula, some, numbers, written)

    def written(
        self,
        formula: Formula,
        groups: Sequence[Group],
        numbers: Mapping[str, float],
        written: Sequence[int],
        dtype: str,
    ) -> None:
        arrays = len(groups[0])
        key = formula, arrays, tuple(numbers), dtype
        if key not in self.known:
            made = Elementwise((), traced(formula, arrays, list(numbers), dtype))
            self.known[key] = made, Addresses([made], self.target(dtype))
        kernel, addresses = self.known[key]
        values = np.array(list(numbers.values()), dtype)
        fixed = [address(values) + i * values.itemsize for i in range(len(values))]
        jobs = []
        for group in groups:
            at = [address(a) for a in group]
            jobs.append(([*at, *fixed, *(at[i] for i in written), 1, 0], group[0].size))
        streams = arrays + len(written)
        array_kernels.run(kernel, addresses, jobs, sum(group[0].nbytes for group in groups) * streams)


def _by_type(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups by their float type; "" for those that compiled kernels cannot take."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        dtype = group[0].dtype
        name = _NAMES.get(dtype, "")
        others = [a for a in group if a.dtype is not dtype or not a.flags.c_contiguous]
        if group[0].size:
            found.setdefault("" if others else name, []).append(group)
    return found


_NAMES = {np.dtype(name): name for name in ("float32", "float64")}
"""NumPy finds out the name of a type anew each time that it is asked for."""

