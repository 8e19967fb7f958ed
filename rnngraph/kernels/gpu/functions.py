"""The function of each kernel of a program, and how a group calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from msgspec import Struct, field

from rnngraph.ir.types import BATCH
from rnngraph.kernels.gpu import chains, nests
from rnngraph.kernels.gpu.products import Products
from rnngraph.kernels.gpu.views import Views
from rnngraph.kernels.kernel import AlongRow, ColumnSums, Ctc, Elementwise, Kernel, Order, Product, Scatter, Sums
from rnngraph.kernels.nests import Nest
from rnngraph.planning.program import Group, Slot

HOW = {
    "sum": "Sum", "max_over": "Largest", "argmax": "Argmax", "softmax": "Softmax<false>",
    "log_softmax": "Softmax<true>",
}  # fmt: skip
KERNELS = Elementwise | Product | AlongRow | Nest | Sums | ColumnSums | Scatter | Ctc
"""What there is a function for."""
SHARED = Elementwise | Product | AlongRow | Nest
"""What works on a share of rows and units."""


class Tiles(Struct, frozen=True):
    """How a product is cut up: rows of a thread, rows that are staged at a time, terms of a part; whether its matrix is
    kept near, and at which entry of near memory; `room` is where staging begins. `there`: rows are near already, and
    none are staged."""

    rows: int
    staged: int
    chunk: int
    kept: int | None = None
    room: int = 0
    there: bool = False


class Functions(Struct):
    """The functions that a module needs, each written once."""

    views: Views
    products: Products
    known: dict[tuple[object, ...], str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def call(
        self, group: Group, units: int, pointers: Sequence[str], mask: str, tiles: Tiles | None = None,
        sent: Mapping[int, str] = {},  # nothing is put in
    ) -> str:  # fmt: skip
        """The statement that does a group; `pointers` are those of its operands, then of its results; `sent` where
        results, by number, lie in the near memory of each block of the cluster."""
        kernel, masked = group.kernel, masked_by(group, mask)
        if isinstance(kernel, Elementwise):
            key = kernel.chain, units, tuple(sent)
            name = self.function(key, lambda name: chains.write(kernel.chain, name, units, tuple(sent)))
            return f"{name}({', '.join(['s', *pointers, *sent.values(), masked])});"
        if isinstance(kernel, Nest):
            return self.nest(group, kernel, pointers)
        if isinstance(kernel, Product):
            assert tiles is not None
            return self.product(kernel, units, pointers, masked, tiles, sent.get(0))
        if isinstance(kernel, AlongRow):
            x, y = pointers
            how = f"{HOW[kernel.op]}, {kernel.size}, {kernel.lines}, {kernel.of_line}"
            return f"along_rows<{how}>(s, {x}, {kernel.row}, {y}, {kernel.result}, {masked});"
        if isinstance(kernel, ColumnSums):
            return f"column_sums<{kernel.width}>(block, {self.columns(kernel, pointers, masked)});"
        if isinstance(kernel, Scatter):
            return self.scatter(kernel, pointers, masked)
        if isinstance(kernel, Ctc):
            return self.ctc(kernel, pointers)
        return self.sums(kernel, pointers, masked)

    def product(
        self, kernel: Product, units: int, pointers: Sequence[str], masked: str, tiles: Tiles, sent: str | None
    ) -> str:
        x, w, *plus, y = pointers
        kind, gates = self.views.kind_of_floats, kernel.width // units
        flags = ", ".join(map(_said, (tiles.kept is not None, bool(plus), sent is not None, tiles.there)))
        sizes = f"{kernel.terms}, {units}, {gates}, {tiles.rows}, {tiles.staged}, {tiles.chunk}, {flags}"
        kept = f"(near + {tiles.kept})" if tiles.kept is not None else f"({kind}*)0"
        beside = f"{plus[0]}, {kernel.ldd}" if plus else f"(const {kind}*)0, 0"
        return (
            f"{self.products.product(sizes)}(s, {x}, {kernel.lda}, {w}, {kernel.term}, {kernel.column}, {beside}, {y}, "
            f"{kernel.ldc}, {sent or f'({kind}*)0'}, {kept}, near + {tiles.room}, {masked});"
        )

    def brought_near(self, kernel: Product, units: int, matrix: str, place: int) -> str:
        """The statement that brings the block's columns of a matrix near."""
        staging = self.products.staging(kernel.terms, units, kernel.width // units)
        return f"{staging}(own, {matrix}, {kernel.term}, {kernel.column}, 0, near + {place});"

    def own_columns(self, group: Group, units: int, pointers: Sequence[str], mask: str) -> str:
        """The statement for a sum over rows in a loop, whose columns belong to the parts."""
        arguments = self.columns(group.kernel, pointers, masked_by(group, mask))
        return f"own_column_sums<{units}, {group.kernel.width // units}>(s, {arguments});"

    def columns(self, kernel: ColumnSums, pointers: Sequence[str], masked: str) -> str:
        x, y = pointers
        units = self.units(kernel.order, kernel.axes)
        return f"{units}, {x}, {kernel.row}, {y}, {_said(kernel.order.onto)}, {masked}"

    def sums(self, kernel: Sums, pointers: Sequence[str], masked: str) -> str:
        """One factor after another: blocks are numbered through all of them."""
        units, onto = self.units(kernel.order, kernel.axes), _said(kernel.order.onto)
        d, *rest = pointers
        lines, first = [], 0
        for i, factor in enumerate(kernel.factors):
            x, z = rest[i], rest[len(kernel.factors) + i]
            blocks = tiles_of(factor.height, kernel.width)
            sums = self.products.sums(f"{factor.height}, {kernel.width}")
            arrays = f"{d}, {kernel.ldd}, {x}, {factor.lda}, {z}, {factor.ldc}"
            lines.append(
                f"if (block >= {first} && block < {first + blocks}) {sums}"
                f"(block - {first}, {units}, {arrays}, {onto}, {masked});"
            )
            first += blocks
        if kernel.summed:
            lines.append(
                f"if (block >= {first}) column_sums<{kernel.width}>(block - {first}, {units}, {d}, {kernel.ldd}, "
                f"{rest[-1]}, {onto}, {masked});"
            )
        return "\n  ".join(lines)

    def scatter(self, kernel: Scatter, pointers: Sequence[str], masked: str) -> str:
        x, ids, table = pointers
        units, told = self.units(kernel.order, kernel.axes), f"{table}, {kernel.entries}, {_said(kernel.order.onto)}"
        chosen = f"{ids}, {kernel.ids}, {kernel.each}"
        return f"scatter<{kernel.width}>({units}, {x}, {kernel.row}, {chosen}, {told}, {masked});"

    def ctc(self, kernel: Ctc, pointers: Sequence[str]) -> str:
        scores, given, steps, counts, out = pointers[:5]
        scratch = dict(zip(kernel.scratch, pointers[5:], strict=True))
        flags = ", ".join(map(_said, (kernel.gradient, kernel.merge, kernel.ignore, kernel.zero)))
        sizes = [self.views.names[name] for name in (kernel.axis, *kernel.axes, kernel.over)]
        steps, counts = (f"{n}[{'block' * own or 0}]" for n, own in zip((steps, counts), kernel.each, strict=True))
        doubles = [f"(double*){scratch[name]}" for name in ("logs", "label", "blank")]
        kept = [f"(double*){scratch.get(name, '0')}" for name in ("all_label", "all_blank", "all_start")]
        told = ", ".join([*sizes, "block", f"least({steps}, {sizes[0]})", scores, out, *doubles, scratch["ids"], *kept])
        kind = f"Ctc<{flags}, {kernel.classes}, {kernel.blank}, {self.views.kind_of_floats}>"
        return f"{kind} row{{{told}}};\n  row.run({given}, {counts}, {kernel.row}, {steps});"

    def units(self, order: Order, axes: Sequence[str]) -> str:
        """The rows of a sum, those of a unit, and whether the last unit comes first."""
        rows = self.views.size(axes)
        each = self.views.size(axes[1:]) if BATCH in axes else "1"
        together = (f"steps_of_unit * {each}" if BATCH in axes else each) if order.units else rows
        return f"Units{{{rows}, {together}, {_said(order.back)}}}"

    def nest(self, group: Group, kernel: Nest, pointers: Sequence[str]) -> str:
        name = self.function((kernel,), lambda name: nests.write(kernel, name))
        slots = [self.views.slots[ref.slot] for ref in (*group.ins, *group.outs)]
        turns = [self.views.names[axis] for axis in kernel.loops] or ["1"]
        far = [self.far(slot, strand.places) for slot, strand in zip(slots, kernel.strands, strict=True)]
        steps, apart = "0", "0"
        if kernel.move is not None:
            steps = self.views.names[kernel.move.axis]
            apart = "0" if kernel.move.place is None else self.views.strides(slots[0])[kernel.move.place]
        unit = "steps_of_unit" if kernel.units else "Int(1) << 62"
        words = f"{name}_words{{{{{', '.join(turns)}}}, {unit}, {steps}, {{{', '.join(far)}}}, {apart}}}"
        return f"{name}({', '.join(['s', *pointers, words])});"

    def far(self, slot: Slot, places: Sequence[int | None]) -> str:
        strides = self.views.strides(slot)
        return f"{{{', '.join('0' if place is None else strides[place] for place in places)}}}"

    def function(self, key: tuple[object, ...], write: Callable[[str], str]) -> str:
        """The name of a function, which is written by it when it is first asked for."""
        if key not in self.known:
            name = self.known[key] = f"f{len(self.known)}"
            self.texts[name] = write(name)
        return self.known[key]


def masked_by(group: Group, mask: str) -> str:
    """The arguments that say for which rows a group is."""
    return f"{mask}, {_said(group.part != 'past')}"


def _said(flag: bool) -> str:
    return "true" if flag else "false"


def blocks_of(kernel: Sums | ColumnSums) -> int:
    """Blocks that a sum over rows is cut into."""
    columns = -(-kernel.width // 32)
    if isinstance(kernel, ColumnSums):
        return columns
    return sum(tiles_of(f.height, kernel.width) for f in kernel.factors) + (columns if kernel.summed else 0)


def tiles_of(height: int, width: int) -> int:
    """Blocks that make a sum over rows of so many results."""
    return -(-height // 64) * -(-width // 64)


def supported(kernel: Kernel, in_loop: bool) -> bool:
    """Whether there is a function for a kernel; in a loop it is called by teams, which share out rows and units."""
    if isinstance(kernel, Scatter):
        return not in_loop
    if isinstance(kernel, Ctc):
        return not in_loop and kernel.known  # CuPy's looks at the labels, and tells which one is no class
    return isinstance(kernel, KERNELS) and not (isinstance(kernel, Nest) and kernel.how == "any")


def entries_of(kernel: SHARED) -> int:
    """Entries that a row of the result has."""
    if isinstance(kernel, Elementwise):
        return prod(kernel.chain.dims)
    return kernel.width if isinstance(kernel, Product) else 1
