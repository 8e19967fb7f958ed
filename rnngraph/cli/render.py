"""`render`: pictures."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Output, Verb, Whole
from rnngraph.cli.options import MODEL, UNROLL, read
from rnngraph.cli.terminal import say

PICTURES = Output("a picture", "svg", "png", "pdf", "dot")


@click.command(cls=Verb)
@MODEL
@click.option("--out", required=True, type=PICTURES, help="The picture: .svg, .png, .pdf or .dot.")
@UNROLL
@click.option("--steps", type=Whole(), help="Steps of a static picture.  [default: 50]")
@click.option("--opened/--closed", default=True, show_default=True, help="Loops with their bodies, or as one box.")
@click.option(
    "--fold", type=Whole(), default=6, show_default=True, help="Columns of a static picture; the middle is folded."
)
@click.option("--gradient", is_flag=True, help="With the backward pass.")
@click.option("--detail", is_flag=True, help="Every operation, not one box per equation.")
def render(
    file: str,
    name: str | None,
    settings: Sequence[str],
    out: str,
    unroll: str | None,
    steps: int | None,
    opened: bool,
    fold: int,
    gradient: bool,
    detail: bool,
) -> None:
    """Draw the model: one box per cell and layer, loops opened or closed, or the steps side by side."""
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    unroll = run_options(model, unroll=unroll).unroll
    model.render(out, unroll=unroll, steps=steps, opened=opened, fold=fold, gradient=gradient, detail=detail)
    say(f"wrote {out}")
