"""Which elementwise steps run as one chain, and the kernel that does them.

A static program repeats the same pattern at every step. What a step is to a kernel (`Form`) and what becomes of a run
of steps (`Made`) are found once for each pattern; then only the views differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.types import BATCH
from rnngraph.kernels.chain import CHOOSING, LOOKUPS, Chain, Lookup, Noise, Operand, Operation
from rnngraph.kernels.kernel import Elementwise
from rnngraph.kernels.layouts import Layout, View, Views, dense
from rnngraph.kernels.target import Target
from rnngraph.ops.random import number_of
from rnngraph.planning.program import Entry, Group, Ring, Step, Turn


class Form(Struct, frozen=True, eq=False):
    """An elementwise step as a link of a chain: its rows, its shape, and where its operands lie in it."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    ins: tuple[Operand, ...]
    out: Operand
    op: str
    types: tuple[str, ...]
    at: Lookup | Noise | None = None
    tables: tuple[int, ...] = ()
    """Which of its operands it looks entries up in."""

    @property
    def sums(self) -> bool:
        """Whether it is the sum of each row: the last that a chain can do with it."""
        return self.out.summed


class Link(NamedTuple):
    """One elementwise step, ready to be joined to others."""

    step: Step
    form: Form
    ins: tuple[View, ...]
    out: View

    @property
    def tables(self) -> list[int]:
        """The slots that it looks entries up in."""
        return [self.ins[i].slot for i in self.form.tables]


class Made(NamedTuple):
    """A kernel for a run of links; which of their views, told link by link, it loads and stores."""

    kernel: Elementwise
    loads: tuple[int, ...]
    stores: tuple[int, ...]


