"""`bench`: how fast a model is here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click

from rnngraph.cli.arguments import Real, Steps, Verb, Whole
from rnngraph.cli.options import (
    BACKEND,
    JSON,
    KEEP,
    KERNELS,
    LINES,
    MODEL,
    PICTURE,
    PRODUCTS,
    UNROLL,
    dtype_option,
    read,
    tell_profiles,
)
from rnngraph.cli.terminal import console, say_json, show_all, warn


@click.command(cls=Verb)
@MODEL
@click.option(
    "--steps", type=Steps(1), default=100, show_default=True, help="Steps of the data: for all axes, or for each."
)
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows of the synthetic data.")
@click.option("--seconds", type=Real(0), default=2.0, show_default=True, help="Time to run each task.")
@UNROLL
@KEEP
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@PICTURE
@LINES
@JSON
def bench(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: int | dict[str, int],
    batch: int,
    seconds: float,
    unroll: str | None,
    keep: str | None,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    picture: str | None,
    lines: int,
    as_json: bool,
) -> None:
    """Measure the model's speed, forward only and in training: per step, against the machine, by source line."""
    from rnngraph.analysis.bench import bench as measured
    from rnngraph.cli.tables import bench_tables
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    by_axis = model.steps_by_axis(steps)
    flags = {"unroll": unroll, "keep": keep, "backend": backend, "dtype": dtype, "kernels": kernels}
    options = run_options(model, dtype_default="float32", products=products, **flags)
    warn(model.unrolling_warning(options.unroll, by_axis, True))
    with console(stderr=True).status("") as status:
        infer, train = (partial(made, model, by_axis) for made in (options.compiled, options.training_step))
        tasks = {"infer": infer, "train": train}
        found = measured(model, options.dtype, tasks, by_axis, batch, seconds, lambda text: status.update(text))
    if as_json:
        say_json(found.to_json())
    else:
        show_all(*bench_tables(found))
    tell_profiles({speed.task: speed.profile for speed in found.speeds}, picture, 0 if as_json else lines)
