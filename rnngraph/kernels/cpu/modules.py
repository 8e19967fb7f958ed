"""The compiled kernels of a program: its chains, in one module with those that no program before had; products and sums
of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256

from rnngraph.kernels.cpu import (
    ctc,
    direct_products,
    elementwise,
    lookups,
    nests,
    products,
    reductions,
    weight_gradients,
)
from rnngraph.kernels.cpu.machine_code import Module, across, module, vector_bytes
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.cpu.threads import available
from rnngraph.kernels.kernel import (
    BLOCK,
    AlongRow,
    ColumnSums,
    Ctc,
    Elementwise,
    Kernel,
    Product,
    Scatter,
    Squares,
    Sums,
)
from rnngraph.kernels.nests import Nest


def target(dtype: str) -> CpuTarget:
    """What this machine gives a program of one float type."""
    return CpuTarget(dtype, vector_bytes() // (4 if dtype == "float32" else 8), across(), available())


_KNOWN: dict[tuple[object, ...], tuple[Module, str]] = {}
"""The module of each kernel that was compiled in this process, and its name there."""
_COMPILED: dict[bytes, tuple[Module, str]] = {}
"""The same by what was written: kernels that differ only in what their code does not ask share it."""
NAMELESS = "kernel"
"""What a kernel is called in its text."""


class Addresses:
    """Where each kernel starts. What no program before has needed is compiled together at the first question."""

    def __init__(self, kernels: Iterable[Kernel], machine: CpuTarget) -> None:
        self.machine = machine
        self.keys: dict[int, tuple[object, ...] | None] = {}
        digests, fresh, declared = dict[tuple[object, ...], bytes](), dict[bytes, str](), set[str]()
        for kernel in kernels:
            if id(kernel) in self.keys:
                continue
            key = self.key(kernel)
            if key is not None and key not in digests and key not in _KNOWN:
                text = _written(kernel, NAMELESS, machine, declared)
                digest = digests[key] = sha256(text.encode()).digest()
                if digest not in _COMPILED and digest not in fresh:
                    fresh[digest] = text.replace(f"@{NAMELESS}(", f"@k{len(fresh)}(", 1)
        if fresh:
            made = module(frozenset(declared), *fresh.values())
            _COMPILED.update({digest: (made, f"k{i}") for i, digest in enumerate(fresh)})
        _KNOWN.update({key: _COMPILED[digest] for key, digest in digests.items()})
        self.known: dict[int, int] = {}

    def key(self, kernel: Kernel) -> tuple[object, ...] | None:
        """What makes the text of a kernel of the program, put together once: a static program has the same ones at
        each step."""
        if id(kernel) not in self.keys:
            self.keys[id(kernel)] = _key(kernel, self.machine)
        return self.keys[id(kernel)]

    def of(self, kernel: Kernel) -> int:
        """The address of a kernel of the program; asked for once for each, however many threads there are."""
        if id(kernel) not in self.known:
            self.known[id(kernel)] = self.found(kernel)
        return self.known[id(kernel)]

    def unpacked(self, kernel: str) -> int:
        """The address of a kernel for products with matrices that are not packed."""
        shape = products.Shape(self.machine.dtype, self.machine.width, self.machine.across)
        return (direct_kernel if kernel == "direct" else product_kernels)(shape).address(kernel)

    def found(self, kernel: Kernel) -> int:
        key = self.key(kernel)
        if key is not None:
            compiled, name = _KNOWN[key]
            return compiled.address(name)
        shape = products.Shape(self.machine.dtype, self.machine.width, self.machine.across)
        if isinstance(kernel, Squares):
            return squares(shape).address("squares")
        if isinstance(kernel, Scatter):
            return scatter(shape).address("scatter")
        if isinstance(kernel, ColumnSums):
            return column_sums(shape).address("columns")
        if isinstance(kernel, Sums):
            return sum_kernels(shape, len(kernel.factors), kernel.summed).address("sums")
        return product_kernels(shape).address("product" if isinstance(kernel, Product) else "pack")


def _key(kernel: Kernel, machine: CpuTarget) -> tuple[object, ...] | None:
    """What makes the text of a kernel that is written for its program; None for those of any size."""
    if isinstance(kernel, Elementwise):
        return (machine.width, kernel.chain, kernel.flat)
    if isinstance(kernel, AlongRow):
        return (machine.width, machine.dtype, kernel)
    if isinstance(kernel, Ctc | Nest):
        return (machine.width, machine.dtype, kernel)
    return None


def _written(kernel: Kernel, name: str, machine: CpuTarget, declared: set[str]) -> str:
    if isinstance(kernel, Elementwise):
        return elementwise.write(kernel.chain, name, machine.width, kernel.flat, declared)
    if isinstance(kernel, Ctc):
        return ctc.write(kernel, name, machine.dtype, machine.doubles, declared)
    if isinstance(kernel, Nest):
        return nests.write(kernel, name, machine.dtype, machine.width, declared)
    assert isinstance(kernel, AlongRow)
    return reductions.write_row(kernel, name, machine.dtype, machine.width, declared)


def _shared(write: Callable[[set[str]], str]) -> Module:
    """Kernels of any size, which every program shares."""
    declared = set[str]()
    text = write(declared)
    return module(frozenset(declared), text)


@cache
def product_kernels(shape: products.Shape) -> Module:
    return _shared(lambda declared: products.write(shape, declared))


@cache
def direct_kernel(shape: products.Shape) -> Module:
    return _shared(lambda declared: direct_products.write(shape, declared))


@cache
def sum_kernels(shape: products.Shape, sources: int, summed: bool) -> Module:
    return _shared(lambda declared: weight_gradients.write(shape, sources, summed, declared))


@cache
def column_sums(shape: products.Shape) -> Module:
    return _shared(lambda declared: reductions.write_columns("columns", shape.dtype, shape.width, declared))


@cache
def scatter(shape: products.Shape) -> Module:
    return _shared(lambda declared: lookups.write_scatter("scatter", shape.dtype, shape.width, declared))


@cache
def squares(shape: products.Shape) -> Module:
    return _shared(lambda declared: reductions.write_squares("squares", shape.dtype, shape.width, BLOCK, declared))
