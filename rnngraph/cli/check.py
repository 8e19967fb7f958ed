"""`check`: every error and warning of files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from rnngraph import __version__
from rnngraph.cli.arguments import Input, Verb
from rnngraph.cli.options import JSON, refuse_together
from rnngraph.cli.terminal import say, say_json, tell, write_out
from rnngraph.diagnostics.diagnostic import Diagnostic

PAUSE = 0.3
"""Seconds between two looks at files that are watched."""


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True, type=Input())
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github", "sarif"]),
    default="text",
    help="How to print: for people, as GitHub annotations, or as a SARIF log.",
)
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until Ctrl-C.")
@JSON
def check(files: Sequence[str], form: str, watch: bool, as_json: bool) -> int:
    """Report every error and warning in FILES. Exit code 2 if there is an error."""
    if form != "text":
        refuse_together(json=as_json or None, format=form)
    code = _report(files, "json" if as_json else form)
    for _ in _changes(files) if watch else ():
        say(f"--- {time.strftime('%H:%M:%S')}", err=True)
        code = _report(files, "json" if as_json else form)
    return code


def _report(files: Sequence[str], form: str) -> int:
    from rnngraph.check import check as check_file

    found = [d for path in files for d in check_file(path)]
    _print(files, found, form)
    return 2 if any(d.severity == "error" for d in found) else 0


def _print(files: Sequence[str], found: Sequence[Diagnostic], form: str) -> None:
    from rnngraph.diagnostics.formats import github, sarif

    if form == "json":
        say_json([d.as_json() for d in found], indent=2)
    elif form == "sarif":
        say_json(sarif(found, __version__), indent=2)
    elif form == "github":
        for one in found:
            write_out(github(one))
    elif found:
        tell(found)
    else:
        say(f"{', '.join(files)}: no problems found")


def _changes(files: Sequence[str]) -> Iterator[None]:
    """Comes whenever one of the files, or a text beside or below them, has changed; without end."""
    before = _stamps(files)
    while True:
        time.sleep(PAUSE)
        if (now := _stamps(files)) != before:
            before = now
            yield


def _stamps(files: Sequence[str]) -> dict[Path, tuple[int, int]]:
    """When the files and what they may import were written; those that are not there have none."""
    found: dict[Path, tuple[int, int]] = {}
    for path in {Path(file) for file in files} | {p for file in files for p in Path(file).parent.rglob("*.rnn")}:
        try:
            stat = path.stat()
        except OSError:
            continue
        found[path] = stat.st_mtime_ns, stat.st_size
    return found
