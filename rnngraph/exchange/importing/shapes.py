"""What is the same for every reader: how values are combined, whose dimensions include the batch and the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.importing.body import Body, number
from rnngraph.exchange.importing.values import (
    BATCH,
    Axis,
    CannotSay,
    Dim,
    Dims,
    Learned,
    Padded,
    Value,
    met,
    sized,
    sizes,
)


def listed(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


# --- elementwise ----------------------------------------------------------------------------------------------------


def broadcast(dims: Sequence[Dims]) -> Dims:
    """The dimensions of what is combined elementwise."""
    rank = max(map(len, dims))
    lined = [(1,) * (rank - len(d)) + d for d in dims]
    result: list[Dim] = []
    for column in zip(*lined, strict=True):
        dim: Dim = 1
        for other in column:
            dim = met(dim, other)
        result.append(dim)
    return tuple(result)


def aligned(body: Body, values: Sequence[Value]) -> tuple[list[str], Dims]:
    """Expressions that the language combines as the other tool does, and the dimensions of the result."""
    dims = broadcast([v.dims for v in values])
    if any(isinstance(d, Padded) for d in dims):
        raise CannotSay("it works on a sequence with padding")
    uniform = [_single(v) for v in values]
    full = [v.shape == sizes(dims) for v in values]
    texts = []
    for i, value in enumerate(values):
        rest = [(values[j], full[j]) for j in range(len(values)) if j != i and uniform[j] is None]
        wide, single = any(whole for _, whole in rest), uniform[i]
        floats = any(v.dtype == "float" and v.array is None for v, _ in rest)
        texts.append(number(single, floats) if single is not None and wide else _fitted(body, value, dims, wide))
    return texts, dims


def _single(value: Value) -> Any:
    """The number that a constant is everywhere; None where it is none."""
    array = value.array
    if array is None or not array.size or array.dtype.kind not in "fiub" or not np.all(array == array.flat[0]):
        return None
    return array.flat[0] if array.dtype.kind != "f" or np.isfinite(array.flat[0]) else None


def _fitted(body: Body, value: Value, dims: Dims, wide: bool) -> str:
    """A value without the dimensions of size 1 that stand where the result has the batch or steps; without all of
    them where another operand is as `wide` as the result."""
    places = dims[len(dims) - len(value.dims) :]
    if value.array is not None:
        whole = tuple(d if isinstance(p, int) else p for d, p in zip(value.dims, places, strict=True))
        value = replace(value, array=collapsed(value.array, value.dims, whole), dims=whole)
    kept = [d for d, place in zip(value.dims, places, strict=True) if isinstance(d, int) and isinstance(place, int)]
    if wide and all(k == 1 for k in kept) and any(n != 1 for n in sizes(dims)):
        kept = []
    if value.array is not None and value.array.dtype.kind != "f":
        return body.text_of(replace(value, array=value.array.reshape(kept)))
    if tuple(kept) == value.shape:
        return body.text_of(value)
    if value.array is not None:
        value = replace(value, text=body.text_of(value), array=None)
    return reshaped(value, tuple(kept), ()).text


def elementwise(
    body: Body, hint: str, form: str | Callable[..., str], values: Sequence[Value], dtype: str | None = None
) -> Value:
    """A formula with `{}` for each operand."""
    texts, dims = aligned(body, values)
    kind = dtype or max((v.dtype for v in values), key=("bool", "int", "float").index)
    made = form(*texts) if callable(form) else form.format(*(f"({t})" for t in texts))
    return body.let(hint, made, dims, kind)


# --- shapes ---------------------------------------------------------------------------------------------------------


def reshaped(value: Value, shape: tuple[int, ...], dims: Dims) -> Value:
    """The same entries in another shape of the language; `dims` are those that the result has."""
    text, own = value.whole or (value.text, value.shape)
    if shape == value.shape:
        return replace(value, dims=dims)
    if shape == own:
        return replace(value, text=text, dims=dims, whole=None, rows=())
    made = f"reshape({text}, {listed(shape)})" if shape else f"({text})[{', '.join('0' for _ in own)}]"
    return replace(value, text=made, dims=dims, whole=(text, own), rows=())


def with_dims(value: Value, dims: Dims) -> Value:
    """The value with other dimensions, the batch and the steps in the same order."""
    if value.array is not None:
        return replace(value, array=value.array.reshape(sizes(dims)), dims=dims)
    return replace(reshaped(value, sizes(dims), dims), counts=value.counts)


def target_dims(dims: Dims, wanted: Sequence[Dim], zero_copies: bool = True) -> Dims:
    """The dimensions that a `reshape` gives: 0 copies one, -1 is what is left."""
    source = [part for d in dims for part in (d.parts if isinstance(d, Axis) and d.parts else (d,))]
    target: list[Any] = [dims[i] if d == 0 and zero_copies else d for i, d in enumerate(wanted)]
    target = [part for d in target for part in (d.parts if isinstance(d, Axis) and d.parts else (d,))]
    _recognise_sizes(source, target)
    if -1 in target:
        at = target.index(-1)
        axes = [d for d in source if not isinstance(d, int) and d not in target]
        rest = prod(sizes(source)) // max(1, prod(d for d in target if isinstance(d, int) and d != -1))
        target[at : at + 1] = _left(axes, rest)
    if _segments(source) != _segments(target):
        raise CannotSay("it gives its entries another order than the batch and the steps have")
    return tuple(target)


def _left(axes: list[Any], rest: int) -> list[Any]:
    if len(axes) > 1 and rest == 1:
        return [Axis("*".join(a.name for a in axes), parts=tuple(axes))]
    if len(axes) == 1 and rest == 1:
        return axes
    if not axes:
        return [rest]
    raise CannotSay("it joins the batch or the steps with other dimensions")


def _recognise_sizes(source: Sequence[Dim], target: list[Any]) -> None:
    """Numbers in the target that are the sizes of the batch or of the steps: those that are neither of another."""
    numbers = list(sizes(source))
    at = 0
    for dim in source:
        if isinstance(dim, int):
            at = next((i + 1 for i in range(at, len(target)) if target[i] == dim and dim in numbers), at)
        elif isinstance(dim, Axis) and dim not in target and dim.size is not None:
            found = next((i for i in range(at, len(target)) if target[i] == dim.size), None)
            if found is not None:
                target[found], at = dim, found + 1


def _segments(dims: Sequence[Dim]) -> list[Any]:
    """The axes in order, with how many entries there are between them; those that only join others come apart."""
    found: list[Any] = [1]
    for d in (part for x in dims for part in (x.parts if isinstance(x, Axis) and x.parts else (x,))):
        if isinstance(d, int):
            found[-1] *= d
        else:
            found += [d, 1]
    return found


def turned(body: Body, hint: str, value: Value, perm: Sequence[int]) -> Value:
    """The value with its dimensions in another order."""
    dims = tuple(value.dims[i] for i in perm)
    places = [i for i, d in enumerate(value.dims) if isinstance(d, int)]
    order = [places.index(i) for i in perm if i in places]
    if value.array is not None:
        return replace(value, array=np.transpose(value.array, order), dims=dims)
    moved = [i for i in order if value.shape[i] != 1]
    if moved == sorted(moved):
        return reshaped(value, sizes(dims), dims) if order != sorted(order) else replace(value, dims=dims)
    text = f"transpose({value.text})" if order == [1, 0] else f"transpose({value.text}, {listed(order)})"
    return body.let(hint, text, dims, value.dtype)


# --- over dimensions ------------------------------------------------------------------------------------------------


def reduced(body: Body, hint: str, form: str, value: Value, places: Sequence[int], keep: bool) -> Value:
    """`form` has `{}` for the value and for its argument `axis`: `sum({}, {})`."""
    text, dims = body.text_of(value), list(value.dims)
    for place in sorted({p % max(1, len(dims)) for p in places}, reverse=True):
        dim = dims[place]
        if isinstance(dim, Axis):
            if dim.open:
                raise Learned(dim.key, "time" if dim.size is None else dim.size)
            if dim == BATCH or dim.parts:
                raise CannotSay("it goes over the rows of the batch")
            axis = dim.name
        else:
            before = sizes(dims[:place])
            axis = str(len(before)) if place < len(dims) - 1 else "-1"
        alone = isinstance(dim, int) and len(sizes(dims)) == 1
        told = f"axis = {axis}"
        text = form.format(f"({text})", told)
        text = text.replace(f", {told})", ")") if alone else text
        del dims[place]
    result = Value(text, tuple(dims), value.dtype)
    whole = tuple(1 if i in {p % len(value.dims) for p in places} else d for i, d in enumerate(value.dims))
    made = body.let(hint, text, result.dims, value.dtype)
    return with_dims(made, whole) if keep else made


def along(value: Value, place: int) -> str:
    """A dimension of the language as the argument `axis`."""
    place %= len(value.dims)
    dim = value.dims[place]
    if isinstance(dim, Axis) and not dim.open and dim != BATCH and not dim.parts:
        return dim.name
    sized(dim)
    return str(len(sizes(value.dims[:place])))


def without(value: Value, lead: Dims) -> Value:
    """The value without leading dimensions of size 1."""
    return with_dims(value, tuple(d for i, d in enumerate(value.dims) if i >= len(lead) or d != 1))


def collapsed(array: Any, dims: Dims, wanted: Dims) -> Any:
    """A constant without the dimensions that are the batch or the steps, over which it must be the same."""
    for i in reversed(range(len(dims))):
        if not isinstance(wanted[i], int) and isinstance(dims[i], int):
            at = len(sizes(dims[:i]))
            if array.shape[at] != 1 and np.ptp(array.astype(np.float64), axis=at).any():
                raise CannotSay("a constant differs from row to row, or from step to step")
            array = np.take(array, 0, axis=at)
    return array


def picked(body: Body, hint: str, value: Value, place: int, at: int) -> Value:
    """One entry along a dimension."""
    place %= len(value.dims)
    dims = (*value.dims[:place], *value.dims[place + 1 :])
    dim = value.dims[place]
    if isinstance(dim, Axis) and not dim.open and dim.name != BATCH.name and at in (0, -1):
        return body.let(hint, f"last({value.text if at else f'reversed({value.text})'})", dims, value.dtype)
    size, before = sized(dim), len(sizes(value.dims[:place]))
    if not -size <= at < size:
        raise CannotSay(f"the index {at} is outside of {size} entries")
    if value.array is not None:
        return replace(value, array=np.take(value.array, at, axis=before), dims=dims)
    if value.rows and not before:
        return Value(value.rows[at], dims, value.dtype)
    if size == 1:
        return with_dims(value, dims)
    return body.let(hint, f"({value.text})[{', '.join([*[':'] * before, str(at)])}]", dims, value.dtype)


def cut(body: Body, hint: str, value: Value, place: int, start: int, stop: int) -> Value:
    """The entries from `start` to before `stop` along a dimension of the language."""
    place %= len(value.dims)
    size, before = sized(value.dims[place]), len(sizes(value.dims[:place]))
    start, stop, _ = slice(start, stop).indices(size)
    dims = (*value.dims[:place], max(0, stop - start), *value.dims[place + 1 :])
    if (start, stop) == (0, size):
        return value
    if stop <= start:
        raise CannotSay("nothing is left of what it cuts")
    if stop - start == 1:
        return with_dims(picked(body, hint, value, place, start), dims)
    if value.array is not None:
        return replace(value, array=value.array[(slice(None),) * before + (slice(start, stop),)], dims=dims)
    parts = hint.split(",")  # `i,j,f,o` of one vector
    if len(parts) * (stop - start) == size and start % (stop - start) == 0:
        hint = parts[start // (stop - start)]
    if not before and len(value.shape) == 1 and value.text.isidentifier():
        body.sizes[value.text] = size
        return body.let(hint, f"({value.text})[{start}:{stop}]", dims, value.dtype)
    part = f"{start or ''}:{stop if stop < size else ''}"
    return body.let(hint, f"({value.text})[{', '.join([*[':'] * before, part])}]", dims, value.dtype)


def stacked(texts: Sequence[str], dims: Dims, place: int) -> Value:
    """Vectors as the rows of a matrix, whose dimension is put in at a place; `dims` are those of one."""
    shape = sizes(dims)
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    whole = Value(joined, (*dims[:-1], len(texts) * shape[-1]))
    made = reshaped(whole, (len(texts), *shape), (*dims[:place], len(texts), *dims[place:]))
    return replace(made, rows=tuple(texts))
