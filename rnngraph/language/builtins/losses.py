"""Losses: one number for each example and step."""

from __future__ import annotations

import math

from rnngraph.language.builtins.definition import Use, define, pair
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.values import Item


@define("binary_cross_entropy", "logit target positive?", "float")
def _(use: Use) -> Item:
    """-target log sigmoid(logit) - (1 - target) log sigmoid(-logit), as softplus(logit) - target * logit.

    The first term counts `positive` times: (1 - target) logit + (1 + (positive - 1) target) softplus(-logit).
    """
    logit, target = pair(use, "logit", "target")
    logit, target = (use.trace.cast(v, "float", use.at) for v in (logit, target))
    if use.has("positive"):
        more = use.op("mul", target, use.op("sub", use.float("positive"), use.number(1.0)))
        right = use.op("mul", use.op("add", more, use.number(1.0)), use.op("softplus", use.op("neg", logit)))
        return use.op("add", use.op("mul", use.op("sub", use.number(1.0), target), logit), right)
    return use.op("sub", use.op("softplus", logit), use.op("mul", target, logit))


@define("squared_error", "a b", "float")
def _(use: Use) -> Item:
    """The mean over the dimensions of the squared difference: one number for each example and step."""
    a, b = (use.trace.cast(v, "float", use.at) for v in pair(use, "a", "b"))
    square = use.op("square", use.op("sub", a, b))
    rank, count = len(square.type.shape), math.prod(square.type.shape)
    if not rank:
        return square
    if not count:
        raise Mistake("E203", f"{use.has_shape('a', square)}: there is no mean of no entries", use.at)
    return use.op("mul", use.op("sum", square, dims=tuple(range(-rank, 0))), use.number(1.0 / count))
