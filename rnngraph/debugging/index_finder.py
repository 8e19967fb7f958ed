"""Which integer chose what is not there: a run is repeated one equation at a time until it comes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnngraph.debugging.replay import Arrays, Compiled, Done, Rerun, place, rerun
from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import CannotDo, OutsideIndex
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Node
from rnngraph.ir.types import BATCH, union
from rnngraph.passes.index_checks import INSIDE, without_proven

SHORT = 30
"""Characters of an expression that a piece of advice repeats."""


class Choice(NamedTuple):
    """An integer outside of what it chooses from: who chose, when, and for which row of the batch."""

    node: Node
    value: int
    place: tuple[str, ...]
    row: int | None
    loop: Span | None


def explained(program: Compiled, data: Arrays, weights: Arrays) -> OutsideIndex:
    """The error of a run that went outside somewhere: the first place in the order in which things are computed.

    Where there is no room to look for it, or it does not come again (other kernels round otherwise), the error names
    the lines that it can have come from.
    """
    try:
        found = _first(rerun(program, data, weights))
    except CannotDo:
        found = None
    return OutsideIndex(_unfound(program)) if found is None else OutsideIndex(_said(found), found.row)


@np.errstate(all="ignore")
def _first(run: Rerun) -> Choice | None:
    return next((found for done in run.steps if (found := _choice(done, run)) is not None), None)


def _choice(done: Done, run: Rerun) -> Choice | None:
    node = done.step.node
    if node.op is not INSIDE:
        return None
    types = [v.type for v in node.inputs]
    axes, rank = union(types), len(types[0].shape)
    ids, *live = (_lined(array, t.axes, axes, rank) for array, t in zip(done.ins, types, strict=True))
    bad = (ids < 0) | (ids >= node.attrs["size"])
    for one in live:
        bad = bad & one
    if not bad.any():
        return None
    index = tuple(int(i) for i in np.argwhere(bad)[0])  # time is the first axis: the earliest step
    kind = types[0].with_axes(axes)
    row = index[axes.index(BATCH)] if BATCH in axes else None
    value = int(np.broadcast_to(ids, bad.shape)[index])
    return Choice(node, value, place(index, kind, done.turns), row, run.loops.get(node))


def _lined(array: Any, own: tuple[str, ...], axes: tuple[str, ...], rank: int) -> Any:
    """An array with every axis of the others, and as many dimensions."""
    lined = array[(*(slice(None) if axis in own else None for axis in axes), ...)]
    return lined.reshape((*lined.shape, *(1,) * (len(axes) + rank - lined.ndim)))


# --- what is said ------------------------------------------------------------------------------------------------


def _said(found: Choice) -> Diagnostic:
    size, span = found.node.attrs["size"], found.node.origin.span
    where = f" at {', '.join(found.place)}" if found.place else ""
    away = found.loop is not None and span is not None and found.loop.source != span.source
    return Diagnostic(
        "E540",
        f"an index is {found.value}{where}, expected 0 to {size - 1}",
        span,
        f"the indexed dimension has {size} entries",
        (Label(found.loop, "run here"),) if away and found.loop else (),
        _guard(found),
    )


def _unfound(program: Compiled) -> Diagnostic:
    looks = [node for node in without_proven(program.made.graph).all_nodes() if node.op is INSIDE]
    spans = list(dict.fromkeys(node.origin.span for node in looks if node.origin.span))
    first, others = (spans[0] if spans else None), tuple(Label(span, "or here") for span in spans[1:])
    return Diagnostic("E540", "an index is out of range", first, "here", others, "guard it")


def _guard(found: Choice) -> str:
    """How the user's own expression is kept inside."""
    span, size = found.node.origin.span, found.node.attrs["size"]
    text = " ".join(span.text.split()) if span else ""
    if not text or len(text) > SHORT:
        text = "i"
    condition = f"{text} >= 0" if found.value < 0 else f"{text} < {size}"
    return f"choose another entry there, as `where({condition}, {text}, 0)` does"
