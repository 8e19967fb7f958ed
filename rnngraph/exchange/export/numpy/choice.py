"""How NumPy says what chooses by integers and what keeps some steps; `WORDS` is the whole table of words."""

from __future__ import annotations

from rnngraph.exchange.export.numpy.expressions import (
    ADD,
    ATOM,
    Rule,
    Text,
    Words,
    at_place,
    call,
    index,
    lined,
    method,
    place_of,
    spread_to,
)
from rnngraph.exchange.export.numpy.expressions import WORDS as PLAIN
from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH, Type, union

# --- integers that choose -------------------------------------------------------------------------------------------


def _inside(w: Words, node: Node, ids: Text, *live: Text) -> Text:
    """What lies outside is an error of the exported function, which knows the user's line."""
    type, span = node.inputs[0].type, node.origin.span
    where = f"{span.source.name}:{span.line}: `{' '.join(span.text.split())}`" if span else "here"
    names = tuple("row" if axis == BATCH else "step" for axis in type.axes)
    counts = [_for_any(one, node.inputs[1].type, type) for one in live]
    return call(w.snippet("inside"), ids.text, str(node.attrs["size"]), repr(where), repr(names), *counts)


def _for_any(live: Text, own: Type, type: Type) -> str:
    """Whether a row is live; of integers that all rows share, whether any is."""
    gone = tuple(i for i, axis in enumerate(own.axes) if axis not in type.axes)
    some = method(live, "any", f"axis={gone}") if gone else live
    return lined(some, Type(tuple(a for a in own.axes if a in type.axes), ()), type.axes, len(type.shape)).text


def _take(w: Words, node: Node, table: Text, ids: Text) -> Text:
    return call("np.take", table.text, ids.text, "axis=0")


def _pick(w: Words, node: Node, x: Text, ids: Text) -> Text:
    values, chosen = (v.type for v in node.inputs)
    if not chosen.rank:
        return index(x, ["...", ids.text])
    axes = union((values, chosen))
    places = lined(ids, chosen, axes, 0, True)
    wide = lined(x, values, axes, 1, True)
    return Text(f"np.take_along_axis({wide.text}, {places.at(ATOM)}[..., None], axis=-1)[..., 0]")


def _one_hot(w: Words, node: Node, ids: Text) -> Text:
    depth = node.attrs["depth"]
    ids = ids if node.inputs[0].type.rank else call("np.asarray", ids.text)
    return Text(f"({ids.at(ATOM)}[..., None] == np.arange({depth})).astype({w.float})")


def _place(w: Words, node: Node, dy: Text, ids: Text) -> Text:
    d, i = (v.type for v in node.inputs)
    axes = union((d, i))
    here = f"{lined(ids, i, axes, 0).at(ATOM)}[..., None] == np.arange({node.attrs['size']})"
    return call("np.where", here, f"{lined(dy, d, axes, 0).at(ATOM)}[..., None]", "0.0")


def _scatter_rows(w: Words, node: Node, dy: Text, ids: Text) -> Text:
    d, i = (v.type for v in node.inputs)
    axes = union((d, i))
    return call(
        w.snippet("scatter_rows"),
        spread_to(w, dy, d, axes).text,
        spread_to(w, ids, i, axes).text,
        w.shape(node.types[0]),
    )


# --- the order, and several at once -------------------------------------------------------------------------------


def _top_k(w: Words, node: Node, x: Text) -> Text:
    return Text(f'np.argsort(-{x.at(ATOM)}, axis=-1, kind="stable")[..., :{node.attrs["k"]}]')


def _argsort(w: Words, node: Node, x: Text) -> Text:
    if not node.attrs["falling"]:
        return Text(f'np.argsort({x.text}, axis=-1, kind="stable")')
    last = node.inputs[0].type.shape[-1] - 1
    return Text(f'{last} - np.argsort({x.at(ATOM)}[..., ::-1], axis=-1, kind="stable")[..., ::-1]', ADD)


def _solve(w: Words, node: Node, a: Text, b: Text) -> Text:
    if len(node.types[0].shape) == 2:
        return call(w.snippet("solve"), a.text, b.text)
    return index(call(w.snippet("solve"), a.text, f"{b.at(ATOM)}[..., None]"), ["...", "0"])


def _entries(w: Words, node: Node, x: Text, ids: Text) -> Text:
    return call("np.take_along_axis", x.text, ids.text, "axis=-1")


def _put_entries(w: Words, node: Node, dy: Text, ids: Text) -> Text:
    here = f"{ids.at(ATOM)}[..., None] == np.arange({node.attrs['size']})"
    return Text(f"np.where({here}, {dy.at(ATOM)}[..., None], 0).sum(axis=-2)")


# --- some of the steps ----------------------------------------------------------------------------------------------


def _every(w: Words, node: Node, x: Text) -> Text:
    axis, by, type, y = node.attrs["axis"], node.attrs["by"], node.inputs[0].type, node.types[0]
    some = index(x, at_place(place_of(node), f"::{by}"))
    named = [f"{axis}/{by}" if a == axis else a for a in type.axes]
    return _arranged(some, named, y.axes, len(y.shape))


def _arranged(x: Text, axes: list[str], wanted: tuple[str, ...], rank: int) -> Text:
    """An array with its axes in another order."""
    perm = [axes.index(a) for a in wanted] + [len(axes) + i for i in range(rank)]
    return x if perm == sorted(perm) else call("np.transpose", x.text, str(tuple(perm)))


def _turned(w: Words, node: Node, x: Text) -> Text:
    """The first dimension as an axis, or an axis as the first dimension: it stands behind the axes."""
    axis, before, after = node.attrs["axis"], node.inputs[0].type, node.types[0]
    named = [*before.axes, *(() if axis in before.axes else (axis,))]
    wanted = (*after.axes, *(() if axis in after.axes else (axis,)))
    return _arranged(x, named, wanted, before.rank - len(named))


def _place_every(w: Words, node: Node, dy: Text) -> Text:
    axis, by, y = node.attrs["axis"], node.attrs["by"], node.types[0]
    times, place = f"np.arange({w.sizes[axis]})", place_of(node, f"{axis}/{by}")
    named = [axis if a == f"{axis}/{by}" else a for a in node.inputs[0].type.axes]
    taken = call("np.take", dy.text, f"{times} // {by}", f"axis={place}")
    real = lined(Text(f"({times} % {by} == 0)"), _time(axis), y.axes, len(y.shape), True)
    return call("np.where", real.text, _arranged(taken, named, y.axes, len(y.shape)).text, "0")


def _time(axis: str) -> Type:
    return Type((axis,), (), "int")


WORDS: dict[str, Rule] = {
    **PLAIN,
    "inside": _inside, "take": _take, "pick": _pick, "one_hot": _one_hot, "place": _place,
    "scatter_rows": _scatter_rows, "top_k": _top_k, "argsort": _argsort, "solve": _solve, "entries": _entries,
    "put_entries": _put_entries, "every": _every, "place_every": _place_every,
    "rows": _turned, "steps": _turned,
    "compact": lambda w, node, x, keep: call(w.snippet("compact"), x.text, keep.text),
    "expand": lambda w, node, y, keep: call(w.snippet("expand"), y.text, keep.text),
}  # fmt: skip
