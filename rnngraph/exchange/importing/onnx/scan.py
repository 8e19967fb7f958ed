"""`Scan` and `Loop`: their body becomes a cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.importing.body import Body, identifier, number, numbered, reserved, type_text
from rnngraph.exchange.importing.onnx.scope import Known, Op, Scope, snake
from rnngraph.exchange.importing.recurrent import begin
from rnngraph.exchange.importing.values import Axis, CannotSay, Dims, Sizes, Value, as_sequence, met, sizes


@dataclass
class Step(Scope):
    """The body of a loop along `axis`. What it takes from around is given to the cell: constants are its own, a
    sequence at the present step is read along with the others, anything else is the same at every step."""

    axis: Axis | None = None
    counter: str = ""
    read: dict[str, str] = field(default_factory=dict)
    """What is read step by step: names in the cell, expressions around it."""
    fixed: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)

    def taken_in(self, value: Known, name: str) -> Known:
        if not isinstance(value, Value) or value.array is not None:
            return value
        own = self.body.fresh(value.text if value.text.isidentifier() else identifier(name))
        self.body.inputs[own] = type_text(value.dims, value.dtype)
        self.fixed[own] = value.text
        return replace(value, text=own, whole=None, rows=(), counts=None)

    def row(self, value: Value, hint: str, dims: Dims) -> Value:
        """A sequence, one step of which the cell reads."""
        own = self.body.fresh(hint)
        self.body.inputs[own] = type_text(dims, value.dtype)
        self.read[own] = value.text
        return Value(own, dims, value.dtype)

    def step_of(self, value: Value, place: int, ids: Value) -> Value | None:
        """What a lookup by the index of the step gives: the step itself."""
        at = place % len(value.dims)
        if not self.counter or ids.text != self.counter or value.dims[at] != self.axis:
            return None
        outer = self.fixed.pop(value.text, "")
        if not outer:
            raise CannotSay("it looks up a step of what the loop itself has made")
        self.body.inputs.pop(value.text)
        dims = (*value.dims[:at], *value.dims[at + 1 :])
        return self.row(replace(value, text=outer), f"{value.text}_now", dims)


def scan(op: Op) -> tuple[Known, ...]:
    if op.whole.opset < 9:
        raise CannotSay("it is of before version 9 of the operators")
    count = op.attribute("num_scan_inputs", 0)
    kept = len(op.inputs) - count
    given, rows = op.values()[:kept], op.values()[kept:]
    places, ways = (op.attribute(f"scan_input_{n}", [0] * count) for n in ("axes", "directions"))
    back, (axis, fixed) = bool(ways[0]), _axis(rows, places)
    step = _step(op, op.attribute("body", None), axis)
    _states(step, step.graph.input[:kept], given)
    for info, row, place, way in zip(step.graph.input[kept:], rows, places, ways, strict=True):
        step.known[info.name] = _slice(step, info.name, row, place % len(row.dims), bool(way) != back, back)
    results = op.whole.read(step)
    if not step.read and not fixed:
        raise CannotSay("it reads no sequence")
    over = f"{{with_}} for {fixed}" if fixed else f"over {{read}}{' reversed' if back else ''}{{with_}}"
    made = _unrolled(op, step, results[:kept], results[kept:], given, over)
    out = [op.attribute(f"scan_output_{n}", [0] * len(made[kept:])) for n in ("axes", "directions")]
    stacks = [_stacked(v, axis, place, bool(way) != back) for v, place, way in zip(made[kept:], *out, strict=True)]
    return (*made[:kept], *stacks)


def _axis(rows: list[Value], places: list[int]) -> tuple[Axis, int]:
    """The sequence that a loop runs along; with a number of steps where it only counts."""
    if all(row.array is not None and np.array_equal(row.array, np.arange(row.array.size)) for row in rows):
        size = rows[0].array.size
        return Axis(f"{size}@for", size=size), size
    axes = [as_sequence(row.dims[place]) for row, place in zip(rows, places, strict=True)]
    for axis in axes:
        met(axes[0], axis)
    return axes[0], 0


def _slice(step: Step, name: str, row: Value, place: int, turned: bool, back: bool) -> Value:
    """One step of a sequence in the body; the index of the step is `t`."""
    dims = (*row.dims[:place], *row.dims[place + 1 :])
    counts = row.counts == step.axis or row.array is not None
    if counts and not back and not turned:
        return Value("t", dims, "int", counts=step.axis)
    if row.array is not None:
        raise CannotSay("it counts backwards")
    row = replace(row, text=f"reversed({row.text})") if turned else row
    return step.row(row, identifier(name.partition(".")[0].partition("/")[0]), dims)


def _stacked(value: Known, axis: Axis, place: int, turned: bool) -> Known:
    if not isinstance(value, Value):
        return None
    dims = list(value.dims)
    dims.insert(place % (len(dims) + 1), axis)
    return replace(value, text=f"reversed({value.text})" if turned else value.text, dims=tuple(dims))


def loop(op: Op) -> tuple[Known, ...]:
    """A loop whose condition is always true, over all steps of a sequence or for a fixed number."""
    graph = op.attribute("body", None)
    trips = op.inputs[0] if op.has(0) else None
    first = list(op.inputs[2:])
    axis, fixed = _trips(trips)
    step = _step(op, graph, axis)
    step.counter = "t"
    step.known[graph.input[0].name] = Value("t", (), "int", counts=axis)
    step.known[graph.input[1].name] = Value("", (), "bool", np.array(True))
    given = [v if isinstance(v, Value) else op.value(i + 2) for i, v in enumerate(first)]
    _states(step, graph.input[2:], given)
    condition, *results = op.whole.read(step)
    if not isinstance(condition, Value) or condition.array is None or not bool(condition.array):
        raise CannotSay("it ends by a condition")
    if not axis and len(results) > len(given):
        raise CannotSay("it hands out what each of a fixed number of steps gives")
    ends, stacks = results[: len(given)], results[len(given) :]
    if axis and not step.read:
        raise CannotSay("it reads no sequence")
    made = _unrolled(op, step, ends, stacks, given, "over {read}{with_}" if axis else f"{{with_}} for {fixed}")
    lead = (axis,) if axis else ()
    stacked = [replace(v, dims=(*lead, *v.dims)) if isinstance(v, Value) else None for v in made[len(given) :]]
    return (*made[: len(given)], *stacked)


def _trips(trips: Known) -> tuple[Axis | None, int]:
    if isinstance(trips, Value) and trips.array is not None:
        return None, int(np.ravel(trips.array)[0])
    if isinstance(trips, Sizes) and isinstance(trips.dims[0], Axis):
        return as_sequence(trips.dims[0]), 0
    raise CannotSay("its number of steps depends on data")


def _step(op: Op, graph: Any, axis: Axis | None) -> Step:
    name = "".join(word[:1].upper() + word[1:] for word in identifier(graph.name or "step").split("_")) or "Step"
    name = f"Own{name}" if name in reserved() else name
    taken = op.whole.cells.keys() | op.whole.texts.keys()
    free = (n for n in numbered(name, "") if n not in taken and n not in reserved())
    body = Body(next(free))
    op.whole.cells[body.name] = body
    return Step(op.whole, body, graph, op.scope, axis=axis)


def _states(step: Step, infos: Any, given: list[Value]) -> None:
    for info, value in zip(infos, given, strict=True):
        hint = identifier(info.name.partition("/")[0])
        hint = hint.rstrip("0123456789").rstrip("_.") or hint
        name = step.body.fresh(identifier(hint))
        kind = "" if value.dtype == "float" else f" {value.dtype}"
        uniform = _uniform(value)
        step.body.states[name] = f"[{', '.join(map(str, value.shape))}]{kind} = {uniform or _none(value.dtype)}"
        step.states.append(name)
        step.known[info.name] = Value(name, value.dims, value.dtype)


def _none(dtype: str) -> str:
    return {"float": "0", "int": "0", "bool": "false"}[dtype]


def _uniform(value: Value) -> str:
    """The number that an initial state is everywhere."""
    array = value.array
    if array is None or not array.size or not np.all(array == array.flat[0]):
        return ""
    return number(array.flat[0], value.dtype == "float") if value.dtype != "bool" else str(bool(array.flat[0])).lower()


def _unrolled(
    op: Op, step: Step, ends: list[Known], stacks: list[Known], given: list[Value], over: str
) -> list[Known]:
    """The statement of the loop: final states, then what each step hands out."""
    if any(value is None for value in (*ends, *stacks)):
        return [None] * (len(ends) + len(stacks))
    body, inner = op.body, step.body
    for state, end, begun in zip(step.states, ends, given, strict=True):
        assert isinstance(end, Value)
        inner.nexts[state] = inner.text_of(replace(end, text=inner.text_of(end), array=None))
        if sizes(end.dims) != sizes(begun.dims):
            raise CannotSay("a state changes its size")
    name = body.instance(snake(inner.name.removeprefix("Own")), inner.name, {})
    outputs = []
    for i, value in enumerate(stacks):
        assert isinstance(value, Value)
        state = next((s for s, end in zip(step.states, ends, strict=True) if end == value and value.array is None), "")
        inner.outputs.append((f"{state}'" if state else inner.text_of(value), ""))
        outputs.append(body.fresh(f"{name}_y" if len(stacks) == 1 else f"{name}_y{i + 1}"))
    if not outputs:
        inner.outputs.append((f"{step.states[0]}'", ""))
        outputs.append(body.fresh(f"{name}_y"))
    final = body.fresh(f"{name}_final")
    shared = ", ".join(f"{own} = {text}" for own, text in step.fixed.items())
    told = over.format(read=", ".join(step.read.values()), with_=f" with {shared}" if shared else "")
    text = f"unroll {name} {told}{_begun(body, step, given)}"
    body.say((*outputs, final), text)
    finals = [
        replace(v, text=f"{final}.{state}", array=None, whole=None, rows=(), counts=None, dims=_wide(v, e))
        for state, v, e in zip(step.states, given, ends, strict=True)
    ]
    shown = [Value(n, v.dims, v.dtype) for n, v in zip(outputs, stacks, strict=False) if isinstance(v, Value)]
    return [*finals, *shown]


def _wide(begun: Value, end: Known) -> Dims:
    """The dimensions of a final state: those of the step's, where the first one is the same for all rows."""
    assert isinstance(end, Value)
    return end.dims if len(end.dims) >= len(begun.dims) else begun.dims


def _begun(body: Body, step: Step, given: list[Value]) -> str:
    if all(_uniform(value) for value in given):
        return ""
    return begin({state: body.text_of(v) for state, v in zip(step.states, given, strict=True)})


RULES: dict[str, Any] = {"Scan": scan, "Loop": loop}
