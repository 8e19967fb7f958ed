"""What is told to a user: errors and warnings as data, and the one place that makes text of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

from rnngraph.diagnostics.lookalikes import latin, told_apart, twin
from rnngraph.diagnostics.source import Span

Severity = Literal["error", "warning"]

LONGEST_QUOTED = 200
"""Characters of a name, or of other text of the user's, that a message repeats."""
LONGEST_TEXT = 4000
"""Characters of a message."""
LONGEST_WORD = 100
"""Characters of a name that is compared with others."""
_LONG = re.compile(rf"[^\s]{{{LONGEST_QUOTED + 1},}}")


@dataclass(frozen=True)
class Label:
    """A place, and what is to be said of it."""

    span: Span
    text: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """One mistake (or near-certain slip) of the user's: stable code, message, places, and what mends it."""

    code: str
    message: str
    span: Span | None = None
    note: str = ""
    """Said under the caret."""
    labels: tuple[Label, ...] = ()
    """Other places that take part, as the second of two that disagree."""
    help: str = ""
    severity: Severity = "error"

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "message": clipped(self.message),
            **_place(self.span),
            "note": clipped(self.note),
            "labels": [{"text": clipped(label.text), **_place(label.span)} for label in self.labels],
            "help": clipped(self.help),
        }


class UserError(Exception):
    """What the user wrote or gave is wrong. Carries every diagnostic that was found; exit code 2."""

    exit_code = 2

    def __init__(self, diagnostics: Iterable[Diagnostic] | str, code: str = "", help: str = "") -> None:
        if isinstance(diagnostics, str):
            diagnostics = [Diagnostic(code or "E000", diagnostics, help=help)]
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(render(d) for d in self.diagnostics))


class OutsideIndex(UserError):
    """While a model ran, an integer chose what is not there.

    `row` is the row of the data, None where all rows share the integer; `note` is said behind the message.
    """

    def __init__(self, plain: Diagnostic, row: int | None = None, note: str = "") -> None:
        super().__init__([replace(plain, message=f"{plain.message} ({note})") if note else plain])
        self.plain, self.row, self.note = plain, row, note


class CannotDo(UserError):
    """What was asked for is right but could not be done (no device, no room, no permission); exit code 1."""

    exit_code = 1


@dataclass
class Report:
    """Gathers diagnostics while checking goes on, each once."""

    found: list[Diagnostic] = field(default_factory=list)
    seen: set[Diagnostic] = field(default_factory=set)
    places: set[tuple[str, Span | None]] = field(default_factory=set)
    """Of each code where it was told."""

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic not in self.seen:
            self.seen.add(diagnostic)
            self.places.add((diagnostic.code, diagnostic.span))
            self.found.append(diagnostic)

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.found if d.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        return [d for d in self.found if d.severity == "warning"]

    def stop_on_errors(self) -> None:
        if self.errors:
            raise UserError(in_order(self.found))


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file and place, those without a place last."""
    return sorted(
        diagnostics,
        key=lambda d: (d.span is None, d.span.source.name if d.span else "", d.span.start if d.span else 0),
    )


def told_of(given: object) -> str:
    """What a user of Python gave where something else is needed, in words that are short whatever it is."""
    if isinstance(given, Integral) and abs(int(given)) >= 10**40:
        return "so large a number"
    if given is None or isinstance(given, (str, Real)):
        return f"`{given}`"
    return f"a value of the type `{type(given).__name__}`"


def clipped(text: str) -> str:
    """What is said, with `…` in names and in other text of the user's that is too long to be read."""
    pieces = text.split("`")
    if len(text) > LONGEST_QUOTED and max(map(len, pieces)) > LONGEST_QUOTED:
        text = "`".join(_middle_out(p) if i % 2 else _LONG.sub(_shorter, p) for i, p in enumerate(pieces))
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _shorter(found: re.Match[str]) -> str:
    return _middle_out(found.group())


def _middle_out(text: str) -> str:
    """The beginning and the end: of a path, both are asked for."""
    return text if len(text) <= LONGEST_QUOTED else f"{text[: LONGEST_QUOTED - 40]}…{text[-39:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or nothing; of one that looks the same, what tells it apart."""
    meant = nearest(name, known)
    if not meant:
        return ""
    return told_apart(name, meant) if latin(meant) == latin(name) else f"did you mean `{meant}`?"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known word that is most like a name, or nothing. What is longer than any word is compared with none."""
    if len(name) > LONGEST_WORD:
        return ""
    words = sorted(word for word in set(known) if len(word) <= LONGEST_WORD)
    return twin(name, words) or next(iter(get_close_matches(name, words, n=1, cutoff=0.6)), "")


@dataclass
class Hints:
    """What was probably meant by the unknown names of one file, each found once.

    A name is compared with all that are known: with thousands of both, those that come first get a hint.
    """

    left: int = 15_000
    """So many comparisons may still be made."""
    found: dict[tuple[str, Hashable], str] = field(default_factory=dict)

    def of(self, name: str, known: Callable[[], Collection[str]], where: Hashable) -> str:
        """A hint for a name; what is known is the same for all that have the same `where`."""
        key = name, where
        if key not in self.found:
            words = known() if self.left > 0 else ()
            self.left -= len(words)
            self.found[key] = did_you_mean(name, words)
        return self.found[key]


def render(diagnostic: Diagnostic, colour: bool = False) -> str:
    """The message, the source lines that take part with carets under them, and the help line."""
    from rnngraph.diagnostics.excerpt import draw

    return draw(diagnostic, colour)


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"file": None, "line": None, "column": None, "end_line": None, "end_column": None}
    line, column = span.source.place(span.start)
    end_line, end_column = span.source.place(span.end)
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }
