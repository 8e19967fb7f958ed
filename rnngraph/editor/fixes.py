"""Edits that mend a mistake, from the help of its message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Span


class Fix(Struct, frozen=True):
    """What the edit is called, the text that is replaced, and what takes its place."""

    title: str
    span: Span
    text: str


def fixes(found: Diagnostic) -> list[Fix]:
    """The edits that its help names; most messages have none."""
    if found.span is None or found.span.source.text == "":
        return []
    return list(dict.fromkeys(fix for make in _MAKERS for fix in make(found, found.span)))


def _meant(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """`did you mean `kernel`?`: the word that the message names is replaced."""
    if said := re.fullmatch(r"did you mean `(.+)`\?", d.help):
        word = next((w for w in re.findall(r"`([^`]+)`", d.message)[::-1] if _word(at, w)), "")
        place = _word(at, word) or at
        yield Fix(f"Write `{said[1]}`", place, said[1])


def _word(at: Span, word: str) -> Span | None:
    """Where a word stands in a place."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", at.text) if word else None
    return Span(at.source, at.start + found.start(), at.start + found.end()) if found else None


def _written_otherwise(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """A sign that editors and other languages use: `≤`, `&`, `^`; a number with a letter behind it."""
    if d.code == "E003" and (said := re.fullmatch(r"(?:write|a \w+ is written)(?: a plain)? `(.+)`", d.help)):
        yield Fix(f"Write `{said[1]}`", at, said[1])
    if d.code == "E003" and d.help.endswith('`"` at its end'):
        yield Fix('Add `"`', Span(at.source, at.end, at.end), '"')
    if d.help.startswith("remove it"):
        yield Fix("Remove the invisible sign", at, "")


def _equals(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """`=` where `==` is meant, `==` where `=` is, `=` where nothing is."""
    if at.text == "=" and d.help.startswith("`==` compares"):
        yield Fix("Write `==`", at, "==")
    if at.text == "==" and d.help.startswith("`=` gives"):
        yield Fix("Write `=`", at, "=")
    if at.text == "=" and d.help.endswith("is written without `=`"):
        yield Fix("Remove `=`", _with_blank(at), "")


def _with_blank(at: Span) -> Span:
    return Span(at.source, at.start, at.end + at.source.text[at.end :].startswith(" "))


def _type(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """A declaration without its type."""
    here = Span(at.source, at.start, at.start)
    if d.message.startswith("expected `:`") and "its type stands there" in d.help:
        end = _end_of_word(here)
        if at.text in ("[", "seq", "float", "int", "bool"):
            yield Fix("Add `:`", end, ":")
            return
        for type in ("[n]", "[]"):
            yield Fix(f"Add `: {type}`", end, f": {type}")
    elif d.message.startswith("expected a type"):
        yield Fix("Add `[n]`", _end_of_word(here), " [n]")


def _end_of_word(here: Span) -> Span:
    """Behind what stands in front of a place, without the blanks between."""
    end = len(here.source.text[: here.start].rstrip())
    return Span(here.source, end, end)


def _unused(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """One of several results that nothing reads."""
    if d.help.startswith("`_` stands for"):
        yield Fix("Write `_`", at, "_")


def _unclosed(d: Diagnostic, at: Span) -> Iterator[Fix]:
    """A bracket that is opened and not closed: it is closed at the end of its line."""
    closer = {"(": ")", "[": "]"}.get(at.text)
    if d.code == "E002" and closer and d.message.endswith("is not closed"):
        end = at.source.ends(at.line)[1]
        line = Span(at.source, at.start, end).text.partition("#")[0].rstrip()
        place = at.start + len(line)
        yield Fix(f"Add `{closer}`", Span(at.source, place, place), closer)


_MAKERS: tuple[Callable[[Diagnostic, Span], Iterator[Fix]], ...] = (
    _meant, _written_otherwise, _equals, _type, _unused, _unclosed,
)  # fmt: skip
