"""The largest entries, and whether the right class is among them."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.mistakes import shape_in_words
from rnngraph.language.elaboration.values import Item, Several


@define("top_k", "x k", "number int")
def _(use: Use) -> Item:
    """The k largest entries of the last dimension, the largest first, and where they stand; of equal ones the first."""
    x = use.value("x")
    k = use.whole("k", 1)
    if not x.type.shape or not 1 <= k <= x.type.shape[-1]:
        raise use.mistake("E203", f"{use.has_shape('x', x)}: they have no {k} largest", "k")
    places = use.op("top_k", x, k=k)
    return Several((use.op("entries", x, places), places))


@define("in_top_k", "scores target k", "bool")
def _(use: Use) -> Item:
    """Whether fewer than k scores are larger than that of the target; false where a score is not finite."""
    scores, target, k = use.float("scores"), use.int_value("target"), use.whole("k", 1)
    if len(scores.type.shape) != 1 or target.type.shape:
        shapes = f"{shape_in_words(scores.type.shape)} and {shape_in_words(target.type.shape)}"
        raise use.mistake("E201", f"`in_top_k` takes one score for each class and one class, not {shapes}", "scores")
    if not scores.type.shape[0]:
        raise use.mistake("E203", f"{use.has_shape('scores', scores)}: there is no class", "scores")
    if k < 1:
        raise use.mistake("E203", f"`k` is at least 1, not {k}", "k")
    last, zero = use.trace.const(scores.type.shape[0] - 1, "int"), use.trace.const(0, "int")
    inside = use.op("and", use.op("ge", target, zero), use.op("le", target, last))
    # Behind these two, a target outside of the classes is no mistake in the data.
    right = _entry(use, scores, use.op("minimum", use.op("maximum", target, zero), last))
    larger = use.op("lt", _count(use, use.op("gt", scores, right)), use.number(k))
    difference = use.op("sub", scores, scores)
    finite = use.op("eq", _count(use, use.op("eq", difference, use.number(0))), use.number(scores.type.shape[0]))
    return use.op("and", inside, use.op("and", finite, larger))


def _entry(use: Use, scores: Value, place: Value) -> Value:
    """The chosen score, as a vector of one."""
    axes = {*scores.type.axes, *place.type.axes}
    ids = use.op("reshape", use.op("spread", place, axes=tuple(axes)), shape=(1,))
    return use.op("entries", use.op("spread", scores, axes=tuple(axes)), ids)


def _count(use: Use, condition: Value) -> Value:
    return use.op("sum", use.trace.cast(condition, "float", use.at), dims=(-1,))
