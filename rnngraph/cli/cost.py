"""`cost`: bytes, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import click
from msgspec.structs import asdict

from rnngraph.cli.arguments import Real, Steps, Verb, Whole
from rnngraph.cli.options import (
    BACKEND,
    JSON,
    KEEP,
    KERNELS,
    MEMORY_LIMIT,
    MODEL,
    SWAP,
    TRUNCATE,
    UNROLL,
    dtype_option,
    read,
)
from rnngraph.cli.terminal import say_json, show_all
from rnngraph.diagnostics.errors import UserError


@click.command(cls=Verb)
@MODEL
@click.option(
    "--steps", type=Steps(), default=100, show_default=True, help="Steps of the sequences: for all axes, or for each."
)
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows.")
@click.option("--gradient", is_flag=True, help="For a training step, not a forward run.")
@click.option("--lengths", is_flag=True, help="For data whose rows have lengths.")
@click.option("--processes", type=Whole(), help="Processes that share the rows, with --gradient.")
@click.option("--shards", type=Whole(), help="Parts of the rows.  [default: as many as processes]")
@click.option("--alone", type=Real(1e-6), help="Milliseconds of the step on one process (see `bench`), for times.")
@click.option("--latency", type=Real(0), default=25.0, show_default=True, help="Microseconds until a message comes.")
@click.option("--bandwidth", type=Real(1e-6), default=10.0, show_default=True, help="Gbit/s between processes.")
@click.option("--lines", type=Whole(0), default=10, show_default=True, help="Number of source lines to list.")
@UNROLL
@KEEP
@MEMORY_LIMIT
@TRUNCATE
@SWAP
@BACKEND
@KERNELS
@dtype_option("float32")
@JSON
def cost(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: int | dict[str, int],
    batch: int,
    gradient: bool,
    lengths: bool,
    processes: int | None,
    shards: int | None,
    alone: float | None,
    latency: float,
    bandwidth: float,
    lines: int,
    unroll: str | None,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    swap: str | None,
    backend: str | None,
    kernels: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Predict the bytes of arrays that a run will take, without running anything."""
    from rnngraph.analysis.cost import cost as predicted
    from rnngraph.analysis.predicted_scaling import Link, among, gradients_by_time, scaling
    from rnngraph.cli.tables import among_table, cost_tables, scaling_table
    from rnngraph.run_options import run_options

    model = read(file, name, settings)
    flags = {"unroll": unroll, "backend": backend, "dtype": dtype, "kernels": kernels}
    memory = {"keep": keep, "memory_limit": memory_limit, "truncate": truncate, "swap": swap}
    options = run_options(model, **flags, **memory, dtype_default="float32")
    compiled = options.planned(gradient)
    if (processes or shards) and not gradient:
        raise UserError("several processes share a training step, not a forward run", "E626", "add --gradient")
    if alone is not None and not processes:
        raise UserError("`--alone` is for the time over several processes", "E626", "add --processes")
    made = []
    if alone is not None:
        made = gradients_by_time(model, compiled(model, steps).main, model.sizes(steps, batch))
    shared = among(model, options.dtype, batch, processes or 1, shards) if processes or shards else None
    link = Link(1e-6 * latency, 1e9 / 8 * bandwidth)
    times = scaling(model, options.dtype, batch, processes or 1, shards, 1e-3 * alone, link, made) if alone else None
    found = predicted(model, compiled, steps, shared.rows if shared else batch, lengths)
    if as_json:
        told = {"among": asdict(shared)} if shared else {}
        say_json({**found.to_json(), **told, **({"scaling": times.to_json()} if times else {})})
        return
    show_all(
        *cost_tables(found, lines),
        *(among_table(shared, batch) if shared else ()),
        *(scaling_table(times, processes) if times else ()),
    )
