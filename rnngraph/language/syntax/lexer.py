"""Text to tokens. What the words are is said by the terminals of the grammar, nothing is repeated here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.lookalikes import HIDDEN, code_point
from rnngraph.diagnostics.source import Source, Span

LONGEST_NUMBER = 40
_NUMBER = re.compile(r"[0-9]+(_[0-9]+)*(\.[0-9]+(_[0-9]+)*)?([eE][+-]?[0-9]+)?")
_BEHIND_NUMBER = re.compile(r"\w+|\.(?![.\w])")

_TYPED_BY_EDITORS = {
    **dict.fromkeys("“”„«»", 'write a plain `"`'),
    **dict.fromkeys("‘’′`´", "write a plain `'`"),
    **dict.fromkeys("−–—", "write a plain `-`"),
    **dict.fromkeys("×·∗", "write `*`"),
    "÷": "write `/`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "!": "write `not`",
    "&": "write `and`",
    "|": "write `or`",
    "^": "a power is written `**`",
    ";": "only white space separates statements",
    "?": "a choice is written `where(condition, a, b)`",
    "'": "the next value of a state is written `h'`, and a string in double quotes",
    "\\": "a statement can continue on the next line without a mark",
}


class Token(Struct, frozen=True):
    """A piece of text and the name of its terminal."""

    type: str
    text: str
    span: Span
    first: bool
    """Whether it begins its line."""


class Lexicon(Struct, frozen=True):
    """The terminals of the grammar: one pattern of all, the reserved words, and what is skipped."""

    pattern: re.Pattern[str]
    words: Mapping[str, str]
    ignored: frozenset[str]


def scan(source: Source, lexicon: Lexicon) -> tuple[list[Token], list[Diagnostic]]:
    """All tokens that the text holds, and what in it belongs to none."""
    tokens: list[Token] = []
    errors: list[Diagnostic] = []
    line_begins = True
    for kind, span in pieces(source, lexicon):
        errors += [_hidden(span, found.start()) for found in HIDDEN.finditer(span.text)] if kind else []
        if kind in lexicon.ignored:
            line_begins |= "\n" in span.text
        elif kind == "":
            errors.append(_unknown(span))
            line_begins = False
        else:
            field = tokens and tokens[-1].type == "DOT" and not line_begins
            type = kind if field or kind != "NAME" else lexicon.words.get(span.text, kind)
            trouble = _bad_number(span) if kind in ("INTEGER", "DECIMAL") else None
            tokens.append(Token(type, "0" if trouble else span.text, span, line_begins))
            errors += [trouble] if trouble else []
            line_begins = False
    return tokens, errors


def comments(source: Source, lexicon: Lexicon) -> list[Span]:
    """The comments of a text, in order."""
    return [span for kind, span in pieces(source, lexicon) if kind == "COMMENT"]


def pieces(source: Source, lexicon: Lexicon) -> Iterator[tuple[str, Span]]:
    """Every stretch of the text with its terminal; "" where it has none."""
    text, at = source.text, 0
    while at < len(text):
        match = lexicon.pattern.match(text, at)
        end = match.end() if match else _past_unknown(text, at)
        kind = match.lastgroup or "" if match else ""
        if kind in ("INTEGER", "DECIMAL"):
            end = _past_number(text, end)
        yield kind, Span(source, at, end)
        at = end


def _past_number(text: str, at: int) -> int:
    """`4units` and `1.` are told as one mistake, not as a number and what is behind it."""
    rest = _BEHIND_NUMBER.match(text, at)
    return rest.end() if rest else at


def _past_unknown(text: str, at: int) -> int:
    """The end of a run of one unknown character, or of the line where a text is not closed."""
    if text[at] == '"':
        end = text.find("\n", at)
        return end if end >= 0 else len(text)
    end = at
    while end < len(text) and text[end] == text[at]:
        end += 1
    return end


def _unknown(span: Span) -> Diagnostic:
    character = span.text[0]
    if character == '"':
        return Diagnostic(
            "E003",
            "this string is not closed",
            span,
            "a string ends on the line where it starts",
            help='write `"` at its end',
        )
    shown = f"`{character}`" if character.isprintable() else _by_number(character)
    return Diagnostic("E003", f"{shown} means nothing here", span, help=_TYPED_BY_EDITORS.get(character, ""))


def _hidden(piece: Span, at: int) -> Diagnostic:
    """A sign in a comment or a text that cannot be seen there, and changes what is."""
    place = Span(piece.source, piece.start + at, piece.start + at + 1)
    return Diagnostic(
        "E003",
        f"{_by_number(place.text)} is invisible, but changes how the text around it is",
        place,
        help="remove it: the text may be read as something else",
    )


def _by_number(character: str) -> str:
    said = code_point(character)
    return f"{said}," if "," in said else said


def _bad_number(span: Span) -> Diagnostic | None:
    if len(span.text) > LONGEST_NUMBER:
        return Diagnostic("E003", f"a number has at most {LONGEST_NUMBER} characters", span)
    number = _NUMBER.match(span.text)
    assert number
    rest = span.text[number.end() :]
    if rest:
        digits = number.group()
        product = _meant(digits, rest) if rest[0].isalpha() else ""
        mended = f"write `{digits}.0`" if rest == "." else product
        return Diagnostic("E003", f"`{span.text}` is not a number", span, help=mended)
    if float(number.group()) == float("inf"):
        return Diagnostic("E003", f"`{span.text}` is larger than any number", span)
    return None


def _meant(digits: str, rest: str) -> str:
    """What letters behind a number may stand for."""
    if rest in ("i", "j", "I", "J"):
        return "numbers are real: a complex value is two, its real and its imaginary part"
    if digits == "0" and rest[0] in "xXbBoO":
        return "numbers are written in decimal digits"
    if rest in ("f", "F", "l", "L"):
        return f"how many bits a number has is chosen outside: write `{digits}`"
    return f"a product is written `{digits} * {rest}`"
