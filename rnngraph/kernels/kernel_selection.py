"""Which steps compiled kernels take beside the elementwise ones, and as what."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

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
from rnngraph.kernels.scans_and_sorts import walk
from rnngraph.kernels.target import Target
from rnngraph.ops.ctc import loss_scratch
from rnngraph.ops.ctc_gradient import gradient_scratch
from rnngraph.ops.summation_order import DOWN
from rnngraph.planning.program import Ref, Ring, Step, Turn


class Claimed(Struct, frozen=True):
    """A kernel for one step with the views it reads and writes."""

    kernel: Kernel
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]


class Factors(NamedTuple):
    """The letters of two factors and of their product, and the factors."""

    left: str
    right: str
    out: str
    a: Ref
    b: Ref


def _split(letters: str, others: str) -> str:
    """The letters that are among others."""
    return "".join(letter for letter in letters if letter in others)


def _collapsed(one: Layout, letters: str, some: str) -> int | None:
    """The stride along some dimensions as if they were one; None where they do not lie so."""
    found = [(one.sizes[letters.index(x)], one.strides[letters.index(x)]) for x in some]
    found = [(size, stride) for size, stride in found if size != 1]
    for (_, outer), (size, inner) in pairwise(found):
        if outer != size * inner:
            return None
    return found[-1][1] if found else 1


def _in_one_run(one: Layout, entries: int) -> bool:
    """Whether the rows lie one behind the other."""
    return not one.axes or one.row == entries


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
            return self.sums(step)
        x, w, y = self.layout(a), self.layout(b), self.layout(step.outs[0])
        if x is None or w is None or y is None or {x.dtype, w.dtype, y.dtype} != {self.target.dtype}:
            return None
        return self.rows(step, Factors(left, right, out, a, b), x, w, y) or self.rows(
            step, Factors(right, left, out, b, a), w, x, y
        )

    def rows(self, step: Step, factors: Factors, x: Layout, w: Layout, y: Layout) -> Claimed | None:
        """Rows times a matrix that is the same for all of them: maybe several rows for each place on the axes."""
        left, right, out, a, b = factors
        each, terms, columns = _split(left, out), _split(left, right), _split(right, out)
        if w.axes or x.axes != y.axes or not (x.dense and y.dense) or not (terms and columns):
            return None
        if left != each + terms or out != each + columns or sorted(right) != sorted(terms + columns):
            return None
        term, column = (_collapsed(w, right, some) for some in (terms, columns))
        if term is None or column is None:
            return None
        sizes = dict(zip(left + right, (*x.sizes, *w.sizes), strict=True))
        rows, depth, width = (prod(sizes[letter] for letter in some) for some in (each, terms, columns))
        lda, ldc = (x.row if x.axes else 0, y.row) if rows == 1 else (depth, width)
        if rows > 1 and not (self.target.several and _in_one_run(x, rows * lda) and _in_one_run(y, rows * ldc)):
            return None
        kernel = self.one(Product(y.axes, lda, None, ldc, term, column, depth, width, rows))
        return Claimed(kernel, (a, b), step.outs)

    def plus(self, step: Step, claimed: Claimed, add: Step) -> tuple[Product, Ref] | None:
        """The product with what the next step adds to it, where that is all that becomes of it."""
        kernel, product, terms = claimed.kernel, self.views.of(step.outs[0]), [self.views.of(r) for r in add.ins]
        if not isinstance(kernel, Product) or kernel.each > 1 or add.node.op.name != "add" or product not in terms:
            return None
        [other] = [view for view in terms if view is not product] or [product]
        beside, out = other.layout, self.layout(add.outs[0])
        if beside is None or out is None or other.slot in (product.slot, add.outs[0].slot):
            return None
        whole = beside.dense and out.dense and beside.sizes == out.sizes and beside.dtype == self.target.dtype
        whole = whole and product.layout is not None and product.layout.sizes == out.sizes  # else it is spread
        if not whole or out.axes != kernel.axes or beside.axes not in ((), kernel.axes):
            return None
        return self.one(replace(kernel, ldd=beside.row if beside.axes else 0, ldc=out.row)), other.ref

    def sums(self, step: Step) -> Claimed | None:
        attrs = step.node.attrs
        (left, a), (right, d), out = (attrs["left"], step.ins[0]), (attrs["right"], step.ins[1]), attrs["out"]
        if not out.startswith(_split(left, out)):
            left, right, a, d = right, left, d, a
        each, tall, wide = _split(left, right), _split(left, out), _split(right, out)
        if left != each + tall or right != each + wide or out != tall + wide or not (tall and wide):
            return None
        x, y, z = self.layout(a), self.layout(d), self.layout(step.outs[0])
        if x is None or y is None or z is None or z.axes or x.axes != y.axes or set(attrs["reduce"]) != set(x.axes):
            return None
        ldc, beside = _collapsed(z, out, tall), _collapsed(z, out, wide)
        dense = x.dense and y.dense and beside == 1 and {x.dtype, y.dtype, z.dtype} == {self.target.dtype}
        if not dense or ldc is None:
            return None
        sizes = dict(zip(left + right, (*x.sizes, *y.sizes), strict=True))
        rows, height, width = (prod(sizes[letter] for letter in some) for some in (each, tall, wide))
        lda, ldd = (x.row, y.row) if rows == 1 else (height, width)
        if rows > 1 and not (self.target.several and _in_one_run(x, rows * lda) and _in_one_run(y, rows * ldd)):
            return None
        factor, sparse = Factor(lda, ldc, height), d in (step.ins[i] for i in attrs.get("sparse", ()))
        kernel = Sums(x.axes, ldd, width, order_of(step.node), (factor,), each=rows, sparse=sparse)
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
            _looked_at(step.node.inputs[1].node, attrs["collapsed"]),
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


def _looked_at(labels: Node, collapsed: bool) -> bool:
    """Whether labels are data, looked at before the run, of which repetitions may have been taken out; where rows have
    lengths, others stand behind them."""
    if collapsed and labels.op.name == "compact":
        labels = labels.inputs[0].node
    if labels.op.name != "where":
        return labels.op.name == "input"
    inside, given, _ = (value.node for value in labels.inputs)
    ends = inside.op.name == "lt" and inside.inputs[1].node.attrs.get("kind") == "lengths"
    return ends and given.op.name == "input"


def order_of(node: Node) -> Order:
    units = node.attrs.get("units")
    return Order(units is not None, units == DOWN, bool(node.attrs.get("onto")))
