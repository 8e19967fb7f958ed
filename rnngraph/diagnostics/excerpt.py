"""Diagnostics as a person reads them: the message, the lines that take part, carets under them, the help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from unicodedata import combining, east_asian_width

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic, clipped
from rnngraph.diagnostics.source import Source, Span, printable

WIDEST = 120
"""Columns of a source line that are shown; of a wider one, those around the caret."""
LONGEST = 500
"""Characters of a line that are looked at; of a longer one, those around the caret."""
_BEFORE = 40
"""Columns shown in front of the caret in a line that is clipped."""
_GAP = 3
"""So many lines left out become `...`."""
_TAB = 4

_COLOURS = {"error": "1;31", "warning": "1;33", "gutter": "1;34", "help": "36", "bold": "1"}

_Paint = Callable[[str, str], str]
Lines = Callable[[str], str]
"""Colours a line of the user's text."""


class _Mark(Struct, frozen=True):
    """A place in one line: columns of the text as shown, from 0, `end` not included."""

    source: Source
    line: int
    start: int
    end: int
    text: str
    primary: bool
    place: str
    cut: int
    """Characters in front of what is looked at, in a line that is too long."""

    @property
    def written(self) -> str:
        """The line, or as much of it as is looked at."""
        return _piece(self.source, self.line, self.cut)


def render(diagnostic: Diagnostic, colour: bool = False, lines_of: Lines = str) -> str:
    """The text of one diagnostic, without an end of line after the last; `lines_of` colours the lines of the text."""
    paint = _paint if colour else _plain
    marks = _marks(diagnostic)
    margin = " " * len(str(max((mark.line for mark in marks), default=1)))
    severity = diagnostic.severity
    lines = [f"{paint(severity, severity + ':')} {paint('bold', _said(diagnostic.message))}"]
    if diagnostic.span is None:
        lines[0] += f" [{diagnostic.code}]"
        lines += [f"{margin} note: {_said(diagnostic.note)}"] if diagnostic.note else []
    for index, (_, group) in enumerate(groupby(marks, key=lambda mark: mark.source)):
        lines += _excerpt(list(group), diagnostic, margin, index == 0, paint, lines_of)
    if diagnostic.help:
        lines.append(f"{margin} {paint('help', 'help:')} {_said(diagnostic.help)}")
    return "\n".join(lines)


def _marks(diagnostic: Diagnostic) -> list[_Mark]:
    """All places, those in the text of the primary one first, in order."""
    if diagnostic.span is None:
        return []
    marks = [_mark(diagnostic.span, diagnostic.note, True)]
    marks += [_mark(label.span, label.text, False) for label in diagnostic.labels]
    here = diagnostic.span.source
    return sorted(marks, key=lambda m: (m.source != here, m.source.name, m.line, m.start, not m.primary))


def _mark(span: Span, text: str, primary: bool) -> _Mark:
    """A place of several lines is marked up to the end of the first."""
    line, column = span.source.place(span.start)
    begin, finish = span.source.ends(line)
    cut = max(0, column - 1 - LONGEST // 2) if finish - begin > LONGEST else 0
    written = _piece(span.source, line, cut)
    start, end = column - 1 - cut, min(column - 1 - cut + span.end - span.start, len(written))
    first, last = _width(written[:start]), _width(written[: max(start, end)])
    return _Mark(span.source, line, first, max(last, first + 1), _said(text), primary, _clean(str(span)), cut)


def _piece(source: Source, line: int, cut: int) -> str:
    """As much of a line as is looked at; of a long one the rest is not even copied."""
    begin, end = source.ends(line)
    return source.text[begin + cut : min(end, begin + cut + LONGEST)]


def _excerpt(
    marks: Sequence[_Mark], diagnostic: Diagnostic, margin: str, first: bool, paint: _Paint, lines_of: Lines
) -> Iterator[str]:
    """The lines of one source."""
    bar = f"{margin}  {paint('gutter', '|')}"
    code = f" [{diagnostic.code}]" if first else ""
    place = next((mark.place for mark in marks if mark.primary), marks[0].place)
    yield f"{margin} {paint('gutter', '-->')} {place}{code}"
    yield bar
    previous = marks[0].line
    for line, group in groupby(marks, key=lambda mark: mark.line):
        if line - previous > _GAP:
            yield paint("gutter", f"{margin}  ...")
        previous = line
        for begin, shown in _windows(list(group)):
            number = paint("gutter", f" {line:>{len(margin)}} |")
            text = _window(_clean(shown[0].written), begin, shown[0].cut > 0).rstrip()
            yield f"{number} {lines_of(text)}" if text else number
            for mark in shown:
                yield f"{bar} {_underline(mark, begin, diagnostic.severity, paint)}"


def _windows(marks: Sequence[_Mark]) -> Iterator[tuple[int, Sequence[_Mark]]]:
    """Where the shown part of a line begins, and its marks; a wide line is shown for each mark anew."""
    if _width(marks[0].written) <= WIDEST and not marks[0].cut:
        yield 0, marks
        return
    for mark in marks:
        yield max(0, mark.start - _BEFORE), [mark]


def _window(text: str, begin: int, cut: bool) -> str:
    """WIDEST columns of a line, with `…` for what is cut off."""
    if begin == 0 and not cut and _width(text) <= WIDEST:
        return text
    kept, column = "", 0
    for character in text:
        if begin <= column < begin + WIDEST - 1:
            kept += character
        column += _width(character)
    kept = kept if begin == 0 and not cut else "…" + kept[1:]
    return kept if column < begin + WIDEST else kept + "…"


def _underline(mark: _Mark, begin: int, severity: str, paint: _Paint) -> str:
    start, end = mark.start - begin, min(mark.end - begin, WIDEST)
    signs = ("^" if mark.primary else "-") * max(1, end - start)
    said = f"{signs} {mark.text}".rstrip()
    return " " * start + paint(severity if mark.primary else "gutter", said)


def _said(text: str) -> str:
    return _clean(clipped(text))


def _clean(text: str) -> str:
    return printable(text, " " * _TAB)


def _width(text: str) -> int:
    """Columns on a terminal."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if character == "\t":
        return _TAB
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _plain(style: str, text: str) -> str:
    return text


def _paint(style: str, text: str) -> str:
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"
