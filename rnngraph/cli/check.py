"""`check`: every error and warning of files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Input, Verb
from rnngraph.cli.options import JSON
from rnngraph.cli.terminal import say, say_json, tell


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True, type=Input())
@JSON
def check(files: Sequence[str], as_json: bool) -> int:
    """Report every error and warning in FILES. Exit code 2 if there is an error."""
    from rnngraph.check import check as check_file

    found = [d for path in files for d in check_file(path)]
    if as_json:
        say_json([d.as_json() for d in found], indent=2)
    else:
        tell(found)
        if not found:
            say(f"{', '.join(files)}: no problems found")
    return 2 if any(d.severity == "error" for d in found) else 0
