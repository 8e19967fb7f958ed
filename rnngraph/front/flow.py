"""Functions about how gradients flow, and about the states of a cell that another one runs."""

from __future__ import annotations

import math

from rnngraph.front import calls
from rnngraph.front.arithmetic import broadcasts
from rnngraph.front.builtin import Use, define
from rnngraph.front.levels import Place
from rnngraph.front.mistakes import Mistake
from rnngraph.front.values import Given, Instance, Item, PipeOf, Several, kind_of
from rnngraph.ir.graph import Value
from rnngraph.syntax import ast


@define("detach", "x", "same", lambda x: x)
def _(use: Use) -> Item:
    """The value, through which no gradient flows."""
    return use.op("detach", use.any("x"))


@define("straight_through", "x through", "float", lambda x, through: x)
def _(use: Use) -> Item:
    """The value of the first, with the gradient of the second."""
    x, through = use.float("x"), use.float("through")
    if not broadcasts(x.type.shape, through.type.shape):
        raise use.mistake("E201", f"{use.has_shape('x', x)} but {use.has_shape('through', through)}", "through")
    return use.op("straight_through", x, through)


# --- the states of a cell that is run here --------------------------------------------------------


@define("revise", "cell rule x", "")
def _(use: Use) -> Item:
    """Runs a cell on x; the next value of each of its float states becomes rule(old, new), or rule(new).

    An output that is the new value of a state is the revised one.
    """
    cell, rule = _callable(use, "cell"), _callable(use, "rule")
    scope, level = use.scope, use.trace.level
    text = use.span("cell").text
    name = ast.Name(text if text.isidentifier() else "cell", False, use.span("cell"))
    before = len(level.places)
    result = calls.use(scope, cell, [use.given["x"]], use.at, calls.below(scope, cell, name))
    revised: dict[Value, Item] = {}
    for place in level.places[before:]:
        if isinstance(place.next, Value) and place.param.type.dtype == "float":
            new = _revised(use, rule, place, place.next)
            revised[place.next] = place.next = new
    outputs = tuple(revised.get(o, o) if isinstance(o, Value) else o for o in result.outputs)
    return outputs[0] if len(outputs) == 1 else Several(outputs)


def _callable(use: Use, name: str) -> Instance | PipeOf:
    item = calls.as_callee(use.scope, use.given[name].item, use.span(name))
    if not isinstance(item, (Instance, PipeOf)):
        raise use.mistake("E304", f"`{use.span(name).text}` is {kind_of(item)}, but a cell is needed here", name)
    return item


def _revised(use: Use, rule: Instance | PipeOf, place: Place, new: Value) -> Value:
    """The rule sees a state as a vector, whatever its own shape is."""
    shape = place.param.type.shape
    flat = [v if len(shape) == 1 else use.op("reshape", v, shape=(math.prod(shape),)) for v in (place.param, new)]
    seen = flat if len(calls.input_names(rule)) > 1 else flat[1:]
    result = calls.use(use.scope, rule, [Given(v, use.at) for v in seen], use.at, use.scope.place).item()
    if not isinstance(result, Value) or result.type.shape != flat[0].type.shape:
        raise Mistake("E201", "a rule gives one value of the size of the state", use.span("rule"))
    result = use.trace.over_batch(result, use.at)
    return result if len(shape) == 1 else use.op("reshape", result, shape=shape)
