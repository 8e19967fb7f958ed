"""A `contract` in ONNX as one `MatMul`.

`Einsum` would say it at once, but onnxruntime ends the whole process where a dimension of an `Einsum` is 0.
"""

from __future__ import annotations

from math import prod

from msgspec import Struct

from rnngraph.exchange.export.einsum import is_matmul, subscripts
from rnngraph.exchange.export.onnx.scope import Scope
from rnngraph.ir.graph import Node


class Letters(Struct, frozen=True):
    """The letters of a product: in all three, in the left operand and the result, in the right one and the result, in
    both operands alone, over which is summed."""

    shared: str
    rows: str
    columns: str
    inner: str

    @property
    def result(self) -> str:
        """The order that `MatMul` gives: all but the last of rows and columns are dimensions around the matrices."""
        return self.shared + self.rows[:-1] + self.columns[:-1] + self.rows[-1:] + self.columns[-1:]


def contract(s: Scope, node: Node, a: str, b: str) -> str:
    if is_matmul(node):
        return str(s.emit("MatMul", a, b))
    operands, _, out = subscripts(node).partition("->")
    left, _, right = operands.partition(",")
    a, left = _summed(s, a, left, right + out)
    b, right = _summed(s, b, right, left + out)
    both = [x for x in left if x in right]
    letters = Letters(
        "".join(x for x in both if x in out),
        "".join(x for x in left if x not in right),
        "".join(x for x in right if x not in left),
        "".join(x for x in both if x not in out),
    )
    shared, rows, columns, inner = letters.shared, letters.rows, letters.columns, letters.inner
    a, left = _joined(s, node, a, left, inner)
    b, right = _joined(s, node, b, right, inner)
    a = _arranged(s, a, left, shared + rows[:-1] + "1" * len(columns[:-1]) + (rows[-1:] or "1") + "*")
    b = _arranged(s, b, right, shared + "1" * len(rows[:-1]) + columns[:-1] + "*" + (columns[-1:] or "1"))
    made = str(s.emit("MatMul", a, b))
    gone = [-2] * (not rows) + [-1] * (not columns)
    if gone:
        made = str(s.emit("Squeeze", made, s.ints(*gone)))
    return _turned(s, made, letters.result, out)


def _without(letters: str, gone: str) -> str:
    return "".join(x for x in letters if x not in gone)


def _summed(s: Scope, x: str, letters: str, elsewhere: str) -> tuple[str, str]:
    """An operand without the letters that stand nowhere else."""
    places = [i for i, letter in enumerate(letters) if letter not in elsewhere]
    kept = "".join(letter for letter in letters if letter in elsewhere)
    return (str(s.emit("ReduceSum", x, s.ints(*places), keepdims=0)), kept) if places else (x, letters)


def _joined(s: Scope, node: Node, x: str, letters: str, inner: str) -> tuple[str, str]:
    """An operand whose summed letters are one dimension, the last, with the letter `*`."""
    kept = _without(letters, inner)
    x = _turned(s, x, letters, kept + inner)
    if len(inner) != 1:
        size, copied = _terms(s, node, inner), s.ints(*[0] * len(kept))
        x = str(s.emit("Reshape", x, s.emit("Concat", copied, size, axis=0) if kept else size))
    return x, kept + "*"


def _terms(s: Scope, node: Node, inner: str) -> str:
    """How many terms each sum has, as an array of one entry."""
    type = node.inputs[0].type
    known = dict(zip(subscripts(node).partition(",")[0], [*type.axes, *type.shape], strict=True))
    sizes = [known[letter] for letter in inner]
    total = s.ints(prod(n for n in sizes if isinstance(n, int)))
    for axis in sizes:
        total = str(s.emit("Mul", total, s.whole.sizes[axis])) if isinstance(axis, str) else total
    return total


def _arranged(s: Scope, x: str, letters: str, wanted: str) -> str:
    """An operand with its letters in another order, and dimensions of 1 where that says so."""
    x = _turned(s, x, letters, wanted.replace("1", ""))
    return s.unsqueeze(x, [i for i, letter in enumerate(wanted) if letter == "1"])


def _turned(s: Scope, x: str, letters: str, wanted: str) -> str:
    perm = [letters.index(letter) for letter in wanted]
    return x if perm == sorted(perm) else str(s.emit("Transpose", x, perm=perm))
