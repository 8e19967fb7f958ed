"""Parameters and states: what is made where they are declared, or where they are first asked for."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.ir.graph import Value, body_param
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.elaboration import expressions, from_clause, initialisers, truncation
from rnngraph.language.elaboration.elaborated import Weight
from rnngraph.language.elaboration.loop_levels import Place, State
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.poisoning import recovered
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Item
from rnngraph.language.syntax import ast


def declare(scope: Scope, s: ast.Param | ast.State) -> None:
    """Makes a parameter or a state; told here, since it may be asked for from another line."""
    scope.pending.pop(s.name, None)
    with recovered(scope, s):
        _refuse_twice(scope, s)
        if isinstance(s, ast.Param):
            _param(scope, s)
        else:
            _state(scope, s)


def _refuse_twice(scope: Scope, s: ast.Param | ast.State) -> None:
    """Two of one name, in blocks side by side, would be one weight or one state."""
    name = ".".join((s.name, *scope.suffix))
    if name in scope.declared:
        first = Label(scope.declared[name], "first declared here")
        help = f"both would be called `{name}`: give one of them another name"
        raise Mistake("E103", f"`{s.name}` is declared twice", s.name_span, labels=(first,), help=help)
    scope.declared[name] = s.name_span


def _param(scope: Scope, s: ast.Param) -> None:
    trace = scope.trace
    if s.type.axes or s.type.dtype != "float":
        raise Mistake("E202", f"the parameter `{s.name}` must be float, and no sequence", s.type.span)
    shape = tuple(expressions.size(scope, e) for e in s.type.sizes)
    name = ".".join((*scope.path, s.name, *scope.suffix))
    if name in trace.weights:
        _check_same(scope, s, name, shape)
    else:
        trace.weights[name] = Weight(name, shape, initialisers.of(scope, s, shape), s.frozen, s.name_span)
        if scope.owner is not None:
            scope.owner.shapes[name] = (shape, scope.called_at)
    value = trace.input(name, "weight", Type((), shape), s.name_span)
    scope.bind(s.name, value, "param", s.name_span, s.type)


def _check_same(scope: Scope, s: ast.Param, name: str, shape: tuple[int, ...]) -> None:
    """An instance that is used again must see inputs of the same sizes."""
    first = scope.trace.weights[name].shape
    if first == shape:
        return
    before = scope.owner.shapes.get(name) if scope.owner else None
    labels = (Label(before[1], f"first used here, with `{s.name}` [{_sizes(first)}]"),) if before else ()
    raise Mistake(
        "E205",
        f"this use of `{'.'.join(scope.path)}` would need `{s.name}` to be [{_sizes(shape)}], "
        f"but it is [{_sizes(first)}] already",
        scope.called_at,
        labels=labels,
        help="one instance has one set of weights: make a second instance for inputs of another size",
    )


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _state(scope: Scope, s: ast.State) -> None:
    trace, states = scope.trace, scope.trace.states
    if states is None:
        raise Mistake("E311", "a model has no states of its own", s.span, help="write a `cell` and `unroll` it")
    shape = tuple(expressions.size(scope, e) for e in s.type.sizes)
    type = Type((BATCH,), shape, s.type.dtype).with_axes((BATCH, *_axes(scope, s)))
    name = ".".join((*scope.place, s.name, *scope.suffix))
    trace.name = s.name
    place = (_carried if states.looped else _given)(scope, s, name, type)
    seen = truncation.read(trace, place.param, s.name_span) if states.looped else place.param
    place.begun = None if seen is place.param else seen
    for condition in trace.restarts:
        init = trace.bring(place.init, s.name_span)
        place.begun = trace.call("where", condition, init, place.old, at=s.name_span)
    states.places.append(place)
    scope.states[s.name] = place
    scope.bind(s.name, place.old, "state", s.name_span, s.type)
    if scope.owner is not None:
        scope.owner.states[".".join((s.name, *scope.suffix))] = (shape, s.name_span)


def _axes(scope: Scope, s: ast.State) -> tuple[str, ...]:
    """The axes of a state that is a sequence: those of inputs over the axes of these names."""
    return tuple(_axis(scope, s, name) for name in s.type.over)


def _axis(scope: Scope, s: ast.State, name: str) -> str:
    if name not in scope.axes:
        raise Mistake(
            "E305",
            f"the state `{s.name}` runs over {name}, but no input of `{scope.definition.name}` does",
            s.type.span,
            help=f"declare an input over this axis: `input memory: seq@{name}[n]`",
        )
    return scope.axes[name]


def _carried(scope: Scope, s: ast.State, name: str, type: Type) -> Place:
    """A state of the loop around, with its value before the first step."""
    trace = scope.trace
    assert trace.level.parent is not None
    with trace.at(trace.level.parent), trace.calling(None):
        first = _first_value(scope, s, type)
    trace.name = s.name
    param = trace.own(body_param(name, type, trace.origin(s.name_span)))
    return Place(name, scope.place, param, first, s.name_span)


def _given(scope: Scope, s: ast.State, name: str, type: Type) -> Place:
    """A state of a single call: a value from the start. It begins anew as in a loop, not at what it was given."""
    trace, states = scope.trace, scope.trace.states
    assert states is not None
    told = from_clause.first(trace, states, State(name, type, s.name_span))
    first = told
    if first is None or trace.restarts:
        with trace.calling(None):
            first = _first_value(scope, s, type)
    trace.name = s.name
    own = trace.call("identity", told or first, at=s.name_span)  # one of its own, by which rules for states know it
    return Place(name, scope.place, own, first, s.name_span)


def _first_value(scope: Scope, s: ast.State, type: Type) -> Value:
    """The value before the first step, made outside of the loop."""
    zero = False if type.dtype == "bool" else 0
    item: Item = zero if s.initial is None else expressions.one(scope, s.initial)
    at = s.name_span if s.initial is None else s.initial.span
    value = scope.trace.bring(scope.trace.fit(item, type.shape, type.dtype, at, f"the state `{s.name}`"), at)
    return scope.trace.over(value, type.axes, at)
