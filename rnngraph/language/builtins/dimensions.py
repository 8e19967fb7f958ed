"""Functions over the dimensions of a value: joining, cutting, rearranging, and values of one number."""

from __future__ import annotations

from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import indexing
from rnngraph.language.elaboration.arithmetic import alike
from rnngraph.language.elaboration.index_checks import inside
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.values import Item, Numbers, whole_number


@define("concat", "x* axis?", "same")
def _(use: Use) -> Item:
    given = [g for n, g in use.given.items() if n != "axis"]
    values = alike(use.trace, tuple(g.item for g in given), tuple(g.span for g in given), numbers=False)
    return use.op("concat", *values, dim=use.dim(values[0]))


@define("split", "x parts axis?", "same")
def _(use: Use) -> Item:
    value = use.any("x")
    dim = use.dim(value) + len(value.type.shape)
    return indexing.split(use.trace, value, use.given["parts"].item, dim, use.at, use.span("parts"))


@define("repeat", "x times axis?", "same")
def _(use: Use) -> Item:
    value, times = use.any("x"), use.whole("times", 1)
    checked_size(times, use.span("times"))
    return use.op("repeat", value, times=times, dim=use.dim(value))


@define("reshape", "x shape", "same")
def _(use: Use) -> Item:
    return use.op("reshape", use.any("x"), shape=use.sizes("shape"))


@define("transpose", "x order?", "same")
def _(use: Use) -> Item:
    """The dimensions in the order given, `[1, 0, 2]`, or the other way round."""
    value = use.any("x")
    rank = len(value.type.shape)
    if not use.has("order"):
        return use.op("transpose", value, perm=tuple(reversed(range(rank))))
    item = use.given["order"].item
    order = tuple(whole_number(n) for n in item.items) if isinstance(item, Numbers) else ()
    if set(order) != set(range(rank)) or len(order) != rank:
        raise use.mistake("E204", f"`order` names each dimension once, but {use.has_shape('x', value)}", "order")
    return use.op("transpose", value, perm=order)


@define("one_hot", "ids depth", "float")
def _(use: Use) -> Item:
    depth = checked_size(use.whole("depth", 0), use.span("depth"))
    ids = inside(use.trace, use.int_value("ids"), depth, use.span("ids"))
    return use.trace.cast(use.op("one_hot", ids, depth=depth), "float", use.at)


@define("size", "x axis?", "int")
def _(use: Use) -> Item:
    """The length of a dimension, known while compiling; the last one where none is given."""
    value = use.any("x")
    return value.type.shape[use.dim(value)]


@define("zeros", "shape", "float")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(0.0), shape=use.sizes("shape"))


@define("ones", "shape", "float")
def _(use: Use) -> Item:
    return use.op("broadcast", use.number(1.0), shape=use.sizes("shape"))
