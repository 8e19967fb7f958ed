"""`show`: the graph after any stage, or its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rnngraph.cli.arguments import Verb, Whole
from rnngraph.cli.options import MODEL, UNROLL, read
from rnngraph.cli.terminal import say, show_all, warn

if TYPE_CHECKING:
    from rnngraph.kernels.listing import Listed
    from rnngraph.model import Model
    from rnngraph.run_options import RunOptions


@click.command(cls=Verb)
@MODEL
@click.option("--after", default="unroll", show_default=True, help="The stage to print: elaborate, split, ... unroll.")
@UNROLL
@click.option("--steps", type=Whole(0), help="Steps of a static graph.")
@click.option("--gradient", is_flag=True, help="With the backward pass.")
@click.option("--lengths", is_flag=True, help="For data whose rows have lengths.")
@click.option("--kernels", is_flag=True, help="The compiled kernels, and what NumPy runs and why.")
def show(
    file: str,
    name: str | None,
    settings: Sequence[str],
    after: str,
    unroll: str | None,
    steps: int | None,
    gradient: bool,
    lengths: bool,
    kernels: bool,
) -> None:
    """Print the graph as text after a stage of compilation, or the kernels that run it."""
    from rnngraph.cli.tables import kernel_table
    from rnngraph.ir.text import show as graph_text
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    options = run_options(model, unroll=unroll)
    warn(model.unrolling_warning(options.unroll, steps, gradient))
    if kernels:
        show_all(kernel_table(_kernels(model, options, steps, gradient, lengths)))
        return
    say(graph_text(model.stage(after, options.unroll, steps, gradient, lengths)))


def _kernels(model: Model, options: RunOptions, steps: int | None, gradient: bool, padded: bool) -> list[Listed]:
    """The compiled kernels of a model's program, and what is left to NumPy."""
    from rnngraph.compilation.variant import Signature
    from rnngraph.kernels.cpu.modules import target
    from rnngraph.kernels.listing import listed

    program = replace(options, kernels="native").compiled(model, steps, gradient=gradient)
    signature = Signature(padded, cotangents=model.differentiated if gradient else None)
    return listed(program.variant(signature).program.code, target(options.dtype))
