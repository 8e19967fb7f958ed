"""How ONNX says what chooses by integers, what looks along time, and what an unrolled loop is made of."""

from __future__ import annotations

from rnngraph.exchange.export.onnx.rules import FAR, backwards, cut, padded
from rnngraph.exchange.export.onnx.scope import Rule, Scope
from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH, Type, union

# --- integers that choose -------------------------------------------------------------------------------------------


def _inside(s: Scope, node: Node, ids: str, *live: str) -> str:
    """Looked up in 0, 1, 2 ...: what is too large ends the run, and what is negative is made so."""
    type, size, zero = node.inputs[0].type, s.number(node.attrs["size"], "int"), s.number(0, "int")
    for one in live:
        ids = str(s.emit("Where", _for_any(s, one, node.inputs[1].type, type), ids, zero))
    places = s.emit("Where", s.emit("Less", ids, zero), size, ids)
    return str(s.emit("Gather", s.ints(*range(node.attrs["size"])), places, axis=0))


def _for_any(s: Scope, live: str, own: Type, type: Type) -> str:
    """Whether a row is live; of integers that all rows share, whether any is."""
    gone = [i for i, axis in enumerate(own.axes) if axis not in type.axes]
    if gone:
        most = s.emit("ReduceMax", s.emit("Cast", live, to=s.whole.element("int")), s.ints(*gone), keepdims=0)
        live = str(s.emit("Cast", most, to=s.whole.element("bool")))
    kept = Type(tuple(axis for axis in own.axes if axis in type.axes), (), "bool")
    return s.aligned(live, kept, type.axes, len(type.shape))


def _take(s: Scope, node: Node, table: str, ids: str) -> str:
    return str(s.emit("Gather", table, ids, axis=0))


def _pick(s: Scope, node: Node, values: str, ids: str) -> str:
    x, i = (v.type for v in node.inputs)
    axes = union((x, i))
    wide = s.expanded(values, x, Type(axes, x.shape, x.dtype))
    chosen = s.unsqueeze(s.expanded(ids, i, Type(axes, (), "int")), [len(axes)])
    return str(s.emit("Squeeze", s.emit("GatherElements", wide, chosen, axis=-1), s.ints(-1)))


def _here(s: Scope, ids: str, type: Type, axes: tuple[str, ...], size: int) -> str:
    """Truth values, one more dimension: whether an entry is the one that the id names."""
    lined = s.unsqueeze(s.aligned(ids, type, axes, len(type.shape)), [-1])
    return str(s.emit("Equal", lined, s.ints(*range(size))))


def _one_hot(s: Scope, node: Node, ids: str) -> str:
    type = node.inputs[0].type
    return str(s.emit("Cast", _here(s, ids, type, type.axes, node.attrs["depth"]), to=s.whole.element("float")))


def _place(s: Scope, node: Node, dy: str, ids: str) -> str:
    d, i = (v.type for v in node.inputs)
    axes, size = union((d, i)), node.attrs["size"]
    here = _here(s, ids, i, axes, size)
    value = s.unsqueeze(s.aligned(dy, d, axes, 0), [-1])
    return str(s.emit("Where", here, value, s.number(0, d.dtype)))


def _scatter_rows(s: Scope, node: Node, dy: str, ids: str) -> str:
    """The sum of the rows that each id names, as a product with ones and zeros."""
    d, i = (v.type for v in node.inputs)
    axes, rows, width = union((d, i)), node.attrs["rows"], d.shape[node.attrs["rank"] :]
    wide = s.expanded(dy, d, Type(axes, d.shape, d.dtype))
    named = s.expanded(ids, i, Type(axes, i.shape, "int"))
    flat = s.emit("Equal", s.emit("Reshape", named, s.ints(-1, 1)), s.ints(*range(rows)))
    ones = s.emit("Cast", s.emit("Transpose", flat, perm=[1, 0]), to=s.whole.element(d.dtype))
    count = 1
    for size in width:
        count *= size
    total = s.emit("MatMul", ones, s.emit("Reshape", wide, s.ints(-1, count)))
    return str(s.emit("Reshape", total, s.ints(rows, *width)))


# --- along time -----------------------------------------------------------------------------------------------------


def _along(node: Node, index: int = 0) -> tuple[Type, int]:
    type = node.inputs[index].type
    return type, type.axes.index(node.attrs["axis"])


def _shift(s: Scope, node: Node, x: str) -> str:
    """Zeros on one side, then as many steps as before from that side (or behind them)."""
    (type, at), by = _along(node), node.attrs["by"]
    if by >= 0:
        return cut(s, padded(s, x, type, at, by, 0), at, s.ints(0), s.whole.sizes[node.attrs["axis"]])
    return cut(s, padded(s, x, type, at, 0, -by), at, s.ints(-by), s.ints(FAR))


