"""Systems of linear equations: the x with a @ x = b."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.interval_arithmetic import POLE
from rnngraph.ir.types import Type
from rnngraph.ops.table import Formula, define


def _type(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    a, b = types
    if len(a.shape) != 2 or a.shape[0] != a.shape[1] or len(b.shape) not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ShapeError(f"{list(a.shape)} and {list(b.shape)} are no equations, which have a square matrix")
    if {a.dtype, b.dtype} != {"float"} or a.axes not in ((), b.axes):
        raise ShapeError(f"{a} and {b} are no equations")
    return (b,)


def _solve(backend: Any, node: Node) -> Callable[..., None]:
    """The library makes an array of its own, of which there is one like the result in the ledger."""
    solve, copyto = backend.xp.linalg.solve, backend.xp.copyto
    vector = len(node.types[0].shape) == 1

    def each(a: Any, b: Any, out: Any) -> None:
        """A matrix without an inverse gives no numbers, and leaves the others of the batch as they are."""
        try:
            copyto(out, solve(a, b))
        except ValueError:  # of which a `LinAlgError` is one
            if out.ndim == 2:
                out.fill(float("nan"))
                return
            for i in range(len(out)):
                each(a if a.ndim == 2 else a[i], b[i], out[i])

    def run(a: Any, b: Any, out: Any, own: Any) -> None:
        each(a, b[..., None] if vector else b, out[..., None] if vector else out)

    return run


def _vjp(attrs: Attrs, y: Formula, dy: Formula, a: Formula, b: Formula) -> tuple[Formula, Formula]:
    back = a.op("transpose", perm=(1, 0)).op("solve", dy)
    left, right = ("i", "j") if len(y.type.shape) == 1 else ("ik", "jk")
    return -back.op("contract", y, left=left, right=right, out="ij", reduce=()), back


_ROWS = Type(("batch",), (3, 3))

define(
    "solve",
    _type,
    kernel=_solve,
    scratch=lambda attrs, types, results: results,
    vjp=_vjp,
    range=lambda node, a, b: POLE,
    examples=(
        ({}, (Type((), (3, 3)), Type(("batch",), (3,)))),
        ({}, (_ROWS, Type(("batch",), (3,)))),
        ({}, (_ROWS, Type(("batch",), (3, 2)))),
    ),
)
