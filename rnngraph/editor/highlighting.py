"""What each word of a text is, for colours: from the scanner of the language and the tables, so that nothing drifts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from rnngraph.diagnostics.source import Source, Span
from rnngraph.language.builtins.registry import is_function
from rnngraph.language.elaboration import forms  # noqa: F401 fills the registries
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.syntax.grammar import SOFT, grammar
from rnngraph.language.syntax.lexer import pieces

Colour = Literal["keyword", "type", "function", "class", "state", "number", "string", "comment", "operator", "name", ""]
_DEFINES = {"CELL", "LAYER", "MODEL"}
_TYPES = {"SEQ", "FLOAT_TYPE", "INT_TYPE", "BOOL_TYPE"}
_BEFORE_TYPES = {"COLON", "CLOSE_BRACKET", "SEQ", "NAME"}
_SIGNS = {
    "COMMA", "DOT", "COLON", "OPEN_PAREN", "CLOSE_PAREN", "OPEN_BRACKET", "CLOSE_BRACKET", "OPEN_BRACE", "CLOSE_BRACE",
}  # fmt: skip
_PLAIN: dict[str, Colour] = {
    "COMMENT": "comment",
    "TEXT": "string",
    "INTEGER": "number",
    "DECIMAL": "number",
    "PRIMED": "state",
}


class Coloured(Struct, frozen=True):
    """A stretch of the text; of what has no colour, "" (punctuation and white space)."""

    colour: Colour
    span: Span


def coloured(source: Source) -> Iterator[Coloured]:
    """The whole text in stretches, one behind the other."""
    lexicon, previous = grammar().lexicon, ""
    for kind, span in pieces(source, lexicon):
        type = lexicon.words.get(span.text, kind) if kind == "NAME" and previous != "DOT" else kind
        yield Coloured(_colour(type, previous, span), span)
        previous = previous if type in lexicon.ignored else type


def _colour(type: str, previous: str, span: Span) -> Colour:
    if type in _PLAIN:
        return _PLAIN[type]
    if type in SOFT:
        return _soft(type, previous, span)
    if type == "NAME":
        return _name(span.text, previous, span)
    if type in grammar().lexicon.words.values():
        return "keyword"
    return "" if type in _SIGNS or type in grammar().lexicon.ignored or not type else "operator"


def _soft(type: str, previous: str, span: Span) -> Colour:
    """Words that are names elsewhere: `float(x)` is a function, `stop = 1` a value."""
    called = _next(span) == "("
    if type in _TYPES:
        return "type" if previous in _BEFORE_TYPES and not called else _name(span.text, previous, span)
    line = span.source.text[span.source.ends(span.line)[0] : span.start]
    follows = type == "STOP" and bool(line.strip()) and previous != "OPEN_BRACE"
    return "name" if follows or _next(span) in ("=", "(", ",") else "keyword"


def _name(text: str, previous: str, span: Span) -> Colour:
    if previous in _DEFINES or text in library():
        return "class"
    if previous == "DRAWN" and text in INITIALISERS:
        return "function"
    return "function" if is_function(text) and previous != "DOT" and _next(span) != "=" else "name"


def _next(span: Span) -> str:
    """The sign that follows in the same line; of `==` nothing."""
    rest = span.source.text[span.end : span.end + 20].partition("\n")[0].lstrip()
    return "" if rest.startswith("==") else rest[:1]



