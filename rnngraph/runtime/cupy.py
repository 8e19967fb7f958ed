"""The GPU through CuPy: the same op table, the same plan. The only module that imports CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnngraph.diagnostics import CannotDo
from rnngraph.runtime.backend import StepByStep

INSTALL = "install it with `pip install 'rnngraph[cupy]'`, or use `--backend numpy`"


class CupyBackend(StepByStep):
    """Runs kernels on the current CUDA device; arrays are CuPy arrays. CannotDo where there is none to use."""

    name = "cupy"
    kernels = "cupy"
    each_step = False

    def __init__(self) -> None:
        self.xp: Any = _usable()
        self._scatter = self.xp.ElementwiseKernel(
            "raw int64 ids, raw T rows, int64 count, int64 width",
            "raw T out",
            """
            for (long long k = 0; k < count; ++k) {
                out[ids[k] * width + i] += rows[k * width + i];
            }
            """,
            "rnngraph_scatter_rows",
        )

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        self.xp.copyto(out, self.xp.einsum(subscripts, a, b))

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        self.xp.take(table, self.xp.clip(ids, 0, len(table) - 1), axis=0, out=out)

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        """One thread per column walks the rows in order: the same bits each time, which atomic sums are not."""
        width = out.size // len(out) if len(out) else 0
        if width and len(ids):
            rows = self.xp.ascontiguousarray(rows)
            self._scatter(ids, rows, len(ids), width, out, size=width)

    def empty(self, bytes: int) -> Any:
        try:
            return self.xp.empty(bytes, np.uint8)
        except self.xp.cuda.memory.OutOfMemoryError as error:
            raise CannotDo(f"no room on the device for an array of {bytes:,} bytes", "E501") from error

    def give(self, array: Any, target: Any) -> None:
        target.set(np.ascontiguousarray(array, target.dtype))

    def fetch(self, array: Any) -> Any:
        return array.get()

    def fits(self, array: Any, dtype: str) -> bool:
        return isinstance(array, self.xp.ndarray) and array.dtype == dtype and array.flags.c_contiguous

    def wait(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def free_bytes(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())


def _usable() -> Any:
    """The module, after a first array was made on a device."""
    try:
        import cupy
    except ImportError as error:
        raise CannotDo("CuPy is not installed", "E505", INSTALL) from error
    try:
        cupy.zeros(1).sum().get()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CannotDo(
            f"CuPy finds no device that it can use: {reason}",
            "E506",
            "check the driver, or use `--backend numpy`",
        ) from error
    return cupy
