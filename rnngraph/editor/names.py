"""Where each name of a text is declared and used: definitions, settings, inputs, states, values, counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.editor.analysis import Analysis
from rnngraph.language.elaboration.values import Class, Instance, Record, Unrolled
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, Statement
from rnngraph.language.syntax.traversal import statements, walk

Kind = Literal["cell", "layer", "model", "setting", "input", "state", "param", "value", "size", "counter"]


class Symbol(Struct, frozen=True):
    """Something that has a name: of a file where `owner` is empty, else of the definition of that name."""

    file: str
    owner: str
    name: str


class Occurrence(Struct, frozen=True):
    """One place where a symbol is named. The span holds the name alone."""

    symbol: Symbol
    span: Span
    kind: Kind | None = None
    """What is declared here; None where it is used."""
    whole: Span | None = None
    """The statement that declares it."""


def occurrences(a: Analysis) -> list[Occurrence]:
    """All of a text that name something of it or of what it imports, by place."""
    found: dict[int, Occurrence] = {}
    for d in a.definitions:
        for one in (*_declared(a, d), *_read(a, d)):
            found.setdefault(one.span.start, one)
    return sorted(found.values(), key=lambda o: o.span.start)


def occurrence_at(a: Analysis, offset: int) -> Occurrence | None:
    """The name at a place, or right in front of it."""
    return next((o for o in occurrences(a) if o.span.start <= offset <= o.span.end), None)


def declarations(a: Analysis, definition: Definition) -> list[Occurrence]:
    """What a definition declares, in order; of names that are given a value several times each time."""
    return [o for o in _declared(a, definition) if o.symbol.owner]


def declared(a: Analysis, symbol: Symbol) -> Occurrence | None:
    """Where a symbol is declared: in the text, in what it imports, or in the library."""
    for d in _known(a, symbol):
        own = [o for o in _declared(a, d) if o.symbol == symbol]
        if own:
            return own[0]
    return None


def _known(a: Analysis, symbol: Symbol) -> Iterator[Definition]:
    owner = symbol.owner or symbol.name
    every = (*a.definitions, *a.loaded.imported, *filter(None, [a.loaded.world.get(owner)]))
    return (d for d in every if d.span.source.name == symbol.file and d.name == owner)


# --- declarations ---------------------------------------------------------------------------------------


def _declared(a: Analysis, d: Definition) -> Iterator[Occurrence]:
    yield Occurrence(_file_symbol(d), d.name_span, d.kind, d.span)
    for setting in d.settings:
        yield _own(d, setting.name, _part(setting.span, setting.name), "setting", setting.span)
    for s in statements(d.body):
        yield from _in_statement(d, s)
    for node in walk(d.body):
        if isinstance(node, ast.Gathered):
            yield _own(d, node.name, node.name_span, "counter", node.span)
    yield from _sizes(d)


def _in_statement(d: Definition, s: Statement) -> Iterator[Occurrence]:
    match s:
        case ast.Input():
            yield _own(d, s.name, s.name_span, "input", s.span)
        case ast.State():
            yield _own(d, s.name, s.name_span, "state", s.span)
        case ast.Param():
            yield _own(d, s.name, s.name_span, "param", s.span)
        case ast.For():
            head = Span(s.span.source, s.span.start, s.last.span.end)
            yield _own(d, s.name, s.name_span, "counter", head)
        case ast.Assign():
            for target in s.targets:
                if target.name != "_":
                    kind: Kind | None = None if target.primed else "value"
                    yield _own(d, target.name, _part(target.span, target.name), kind, s.span)


def _sizes(d: Definition) -> Iterator[Occurrence]:
    """Names of dimensions, which the types of inputs bring."""
    if d.kind == "model":
        return
    taken = {s.name for s in d.settings}
    for s in statements(d.body):
        for e in s.type.sizes if isinstance(s, ast.Input) else ():
            if isinstance(e, ast.Name) and e.name not in taken:
                taken.add(e.name)
                yield _own(d, e.name, e.span, "size", s.span)


def _own(d: Definition, name: str, span: Span, kind: Kind | None, whole: Span | None = None) -> Occurrence:
    return Occurrence(Symbol(d.span.source.name, d.name, name), span, kind, whole)


def _file_symbol(d: Definition) -> Symbol:
    return Symbol(d.span.source.name, "", d.name)


def _part(span: Span, name: str) -> Span:
    """The name that a span begins with."""
    return Span(span.source, span.start, span.start + len(name))


# --- uses -----------------------------------------------------------------------------------------------


def _read(a: Analysis, d: Definition) -> Iterator[Occurrence]:
    local = {o.symbol.name for o in _declared(a, d) if o.symbol.owner}
    skipped = {id(n) for s in statements(d.body) if isinstance(s, ast.Options) for n in walk(s.options)}
    for node in walk((d.settings, d.body)):
        match node:
            case ast.Name() if id(node) not in skipped:
                yield from _named(a, d, node, local)
            case ast.Argument(name="axis"):
                skipped.add(id(node.value))
            case ast.Call() if id(node) not in skipped:
                yield from _arguments(a, node)
            case ast.Unroll():
                yield from _constants(a, node)
            case ast.Field():
                yield from _fields(a, node)


def _named(a: Analysis, d: Definition, node: ast.Name, local: set[str]) -> Iterator[Occurrence]:
    span = _part(node.span, node.name)
    if node.name in local:
        yield _own(d, node.name, span, None)
    elif (other := a.loaded.world.get(node.name)) is not None:
        yield Occurrence(_file_symbol(other), span)


def _arguments(a: Analysis, call: ast.Call) -> Iterator[Occurrence]:
    """`units` of `LSTM(units = 4)`, `x` of `enc(x = y)`."""
    made = definition_of(a, call.function)
    for argument in call.arguments:
        if argument.name and made:
            yield _own(made, argument.name, _part(argument.span, argument.name), None)


def _constants(a: Analysis, loop: ast.Unroll) -> Iterator[Occurrence]:
    """`memory` of `unroll A with memory = m`."""
    made = definition_of(a, loop.cell)
    for binding in loop.constants:
        if made:
            yield _own(made, binding.name, _part(binding.span, binding.name), None)


def _fields(a: Analysis, field: ast.Field) -> Iterator[Occurrence]:
    """`h` of `final.h`, the state of a cell."""
    for note in a.notes_of(field.record.span.start, field.record.span.end):
        record = note.item.final if isinstance(note.item, Unrolled) else note.item
        part = record.parts.get(field.name) if isinstance(record, Record) else None
        owner = part and next((d for d in a.definitions if _holds(d, part.span)), None)
        if owner:
            end = field.span.end
            yield _own(owner, field.name, Span(field.span.source, end - len(field.name), end), None)
            return


def _holds(d: Definition, span: Span) -> bool:
    return span.source is d.span.source and d.span.start <= span.start < d.span.end


def definition_of(a: Analysis, e: ast.Expr) -> Definition | None:
    """The cell or layer that an expression stands for."""
    for note in a.notes_of(e.span.start, e.span.end):
        if isinstance(note.item, (Class, Instance)):
            return note.item.definition
    return a.loaded.world.get(e.name) if isinstance(e, ast.Name) else None
