"""Matrices: the identity, triangles, diagonals, outer products, and linear equations."""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import union
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.arithmetic import alike
from rnngraph.language.elaboration.indexing import cut, numbered
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item


@define("range", "n", "int")
def _(use: Use) -> Item:
    return numbered(use.trace, checked_size(use.whole("n", 1), use.span("n")), use.at)


def _compared(use: Use, how: str, rows: int, columns: int, shift: int = 0) -> Value:
    """A matrix of whether `row + shift` and the column compare so."""
    down = use.op("reshape", numbered(use.trace, rows, use.at), shape=(rows, 1))
    if shift:
        down = use.op("add", down, use.trace.const(shift, "int"))
    return use.op(how, down, numbered(use.trace, columns, use.at))


@define("eye", "n", "float")
def _(use: Use) -> Item:
    """The identity matrix."""
    size = checked_size(use.whole("n", 1), use.span("n"))
    return use.trace.cast(use.op("one_hot", numbered(use.trace, size, use.at), depth=size), "float", use.at)


@define("tri", "n columns? shift?", "float")
def _(use: Use) -> Item:
    """Ones on and below the diagonal, or the `shift`-th above it; zeros elsewhere."""
    rows = checked_size(use.whole("n", 1), use.span("n"))
    columns = checked_size(use.whole("columns", rows), use.span("columns")) if use.has("columns") else rows
    return use.trace.cast(_compared(use, "ge", rows, columns, use.whole("shift", 0)), "float", use.at)


@define("diag", "x", "same")
def _(use: Use) -> Item:
    """Of a vector the matrix with it on the diagonal, of a matrix its diagonal."""
    x = use.any("x")
    if len(x.type.shape) == 1:
        (size,) = x.type.shape
        zero = use.trace.const(False if x.type.dtype == "bool" else 0, x.type.dtype)
        return use.op("where", _compared(use, "eq", size, size), x, zero)
    if len(x.type.shape) == 2:
        return diagonal(use.trace, x, use.at)
    raise use.mistake("E204", f"`diag` takes a vector or a matrix, but {use.has_shape('x', x)}", "x")


def diagonal(trace: Trace, x: Value, at: Span) -> Value:
    """That of the last two dimensions: behind its first entry every (n + 1)-th of n rows one after another."""
    size = min(x.type.shape[-2:])
    for dim in (len(x.type.shape) - 2, len(x.type.shape) - 1):
        x = cut(trace, x, dim, 0, size, at)
    lead, last = x.type.shape[:-2], len(x.type.shape) - 2
    flat = trace.call("reshape", x, at=at, shape=(*lead, size * size))
    if size < 2:
        return flat
    corner = cut(trace, flat, last, size * size - 1, size * size, at)
    rows = trace.call(
        "reshape", cut(trace, flat, last, 0, size * size - 1, at), at=at, shape=(*lead, size - 1, size + 1)
    )
    first = trace.call("reshape", cut(trace, rows, last + 1, 0, 1, at), at=at, shape=(*lead, size - 1))
    return trace.call("concat", first, corner, at=at, dim=-1)


@define("outer", "a b", "number")
def _(use: Use) -> Item:
    a, b = alike(use.trace, (use.given["a"].item, use.given["b"].item), (use.span("a"), use.span("b")))
    for value, name in ((a, "a"), (b, "b")):
        if len(value.type.shape) != 1:
            raise use.mistake("E204", f"`outer` takes two vectors, but {use.has_shape(name, value)}", name)
    return use.op("contract", a, b, left="i", right="j", out="ij", reduce=())


@define("solve", "a b", "float")
def _(use: Use) -> Item:
    """The x with a @ x = b, of one right side or of several as columns."""
    a, b = use.float("a"), use.float("b")
    if len(a.type.shape) != 2 or len(set(a.type.shape)) > 1:
        raise use.mistake("E204", f"`solve` takes a square matrix, but {use.has_shape('a', a)}", "a")
    if len(b.type.shape) not in (1, 2) or b.type.shape[0] != a.type.shape[0]:
        raise use.mistake("E201", f"{use.has_shape('a', a)} but {use.has_shape('b', b)}", "b")
    axes = union((a.type, b.type))
    a, b = (v if v.type.axes in ((), axes) else use.op("spread", v, axes=axes) for v in (a, b))
    return use.op("solve", a, b if b.type.axes == axes else use.op("spread", b, axes=axes))
