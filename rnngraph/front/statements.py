"""Statements of a body, one after the other; a mistake in one poisons what it defines and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable

from rnngraph.diagnostics import Label
from rnngraph.front import calls, expressions, initial, inputs, loops
from rnngraph.front.block import Weight
from rnngraph.front.mistakes import Echo, Mistake, TooMuch, counted, shape_in_words
from rnngraph.front.scope import Scope, look_up
from rnngraph.front.trace import Place, Watched, dtype_of
from rnngraph.front.values import POISON, Item, Numbers, PipeOf, Poison, Several, Unrolled, kind_of
from rnngraph.ir.graph import Value, body_param
from rnngraph.ir.types import BATCH, Type
from rnngraph.syntax import ast
from rnngraph.syntax.ast import Statement

MOST_REPETITIONS = 10_000
FIXED = ("input", "param", "state", "setting", "size", "loop")
"""Kinds of names that are given a value once, by what declares them."""


def run(scope: Scope, body: Iterable[Statement]) -> None:
    """Runs the statements of a block; parameters and states may be used above their lines."""
    body = tuple(body)
    scope.pending |= {s.name: s for s in body if isinstance(s, (ast.Param, ast.State))}
    for statement in body:
        try:
            scope.trace.count_statement(statement.span)
            _execute(scope, statement)
        except TooMuch:
            raise
        except Mistake as mistake:
            scope.trace.tell(mistake.diagnostic)
            _poison(scope, statement)
        except Echo:
            _poison(scope, statement)
        scope.trace.name = ""


def _execute(scope: Scope, s: Statement) -> None:
    match s:
        case ast.Param() | ast.State():
            if scope.pending.get(s.name) is s:
                declare(scope, s)
        case ast.Assign():
            _assign(scope, s)
        case ast.Output():
            _output(scope, s)
        case ast.For():
            _repeat(scope, s)
        case ast.If():
            run(scope, s.body if _holds(scope, s.condition) else s.orelse)
        case ast.Stop():
            raise Mistake(
                "E312",
                "`stop` is not supported yet",
                s.span,
                help="a loop of a fixed number of steps is: `unroll CELL for 50`",
            )
        case ast.Loss() | ast.Metric():
            scope.goals.append((s, expressions.value(scope, s.value)))
        case ast.Input() | ast.Options():
            pass


def finish(scope: Scope) -> None:
    """What must hold when a body has been run: every state has a next value, and something is handed out."""
    for name, place in scope.states.items():
        if place.next is None:
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


# --- declarations ------------------------------------------------------------------------------------------


def declare(scope: Scope, s: ast.Param | ast.State) -> None:
    """Makes a parameter or a state; told here, since it may be asked for from another line."""
    scope.pending.pop(s.name, None)
    try:
        if isinstance(s, ast.Param):
            _param(scope, s)
        else:
            _state(scope, s)
    except TooMuch:
        raise
    except Mistake as mistake:
        scope.trace.tell(mistake.diagnostic)
        _poison(scope, s)
    except Echo:
        _poison(scope, s)


def _param(scope: Scope, s: ast.Param) -> None:
    trace = scope.trace
    if s.type.axis is not None or s.type.dtype != "float":
        raise Mistake("E202", f"the parameter `{s.name}` must be float, and no sequence", s.type.span)
    shape = tuple(expressions.size(scope, e) for e in s.type.sizes)
    name = ".".join((*scope.path, s.name, *scope.suffix))
    if name in trace.weights:
        _check_same(scope, s, name, shape)
    else:
        trace.weights[name] = Weight(name, shape, initial.of(scope, s, shape), s.frozen, s.name_span)
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
    trace, level = scope.trace, scope.trace.level
    if level.parent is None:
        if scope.owner is None:
            raise Mistake(
                "E311", "a model has no states of its own", s.span, help="write a `cell` and `unroll` it"
            )
        raise inputs.needs_unroll(scope, s.span)
    if s.type.axis is not None:
        raise Mistake("E202", f"the state `{s.name}` cannot be a sequence", s.type.span)
    shape = tuple(expressions.size(scope, e) for e in s.type.sizes)
    type = Type((BATCH,), shape, s.type.dtype)
    name = ".".join((*scope.place, s.name, *scope.suffix))
    trace.name = s.name
    with trace.at(level.parent):
        first = _first_value(scope, s, type)
    trace.name = s.name
    param = trace.own(body_param(name, type, trace.origin(s.name_span)))
    place = Place(name, scope.place, param, first, s.name_span)
    level.places.append(place)
    scope.states[s.name] = place
    scope.bind(s.name, param, "state", s.name_span, s.type)
    if scope.owner is not None:
        scope.owner.states[".".join((s.name, *scope.suffix))] = (shape, s.name_span)


def _first_value(scope: Scope, s: ast.State, type: Type) -> Value:
    """The value before the first step, made outside of the loop."""
    item: Item = 0 if s.initial is None else expressions.one(scope, s.initial)
    at = s.name_span if s.initial is None else s.initial.span
    if type.dtype == "bool" and item == 0:
        item = False
    value = scope.trace.fit(item, type.shape, type.dtype, at, f"the state `{s.name}`")
    return scope.trace.over_batch(scope.trace.bring(value, at), at)


# --- definitions --------------------------------------------------------------------------------------------


def _assign(scope: Scope, s: ast.Assign) -> None:
    scope.trace.name = ", ".join(t.name + "'" * t.primed for t in s.targets)
    if isinstance(s.value, ast.Unroll):
        item: Item = loops.unroll(scope, s.value, s.targets)
    else:
        item = expressions.evaluate(scope, s.value)
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
        declare(scope, scope.pending[target.name])
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
    value = trace.lift(item, s.value.span, type.dtype if isinstance(item, (bool, int, float)) else None)
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


# --- the other forms ----------------------------------------------------------------------------------------------


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


def _poison(scope: Scope, s: Statement) -> None:
    """What the statement would have defined is unknown from here on, silently."""
    match s:
        case ast.Param() | ast.State():
            scope.pending.pop(s.name, None)
            scope.bind(s.name, POISON, "", s.name_span)
            scope.primed.setdefault(s.name, POISON)
        case ast.Assign():
            for target in s.targets:
                _poison_target(scope, target)
        case ast.Output():
            scope.outputs.append((None, POISON, s.span))
        case ast.For():
            for inner in s.body:
                _poison(scope, inner)
        case ast.If():
            for inner in (*s.body, *s.orelse):
                _poison(scope, inner)
        case _:
            pass


def _poison_target(scope: Scope, target: ast.Target) -> None:
    if target.primed:
        scope.primed.setdefault(target.name, POISON)
        place = scope.states.get(target.name)
        if place is not None and place.next is None:
            place.next = POISON
    elif getattr(scope.bound(target.name), "kind", "") not in FIXED and target.name not in scope.pending:
        scope.bind(target.name, POISON, "value", target.span)
