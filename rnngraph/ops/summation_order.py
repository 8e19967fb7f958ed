"""In which order sums over time are added up, and how many steps a product over many steps takes at a time.

The bits of a product may depend on how many rows it has, and those of a sum on its order. So that nothing depends on
which steps are computed together (a schedule may compute a few at a time, and some of them again), the steps of a
sequence are cut into *units* of one size, and every op that meets all steps at once works unit by unit. A unit's rows
go through one product (NumPy makes one for each step, see `Backend.each_step`); a sum over time is
((0 + u1) + u2) + ..., in the backward pass from the last unit to the first.

A node that does so has the attribute `units`: UP or DOWN the steps. With the attribute `onto` it adds to what stands in
its output: the sum over the units that were visited before. A product with the attribute `sparse` leaves out what
adds nothing, as an operand of these numbers is 0 there: a loop over `stop` hands out zeros for rows that had ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnngraph.ir.graph import Attrs, Node
from rnngraph.ir.types import BATCH, Type, union

ROWS = 32
"""A unit has about so many rows, of all steps and examples together."""

UP, DOWN = "up", "down"


def unit(batch: int) -> int:
    """The number of steps in a unit, for so many examples."""
    return max(1, -(-ROWS // max(1, batch)))


def descending(node: Node) -> bool:
    """Whether a node visits the units from the last to the first."""
    return node.attrs.get("units") == DOWN


def leading(types: tuple[Type, ...]) -> str:
    """The axis along which operands of these types are cut: the first one, where that is one of time; else ""."""
    axes = union(types)
    return axes[0] if axes and axes[0] != BATCH else ""


def part(attrs: Attrs, types: tuple[Type, ...], results: tuple[Type, ...]) -> tuple[Type, ...]:
    """The scratch of a sum over time: what one unit adds."""
    summed = "units" in attrs and leading(types) not in results[0].axes
    return results if summed else ()


def busy(node: Node, piece: slice, arrays: tuple[Any, ...]) -> slice:
    """The steps of a piece from the first to the last that add anything."""
    if "sparse" not in node.attrs:
        return piece
    rows = arrays[node.attrs["sparse"][-1]][piece]
    (steps,) = rows.any(axis=tuple(range(1, rows.ndim))).nonzero()
    if not len(steps):
        return slice(piece.start, piece.start)
    return slice(piece.start + int(steps[0]), piece.start + int(steps[-1]) + 1)


def pieces(node: Node, arrays: tuple[Any, ...]) -> Iterator[slice]:
    """The rows of each unit, in order; `arrays` are the node's inputs. Without examples a unit is one step."""
    types = tuple(v.type for v in node.inputs)
    axis = leading(types)
    sizes = {a: n for t, array in zip(types, arrays, strict=True) for a, n in zip(t.axes, array.shape, strict=False)}
    steps, width = sizes[axis], unit(sizes[BATCH]) if BATCH in sizes else 1
    starts = range(0, steps, width)
    for start in reversed(starts) if descending(node) else starts:
        yield slice(start, min(start + width, steps))
