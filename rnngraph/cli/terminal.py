"""All that goes to standard output and standard error; nothing here is believed that comes from a file."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any

import click

from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.excerpt import render
from rnngraph.diagnostics.source import printable

WIDTH = 150
"""Columns of what is printed into a file or a pipe."""

NARROWEST = 40
"""Columns that a table has at least; in fewer it could only be blank."""

_PLAIN = {"²": "^2", "³": "^3", "×": "x", "·": "*", "…": "...", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">="}
"""What a terminal that knows no more than ASCII shows for the signs that reports are written with."""


def say(text: str, err: bool = False, end: bool = True) -> None:
    """Lines of text; signs that a terminal might obey are shown as unknown ones."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=err, nl=end)


def write_out(text: str, end: bool = True) -> None:
    """Text as it is, for a program or a file to read; at a terminal without what that might obey."""
    if sys.stdout.isatty():
        say(text, end=end)
    else:
        click.echo(text, nl=end)


def say_json(value: Any, indent: int | None = None) -> None:
    click.echo(json.dumps(value, indent=indent))


def show_all(*parts: Any) -> None:
    """Tables and other things that rich draws; their words come from `cell`."""
    for part in parts:
        console().print(part, highlight=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str], groups: int = -1) -> Any:
    """A `rich` table: `texts` are the columns of words, which may be folded, the others are numbers, to the right.

    A blank line stands where column `groups` changes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        words = column in texts
        made.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        made.add_row(*row, end_section=groups >= 0 and after is not None and row[groups] != after[groups])
    return made


def cell(text: object) -> str:
    """A word from a file as a table takes it."""
    from rich.markup import escape

    return escape(printable(str(text)))


def cell_lines(text: str) -> str:
    """Lines of words from a file as a table takes them."""
    return "\n".join(map(cell, text.split("\n")))


def console(stderr: bool = False) -> Any:
    from rich.console import Console

    asked = os.environ.get("COLUMNS", "")
    width = max(int(asked), NARROWEST) if asked.isdecimal() else None if sys.stdout.isatty() else WIDTH
    return Console(stderr=stderr, width=width)


def tell(diagnostics: Sequence[Diagnostic]) -> None:
    """Errors and warnings to standard error."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for diagnostic in in_order(diagnostics):
        click.echo(render(diagnostic, colour, _coloured if colour else str), err=True)


def _coloured(line: str) -> str:
    """A line of the language as a terminal shows it."""
    from pygments import highlight
    from pygments.formatters import TerminalFormatter

    from rnngraph.editor.pygments_lexer import RnnLexer

    return str(highlight(line, RnnLexer(stripnl=False, ensurenl=False), TerminalFormatter()))


def warn(text: str, code: str = "W600", help: str = "") -> None:
    if text:
        tell([Diagnostic(code, text, severity="warning", help=help)])


def open_streams() -> None:
    """Makes both streams take every sign, whatever encoding the terminal has: what it has not is written around."""
    codecs.register_error("rnngraph", _around)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # a stream that was closed takes all and keeps none
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="rnngraph")


def _around(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end