def _reverse(s: Scope, node: Node, x: str) -> str:
    _, at = _along(node)
    return backwards(s, x, at)


def _rows_first(type: Type, axis: str) -> list[int]:
    """The order that has the batch first and the time second."""
    lead = [type.axes.index(BATCH), type.axes.index(axis)]
    return lead + [i for i in range(type.rank) if i not in lead]


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _reverse_within(s: Scope, node: Node, x: str, lengths: str) -> str:
    order = _rows_first(node.types[0], node.attrs["axis"])
    rows = s.emit("Transpose", x, perm=order)
    return str(
        s.emit("Transpose", s.emit("ReverseSequence", rows, lengths, batch_axis=0, time_axis=1), perm=_inverse(order))
    )


def _last(s: Scope, node: Node, x: str) -> str:
    """A row of zeros in front is the last one where there are no steps."""
    type, at = _along(node)
    return str(s.emit("Gather", padded(s, x, type, at, 1, 0), s.number(-1, "int"), axis=at))


def _last_within(s: Scope, node: Node, x: str, lengths: str) -> str:
    type, at = _along(node)
    order = _rows_first(type, node.attrs["axis"])
    rows = s.emit("Transpose", padded(s, x, type, at, 1, 0), perm=order)
    chosen = s.unsqueeze(s.emit("Max", lengths, s.number(0, "int")), [-1])
    found = s.emit("GatherND", rows, chosen, batch_dims=1)
    kept = [i for i in order if i != at]
    return str(s.emit("Transpose", found, perm=_inverse(kept))) if kept != sorted(kept) else str(found)


def _placed(s: Scope, node: Node, dy: str, steps: str, type: Type) -> str:
    """The value at the step before `steps`, zeros elsewhere."""
    y, axis = node.types[0], node.attrs["axis"]
    last = s.emit("Sub", steps, s.number(1, "int"))
    times = s.aligned(s.iota(axis), Type((axis,), (), "int"), y.axes, len(y.shape))
    here = s.emit("Equal", times, s.aligned(last, type, y.axes, len(y.shape)))
    value = s.aligned(dy, node.inputs[0].type, y.axes, len(y.shape))
    return str(s.emit("Where", here, value, s.number(0, y.dtype)))


def _place_last(s: Scope, node: Node, dy: str) -> str:
    return _placed(s, node, dy, s.size(node.attrs["axis"]), Type((), (), "int"))


def _place_last_within(s: Scope, node: Node, dy: str, lengths: str) -> str:
    return _placed(s, node, dy, lengths, node.inputs[1].type)


# --- an unrolled loop -----------------------------------------------------------------------------------------------


def _row(s: Scope, node: Node, x: str) -> str:
    _, at = _along(node)
    return str(s.emit("Gather", x, s.number(node.attrs["at"], "int"), axis=at))


def _stack(s: Scope, node: Node, *rows: str) -> str:
    row, axis = node.attrs["row"], node.attrs["axis"]
    whole = row.with_axes((*row.axes, axis))
    if not rows:
        empty = s.expanded(s.number(0, row.dtype), Type((), (), row.dtype), row)
        return str(
            s.emit(
                "Slice",
                s.unsqueeze(empty, [whole.axes.index(axis)]),
                s.ints(0),
                s.ints(0),
                s.ints(whole.axes.index(axis)),
            )
        )
    at = whole.axes.index(axis)
    full = [s.unsqueeze(s.expanded(r, v.type, row), [at]) for r, v in zip(rows, node.inputs, strict=True)]
    return str(s.emit("Concat", *full, axis=at))


def _history(s: Scope, node: Node, *values: str) -> tuple[str, str]:
    """All values but the last in time, and all but the first."""
    everything, at = _stack(s, node, *values), node.types[0].axes.index(node.attrs["axis"])
    front = cut(s, everything, at, s.ints(0), s.ints(-1))
    back = cut(s, everything, at, s.ints(1), s.ints(FAR))
    return (back, front) if node.attrs.get("reverse") else (front, back)


RULES: dict[str, Rule] = {
    "inside": _inside,
    "take": _take,
    "pick": _pick,
    "one_hot": _one_hot,
    "place": _place,
    "scatter_rows": _scatter_rows,
    "shift": _shift,
    "reverse": _reverse,
    "reverse_within": _reverse_within,
    "last": _last,
    "last_within": _last_within,
    "place_last": _place_last,
    "place_last_within": _place_last_within,
    "row": _row,
    "stack": _stack,
    "history": _history,
}
