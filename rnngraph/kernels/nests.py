"""Steps as nests of loops: arrays that lie in any regular way, entry by entry, summed over some axes or dimensions.

What needs a kernel of its own for its speed has one (`kernel_selection`, `chain_building`); a nest takes the rest of
what is elementwise, a sum, a largest entry or a product of two arrays, so that a loop of a step is not driven from
Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH, Dtypes, union
from rnngraph.kernels.affine_accesses import RULES, Gap, gaps, moved
from rnngraph.kernels.chain import Lookup, Operation
from rnngraph.kernels.kernel import Sizes
from rnngraph.kernels.layouts import dense
from rnngraph.kernels.target import Target
from rnngraph.ops.summation_order import descending, leading, unit
from rnngraph.planning.program import Ref, Slot, Step


class Strand(Struct, frozen=True):
    """An array of a nest: its type of number, which of its own axes each loop over an axis moves along (by their place
    in memory; None where it does not move), its strides in entries along the dimensions, and how far its entry at the
    first place of all lies behind the start of its view."""

    dtype: str
    places: tuple[int | None, ...]
    strides: tuple[int, ...]
    first: int = 0


class Move(Struct, frozen=True):
    """Which step of its operand a step of the result is: `kind` is the op, `by` its number, `axis` that of the steps
    that are counted, `loop` that over the result's, `place` the operand's axis in memory; None: there is one step."""

    kind: str
    by: int
    axis: str
    loop: int | None
    place: int | None


class Walk(Struct, frozen=True):
    """What is done along lines, one entry after another: `kind` is the op; for each array how far the entries of a line
    lie apart and how many there are, 0 where they are the steps of the last loop; whether it goes `back`, or falls; how
    many of the arrays are operands."""

    kind: str
    apart: tuple[int, ...]
    counts: tuple[int, ...]
    back: bool
    ins: int


class Nest(Struct, frozen=True):
    """Loops over axes, the batch first where the result has it, and over dimensions; the last `summed` axes and
    `inner` dimensions are reduced by `how`. Addresses: operands, result.

    `lanes` says what a vector holds: entries of the last dimension of the "result", of the last "inner" one, rows of
    the "batch", or "one" entry alone.
    """

    axes: tuple[str, ...]
    loops: tuple[str, ...]
    summed: int
    dims: tuple[int, ...]
    inner: int
    strands: tuple[Strand, ...]
    operation: Operation
    how: str
    lanes: str
    units: bool
    back: bool
    onto: bool
    move: Move | None = None
    gaps: tuple[Gap, ...] = ()
    """Where the first operand has no entry: there stands `fill`, or there is no term."""
    fill: float = 0.0
    what: str = ""
    """The op, if it only moves entries."""
    walk: Walk | None = None

    @property
    def title(self) -> str:
        if self.walk is not None:
            lines = " by ".join((*self.axes, *self.loops[: len(self.loops) - self.summed], *map(str, self.dims)))
            along = self.walk.counts[0] or self.loops[-1]
            return f"{self.walk.kind} along {along}" + (f", of each of {lines}" if lines else "")
        kept, results = len(self.loops) - self.summed, len(self.dims) - self.inner
        over = " by ".join((*self.axes, *self.loops[:kept], *map(str, self.dims[:results]))) or "one number"
        gone = " by ".join((*self.loops[kept:], *map(str, self.dims[results:])))
        what = f"{self.what}: " if self.what else ""
        return f"{what}nest over {over}" + (f", {self.how} over {gone}" if gone else "")

    def work(self, sizes: Sizes) -> float:
        along = 20 * max(1, self.walk.counts[0]) if self.walk else 1  # one number at a time
        return 4.0 * prod(sizes[axis] for axis in (*self.axes, *self.loops)) * prod(self.dims) * along

    def words(self, sizes: Sizes, strides: Sequence[Sequence[int]]) -> list[int]:
        """What follows the addresses: turns of the loops and of a unit, steps of what is moved; then for each array how
        far, in bytes, rows of the batch and turns of each loop lie apart; and steps of what is moved."""
        together = unit(sizes[BATCH]) if BATCH in sizes else 1
        turns, steps = [sizes[axis] for axis in self.loops], sizes[self.move.axis] if self.move else 0
        return [*turns, together if self.units else 2**62, steps, *(n for own in strides for n in own)]


class Laid(Struct, frozen=True):
    """A view: the places of its axes in memory, by name, and its dimensions, with theirs."""

    dtype: str
    places: Mapping[str, int]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dims: tuple[int, ...]
    single: bool
    """Whether there is one number for each place on the axes."""

    def led_by(self, axis: str) -> Laid:
        """The first dimension as an axis."""
        places = {**self.places, axis: self.dims[0]}
        return replace(self, places=places, sizes=self.sizes[1:], strides=self.strides[1:], dims=self.dims[1:])


class _Shape(Struct, frozen=True):
    """How a step is reduced; the dimensions of its nest, the last `inner` of which are; for each array where its first
    entry lies, and its strides along them; where there is nothing to read, and what stands there."""

    how: str
    dims: tuple[int, ...]
    inner: int
    along: tuple[tuple[int, tuple[int, ...]], ...]
    gaps: tuple[Gap, ...] = ()
    fill: float = 0.0


def nest(step: Step, slots: Sequence[Slot], target: Target) -> Nest | None:
    """The nest that does a step; None where it is of another kind."""
    node, dtypes = step.node, Dtypes(target.dtype)
    *ins, out = [laid_out(ref, slots[ref.slot], dtypes) for ref in (*step.ins, step.outs[0])]
    operation = _operation(node, [one.dtype for one in ins], out.dtype, target)
    if operation is None or len(out.places) != len(node.types[0].axes):
        return None
    if node.op.name == "rows":
        ins = [ins[0].led_by(node.attrs["axis"])]
    if node.op.name == "steps":
        out = out.led_by(node.attrs["axis"])
    shape = _read(node, ins[0], out) if node.op.name in RULES else _shape(node, ins, out)
    if shape is None:
        return None
    axes = union([v.type for v in node.inputs]) if shape.how else node.types[0].axes
    summed = tuple(axis for axis in axes if axis not in out.places)
    loops = (*(axis for axis in out.places if axis != BATCH), *summed)
    shared = (BATCH,) if BATCH in out.places else ()
    strands = tuple(
        Strand(one.dtype, tuple(one.places.get(axis) for axis in (BATCH if shared else "", *loops)), strides, first)
        for one, (first, strides) in zip((*ins, out), shape.along, strict=True)
    )
    move, rows = None, bool(shared) and all(one.single for one in (*ins, out))
    if node.op.name in MOVES:
        move, strands = _moved(node, loops, strands, ins[0])
    in_units = "units" in node.attrs and leading(tuple(v.type for v in node.inputs)) in summed
    lanes = _lanes(shape, strands, rows and move is None, out.dtype)
    what = node.op.name if move or node.op.name in (*RULES, "rows", "steps") else ""
    return Nest(
        shared, loops, len(summed), shape.dims, shape.inner, strands, operation, shape.how, lanes,
        in_units, descending(node), bool(node.attrs.get("onto")), move, shape.gaps, shape.fill, what,
    )  # fmt: skip


def _shape(node: Node, ins: Sequence[Laid], out: Laid) -> _Shape | None:
    """Of an op whose operands have the dimensions of its result, of some of them, or what is reduced beside these."""
    letters = _letters(node, ins, out)
    if letters is None:
        return None
    how, operands, result, order = letters
    laid = (*ins, out)
    sizes = _sizes(laid, (*operands, result))
    names = [x for x in (*result, *(letter for letter in order if letter not in result)) if sizes.get(x, 1) != 1]
    inner = sum(name not in result for name in names)
    along = [
        (0, tuple(_stride(one, own, letter) for letter in names))
        for one, own in zip(laid, (*operands, result), strict=True)
    ]
    return _Shape(how, tuple(sizes[name] for name in names), inner, tuple(along))


def _read(node: Node, source: Laid, out: Laid) -> _Shape | None:
    """Of an op that only moves entries."""
    if node.op.name == "reshape":
        if out.strides != dense(out.sizes):
            return None
        out = replace(out, sizes=source.sizes, strides=dense(source.sizes))
    reading = RULES[node.op.name](node, source.sizes, out.sizes)
    if reading.fill and not out.dtype.startswith("float"):
        return None
    named = list(reading.sizes)
    names = [name for name in named if reading.sizes[name] != 1]
    inner = sum(name in names for name in named[len(named) - reading.inner :])
    return _Shape(
        "sum" if reading.inner else "", tuple(reading.sizes[name] for name in names), inner,
        (moved(reading.operand, source.strides, names), moved(reading.result, out.strides, names)),
        gaps(reading.operand, source.strides, source.sizes, reading.sizes, names), reading.fill,
    )  # fmt: skip


MOVES = (
    "shift", "reverse", "reverse_within", "last", "last_within", "place_last", "place_last_within", "every",
    "place_every",
)  # fmt: skip
"""Ops whose result has the operand's entries at other steps, and zeros where there are none."""


