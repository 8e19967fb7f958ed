"""Statements of a body, one after the other; a mistake in one poisons what it defines."""

from __future__ import annotations

from collections.abc import Iterable

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration import calls, declarations, expressions, loops, stops
from rnngraph.language.elaboration.loop_levels import Place, Watched
from rnngraph.language.elaboration.mistakes import MOST_REPETITIONS, Echo, Mistake, TooMuch, counted, shape_in_words
from rnngraph.language.elaboration.recovery import FIXED, poison
from rnngraph.language.elaboration.scope import Scope, look_up
from rnngraph.language.elaboration.trace import dtype_of
from rnngraph.language.elaboration.values import (
    POISON,
    Item,
    Numbers,
    PipeOf,
    Poison,
    Several,
    Unrolled,
    is_literal,
    kind_of,
)
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Statement


def run(scope: Scope, body: Iterable[Statement]) -> None:
    """Runs the statements of a block; parameters and states may be used above their lines."""
    body = tuple(body)
    scope.pending |= {s.name: s for s in body if isinstance(s, (ast.Param, ast.State))}
    for statement in body:
        try:
            scope.trace.count_statement(statement)
            _execute(scope, statement)
        except TooMuch:
            raise
        except Mistake as mistake:
            scope.trace.tell(mistake.diagnostic)
            poison(scope, statement)
        except Echo:
            poison(scope, statement)
        scope.trace.name = ""


def _execute(scope: Scope, s: Statement) -> None:
    match s:
        case ast.Param() | ast.State():
            if scope.pending.get(s.name) is s:
                declarations.declare(scope, s)
        case ast.Assign():
            _assign(scope, s)
        case ast.Output():
            _output(scope, s)
        case ast.For():
            _repeat(scope, s)
        case ast.If():
            run(scope, s.body if _holds(scope, s.condition) else s.orelse)
        case ast.Stop():
            stops.stop(scope, s)
        case ast.Loss() | ast.Metric():
            scope.goals.append((s, expressions.value(scope, s.value)))
        case ast.Input() | ast.Options():
            pass


def finish(scope: Scope) -> None:
    """What must hold when a body has been run: every state has a next value, and something is handed out."""
    misspelt = any(d.code == "E106" for d in scope.trace.report.found)
    for name, place in scope.states.items():
        if place.next is None and not misspelt:
            scope.trace.tell(no_next(name, place).diagnostic)
            place.next = POISON
    if not scope.outputs:
        kind, title = scope.definition.kind, scope.definition.name
        scope.trace.tell(
            Mistake(
                "E307",
                f"the {kind} `{title}` gives nothing",
                scope.definition.name_span,
                help="write `output ...`",
            ).diagnostic
        )
        raise Echo


def no_next(name: str, place: Place) -> Mistake:
    return Mistake("E302", f"the state `{name}` has no next value", place.span, help=f"write `{name}' = ...`")


# --- definitions ----------------------------------------------------------------------------------


def _assign(scope: Scope, s: ast.Assign) -> None:
    scope.trace.name = ", ".join(t.name + "'" * t.primed for t in s.targets)
    if isinstance(s.value, ast.Unroll):
        item: Item = loops.unroll(scope, s.value, s.targets)
    else:
        item = calls.held(scope, expressions.evaluate(scope, s.value), s.value.span)
    if len(s.targets) == 1 and s.targets[0].name != "_":
        calls.adopt(scope.trace, item, (*scope.path, s.targets[0].name, *scope.suffix))
    for target, part in zip(s.targets, _parts(item, s), strict=True):
        _bind(scope, target, part, s)


def _parts(item: Item, s: ast.Assign) -> tuple[Item, ...]:
    """One item for each target."""
    wanted = len(s.targets)
    if isinstance(item, Unrolled):
        if wanted == len(item.outputs):
            return item.outputs
        if wanted == len(item.outputs) + 1:
            return (*item.outputs, item.final)
        raise _count(s, f"gives {counted(len(item.outputs), 'sequence')} and the final state")
    if isinstance(item, Several):
        if wanted == len(item.items):
            return item.items
        raise _count(s, f"gives {counted(len(item.items), 'value')}")
    if isinstance(item, Numbers) and wanted == len(item.items) > 1:
        return item.items
    if wanted != 1:
        raise _count(s, "gives 1 value")
    return (item,)


