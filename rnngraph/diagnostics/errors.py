"""Errors of the user, each of which carries diagnostics; the report that gathers them."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.excerpt import render
from rnngraph.diagnostics.source import Span


class UserError(Exception):
    """What the user wrote or gave is wrong. Carries every diagnostic that was found; exit code 2."""

    exit_code = 2

    def __init__(self, diagnostics: Iterable[Diagnostic] | str, code: str = "", help: str = "") -> None:
        if isinstance(diagnostics, str):
            diagnostics = [Diagnostic(code or "E000", diagnostics, help=help)]
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(render(d) for d in self.diagnostics))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of the calls that led here: the message, at the user's own line."""
        return str(self).split("\n")


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


class Warned(UserWarning):
    """What a run has found and goes on after. Carries its diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(render(diagnostic))


class Report(Struct):
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


def told_of(given: object) -> str:
    """What a user of Python gave where something else is needed, in words that are short whatever it is."""
    if isinstance(given, Integral) and abs(int(given)) >= 10**40:
        return "so large a number"
    if given is None or isinstance(given, (str, Real)):
        return f"`{given}`"
    return f"a value of the type `{type(given).__name__}`"
