"""The texts that are open in an editor, with those on disk around them, each analysed once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field
from pygls.uris import from_fs_path, to_fs_path

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.editor.analysis import Analysis, analyse
from rnngraph.language.library.catalogue import library_file
from rnngraph.language.syntax.parser import read_source

MOST_FILES = 500
"""Texts of a workspace that are searched for a name."""
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")


class _Known(Struct, frozen=True):
    """An analysis, and the texts of the files that it has followed."""

    analysis: Analysis
    followed: tuple[tuple[Path, str], ...]


class Documents(Struct):
    """`open` are texts by the name of their source: a path, or the address of one that was never saved."""

    folders: list[Path] = field(default_factory=list)
    open: dict[str, Source] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    """Of the open texts, as the editor writes them."""
    known: dict[str, _Known] = field(default_factory=dict)

    def put(self, uri: str, text: str) -> None:
        """The text as it is now; line ends become `\\n`, which changes no line and no column."""
        name, path = name_of(uri), file_of(uri)
        plain = text.translate(_SURROGATES).replace("\r\n", "\n").replace("\r", "\n")
        self.addresses[name] = uri
        self.open[name] = Source(name, plain, path.parent if path else None)

    def close(self, uri: str) -> None:
        self.open.pop(name_of(uri), None)
        self.known.pop(name_of(uri), None)

    def address(self, source: Source) -> str:
        """Of a text, open or not."""
        return self.addresses.get(source.name) or uri_of(source)

    def read(self, path: Path) -> Source:
        """A text as it is in the editor, else as it is on disk."""
        return self.open.get(str(path)) or read_source(path)

    def analysis(self, uri: str) -> Analysis:
        """Of an open text, or of a file; of what is neither, that of an empty text."""
        name, path = name_of(uri), file_of(uri)
        if name in self.open:
            return self._analysis(self.open[name])
        try:
            return self._analysis(read_source(path) if path else Source(name, ""))
        except UserError:
            return self._analysis(Source(name, ""))

    def _analysis(self, source: Source) -> Analysis:
        known = self.known.get(source.name)
        if known is None or known.analysis.source != source or not self._valid(known):
            made = analyse(source, self.read)
            followed = tuple((path, self._text(path)) for path in made.loaded.files[1:])
            known = self.known[source.name] = _Known(made, followed)
        return known.analysis

    def _valid(self, known: _Known) -> bool:
        """Whether what it has followed is still so; an import that failed may succeed now."""
        failed = any(d.code == "E313" for d in known.analysis.found)
        return not failed and all(self._text(path) == text for path, text in known.followed)

    def _text(self, path: Path) -> str:
        try:
            return self.read(path).text
        except UserError:
            return ""

    def naming(self, name: str) -> Iterator[Analysis]:
        """Of every text of the workspace in which a name stands."""
        for source in self.sources():
            if name in source.text:
                yield self._analysis(source)

    def sources(self) -> Iterator[Source]:
        """The open texts, then the other files of the workspace."""
        yield from list(self.open.values())
        for path in self._files():
            if str(path) not in self.open:
                try:
                    yield read_source(path)
                except UserError:
                    continue

    def _files(self) -> Iterable[Path]:
        found = (p for folder in self.folders for p in _texts(folder))
        return [path for path, _ in zip(found, range(MOST_FILES), strict=False)]


def _texts(folder: Path) -> Iterator[Path]:
    """Texts below a folder, not in those that begin with a point."""
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "node_modules")
        yield from (Path(top, name) for name in sorted(names) if name.endswith(".rnn"))


def file_of(uri: str) -> Path | None:
    """The file that an address is of; None of a text that was never saved."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path) if path else None


def name_of(uri: str) -> str:
    """What its source is called."""
    path = file_of(uri)
    return str(path) if path else uri


def uri_of(source: Source) -> str:
    """The address of a text; one of the library is the file that came along."""
    if source.name.startswith("library/") and source.folder is None:
        return from_fs_path(str(library_file(source.name))) or source.name
    return (from_fs_path(source.name) if Path(source.name).is_absolute() else None) or source.name
