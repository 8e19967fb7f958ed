"""`fmt`: files in their canonical form."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Input, Verb
from rnngraph.cli.terminal import say, write_out


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True, type=Input())
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit code 1 if a file would change.")
@click.option("--stdout", is_flag=True, help="Print the result instead of writing it.")
def fmt(files: Sequence[str], only_check: bool, stdout: bool) -> int:
    """Bring FILES into their canonical form."""
    from rnngraph import texts
    from rnngraph.files.outputs import write_aside

    changed = 0
    for path in files:
        before, after = texts.formatted(path)
        if stdout:
            write_out(after, end=False)
        elif before != after:
            changed += 1
            say(f"{path}: {'would change' if only_check else 'changed'}")
            if not only_check:
                write_aside(path, after.encode())
    return 1 if only_check and changed else 0
