"""The compiled kernels of a program: its own chains in one module, products and sums from modules that all share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from rnngraph.kernels.cpu import elementwise, products, reductions, sums
from rnngraph.kernels.cpu.machine_code import Module, across, module, vector_bytes
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.cpu.threads import available
from rnngraph.kernels.kernel import AlongRow, ColumnSums, Elementwise, Kernel, Product, Sums


def target(dtype: str) -> CpuTarget:
    """What this machine gives a program of one float type."""
    return CpuTarget(dtype, vector_bytes() // (4 if dtype == "float32" else 8), across(), available())


class Addresses:
    """Where each kernel starts; compiled together at the first question."""

    def __init__(self, kernels: Iterable[Kernel], machine: CpuTarget) -> None:
        self.machine = machine
        texts: dict[tuple[object, ...], str] = {}
        declared = set[str]()
        for kernel in kernels:
            key = _key(kernel)
            if key is not None and key not in texts:
                texts[key] = _written(kernel, f"k{len(texts)}", machine, declared)
        self.names = {key: f"k{i}" for i, key in enumerate(texts)}
        self.module = module(frozenset(declared), *texts.values()) if texts else None
        self.known: dict[int, int] = {}

    def of(self, kernel: Kernel) -> int:
        """The address of a kernel of the program; asked for once for each, however many threads there are."""
        if id(kernel) not in self.known:
            self.known[id(kernel)] = self.found(kernel)
        return self.known[id(kernel)]

    def found(self, kernel: Kernel) -> int:
        key = _key(kernel)
        if key is not None:
            assert self.module is not None
            return self.module.address(self.names[key])
        shape = products.Shape(self.machine.dtype, self.machine.width, self.machine.across)
        if isinstance(kernel, ColumnSums):
            return column_sums(shape).address("columns")
        if isinstance(kernel, Sums):
            return sum_kernels(shape, len(kernel.factors), kernel.summed).address("sums")
        return product_kernels(shape).address("product" if isinstance(kernel, Product) else "pack")


def _key(kernel: Kernel) -> tuple[object, ...] | None:
    """What makes the text of a kernel of the program's own; None for those that all share."""
    if isinstance(kernel, Elementwise):
        return (kernel.chain, kernel.flat)
    if isinstance(kernel, AlongRow):
        return (kernel.op, kernel.size, kernel.row, kernel.result)
    return None


def _written(kernel: Kernel, name: str, machine: CpuTarget, declared: set[str]) -> str:
    if isinstance(kernel, Elementwise):
        return elementwise.write(kernel.chain, name, machine.width, kernel.flat, declared)
    assert isinstance(kernel, AlongRow)
    k = kernel
    return reductions.write_row(name, k.op, k.size, k.row, k.result, machine.dtype, machine.width, declared)


@cache
def product_kernels(shape: products.Shape) -> Module:
    declared = set[str]()
    text = products.write(shape, declared)
    return module(frozenset(declared), text)


@cache
def sum_kernels(shape: products.Shape, sources: int, summed: bool) -> Module:
    declared = set[str]()
    text = sums.write(shape, sources, summed, declared)
    return module(frozenset(declared), text)


@cache
def column_sums(shape: products.Shape) -> Module:
    declared = set[str]()
    text = reductions.write_columns("columns", shape.dtype, shape.width, declared)
    return module(frozenset(declared), text)
