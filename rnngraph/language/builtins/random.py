"""Random values: they depend on the seed, the place in the model, the step and the row alone."""

from __future__ import annotations

import math

from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import sequences
from rnngraph.language.elaboration.values import Item


def _uniform(use: Use, shape: tuple[int, ...]) -> Value:
    """For each step of the sequences that the body around is given, or one for all steps, or for all rows too."""
    if use.flag("per_batch", False):
        return sequences.uniform_once(use.trace, shape, use.at)
    axes = use.scope.sequence_axes()
    return sequences.uniform(use.trace, shape, axes, use.at, use.flag("per_sequence", False))


@define("uniform", "shape per_sequence? per_batch?", "float")
def _(use: Use) -> Item:
    return _uniform(use, use.sizes("shape"))


@define("normal", "shape per_sequence? per_batch?", "float")
def _(use: Use) -> Item:
    """Box and Muller (1958), "A note on the generation of random normal deviates"."""
    shape = use.sizes("shape")
    u = use.op("maximum", _uniform(use, shape), use.number(1e-12))
    radius = use.op("sqrt", use.op("mul", use.op("log", u), use.number(-2.0)))
    return use.op("mul", radius, use.op("cos", use.op("mul", _uniform(use, shape), use.number(2.0 * math.pi))))


@define("categorical", "scores", "int")
def _(use: Use) -> Item:
    """A draw with probabilities softmax(scores), as the largest score with Gumbel noise added."""
    scores = use.float("scores")
    axes = tuple(a for a in scores.type.axes if a != BATCH)
    u = use.op("maximum", sequences.uniform(use.trace, scores.type.shape, axes, use.at), use.number(1e-12))
    gumbel = use.op("neg", use.op("log", use.op("neg", use.op("log", u))))
    return use.op("argmax", use.op("add", scores, gumbel), dim=use.dim(scores, "axis"))
