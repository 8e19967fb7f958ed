"""Which steps compiled kernels take, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from rnngraph.ir.graph import Node
from rnngraph.ops.units import DOWN
from rnngraph.program.program import Ref, Slot, Step
from rnngraph.runtime.native import pointwise
from rnngraph.runtime.native.kernels import (
    AlongRow,
    ColumnSums,
    Elementwise,
    Factor,
    Kernel,
    Order,
    Pack,
    Product,
    Sums,
)
from rnngraph.runtime.native.layout import Layout, dense, layout
from rnngraph.runtime.native.pointwise import Chain, Operand, Operation
from rnngraph.runtime.native.reductions import ROW_OPS


@dataclass(frozen=True)
class Target:
    """What the machine gives: the program's float type, lanes of a vector, vectors across a tile, threads."""

    dtype: str
    width: int
    across: int
    threads: int
    worth: float = 1.5e8
    """So much work in a piece of code pays for telling other threads."""
    worth_meeting: float = 2e6
    """So much work between two meetings pays for them, where threads share columns and not rows."""

    @property
    def panel(self) -> int:
        return self.width * self.across


@dataclass(frozen=True)
class Link:
    """One elementwise step, ready to be joined to others: its rows, its shape, and where its operands lie in it."""

    step: Step
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    ins: tuple[Operand, ...]
    out: Operand
    op: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Claimed:
    """A kernel for one step with the views it reads and writes; `packed` is the matrix it needs in panels."""

    kernel: Kernel
    ins: tuple[Ref, ...]
    outs: tuple[Ref, ...]
    packed: tuple[Ref, Pack] | None = None


class Claims:
    """Claims of one program's steps."""

    def __init__(self, slots: Sequence[Slot], target: Target) -> None:
        self.slots, self.target = slots, target

    def layout(self, ref: Ref) -> Layout | None:
        return layout(self.slots, ref, self.target.dtype)

    # --- elementwise ---

    def link(self, step: Step) -> Link | None:
        """The step as a link of a chain."""
        node = step.node
        if node.op.kind != "pointwise" and node.op.name != "reshape":
            return None
        out = self.layout(step.outs[0])
        found = [self.layout(ref) for ref in step.ins]
        laid = [one for one in found if one is not None]
        if out is None or len(laid) < len(found) or not pointwise.known(
            node.op.name, tuple(one.dtype for one in laid), out.dtype
        ):  # fmt: skip
            return None
        axes, shape = out.axes, out.sizes
        if node.op.name == "reshape":
            if not laid[0].dense or laid[0].axes != axes:
                return None
            laid = [Layout(axes, laid[0].row, shape, dense(shape), laid[0].dtype)]
        ins = [_operand(one, axes, shape) for one in laid]
        known = [one for one in ins if one is not None]
        result = _operand(out, axes, shape)
        if len(known) < len(ins) or result is None:
            return None
        return Link(step, axes, shape, tuple(known), result, node.op.name, tuple(one.dtype for one in laid))

    def chain(self, links: Sequence[Link], stored: Sequence[bool]) -> tuple[Elementwise, list[Ref], list[Ref]] | None:
        """Links as one kernel, with what it loads and stores; None where entries do not lie in a usable order."""
        loads: dict[object, tuple[int, Ref, Operand]] = {}
        made: dict[object, int] = {}
        plan: list[tuple[Link, list[tuple[str, int]]]] = []
        stores: dict[object, tuple[int, Ref, Operand]] = {}
        for i, (link, keep) in enumerate(zip(links, stored, strict=True)):
            ins: list[tuple[str, int]] = []
            for ref, operand in zip(link.step.ins, link.ins, strict=True):
                if ref.key in made:
                    ins.append(("made", made[ref.key]))
                else:
                    ins.append(("load", loads.setdefault((ref.key, operand), (len(loads), ref, operand))[0]))
            plan.append((link, ins))
            out = link.step.outs[0]
            made[out.key] = i
            if keep:
                stores[out.key] = (i, out, link.out)
        operations = tuple(
            Operation(
                link.op, tuple(n if where == "load" else len(loads) + n for where, n in ins), link.types, link.out.dtype
            )
            for link, ins in plan
        )
        operands = [o for _, _, o in (*loads.values(), *stores.values())]
        dims, flattened = _collapsed(links[0].shape, operands)
        if any(o.strides[-1] not in (0, 1) for o in flattened):
            return None
        kept = tuple((len(loads) + i, o) for (i, *_), o in zip(stores.values(), flattened[len(loads) :], strict=True))
        chain = Chain(dims, tuple(flattened[: len(loads)]), operations, kept, self.target.dtype)
        kernel = Elementwise(links[0].axes, chain, self.target.width)
        return kernel, [ref for _, ref, _ in loads.values()], [ref for _, ref, _ in stores.values()]

    # --- products and sums ---

    def step(self, step: Step) -> Claimed | None:
        """A kernel of its own for a step that is no link."""
        name = step.node.op.name
        if name == "contract":
            return self.product(step)
        if name == "sum_axes":
            return self.column_sums(step)
        if name in ROW_OPS:
            return self.along_row(step)
        return None

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
        terms, width, panel = w.sizes[inner], w.sizes[1 - inner], self.target.panel
        kernel = Product(y.axes, x.row if x.axes else 0, None, y.row, terms, width, panel)
        return Claimed(kernel, (a,), step.outs, (b, Pack(term, column, terms, width, panel)))

    def plus(self, step: Step, claimed: Claimed, add: Step) -> tuple[Product, Ref] | None:
        """The product with what the next step adds to it, where that is all that becomes of it."""
        kernel, [product] = claimed.kernel, step.outs
        if not isinstance(kernel, Product) or add.node.op.name != "add" or product.key not in [r.key for r in add.ins]:
            return None
        [other] = [r for r in add.ins if r.key != product.key] or [product]
        beside, out = self.layout(other), self.layout(add.outs[0])
        if beside is None or out is None or other.slot in (product.slot, add.outs[0].slot):
            return None
        whole = beside.dense and out.dense and beside.sizes == out.sizes and beside.dtype == self.target.dtype
        if not whole or out.axes != kernel.axes or beside.axes not in ((), kernel.axes):
            return None
        return replace(kernel, ldd=beside.row if beside.axes else 0, ldc=out.row), other

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
        kernel = Sums(x.axes, y.row, width, self.target.panel, order_of(step.node), (factor,))
        return Claimed(kernel, (d, a), step.outs)

    def column_sums(self, step: Step) -> Claimed | None:
        x, y = self.layout(step.ins[0]), self.layout(step.outs[0])
        if x is None or y is None or y.axes or not (x.dense and y.dense) or x.dtype != self.target.dtype:
            return None
        width = prod(x.sizes)
        kernel = ColumnSums(x.axes, x.row, width, self.target.width, order_of(step.node))
        return Claimed(kernel, step.ins, step.outs)

    def along_row(self, step: Step) -> Claimed | None:
        x, y = self.layout(step.ins[0]), self.layout(step.outs[0])
        attrs = step.node.attrs
        if x is None or y is None or x.axes != y.axes or not (x.dense and y.dense) or x.dtype != self.target.dtype:
            return None
        dims = attrs["dims"] if step.node.op.name == "sum" else (attrs.get("dim", -1),)
        if {d % len(x.sizes) for d in dims} != set(range(len(x.sizes))):
            return None
        return Claimed(
            AlongRow(y.axes, step.node.op.name, prod(x.sizes), x.row, y.row), step.ins, step.outs
        )


