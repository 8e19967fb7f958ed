"""One step of a cell by itself, on inputs that are made up where no model gives any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, cycle, product

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.ir.graph import INPUT, Node, Value, body_param
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.checking.cell_settings import is_cell
from rnngraph.language.elaboration import calls, expressions, instantiation
from rnngraph.language.elaboration.elaborate import attempt, choose
from rnngraph.language.elaboration.imports import Loaded, load
from rnngraph.language.elaboration.instantiation import as_callee
from rnngraph.language.elaboration.loop_levels import Level
from rnngraph.language.elaboration.mistakes import Echo, Mistake
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Note, Trace
from rnngraph.language.elaboration.values import Builtin, Class, Given, Instance, Item, PipeOf
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, File
from rnngraph.language.syntax.parser import parse

Sizes = Iterator[int]


class OneStep(Struct, frozen=True):
    """What goes into a step, and what comes out, by name; `title` is what it is a step of.

    `states` are pairs of the old value and the next one.
    """

    title: str
    inputs: Mapping[str, Value]
    states: Mapping[str, tuple[Value, Value]]
    outputs: Mapping[str, Value]
    weights: Mapping[Value, str]
    closed: Mapping[tuple[str, ...], str]
    """The layers inside that have no states, outermost only: their paths, and of which definition they are."""
    written: Mapping[tuple[str, ...], frozenset[Span]]
    """The expressions of each instance, by its path."""
    called: Mapping[Node, str]
    """What gives the result of an instance inside, and what the outermost that reads it calls it."""


class _Model(Struct, frozen=True):
    """The instances in a model, by path, and of which types its inputs were found to be, by where they are declared."""

    instances: Mapping[tuple[str, ...], Instance | PipeOf] = field(default_factory=dict)
    seen: Mapping[Span, list[Type]] = field(default_factory=dict)


def one_step(file: File, wanted: str, settings: Mapping[str, object], model: str | None = None) -> OneStep:
    """A step of what is called that in the model (`net`, `stack.0`), or of its first instance of the definition of that
    name; else of what the text makes: `LSTM(4, peepholes = true)`, or a definition alone, whose settings without a
    default are made up. UserError where there is nothing of the kind, or a mistake in it.
    """
    loaded = load(file)
    known = _instances(loaded, settings, model)
    most = max(map(len, known.seen.values()), default=0)
    first: UserError | None = None
    for number in (*range(most), None):  # which of the uses of a definition it is, nobody tells
        try:
            return _told(loaded, wanted, known, number)
        except UserError as error:
            first = first or error
    assert first is not None
    raise first


def _told(loaded: Loaded, wanted: str, known: _Model, number: int | None) -> OneStep:
    """The step, on inputs as of that use in the model, else on ones that are made up."""
    trace = Trace(worlds=loaded.worlds, notes=[])
    trace.stops = loaded.stops
    found: OneStep | None = None
    try:
        found = _traced(trace, loaded, wanted, known, number)
    except Mistake as mistake:
        trace.tell(mistake.diagnostic)
    except Echo:
        pass
    trace.report.stop_on_errors()
    assert found is not None
    return found


def _instances(loaded: Loaded, settings: Mapping[str, object], model: str | None) -> _Model:
    """What is in the model, where the file has one."""
    if not model and not any(d.kind == "model" for d in loaded.own):
        if settings:
            told = f"there is no model here to have the setting `{next(iter(settings))}`"
            raise UserError(told, "E651", "settings of a cell stand with it: `--cell 'LSTM(units = 4)'`")
        return _Model()
    trace = Trace(worlds=loaded.worlds, notes=[])
    attempt(trace, loaded, choose(loaded, model), settings)
    trace.report.stop_on_errors()
    seen: dict[Span, list[Type]] = {}
    for note in trace.notes or ():
        if isinstance(note.item, Value) and not note.path:
            seen.setdefault(note.span, []).append(note.item.type)
    return _Model(trace.instances, seen)


def _traced(trace: Trace, loaded: Loaded, wanted: str, known: _Model, number: int | None) -> OneStep:
    sizes, text = equal_sizes(), _expression(wanted)
    outside = Definition("layer", "drawn", (), (), text.span, text.span)
    scope = Scope(trace, loaded.world, outside, None, (), (), text.span)
    item = _instance(wanted, known.instances) or expressions.one(scope, text)
    if isinstance(item, Class) and item.definition.kind != "model":
        _refuse_cells(scope, item.definition, text.span)
        item = made_up(scope, item.definition, sizes)
    callee = as_callee(scope, item, text.span)
    if isinstance(callee, Builtin):
        raise Mistake("E304", f"`{text.span.text}` is a function, not a cell or layer", text.span)
    level = Level(trace.root, "step")
    with trace.at(level), trace.calling(level.states):
        inputs = made_up_inputs(scope, _first(callee), sizes)
        if number is not None:
            inputs = [_as_seen(trace, given, known.seen, number) for given in inputs]
        outputs = calls.use(scope, callee, [replace(g, name=None) for g in inputs], text.span, ()).outputs
    states = {p.name: (p.old, p.next) for p in level.states.places if isinstance(p.next, Value)}
    named = {after: f"{name}'" for name, (_, after) in states.items()}
    values = [o for o in outputs if isinstance(o, Value)]
    numbered = [f"output {i + 1}" for i in range(len(values))] if len(values) > 1 else ["output"]
    notes = trace.notes or []
    called = _called(notes, {**trace.instances, callee.path or (): callee})
    own = {v: called.get(v.node) or _own_name(v, _last(callee)) for v in values}
    weights = {c.param: str(c.outer.node.attrs["name"]) for c in level.captures.values() if c.outer.node.op is INPUT}
    return OneStep(
        callee.title,
        {str(g.item.node.attrs["name"]): g.item for g in inputs if isinstance(g.item, Value)},
        states,
        {named.get(v) or own[v] or other: v for v, other in zip(values, numbered, strict=False)},
        weights,
        _stateless(trace, callee, states),
        _written(notes),
        called,
    )


def _refuse_cells(scope: Scope, definition: Definition, at: Span) -> None:
    """A size can be made up, a cell inside cannot."""
    for setting in definition.settings:
        if setting.default is None and is_cell(scope.world, definition, setting.name):
            told = f"`{definition.name}` needs a cell or layer as its `{setting.name}`"
            raise Mistake("E303", told, at, help=f"write one, as `--cell '{definition.name}(LSTM(4))'`")


def _written(notes: Iterable[Note]) -> dict[tuple[str, ...], frozenset[Span]]:
    found: dict[tuple[str, ...], set[Span]] = {}
    for note in notes:
        found.setdefault(note.path, set()).add(note.span)
    return {path: frozenset(spans) for path, spans in found.items()}


def _called(notes: Iterable[Note], instances: Mapping[tuple[str, ...], Instance | PipeOf]) -> dict[Node, str]:
    """A name that stands for what was made further inside; the first of the outermost."""
    found: dict[Node, Note] = {}
    for note in notes:
        if isinstance(note.item, Value) and _is_name_outside(note, note.item.node, instances.get(note.path)):
            before = found.get(note.item.node)
            if before is None or len(note.path) < len(before.path):
                found[note.item.node] = note
    return {node: note.span.text for node, note in found.items()}


def _is_name_outside(note: Note, node: Node, instance: Instance | PipeOf | None) -> bool:
    """Whether this is a name, in the text of this instance's definition, of what a further instance inside it gives."""
    if not node.inputs or not note.span.text.isidentifier() or not isinstance(instance, Instance):
        return False
    whole, size = instance.definition.span, len(note.path)
    mine = note.span.source is whole.source and whole.start <= note.span.start < whole.end
    return mine and size < len(node.origin.path) and node.origin.path[:size] == note.path


