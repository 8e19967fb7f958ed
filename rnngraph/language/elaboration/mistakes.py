"""How a mistake leaves an expression, and how shapes are called in messages."""

from __future__ import annotations

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.source import Span


class Mistake(Exception):
    """An error of the user's inside an expression; the statement around it reports it and goes on."""

    def __init__(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        note: str = "",
        help: str = "",
        labels: tuple[Label, ...] = (),
    ) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code, message, span, note=note, labels=labels, help=help)


class TooMuch(Mistake):
    """A bound on all of the work is passed: nothing goes on after it."""


MOST_REPETITIONS = 10_000
"""Turns of one `for`."""
MOST_STATEMENTS = 200_000
"""Statements run while elaborating one model: what bounds nested `for` loops, and layers of layers."""


def too_many_statements(at: Span) -> TooMuch:
    return TooMuch(
        "E310",
        f"more than {MOST_STATEMENTS:,} statements are repeated while compiling",
        at,
        help="every use of a cell or layer and every iteration of a `for` counts: repeat over steps with `unroll`",
    )


class Echo(Exception):
    """Something needed here is missing because of an error that has been told already."""


def counted(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def shape_in_words(shape: tuple[int, ...]) -> str:
    """`3 values`, `3 x 5 values`, `a single number`."""
    if not shape:
        return "a single number"
    return counted(shape[0], "value") if len(shape) == 1 else " x ".join(map(str, shape)) + " values"
