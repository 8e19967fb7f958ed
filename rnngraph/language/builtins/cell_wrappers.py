"""Functions that run another cell with its states, or what its products read of them, changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rnngraph.ir.graph import Value
from rnngraph.ir.types import DType
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import calls, instantiation
from rnngraph.language.elaboration.arithmetic import truth
from rnngraph.language.elaboration.loop_levels import Place
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.state_rules import Reading, Reweighing
from rnngraph.language.elaboration.values import Given, Instance, Item, PipeOf, Record, Several, kind_of
from rnngraph.language.syntax import ast


@define("revise", "cell rule x", "", further=True)
def _(use: Use) -> Item:
    """Runs a cell on x; the next value of each of its states becomes rule(old, new), or rule(new).

    Where the rule takes floats, only that of float states. Further arguments go to the rule, by name. An output that is
    the new value of a state is the revised one.
    """
    rule, before = _callable(use, "rule"), len(use.trace.places)
    with use.trace.telling_states_apart():
        result = _inner(use)
    revised: dict[Value, Item] = {}
    for place in use.trace.places[before:]:
        if isinstance(place.next, Value) and _takes(rule, place.param.type.dtype):
            new = _revised(use, rule, place, place.next)
            place.unrevised += (place.next,)
            revised[place.next] = place.next = new
    outputs = tuple(revised.get(o, o) if isinstance(o, Value) else o for o in result.outputs)
    return outputs[0] if len(outputs) == 1 else Several(outputs)


@define("read_through", "cell rule x", "")
def _(use: Use) -> Item:
    """Runs a cell on x; where a product of it reads the old value of a float state, it reads rule(old) instead."""
    return _with_products(use, Reading, _seen_as_vector)


@define("reweigh", "cell rule x", "")
def _(use: Use) -> Item:
    """Runs a cell on x; where a product of it multiplies the old value of a float state by weights, it uses rule(w)."""
    return _with_products(use, Reweighing, _seen_as_matrix)


def _with_products(
    use: Use, kind: type[Reading | Reweighing], seen: Callable[[Use, Instance | PipeOf, Value], Value]
) -> Item:
    """What a cell gives whose products are made of what the rule makes."""
    trace, rule = use.trace, _callable(use, "rule")
    reading = kind(trace.level, trace.places, len(trace.places), lambda value: seen(use, rule, value))
    with trace.reading((*trace.readings, reading)):
        result = _inner(use)
    if not reading.made and not trace.report.errors:
        raise _reads_none(use)
    return result.item(Record({}))


@define("restart", "cell condition x", "")
def _(use: Use) -> Item:
    """Runs a cell on x; where the condition holds, its states are before the step what they are at the beginning."""
    trace = use.trace
    condition = trace.over_batch(truth(trace, use.given["condition"].item, use.span("condition")), use.at)
    if condition.type.shape:
        raise use.mistake("E201", f"{use.has_shape('condition', condition)}: one condition is needed", "condition")
    with trace.restarting(condition):
        return _inner(use).item(Record({}))


def _reads_none(use: Use) -> Mistake:
    return Mistake(
        "E304",
        f"no product of `{_callable(use, 'cell').title}` reads a state of its own, so there is nothing to change",
        use.span("cell"),
        help="what a state stores stays the same: `revise` changes that",
    )


def _inner(use: Use) -> calls.Result:
    """The cell that is run here on x, its states named after it."""
    cell, at = _callable(use, "cell"), use.span("cell")
    name = ast.Name(at.text if at.text.isidentifier() else "cell", False, at)
    return calls.use(use.scope, cell, [use.given["x"]], use.at, instantiation.below(use.scope, cell, name))


def _callable(use: Use, name: str) -> Instance | PipeOf:
    item = instantiation.as_callee(use.scope, use.given[name].item, use.span(name))
    if not isinstance(item, (Instance, PipeOf)):
        raise use.mistake("E304", f"`{use.span(name).text}` is {kind_of(item)}, but a cell is needed here", name)
    return item


def _takes(rule: Instance | PipeOf, dtype: DType) -> bool:
    """Whether a rule is for states of this kind: an input without a type takes any."""
    if isinstance(rule, PipeOf):
        return dtype == "float"
    types = [s.type for s in rule.definition.body if isinstance(s, ast.Input)]
    return all(type.anything or type.dtype == dtype for type in types[:1])


def _revised(use: Use, rule: Instance | PipeOf, place: Place, new: Value) -> Value:
    further = [given for name, given in use.given.items() if name not in ("cell", "rule", "x")]
    old = (place.old,) if len(instantiation.input_names(rule)) - len(further) > 1 else ()
    return _seen_as_vector(use, rule, *old, new, further=further)


def _seen_as_matrix(use: Use, rule: Instance | PipeOf, weight: Value) -> Value:
    """What the rule makes of weights. It sees them as a matrix, with a row for each entry of the first dimension."""
    shape = weight.type.shape
    matrix = (shape[0], math.prod(shape[1:]))
    given = weight if shape == matrix else use.op("reshape", weight, shape=matrix)
    result = calls.use(use.scope, rule, [Given(given, use.at)], use.at, use.scope.place).item(Record({}))
    if not isinstance(result, Value) or result.type.shape != matrix:
        raise Mistake("E201", "a rule for weights gives a matrix of their size", use.span("rule"))
    return result if shape == matrix else use.op("reshape", result, shape=shape)


def _seen_as_vector(use: Use, rule: Instance | PipeOf, *values: Value, further: Sequence[Given] = ()) -> Value:
    """What the rule makes of values of a state. It sees each as a vector, whatever the state's own shape is."""
    shape = values[0].type.shape
    flat = [v if len(shape) == 1 else use.op("reshape", v, shape=(math.prod(shape),)) for v in values]
    given = [*(Given(v, use.at) for v in flat), *further]
    result = calls.use(use.scope, rule, given, use.at, use.scope.place).item(Record({}))
    if not isinstance(result, Value) or result.type.shape != flat[0].type.shape:
        raise Mistake("E201", "a rule gives one value with the size of the state", use.span("rule"))
    result = use.trace.over_batch(result, use.at)
    return result if len(shape) == 1 else use.op("reshape", result, shape=shape)
