"""Products: one op, `contract`, whose gradient is two contractions.

`left`, `right` and `out` are letters for the feature dimensions, as in Einstein's notation; axes need no
letters. `reduce` names axes that are summed in the same product: a weight's gradient over all steps and rows
is one large product, not a sum of small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.ir.graph import Attrs, Node, ShapeError
from rnngraph.ir.types import Type, union
from rnngraph.ops.summation_order import busy, leading, part, pieces
from rnngraph.ops.table import Formula, define, no_truth, same_dtype


def _infer(attrs: Attrs, types: tuple[Type, ...]) -> tuple[Type, ...]:
    a, b = types
    sizes: dict[str, int] = {}
    for letters, type in ((attrs["left"], a), (attrs["right"], b)):
        if len(letters) != len(type.shape):
            raise ShapeError(f"a product needs {len(letters)} dimensions here, not {len(type.shape)}")
        for letter, size in zip(letters, type.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(f"a product over {sizes[letter]} and {size} values")
    axes = tuple(axis for axis in union(types) if axis not in attrs["reduce"])
    return (no_truth(Type(axes, tuple(sizes[letter] for letter in attrs["out"]), same_dtype(types))),)


def _vjp(attrs: Attrs, y: Formula, dy: Formula, a: Formula, b: Formula) -> tuple[Formula, Formula]:
    left, right, out = attrs["left"], attrs["right"], attrs["out"]
    return (
        dy.op("contract", b, left=out, right=right, out=left, reduce=_beyond(dy, b, a)),
        a.op("contract", dy, left=left, right=out, out=right, reduce=_beyond(a, dy, b)),
    )


def _beyond(p: Formula, q: Formula, target: Formula) -> tuple[str, ...]:
    """The axes that a product of p and q has and the target lacks."""
    return tuple(axis for axis in union((p.type, q.type)) if axis not in target.type.axes)


# --- the kernel ----------------------------------------------------------------------------------------------


def _subscripts(node: Node) -> tuple[str, str, str]:
    """Letters for axes and dimensions together; an axis gets a capital letter."""
    axes = {axis: chr(ord("A") + i) for i, axis in enumerate(union([v.type for v in node.inputs]))}
    a, b = (v.type for v in node.inputs)
    y = node.types[0]
    return (
        "".join(axes[x] for x in a.axes) + node.attrs["left"],
        "".join(axes[x] for x in b.axes) + node.attrs["right"],
        "".join(axes[x] for x in y.axes) + node.attrs["out"],
    )


def _kernel(backend: Any, node: Node) -> Callable[..., None]:
    axis = leading(tuple(v.type for v in node.inputs))
    if backend.each_step and axis in node.types[0].axes and not all(axis in v.type.axes for v in node.inputs):
        return _by_steps(backend, node)
    return _by_units(backend, node) if "units" in node.attrs else _product_of(backend, node)


def _by_steps(backend: Any, node: Node) -> Callable[..., None]:
    """The product of each step on its own, so that its bits are the same in any company of other steps."""
    product, axis = _product_of(backend, node), leading(tuple(v.type for v in node.inputs))
    long = [axis in v.type.axes for v in node.inputs]

    def run(x: Any, w: Any, y: Any) -> None:
        for t in range(len(y)):
            at = slice(t, t + 1)
            product(x[at] if long[0] else x, w[at] if long[1] else w, y[at])

    return run


def _by_units(backend: Any, node: Node) -> Callable[..., None]:
    """The product of each unit of steps on its own: written to its rows, or added to the sum."""
    product, add = _product_of(backend, node), backend.xp.add
    axis = leading(tuple(v.type for v in node.inputs))
    long = [axis in v.type.axes for v in node.inputs]

    def rows(x: Any, w: Any, y: Any) -> None:
        for at in pieces(node, (x, w)):
            product(x[at] if long[0] else x, w[at] if long[1] else w, y[at])

    def total(x: Any, w: Any, y: Any, one: Any) -> None:
        if "onto" not in node.attrs:
            y.fill(0)
        for piece in pieces(node, (x, w)):
            at = busy(node, piece, (x, w)) if backend.each_step else piece
            if at.start < at.stop:
                product(x[at] if long[0] else x, w[at] if long[1] else w, one)
                add(y, one, y)

    return rows if axis in node.types[0].axes else total


def _product_of(backend: Any, node: Node) -> Callable[..., None]:
    a, b, out = _subscripts(node)
    both = [letter for letter in a if letter in b]
    rows = "".join(letter for letter in out if letter in a and letter not in b)
    columns = "".join(letter for letter in out if letter in b and letter not in a)
    inner = "".join(letter for letter in both if letter not in out)
    batch = "".join(letter for letter in both if letter in out)
    alone = any(letter not in out for letter in set(a) ^ set(b))
    if alone:
        return _einsum(backend, a, b, out)
    if not inner:
        return _outer(backend, a, b, out)
    if not batch and {a, b, out} <= {
        rows + inner,
        inner + rows,
        inner + columns,
        columns + inner,
        rows + columns,
        columns + rows,
    }:
        return _matrix(backend, a, b, out, rows, inner, columns)
    if max(map(len, (rows, columns, inner))) <= 1:
        return _batched(backend, a, b, out, rows, inner, columns, batch)
    return _einsum(backend, a, b, out)


def _matrix(backend: Any, a: str, b: str, out: str, rows: str, inner: str, columns: str) -> Callable[..., None]:
    """One product of two matrices, each maybe transposed."""
    matmul = backend.xp.matmul
    left = _as_matrix(a, rows, inner)
    right = _as_matrix(b, inner, columns)
    if out == rows + columns:
        if left is _same and right is _same and len(out) == 2:
            return lambda x, w, y: matmul(x, w, out=y)
        result = _as_matrix(out, rows, columns)
        return lambda x, w, y: matmul(left(x), right(w), out=result(y))
    result = _as_matrix(out, columns, rows)
    return lambda x, w, y: matmul(right(w).T, left(x).T, out=result(y))


def _same(array: Any) -> Any:
    return array


def _as_matrix(letters: str, first: str, second: str) -> Callable[[Any], Any]:
    """The view of an array as a matrix (first, second)."""
    cut = len(first)
    if letters == first + second:
        if len(first) == len(second) == 1:
            return _same
        return lambda array: array.reshape(_product(array.shape[:cut]), _product(array.shape[cut:]))
    if len(first) == len(second) == 1:
        return lambda array: array.T
    cut = len(second)
    return lambda array: array.reshape(_product(array.shape[:cut]), _product(array.shape[cut:])).T


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _outer(backend: Any, a: str, b: str, out: str) -> Callable[..., None]:
    """No sum at all: a broadcast multiplication."""
    multiply = backend.xp.multiply
    left, right = _spread_to(a, out), _spread_to(b, out)
    return lambda x, w, y: multiply(left(x), right(w), y)


def _spread_to(letters: str, out: str) -> Callable[[Any], Any]:
    order = sorted(range(len(letters)), key=lambda i: out.index(letters[i]))
    index = tuple(slice(None) if letter in letters else None for letter in out)
    return lambda array: array.transpose(order)[index]


def _batched(
    backend: Any, a: str, b: str, out: str, rows: str, inner: str, columns: str, batch: str
) -> Callable[..., None]:
    """A product for each entry of the shared axes, each group of letters being one letter or none."""
    matmul = backend.xp.matmul
    left = _arranged(a, batch, rows, inner)
    right = _arranged(b, batch, inner, columns)
    result = _arranged(out, batch, rows, columns)
    return lambda x, w, y: matmul(left(x), right(w), out=result(y))


def _arranged(letters: str, batch: str, first: str, second: str) -> Callable[[Any], Any]:
    order = [letters.index(letter) for letter in batch + first + second]
    index = (..., *([slice(None)] if first else [None]), *([slice(None)] if second else [None]))
    return lambda array: array.transpose(order)[index]


def _einsum(backend: Any, a: str, b: str, out: str) -> Callable[..., None]:
    einsum = backend.einsum
    return lambda x, w, y: einsum(f"{a},{b}->{out}", x, w, y)


_IN, _W = Type(("batch",), (3,)), Type((), (3, 5))
_SEQ = Type(("time", "batch"), (3,))

define(
    "contract",
    _infer,
    kernel=_kernel,
    vjp=_vjp,
    scratch=part,
    examples=(
        ({"left": "n", "right": "nm", "out": "m", "reduce": ()}, (_IN, _W)),
        ({"left": "n", "right": "nm", "out": "m", "reduce": ()}, (_SEQ, _W)),
        ({"left": "n", "right": "nm", "out": "m", "reduce": ()}, (Type((), (3,)), _W)),
        (
            {"left": "n", "right": "m", "out": "nm", "reduce": ("time", "batch")},
            (_SEQ, Type(("time", "batch"), (2,))),
        ),
        ({"left": "n", "right": "m", "out": "nm", "reduce": ()}, (_IN, Type(("batch",), (2,)))),
        ({"left": "nk", "right": "k", "out": "n", "reduce": ()}, (Type(("batch",), (2, 3)), _IN)),
        ({"left": "nk", "right": "km", "out": "nm", "reduce": ()}, (Type(("batch",), (2, 3)), _W)),
        ({"left": "n", "right": "n", "out": "", "reduce": ()}, (_IN, _IN)),
        ({"left": "n", "right": "n", "out": "", "reduce": ("batch",)}, (_IN, Type((), (3,)))),
        (
            {"left": "ijk", "right": "kj", "out": "i", "reduce": ()},
            (Type(("batch",), (2, 3, 4)), Type((), (4, 3))),
        ),
    ),
)
