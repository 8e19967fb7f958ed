"""Kernels of a text on the device: compiled, loaded, and known to fit; or why not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import Warned
from rnngraph.diagnostics.source import Span
from rnngraph.kernels.gpu.modules import OPTIONS, Launch, cluster_text
from rnngraph.kernels.gpu.target import STATIC, THREADS
from rnngraph.system.cores import cores_given

PLAIN = 48 * 1024 - STATIC
"""Bytes of near memory that a kernel can be given without asking: a block has 48 KiB so, of which the kernel takes some
by itself."""

PORTABLE = 8
"""Blocks of a cluster that a kernel can have without asking, by this attribute
(`CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED`)."""
LARGE_CLUSTERS = 14


class Refused(Exception):
    """Why a kernel cannot be had, and where what it does is written."""

    def __init__(self, why: str, span: Span | None = None) -> None:
        super().__init__(why)
        self.why, self.span = why, span


def compiled(cupy: Any, texts: Sequence[tuple[bool, str]]) -> list[Any]:
    """A module for each text, compiled at the same time: NVRTC takes seconds of one core for a large loop. What it
    refuses is compiled again, and told, when one of its kernels is asked for."""
    modules = [module_of(cupy, text, together) for together, text in texts]
    device = cupy.cuda.Device()  # the current one: each thread has one of its own

    def compile(module: Any) -> None:
        with device, suppress(cupy.cuda.compiler.CompileException, cupy.cuda.driver.CUDADriverError):
            module.compile()

    if len(modules) > 1:
        with ThreadPoolExecutor(min(len(modules), cores_given())) as pool:
            list(pool.map(compile, modules))
    return modules


def module_of(cupy: Any, text: str, together: bool = False) -> Any:
    """The kernels of a text, which are compiled when the first of them is asked for."""
    return cupy.RawModule(code=text, options=OPTIONS, backend="nvrtc", enable_cooperative_groups=together)


def function_of(cupy: Any, module: Any, name: str) -> Any:
    """A kernel by name; Refused where its module is not compiled, or not loaded."""
    try:
        return module.get_function(name)
    except cupy.cuda.compiler.CompileException as error:
        raise Refused(f"NVRTC does not compile it: {_first_error(str(error))}") from error
    except cupy.cuda.driver.CUDADriverError as error:
        raise Refused(f"the driver does not load it: {_first_error(str(error))}") from error


def fit(cupy: Any, kernel: Any, launch: Launch, processors: int) -> None:
    """Gives a kernel its near memory. Refused where there is no room for it, or for all blocks that wait for others."""
    try:
        if launch.bytes > PLAIN:
            kernel.max_dynamic_shared_size_bytes = launch.bytes
        if launch.cluster > PORTABLE:
            cupy.cuda.driver.funcSetAttribute(kernel.kernel.ptr, LARGE_CLUSTERS, 1)
        told = kernel.kernel.ptr, launch.threads, launch.bytes
        each = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(*told) if launch.teams else 1
    except cupy.cuda.driver.CUDADriverError as error:
        raise Refused(f"the device has not what it asks for: {_first_error(str(error))}") from error
    at_once = each * processors
    if at_once < (launch.blocks if launch.waits else 1):
        raise Refused(f"its {launch.blocks:,} blocks of {launch.threads} threads are too many at once")


def largest_cluster(cupy: Any, most: int, bytes: int) -> int:
    """The most blocks of a cluster, each with so much near memory, that the current device has room for. What a
    capability allows and neighbouring processors have differs from card to card, so a launch is tried. Refused where
    there is no kernel at all."""
    while most > 1:
        kernel = function_of(cupy, module_of(cupy, cluster_text(most)), "room")
        try:
            kernel.max_dynamic_shared_size_bytes = bytes
            if most > PORTABLE:
                cupy.cuda.driver.funcSetAttribute(kernel.kernel.ptr, LARGE_CLUSTERS, 1)
            kernel((most,), (THREADS,), (), shared_mem=bytes)
            return most
        except cupy.cuda.driver.CUDADriverError:
            most //= 2
    return 0


def _first_error(told: str) -> str:
    """The first line of a message that tells an error; the first of all where none says that word."""
    lines = told.strip().splitlines() or ["no reason given"]
    return next((line for line in lines if "error" in line), lines[0]).strip()


def warn(message: str, refused: Refused) -> None:
    """Says what is done without the kernel."""
    told = Diagnostic("W607", message, refused.span, refused.why, severity="warning")
    warnings.warn(Warned(told), stacklevel=2)
