"""The one table of ops, by family. `TABLE[name]` is an op's whole entry."""

from rnngraph.ops import (
    beam,
    compact,
    ctc,
    ctc_gradient,
    index,
    index_checks,
    linear,
    pointwise,
    random,
    ranking,
    reduce,
    sampling,
    sequence,
    shape,
    windows,
)
from rnngraph.ops.table import TABLE, Formula, call, const

__all__ = [
    "TABLE",
    "Formula",
    "beam",
    "call",
    "compact",
    "const",
    "ctc",
    "ctc_gradient",
    "index",
    "index_checks",
    "linear",
    "pointwise",
    "random",
    "ranking",
    "reduce",
    "sampling",
    "sequence",
    "shape",
    "windows",
]
