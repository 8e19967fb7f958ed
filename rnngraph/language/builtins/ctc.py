"""Labels without times: the loss of connectionist temporal classification, its decoders, and what they are made of."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.loop_levels import Halt
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.sequences import axis_of
from rnngraph.language.elaboration.values import Item, Several


@define("ctc_loss", "scores labels blank? merge? collapse? ignore_longer? zero_infinity?", "float")
def _(use: Use) -> Item:
    """-log P(labels), one number for each row. Scores are logits; the blank is the last class unless told."""
    scores, labels = _scores(use), _labels(use)
    axis, over = axis_of(scores, use.span("scores")), axis_of(labels, use.span("labels"))
    if axis == over:
        raise use.mistake("E305", f"`{use.span('labels').text}` runs over {axis}, as the scores do", "labels")
    (scores, extent), (labels, counts) = _at_front(use, scores), _at_front(use, labels)
    collapse = use.flag("collapse", False)
    if collapse:
        labels, counts = _kept(use, labels, _changes(use, labels))
    return use.op(
        "ctc_loss",
        scores,
        labels,
        extent,
        counts,
        axis=axis,
        over=over,
        blank=_blank(use, scores),
        merge=use.flag("merge", True),
        ignore=use.flag("ignore_longer", False),
        zero=use.flag("zero_infinity", False),
        collapsed=collapse,
    )


@define("ctc_greedy", "scores merge? blank?", "int int float")
def _(use: Use) -> Item:
    """The likeliest class of each step, without repetitions and blanks: labels, how many, minus the sum of scores."""
    scores = _scores(use)
    axis, blank = axis_of(scores, use.span("scores")), _blank(use, scores)
    best = use.op("argmax", scores, dim=-1)
    keep = use.op("ne", best, use.trace.const(blank, "int"))
    if use.flag("merge", True):
        keep = use.op("and", keep, _changes(use, best))
    labels, count = _kept(use, best, keep)
    largest = use.trace.clean(use.op("max_over", scores, dim=-1), use.at)
    return Several((labels, count, use.op("neg", use.op("sum_axes", largest, axes=(axis,)))))


@define("ctc_beam", "scores width? paths? merge? blank?", "int int float")
def _(use: Use) -> Item:
    """The likeliest sequences of labels, best first: labels, how many, log probability; one, unless `paths` is told."""
    scores = _scores(use)
    axis, blank, paths = axis_of(scores, use.span("scores")), _blank(use, scores), use.whole("paths", 1)
    width = use.whole("width", 100)
    if not 1 <= paths <= width:
        where = "paths" if use.has("paths") else "width"
        raise use.mistake("E203", f"a beam of {width} has 1 to {width} paths, not {paths}", where)
    scores, extent = _at_front(use, scores)
    found = use.op("ctc_beam", scores, extent, axis=axis, blank=blank, width=width, paths=paths)
    taken = use.trace.cast(_part(use, found, 0), "int", use.at)
    labels, count = _kept(use, taken, use.op("ne", taken, use.trace.const(blank, "int")))
    if use.flag("merge", False):
        labels, count = _kept(use, labels, use.op("and", _changes(use, labels), _before(use, axis, count)))
    several = (labels, count, use.op("last", _part(use, found, 1), axis=axis))
    return Several(several if use.has("paths") else tuple(use.op("reshape", v, shape=()) for v in several))


@define("collapse_repeated", "labels", "int int")
def _(use: Use) -> Item:
    """Equal neighbours become one: labels, and how many."""
    labels = _labels(use)
    return Several(_kept(use, labels, _changes(use, labels)))


@define("compact", "x keep", "same int")
def _(use: Use) -> Item:
    """The steps where the condition holds, moved to the front with zeros behind them; and how many."""
    x = use.any("x")
    keep = use.any("keep")
    if keep.type.dtype != "bool" or keep.type.shape:
        raise use.mistake("E202", f"`compact` needs a condition for each step, not `{use.span('keep').text}`", "keep")
    axis_of(x, use.span("x"))
    return Several(_kept(use, x, use.op("spread", keep, axes=x.type.axes)))


# --- parts -----------------------------------------------------------------------------------------------------


def _scores(use: Use) -> Value:
    value = use.float("scores")
    axis_of(value, use.span("scores"))
    if len(value.type.shape) != 1:
        raise use.mistake(
            "E204", f"`{use.function}` takes one score for each class, but {use.has_shape('scores', value)}", "scores"
        )
    return use.trace.over_batch(value, use.at)


def _labels(use: Use) -> Value:
    value = use.int_value("labels")
    if value.type.shape:
        raise Mistake(
            "E305",
            f"`{use.function}` takes a sequence of labels, but each step of `{use.span('labels').text}` has "
            f"{shape_in_words(value.type.shape)}",
            use.span("labels"),
            help="declare it on an axis of its own: `seq@label int`",
        )
    axis_of(value, use.span("labels"))
    return use.trace.over_batch(value, use.at)


def _blank(use: Use, scores: Value) -> int:
    """The class that says nothing; the last one where none is named."""
    classes, blank = scores.type.shape[0], use.whole("blank", -1)
    if not -classes <= blank < classes:
        raise use.mistake("E206", f"there is no class {blank}: there are {classes}", "blank")
    return blank % classes


def _changes(use: Use, labels: Value) -> Value:
    """Where a label differs from the one before it; true at the first step."""
    axis = axis_of(labels, use.at)
    before = use.op("shift", labels, axis=axis, by=1)
    begin = use.trace.begin_along(axis, use.trace.halts_of(labels, axis), use.at)
    first = use.op("eq", use.op("iota", axis=axis), use.trace.const(0, "int") if begin is None else begin)
    return use.op("or", use.op("ne", labels, before), first)


def _before(use: Use, axis: str, count: Value) -> Value:
    return use.op("lt", use.op("iota", axis=axis), count)


def _at_front(use: Use, x: Value) -> tuple[Value, Value]:
    """A sequence whose own steps are the first ones, as what walks along it takes them; and how many they are."""
    trace, axis = use.trace, axis_of(x, use.at)
    if trace.from_first(x, axis):
        return x, trace.count(x, axis, use.at)
    return _kept(use, x, trace.own_steps(x, axis, use.at))


def _kept(use: Use, x: Value, keep: Value) -> tuple[Value, Value]:
    """The kept steps at the front, 0 behind them; and how many: those of the padding never count."""
    trace, axis = use.trace, axis_of(x, use.at)
    x, keep = trace.over_batch(x, use.at), trace.over_batch(keep, use.at)
    if trace.bounded(x, axis):
        keep = use.op("and", keep, trace.own_steps(x, axis, use.at))
    count = use.op("sum_axes", trace.cast(keep, "int", use.at), axes=(axis,))
    if keep.type.shape != x.type.shape:
        keep = use.op("reshape", keep, shape=(1,) * len(x.type.shape))
        keep = use.op("broadcast", keep, shape=x.type.shape)
    moved = use.op("compact", x, keep, axis=axis)
    trace.masked.add((moved, axis))
    if not trace.from_first(x, axis):
        front = use.op("lt", use.op("iota", axis=axis), trace.count(x, axis, use.at))
        trace.halt(moved, [Halt(axis, front), *(h for h in trace.halts.get(moved, ()) if h.axis != axis)])
    return moved, count


def _part(use: Use, value: Value, place: int) -> Value:
    row = use.op("slice", value, dim=-2, start=place, stop=place + 1)
    return use.op("reshape", row, shape=value.type.shape[1:])
