"""Metrics: one number for each example and step, which is told and not learnt from."""

from __future__ import annotations

from rnngraph.language.builtins.cross_entropy import need_scores
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.index_checks import inside
from rnngraph.language.elaboration.values import Item


@define("accuracy", "scores label", "float")
def _(use: Use) -> Item:
    scores, label = use.value("scores"), use.int_value("label")
    need_scores(use, scores, label)
    label = inside(use.trace, label, scores.type.shape[-1], use.span("label"))
    return use.trace.cast(use.op("eq", use.op("argmax", scores, dim=-1), label), "float", use.at)
