"""The GPU through CuPy: the same op table, the same plan. The only module that imports CuPy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import numpy as np

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.arrays import on_device
from rnngraph.kernels.gpu.adaptation import adapted
from rnngraph.kernels.gpu.target import STATIC, GpuTarget, cluster_of
from rnngraph.planning.plan import Plan, plan
from rnngraph.planning.program import Program
from rnngraph.runtime.backend import StepByStep
from rnngraph.runtime.cuda_graphs import Graphs
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Watch
from rnngraph.runtime.gpu_execution import GpuBound, WatchedGpuBound
from rnngraph.runtime.gpu_loading import Refused, largest_cluster, warn
from rnngraph.runtime.gpu_updates import GpuArrays
from rnngraph.runtime.pinned_memory import PinnedMemory

INSTALL = "`pip install 'rnngraph[cupy]'` brings it (`rnngraph[cupy13]` for CUDA 13), or use `--backend numpy`"
TENSOR_CORES_FROM = 80
"""The compute capability from which tensor cores take bf16 and tf32."""
DRIVER = "check the driver, or use `--backend numpy`"


class CupyBackend(StepByStep):
    """Runs kernels on the CUDA device that was current when it was made, or that `RNNGRAPH_DEVICE` numbers; arrays are
    CuPy arrays.

    CannotDo where there is no device, or where a library that CuPy needs is missing.
    """

    name = "cupy"
    kernels = "cupy"
    notes: tuple[str, ...] = ("Measured bytes are what CuPy's pool handed out: it rounds each array up to 512 bytes.",)
    each_step = False

    def __init__(self) -> None:
        self.xp: Any = _usable()
        self.device: int = self.xp.cuda.Device().id
        self.stream: Any = None
        named = self.xp.cuda.runtime.getDeviceProperties(self.device)["name"].decode()
        self.runs_on = f"CuPy {self.xp.__version__}, {named}"
        self._scatter = self.xp.ElementwiseKernel(
            "raw int64 ids, raw T rows, int64 count, int64 width, int64 height",
            "raw T out",
            """
            for (long long k = 0; k < count; ++k) {
                const long long id = ids[k] < 0 ? 0 : ids[k] < height ? ids[k] : height - 1;
                out[id * width + i] += rows[k * width + i];
            }
            """,
            "rnngraph_scatter_rows",
        )

    @contextmanager
    def here(self) -> Iterator[None]:
        """Makes the device the current one. On another stream than that of the call before, what is asked for within
        waits for that call: both use the same arenas, and nobody else knows of them."""
        with self.xp.cuda.Device(self.device):
            now, before = self.xp.cuda.get_current_stream(), self.stream
            if before is not None and before.ptr != now.ptr:
                event = self.xp.cuda.Event(disable_timing=True)
                event.record(before)
                now.wait_event(event)
            self.stream = now
            yield

    def einsum(self, subscripts: str, a: Any, b: Any, out: Any) -> None:
        self.xp.copyto(out, self.xp.einsum(subscripts, a, b))

    def take_rows(self, table: Any, ids: Any, out: Any) -> None:
        self.xp.take(table, self.xp.clip(ids, 0, len(table) - 1), axis=0, out=out)

    def scatter_rows(self, ids: Any, rows: Any, out: Any) -> None:
        """One thread per column walks the rows in order: the same bits each time, which atomic sums are not."""
        width = out.size // len(out) if len(out) else 0
        if width and len(ids):
            rows = self.xp.ascontiguousarray(rows)
            self._scatter(ids, rows, len(ids), width, len(out), out, size=width)

    def empty(self, bytes: int) -> Any:
        try:
            return self.xp.empty(bytes, np.uint8)
        except self.xp.cuda.memory.OutOfMemoryError as error:
            raise CannotDo(f"no room on the device for an array of {bytes:,} bytes", "E501") from error

    def outside(self, told: str, bytes: int, buffer: Any) -> PinnedMemory:
        return PinnedMemory(self.xp, bytes, buffer)

    def give(self, array: Any, target: Any) -> None:
        if isinstance(array, self.xp.ndarray):
            self.xp.copyto(target, array)
        else:
            target.set(np.asarray(array, target.dtype, order="C"))

    def fetch(self, array: Any) -> Any:
        return array.get() if isinstance(array, self.xp.ndarray) else array

    def near(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arrays that other libraries have on the device are read where they are."""
        asarray = self.xp.asarray
        return {n: asarray(a) if on_device(a) else a for n, a in arrays.items()}

    def fits(self, array: Any, dtype: str) -> bool:
        return isinstance(array, self.xp.ndarray) and array.dtype == dtype and array.flags.c_contiguous

    def wait(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def free_bytes(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    def taken_bytes(self) -> int:
        """What CuPy's pool has handed out: each array rounded up to 512 bytes."""
        return int(self.xp.get_default_memory_pool().used_bytes())


class GeneratedBackend(CupyBackend):
    """The same device, with kernels generated for each program: a loop is one kernel where that can be.

    `rounding` is what operands of products are rounded to for tensor cores; "" for products in the program's type.
    CannotDo where the device has none that do it.
    """

    kernels = "native"
    unrolls = False

    def __init__(self, rounding: str = "") -> None:
        super().__init__()
        self.rounding = rounding
        if rounding:
            self._ask_for_tensor_cores()
        self.graphs = None if os.environ.get("RNNGRAPH_CUDA_GRAPHS") == "0" else Graphs(self.xp)
        self.whole = GpuArrays(self.xp, self.here, self.graphs)

    def _ask_for_tensor_cores(self) -> None:
        found = str(self.xp.cuda.Device(self.device).compute_capability)
        if int(found) < TENSOR_CORES_FROM:
            raise CannotDo(
                f"products in {self.rounding} need compute capability 8.0, {self.runs_on} has {found[:-1]}.{found[-1]}",
                "E506",
                "leave `--products` out",
            )

    def target(self, dtype: str) -> GpuTarget:
        attributes = self.xp.cuda.Device(self.device).attributes
        near = attributes["MaxSharedMemoryPerBlockOptin"] - STATIC
        return GpuTarget(dtype, attributes["MultiProcessorCount"], near, rounding=self.rounding, cluster=self.clusters)

    @cached_property
    def clusters(self) -> int:
        """The most blocks of a cluster; none where none can be launched."""
        device = self.xp.cuda.Device(self.device)
        most, near = cluster_of(str(device.compute_capability)), device.attributes["MaxSharedMemoryPerBlockOptin"]
        try:
            with self.here():
                return largest_cluster(self.xp, most, near)
        except Refused:
            return 0

    def adapted(self, program: Program, dtype: str) -> Program:
        return adapted(program, self.target(dtype))

    def bound(
        self, program: Program, made: Plan, arrays: Device | None = None, arenas: Mapping[str, Any] | None = None
    ) -> Bound:
        try:
            return GpuBound(program, made, arrays or self, self.target(made.dtype), arenas, self.graphs)
        except Refused as refused:
            return super().bound(*self.op_by_op(program, made, refused, arenas), arrays)

    def watched(self, program: Program, made: Plan, watch: Watch, arenas: Mapping[str, Any] | None = None) -> Bound:
        try:
            return WatchedGpuBound(program, made, self, self.target(made.dtype), watch, arenas)
        except Refused as refused:
            return super().watched(*self.op_by_op(program, made, refused, arenas), watch)

    def op_by_op(
        self, program: Program, made: Plan, refused: Refused, arenas: Mapping[str, Any] | None
    ) -> tuple[Program, Plan]:
        """What is run where the kernel of a group is refused. CannotDo where it has to be in given arenas."""
        if program.plain is None or arenas is not None:
            told = f"there is no kernel for this: {refused.why}"
            raise CannotDo([Diagnostic("E507", told, refused.span, help="use `--kernels cupy`")]) from refused
        warn("there is no kernel for this, and all goes op by op with those of CuPy", refused)
        return program.plain, plan(program.plain, made.sizes, made.dtype)


def _usable() -> Any:
    """The module, after all that a model needs of it was tried on the device."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        raise CannotDo("CuPy is not installed", "E505", INSTALL) from error
    except ImportError as error:  # its own words are a page; the first cause is what is missing
        raise CannotDo(f"CuPy cannot be imported: {error.__cause__ or error}", "E505", INSTALL) from error
    device = cupy.cuda.Device
    _choose(cupy)
    for what, attempt, code, help in (
        ("CuPy finds no device that it can use", lambda: device().compute_capability, "E506", DRIVER),
        ("CuPy does not find NVRTC, which compiles kernels", cupy.cuda.nvrtc.getVersion, "E507", INSTALL),
        ("CuPy does not find cuBLAS, which makes products", lambda: device().cublas_handle, "E507", INSTALL),
        ("CuPy cannot run a kernel on the device", lambda: cupy.zeros(1).sum().get(), "E506", DRIVER),
    ):
        try:
            attempt()
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CannotDo(f"{what}: {reason}", code, help) from error
    return cupy


def _choose(cupy: Any) -> None:
    """The device that `RNNGRAPH_DEVICE` numbers; counting goes on from the first, so that processes which are more
    than the devices share them."""
    told = os.environ.get("RNNGRAPH_DEVICE", "")
    if not told:
        return
    if not (told.isascii() and told.isdigit()):
        raise CannotDo(f"`RNNGRAPH_DEVICE` is the number of a GPU, got `{told}`", "E506", "the first one is 0")
    with suppress(Exception):  # what is wrong with the devices is told by what is tried next
        cupy.cuda.Device(int(told) % max(1, cupy.cuda.runtime.getDeviceCount())).use()