def _moved(
    node: Node, loops: tuple[str, ...], strands: tuple[Strand, ...], source: Laid
) -> tuple[Move, tuple[Strand, ...]]:
    """How the operand moves along its steps; the strands, where the operand does not move with the loop over them."""
    kind, axis, by = node.op.name, node.attrs["axis"], node.attrs.get("by", 0)
    short = f"{axis}/{by}"
    to, own = (short, axis) if kind == "every" else (axis, short) if kind == "place_every" else (axis, axis)
    loop = loops.index(to) if to in loops else None
    first, *rest = strands
    at = None if loop is None else loop + 1  # the batch comes first
    first = replace(first, places=tuple(None if i == at else p for i, p in enumerate(first.places)))
    steps = own if kind not in ("place_last", "place_last_within") else to
    return Move(kind, by, steps, loop, source.places.get(own)), (first, *rest)


def _sizes(laid: Sequence[Laid], letters: Sequence[Sequence[str]]) -> dict[str, int]:
    """The size of each dimension; 1 spreads to any other."""
    sizes = dict[str, int]()
    for one, own in zip(laid, letters, strict=True):
        for letter, size in zip(own, one.sizes, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return sizes


def _stride(one: Laid, own: Sequence[str], letter: str) -> int:
    if letter not in own:
        return 0
    at = list(own).index(letter)
    return one.strides[at] if one.sizes[at] != 1 else 0


def _lanes(shape: _Shape, strands: Sequence[Strand], rows: bool, dtype: str) -> str:
    """Entries of the result where all arrays have them side by side; then what is summed; then entries of the result
    that the operands have elsewhere, unless there is more to tell of the place of each than where it lies."""
    *operands, result = strands
    dims, last = shape.dims, len(shape.dims) - shape.inner - 1
    side_by_side = last >= 0 and dims[last] > 1 and result.strides[last] == 1
    divided = side_by_side and any(gap.each[last] for gap in shape.gaps if gap.by > 1)
    if side_by_side and not divided and all(s.strides[last] in (0, 1) for s in operands):
        return "result"
    summed = bool(shape.inner) and dims[-1] > 1 and dtype.startswith("float") and not shape.gaps
    if summed and all(s.strides[-1] in (0, 1) for s in operands):
        return "inner"
    if side_by_side and not divided:
        return "result"
    return "batch" if rows and not dims else "one"


def lanes_of_lines(dims: Sequence[int], strands: Sequence[Strand], rows: bool) -> str:
    """What a vector holds where several lines are walked at once."""
    if dims and dims[-1] > 1 and strands[-1].strides[-1] == 1:
        return "result"
    return "batch" if rows else "one"


LARGEST = ("max_axes", "max_over", "first_max")
REDUCTIONS = ("contract", "sum_axes", "sum", "unpatch", *LARGEST)


def _operation(node: Node, types: Sequence[str], result: str, target: Target) -> Operation | None:
    """What is done with each entry of the operands."""
    name, reduces = node.op.name, node.op.name in REDUCTIONS
    if reduces:
        name = "mul" if name == "contract" else "identity"
    elif name in ("transpose", "rows", "steps", *RULES, *MOVES):
        name, types = "identity", types[:1]
    elif node.op.kind != "pointwise" and name != "outside":
        return None
    kinds = {*types, result}
    if node.op.name == "outside":
        return Operation("outside", tuple(range(len(types))), tuple(types), result, Lookup(node.attrs["size"]))
    numbers = kinds in ({target.dtype}, {"int64"}) or (kinds == {"bool"} and node.op.name in LARGEST)
    fits = numbers if reduces else target.elementwise(name, tuple(types), result)
    return Operation(name, tuple(range(len(types))), tuple(types), result) if fits else None


Letters = tuple[str, list[list[str]], list[str], list[str]]


def _letters(node: Node, ins: Sequence[Laid], out: Laid) -> Letters | None:
    """How it is reduced; names for the dimensions of each operand and of the result; all names in order."""
    name, attrs = node.op.name, node.attrs
    if name == "contract":
        left, right, result = list(attrs["left"]), list(attrs["right"]), list(attrs["out"])
        return "sum", [left, right], result, [*left, *(x for x in right if x not in left)]
    own = [str(i) for i in range(max(len(one.sizes) for one in (*ins, out)))]
    more = "any" if out.dtype == "bool" else "max"
    if name == "outside":
        return more, [own, *([] for _ in ins[1:])], [], own
    if name in ("sum_axes", "max_axes"):
        return "sum" if name == "sum_axes" else more, [own], own, own
    if name in ("sum", "max_over", "first_max"):
        dims = attrs["dims"] if name == "sum" else (attrs.get("dim", -1),)
        gone = {d % len(own) for d in dims}
        kept = [("-" if i in gone else letter) for i, letter in enumerate(own)]
        result = kept if attrs.get("keep", False) else [letter for letter in kept if letter != "-"]
        named = [f"{letter}{i}" if letter == "-" else letter for i, letter in enumerate(result)]
        return "sum" if name == "sum" else more, [own], named, own
    if name == "transpose":
        return "", [own], [own[i] for i in attrs["perm"]], own
    return "", [own[len(own) - len(one.sizes) :] for one in ins], own, own


def laid_out(ref: Ref, slot: Slot, dtypes: Dtypes) -> Laid:
    entries = ref.index[slot.ring :]
    names, shape = slot.type.axes, slot.type.shape
    places = {name: slot.ring + i for i, name in enumerate(names) if isinstance(entries[i], slice)}
    first = slot.ring + len(names)
    dims = [
        (len(range(size)[entry]), stride, first + i)
        for i, (size, stride, entry) in enumerate(zip(shape, dense(shape), entries[len(names) :], strict=True))
        if isinstance(entry, slice)
    ]
    sizes, strides, at = zip(*dims, strict=True) if dims else ((), (), ())
    return Laid(dtypes.of(slot.type.dtype), places, sizes, strides, at, prod(shape) == 1)
