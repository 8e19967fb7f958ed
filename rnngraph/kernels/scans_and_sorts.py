"""Steps that walk along lines: what an entry of a line becomes depends on those before it, or on their order.

A line is a dimension of each row, or its steps. A nest has all lines; each is walked from its first entry to its last.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnngraph.ir.types import Dtypes
from rnngraph.kernels.chain import Operation
from rnngraph.kernels.nests import Laid, Nest, Strand, Walk, laid_out, lanes_of_lines
from rnngraph.kernels.target import Target
from rnngraph.planning.program import Ref, Slot, Step

IN_LANES = {"argmax", "cumsum", "softmax", "log_softmax"}
"""Walks that take one entry after another, whatever they are: several lines can be walked at once."""
ALONG_STEPS = {"compact", "expand"}
KINDS = {*IN_LANES, *ALONG_STEPS, "top_k", "argsort", "entries", "put_entries"}


def walk(step: Step, slots: Sequence[Slot], target: Target) -> tuple[Nest, tuple[Ref, ...]] | None:
    """The nest that does a step by walking, and what it writes; None where it is of another kind."""
    node, dtypes, kind = step.node, Dtypes(target.dtype), step.node.op.name
    if kind not in KINDS:
        return None
    outs = (step.outs[0], *step.scratch) if kind == "argsort" else step.outs[:1]
    arrays = [laid_out(ref, slots[ref.slot], dtypes) for ref in (*step.ins, *outs)]
    x, out = arrays[0], arrays[len(step.ins)]
    if len(out.places) != len(node.types[0].axes):
        return None
    axis = node.attrs["axis"] if kind in ALONG_STEPS else None
    dim = None if axis else node.attrs.get("dim", -1) % len(x.sizes)
    kept = [i for i, size in enumerate(x.sizes) if i != dim and size != 1]
    dims, lines = tuple(x.sizes[i] for i in kept), [None if kind == "argmax" and one is out else dim for one in arrays]
    shared = tuple(name for name in out.places if name != axis)[-1:]  # the batch, where there is one
    loops = (*(name for name in out.places if name not in (*shared, axis)), *((axis,) if axis else ()))
    places = (*(shared or ("",)), *loops)
    strands = tuple(
        Strand(one.dtype, tuple(map(one.places.get, places)), tuple(_kept(one, line, dim, i) for i in kept))
        for one, line in zip(arrays, lines, strict=True)
    )
    rows = bool(shared) and not dims and all(one.single for one in arrays)
    lanes = lanes_of_lines(dims, strands, rows) if kind in IN_LANES else "one"
    back = bool(node.attrs.get("reverse", False) or node.attrs.get("falling", False))
    made = Walk(kind, *_along(arrays, lines, 0 if axis else 1), back, len(step.ins))
    nest = Nest(
        shared, loops, int(axis is not None), dims, 0, strands, Operation(kind, (), (), out.dtype), "", lanes,
        units=False, back=False, onto=False, walk=made,
    )  # fmt: skip
    return nest, outs


def _along(
    arrays: Sequence[Laid], lines: Sequence[int | None], alone: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far the entries of a line lie apart in each array, and how many there are."""
    pairs = list(zip(arrays, lines, strict=True))
    apart = tuple(0 if line is None else one.strides[line] for one, line in pairs)
    return apart, tuple(alone if line is None else one.sizes[line] for one, line in pairs)


def _kept(one: Laid, line: int | None, dim: int | None, i: int) -> int:
    """The stride of an array along a dimension of the operand that is not walked."""
    return one.strides[i - (line is None and dim is not None and i > dim)]
