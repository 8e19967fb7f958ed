"""`train`: weights from data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rnngraph.cli.arguments import Input, Output, Paths, Real, Verb, Whole
from rnngraph.cli.data_options import DATA_OPTIONS, NAMES, read_data, read_more, rows_of
from rnngraph.cli.options import (
    ANY,
    BACKEND,
    JSON,
    KEEP,
    KERNELS,
    MEMORY_LIMIT,
    MODEL,
    PRODUCTS,
    SWAP,
    TIMES,
    TRUNCATE,
    UNROLL,
    dtype_option,
    read,
    read_weights,
    refuse_together,
)
from rnngraph.cli.terminal import say, say_json, warn
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed.processes import ALONE, Processes

WEIGHTS = Output("weights", "safetensors")
LOG = Output("a history", "csv")
CHECKPOINT = Output("a checkpoint", "checkpoint", "safetensors")


def _training_files(given: Mapping[str, Any]) -> Paths:
    """The checkpoint that a training keeps where no option names one."""
    from rnngraph.training.checkpoint import own_checkpoint

    if given["checkpoint"]:
        return {}
    return {"--checkpoint": [given["resume"] or own_checkpoint(given["file"], given["out"])]}


@click.command(cls=Verb, also=_training_files, same=(("--checkpoint", "--resume"),))
@MODEL
@DATA_OPTIONS
@click.option("--validation-data", "held", multiple=True, type=Input(), help="Validation data for early stopping.")
@click.option("--test", "tests", multiple=True, type=Input(), help="Test data to evaluate after training.")
@click.option("--log", type=LOG, help="Write the history of epochs here (.csv).")
@click.option("--log-gradients", is_flag=True, help="Record the gradient's norm too: by weight, by steps back in time.")
@click.option("--curves", type=TIMES, help="Draw the history of epochs: .svg, .png or .pdf.")
@click.option("--out", type=WEIGHTS, help="Write the trained weights here (.safetensors).")
@click.option("--weights", type=Input(), help="Start from these weights.")
@click.option("--checkpoint", type=CHECKPOINT, help="Save the state of training here.  [default: beside --out]")
@click.option("--resume", type=Input(), help="Continue from this checkpoint.")
@click.option("--epochs", type=Whole(0), help="Passes over the data.")
@click.option("--batch", "--batch-size", type=Whole(), help="Rows per batch.")
@click.option("--accumulate", type=Whole(), help="Batches per update.")
@click.option("--shards", type=Whole(), help="Parts of a batch, for processes.  [default: as many as processes]")
@click.option("--segment", type=Whole(), help="Cut sequences into pieces of so many steps; states are carried on.")
@click.option("--similar-lengths", is_flag=True, default=None, help="Batches of rows of similar lengths.")
@click.option("--optimizer", metavar="NAME", help="sgd, adam, adamw, rmsprop or adagrad.")
@click.option("--rate", "--learning-rate", "--lr", type=Real(), help="Learning rate.")
@click.option("--momentum", type=Real(), help="Momentum, for sgd and rmsprop.")
@click.option("--decay", "--weight-decay", type=Real(), help="Weight decay.")
@click.option("--rate-decay", type=Real(), help="Rate factor after each epoch.")
@click.option(
    "--rate-schedule", metavar="NAME", help="step, cosine, linear or plateau, with settings: cosine(to=0.1)."
)
@click.option("--warmup", type=Whole(0), help="Updates over which the rate grows to its value.")
@click.option("--clip-norm", type=Real(), help="Maximum norm of all gradients together.")
@click.option("--clip-epsilon", type=Real(0), help="Added to the norm when clipping; PyTorch has 1e-6.")
@click.option("--validation", type=Real(), help="Fraction of rows held back.")
@click.option("--split", type=click.Choice(["random", "last"]), help="Which rows are held back.")
@click.option("--patience", type=Whole(), help="Epochs without a better held-back loss before stopping.")
@UNROLL
@KEEP
@MEMORY_LIMIT
@TRUNCATE
@SWAP
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@click.option("--seed", type=ANY, help="Seed of weights, order and masks.")
@JSON
@click.pass_obj
def train(
    among: Processes | None,
    /,
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    held: Sequence[str],
    tests: Sequence[str],
    log: str | None,
    log_gradients: bool,
    curves: str | None,
    out: str | None,
    weights: str | None,
    checkpoint: str | None,
    resume: str | None,
    unroll: str | None,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    swap: str | None,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train the model's weights on data, with its `train` block, overridden by flags."""
    from rnngraph.cli.printing import Bar, metrics_text
    from rnngraph.data.shape_checks import steps_of
    from rnngraph.files.results import write_records
    from rnngraph.run_options import run_options
    from rnngraph.training.checkpoint import alone, own_checkpoint
    from rnngraph.training.config import FitConfig
    from rnngraph.training.train import tester, with_optimiser
    from rnngraph.training.train import train as trained
    from rnngraph.viz.training_curves import write_curves
    from rnngraph.weights.save_load import load_about, save_weights

    processes = among or ALONE
    first = processes.rank == 0
    asked = {name: overrides.pop(name) for name in NAMES}
    if log_gradients and not (log or curves or as_json):
        raise UserError("the gradient's norms have no place to stand in", "E646", "add `--log history.csv`")
    refuse_together(resume=resume, weights=weights)
    refuse_together(validation=overrides["validation"], validation_data=held)
    kept = checkpoint or resume or own_checkpoint(file, out)
    own = kept not in (checkpoint, resume)
    model = read(file, name, settings, weights or resume)
    if not (paths or asked["text"]):
        raise UserError("there are no data to train on", "E622", "name files with `--data`, or a text with `--text`")
    flags = {"unroll": unroll, "backend": backend, "dtype": dtype, "kernels": kernels, "products": products}
    memory = {"keep": keep, "memory_limit": memory_limit, "truncate": truncate, "swap": swap}
    options = run_options(model, **flags, **memory, dtype_default="float32")
    overrides = with_optimiser(model, {**overrides, "rate_schedule": _schedule(overrides["rate_schedule"])})
    config = FitConfig.from_recipe(model.recipe, **overrides)
    like = load_about(weights or resume or "").data if weights or resume else {}
    in_rows = rows_of(config, asked)
    data = read_data(model, paths, asked, like, rows=in_rows)
    validation = read_more(model, held, asked, data.made, in_rows) if held else None
    tested = read_more(model, tests, asked, data.made) if tests else None
    measure = None if tested is None else tester(model, tested, options, processes, overrides)
    warn(model.unrolling_warning(options.unroll, steps_of(model.inputs, data), True))
    if not out:
        warn("the trained weights will not be saved", "W602", "name a file with `--out`")
    with alone(kept if first else None):  # before anything is said of what stands there
        pass
    if kept != resume and Path(kept).is_file():
        warn(f"`{kept}` of an interrupted training is overwritten; `--resume {kept}` would continue from it")
    begin = read_weights(model, weights, 0, options.dtype, start=True) if weights else None
    began = False

    def progress(now: Any) -> None:
        nonlocal began
        began = True
        bar.tell(now)

    with Bar(quiet=as_json) as bar:
        fitted = trained(
            model,
            data,
            validation,
            overrides,
            options=options,
            weights=begin,
            checkpoint=kept,
            resume=resume,
            progress=progress,
            processes=processes,
            log_gradients=log_gradients,
        )
    if first and not began:
        stands = f": `{resume}` is at epoch {len(fitted.history)}" if resume else ""
        warn(f"nothing is left to train{stands}")
    if out and first:
        save_weights(out, fitted.weights)
    if log and first:
        write_records(log, fitted.history)
    if curves and first:
        write_curves(fitted.history, fitted.best_epoch, curves)
    if own and first:
        Path(kept).unlink(missing_ok=True)
    report: dict[str, Any] = {"history": fitted.history, "best_epoch": fitted.best_epoch}
    if measure is not None:
        report["test"] = measure(dict(fitted.weights))
    if as_json:
        say_json(report)
        return
    if fitted.best_epoch is not None:
        say(f"the weights are those of epoch {fitted.best_epoch}, the best on held-back data")
    elif fitted.history and "validation.loss" in fitted.history[-1]:
        warn("the held-back loss was never a number: the weights are those of the last epoch")
    if measure is not None:
        say(f"test: {metrics_text(report['test'])}")
    say(f"wrote {out}" if out else "the weights were not saved: name a file with --out")


def _schedule(text: str | None) -> Any:
    """`cosine` or `cosine(to=0.1)` as a name with its settings."""
    if text is None:
        return None
    name, bracket, inside = text.partition("(")
    if not bracket:
        return name
    pairs = [part.split("=") for part in inside.removesuffix(")").split(",") if part.strip()]
    try:
        if not inside.endswith(")"):
            raise ValueError
        return name, {key.strip(): float(value) for key, value in pairs}
    except ValueError:
        raise UserError(f"`{text}` is not a schedule with settings", "E705", "write it as cosine(to=0.1)") from None
