"""The real steps of a sequence, and losses that are averaged over some of steps and rows."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import indexing, sequences
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.sequences import axis_of
from rnngraph.language.elaboration.values import Item


@define("sequence_mask", "x", "bool")
def _(use: Use) -> Item:
    """True at each row's own steps, false behind them."""
    value = use.any("x")
    axis = axis_of(value, use.span("x"))
    if use.trace.bounded(value, axis):
        return use.trace.own_steps(value, axis, use.at)
    return use.op("spread", use.trace.const(True, "bool"), axes=(axis, BATCH))


@define("sequence_loss", "scores target weights? over_steps? over_batch?", "float")
def _(use: Use) -> Item:
    """Weighted cross-entropies: their sum over steps, rows or both, divided by the sum of the weights and 1e-12."""
    scores, target = use.float("scores"), use.int_value("target")
    axis = axis_of(scores, use.span("scores"))
    if len(scores.type.shape) != 1 or target.type.shape:
        raise use.mistake(
            "E201",
            f"`sequence_loss` takes one score for each class and the right class, but {use.has_shape('scores', scores)}"
            f" and {use.has_shape('target', target)}",
            "scores",
        )
    logs = use.op("log_softmax", scores, dim=-1)
    right = indexing.chosen(use.trace, logs, target, use.at, use.span("target"))
    loss = use.trace.over_batch(use.op("neg", right), use.at)
    weights = _weights(use, loss, axis)
    weighted = use.trace.clean(use.op("mul", loss, weights), use.at)
    axes = tuple(a for a, wanted in ((axis, "over_steps"), (BATCH, "over_batch")) if use.flag(wanted, True))
    if not axes:
        return weighted
    return use.op("div", use.op("sum_axes", weighted, axes=axes), _total(use, weights, axes))


def _weights(use: Use, loss: Value, axis: str) -> Value:
    """One for each step and row; 0 where the loss has no step."""
    trace = use.trace
    if use.flag("over_batch", True) and trace.level.parent is not None:
        raise Mistake("E314", "a mean over the batch is not possible inside a step", use.at)
    value = use.float("weights") if use.has("weights") else use.number(1.0)
    if value.type.shape:
        raise use.mistake(
            "E201", f"one weight is needed for each step, but {use.has_shape('weights', value)}", "weights"
        )
    return sequences.at_steps_of(trace, loss, use.op("spread", value, axes=(axis, BATCH)), axis, use.at)


def _total(use: Use, weights: Value, axes: tuple[str, ...]) -> Value:
    """With 1e-12, as `tf.contrib.seq2seq.sequence_loss` has it, so that no weight at all gives 0."""
    return use.op("add", use.op("sum_axes", weights, axes=axes), use.number(1e-12))
