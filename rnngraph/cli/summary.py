"""`summary`: blocks, weights and states."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Verb
from rnngraph.cli.options import JSON, MODEL, read
from rnngraph.cli.terminal import say_json, show_all


@click.command(cls=Verb)
@MODEL
@JSON
def summary(file: str, name: str | None, settings: Sequence[str], as_json: bool) -> None:
    """A table of the model's blocks, weights and states."""
    from rnngraph.cli.tables import summary_table
    from rnngraph.viz.summary import as_json as summary_json

    model = read(file, name, settings)
    if as_json:
        say_json(summary_json(model.block), indent=2)
    else:
        show_all(summary_table(model.block))
