"""Integers that choose: one look in front of each, whatever is chosen and where."""

from __future__ import annotations

from collections.abc import Iterator

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration import stops
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.trace import Trace


def inside(trace: Trace, ids: Value, size: int, at: Span) -> Value:
    """Integers that choose among `size`: that they lie inside is looked at before or while the model runs.

    What stands in the padding, or behind a `stop`, chooses nothing that is ever seen.
    """
    if not size:
        raise no_entry(0, size, at)
    if ids.op.name == "const" and not 0 <= (place := ids.node.attrs["value"]) < size:
        raise no_entry(place, size, at)
    conditions = [*_of_loops(trace, at), *_of_sequence(trace, ids, at)]
    live = [trace.all_of(conditions, at)] if conditions else []
    return trace.call("inside", ids, *live, at=trace.users(at), size=size)


def _of_loops(trace: Trace, at: Span) -> Iterator[Value]:
    """For each loop around whether the row goes on, where that is not always so."""
    for level in trace.levels():
        if trace.stops:
            yield trace.call("not", stops.has_stopped(trace, level, at), at=at)
        own = trace.own_step(level, at)
        if own is not None:
            yield own


def _of_sequence(trace: Trace, ids: Value, at: Span) -> Iterator[Value]:
    """For each axis of a sequence of integers the row's own steps, where what stands behind them may be anything."""
    for axis in ids.type.axes:
        if axis != BATCH and (ids, axis) not in trace.masked and trace.bounded(ids, axis):
            yield trace.own_steps(ids, axis, at)


def no_entry(place: int, length: int, at: Span) -> Mistake:
    if not length:
        return Mistake("E206", f"`{at.text}` chooses among no elements", at)
    return Mistake(
        "E206",
        f"there is no element {place}: there are {counted(length, 'value')}",
        at,
        help=f"the first is 0, the last {length - 1}",
    )