def order_of(node: Node) -> Order:
    units = node.attrs.get("units")
    return Order(units is not None, units == DOWN, bool(node.attrs.get("onto")))


def _operand(one: Layout, axes: tuple[str, ...], shape: tuple[int, ...]) -> Operand | None:
    """An array among rows of these axes and entries of this shape."""
    rows = _rows(one.axes, axes)
    if rows is None or len(one.sizes) > len(shape):
        return None
    lacking = len(shape) - len(one.sizes)
    strides = [0] * lacking + [s if n != 1 else 0 for s, n in zip(one.strides, one.sizes, strict=True)]
    return Operand(one.dtype, rows, 0 if rows == "none" else one.row, tuple(strides))


def _rows(own: tuple[str, ...], axes: tuple[str, ...]) -> str | None:
    if not own:
        return "none"
    if own == axes:
        return "each"
    if len(axes) == 2 and len(own) == 1:
        return "inner" if own == axes[1:] else "outer"
    return None


def _collapsed(shape: tuple[int, ...], operands: Sequence[Operand]) -> tuple[tuple[int, ...], list[Operand]]:
    """Dimensions that lie in one run for all operands made one; those of size 1 left out."""
    dims: list[int] = []
    columns: list[tuple[int, ...]] = []
    for size, *strides in zip(shape, *(o.strides for o in operands), strict=True):
        if size == 1:
            continue
        if dims and all(before == s * size for before, s in zip(columns[-1], strides, strict=True)):
            dims[-1] *= size
            columns[-1] = tuple(strides)
        else:
            dims.append(size)
            columns.append(tuple(strides))
    if not dims:
        dims, columns = [1], [tuple(0 if o.rows == "none" else 1 for o in operands)]
    moved = [Operand(o.dtype, o.rows, o.row, tuple(c[i] for c in columns)) for i, o in enumerate(operands)]
    return tuple(dims), moved
