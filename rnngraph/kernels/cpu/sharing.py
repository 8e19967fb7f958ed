"""How a kernel is shared out among threads, and what it is given beside addresses."""

from __future__ import annotations

from typing import Any

from rnngraph.ir.types import BATCH
from rnngraph.kernels.cpu.packing import Pack
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.kernel import (
    AlongRow,
    ColumnSums,
    Ctc,
    Elementwise,
    Product,
    Scatter,
    Sizes,
    Sums,
    one_row_each,
)
from rnngraph.kernels.nests import Nest


def parallel(kernel: Any) -> str:
    """ "rows" where each row is on its own, "columns" where a part of the columns needs all rows, else "one"."""
    match kernel:
        case Product(alone=True):
            return "columns"
        case Product() | Ctc():
            return "rows"
        case Elementwise() | AlongRow() | Nest():
            return "rows" if kernel.axes else "one"
    return "columns"


def listed(kernel: Any) -> bool:
    """Whether its rows can be any that a list names; the rows of some kernels must lie side by side."""
    return not isinstance(kernel, Ctc | Nest) and one_row_each(kernel)


def columns_of(kernel: Any, target: CpuTarget) -> int:
    """Into how many parts its columns can be cut."""
    match kernel:
        case Elementwise():
            return 1 if kernel.chain.sums else -(-kernel.chain.dims[-1] // target.width)
        case ColumnSums() | Scatter():
            return -(-kernel.width // target.width)
        case Product() | Pack() | Sums():
            return -(-kernel.width // target.panel)
    return 1


def arguments_of(kernel: Any, sizes: Sizes) -> tuple[int, ...]:
    """What follows the addresses in its arguments."""
    match kernel:
        case Elementwise():
            return (sizes[kernel.axes[1]] if len(kernel.axes) == 2 else 1,)
        case Product():
            return kernel.lda, kernel.ldd or 0, kernel.ldc, kernel.terms, kernel.width
        case Pack():
            return kernel.term, kernel.column, kernel.terms, kernel.width
        case Sums():
            factors = tuple(n for f in kernel.factors for n in (f.lda, f.ldc, f.height))
            order = kernel.order.words(kernel.axes, sizes, kernel.each)
            return kernel.ldd, kernel.width, *order, int(kernel.sparse), *factors
        case Ctc():
            here = sizes[kernel.axis], sizes[BATCH], sizes[kernel.over]
            return *here, *(int(each) for each in kernel.each)
        case Scatter():
            order = kernel.order.words(kernel.axes, sizes)
            return kernel.row, kernel.ids, kernel.each, kernel.entries, kernel.width, *order
        case ColumnSums():
            return kernel.row, kernel.width, *kernel.order.words(kernel.axes, sizes)
    return ()
