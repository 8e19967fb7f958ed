"""`train`: weights from data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rnngraph.cli.arguments import Input, Output, Paths, Real, Verb, Whole
from rnngraph.cli.options import (
    ANY,
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
    read_weights,
    refuse_together,
)
from rnngraph.cli.terminal import say, say_json, warn

WEIGHTS = Output("weights", "safetensors")
CHECKPOINT = Output("a checkpoint", "checkpoint", "safetensors")


def _training_files(given: Mapping[str, Any]) -> Paths:
    """The checkpoint that a training keeps where no option names one."""
    from rnngraph.training.checkpoint import own_checkpoint

    if given["checkpoint"]:
        return {}
    return {"--checkpoint": [given["resume"] or own_checkpoint(given["file"], given["out"])]}


@click.command(cls=Verb, also=_training_files, same=(("--checkpoint", "--resume"),))
@MODEL
@click.option("--data", "paths", multiple=True, required=True, type=Input(), help="Training data; repeatable.")
@click.option("--validation-data", "held", multiple=True, type=Input(), help="Validation data for early stopping.")
@click.option("--test", "tests", multiple=True, type=Input(), help="Test data to evaluate after training.")
@click.option("--out", type=WEIGHTS, help="Write the trained weights here (.safetensors).")
@click.option("--weights", type=Input(), help="Start from these weights.")
@click.option("--checkpoint", type=CHECKPOINT, help="Save the state of training here.  [default: beside --out]")
@click.option("--resume", type=Input(), help="Continue from this checkpoint.")
@click.option("--epochs", type=Whole(0), help="Passes over the data.")
@click.option("--batch", type=Whole(), help="Rows per update.")
@click.option("--optimizer", metavar="NAME", help="sgd, adam, adamw or rmsprop.")
@click.option("--rate", type=Real(), help="Learning rate.")
@click.option("--momentum", type=Real(), help="Momentum, for sgd and rmsprop.")
@click.option("--decay", type=Real(), help="Weight decay, for adamw.")
@click.option("--rate-decay", type=Real(), help="Rate factor after each epoch.")
@click.option("--clip-norm", type=Real(), help="Maximum norm of all gradients together.")
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
@dtype_option("float32")
@click.option("--seed", type=ANY, help="Seed of weights, order and masks.")
@JSON
def train(
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    held: Sequence[str],
    tests: Sequence[str],
    out: str | None,
    weights: str | None,
    checkpoint: str | None,
    resume: str | None,
    optimizer: str | None,
    rate: float | None,
    momentum: float | None,
    decay: float | None,
    unroll: str | None,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    swap: str | None,
    backend: str | None,
    kernels: str | None,
    dtype: str | None,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train the model's weights on data, with its `train` block, overridden by flags."""
    from rnngraph.cli.printing import Bar, metrics_text
    from rnngraph.data.alphabet import keep_weights
    from rnngraph.data.read import load
    from rnngraph.data.shapes import steps_of
    from rnngraph.run_options import run_options
    from rnngraph.training.checkpoint import alone, own_checkpoint
    from rnngraph.training.train import chosen_optimiser, tester
    from rnngraph.training.train import train as trained

    refuse_together(resume=resume, weights=weights)
    refuse_together(validation=overrides["validation"], validation_data=held)
    kept = checkpoint or resume or own_checkpoint(file, out)
    own = kept not in (checkpoint, resume)
    model = read(file, name, settings)
    flags = {"unroll": unroll, "backend": backend, "dtype": dtype, "kernels": kernels}
    memory = {"keep": keep, "memory_limit": memory_limit, "truncate": truncate, "swap": swap}
    options = run_options(model, **flags, **memory, dtype_default="float32")
    arguments = {"rate": rate, "momentum": momentum, "decay": decay}
    overrides["optimizer"] = chosen_optimiser(model, optimizer, arguments)
    data, validation = load(paths), load(held) if held else None
    measure = tester(model, load(tests), options) if tests else None
    warn(model.unrolling_warning(options.unroll, steps_of(model.inputs, data), True))
    if not out:
        warn("the trained weights will not be saved", "W602", "name a file with `--out`")
    with alone(kept):  # before anything is said of what stands there
        pass
    if kept != resume and Path(kept).is_file():
        warn(f"`{kept}` of an interrupted training is overwritten; `--resume {kept}` would continue from it")
    first = read_weights(model, weights, 0, options.dtype) if weights else None
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
            weights=first,
            checkpoint=kept,
            resume=resume,
            progress=progress,
        )
    if not began:
        stands = f": `{resume}` is at epoch {len(fitted.history)}" if resume else ""
        warn(f"nothing is left to train{stands}")
    if out:
        keep_weights(out, fitted.weights, data)
    if own:
        Path(kept).unlink(missing_ok=True)
    report: dict[str, Any] = {"history": fitted.history, "best_epoch": fitted.best_epoch}
    if measure is not None:
        report["test"] = measure(dict(fitted.weights))
    if as_json:
        say_json(report)
        return
    if measure is not None:
        say(f"test: {metrics_text(report['test'])}")
    say(f"wrote {out}" if out else "the weights were not saved: name a file with --out")
