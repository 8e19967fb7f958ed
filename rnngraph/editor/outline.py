"""The parts of a text: symbols within symbols, what can be folded, shapes that an editor writes behind names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.editor.analysis import Analysis
from rnngraph.editor.names import Kind, declarations
from rnngraph.editor.type_text import texts
from rnngraph.language.elaboration.values import Instance, PipeOf, Record
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.parser import comments_of, tokens_of
from rnngraph.language.syntax.traversal import statements

MOST_HINTED = 2
"""Different shapes of one name that are written behind it; of more, none."""


class Entry(Struct, frozen=True):
    """A symbol of the outline, with those in it."""

    name: str
    kind: Kind
    detail: str
    span: Span
    name_span: Span
    inside: tuple[Entry, ...] = ()


def outline(a: Analysis) -> list[Entry]:
    """Definitions, and what each declares."""
    return [Entry(d.name, d.kind, _settings(d), d.span, d.name_span, tuple(_inside(a, d))) for d in a.definitions]


def _settings(d: Definition) -> str:
    return f"({', '.join(s.name for s in d.settings)})" if d.settings else ""


def _inside(a: Analysis, d: Definition) -> Iterator[Entry]:
    seen: set[str] = set()
    for one in declarations(a, d):
        if one.kind and one.whole and one.symbol.name not in seen:
            seen.add(one.symbol.name)
            shapes = texts(a.notes_of(one.span.start, one.span.end)) if one.kind not in ("setting", "size") else []
            yield Entry(one.symbol.name, one.kind, " | ".join(shapes[:MOST_HINTED]), one.whole, one.span)


# --- folding --------------------------------------------------------------------------------------------


class Fold(Struct, frozen=True):
    """Lines, from 1, that can be folded into the first."""

    first: int
    last: int
    comment: bool = False


def folds(a: Analysis) -> list[Fold]:
    """Blocks, brackets over several lines, comments of several lines."""
    found = {(fold.first, fold.last): fold for fold in (*_brackets(a), *_comments(comments_of(a.source)))}
    return sorted(found.values(), key=lambda f: (f.first, f.last))


def _brackets(a: Analysis) -> Iterator[Fold]:
    """The line of the closing one stays to be seen."""
    open: list[int] = []
    for token in tokens_of(a.source):
        if token.text in ("{", "(", "["):
            open.append(token.span.line)
        elif token.text in ("}", ")", "]") and open:
            first = open.pop()
            if token.span.line - 1 > first:
                yield Fold(first, token.span.line - 1)


def _comments(comments: Sequence[Span]) -> Iterator[Fold]:
    """Runs of lines that are nothing but comments."""
    lines = [c.line for c in comments if not c.source.line(c.line)[: c.start - c.source.ends(c.line)[0]].strip()]
    first = 0
    for at in range(len(lines)):
        if at + 1 == len(lines) or lines[at + 1] != lines[at] + 1:
            if at > first:
                yield Fold(lines[first], lines[at], True)
            first = at + 1


# --- inlay hints ----------------------------------------------------------------------------------------


class Hint(Struct, frozen=True):
    """Text that is shown behind a place, and is not in the text."""

    offset: int
    text: str


def hints(a: Analysis, start: int, end: int) -> list[Hint]:
    """The shapes of what is given a name between two places, where models of the file tell them."""
    return [
        Hint(target.span.end, f": {shape}")
        for d in a.definitions
        for s in statements(d.body)
        if isinstance(s, ast.Assign) and start <= s.span.start < end
        for target in s.targets
        if (shape := _shape(a, target, s))
    ]


def _shape(a: Analysis, target: ast.Target, s: ast.Assign) -> str:
    """Of the next value of a state, that of the right side."""
    place = s.value.span if target.primed and len(s.targets) == 1 else target.span
    notes = [n for n in a.used.get((place.start, place.end), ()) if not isinstance(n.item, (Instance, PipeOf, Record))]
    found = texts(notes)
    return " | ".join(found) if len(found) <= MOST_HINTED else ""
