"""The reference of the commands, a page of the site, from what `--help` says."""

from __future__ import annotations

import click

from rnngraph.cli.help import VERBS, verbs
from rnngraph.cli.main import cli

HEAD = """\
# The command line

Made from `rnngraph VERB --help`. Examples run in a folder made by `rnngraph examples --copy FOLDER`. Exit codes:
0 done, 1 could not be done (or the modes differ), 2 what was written is wrong, 130 interrupted.
"""


def page() -> str:
    return "\n".join([HEAD, *(_verb(name, verb) for name, verb in verbs(cli))])


def _verb(name: str, verb: click.Command) -> str:
    context = click.Context(verb, info_name=f"rnngraph {name}")
    usage = " ".join([context.command_path, *verb.collect_usage_pieces(context)])
    records = [option.get_help_record(context) for option in verb.params]
    rows = [f"| `{record[0]}` | {_cell(record[1])} |" for record in records if record and record[1]]
    examples = [f"rnngraph {example}" for example in VERBS[name].examples]
    shown = "\n".join(["```console", *examples, "```"])
    return f"## {name}\n\n{verb.help}\n\n    {usage}\n\n{_table(rows)}{shown}\n"


def _table(rows: list[str]) -> str:
    return "\n".join(["| option | what it says |", "|---|---|", *rows, "\n"]) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
