"""`library`: the cells and layers that come along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rnngraph.cli.arguments import Verb
from rnngraph.cli.terminal import cell, cell_lines, say, show_all, table

if TYPE_CHECKING:
    from rnngraph.language.library.catalogue import Entry


@click.command(cls=Verb)
@click.argument("name", required=False)
def library(name: str | None) -> None:
    """List the cells and layers that come along; of one NAME its settings, equations and paper."""
    from rnngraph.language.library.catalogue import entries, entry

    if name is not None:
        _show(entry(name))
        return
    rows = [(cell(one.call), cell(one.sentence)) for one in entries()]
    show_all(table(("written", "what it is"), rows, ("written", "what it is")))
    show_all("", "`rnngraph library NAME` shows one of them: settings, equations, paper.")


def _show(one: Entry) -> None:
    show_all(f"[bold]{one.kind} {one.name}[/] ({one.place})", "")
    for comment in one.prose:
        show_all(cell_lines(comment), "")
    if one.settings:
        rows = [(name, cell(default or "(needed)")) for name, default in one.settings]
        show_all(table(("setting", "default"), rows, ("setting", "default")), "")
    declared = {"inputs": one.inputs, "states": one.states, "weights": one.weights}
    rows = [(what, cell(written)) for what, names in declared.items() for written in names]
    if rows:
        rows = [("" if i and rows[i - 1][0] == what else what, written) for i, (what, written) in enumerate(rows)]
        show_all(table(("declares", ""), rows, ("declares", "")), "")
    say(one.text)
