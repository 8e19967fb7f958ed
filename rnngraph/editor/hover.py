"""What is shown of the name under the pointer: its type, its shapes, its equation, the paper of a library cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.editor import words
from rnngraph.editor.analysis import Analysis, names_in
from rnngraph.editor.names import Occurrence, declared, occurrence_at, occurrences
from rnngraph.editor.type_text import item_text, places
from rnngraph.language.builtins.registry import is_function
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.elaboration.trace import Note
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.parser import tokens_of

MOST_LINES = 12
"""Of one statement, and so many shapes."""


class Hover(Struct, frozen=True):
    """Markdown, and the place that it is about."""

    text: str
    span: Span


def hover(a: Analysis, offset: int) -> Hover | None:
    """What is known of what stands at a place; None where nothing is."""
    found = occurrence_at(a, offset)
    if found:
        told = "\n\n".join(filter(None, [_head(a, found), *_shapes(a, found.span)]))
        return Hover(told, found.span) if told else None
    return _word(a, offset) or _expression(a, offset)


# --- names of the text ----------------------------------------------------------------------------------


def _head(a: Analysis, found: Occurrence) -> str:
    if not found.symbol.owner:
        return _definition(a, found)
    first = declared(a, found.symbol)
    if first is None or first.kind is None:
        return ""
    if first.kind == "value":
        return _code(o.whole for o in occurrences(a) if o.symbol == found.symbol and o.whole)
    if first.kind in ("setting", "size"):
        return f"{_code([first.whole])}\n{first.kind} of `{first.symbol.owner}`"
    nexts = [o.whole for o in occurrences(a) if o.symbol == found.symbol and o.whole and first.kind == "state"]
    return _code([first.whole, *nexts])


def _definition(a: Analysis, found: Occurrence) -> str:
    name = found.symbol.name
    if found.symbol.file.startswith("library/") and name in library():
        return words.about_library(name)
    known: Iterable[Definition] = (*a.definitions, *a.loaded.imported)
    one = next((d for d in known if d.name == name and d.span.source.name == found.symbol.file), None)
    return words.about_definition(one) if one else ""


def _code(spans: Iterable[Span | None]) -> str:
    """Statements as they are written, each once."""
    lines = list(dict.fromkeys(" ".join(s.text.split("\n", 1)[0].split()) for s in spans if s))
    return "```rnn\n" + "\n".join(lines[:MOST_LINES]) + "\n```" if lines else ""


# --- shapes ---------------------------------------------------------------------------------------------


def _shapes(a: Analysis, span: Span) -> Iterator[str]:
    """What the name was found to be, in every instance; of what no model uses, for made-up sizes."""
    place = _noted(a, span)
    if notes := a.used.get(place):
        told = places(notes)
        lines = [f"`{text}`{_where(paths, len(told) > 1)}" for text, paths in told.items()]
        yield "  \n".join(lines[:MOST_LINES])
    elif notes := a.tried.get(place):
        yield f"`{item_text(notes[-1].item)}` {_example(a, span.start)}".rstrip()


def _noted(a: Analysis, span: Span) -> tuple[int, int]:
    """Where elaboration has noted it: with its prime, and a setting with its default."""
    every = [*a.used, *a.tried]
    primed = span.source.text[span.end : span.end + 1] == "'"
    if (span.start, span.end + primed) in every:
        return span.start, span.end + primed
    setting = next((s.span for d in a.definitions for s in d.settings if s.span.start == span.start), span)
    return setting.start, setting.end


def _where(paths: Sequence[str], several: bool) -> str:
    named = [f"`{path}`" for path in paths if path]
    more = ", ..." if len(named) > 3 else ""
    return f" in {', '.join(named[:3])}{more}" if named and several else ""


def _example(a: Analysis, offset: int) -> str:
    """The sizes that a definition was tried with, since no model of the file uses it."""
    d = a.definition_at(offset)
    sizes = {
        name: item_text(note.item)
        for name, note in names_in(a.tried, a.source)
        if d and d.span.start <= note.span.start < d.span.end and isinstance(note.item, int)
    }
    settings = {s.name: _setting(a, s) for s in d.settings} if d else {}
    told = ", ".join(f"{name} = {text}" for name, text in {**settings, **sizes}.items() if text)
    return f"for example, with {told}" if told else "for example"


def _setting(a: Analysis, s: ast.Setting) -> str:
    notes: tuple[Note, ...] = a.tried.get((s.span.start, s.span.end), ())
    return next((item_text(n.item) for n in notes if isinstance(n.item, int)), "")


# --- words of the language ------------------------------------------------------------------------------


def _word(a: Analysis, offset: int) -> Hover | None:
    here = (t for t in tokens_of(a.source) if t.span.start <= offset <= t.span.end and t.text.isidentifier())
    token = next(here, None)
    if token is None:
        return None
    block = next((o for o in _option_blocks(a) if o.span.start < offset < o.span.end), None)
    told = _option(block.kind, token.text) if block else about_word(token.text)
    return Hover(told, token.span) if told else None


def _option_blocks(a: Analysis) -> Iterator[ast.Options]:
    every = [*a.file.items, *(s for d in a.definitions for s in d.body)]
    return (block for block in every if isinstance(block, ast.Options))


def _option(kind: str, name: str) -> str:
    usual = words.options(kind).get(name)
    return f"```rnn\n{kind} {{ {usual} }}\n```\nan option of `{kind}`" if usual else ""


def about_word(name: str) -> str:
    """What the language says of one of its own names; nothing of others. Markdown."""
    if is_function(name):
        return words.about_function(name)
    if name in library():
        return words.about_library(name)
    if name in INITIALISERS:
        return f"```rnn\n~ {words.initialiser(name)}\n```\nan initialiser"
    if name in words.SPECIAL:
        return f"`{name}`: {words.SPECIAL[name]}"
    return ""


def _expression(a: Analysis, offset: int) -> Hover | None:
    """The smallest expression around a place that something is known of."""
    around = [(end - start, start, end) for start, end in a.used if start <= offset < end]
    for _, start, end in sorted(around):
        told = places(a.used[start, end])
        if told:
            return Hover("  \n".join(f"`{text}`" for text in list(told)[:MOST_LINES]), Span(a.source, start, end))
    return None
