"""What the definitions of the library say of themselves: in their comments, and in what they declare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from msgspec import Struct

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.language.elaboration.imports import library
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.traversal import statements


class Entry(Struct, frozen=True):
    """A cell or layer. `comments` are those of its file, and of itself where it has its own; `settings` are pairs of a
    name and a default, empty where one must be given; what it declares is as written, without initial values."""

    name: str
    kind: str
    place: str
    comments: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    weights: tuple[str, ...]
    text: str

    @property
    def sentence(self) -> str:
        """What it is: its own first sentence, or that of its file where it begins with the paper."""
        own = self.comments[-1]
        return first_sentence(self.comments[0] if _AUTHOR.match(own) else own)

    @property
    def prose(self) -> Iterator[str]:
        """The comments without their signs; lines that go on are joined, equations stay as they are."""
        for comment in self.comments:
            yield _JOINED.sub(r"\1 ", _SIGN.sub("", comment))

    @property
    def call(self) -> str:
        """How it is written, with what must be given: `LSTM(units, ...)`."""
        needed = [name for name, default in self.settings if not default]
        more = ["..."] if len(needed) < len(self.settings) else []
        return f"{self.name}({', '.join([*needed, *more])})" if self.settings else self.name


_AUTHOR = re.compile(r"# ([A-Z]\.[ -])+[A-Z]")
_SENTENCE = re.compile(r"(.+?)\.(\s|$)")
_CLAUSE = re.compile(r"((?:\S+\s+){3,}?\S+?)[:;]\s")
_SIGN = re.compile(r"^# ?", re.MULTILINE)
_JOINED = re.compile(r"(?<=\S)([^.:;\n])\n(?=[^\s])")


def entries() -> Iterator[Entry]:
    """All of the library, by name."""
    for name in sorted(library(), key=str.lower):
        yield described(library()[name])


def entry(name: str) -> Entry:
    """One of them; UserError where there is none of that name."""
    known: Mapping[str, Definition] = library()
    if name not in known:
        help = did_you_mean(name, known) or "`rnngraph library` lists what there is"
        raise UserError(f"the library has no `{name}`", "E772", help)
    return described(known[name])


def first_sentence(text: str) -> str:
    """Of the comment that a text begins with, on one line, up to a colon where enough was said before it."""
    paragraph = " ".join(_SIGN.sub("", _head(text)).partition("\n\n")[0].split())
    sentence = found[1] if (found := _SENTENCE.match(paragraph)) else paragraph
    return found[1] if (found := _CLAUSE.match(sentence)) else sentence


def described(definition: Definition) -> Entry:
    """What a definition says of itself, of the library or not."""
    source = definition.span.source
    head, own = _head(source.text), _above(source.text, definition.span.start)
    declared = list(statements(definition.body))
    return Entry(
        definition.name,
        definition.kind,
        source.name,
        tuple(dict.fromkeys(comment for comment in (head, own) if comment)),
        tuple((s.name, s.default.span.text if s.default is not None else "") for s in definition.settings),
        tuple(dict.fromkeys(_typed(s.span) for s in declared if isinstance(s, ast.Input))),
        tuple(dict.fromkeys(_typed(s.span) for s in declared if isinstance(s, ast.State))),
        tuple(dict.fromkeys(_typed(s.span) for s in declared if isinstance(s, ast.Param))),
        definition.span.text,
    )


def library_file(place: str) -> Path:
    """The file of `library/gru.rnn`, as it came along."""
    return Path(str(resources.files("rnngraph.language.library"))) / place.removeprefix("library/")


def own_comment(definition: Definition) -> str:
    """The comment right above a definition, without its signs."""
    return _SIGN.sub("", _above(definition.span.source.text, definition.span.start))


def _typed(span: Span) -> str:
    """`kernel: [n, units]` of `param kernel: [n, units] ~ glorot_uniform`."""
    declared = re.sub(r"^(frozen\s+)?(input|state|param)\s+", "", span.text)
    return " ".join(re.split(r"[=~]", declared)[0].split())


def _head(text: str) -> str:
    """The comment that a file begins with."""
    found = re.match(r"(#.*(\n|$))+", text)
    return found[0].rstrip("\n") if found else ""


def _above(text: str, start: int) -> str:
    """The comment that ends where a definition begins."""
    found = re.search(r"(?:^#.*\n)+\Z", text[:start].rstrip("\n") + "\n", re.MULTILINE)
    return found[0].rstrip("\n") if found else ""
