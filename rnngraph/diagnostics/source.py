"""Source text and places in it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path

from msgspec import Struct


def printable(text: str, tab: str = " ") -> str:
    """Signs that a terminal might obey, and those that no encoding has, are shown as unknown ones."""
    text = text.replace("\t", tab)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Source(Struct, frozen=True, dict=True):
    """One text, with the name that messages call it by."""

    name: str
    text: str
    folder: Path | None = None
    """Where its imports are looked for; None where nothing may be imported."""

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @cached_property
    def shown(self) -> str:
        """The name as a terminal, a picture or a page may have it."""
        return printable(self.name)

    @cached_property
    def _starts(self) -> list[int]:
        return [0] + [i + 1 for i, c in enumerate(self.text) if c == "\n"]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both counted from 1, of a character offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of one line, without its end."""
        start, end = self.ends(number)
        return self.text[start:end]

    def ends(self, number: int) -> tuple[int, int]:
        """Where the text of one line begins and ends."""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self._starts[number - 1], end


class Span(Struct, frozen=True):
    """The characters from `start` up to, not including, `end` of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        return self.source.place(self.start)[0]

    @property
    def at(self) -> str:
        """The file and the line, as reports and pictures tell a place."""
        return f"{self.source.shown}:{self.line}"

    def __str__(self) -> str:
        line, column = self.source.place(self.start)
        return f"{self.source.shown}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))
