"""How other tools write a `contract`: Einstein's notation over all axes, or a plain product of matrices."""

from __future__ import annotations

from rnngraph.ir.graph import Node
from rnngraph.ir.types import union


def subscripts(node: Node) -> str:
    """`AB,BC->AC` with a capital letter for each axis and the node's own small ones for dimensions."""
    types = [v.type for v in node.inputs]
    letters = {axis: chr(ord("A") + i) for i, axis in enumerate(union(types))}
    words = (node.attrs["left"], node.attrs["right"], node.attrs["out"])
    left, right, out = (
        "".join(letters[axis] for axis in type.axes) + word
        for type, word in zip((*types, node.types[0]), words, strict=True)
    )
    return f"{left},{right}->{out}"


def is_matmul(node: Node) -> bool:
    """Whether it is `left @ right` with a matrix on the right that is the same for every row."""
    left, right, out = node.attrs["left"], node.attrs["right"], node.attrs["out"]
    return (
        not node.inputs[1].type.axes and not node.attrs["reduce"] and len(right) == 2 and left[-1:] == right[0]
        and right[0] not in left[:-1] and right[1] not in left and out == left[:-1] + right[1]
    )  # fmt: skip
