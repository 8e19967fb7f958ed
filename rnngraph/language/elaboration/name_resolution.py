"""Names: what each stands for in the body that it stands in."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.language.builtins.registry import is_function
from rnngraph.language.elaboration import step_offset
from rnngraph.language.elaboration.declarations import declare
from rnngraph.language.elaboration.expressions import form
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Builtin, Class, Item, Poison
from rnngraph.language.syntax.ast import Name


@form(Name)
def look_up(scope: Scope, name: Name) -> Item:
    """What a name stands for; a Mistake where it stands for nothing, an Echo where its own line was wrong."""
    item = _primed(scope, name) if name.primed else _plain(scope, name)
    if isinstance(item, Poison):
        raise Echo
    return item


def _plain(scope: Scope, name: Name) -> Item:
    if name.name in scope.pending:
        declare(scope, scope.pending[name.name])
    if name.name in scope.names:
        return scope.names[name.name].item
    if name.name == "training":
        scope.trace.asks_training = True
        return scope.trace.training
    if name.name == "t":
        return _step_index(scope, name)
    if name.name in scope.world:
        return Class(scope.world[name.name])
    if is_function(name.name):
        return Builtin(name.name)
    raise Mistake(
        "E101",
        f"there is no `{name.name}` here",
        name.span,
        help=scope.trace.hints.of(name.name, scope.known, id(scope.definition)),
    )


def _primed(scope: Scope, name: Name) -> Item:
    if name.name in scope.primed:
        return scope.primed[name.name]
    if name.name in scope.pending:
        _plain(scope, Name(name.name, False, name.span))
    if name.name in scope.states:
        raise Mistake(
            "E107",
            f"`{name.name}'` is used before it is given a value",
            name.span,
            labels=(Label(scope.states[name.name].span, "the state"),),
            help=f"move the line `{name.name}' = ...` above this one, or read the old value `{name.name}`",
        )
    hint = scope.trace.hints.of(name.name, scope.known_states, ("state", id(scope.definition)))
    raise Mistake(
        "E106",
        f"`{name.name}'` is the next value of a state, but there is no state `{name.name}`",
        name.span,
        help=f"{hint[:-2]}'`?" if hint.endswith("`?") else hint or f"declare it: `state {name.name}: [...]`",
    )


def _only_axis(name: Name, given: str, axes: tuple[str, ...]) -> str:
    """The axis that `t` counts along."""
    if len(axes) > 1:
        raise Mistake(
            "E305",
            f"`t` is the index of one step, but `{given}` runs over {' and '.join(axes)}",
            name.span,
            help="the index along one of them is `position(axis = NAME)`",
        )
    return axes[0]


def _step_index(scope: Scope, name: Name) -> Item:
    trace = scope.trace
    along = scope.sequences()
    if along:
        return step_offset.along(trace, _only_axis(name, *along[0]), name.span)
    if trace.level.parent is not None:
        return step_offset.step(trace, trace.level, name.span)
    raise Mistake(
        "E101",
        "`t`, the index of the step, is only defined inside a loop over steps",
        name.span,
        help="use it in a cell that is unrolled",
    )
