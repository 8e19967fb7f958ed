"""`x[0]`, `x[1:3]`, `table[token]`, `split`."""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import DType
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.index_checks import inside, no_entry
from rnngraph.language.elaboration.mistakes import Mistake, counted, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item, Numbers, Several, whole_number
from rnngraph.language.syntax import ast


@form(ast.Index)
def index(scope: Scope, e: ast.Index) -> Item:
    """Whole numbers and ranges choose along the dimensions from the left; an int value chooses a row."""
    item = expressions.one(scope, e.value)
    if isinstance(item, Numbers):
        return _number_of(scope, e, item)
    value = scope.trace.lift(item, e.value.span)
    if sum(not is_new(i) for i in e.indices) > len(value.type.shape):
        raise Mistake(
            "E204",
            f"`{e.value.span.text}` has {shape_in_words(value.type.shape)}, but is given "
            f"{counted(len(e.indices), 'index')[:-2] + 'indices' if len(e.indices) > 1 else 'an index'}",
            e.span,
        )
    dim = 0
    for entry in e.indices:
        value, kept = _along(scope, value, entry, dim, e)
        dim += kept
    return value


def is_new(entry: ast.Expr | ast.Range) -> bool:
    """`None` in `x[:, None]`: a dimension of size 1 that is put in."""
    return isinstance(entry, ast.Name) and entry.name == "None"


def _number_of(scope: Scope, e: ast.Index, numbers: Numbers) -> Item:
    entry = e.indices[0]
    if len(e.indices) > 1 or isinstance(entry, ast.Range):
        raise Mistake("E204", "a list of numbers takes one whole number as index", e.span)
    place = expressions.one(scope, entry)
    if isinstance(place, Value):
        return _chosen(scope.trace, scope.trace.lift(numbers, e.value.span), place, 0, e, entry.span)
    return numbers.items[_position(expressions.whole(scope, entry, "an index"), len(numbers.items), entry.span)]


def _along(scope: Scope, value: Value, entry: ast.Expr | ast.Range, dim: int, e: ast.Index) -> tuple[Value, int]:
    """The value with one more index applied at `dim`, and how many dimensions stay there."""
    if is_new(entry):
        shape = (*value.type.shape[:dim], 1, *value.type.shape[dim:])
        return scope.trace.call("reshape", value, at=e.span, shape=shape), 1
    length = value.type.shape[dim]
    if isinstance(entry, ast.Range):
        return cut(scope.trace, value, dim, *_bounds(scope, entry, length), e.span), 1
    item = expressions.one(scope, entry)
    if isinstance(item, Value):
        return _chosen(scope.trace, value, item, dim, e, entry.span), 0
    place = _position(expressions.whole(scope, entry, "an index"), length, entry.span)
    piece = cut(scope.trace, value, dim, place, place + 1, e.span)
    shape = (*value.type.shape[:dim], *value.type.shape[dim + 1 :])
    return scope.trace.call("reshape", piece, at=e.span, shape=shape), 0


def _bounds(scope: Scope, e: ast.Range, length: int) -> tuple[int, int]:
    start = 0 if e.start is None else _bound(scope, e.start, length)
    stop = length if e.stop is None else _bound(scope, e.stop, length)
    if start > stop:
        raise Mistake("E206", f"`{e.span.text}` chooses nothing", e.span)
    return start, stop


def cut(trace: Trace, value: Value, dim: int, start: int, stop: int, at: Span) -> Value:
    if (start, stop) == (0, value.type.shape[dim]):
        return value
    return trace.call("slice", value, at=at, dim=dim - len(value.type.shape), start=start, stop=stop)


def _bound(scope: Scope, e: ast.Expr, length: int) -> int:
    place = expressions.whole(scope, e, "the end of a range")
    place = place + length if place < 0 else place
    if not 0 <= place <= length:
        raise Mistake("E206", f"`{e.span.text}` lies outside the {counted(length, 'value')} there are", e.span)
    return place


def _position(place: int, length: int, at: Span) -> int:
    found = place + length if place < 0 else place
    if not 0 <= found < length:
        raise no_entry(place, length, at)
    return found


def _chosen(trace: Trace, value: Value, ids: Value, dim: int, e: ast.Index, at: Span) -> Value:
    """The row (or entry) that an int value chooses at each step."""
    _need_int(ids, at)
    if dim != 0 or len(e.indices) > 1:
        help = "put that dimension first: `m.T[i].T`" if dim else "write two indices: `m[i][0]`"
        raise Mistake("E204", "an int value chooses along the first dimension, alone", at, help=help)
    return chosen(trace, value, ids, e.span, at)


def _need_int(ids: Value, at: Span) -> None:
    if ids.type.dtype != "int":
        help = f"write `int({at.text})`"
        raise Mistake("E202", f"an index must be int, but `{at.text}` is {ids.type.dtype}", at, help=help)


