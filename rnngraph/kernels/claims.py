"""Which steps compiled kernels take beside the elementwise ones, and as what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH
from rnngraph.kernels.kernel import (
    AlongRow,
    ColumnSums,
    Ctc,
    Factor,
    Kernel,
    Order,
    Product,
    Scatter,
    Sums,
)
from rnngraph.kernels.layouts import Layout, Views
from rnngraph.kernels.nests import nest
from rnngraph.kernels.target import Target
from rnngraph.kernels.walks import walk
from rnngraph.ops.ctc import loss_scratch
from rnngraph.ops.ctc_gradient import gradient_scratch
from rnngraph.ops.summation_order import DOWN
from rnngraph.planning.program import Ref, Ring, Step, Turn


@dataclass(frozen=True)
class Claimed:
    """A kernel for one step with the views it reads and writes."""

    kernel: Kernel
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]


class Claims:
    """Claims of those steps of one program that are no links of chains."""

    def __init__(self, views: Views, target: Target) -> None:
        self.views, self.target = views, target
        self.products: dict[Product, Product] = {}

    def one(self, product: Product) -> Product:
        """Equal kernels as one object: what tables need of a kernel is found once for each."""
        return self.products.setdefault(product, product)

    def layout(self, ref: Ref) -> Layout | None:
        return self.views.of(ref).layout

    def step(self, step: Step) -> Claimed | None:
        """A kernel of its own for a step."""
        name = step.node.op.name
        if name == "contract":
            return self.product(step)
        if name == "sum_axes":
            return self.column_sums(step)
        if name in ("ctc_loss", "ctc_gradient"):
            return self.ctc(step)
        if name == "scatter_rows":
            return self.scatter(step)
        if self.target.along_row(name):
            return self.along_row(step)
        return None

    def nest(self, step: Step) -> Claimed | None:
        """Loops for a step that has no faster kernel."""
        walked = walk(step, self.views.slots, self.target)
        if walked is not None:
            return Claimed(walked[0], step.ins, walked[1])
        kernel = nest(step, self.views.slots, self.target)
        return None if kernel is None else Claimed(kernel, step.ins, step.outs[:1])

    def product(self, step: Step) -> Claimed | None:
        attrs = step.node.attrs
        left, right, out = attrs["left"], attrs["right"], attrs["out"]
        a, b = step.ins
        if attrs["reduce"]:
            return self.sums(step) if len(left) == len(right) == 1 and len(out) == 2 else None
        if len(left) == 2 and len(right) == 1:
            left, right, a, b = right, left, b, a
        if len(left) != 1 or len(right) != 2 or len(out) != 1 or left == out:
            return None
        x, w, y = self.layout(a), self.layout(b), self.layout(step.outs[0])
        if x is None or w is None or y is None or w.axes or x.axes != y.axes:
            return None
        if not (x.dense and y.dense and {x.dtype, w.dtype, y.dtype} == {self.target.dtype}):
            return None
        inner = right.index(left)
        term, column = w.strides[inner], w.strides[1 - inner]
        terms, width = w.sizes[inner], w.sizes[1 - inner]
        kernel = self.one(Product(y.axes, x.row if x.axes else 0, None, y.row, term, column, terms, width))
        return Claimed(kernel, (a, b), step.outs)

    def plus(self, step: Step, claimed: Claimed, add: Step) -> tuple[Product, Ref] | None:
        """The product with what the next step adds to it, where that is all that becomes of it."""
        kernel, product, terms = claimed.kernel, self.views.of(step.outs[0]), [self.views.of(r) for r in add.ins]
        if not isinstance(kernel, Product) or add.node.op.name != "add" or product not in terms:
            return None
        [other] = [view for view in terms if view is not product] or [product]
        beside, out = other.layout, self.layout(add.outs[0])
        if beside is None or out is None or other.slot in (product.slot, add.outs[0].slot):
            return None
        whole = beside.dense and out.dense and beside.sizes == out.sizes and beside.dtype == self.target.dtype
        if not whole or out.axes != kernel.axes or beside.axes not in ((), kernel.axes):
            return None
        return self.one(replace(kernel, ldd=beside.row if beside.axes else 0, ldc=out.row)), other.ref

    def sums(self, step: Step) -> Claimed | None:
        attrs = step.node.attrs
        a, d = step.ins if attrs["out"] == attrs["left"] + attrs["right"] else step.ins[::-1]
        x, y, z = self.layout(a), self.layout(d), self.layout(step.outs[0])
        if x is None or y is None or z is None or z.axes or x.axes != y.axes or set(attrs["reduce"]) != set(x.axes):
            return None
        if not (x.dense and y.dense and z.strides[-1] == 1 and {x.dtype, y.dtype, z.dtype} == {self.target.dtype}):
            return None
        height, width = z.sizes
        factor = Factor(x.row, z.strides[0], height)
        kernel = Sums(x.axes, y.row, width, order_of(step.node), (factor,))
        return Claimed(kernel, (d, a), step.outs)

    def column_sums(self, step: Step) -> Claimed | None:
        x, y = self.layout(step.ins[0]), self.layout(step.outs[0])
        if x is None or y is None or y.axes or not (x.dense and y.dense) or x.dtype != self.target.dtype:
            return None
        width = prod(x.sizes)
        kernel = ColumnSums(x.axes, x.row, width, order_of(step.node))
        return Claimed(kernel, step.ins, step.outs)

    def ctc(self, step: Step) -> Claimed | None:
        """The loss or its gradient, where it is in no loop."""
        attrs, gradient = step.node.attrs, step.node.op.name == "ctc_gradient"
        scores, labels, steps, counts, out = (self.layout(ref) for ref in (*step.ins, step.outs[0]))
        if scores is None or labels is None or steps is None or counts is None or out is None:
            return None
        types = {scores.dtype, out.dtype} == {self.target.dtype}
        inside = any(isinstance(entry, Turn | Ring) for ref in step.refs for entry in ref.index)
        if not types or inside or not (scores.dense and labels.row == 1):
            return None
        kernel = Ctc(
            (BATCH,), gradient, attrs["axis"], attrs["over"], scores.sizes[0], scores.row, attrs["blank"],
            attrs["merge"], attrs["ignore"], attrs["zero"], (bool(steps.axes), bool(counts.axes)),
            step.node.inputs[1].node.op.name == "input",
        )  # fmt: skip
        names = (gradient_scratch if gradient else loss_scratch)(attrs, step.node.inputs[0].type)
        scratch = dict(zip(names, step.scratch, strict=True))
        return Claimed(kernel, step.ins, (step.outs[0], *(scratch[name] for name in kernel.scratch)))

    def scatter(self, step: Step) -> Claimed | None:
        rows, ids, out = (self.layout(ref) for ref in (*step.ins, *step.outs))
        if rows is None or ids is None or out is None or out.axes or rows.axes != ids.axes:
            return None
        dense = rows.dense and ids.dense and out.dense and {rows.dtype, out.dtype} == {self.target.dtype}
        if not dense or set(step.node.attrs["reduce"]) != set(rows.axes):
            return None
        kernel = Scatter(
            rows.axes, rows.row, ids.row, prod(ids.sizes), out.sizes[0], prod(out.sizes[1:]), order_of(step.node)
        )
        return Claimed(kernel, step.ins, step.outs)

    def along_row(self, step: Step) -> Claimed | None:
        x, y = self.layout(step.ins[0]), self.layout(step.outs[0])
        attrs = step.node.attrs
        if x is None or y is None or x.axes != y.axes or not (x.dense and y.dense) or x.dtype != self.target.dtype:
            return None
        op, rank = step.node.op.name, len(x.sizes)
        dims = {d % rank for d in (attrs["dims"] if op == "sum" else (attrs.get("dim", -1),))}
        lines = prod(x.sizes[:-1]) if dims == {rank - 1} and op not in ("sum", "max_over") else 1
        if lines == 1 and dims != set(range(rank)):
            return None
        return Claimed(AlongRow(y.axes, op, prod(x.sizes) // lines, x.row, y.row, lines), step.ins, step.outs)


def order_of(node: Node) -> Order:
    units = node.attrs.get("units")
    return Order(units is not None, units == DOWN, bool(node.attrs.get("onto")))
