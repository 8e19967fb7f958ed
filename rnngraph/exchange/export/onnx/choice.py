"""How ONNX says what ranks, chooses several entries at once, or keeps some of the steps."""

from __future__ import annotations

from collections.abc import Sequence

from rnngraph.exchange.export.onnx.rules import FAR, cut
from rnngraph.exchange.export.onnx.scope import Rule, Scope
from rnngraph.ir.graph import Node
from rnngraph.ir.types import Type

# --- the largest, and several at once -------------------------------------------------------------------------------


def _top_k(s: Scope, node: Node, x: str) -> str:
    _, places = s.emit("TopK", x, s.ints(node.attrs["k"]), results=2, axis=-1)
    return str(places)


def _entries(s: Scope, node: Node, x: str, ids: str) -> str:
    return str(s.emit("GatherElements", x, ids, axis=-1))


def _put_entries(s: Scope, node: Node, dy: str, ids: str) -> str:
    here = s.emit("Equal", s.unsqueeze(ids, [-1]), s.ints(*range(node.attrs["size"])))
    placed = s.emit("Where", here, s.unsqueeze(dy, [-1]), s.number(0, node.types[0].dtype))
    return str(s.emit("ReduceSum", placed, s.ints(-2), keepdims=0))


# --- some of the steps ----------------------------------------------------------------------------------------------


def _every(s: Scope, node: Node, x: str) -> str:
    axis, by, type = node.attrs["axis"], node.attrs["by"], node.inputs[0].type
    at = s.ints(type.axes.index(axis))
    some = s.emit("Slice", x, s.ints(0), s.ints(FAR), at, s.ints(by))
    return _arranged(s, some, [f"{axis}/{by}" if a == axis else a for a in type.axes], node.types[0])


def _arranged(s: Scope, x: str, axes: Sequence[str], wanted: Type) -> str:
    """An array with its axes in another order."""
    perm = [axes.index(a) for a in wanted.axes] + [len(axes) + i for i in range(len(wanted.shape))]
    return x if perm == sorted(perm) else str(s.emit("Transpose", x, perm=perm))


def _turned(s: Scope, node: Node, x: str) -> str:
    """The first dimension as an axis, or an axis as the first dimension: it stands behind the axes."""
    axis, before, after = node.attrs["axis"], node.inputs[0].type, node.types[0]
    named = [*before.axes, *(() if axis in before.axes else (axis,))]
    wanted = [*after.axes, *(() if axis in after.axes else (axis,))]
    perm = [named.index(a) for a in wanted] + list(range(len(named), before.rank))
    return x if perm == sorted(perm) else str(s.emit("Transpose", x, perm=perm))


def _place_every(s: Scope, node: Node, dy: str) -> str:
    axis, by, y = node.attrs["axis"], node.attrs["by"], node.types[0]
    named = [axis if a == f"{axis}/{by}" else a for a in node.inputs[0].type.axes]
    times, step = s.iota(axis), s.number(by, "int")
    taken = s.emit("Gather", dy, s.emit("Div", times, step), axis=named.index(axis))
    here = s.emit("Equal", s.emit("Mod", times, step), s.number(0, "int"))
    lined = s.aligned(here, Type((axis,), (), "bool"), y.axes, len(y.shape))
    return str(s.emit("Where", lined, _arranged(s, taken, named, y), s.number(0, y.dtype)))


def _kept_before(s: Scope, keep: str) -> str:
    """How many steps were kept up to each, less one: where a kept step goes."""
    count = s.emit("CumSum", s.emit("Cast", keep, to=s.whole.element("int")), s.number(0, "int"))
    return str(s.emit("Sub", count, s.number(1, "int")))


def _compact(s: Scope, node: Node, x: str, keep: str) -> str:
    """Kept steps are scattered to their places, the others to one more row, which is then cut off."""
    y, steps = node.types[0], s.whole.sizes[node.attrs["axis"]]
    places = s.emit("Where", keep, _kept_before(s, keep), s.size(node.attrs["axis"]))
    longer = s.emit("Add", steps, s.ints(1))
    rest = s.shape(Type(y.axes[1:], y.shape)) if y.rank > 1 else ""
    shape = s.emit("Concat", longer, rest, axis=0) if rest else longer
    empty = s.emit("Expand", s.number(0, y.dtype), shape)
    return cut(s, s.emit("ScatterElements", empty, places, x, axis=0), 0, s.ints(0), steps)


def _expand(s: Scope, node: Node, y: str, keep: str) -> str:
    places = s.emit("Max", _kept_before(s, keep), s.number(0, "int"))
    return str(s.emit("Where", keep, s.emit("GatherElements", y, places, axis=0), s.number(0, node.types[0].dtype)))


RULES: dict[str, Rule] = {
    "top_k": _top_k, "entries": _entries, "put_entries": _put_entries, "every": _every, "place_every": _place_every,
    "compact": _compact, "expand": _expand, "rows": _turned, "steps": _turned,
}  # fmt: skip