def chosen(trace: Trace, value: Value, ids: Value, at: Span, by: Span) -> Value:
    """`value[ids]` for an int value: a lookup in a table, or one entry of what differs from row to row."""
    ids = inside(trace, ids, value.type.shape[0], by)
    if not value.type.axes:
        return trace.call("take", value, ids, at=at)
    if len(value.type.shape) == 1 and not ids.type.shape:
        missing = tuple(a for a in ids.type.axes if a not in value.type.axes)
        if missing:
            value = trace.call("spread", value, at=at, axes=(*value.type.axes, *missing))
        return trace.call("pick", value, ids, at=at)
    kind = value.type.dtype
    counts: DType = "float" if kind == "float" else "int"  # a float may not hold every int
    hot = trace.cast(trace.call("one_hot", ids, at=at, depth=value.type.shape[0]), counts, at)
    left = "abcdef"[: len(ids.type.shape)] + "z"
    right = "z" + "mnopqr"[: len(value.type.shape) - 1]
    found = trace.call(
        "contract",
        hot,
        trace.cast(value, counts, at),
        at=at,
        left=left,
        right=right,
        out=left[:-1] + right[1:],
        reduce=(),
    )
    return trace.cast(found, kind, at)


def split(trace: Trace, value: Value, parts: Item, dim: int, at: Span, parts_at: Span) -> Several:
    """Equal pieces for a whole number, pieces of the given sizes for `[a, b]`."""
    length = value.type.shape[dim]
    count = whole_number(parts)
    if isinstance(parts, Numbers):
        sizes = [n for n in map(whole_number, parts.items) if n is not None]
        if len(sizes) < len(parts.items):
            raise Mistake("E208", "the sizes of pieces are whole numbers", parts_at)
        if sum(sizes) != length or min(sizes) < 0:
            raise Mistake("E201", f"the pieces {sizes} have {sum(sizes)} values together, but there are {length}", at)
    elif count is not None and count >= 1:
        if length % count:
            raise Mistake(
                "E201",
                f"{counted(length, 'value')} cannot be split into {count} equal pieces",
                at,
                help="give the sizes: `split(x, [a, b])`",
            )
        sizes = [length // count] * count
    else:
        raise Mistake("E208", "`split` needs the number of pieces, or their sizes `[a, b]`", parts_at)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return Several(tuple(cut(trace, value, dim, s, s + n, at) for s, n in zip(starts, sizes, strict=True)))


def numbered(trace: Trace, size: int, at: Span) -> Value:
    """0, 1, ..., size - 1."""
    ones = trace.call("broadcast", trace.const(1.0), at=at, shape=(size,))
    counts = trace.call("cumsum", ones, at=at, dim=-1)
    return trace.cast(trace.call("sub", counts, trace.const(1.0), at=at), "int", at)


# --- writing ----------------------------------------------------------------------------------------


def written(scope: Scope, target: ast.Target, value: Value, item: Item, at: Span) -> Value:
    """A state's value in which the rows that `m'[i]` names are the item; its other rows stay."""
    trace, shape, entry, name = scope.trace, value.type.shape, target.indices[0], f"`{target.span.text}`"
    if len(target.indices) > 1 or not shape or is_new(entry):
        has = f"the state `{target.name}` has {shape_in_words(shape)}"
        help = f"write the whole row: `{target.name}'[i] = ...`" if shape else f"write `{target.name}' = ...`"
        raise Mistake("E204", f"one index tells which rows are written, and {has}", target.span, help=help)
    if isinstance(entry, ast.Range):
        start, stop = _bounds(scope, entry, shape[0])
        rows = trace.fit(item, (stop - start, *shape[1:]), value.type.dtype, at, name)
        return _replaced(trace, value, rows, start, at)
    place = expressions.one(scope, entry)
    row = trace.fit(item, shape[1:], value.type.dtype, at, name)
    if isinstance(place, Value):
        return _replaced_where(trace, value, row, place, at, entry.span)
    start = _position(expressions.whole(scope, entry, "an index"), shape[0], entry.span)
    return _replaced(trace, value, trace.call("reshape", row, at=at, shape=(1, *shape[1:])), start, at)


def _replaced(trace: Trace, value: Value, rows: Value, start: int, at: Span) -> Value:
    stop, length = start + rows.type.shape[0], value.type.shape[0]
    around = [cut(trace, value, 0, a, b, at) if a < b else None for a, b in ((0, start), (stop, length))]
    parts = [part for part in (around[0], rows, around[1]) if part is not None]
    return trace.call("concat", *parts, at=at, dim=-len(value.type.shape))


def _replaced_where(trace: Trace, value: Value, row: Value, place: Value, at: Span, by: Span) -> Value:
    """Chosen, not added up: what is no number in the other rows stays there, and so does the gradient."""
    _need_int(place, by)
    if place.type.shape:
        has = shape_in_words(place.type.shape)
        raise Mistake("E204", f"one row is written at a time, but `{by.text}` has {has}", by)
    length, *rest = value.type.shape
    here = trace.call("eq", numbered(trace, length, at), inside(trace, place, length, by), at=at)
    return trace.where(trace.call("reshape", here, at=at, shape=(length, *(1 for _ in rest))), row, value, at)
