"""The reference backend: plain NumPy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.files.arrays import on_device
from rnngraph.runtime.backend import StepByStep
from rnngraph.runtime.swap_file import SwapFile
from rnngraph.system.memory import free_bytes

DOMAIN = 389047
"""The tracemalloc domain of NumPy's array data."""

ELSEWHERE = (
    "an array is in GPU memory, which the backend numpy cannot read",
    "E622",
    "compile for the backend cupy, or give a NumPy array",
)


class NumpyBackend(StepByStep):
    """Runs kernels on the CPU through NumPy; arrays are NumPy arrays."""

    name = "numpy"
    kernels = "numpy"
    runs_on = f"NumPy {np.__version__}"
    each_step = True
    xp: Any = np

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        np.einsum(subscripts, a, b, out=out)

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        np.take(table, ids, axis=0, out=out, mode="clip")

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        last = len(out) - 1
        if out.ndim == 1:
            np.add.at(out, ids.clip(0, last), rows)
            return
        add = np.add
        for i, row in zip(ids.tolist(), rows, strict=True):
            target = out[i if 0 <= i <= last else 0 if i < 0 else last]
            add(target, row, target)

    def empty(self, bytes: int) -> Any:
        try:
            return np.empty(bytes, np.uint8)
        except MemoryError as error:
            raise CannotDo(f"no room for an array of {bytes:,} bytes", "E501") from error

    def outside(self, told: str, bytes: int, buffer: Any) -> SwapFile:
        return SwapFile(told, bytes, buffer)

    def give(self, array: Any, target: Any) -> None:
        try:
            np.copyto(target, array, casting="same_kind")
        except (TypeError, AttributeError):
            if on_device(array):
                raise UserError(*ELSEWHERE) from None
            raise

    def fetch(self, array: Any) -> Any:
        if on_device(array):
            raise UserError(*ELSEWHERE)
        return array

    def fits(self, array: Any, dtype: str) -> bool:
        return isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous

    def wait(self) -> None:
        pass

    def free_bytes(self) -> int:
        return free_bytes()

    def taken_bytes(self) -> int:
        return array_bytes()


def array_bytes() -> int:
    """The bytes of NumPy arrays that are alive, of those made since Python's tracing began."""
    # As they are: an object for each takes seven times as long.
    raw = tracemalloc.take_snapshot().traces._traces  # type: ignore[attr-defined]
    return sum([size for domain, size, *_ in raw if domain == DOMAIN])
