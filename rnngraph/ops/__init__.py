"""The one table of ops, by family. `TABLE[name]` is an op's whole entry."""

from rnngraph.ops import index, linear, pointwise, random, reduce, sequence, shape, windows
from rnngraph.ops.table import TABLE, Formula, call, const

__all__ = [
    "TABLE",
    "Formula",
    "call",
    "const",
    "index",
    "linear",
    "pointwise",
    "random",
    "reduce",
    "sequence",
    "shape",
    "windows",
]
