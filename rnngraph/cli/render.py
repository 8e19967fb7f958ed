"""`render`: pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Output, Verb, Whole
from rnngraph.cli.options import MODEL, UNROLL, read, read_weights, settings_of
from rnngraph.cli.terminal import say
from rnngraph.diagnostics.errors import UserError

if TYPE_CHECKING:
    from rnngraph.api import Model

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
@click.option("--closed", "level", flag_value=1, type=click.IntRange(1, 3), help="The same as --level 1.")
@click.option(
    "--fold", type=Whole(), help="Columns of an unrolled picture; the middle is folded.  [default: 6]"
)
@click.option(
    "--cell", metavar="NAME", help="One cell by itself, as in a textbook: LSTM, or 'LSTM(4, peepholes = true)'."
)
@click.option("--gradient", is_flag=True, help="With the backward pass, and what is kept for it.")
@click.option("--detail", is_flag=True, help="Every operation, not one box per equation.")
@click.option("--title", help="A title over the picture.")
@click.option("--direction", type=click.Choice(["up", "down", "right"]), help="Where the data flow.")
@click.option("--dark", is_flag=True, help="On a dark page.")
@click.option("--legend/--no-legend", default=True, help="What the colours mean, below.")
@click.option("--shapes/--no-shapes", default=True, help="The shape of each value.")
@click.option("--watch", metavar="H,C,I", help="Values inside cells to stand in their boxes, with --data.")
@click.option("--weights", type=Input(), help="With --data: a .safetensors file; without it, new weights.")
@click.option(
    "--data", "paths", multiple=True, type=Input(), help="Arrays: the numbers of their first row in the boxes of steps."
)
def render(
    file: str, name: str | None, settings: Sequence[str], out: str, unroll: str | None, title: str | None,
    direction: str | None, watch: str | None, weights: str | None, paths: Sequence[str], level: int | None,
    steps: int | None, fold: int | None, gradient: bool, detail: bool, dark: bool, legend: bool, shapes: bool,
    cell: str | None,
) -> None:  # fmt: skip
    """Draw the model: loops opened or closed, or the steps side by side; forward, or with the backward pass.

    With --data the steps are drawn, and the numbers of its first row stand in their boxes. With --cell one step of one
    cell is drawn: of the model, of the library, or of a file that has no model.
    """
    if cell:
        given = {"unroll": unroll, "steps": steps, "level": level, "fold": fold, "gradient": gradient, "detail": detail}
        _refuse({**given, "watch": watch, "weights": weights, "data": paths})
        _draw_cell(file, cell, out, (name, settings), (title or "", direction or "", dark, legend, shapes))
        return
    from rnngraph.run_options import run_options

    model = read(file, name, settings, weights)
    unroll = run_options(model, unroll=unroll).unroll
    style: dict[str, Any] = {
        "level": level, "steps": steps, "fold": fold, "gradient": gradient, "detail": detail, "dark": dark,
        "legend": legend, "shapes": shapes,
    }  # fmt: skip
    if paths:
        style |= _of_run(model, paths, weights, watch, steps)
        unroll = "static" if unroll == "dynamic" else unroll
    elif watch or weights:
        raise UserError("there are no values without data", "E648", "add `--data FILE`")
    model.render(out, unroll=unroll, title=title or "", direction=direction or "", **style)
    say(f"wrote {out}")


def _refuse(given: Mapping[str, object]) -> None:
    from rnngraph.viz.render import refuse_beside_a_cell

    refuse_beside_a_cell(f"--{name}" for name, value in given.items() if value)


def _draw_cell(
    file: str, cell: str, out: str, model: tuple[str | None, Sequence[str]], look: tuple[str, str, bool, bool, bool]
) -> None:
    """A file that has no model will do, so none is read."""
    from rnngraph.language.syntax.parser import parse, read_source
    from rnngraph.viz.palette import Look
    from rnngraph.viz.render import drawn_cell
    from rnngraph.viz.write import write

    name, settings = model
    write(drawn_cell(parse(read_source(file)), cell, settings_of(settings), name, Look(*look)), out)
    say(f"wrote {out}")


def _of_run(
    model: Model, paths: Sequence[str], weights: str | None, watch: str | None, steps: int | None
) -> dict[str, Any]:
    """The values of the first row of the data, and its number of steps."""
    from rnngraph.data.read import load
    from rnngraph.data.shape_checks import steps_of

    data = load(paths)
    watched = tuple(w.strip() for w in (watch or "").split(",") if w.strip())
    results = model.compile(watch=watched).run(data, read_weights(model, weights, 0, "float64"))
    values = {name: array[0] for name, array in {**data, **results}.items() if array.ndim > 1}
    return {"values": values, "steps": steps or max(steps_of(model.inputs, data).values(), default=1)}
