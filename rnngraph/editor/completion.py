"""What may be typed at a place: words that the grammar takes there, names in scope, settings, functions, options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Span
from rnngraph.editor import words
from rnngraph.editor.analysis import Analysis, names_in
from rnngraph.editor.names import declarations, definition_of
from rnngraph.editor.type_text import item_text, texts, type_text
from rnngraph.language.builtins.registry import TABLE, names
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.elaboration.values import Instance, Record, Unrolled
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.lexer import Token
from rnngraph.language.syntax.parser import Expected, expected_at
from rnngraph.training.learning_rates import SCHEDULES
from rnngraph.training.optimisers import OPTIMISERS

Kind = Literal["keyword", "function", "cell", "value", "setting", "option", "field", "file"]
_IMPORT = re.compile(r'^\s*import\s+"([^"\n]*)$')
_CHOICES = {"optimizer": OPTIMISERS, "rate_schedule": SCHEDULES}


class Completion(Struct, frozen=True):
    """`insert` replaces the word in front of the place; nothing where that is the label itself."""

    label: str
    kind: Kind
    detail: str = ""
    insert: str = ""


def word_before(a: Analysis, offset: int) -> Span:
    """The word that is being typed."""
    start = offset
    while start and (a.source.text[start - 1].isidentifier() or a.source.text[start - 1].isdigit()):
        start -= 1
    return Span(a.source, start, offset)


def completions(a: Analysis, offset: int) -> list[Completion]:
    """What fits at a place, each once; an editor sorts them and leaves out what the word before does not begin."""
    line = a.source.text[a.source.text.rfind("\n", 0, offset) + 1 : offset]
    if found := _IMPORT.match(line):
        return list(_files(a, found[1]))
    if "#" in line or line.count('"') % 2:
        return []
    word = word_before(a, offset)
    try:
        expected = expected_at(a.source, word.start)
    except UserError:
        return []
    return list({c.label: c for c in _fitting(a, expected, word.start)}.values())


def _fitting(a: Analysis, expected: Expected, offset: int) -> Iterator[Completion]:
    before = expected.before[-1].type if expected.before else ""
    if before == "DOT":
        yield from _fields(a, expected.before)
    elif before == "DRAWN":
        yield from (Completion(n, "function", words.initialiser(n)) for n in INITIALISERS)
    elif expected.blocks[-1:] == ("options",):
        yield from _options(expected)
    else:
        if "NAME" in expected.terminals and "INTEGER" in expected.terminals:
            yield from _in_call(a, expected.before)
            yield from _names(a, offset)
        yield from (Completion(w, "keyword") for w in expected.words)


# --- names ------------------------------------------------------------------------------------------------


def _names(a: Analysis, offset: int) -> Iterator[Completion]:
    d = a.definition_at(offset)
    if d:
        yield from _scope(a, d, offset)
    for name, one in a.loaded.world.items():
        if name not in library() and one.kind != "model":
            yield Completion(name, "cell", _header(one))
    for name in library():
        yield Completion(name, "cell", "library")
    for name in names():
        yield Completion(name, "function", words.signature(TABLE[name]) if name in TABLE else "record(h = h0)")
    for name, told in words.SPECIAL.items():
        yield Completion(name, "value", told)


def _scope(a: Analysis, d: Definition, offset: int) -> Iterator[Completion]:
    """What a definition has declared; values above the place only."""
    shapes = dict(names_in(a.used, a.source)) or dict(names_in(a.tried, a.source))
    for one in declarations(a, d):
        above = one.whole is not None and "\n" in a.source.text[one.whole.start : offset]
        if one.kind is None or (one.kind == "value" and not above):
            continue
        notes = a.notes_of(one.span.start, one.span.end)
        note = shapes.get(one.symbol.name)
        shape = next(iter(texts(notes)), item_text(note.item) if note else "")
        detail = f"{one.kind} {shape}".strip()
        yield Completion(one.symbol.name, "setting" if one.kind == "setting" else "value", detail)
        if one.kind == "state":
            yield Completion(f"{one.symbol.name}'", "value", f"next value, {shape}".rstrip(", "))


def _header(d: Definition) -> str:
    return f"{d.kind} {d.name}({', '.join(s.name for s in d.settings)})"


# --- where something is given -----------------------------------------------------------------------------


def _in_call(a: Analysis, before: tuple[Token, ...]) -> Iterator[Completion]:
    """Settings, inputs or parameters that can be given by name, where a call is open."""
    opening = _open_call(before)
    if opening is None or before[-1].type not in ("OPEN_PAREN", "COMMA"):
        return
    name = before[opening - 1].text
    if name in TABLE:
        for parameter in TABLE[name].parameters:
            plain = parameter.rstrip("?*")
            yield Completion(plain, "setting", f"of {name}", f"{plain} = ")
        return
    for given, detail in _given(a, name, before[opening - 1]):
        yield Completion(given, "setting", detail, f"{given} = ")


def _given(a: Analysis, name: str, head: Token) -> Iterator[tuple[str, str]]:
    d = a.loaded.world.get(name)
    if d is not None:
        yield from ((s.name, s.span.text) for s in d.settings)
        return
    made = definition_of(a, ast.Name(name, False, head.span)) or _instance(a, name)
    if made:
        yield from ((s.name, s.span.text) for s in made.body if isinstance(s, ast.Input))


def _instance(a: Analysis, name: str) -> Definition | None:
    found = dict(names_in(a.used, a.source)).get(name)
    return found.item.definition if found and isinstance(found.item, Instance) else None


def _open_call(before: tuple[Token, ...]) -> int | None:
    """The parenthesis that is still open, behind a name."""
    depth = 0
    for at in range(len(before) - 1, 0, -1):
        depth += (before[at].text in (")", "]")) - (before[at].text in ("(", "["))
        if depth < 0:
            return at if before[at].type == "OPEN_PAREN" and before[at - 1].type == "NAME" else None
    return None


def _fields(a: Analysis, before: tuple[Token, ...]) -> Iterator[Completion]:
    """The states of a record."""
    name = before[-2].text if len(before) > 1 else ""
    note = dict(names_in(a.used, a.source)).get(name) or dict(names_in(a.tried, a.source)).get(name)
    record = note.item.final if note and isinstance(note.item, Unrolled) else note and note.item
    if isinstance(record, Record):
        for part, state in record.parts.items():
            yield Completion(part, "field", type_text(state.value.type))


def _options(expected: Expected) -> Iterator[Completion]:
    """Names of options, or what an option may be."""
    last = expected.before[-1]
    if last.text in _CHOICES and "CLOSE_BRACE" not in expected.terminals:
        yield from (Completion(n, "function") for n in _CHOICES[last.text])
    elif "CLOSE_BRACE" in expected.terminals:
        kind = next((t.text for t in reversed(expected.before) if t.type in ("TRAIN", "SCHEDULE")), "train")
        yield from (Completion(n, "option", usual) for n, usual in words.options(kind).items())
    else:
        yield from _plain(("true", "false"))


def _plain(found: Iterable[str]) -> Iterator[Completion]:
    return (Completion(word, "keyword") for word in found)


def _files(a: Analysis, typed: str) -> Iterator[Completion]:
    """Texts that can be imported, beside this one and in the folder that was begun."""
    folder, inside = a.source.folder, typed.rpartition("/")[0]
    if folder is None or ".." in inside.split("/") or inside.startswith("/"):
        return
    try:
        entries = sorted((folder / inside).iterdir())
    except OSError:
        return
    for path in entries:
        if path.suffix == ".rnn" and str(path) != a.source.name:
            yield Completion(path.name, "file")
        elif path.is_dir() and not path.name.startswith("."):
            yield Completion(f"{path.name}/", "file")
