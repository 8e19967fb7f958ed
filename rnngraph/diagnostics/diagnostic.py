"""A diagnostic as data: an error or a warning, with its places in the text and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from rnngraph.diagnostics.source import Span

Severity = Literal["error", "warning"]

LONGEST_QUOTED = 200
"""Characters of a name, or of other text of the user's, that a message repeats."""
LONGEST_TEXT = 4000
"""Characters of a message."""
_LONG = re.compile(rf"[^\s]{{{LONGEST_QUOTED + 1},}}")


class Label(Struct, frozen=True):
    """A place, and what is to be said of it."""

    span: Span
    text: str = ""


class Diagnostic(Struct, frozen=True):
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


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file and place, those without a place last."""
    return sorted(
        diagnostics,
        key=lambda d: (d.span is None, d.span.source.name if d.span else "", d.span.start if d.span else 0),
    )


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
