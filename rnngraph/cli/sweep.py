"""`sweep`: many trainings of one model, set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from rnngraph.cli.arguments import Input, Output, Verb, Whole
from rnngraph.cli.data_options import DATA_OPTIONS, read_data, read_more, rows_of
from rnngraph.cli.options import BACKEND, JSON, KERNELS, MODEL, PRODUCTS, TIMES, dtype_option, given_once, read, setting
from rnngraph.cli.terminal import console, say, say_json, show_all, warn
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import ALONE, Processes

TABLE = Output("a table", "csv")


@click.command(cls=Verb)
@MODEL
@DATA_OPTIONS
@click.option("--vary", multiple=True, required=True, metavar="NAME=V,V,...",
              help="Values to try: of an option of training (rate, batch, optimizer), else of a setting; repeatable.")
@click.option("--seeds", type=Whole(), default=1, show_default=True, help="Trainings of each choice, by seeds from 0.")
@click.option("--jobs", type=Whole(), default=1, show_default=True, help="Trainings at a time, each in a process.")
@click.option("--validation-data", "held", multiple=True, type=Input(), help="Validation data.")
@click.option("--test", "tests", multiple=True, type=Input(), help="Test data to evaluate after each training.")
@click.option("--out", type=TABLE, help="Keep the runs here (.csv); those that it holds already are not run again.")
@click.option("--picture", type=TIMES, help="Draw the scores: .svg, .png or .pdf.")
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@JSON
@click.pass_obj
def sweep(
    among: Processes | None,
    /,
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    vary: Sequence[str],
    seeds: int,
    jobs: int,
    held: Sequence[str],
    tests: Sequence[str],
    out: str | None,
    picture: str | None,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Train the model for each choice of values and each seed, and show which choice is best.

    Interrupted, the same command goes on with the runs that --out does not hold.
    """
    from rnngraph.cli.printing import sweep_table
    from rnngraph.files.results import read_records, write_records
    from rnngraph.training.config import FitConfig
    from rnngraph.training.sweep import Task, known_runs, other_runs, runs_of
    from rnngraph.training.sweep import sweep as swept
    from rnngraph.viz.sweep import write_scores

    model = read(file, name, settings)
    varied = _varied(vary)
    runs = runs_of(varied, seeds)
    rows = rows_of(FitConfig.from_recipe(model.recipe), asked)
    data = read_data(model, paths, asked, {}, rows=rows)
    task = Task(
        model.file.source,
        model.name,
        model.settings,
        model.options(backend=backend, kernels=kernels, products=products, dtype=dtype),
        data,
        read_more(model, held, asked, data.made, rows) if held else None,
        read_more(model, tests, asked, data.made) if tests else None,
    )
    table = read_records(out) if out else []
    known, others = known_runs(table, task, runs), other_runs(table, runs)
    if table:
        say(f"`{out}` holds {len(known)} of {len(runs)} runs", err=True)
    with console(stderr=True).status("") as status:

        def tell(records: Sequence[Mapping[str, Any]]) -> None:
            status.update(f"{len(records)} of {len(runs)} runs")
            if out:
                write_records(out, [*others, *records])

        found = swept(task, runs, jobs, known, tell, among or ALONE)
    if picture and (among or ALONE).rank == 0:
        write_scores(found, picture)
    if as_json:
        say_json({"score": found.score, "runs": found.records})
    else:
        show_all(sweep_table(found))
    for record in found.records:
        if "failed" in record:
            warn(f"{_said(record, found.names)}: {record['failed']}", "W605")


def _varied(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """`rate=0.01,0.003` as a name and its values."""
    pairs = []
    for text in texts:
        name, sign, values = text.partition("=")
        if not sign or not name or not values:
            raise UserError(f"`{text}` is not a name with values", "E620", "write it as --vary rate=0.01,0.003")
        pairs.append((name, tuple(setting(f"{name}={value.strip()}")[1] for value in values.split(","))))
    return given_once(pairs, "what is varied", "E620")


def _said(record: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {record[name]}" for name in (*names, "seed"))
