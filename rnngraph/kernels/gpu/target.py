"""What the code generator for GPUs can do, and what a device gives."""

from __future__ import annotations

from msgspec import Struct

from rnngraph.kernels.gpu import expressions
from rnngraph.kernels.gpu.functions import HOW
from rnngraph.kernels.gpu.products import TENSOR_CORES, Plain, Products

THREADS = 256
"""Threads of a block, of every kernel: eight warps."""


class GpuTarget(Struct, frozen=True):
    """A GPU for programs of one float type: its processors, and the bytes of memory that a block can have near."""

    dtype: str
    processors: int
    shared: int
    parts: int = 0
    """So many blocks for the same rows, at most; 0 where the best number is to be found."""
    chunk: int = 256
    """The fewest steps of a chunk, where a loop is done in chunks at once."""
    rounding: str = ""
    """What operands of products are rounded to for tensor cores; "" where products are in the program's type."""
    cluster: int = 0
    """So many blocks at most are a _cluster_, which meets without far memory; 0 where the device knows none."""
    near: int = 0
    several: bool = False
    sums_in_chains: bool = False
    inward: bool = False
    """All steps of a product that no state reaches are made at once: on a GPU rows are what there is too little of."""

    @property
    def itemsize(self) -> int:
        return 4 if self.dtype == "float32" else 8

    @property
    def products(self) -> Products:
        return TENSOR_CORES[self.rounding] if self.rounding else Plain(self.itemsize)

    def elementwise(self, op: str, types: tuple[str, ...], result: str) -> bool:
        return expressions.known(op, types)

    def along_row(self, op: str) -> bool:
        return op in HOW


STATIC = 20 * 1024
"""Bytes of a block's near memory that kernels take without saying so: tiles of sums."""


def h100(dtype: str, rounding: str = "") -> GpuTarget:
    """What is told of programs where there is no device: an H100 has 132 processors with 227 KiB each (NVIDIA, "H100
    Tensor Core GPU Architecture", 2022)."""
    return GpuTarget(dtype, 132, 227 * 1024 - STATIC, rounding=rounding, cluster=cluster_of("90"))


def cluster_of(capability: str) -> int:
    """The most blocks of a cluster on devices of a compute capability: 8 from 9.0 on (CUDA C++ Programming Guide,
    "Thread Block Clusters"); the large devices of 9.0 and 10.0 take 16, if they are asked to."""
    return 16 if capability in ("90", "100") else 8 if int(capability) > 90 else 0
