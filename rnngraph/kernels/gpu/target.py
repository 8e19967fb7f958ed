"""What the code generator for GPUs can do, and what a device gives."""

from __future__ import annotations

from dataclasses import dataclass

from rnngraph.kernels.gpu import expressions
from rnngraph.kernels.gpu.functions import HOW
from rnngraph.kernels.gpu.products import TENSOR_CORES, Plain, Products

THREADS = 256
"""Threads of a block, of every kernel: eight warps."""


@dataclass(frozen=True)
class GpuTarget:
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
    return GpuTarget(dtype, 132, 227 * 1024 - STATIC, rounding=rounding)