class Run:
    """Links that can run entry by entry together; the views that they write and touch, by slot."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.written: dict[int, list[View]] = {}
        self.touched: dict[int, list[View]] = {}
        self.tables: set[int] = set()
        self.sums: set[int] = set()
        self.step: Hashable = None

    def takes(self, link: Link, step: Hashable) -> bool:
        """Whether a link can join: of one slot it reads what others write, and writes what they touch, as the same
        view, or they lie apart. All whose step is told are of the same."""
        if not self.links:
            return not link.form.sums
        if step is not None and self.step not in (None, step):
            return False
        first, form, out = self.links[0].form, link.form, link.out
        if form.axes != first.axes or form.shape != first.shape:
            return False
        if out.slot in self.tables or (form.tables and any(slot in self.written for slot in link.tables)):
            return False  # a table is not looked up entry by entry
        if form.sums and link.ins[0].slot not in self.written:
            return False  # it is the last thing that is done with an entry
        if self.sums and any(view.slot in self.sums for view in (*link.ins, out)):
            return False  # a sum is not known before the row is through
        met = [(view, other) for view in link.ins for other in self.written.get(view.slot, ()) if other is not view]
        met += [(out, other) for other in self.touched.get(out.slot, ()) if other is not out]
        return not met or all(_lie_apart(*pair) for pair in met)

    def meets(self, link: Link) -> bool:
        """Whether a link reads what others write, or writes what they touch: else it can as well come before them."""
        return link.out.slot in self.touched or any(view.slot in self.written for view in link.ins)

    def add(self, link: Link, step: Hashable) -> None:
        self.links.append(link)
        self.step = self.step or step
        self.written.setdefault(link.out.slot, []).append(link.out)
        if link.form.tables:
            self.tables.update(link.tables)
        if link.form.sums:
            self.sums.add(link.out.slot)
        for view in (*link.ins, link.out):
            touched = self.touched.setdefault(view.slot, [])
            if view not in touched:
                touched.append(view)


def _lie_apart(a: View, b: View) -> bool:
    return any(_apart(x, y) for x, y in zip(a.ref.index, b.ref.index, strict=True))


def _apart(a: Entry, b: Entry) -> bool:
    """Whether two indices of one dimension never meet."""
    if isinstance(a, Turn) and isinstance(b, Turn):
        return a.loop == b.loop and a.offset != b.offset
    if isinstance(a, Ring) and isinstance(b, Ring):
        return a.loop == b.loop and (a.offset - b.offset) % 2 == 1
    if isinstance(a, slice) and isinstance(b, slice) and None not in (a.start, a.stop, b.start, b.stop):
        return bool(a.stop <= b.start or b.stop <= a.start) if min(a.start, b.start) >= 0 else False
    return isinstance(a, int) and isinstance(b, int) and a >= 0 and b >= 0 and a != b


PLACED = {*CHOOSING, "uniform"}
"""Operations for which the place of an entry matters."""


class Chains:
    """The chains of one program. `readers` tells how often each slot is read."""

    def __init__(self, views: Views, readers: Mapping[int, int], target: Target) -> None:
        self.views, self.readers, self.target, self.dtype = views, readers, target, target.dtype
        self.forms: dict[Hashable, Form | None] = {}
        self.made: dict[Hashable, Made | None] = {}

    def link(self, step: Step) -> Link | None:
        """The step as a link; None where it is none."""
        op = step.node.op
        sums = op.name == "sum" and self.target.sums_in_chains
        if op.kind != "pointwise" and op.name != "reshape" and op.name not in PLACED and not sums:
            return None
        ins, out = tuple([self.views.of(ref) for ref in step.ins]), self.views.of(step.outs[0])
        key = step.node.attrs["key"] if op.name == "uniform" else ""
        pattern = (op.name, key, out.layout, *[view.layout for view in ins])
        if pattern not in self.forms:
            self.forms[pattern] = _form(op.name, key, out.layout, [view.layout for view in ins], self.target)
        form = self.forms[pattern]
        return None if form is None else Link(step, form, ins, out)

    def group(self, links: Sequence[Link]) -> Group | None:
        """The links as one kernel; None where entries do not lie in a usable order."""
        views = [view for link in links for view in (*link.ins, link.out)]
        names, slots = dict[View, int](), dict[int, int]()
        wiring = tuple([names.setdefault(view, len(names)) for view in views])
        reads = tuple([(slots.setdefault(view.slot, len(slots)), self.readers[view.slot]) for view in names])
        pattern = (tuple([link.form for link in links]), wiring, reads)
        if pattern not in self.made:
            self.made[pattern] = self.chain(links, self.stored(links))
        made = self.made[pattern]
        if made is None:
            return None
        loads, stores = ([views[i].ref for i in chosen] for chosen in (made.loads, made.stores))
        return Group(tuple([link.step for link in links]), tuple(loads), tuple(stores), made.kernel)

    def stored(self, links: Sequence[Link]) -> list[bool]:
        """For each link whether its value must reach memory: unless only later links read that very view."""
        here = Counter(view.slot for link in links for view in link.ins)
        last, passed_on = {link.out: i for i, link in enumerate(links)}, _passed_on(links)
        return [
            last[out] == i and not (here[out.slot] == self.readers[out.slot] and out.slot in passed_on)
            for i, (*_, out) in enumerate(links)
        ]

    def chain(self, links: Sequence[Link], stored: Sequence[bool]) -> Made | None:
        loads: dict[tuple[View, Operand], tuple[int, int]] = {}
        made: dict[View, int] = {}
        stores: dict[View, tuple[int, int, Operand]] = {}
        sources: list[list[tuple[str, int]]] = []
        at = 0
        for i, (link, keep) in enumerate(zip(links, stored, strict=True)):
            sources.append([])
            for view, operand in zip(link.ins, link.form.ins, strict=True):
                load = None if view in made else loads.setdefault((view, operand), (len(loads), at))
                sources[i].append(("load", load[0]) if load else ("made", made[view]))
                at += 1
            made[link.out] = i
            if keep:
                stores[link.out] = (i, at, link.form.out)
            at += 1
        operations = tuple(
            Operation(
                form.op,
                tuple(n if where == "load" else len(loads) + n for where, n in ins),
                form.types,
                form.out.dtype,
                form.at,
            )
            for (_, form, *_), ins in zip(links, sources, strict=True)
        )
        operands = [*(operand for _, operand in loads), *(operand for *_, operand in stores.values())]
        placed = any(link.form.op == "one_hot" for link in links)
        dims, flattened = _collapsed(links[0].form.shape, operands, placed)
        if any(o.strides[-1] not in (0, 1) for o in flattened) or (len(dims) > 1 and any(o.summed for o in flattened)):
            return None
        kept = tuple((len(loads) + i, o) for (i, *_), o in zip(stores.values(), flattened[len(loads) :], strict=True))
        chain = Chain(dims, tuple(flattened[: len(loads)]), operations, kept, self.dtype)
        kernel = Elementwise(links[0].form.axes, chain)
        return Made(kernel, tuple(at for _, at in loads.values()), tuple(at for _, at, _ in stores.values()))


def _passed_on(links: Sequence[Link]) -> set[int]:
    """The slots that links write by one view, and read, if at all, by that very view and behind."""
    made, others = dict[int, View](), set[int]()
    for link in links:
        others.update(view.slot for view in link.ins if made.get(view.slot) is not view)
        if made.setdefault(link.out.slot, link.out) is not link.out:
            others.add(link.out.slot)
    return made.keys() - others


def _form(op: str, key: str, out: Layout | None, found: Sequence[Layout | None], target: Target) -> Form | None:
    """None where no kernel knows the op, or its operands do not lie in the rows and the shape of its result."""
    laid = [one for one in found if one is not None]
    if op == "sum":
        return _row_sum(laid[0], out, target) if laid and out is not None else None
    if out is None or len(laid) < len(found) or not target.elementwise(op, tuple(o.dtype for o in laid), out.dtype):
        return None
    axes, shape = out.axes, out.sizes
    if op == "reshape":
        if not laid[0].dense or laid[0].axes != axes:
            return None
        laid = [Layout(axes, laid[0].row, shape, dense(shape), laid[0].dtype)]
    at: Lookup | Noise | None = None
    if op == "entries" and laid[1].sizes[-1] == 1:
        return None  # neighbouring entries would have tables of their own
    if op in CHOOSING:
        at, laid = _lookup(op, out, laid)
    if op == "uniform":
        if axes and (len(axes) > 2 or axes[-1] != BATCH):
            return None
        at = Noise(number_of(key), prod(shape), len(axes) == 2)
    ins = [_operand(one, axes, shape) for one in laid]
    tables = [0] if op in LOOKUPS else []
    ins = [replace(one, table=True) if one and i in tables else one for i, one in enumerate(ins)]
    known = [one for one in ins if one is not None]
    result = _operand(out, axes, shape)
    if len(known) < len(ins) or result is None:
        return None
    return Form(axes, shape, tuple(known), result, op, tuple(one.dtype for one in laid), at, tuple(tables))


def _row_sum(x: Layout, out: Layout, target: Target) -> Form | None:
    """The sum of all entries of each row, of which there are several: one entry is no row of its own to a chain."""
    same = x.axes == out.axes and {x.dtype, out.dtype} == {target.dtype}
    if out.sizes or prod(x.sizes) == 1 or not (same and x.axes and x.dense):
        return None
    entry = Operand(x.dtype, "each", x.row, x.strides)
    total = Operand(out.dtype, "each", out.row, (0,) * len(x.sizes), summed=True)
    return Form(x.axes, x.sizes, (entry,), total, "identity", (x.dtype,))


def _lookup(op: str, out: Layout, laid: list[Layout]) -> tuple[Lookup, list[Layout]]:
    """How the last operand chooses; and the operands as they lie beside each entry of the result."""
    ids = laid[-1]
    if op in ("place", "one_hot"):
        alone = replace(ids, sizes=(*ids.sizes, 1), strides=(*ids.strides, 0))
        return Lookup(out.sizes[-1]), [*laid[:-1], alone]
    table = laid[0]
    if op == "entries":
        at = replace(table, sizes=(*table.sizes[:-1], 1), strides=(*table.strides[:-1], 0))
        return Lookup(table.sizes[-1], table.strides[-1]), [at, ids]
    entry = table.sizes[1:]
    ones = [1] * len(ids.sizes)
    found = replace(table, sizes=(*ones, *entry), strides=(*(0 for _ in ones), *table.strides[1:]))
    beside = replace(ids, sizes=(*ids.sizes, *(1 for _ in entry)), strides=(*ids.strides, *(0 for _ in entry)))
    return Lookup(table.sizes[0], table.strides[0], prod(entry) > 1), [found, beside]


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


def _collapsed(
    shape: tuple[int, ...], operands: Sequence[Operand], placed: bool
) -> tuple[tuple[int, ...], list[Operand]]:
    """Dimensions that lie in one run for all operands made one; those of size 1 left out, but the last where `placed`:
    where the place of an entry in it matters, which would be that in the dimension before."""
    dims: list[int] = []
    columns: list[tuple[int, ...]] = []
    for i, (size, *strides) in enumerate(zip(shape, *(o.strides for o in operands), strict=True)):
        if size == 1 and not (placed and dims and i == len(shape) - 1):
            continue
        if dims and all(before == s * size for before, s in zip(columns[-1], strides, strict=True)):
            dims[-1] *= size
            columns[-1] = tuple(strides)
        else:
            dims.append(size)
            columns.append(tuple(strides))
    if not dims:
        dims, columns = [1], [tuple(0 if o.rows == "none" or o.table else 1 for o in operands)]
    moved = [replace(o, strides=tuple(c[i] for c in columns)) for i, o in enumerate(operands)]
    return tuple(dims), moved