def _own_name(value: Value, giver: Instance | Builtin) -> str:
    """What the user assigned it to, alone, if that is in the text of what gives it."""
    origin = value.node.origin
    mine = isinstance(giver, Builtin) or origin.path == (giver.path or ())
    return origin.name if mine and "," not in origin.name else ""


def _last(part: Instance | PipeOf | Builtin) -> Instance | Builtin:
    """What the results come from."""
    return _last(part.parts[-1]) if isinstance(part, PipeOf) else part


def _as_seen(trace: Trace, given: Given, seen: Mapping[Span, list[Type]], number: int) -> Given:
    types = seen.get(given.span, ())
    if number >= len(types):
        return given
    return replace(given, item=trace.own(body_param(given.name or "", types[number])))


def _stateless(
    trace: Trace, callee: Instance | PipeOf, states: Mapping[str, tuple[Value, Value]]
) -> dict[tuple[str, ...], str]:
    """The layers inside that have no states."""
    owners = [callee.path or (), *(old.node.origin.path for old, _ in states.values())]
    opened = {path[:size] for path in owners for size in range(len(path) + 1)}
    return {
        path: item.title
        for path, item in trace.instances.items()
        if path not in opened and path[:-1] in opened and isinstance(item, Instance)
    }


def _first(callee: Instance | PipeOf) -> Instance:
    """What the inputs go to."""
    while isinstance(callee, PipeOf):
        part = callee.parts[0]
        if isinstance(part, Builtin):
            raise Mistake("E304", f"`{callee.span.text}` begins with a function, not with a cell", callee.span)
        callee = part
    return callee


