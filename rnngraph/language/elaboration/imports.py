"""Which definitions a file sees: the library's, those of the files that it imports, and its own."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import cast

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.language.elaboration.scope import World
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, File, Import
from rnngraph.language.syntax.parser import parse, read_source
from rnngraph.language.syntax.traversal import statements

Known = dict[str, tuple[Definition, ...]]
"""What a file may name beside the library: several of one name where two of its imports bring them."""
DEEPEST = 200
"""Files that import one another in a chain."""
Reader = Callable[[Path], Source]
"""Gives the text of a file; UserError where there is none."""


class Loaded(Struct, frozen=True, dict=True):
    """A file with all that it may name. `own` are its own definitions, of which the last of a name counts."""

    file: File
    own: tuple[Definition, ...]
    imported: tuple[Definition, ...]
    known: Mapping[Source, Known]
    """Of each file."""
    files: tuple[Path, ...] = ()
    """All that was read, the file itself first."""

    @cached_property
    def worlds(self) -> Mapping[Source, World]:
        """What the definitions of each file may name."""
        return {source: _world(known) for source, known in self.known.items()}

    @cached_property
    def stops(self) -> bool:
        """Whether any cell may end the steps of a row early."""
        return any(isinstance(s, ast.Stop) for d in (*self.imported, *self.own) for s in statements(d.body))

    @cached_property
    def options(self) -> tuple[ast.Options, ...]:
        """The blocks at the top level of the file, which are of every model in it."""
        return tuple(item for item in self.file.items if isinstance(item, ast.Options))

    @property
    def world(self) -> World:
        return self.worlds[self.file.source]


def _world(known: Known) -> World:
    return ChainMap({n: found[-1] for n, found in known.items()}, cast(dict[str, Definition], library()))


class _Library(Mapping[str, Definition]):
    """The standard cells and layers by name; a file is parsed, once, when one of its names is asked for."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.parsed: dict[str, Definition] = {}
        for entry in sorted(resources.files("rnngraph.language.library").iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".rnn"):
                source = Source(f"library/{entry.name}", entry.read_text(encoding="utf-8"))
                self.sources |= dict.fromkeys(_DEFINED.findall(source.text), source)

    def __getitem__(self, name: str) -> Definition:
        if name not in self.parsed:
            self.parsed |= {d.name: d for d in definitions(parse(self.sources[name]))}
        return self.parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)


_DEFINED = re.compile(r"^(?:cell|layer)\s+(\w+)", re.MULTILINE)


@cache
def library() -> Mapping[str, Definition]:
    """The standard cells and layers by name."""
    return _Library()


def definitions(file: File) -> tuple[Definition, ...]:
    return tuple(item for item in file.items if isinstance(item, Definition))


def load(file: File) -> Loaded:
    """Follows the imports of a parsed file. Raises UserError with every import that fails."""
    loaded, errors = load_around(file)
    if errors:
        raise UserError(errors)
    return loaded


def load_around(file: File, read: Reader = read_source) -> tuple[Loaded, list[Diagnostic]]:
    """Follows those imports of a parsed file that can be; what is wrong with the others. `read` gives a file's text."""
    folder = file.source.folder
    search = _Search(folder.resolve() if folder is not None else None, read)
    if folder is not None:
        search.opened.append(Path(file.source.name).resolve())
    search.follow(file, folder)
    files = (*search.opened, *search.done)
    return Loaded(file, definitions(file), tuple(search.found), search.known, files), search.errors


class _Search:
    """One walk over imports; `root` is the folder that none of them may leave."""

    def __init__(self, root: Path | None, read: Reader) -> None:
        self.root, self.read = root, read
        self.opened: list[Path] = []
        """The files being read, outermost first: one that is met again imports itself."""
        self.done: dict[Path, Known] = {}
        self.known: dict[Source, Known] = {}
        self.found: list[Definition] = []
        self.errors: list[Diagnostic] = []

    def follow(self, file: File, folder: Path | None) -> Known:
        """What the file may name: what its imports bring, and before that its own."""
        known: Known = {}
        for item in file.items:
            if isinstance(item, Import):
                try:
                    for name, brought in self._open(item, folder).items():
                        before = known.get(name, ())
                        known[name] = before + tuple(d for d in brought if not any(d is b for b in before))
                except UserError as error:
                    self.errors += error.diagnostics
        known |= {d.name: (d,) for d in definitions(file)}
        self.known[file.source] = known
        return known

    def _open(self, item: Import, folder: Path | None) -> Known:
        """What an import brings: what its file may name, but for models."""
        try:
            path = self._allowed(item, folder)
            found = path.is_file()
        except (OSError, RuntimeError, ValueError):  # a path that is too long, or links that lead round in a circle
            raise _wrong(item, f"`{item.path}` cannot be a file", 'as in `import "cells/gru.rnn"`') from None
        if path in self.opened:
            raise _wrong(item, f"`{item.path}` imports itself", "imports cannot form a circle")
        if path in self.done:
            return self.done[path]
        written = Path(item.path) if folder is None else folder / item.path
        if not found:
            what = f"`{item.path}` is a folder, not a file" if path.is_dir() else f"there is no file `{item.path}`"
            raise _wrong(item, what, f"it would be `{written}`")
        if len(self.opened) > DEEPEST:
            raise _wrong(item, f"imports are nested in more than {DEEPEST} others", "import them side by side")
        file = parse(self.read(written))
        self.opened.append(path)
        known = self.follow(file, path.parent)
        self.opened.pop()
        self.found += [d for d in definitions(file) if d.kind != "model"]
        self.done[path] = {n: found for n, found in known.items() if found[-1].kind != "model"}
        return self.done[path]

    def _allowed(self, item: Import, folder: Path | None) -> Path:
        """The real path of an import, below the folder of the file that was given, or an error."""
        if folder is None or self.root is None:
            raise _wrong(
                item,
                f"`{item.path}` cannot be imported: this text is not in a folder",
                "save it as a file first",
            )
        parts = item.path.replace("\\", "/").split("/")
        if not item.path or ".." in parts or item.path.startswith(("/", "~")) or ":" in item.path or "\0" in item.path:
            raise _wrong(item, f"`{item.path}` is not inside the folder of this file", 'as in `import "cells/gru.rnn"`')
        path = (folder / item.path).resolve()
        if not path.is_relative_to(self.root):
            raise _wrong(item, f"`{item.path}` is outside the folder of this file", "")
        return path


def _wrong(item: Import, message: str, help: str) -> UserError:
    return UserError([Diagnostic("E313", message, item.span, help=help)])


def twice(definitions: tuple[Definition, ...]) -> list[Diagnostic]:
    """Those that bear the name of another one of their file."""
    seen: dict[tuple[Source, str], Definition] = {}
    found: list[Diagnostic] = []
    for definition in definitions:
        key = definition.span.source, definition.name
        if key in seen:
            first = Label(seen[key].name_span, "first defined here")
            found.append(
                Diagnostic(
                    "E103",
                    f"`{definition.name}` is defined twice",
                    definition.name_span,
                    labels=(first,),
                )
            )
        seen.setdefault(key, definition)
    return found
