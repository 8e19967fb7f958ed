"""A text as an editor sees it: its tree, everything that is wrong, and what stands at each place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from rnngraph.check import Checked, check_source
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.editor.type_text import item_text
from rnngraph.language.checking.check import Notes
from rnngraph.language.elaboration import imports
from rnngraph.language.elaboration.imports import Loaded, Reader
from rnngraph.language.elaboration.trace import Note
from rnngraph.language.elaboration.values import Poison
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, File
from rnngraph.language.syntax.parser import parse_around, read_source
from rnngraph.language.syntax.traversal import walk

Places = Mapping[tuple[int, int], tuple[Note, ...]]
"""By the first character and the one behind the last."""


class Analysis(Struct, frozen=True, dict=True):
    """What is known of one text."""

    source: Source
    found: tuple[Diagnostic, ...]
    file: File
    loaded: Loaded
    notes: Notes

    @cached_property
    def used(self) -> Places:
        """What stands at each place, in every instance that the models of the file make."""
        return _by_place(self.source, self.notes.used)

    @cached_property
    def tried(self) -> Places:
        """The same of definitions that no model uses, for one choice of sizes."""
        return _by_place(self.source, self.notes.tried)

    @property
    def definitions(self) -> tuple[Definition, ...]:
        return self.loaded.own

    @cached_property
    def nodes(self) -> tuple[ast.Name | ast.Field | ast.Call | ast.Unroll, ...]:
        """Forms that name something, in the order of the text."""
        found = (n for n in walk(self.file.items) if isinstance(n, (ast.Name, ast.Field, ast.Call, ast.Unroll)))
        return tuple(sorted(found, key=lambda n: (n.span.start, -n.span.end)))

    def definition_at(self, offset: int) -> Definition | None:
        """The cell, layer or model around a place."""
        return next((d for d in self.definitions if d.span.start <= offset <= d.span.end), None)

    def notes_of(self, start: int, end: int) -> tuple[Note, ...]:
        """What stands there where models use it, else where it was tried."""
        return self.used.get((start, end)) or self.tried.get((start, end), ())


def analyse(source: Source, read: Reader = read_source) -> Analysis:
    """Reads a text; what is no text is an empty file with one error."""
    notes = Notes()
    try:
        checked = check_source(source, read, notes)
    except UserError as error:
        checked = _nothing(source, error.diagnostics)
    return Analysis(checked.file.source, checked.found, checked.file, checked.loaded, notes)


def definitions_of(source: Source) -> tuple[Definition, ...]:
    """The cells, layers and models of a text, from its syntax alone."""
    try:
        return imports.definitions(parse_around(source).file)
    except UserError:
        return ()


def _nothing(source: Source, found: Iterable[Diagnostic]) -> Checked:
    file = File(Source(source.name, "", source.folder), ())
    return Checked(file, Loaded(file, (), (), {file.source: {}}), tuple(found))


def _by_place(source: Source, notes: Iterable[Note]) -> Places:
    found: dict[tuple[int, int], dict[tuple[object, ...], Note]] = {}
    for note in notes:
        if note.span.source is source and not isinstance(note.item, Poison):
            own = found.setdefault((note.span.start, note.span.end), {})
            own.setdefault((note.path, item_text(note.item)), note)
    return {place: tuple(own.values()) for place, own in found.items()}


def names_in(places: Places, source: Source) -> Iterator[tuple[str, Note]]:
    """What names stand for, the last meaning last."""
    for (start, end), notes in sorted(places.items()):
        text = source.text[start:end]
        if text.isidentifier():
            yield text, notes[-1]
