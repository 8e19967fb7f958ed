"""Assignments: `a, b = ...` and the next value of a state."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration import declarations, expressions, indexing, instantiation, loops
from rnngraph.language.elaboration.loop_levels import Place, Watched
from rnngraph.language.elaboration.mistakes import Echo, Mistake, counted, shape_in_words
from rnngraph.language.elaboration.name_resolution import look_up
from rnngraph.language.elaboration.poisoning import FIXED
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.statements import rule
from rnngraph.language.elaboration.values import POISON, Item, Numbers, Poison, Several, Unrolled, is_literal
from rnngraph.language.syntax import ast


@rule(ast.Assign)
def _assign(scope: Scope, s: ast.Assign) -> None:
    scope.trace.name = ", ".join(_title(t) for t in s.targets)
    if isinstance(s.value, ast.Unroll):
        item: Item = loops.unroll(scope, s.value, s.targets)
    else:
        item = instantiation.held(scope, expressions.evaluate(scope, s.value), s.value.span)
    if len(s.targets) == 1 and s.targets[0].name != "_":
        instantiation.adopt(scope, item, (*scope.path, s.targets[0].name, *scope.suffix))
    for target, part in zip(s.targets, _parts(item, s), strict=True):
        _bind(scope, target, part, s)


def _title(target: ast.Target) -> str:
    """What the value is called in pictures and reports."""
    return " ".join(target.span.text.split()) if target.indices else target.name + "'" * target.primed


def _parts(item: Item, s: ast.Assign) -> tuple[Item, ...]:
    """One item for each target."""
    wanted = len(s.targets)
    if isinstance(item, Unrolled):
        if wanted == len(item.outputs):
            return item.outputs
        if wanted == len(item.outputs) + 1:
            return (*item.outputs, item.final)
        if isinstance(s.value, ast.Unroll):
            raise _count(s, f"gives {counted(len(item.outputs), 'sequence')} and the final state", _one_record(s, item))
        raise _count(s, f"gives {counted(len(item.outputs), 'value')} and the states after it", _one_record(s, item))
    if isinstance(item, Several):
        if wanted == len(item.items):
            return item.items
        raise _count(s, f"gives {counted(len(item.items), 'value')}")
    if isinstance(item, Numbers) and wanted == len(item.items) > 1:
        return item.items
    if wanted != 1:
        raise _count(s, "gives 1 value")
    return (item,)


def _one_record(s: ast.Assign, item: Unrolled) -> str:
    """For `y, h, c = unroll ...`."""
    if len(s.targets) < len(item.outputs) + 2 or not item.final.parts:
        return ""
    parts = " and ".join(f"`final.{name}`" for name in list(item.final.parts)[:2])
    return f"the states are one record: name it `final`, its parts are {parts}"


def _count(s: ast.Assign, gives: str, help: str = "") -> Mistake:
    first, last = s.targets[0].span, s.targets[-1].span
    return Mistake(
        "E308",
        f"{counted(len(s.targets), 'name')} on the left, but the right side {gives}",
        first.to(last),
        help=help or "`_` stands for a value that is not used",
    )


def _bind(scope: Scope, target: ast.Target, item: Item, s: ast.Assign) -> None:
    if target.name == "_":
        return
    if target.primed:
        _bind_next(scope, target, item, s)
        return
    before = scope.bound(target.name)
    kind, where = (before.kind, before.span) if before else ("", target.span)
    if target.name in scope.pending:
        declared = scope.pending[target.name]
        kind, where = type(declared).__name__.lower(), declared.name_span
    if kind in FIXED:
        hint = f"its next value is `{target.name}'`" if kind == "state" else "take another name"
        if before:
            scope.bind(target.name, POISON, kind, where)  # whether what follows means the old value or the new one
        raise Mistake(
            "E103",
            f"`{target.name}` is {_an(kind)} and cannot be assigned again",
            target.span,
            labels=(Label(where, "declared here"),),
            help=hint,
        )
    scope.bind(target.name, item, "value", target.span)
    _notice(scope, target.name, item)


def _an(kind: str) -> str:
    return {
        "input": "an input",
        "param": "a parameter",
        "size": "a size",
        "loop": "the count of a `for`",
    }.get(
        kind,
        f"a {kind}",
    )


def _bind_next(scope: Scope, target: ast.Target, item: Item, s: ast.Assign) -> None:
    if target.name in scope.pending:
        declarations.declare(scope, scope.pending[target.name])
    if target.name not in scope.states:
        if isinstance(getattr(scope.bound(target.name), "item", None), Poison):
            raise Echo
        look_up(scope, ast.Name(target.name, True, target.span))
    place = scope.states[target.name]
    if isinstance(place.next, Value) and not target.indices:
        raise Mistake(
            "E306",
            f"the state `{target.name}` has two next values",
            target.span,
            labels=(Label(place.next_span or place.span, "the first is here"),),
        )
    if isinstance(item, Poison) or isinstance(place.next, Poison):
        raise Echo
    if target.indices:
        item = indexing.written(scope, target, place.next or place.old, item, s.value.span)
    value = _next_value(scope, target, place, item, s)
    place.next, place.next_span = value, target.span
    scope.primed[target.name] = value
    _notice(scope, target.name, value)


def _next_value(scope: Scope, target: ast.Target, place: Place, item: Item, s: ast.Assign) -> Value:
    trace, type = scope.trace, place.param.type
    value = trace.lift(item, s.value.span, type.dtype if is_literal(item) else None)
    if len(s.targets) == 1 and value.type.shape not in (type.shape, ()):
        raise Mistake(
            "E201",
            f"the state `{target.name}` has {shape_in_words(type.shape)}, but its next value has "
            f"{shape_in_words(value.type.shape)}",
            s.value.span,
            labels=(Label(place.span, "declared here"),),
        )
    value = trace.fit(value, type.shape, type.dtype, s.value.span, f"the state `{target.name}`")
    value = trace.over(value, type.axes, s.value.span)
    if value.type.axes != type.axes:
        raise Mistake(
            "E305",
            f"the next value of `{target.name}` is a sequence, but the state is declared as "
            + ("one value" if type.axes == (BATCH,) else "one over another axis"),
            s.value.span,
            labels=(Label(place.span, "declared here"),),
        )
    value = trace.bring(value, s.value.span)
    others = (v for p in trace.places if p is not place for v in (p.old, p.next))
    return trace.call("identity", value, at=s.value.span) if trace.revising and value in others else value


def _notice(scope: Scope, name: str, item: Item) -> None:
    """Keeps a named value that is to be watched."""
    if not isinstance(item, Value):
        return
    trace = scope.trace
    full = ".".join((*scope.path, name, *scope.suffix))
    trace.watchable.add(full)
    if any(full == w or full.endswith("." + w) for w in trace.watch):
        trace.level.watched = [w for w in trace.level.watched if w.scope is not scope or w.name != full]
        trace.level.watched.append(Watched(full, item, scope))
