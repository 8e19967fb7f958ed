"""Whole arrays on a GPU: an update is one launch for each weight, and nothing of it comes to the host but a norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rnngraph.kernels.chain_tracing import Formula, traced
from rnngraph.kernels.gpu.modules import squares_text, update_text
from rnngraph.kernels.gpu.target import THREADS
from rnngraph.kernels.kernel import BLOCK
from rnngraph.runtime.gpu_loading import Refused, function_of, module_of, warn
from rnngraph.runtime.whole_arrays import Group, NumpyArrays

MOST = 1024
"""Blocks of an update, at most: a thread then has several entries."""


class GpuArrays:
    """Arrays of CuPy; `here` makes their device the current one."""

    on_device = True

    def __init__(self, cupy: Any, here: Callable[[], AbstractContextManager[Any]]) -> None:
        self.cupy, self.here = cupy, here
        self.kernels: dict[object, Any] = {}
        self.refused: Refused | None = None

    def own(self, array: Any) -> Any:
        with self.here():
            return self.cupy.asarray(array).copy()

    def host(self, array: Any) -> Any:
        return array.get() if isinstance(array, self.cupy.ndarray) else array

    def norm(self, arrays: Sequence[Any]) -> float:
        with self.here():
            try:
                return self.norm_there(arrays)
            except Refused as refused:
                self.tell(refused)
                return NumpyArrays().norm([self.host(array) for array in arrays])

    def norm_there(self, arrays: Sequence[Any]) -> float:
        blocks = [-(-array.size // BLOCK) for array in arrays]
        sums, first = self.cupy.zeros(sum(blocks), "float64"), 0
        for array, count in zip(arrays, blocks, strict=True):
            if count:
                there = (self.in_order(array), sums[first : first + count], np.int64(array.size))
                self.squares(array.dtype.name)((count,), (THREADS,), there)
            first += count
        return math.sqrt(float(np.sum(sums.get())))

    def update(
        self, formula: Formula, groups: Sequence[Group], numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        told = dict[str, Any]()
        with self.here():
            for group in groups:
                dtype, size = group[0].dtype.name, group[0].size
                if dtype not in told:
                    told[dtype] = self.cupy.asarray(np.array(list(numbers.values()), dtype))
                if not size:
                    continue
                try:
                    kernel = self.formula(formula, len(group), tuple(numbers), tuple(written), dtype)
                except Refused as refused:
                    self.tell(refused)
                    self.update_on_the_host(formula, group, numbers, written)
                    continue
                blocks = min(MOST, -(-size // THREADS))
                kernel((blocks,), (THREADS,), (*map(self.in_order, group), told[dtype], np.int64(size)))

    def update_on_the_host(
        self, formula: Formula, group: Group, numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        there = [self.host(array) for array in group]
        NumpyArrays().update(formula, [there], numbers, written)
        for place in written:
            group[place].set(there[place])

    def in_order(self, array: Any) -> Any:
        """What is written is in order as it is: it is our own."""
        return array if array.flags.c_contiguous else self.cupy.ascontiguousarray(array)

    def squares(self, dtype: str) -> Any:
        return self.compiled(dtype, "squares", lambda: squares_text(dtype))

    def formula(
        self, formula: Formula, arrays: int, numbers: tuple[str, ...], written: tuple[int, ...], dtype: str
    ) -> Any:
        def text() -> str:
            return update_text(traced(formula, arrays, numbers, dtype), arrays, written)

        return self.compiled((formula, arrays, numbers, written, dtype), "update", text)

    def compiled(self, key: object, name: str, text: Callable[[], str]) -> Any:
        if self.refused is not None:
            raise self.refused
        if key not in self.kernels:
            self.kernels[key] = function_of(self.cupy, module_of(self.cupy, text()), name)
        return self.kernels[key]

    def tell(self, refused: Refused) -> None:
        """From now on the host does it."""
        if self.refused is None:
            self.refused = refused
            warn("NumPy updates the weights, on the host", refused)
