"""`render`: pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rnngraph.cli.arguments import Output, Verb, Whole
from rnngraph.cli.options import MODEL, UNROLL, read
from rnngraph.cli.terminal import say

PICTURES = Output("a picture", "svg", "png", "pdf", "dot")


@click.command(cls=Verb)
@MODEL
@click.option("--out", required=True, type=PICTURES, help="The picture: .svg, .png, .pdf or .dot.")
@UNROLL
@click.option("--steps", type=Whole(), help="Steps of an unrolled picture.  [default: 50]")
@click.option(
    "--level", type=click.IntRange(1, 3),
    help="1: cells and layers, loops closed; 2: the blocks of the model; 3: equations.  [default: what fits a page]",
)  # fmt: skip
@click.option("--closed", "level", flag_value=1, type=int, help="The same as --level 1.")
@click.option(
    "--fold", type=Whole(), default=6, show_default=True, help="Columns of an unrolled picture; the middle is folded."
)
@click.option("--gradient", is_flag=True, help="With the backward pass, and what is kept for it.")
@click.option("--detail", is_flag=True, help="Every operation, not one box per equation.")
@click.option("--title", help="A title over the picture.")
@click.option("--direction", type=click.Choice(["up", "down", "right"]), help="Where the data flow.")
@click.option("--dark", is_flag=True, help="On a dark page.")
@click.option("--legend/--no-legend", default=True, help="What the colours mean, below.")
@click.option("--shapes/--no-shapes", default=True, help="The shape of each value.")
def render(
    file: str, name: str | None, settings: Sequence[str], out: str, unroll: str | None, title: str | None,
    direction: str | None, **style: Any,
) -> None:  # fmt: skip
    """Draw the model: loops opened or closed, or the steps side by side; forward, or with the backward pass."""
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    unroll = run_options(model, unroll=unroll).unroll
    model.render(out, unroll=unroll, title=title or "", direction=direction or "", **style)
    say(f"wrote {out}")