def _count(s: ast.Assign, gives: str) -> Mistake:
    first, last = s.targets[0].span, s.targets[-1].span
    return Mistake(
        "E308",
        f"{counted(len(s.targets), 'name')} on the left, but the right side {gives}",
        first.to(last),
        help="`_` stands for a value that is not wanted",
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
        raise Mistake(
            "E103",
            f"`{target.name}` is {_an(kind)} and cannot be given another value",
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
    if isinstance(place.next, Value):
        raise Mistake(
            "E306",
            f"the state `{target.name}` has two next values",
            target.span,
            labels=(Label(place.next_span or place.span, "the first is here"),),
        )
    if isinstance(item, Poison):
        raise Echo
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
    value = trace.over_batch(value, s.value.span)
    if value.type.axes != (BATCH,):
        raise Mistake(
            "E305",
            f"the next value of `{target.name}` is a sequence, but a state has one value at each step",
            s.value.span,
            labels=(Label(place.span, "declared here"),),
        )
    return trace.bring(value, s.value.span)


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


# --- the other forms ------------------------------------------------------------------------------


def _output(scope: Scope, s: ast.Output) -> None:
    for out in s.items:
        scope.trace.name = out.name or ""
        try:
            item = expressions.evaluate(scope, out.value)
            if isinstance(item, (PipeOf,)) or kind_of(item) in ("a cell", "a layer", "a function"):
                raise Mistake(
                    "E202",
                    f"`{out.value.span.text}` is {kind_of(item)} and cannot be an output",
                    out.value.span,
                )
        except TooMuch:
            raise
        except Mistake as mistake:
            scope.trace.tell(mistake.diagnostic)
            item = POISON
        except Echo:
            item = POISON
        _hand_out(scope, out, item)


def _hand_out(scope: Scope, out: ast.OutputItem, item: Item) -> None:
    if isinstance(item, Unrolled):
        item = item.outputs[0] if len(item.outputs) == 1 else Several(item.outputs)
    items = item.items if isinstance(item, Several) else (item,)
    if out.name and len(items) > 1:
        raise Mistake(
            "E308",
            f"`{out.value.span.text}` gives {len(items)} values, but `{out.name}` names one",
            out.value.span,
            help="name them first: `a, b = ...`",
        )
    for part in items:
        if isinstance(part, (bool, int, float)):
            part = scope.trace.const(part, dtype_of(part))
        scope.outputs.append((out.name, part, out.value.span))


def _repeat(scope: Scope, s: ast.For) -> None:
    first = expressions.whole(scope, s.first, "the first count")
    last = expressions.whole(scope, s.last, "the last count")
    if last - first >= MOST_REPETITIONS:
        raise Mistake(
            "E310",
            f"`for` repeats {last - first + 1:,} times while compiling; {MOST_REPETITIONS:,} is the most",
            s.first.span.to(s.last.span),
            help="repeat over steps with `unroll`",
        )
    outside, shadowed = scope.suffix, scope.bound(s.name)
    for k in range(first, last + 1):
        scope.suffix = (*outside, str(k))
        scope.bind(s.name, k, "loop", s.name_span)
        run(scope, s.body)
    scope.suffix = outside
    scope.names.pop(s.name, None)
    if shadowed:
        scope.names[s.name] = shadowed


def _holds(scope: Scope, e: ast.Expr) -> bool:
    item = expressions.one(scope, e)
    if isinstance(item, bool):
        return item
    if isinstance(item, Value):
        raise Mistake(
            "E208",
            f"`if` chooses while compiling, but `{e.span.text}` is known only at each step",
            e.span,
            help="write `where(condition, a, b)` to choose at each step",
        )
    raise Mistake("E202", f"`{e.span.text}` is {kind_of(item)}, but a condition is needed here", e.span)
