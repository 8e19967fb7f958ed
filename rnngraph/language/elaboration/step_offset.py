"""Which step of a whole sequence a step is, where a run is a later piece of it.

A model whose numbers depend on that, by `t`, `position` or what is drawn, that hands out some of its states only, or
that cannot go on in the middle of a sequence at all, has one value more beside its states: `final.t`, how many steps of
a row are over. It is handed on like them (as `t@time` where no loop along `time` hands on anything). Only where it is
given does the graph add it to the place on the axis.
"""

from __future__ import annotations

from math import lcm

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, Type, every, is_fixed, root, stride
from rnngraph.language.elaboration.elaborated import StateInput
from rnngraph.language.elaboration.loop_levels import Handed, Level
from rnngraph.language.elaboration.streamable import of_going_on
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item, Part, Record, free

COUNT = Type((BATCH,), (), "int")


# --- reading the place ------------------------------------------------------------------------------------------


def at_step(trace: Trace, level: Level, at: Span) -> Value:
    """The step that a loop is at, counted from the beginning of the sequence."""
    level.placed = True
    assert level.parent is not None
    with trace.at(level.parent):
        first = start(trace, level.axis, at, level)
    with trace.at(level):
        counter = trace.counter(level)
        return counter if first is None else trace.call("add", first, counter, at=at)


def step(trace: Trace, level: Level, at: Span) -> Value:
    """`t` as the user counts: from 0 at the first step that runs, also where time runs backwards."""
    if level.reverse:
        return trace.steps_back(level, at)
    here = at_step(trace, level, at)
    assert level.parent is not None
    with trace.at(level.parent):
        begin = trace.begin_along(level.axis, level.halts, at)
    with trace.at(level):
        return here if begin is None else trace.call("sub", here, begin, at=at)


def along(trace: Trace, axis: str, at: Span) -> Value:
    """The step that each place on an axis is, counted from the beginning of the sequence."""
    trace.placed.add(root(axis))
    first, places = start(trace, axis, at), trace.call("iota", at=at, axis=axis)
    return places if first is None else trace.call("add", first, places, at=at)


def start(trace: Trace, axis: str, at: Span, loop: Level | None = None) -> Value | None:
    """How many steps went before this run, of each row; None where it is told that none did.

    A loop goes by its own record where that tells, else by what is told of its axis. An axis of a fixed number of
    steps is no loop's but its own.
    """
    told = [s for s in trace.fed.values() if s.begins and s.axis == axis]
    own = [s for s in told if loop and (s.name.rpartition(".")[0], s.loop) == (loop.record, loop.span)]
    for state in own or ([] if is_fixed(axis) else told):
        return trace.input(state.name, "state", COUNT, state.span)
    base, by = every(axis)
    whole = start(trace, base, at) if base else None
    return None if whole is None else trace.part_of(whole, by, at)


def note_stride(trace: Trace, axis: str) -> None:
    """Every k-th step is another one unless a piece begins at a multiple of k."""
    if stride(axis) > 1:
        trace.placed.add(root(axis))
        trace.strides[root(axis)] = lcm(stride(axis), trace.strides.get(root(axis), 1))


# --- what is handed on ------------------------------------------------------------------------------------------


def finish(trace: Trace, outputs: list[Item]) -> None:
    """Adds `t` to the records that need it, once the whole model is known."""
    shown = [v for item in outputs for v in _values(item)]
    for axis in _axes(trace):
        here = [h for h in trace.handed if h.axis == axis]
        out = [h for h in here if any(s.final in shown for s in h.states)]
        partly = out and not is_fixed(axis) and any(s.final not in shown for h in here for s in h.states)
        placed = axis in trace.placed or partly or _is_kept_from(trace, axis, shown)
        for handed in here:
            if handed.placed or (placed and handed is (out or here)[0]):
                _count(trace, handed)
        if placed and not here and not is_fixed(axis):
            span = next(i.span for i in trace.data if axis in i.axes)
            assert span is not None
            trace.handed.append(handed := Handed("", axis, True, span, []))
            _count(trace, handed)


def _axes(trace: Trace) -> list[str]:
    """Those of the data first."""
    return list(dict.fromkeys((*(axis for i in trace.data for axis in i.axes), *(h.axis for h in trace.handed))))


def _is_kept_from(trace: Trace, axis: str, shown: list[Value]) -> bool:
    """Whether the model cannot go on in the middle of an axis, though it hands on something along it."""
    states = [s for h in trace.handed for s in h.states]
    along = any(root(h.axis) == axis for h in trace.handed)
    return along and bool(of_going_on(shown, states, axis))


def _values(item: Item) -> list[Value]:
    match item:
        case Record():
            return [p.value for p in item.parts.values()]
        case Part():
            return [item.value]
        case _:
            return [item] if isinstance(item, Value) else []


def _count(trace: Trace, handed: Handed) -> None:
    at, taken = handed.span, {s.name for s in handed.states}
    name = free(f"{handed.record}.t", taken) if handed.record else f"t@{handed.axis}"
    over = trace.over_batch(trace.extent(handed.axis, at), at)
    if name in trace.fed:
        first = trace.input(name, "state", COUNT, at)
        over = trace.call("add", first, over, at=at)
    else:
        first = trace.over_batch(trace.const(0, "int"), at)
    handed.beside[name.removeprefix(f"{handed.record}.")] = over
    pace = trace.strides.get(handed.axis, 1)
    handed.states.append(StateInput(name, COUNT, first, at, over, handed.axis, at, True, pace))
