"""Cross-entropy of scores, which are logits, and the right classes, with what else its users ask of it."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, union
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import indexing, sequences
from rnngraph.language.elaboration.index_checks import inside
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.values import Item


@define("cross_entropy", "scores label weights? ignore? smoothing? mean?", "float")
def _(use: Use) -> Item:
    """One number for each label; with weights or an ignored label, the mean over all labels that PyTorch has."""
    scores, label = use.float("scores"), use.any("label")
    if not scores.type.shape:
        raise scores_and(use, scores, label)
    if not scores.type.shape[-1]:
        raise use.mistake("E203", f"{use.has_shape('scores', scores)}: there is no class", "scores")
    logs = use.op("log_softmax", scores, dim=-1)
    weights = _weights(use, scores.type.shape[-1])
    if label.type.dtype == "int":
        need_scores(use, scores, label)
        terms, share = _of_classes(use, logs, label, weights)
    else:
        if label.type.shape != scores.type.shape:
            raise scores_and(use, scores, label)
        terms, share = _of_distribution(use, logs, use.float("label"), weights), use.number(1.0)
    return _mean(use, terms, share) if use.flag("mean", use.has("weights") or use.has("ignore")) else terms


def need_scores(use: Use, scores: Value, label: Value) -> None:
    """Refuses scores that do not have one more dimension than the labels, for the classes."""
    if not scores.type.shape or label.type.shape != scores.type.shape[:-1]:
        raise scores_and(use, scores, label)


def scores_and(use: Use, scores: Value, label: Value) -> Mistake:
    return Mistake(
        "E201",
        f"`{use.function}` takes one score for each class and the number of the right class, but "
        f"{use.has_shape('scores', scores)} and {use.has_shape('label', label)} ({label.type.dtype})",
        use.at,
    )


def _weights(use: Use, classes: int) -> Value | None:
    if not use.has("weights"):
        return None
    weights = use.float("weights")
    if weights.type.shape != (classes,):
        message = f"there is one weight for each of {classes} classes, but {use.has_shape('weights', weights)}"
        raise use.mistake("E201", message, "weights")
    return weights


def _smoothing(use: Use) -> Value:
    item = use.given["smoothing"].item
    if isinstance(item, (int, float)) and not 0 <= item <= 1:
        raise use.mistake("E207", f"`smoothing` is a share from 0 to 1, not {item}", "smoothing")
    value = use.float("smoothing")
    if value.type.shape:
        raise use.mistake("E204", f"`smoothing` is one number, but {use.has_shape('smoothing', value)}", "smoothing")
    return value


def _mixed(use: Use, sharp: Value, even: Value) -> Value:
    """`sharp`, with a share of `even` where smoothing is asked for."""
    share = _smoothing(use)
    kept = use.op("mul", use.op("sub", use.number(1.0), share), sharp)
    return use.op("add", kept, use.op("mul", share, even))


# --- the right class ------------------------------------------------------------------------------


def _of_classes(use: Use, logs: Value, label: Value, weights: Value | None) -> tuple[Value, Value]:
    """Minus the logarithm of the right class's probability, and what each label counts; both 0 where it is ignored."""
    ignored = _ignored(use, label)
    ids = label if ignored is None else use.op("where", ignored, use.trace.const(0, "int"), label)
    terms, share = use.op("neg", _right(use, logs, ids)), use.number(1.0)
    if weights is not None:
        share = indexing.chosen(use.trace, weights, ids, use.at, use.span("label"))
        terms = use.op("mul", share, terms)
    if use.has("smoothing"):
        each = logs if weights is None else use.op("mul", weights, logs)
        even = use.op("mul", use.op("sum", each, dims=(-1,)), use.number(-1.0 / logs.type.shape[-1]))
        terms = _mixed(use, terms, even)
    if ignored is None:
        return terms, share
    zero = use.number(0.0)
    return use.op("where", ignored, zero, terms), use.op("where", ignored, zero, share)


def _ignored(use: Use, label: Value) -> Value | None:
    if not use.has("ignore"):
        return None
    return use.op("eq", label, use.trace.const(use.whole("ignore", -1), "int"))


def _right(use: Use, logs: Value, ids: Value) -> Value:
    """Of each row of logarithms the entry of its class."""
    if not ids.type.shape:
        return indexing.chosen(use.trace, logs, ids, use.at, use.span("label"))
    ids = inside(use.trace, ids, logs.type.shape[-1], use.span("label"))
    axes, shape = union((logs.type, ids.type)), ids.type.shape
    logs, ids = (v if v.type.axes == axes else use.op("spread", v, axes=axes) for v in (logs, ids))
    return use.op("reshape", use.op("entries", logs, use.op("reshape", ids, shape=(*shape, 1))), shape=shape)


def _of_distribution(use: Use, logs: Value, target: Value, weights: Value | None) -> Value:
    if use.has("ignore"):
        raise use.mistake("E202", "a distribution over the classes has no label to ignore", "ignore")
    if use.has("smoothing"):
        target = _mixed(use, target, use.number(1.0 / target.type.shape[-1]))
    terms = use.op("mul", target, logs)
    if weights is not None:
        terms = use.op("mul", weights, terms)
    return use.op("neg", use.op("sum", terms, dims=(-1,)))


# --- the mean -------------------------------------------------------------------------------------


def _mean(use: Use, terms: Value, share: Value) -> Value:
    """The sum over dimensions, real steps and rows, divided by what all labels count; 0 where that is 0."""
    trace = use.trace
    if trace.level.parent is not None:
        help = "`mean = false` gives each label a number of its own"
        raise Mistake("E314", "a mean over the batch is not possible inside a step", use.at, help=help)
    if share.type.shape != terms.type.shape:
        share = use.op("broadcast", share, shape=terms.type.shape)
    dims = tuple(range(-len(terms.type.shape), 0))
    terms, share = (use.op("sum", v, dims=dims) if dims else v for v in (terms, share))
    if terms.type.axes:
        terms = trace.over_batch(terms, use.at)
        axes = terms.type.axes
        share = share if share.type.axes == axes else use.op("spread", share, axes=axes)
        for axis in axes:
            share = share if axis == BATCH else sequences.at_steps_of(trace, terms, share, axis, use.at)
        terms, share = (use.op("sum_axes", v, axes=axes) for v in (trace.clean(terms, use.at), share))
    none = use.op("eq", share, use.number(0.0))
    return use.op("div", terms, use.op("where", none, use.number(1.0), share))