def _expression(text: str) -> ast.Expr:
    """The tree of an expression that stands nowhere in a file."""
    try:
        items = parse(Source("--cell", f"layer Drawn {{\n  drawn = {text}\n}}\n")).items
    except UserError:
        items = ()
    match items:
        case (Definition(body=(ast.Assign(value=value),)),):
            return value
    raise UserError(f"`{text}` names no cell", "E651", "write its name, as `LSTM`, or one call, as `LSTM(4)`")


def _instance(wanted: str, instances: Mapping[tuple[str, ...], Instance | PipeOf]) -> Instance | PipeOf | None:
    """The instance in the model that is called that, or else the first of the definition."""
    for path, item in instances.items():
        if ".".join(path) == wanted:
            return fresh(item)
    same = (i for i in instances.values() if isinstance(i, Instance) and i.definition.name == wanted)
    return next(map(fresh, same), None)


def fresh(item: Instance | PipeOf) -> Instance | PipeOf:
    """The same, and what it is made of, as if none of it had been used yet."""
    if isinstance(item, PipeOf):
        parts = tuple(p if isinstance(p, Builtin) else fresh(p) for p in item.parts)
        return PipeOf(parts, item.span, item.path, count=item.count)
    settings = {n: fresh(s) if isinstance(s, (Instance, PipeOf)) else s for n, s in item.settings.items()}
    return Instance(item.definition, settings, item.span, item.path)


# --- made up --------------------------------------------------------------------------------------------------------


def distinct_sizes() -> Sizes:
    """Sizes that only agree where the text says so."""
    return iter([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47] + [53] * 1000)


def equal_sizes() -> Sizes:
    """Sizes that always agree, and that can be split in many ways."""
    return (12 for _ in count())


def fitting_sizes() -> Iterator[Sizes]:
    """Sizes that agree, then some of which one may be the product of two others, or their sum."""
    yield equal_sizes()
    for few in product((2, 4), repeat=4):
        yield cycle(few)


def made_up(scope: Scope, definition: Definition, sizes: Sizes) -> Instance:
    """The definition with its defaults; settings without one are sizes."""
    settings: dict[str, Item] = {s.name: next(sizes) for s in definition.settings if s.default is None}
    instantiation.fill_defaults(scope, definition, settings, definition.name_span)
    return Instance(definition, settings, definition.span)


def made_up_inputs(scope: Scope, instance: Instance, sizes: Sizes) -> list[Given]:
    """A value for each input: a step's value, or a whole sequence where one is declared."""
    definition = instance.definition
    inner = Scope(scope.trace, scope.world, definition, None, (), (), definition.name_span)
    for setting in definition.settings:
        inner.bind(setting.name, instance.settings[setting.name], "setting", setting.span)
    found = []
    for s in definition.body:
        if isinstance(s, ast.Input):
            shape = tuple(_size(inner, e, sizes) for e in s.type.sizes)
            found.append(Given(_value(inner.trace, s, shape), s.name_span, s.name))
    return found


def _size(scope: Scope, e: ast.Expr, sizes: Sizes) -> int:
    if isinstance(e, ast.Name) and e.name not in scope.names:
        scope.bind(e.name, next(sizes), "size", e.span)
    return expressions.size(scope, e)


def _value(trace: Trace, s: ast.Input, shape: tuple[int, ...]) -> Value:
    type = Type((BATCH,), shape, s.type.dtype).with_axes((BATCH, *s.type.over))
    return trace.own(body_param(s.name, type))
