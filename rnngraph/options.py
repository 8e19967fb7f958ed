"""What the verbs of the command line share: options, reading a model, telling mistakes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.diagnostics import Diagnostic, UserError, in_order, render

if TYPE_CHECKING:
    from rnngraph.model import Model
    from rnngraph.viz.times import Profile

WIDTH = 150
"""Columns of what is printed into a file or a pipe."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_group(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


FILE = click.argument("file", type=click.Path())
MODEL = option_group(
    FILE,
    click.option("--model", "name", metavar="NAME", help="Which model, where the file has several."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, as --set units=64."),
)
UNROLL = click.option(
    "--unroll",
    metavar="static|dynamic|K",
    help="One copy of the cell per step, a while-loop, or K steps per turn of the loop."
    "  [default: what the model's `schedule` block says, else dynamic]",
)
BACKEND = click.option("--backend", help="numpy or cupy.  [default: the `schedule` block's, else numpy]")
KERNELS = click.option("--kernels", help="native (compiled here) or numpy.  [default: native where it can be had]")
KEEP = click.option(
    "--keep",
    metavar="all|every:K|sqrt|revolve:SLOTS|mixed:PERCENT",
    help="What is kept for the way back; the rest is computed again.  [default: the `schedule` block's, else all]",
)
MEMORY_LIMIT = click.option(
    "--memory-limit", metavar="512MB", help="Take the fastest way that fits: what is kept, what is computed again."
)
SWAP = click.option("--swap", metavar="FOLDER", help="Keep what the way back needs in a file of this folder.")
TRUNCATE = click.option(
    "--truncate", metavar="K", help="Gradients through states stop at every K-th step: not the gradient any more."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
LINES = click.option("--lines", default=12, show_default=True, help="Source lines to show the time of.")
PICTURE = click.option("--picture", type=click.Path(), help="Draw the times by line: .svg, .png or .pdf.")
SEED = click.option("--seed", default=0, show_default=True, help="Seed of new weights and of random numbers.")


def dtype_option(default: str) -> Decorator:
    """The type of numbers; the default is the verb's own, where neither flag nor `schedule` block says one."""
    return click.option("--dtype", help=f"float32 or float64.  [default: the `schedule` block's, else {default}]")


def read(file: str, name: str | None, settings: Sequence[str]) -> Model:
    """The model of a file; its warnings are told."""
    from rnngraph.model import load

    model = load(file, name, **given_once([setting(text) for text in settings], "the setting", "E620"))
    tell(model.warnings)
    return model


def given_once(pairs: Sequence[tuple[str, Any]], what: str, code: str) -> dict[str, Any]:
    """The pairs by name; UserError where one comes twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UserError(f"{what} `{name}` is given twice", code, "give it once")
        found[name] = value
    return found


def setting(text: str) -> tuple[str, Any]:
    """`units=64` as a name and a number, true or false, or a word."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UserError(f"`{text}` is no setting", "E620", "write it as --set units=64")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def numbers(flag: str, text: str) -> tuple[int, ...]:
    """`2,10,50` as numbers from 0 on."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{flag} {text}: not whole numbers with commas between", "E621", f"write {flag} 2,10,50"
        ) from None
    if any(n < 0 for n in found):
        raise UserError(f"{flag} {text}: a number of steps is 0 or more", "E621")
    return found


def positive(flag: str, value: int) -> int:
    if value < 1:
        raise UserError(f"{flag} {value}: must be 1 or more", "E621")
    return value


def refuse_picture(path: str | None) -> None:
    """UserError or CannotDo where no picture of times could be written: asked before anything is run."""
    if path is not None:
        from rnngraph.files import refuse_unwritable
        from rnngraph.viz.times import picture_form

        picture_form(path)
        refuse_unwritable(path)


def tell_profiles(profiles: Mapping[str, Profile], picture: str | None, lines: int) -> None:
    """Charts of so many lines at the terminal (of none where that is 0), and a picture where one is asked for."""
    from rnngraph.viz.times import chart, write_picture

    for task, profile in profiles.items() if lines else ():
        console().print(chart(task, profile, lines), highlight=False)
    if picture is not None:
        write_picture(profiles, picture, max(lines, 12))
        click.echo(f"wrote {picture}", err=not lines)


def console(stderr: bool = False) -> Any:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(stderr=stderr, width=width)


def tell(diagnostics: Sequence[Diagnostic]) -> None:
    """Errors and warnings to standard error."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for diagnostic in in_order(diagnostics):
        click.echo(render(diagnostic, colour), err=True)


def warn(text: str) -> None:
    if text:
        tell([Diagnostic("W600", text, severity="warning")])
