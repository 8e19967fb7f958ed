"""Whole arrays on a GPU: an update is one kernel for each weight, and nothing of it comes to the host but a norm.

Weights, their gradients and what an optimiser keeps lie where they lay at the update before, mostly: then all kernels
are launched as one CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from rnngraph.kernels.chain_tracing import Formula, traced
from rnngraph.kernels.gpu.modules import squares_text, update_text
from rnngraph.kernels.gpu.target import THREADS
from rnngraph.kernels.kernel import BLOCK
from rnngraph.runtime.array_updates import Group, NumpyArrays
from rnngraph.runtime.cuda_graphs import Call, Graphs, Replayed
from rnngraph.runtime.execution import address
from rnngraph.runtime.gpu_loading import Refused, function_of, module_of, warn

MOST = 1024
"""Blocks of an update, at most: a thread then has several entries."""


class GpuArrays:
    """Arrays of CuPy; `here` makes their device the current one."""

    on_device = True

    def __init__(self, cupy: Any, here: Callable[[], AbstractContextManager[Any]], graphs: Graphs | None) -> None:
        self.cupy, self.here, self.graphs = cupy, here, graphs
        self.replayed: dict[str, tuple[object, Replayed]] = {}
        self.rooms: dict[object, Any] = {}
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
        sums = self.room("sums", sum(blocks), "float64")
        first, calls = 0, list[Call]()
        for array, count in zip(arrays, blocks, strict=True):
            if count:
                there = (self.in_order(array), sums[first : first + count], np.int64(array.size))
                calls.append(partial(self.squares(array.dtype.name), (count,), (THREADS,), there))
            first += count
        self.launch("norm", (), (*arrays, sums), calls)
        return math.sqrt(float(np.sum(sums.get())))

    def update(
        self, formula: Formula, groups: Sequence[Group], numbers: Mapping[str, float], written: Sequence[int]
    ) -> None:
        names, places = tuple(numbers), tuple(written)
        calls = list[Call]()
        with self.here():
            dtypes = {group[0].dtype.name for group in groups}
            told = {dtype: self.room(dtype, len(numbers), dtype) for dtype in dtypes}
            for dtype, room in told.items():
                room.set(np.array(list(numbers.values()), dtype))
            for group in groups:
                dtype, size = group[0].dtype.name, group[0].size
                if not size:
                    continue
                try:
                    kernel = self.formula(formula, len(group), names, places, dtype)
                except Refused as refused:
                    self.tell(refused)
                    self.update_on_the_host(formula, group, numbers, written)
                    continue
                blocks = min(MOST, -(-size // THREADS))
                there = (*map(self.in_order, group), told[dtype], np.int64(size))
                calls.append(partial(kernel, (blocks,), (THREADS,), there))
            arrays = [array for group in groups for array in group]
            self.launch("update", (formula, names, places), (*arrays, *told.values()), calls)

    def room(self, name: str, size: int, dtype: str) -> Any:
        """An array that stays where it is for as long as the same size is asked for."""
        found = self.rooms.get(name)
        if found is None or found.size != size:
            found = self.rooms[name] = self.cupy.empty(size, dtype)
        return found

    def launch(self, name: str, how: object, arrays: Sequence[Any], calls: Sequence[Call]) -> None:
        """Makes calls that launch a kernel each; as one graph where they are those of the last time under this name,
        over arrays at the same places. None is held: other arrays may lie there then, with the same right."""
        if self.graphs is None or len(calls) < 2 or not all(array.flags.c_contiguous for array in arrays):
            for call in calls:
                call()
            return
        told = how, tuple((address(array), array.size, array.dtype.name) for array in arrays)
        if name not in self.replayed or self.replayed[name][0] != told:
            self.replayed[name] = told, Replayed(self.graphs)
        self.replayed[name][1](calls)

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
