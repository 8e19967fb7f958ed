"""`fmt`: files in their canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rnngraph.cli.arguments import Input, Verb
from rnngraph.cli.terminal import say, tell, write_out
from rnngraph.diagnostics.errors import CannotDo, UserError


@click.command(cls=Verb)
@click.argument("files", nargs=-1, required=True, type=Input())
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit code 1 if a file would change.")
@click.option("--stdout", is_flag=True, help="Print the result instead of writing it.")
def fmt(files: Sequence[str], only_check: bool, stdout: bool) -> int:
    """Rewrite FILES in canonical form."""
    code = 0
    for path in files:
        try:
            changed = _formatted(path, only_check, stdout)
        except UserError as error:  # of one file; the others are brought into form all the same
            tell(error.diagnostics)
            code = max(code, error.exit_code)
        else:
            code = max(code, int(only_check and changed))
    return code


def _formatted(path: str, only_check: bool, stdout: bool) -> bool:
    """Whether the file was, or would be, changed."""
    from rnngraph.files.atomic_writes import is_device, write_aside
    from rnngraph.language.syntax.formatter import format
    from rnngraph.language.syntax.parser import parse, read_source

    source = read_source(Path(path))
    before, after = source.text, format(parse(source))
    if stdout:
        write_out(after, end=False)
    elif before != after:
        if not only_check:
            if is_device(Path(path)):
                raise CannotDo(f"`{path}` is not a file that can be changed", "E660", "`--stdout` prints the result")
            write_aside(path, after.encode())
        say(f"{path}: {'would change' if only_check else 'changed'}")
    return before != after
