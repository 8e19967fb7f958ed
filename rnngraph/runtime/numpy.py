"""The reference backend: plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnngraph.diagnostics import CannotDo
from rnngraph.runtime.backend import StepByStep


class NumpyBackend(StepByStep):
    """Runs kernels on the CPU through NumPy; arrays are NumPy arrays."""

    name = "numpy"
    kernels = "numpy"
    each_step = True
    xp: Any = np

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        np.einsum(subscripts, a, b, out=out)

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        np.take(table, ids, axis=0, out=out, mode="clip")

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        if out.ndim == 1:
            np.add.at(out, ids, rows)
            return
        add = np.add
        for i, row in zip(ids.tolist(), rows, strict=True):
            target = out[i]
            add(target, row, target)

    def empty(self, bytes: int) -> Any:
        try:
            return np.empty(bytes, np.uint8)
        except MemoryError as error:
            raise CannotDo(f"no room for an array of {bytes:,} bytes", "E501") from error

    def give(self, array: Any, target: Any) -> None:
        np.copyto(target, array, casting="same_kind")

    def fetch(self, array: Any) -> Any:
        return array

    def fits(self, array: Any, dtype: str) -> bool:
        return isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous

    def wait(self) -> None:
        pass

    def free_bytes(self) -> int:
        import psutil

        available: int = psutil.virtual_memory().available
        return available
