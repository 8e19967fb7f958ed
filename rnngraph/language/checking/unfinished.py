"""Of a text that is not finished: what can be told of the rest, without what only follows from the gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Span
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, File
from rnngraph.language.syntax.traversal import walk

_OF_WHOLE_BODIES = ("W401", "W402", "W403", "W404", "W405", "E302", "E307", "E315")
"""What may be the fault of a statement that could not be read: it would have read, or given, what is missing."""

_WORD = re.compile(r"\w+")
_DECLARES = ("input", "state", "param", "frozen param")


class Gaps(Struct, frozen=True):
    """What of a file is not known: the statements that cannot be read, other places where its signs mean nothing, and
    whether an import cannot be followed."""

    file: File
    broken: Sequence[Span]
    signs: Sequence[Span]
    imports: bool

    def without_echoes(self, found: Iterable[Diagnostic]) -> list[Diagnostic]:
        """The diagnostics that stand without what is not known."""
        if not self.broken and not self.signs and not self.imports:
            return list(found)
        open = [*self.headless(), *self.nameless()]
        names, whole = {d.name for d in open}, [*self.headless(), *self.gappy()]
        written = {word for one in self.broken if "{" in one.text for word in _WORD.findall(one.text)}
        sizes = {n.name for d in self.gappy() for s in walk(d) if isinstance(s, ast.TypeSpec) for n in _names(s)}
        return [
            d
            for d in found
            if not self._may_be_echo(d, names, [w.span for w in whole])
            and not (d.code == "E101" and d.span and _within(d.span, [o.span for o in open]))
            and not (d.code == "E101" and d.span and d.span.text in sizes | written)
        ]

    def headless(self) -> Iterator[Definition]:
        """Definitions whose settings are not known."""
        for d in self._definitions():
            if any(one.start == d.span.start for one in self.broken):
                yield d

    def nameless(self) -> Iterator[Definition]:
        """Definitions with a declaration of which not even the name is known."""
        for d in self.gappy():
            if any(one.text in _DECLARES and _within(one, [d.span]) for one in self.broken):
                yield d

    def gappy(self) -> Iterator[Definition]:
        """Definitions with something in them that could not be read."""
        for d in self._definitions():
            if any(d.span.start < one.start < d.span.end for one in self.broken):
                yield d

    def _definitions(self) -> Iterator[Definition]:
        return (item for item in self.file.items if isinstance(item, ast.Definition))

    def _may_be_echo(self, d: Diagnostic, names: set[str], gappy: Sequence[Span]) -> bool:
        if d.span is None or d.span.source is not self.file.source:
            return bool(self.broken)
        if any(d.span.start <= sign.start < d.span.end for sign in self.signs):
            return True
        if _within(d.span, self.broken) or any(f"`{name}`" in d.message for name in names):
            return True
        if d.code == "E101" and self.imports:
            return True
        if d.code == "E308" and gappy:
            return True  # an output that could not be read is missing in the count
        return d.code in _OF_WHOLE_BODIES and (_within(d.span, gappy) or d.code == "E315")


def _names(type: ast.TypeSpec) -> Iterator[ast.Name]:
    return (node for node in walk(type.sizes) if isinstance(node, ast.Name))


def _within(place: Span, spans: Iterable[Span]) -> bool:
    return any(span.start <= place.start < span.end for span in spans)
