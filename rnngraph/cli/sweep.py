"""`sweep`: many trainings of one model, set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from rnngraph.cli.arguments import Input, Output, Verb, Whole
from rnngraph.cli.data_options import DATA_OPTIONS, read_data, read_more, rows_of
from rnngraph.cli.options import BACKEND, JSON, KERNELS, MODEL, PRODUCTS, TIMES, dtype_option, given_once, read, setting
from rnngraph.cli.terminal import console, say, say_json, show_all, warn
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import ALONE, Processes

if TYPE_CHECKING:
    from rnngraph.model import Model
    from rnngraph.training.config import FitConfig
    from rnngraph.training.sweep import Given, Run, Task

TABLE = Output("a table", "csv")
ARRAYS = (".npz", ".npy")
"""Files of arrays, which are what they are; others are read as a model takes them."""


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
    from rnngraph.training.sweep import Task, known_runs, other_runs, runs_of
    from rnngraph.training.sweep import sweep as swept
    from rnngraph.viz.sweep import write_scores

    model = read(file, name, settings)
    varied = _varied(vary)
    runs = runs_of(varied, seeds)
    how = model.options(backend=backend, kernels=kernels, products=products, dtype=dtype)
    task = Task(model.file.source, model.name, model.settings, how, {})
    task = replace(task, given=_given(task, runs, asked, (paths, held, tests)))
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


def _given(
    task: Task, runs: Sequence[Run], asked: Mapping[str, Any], files: tuple[Sequence[str], Sequence[str], Sequence[str]]
) -> dict[tuple[str, ...], Given]:
    """The data of each choice, as a training of it by itself has them; those that are equal are one."""
    from rnngraph.training.sweep import choices, planned

    found: dict[tuple[str, ...], Given] = {}
    read: dict[tuple[Any, ...], Given] = {}
    arrays = not asked["text"] and all(path.endswith(ARRAYS) for paths in files for path in paths)
    for run in choices(runs):
        model, config = planned(task, run)
        by = () if arrays else (rows_of(config, asked), str(model.settings))
        if by not in read:
            given = _read(model, config, asked, *files)
            read[by] = next((known for known in read.values() if known.digests == given.digests), given)
        found[run.choice] = read[by]
    return found


def _read(
    model: Model,
    config: FitConfig,
    asked: Mapping[str, Any],
    paths: Sequence[str],
    held: Sequence[str],
    tests: Sequence[str],
) -> Given:
    from rnngraph.training.sweep import Given

    rows = rows_of(config, asked)
    data = read_data(model, paths, asked, {}, rows=rows)
    validation = read_more(model, held, asked, data.made, rows) if held else None
    return Given(data, validation, read_more(model, tests, asked, data.made) if tests else None)


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
