"""Operators that cut, join and turn, and those that ask for sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.importing.onnx.elementary import Rule
from rnngraph.exchange.importing.onnx.scope import Known, Op
from rnngraph.exchange.importing.onnx.steps import settled, shifted, steps_of
from rnngraph.exchange.importing.shapes import (
    broadcast,
    collapsed,
    cut,
    stacked,
    target_dims,
    turned,
    with_dims,
)
from rnngraph.exchange.importing.values import (
    Axis,
    CannotSay,
    Dim,
    Padded,
    Sizes,
    Value,
    as_sequence,
    sized,
    sizes,
)


def _shape(op: Op) -> Sizes:
    dims = op.value(0).dims
    return Sizes(dims[op.attribute("start", 0) : op.attribute("end", len(dims))])


def wanted(given: Known) -> list[Dim]:
    """Dimensions that a node is told."""
    if isinstance(given, Sizes):
        return list(given.dims)
    if given is None or given.array is None:
        raise CannotSay("its sizes depend on data")
    return [int(n) for n in np.ravel(given.array)]


def _reshape(op: Op) -> Value:
    value = op.value(0)
    told = wanted(op.inputs[1]) if op.has(1) else list(op.attribute("shape", []))
    return with_dims(value, target_dims(value.dims, told, not op.attribute("allowzero", 0)))


def _flatten(op: Op) -> Value:
    value, at = op.value(0), op.attribute("axis", 1)
    rest = value.dims[at:]
    for dim in rest if len(rest) > 1 else ():
        if isinstance(dim, Axis) and dim.open and dim.size is not None:
            sized(dim)
    told: list[Dim] = [-1, int(np.prod([sized(d) for d in rest]))] if at != 1 else [value.dims[0], -1]
    return with_dims(value, target_dims(value.dims, told))


def _squeeze(op: Op) -> Known:
    given = op.inputs[0]
    if isinstance(given, Sizes):
        return Sizes(given.dims[:1], True)
    value, told = op.value(0), op.ints(1, "axes")
    places = [i for i, d in enumerate(value.dims) if d == 1] if told is None else [p % len(value.dims) for p in told]
    if any(sized(value.dims[p]) != 1 for p in places):
        raise CannotSay("it drops a dimension of more than one entry")
    return with_dims(value, tuple(d for i, d in enumerate(value.dims) if i not in places))


def _unsqueeze(op: Op) -> Known:
    given, told = op.inputs[0], op.ints(1, "axes") or []
    if isinstance(given, Sizes):
        return Sizes(given.dims)
    value = op.value(0)
    rank = len(value.dims) + len(told)
    dims, rest = [], iter(value.dims)
    places = {p % rank for p in told}
    for i in range(rank):
        dims.append(1 if i in places else next(rest))
    return with_dims(value, tuple(dims))


def _transpose(op: Op) -> Value:
    value = op.value(0)
    perm = op.attribute("perm", None) or list(range(len(value.dims)))[::-1]
    return turned(op.body, op.hint, value, perm)


def _concat(op: Op) -> Known:
    if any(isinstance(given, Sizes) for given in op.inputs):
        return Sizes(tuple(d for given in op.inputs for d in wanted(given)))
    values, place = op.values(), op.attribute("axis", 0)
    place %= len(values[0].dims)
    lead = [replace(v, dims=(*v.dims[:place], 1, *v.dims[place + 1 :])).dims for v in values]
    dims = list(broadcast(lead))
    joined = [v.dims[place] for v in values]
    dims[place] = sum(sized(d) for d in joined)
    before = len(sizes(dims[:place]))
    if all(len(v.rows) == v.dims[place] for v in values) and not before:
        rows = [row for v in values for row in v.rows]
        return replace(stacked(rows, tuple(d for i, d in enumerate(dims) if i != place), place), dtype=values[0].dtype)
    texts = [op.body.text_of(v) for v in values]
    last = before == len(sizes(dims)) - 1
    text = f"[{', '.join(texts)}]" if last else f"concat({', '.join(texts)}, axis = {before})"
    return op.body.let(op.hint, text, tuple(dims), values[0].dtype)


def _split(op: Op) -> tuple[Value, ...]:
    value, place = op.value(0), op.attribute("axis", 0)
    size, count = sized(value.dims[place]), len(op.node.output)
    parts = op.ints(1, "split") or [min(-(-size // count), size - i * -(-size // count)) for i in range(count)]
    if value.array is not None or place % len(value.dims) != max(
        i for i, d in enumerate(value.dims) if isinstance(d, int)
    ):
        ends = pairwise(int(n) for n in np.cumsum([0, *parts]))
        return tuple(cut(op.body, f"{op.hint}_{i}", value, place, a, b) for i, (a, b) in enumerate(ends))
    names = tuple(op.body.fresh(f"{op.hint}_{i}") for i in range(count))
    told = str(count) if len(set(parts)) == 1 else f"[{', '.join(map(str, parts))}]"
    op.body.say(names, f"split({value.text}, {told})")
    place %= len(value.dims)
    return tuple(
        Value(name, (*value.dims[:place], part, *value.dims[place + 1 :]), value.dtype)
        for name, part in zip(names, parts, strict=True)
    )


def _slice(op: Op) -> Known:
    starts, stops = (_ends(op, i, name) for i, name in ((1, "starts"), (2, "ends")))
    steps = op.ints(4, "steps") or [1] * len(starts)
    if isinstance(op.inputs[0], Sizes):
        return Sizes(op.inputs[0].dims[slice(starts[0], stops[0], steps[0])])
    value = op.value(0)
    places = op.ints(3, "axes") or list(range(len(starts)))
    for place, start, stop, step in zip(places, starts, stops, steps, strict=True):
        value = _sliced(op, value, place % len(value.dims), start, stop, step)
    return value


def _ends(op: Op, i: int, attribute: str) -> list[Any]:
    """Where cuts begin or end: numbers, or the number of steps."""
    if op.has(i) and isinstance(op.inputs[i], Sizes):
        return list(op.inputs[i].dims)  # type: ignore[union-attr]
    return list(op.ints(i, attribute) or [])


def _sliced(op: Op, value: Value, place: int, start: Any, stop: Any, step: int) -> Value:
    dim = settled(value.dims[place])
    if isinstance(dim, Padded):
        return shifted(op, value, place, dim, start, stop)
    if isinstance(dim, Axis):
        return steps_of(op, value, place, dim, start, stop, step)
    if step == -1 and start in (-1, dim - 1) and stop < -dim:
        text = f"flip({op.body.text_of(value)}, axis = {len(sizes(value.dims[:place]))})"
        return op.body.let(op.hint, text, value.dims, value.dtype)
    if step != 1:
        raise CannotSay(f"it takes every {abs(step)}-th entry")
    return cut(op.body, op.hint, value, place, start, stop)


def _pad(op: Op) -> Value:
    value, pads = op.value(0), op.ints(1, "pads") or []
    fill = float(np.ravel(op.constant(2))[0]) if op.has(2) else float(op.attribute("value", 0.0))
    if op.attribute("mode", "constant") != "constant":
        raise CannotSay("it pads with something else than a number")
    places = op.ints(3, "axes") or list(range(len(value.dims)))
    for i, place in enumerate(places):
        before, after = pads[i], pads[len(places) + i]
        if before or after:
            value = _padded(op, value, place % len(value.dims), before, after, fill)
    return value


def _padded(op: Op, value: Value, place: int, before: int, after: int, fill: float) -> Value:
    dim = settled(value.dims[place])
    if isinstance(dim, Axis) and (before < 0 or after < 0):
        raise CannotSay("it takes some steps of a sequence")
    if isinstance(dim, Axis):
        axis = as_sequence(dim)
        return replace(value, dims=(*value.dims[:place], Padded(axis, before, after, fill), *value.dims[place + 1 :]))
    if before < 0 or after < 0 or fill:
        raise CannotSay("it pads with other numbers than 0, or cuts off")
    at, size = len(sizes(value.dims[:place])), sized(dim)
    sides = [_zeros(value, at, n) for n in (before, after)]
    parts = [part for n, part in ((before, sides[0]), (1, op.body.text_of(value)), (after, sides[1])) if n]
    dims = (*value.dims[:place], before + size + after, *value.dims[place + 1 :])
    return op.body.let(op.hint, f"concat({', '.join(parts)}, axis = {at})", dims, value.dtype)


def _zeros(value: Value, at: int, count: int) -> str:
    shape = [*value.shape]
    shape[at] = count
    return f"zeros([{', '.join(map(str, shape))}])"


def _expand(op: Op) -> Value:
    value, told = op.value(0), tuple(wanted(op.inputs[1]))
    if value.array is not None and len(told) >= len(value.dims):
        own = told[len(told) - len(value.dims) :]
        own = tuple(t if isinstance(t, Axis) else d for d, t in zip(value.dims, own, strict=True))
        value = replace(value, array=collapsed(value.array, value.dims, own), dims=own)
    return spread(op, value, broadcast([value.dims, told]))


def spread(op: Op, value: Value, dims: tuple[Dim, ...]) -> Value:
    """A value over more dimensions: over the batch and the steps by itself, over others by a sum with zeros."""
    if value.array is not None:
        own = (*dims[: len(dims) - len(value.dims)], *value.dims)
        full = np.broadcast_to(value.array, (*sizes(own[: len(own) - len(value.dims)]), *value.array.shape))
        return replace(value, array=np.broadcast_to(collapsed(full, own, dims), sizes(dims)), dims=dims)
    lead = (1,) * (len(dims) - len(value.dims))
    kept = tuple(1 if isinstance(d, int) else d for d in dims)
    whole = [*lead, *value.dims]
    narrow = with_dims(value, tuple(k if isinstance(k, Axis) else w for k, w in zip(kept, whole, strict=True)))
    if narrow.shape == sizes(dims):
        return replace(narrow, dims=dims)
    if value.dtype == "bool":
        raise CannotSay("it spreads truth values over a dimension")
    shape = f"[{', '.join(map(str, sizes(dims)))}]"
    zeros = f"zeros({shape})" if value.dtype == "float" else f"int(zeros({shape}))"
    return op.body.let(op.hint, f"{narrow.text} + {zeros}", dims, value.dtype)


def _filled(op: Op) -> Value:
    dims = tuple(wanted(op.inputs[0]))
    told = op.attribute("value", None)
    from onnx import numpy_helper

    entry = np.float32(0) if told is None else numpy_helper.to_array(told).reshape(())
    if np.prod(sizes(dims), dtype=float) > 1e8:
        raise CannotSay("it has more than 100 million entries")
    kind = {"f": "float", "b": "bool"}.get(entry.dtype.kind, "int")
    return Value("", dims, kind, np.broadcast_to(entry, sizes(dims)))


def _range(op: Op) -> Value:
    """0, 1, 2 ... along a sequence."""
    stop = op.inputs[1]
    first, step = op.constant(0), op.constant(2)
    if isinstance(stop, Sizes) and int(first) == 0 and int(step) == 1 and isinstance(stop.dims[0], Axis):
        axis = as_sequence(stop.dims[0])
        return replace(op.body.let("step", f"position(axis = {axis.name})", (axis,), "int"), counts=axis)
    raise CannotSay("it counts to a number that depends on data")


def _tile(op: Op) -> Value:
    value, times = op.value(0), wanted(op.inputs[1])
    dims = []
    for dim, count in zip(value.dims, times, strict=True):
        if count == 1:
            dims.append(dim)
        elif dim == 1:
            dims.append(count)
        else:
            raise CannotSay("it repeats more than one entry")
    return spread(op, value, tuple(dims))


def _size_of(op: Op) -> Known:
    raise CannotSay("it calculates with the number of rows or steps")


RULES: dict[str, Rule | object] = {
    "Shape": _shape, "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Transpose": _transpose, "Concat": _concat, "Split": _split, "Slice": _slice, "Pad": _pad, "Expand": _expand,
    "ConstantOfShape": _filled, "Range": _range, "Tile": _tile, "Size": _size_of,
}  # fmt: skip


