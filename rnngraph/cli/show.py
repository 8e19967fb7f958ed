"""`show`: the graph after any stage, or its kernels."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Verb, Whole
from rnngraph.cli.options import MODEL, UNROLL, read
from rnngraph.cli.terminal import say, show_all, warn


@click.command(cls=Verb)
@MODEL
@click.option("--after", default="unroll", show_default=True, help="The stage to print: elaborate, split, ... unroll.")
@UNROLL
@click.option("--steps", type=Whole(0), help="Steps of a static graph.")
@click.option("--gradient", is_flag=True, help="With the backward pass.")
@click.option("--lengths", is_flag=True, help="For data whose rows have lengths of their own.")
@click.option("--kernels", is_flag=True, help="The compiled kernels, and what is left to NumPy and why.")
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
    """Print the graph as text after a stage of compilation, or the kernels that it is run by."""
    from rnngraph import driver
    from rnngraph.cli.printing import kernel_table

    model = read(file, name, settings)
    how = driver.scheduled(model, unroll=unroll)
    warn(driver.unrolling_warning(model, how.unroll, steps, gradient))
    if kernels:
        show_all(kernel_table(driver.kernels(model, how, steps, gradient, lengths)))
        return
    say(driver.show(model, after, how.unroll, steps, gradient, lengths))
