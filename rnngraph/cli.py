"""The command line: arguments to calls of `driver`, results to text, mistakes to messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rnngraph import __version__
from rnngraph.arguments import EmptyText, Folder, Input, Output, Paths, Real, Verbs, Whole, Wholes
from rnngraph.diagnostics import Diagnostic, UserError
from rnngraph.interrupts import Asked
from rnngraph.options import (
    ANY,
    BACKEND,
    DATA,
    JSON,
    KEEP,
    KERNELS,
    LINES,
    MEMORY_LIMIT,
    MODEL,
    PICTURE,
    SEED,
    SWAP,
    TIMES,
    TRUNCATE,
    UNROLL,
    chance_told,
    dtype_option,
    read,
    refuse_together,
    tell_profiles,
)
from rnngraph.terminal import console, open_streams, say, say_json, show_all, tell, warn, write_out

RESULTS = Output("results", "npz", "csv", "json", "safetensors")
WEIGHTS = Output("weights", "safetensors")
CHECKPOINT = Output("a checkpoint", "checkpoint", "safetensors")
PICTURES = Output("a picture", "svg", "png", "pdf", "dot")
PAGE = Output("a page", "html")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnngraph")
def cli() -> None:
    """Recurrent networks as programs: write a .rnn file, run it unrolled or as a loop, see what each costs."""


# --- texts -----------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("files", nargs=-1, required=True, type=Input())
@JSON
def check(files: Sequence[str], as_json: bool) -> int:
    """Tell every error and warning of FILES. Exit code 2 if there is an error."""
    from rnngraph import texts

    found = [d for path in files for d in texts.check(path)]
    if as_json:
        say_json([d.as_json() for d in found], indent=2)
    else:
        tell(found)
        if not found:
            say(f"{', '.join(files)}: nothing to complain of")
    return 2 if any(d.severity == "error" for d in found) else 0


@cli.command()
@click.argument("files", nargs=-1, required=True, type=Input())
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit code 1 if a file would change.")
@click.option("--stdout", is_flag=True, help="Print the result instead of writing it.")
def fmt(files: Sequence[str], only_check: bool, stdout: bool) -> int:
    """Bring FILES into their canonical form."""
    from rnngraph import texts
    from rnngraph.files.outputs import write_aside

    changed = 0
    for path in files:
        before, after = texts.formatted(path)
        if stdout:
            write_out(after, end=False)
        elif before != after:
            changed += 1
            say(f"{path}: {'would change' if only_check else 'changed'}")
            if not only_check:
                write_aside(path, after.encode())
    return 1 if only_check and changed else 0


@cli.command()
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
    from rnngraph.printing import kernel_table

    model = read(file, name, settings)
    how = driver.scheduled(model, unroll=unroll)
    warn(driver.unrolling_warning(model, how.unroll, steps, gradient))
    if kernels:
        show_all(kernel_table(driver.kernels(model, how, steps, gradient, lengths)))
        return
    say(driver.show(model, after, how.unroll, steps, gradient, lengths))


@cli.command()
@MODEL
@JSON
def summary(file: str, name: str | None, settings: Sequence[str], as_json: bool) -> None:
    """A table of the model's blocks, weights and states."""
    from rnngraph.viz.summary import as_json as summary_json
    from rnngraph.viz.summary import table

    model = read(file, name, settings)
    if as_json:
        say_json(summary_json(model.block), indent=2)
    else:
        show_all(table(model.block))


# --- running ---------------------------------------------------------------------------------------------------------


@cli.command()
@MODEL
@DATA
@click.option("--weights", type=Input(), help="A .safetensors file; new weights by --seed without it.")
@click.option("--out", type=RESULTS, help="Write every result: .npz, .json, .safetensors; .csv for a table.")
@click.option("--watch", metavar="H,C,I", help="Values inside cells to record at every step.")
@click.option("--stream", is_flag=True, help="Read a line per step from standard input; write each step's outputs.")
@click.option("--profile", is_flag=True, help="Instead of results, show by source line where the time goes.")
@PICTURE
@LINES
@UNROLL
@BACKEND
@KERNELS
@dtype_option("float64")
@SEED
@JSON
def run(
    file: str,
    name: str | None,
    settings: Sequence[str],
    paths: Sequence[str],
    weights: str | None,
    out: str | None,
    watch: str | None,
    stream: bool,
    profile: bool,
    picture: str | None,
    lines: int,
    unroll: str | None,
    backend: str | None,
    kernels: str | None,
    dtype: str | None,
    seed: int,
    as_json: bool,
) -> int:
    """Run the model on data and print its outputs, final states, loss and metrics. Exit code 1 if one is a nan."""
    from rnngraph import driver
    from rnngraph.learn.data import load
    from rnngraph.printing import results_json, results_text

    model, data = read(file, name, settings), load(paths)
    how = driver.scheduled(model, unroll=unroll, backend=backend, dtype=dtype, kernels=kernels)
    chance_told(weights, model)
    if profile or picture:
        warn(driver.unrolling_warning(model, how.unroll, driver.steps_of(model, data), False))
        found = driver.profiled(model, data, weights, seed, how)
        if as_json:
            say_json(found.to_json())
        tell_profiles({"run": found}, picture, 0 if as_json else lines)
        return 0
    if stream:
        for line in driver.streamed(model, data, weights, seed, how.dtype, sys.stdin):
            write_out(line)
            sys.stdout.flush()
        return 0
    watched = tuple(w.strip() for w in (watch or "").split(",") if w.strip())
    warn(driver.unrolling_warning(model, how.unroll, driver.steps_of(model, data), False))
    results, trouble = driver.run(model, data, weights, seed, how, watched)
    if out:
        written = driver.save_results(out, model, data, results)
        say(f"wrote {out}: {', '.join(written)}", err=as_json)
        if left := [name for name in results if name not in written]:
            warn(f"a table has no place for {', '.join(left)}", help="an .npz, .json or .safetensors file holds all")
    if as_json:
        say_json(results_json(results, whole=not out))
    elif not out:
        say(results_text(results))
    tell([trouble] if trouble else [])
    return 1 if trouble else 0


def _training_files(given: Mapping[str, Any]) -> Paths:
    """The checkpoint that a training keeps where no option names one."""
    from rnngraph.driver import own_checkpoint

    named = given["checkpoint"] or given["resume"]
    return (
        {}
        if named == given["checkpoint"] and named
        else {"--checkpoint": [named or own_checkpoint(given["file"], given["out"])]}
    )


@cli.command(also=_training_files, same=(("--checkpoint", "--resume"),))
@MODEL
@click.option("--data", "paths", multiple=True, required=True, type=Input(), help="Training data; repeatable.")
@click.option("--validation-data", "held", multiple=True, type=Input(), help="Held-back data for early stop.")
@click.option("--test", "tests", multiple=True, type=Input(), help="Data to report on after training.")
@click.option("--out", type=WEIGHTS, help="Write the trained weights here (.safetensors).")
@click.option("--weights", type=Input(), help="Start from these weights.")
@click.option("--checkpoint", type=CHECKPOINT, help="Keep the state of training here.  [default: beside --out]")
@click.option("--resume", type=Input(), help="Go on from this checkpoint.")
@click.option("--epochs", type=Whole(0), help="Passes over the data.")
@click.option("--batch", type=Whole(), help="Rows per update.")
@click.option("--optimizer", metavar="NAME", help="sgd, adam, adamw or rmsprop.")
@click.option("--rate", type=Real(), help="Learning rate.")
@click.option("--momentum", type=Real(), help="Momentum, of sgd and rmsprop.")
@click.option("--decay", type=Real(), help="Weight decay, of adamw.")
@click.option("--rate-decay", type=Real(), help="Factor of the rate after each epoch.")
@click.option("--clip-norm", type=Real(), help="Longest norm of all gradients together.")
@click.option("--validation", type=Real(), help="Fraction of the rows that is held back.")
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
    """Train the model's weights on data, as its `train` block says and flags override."""
    from rnngraph import driver
    from rnngraph.learn.data import load
    from rnngraph.printing import Bar, metrics_text

    refuse_together(resume=resume, weights=weights)
    refuse_together(validation=overrides["validation"], validation_data=held)
    kept = checkpoint or resume or driver.own_checkpoint(file, out)
    own = kept not in (checkpoint, resume)
    model = read(file, name, settings)
    flags = {"unroll": unroll, "backend": backend, "dtype": dtype, "kernels": kernels}
    memory = {"keep": keep, "memory_limit": memory_limit, "truncate": truncate, "swap": swap}
    how = driver.scheduled(model, **flags, **memory, dtype_default="float32")
    arguments = {"rate": rate, "momentum": momentum, "decay": decay}
    overrides["optimizer"] = driver.chosen_optimiser(model, optimizer, arguments)
    data, validation = load(paths), load(held) if held else None
    measure = driver.tester(model, load(tests), how) if tests else None
    warn(driver.unrolling_warning(model, how.unroll, driver.steps_of(model, data), True))
    if not out:
        warn("the trained weights will not be kept", "W602", "name a file with `--out`")
    if kept != resume and Path(kept).is_file():
        warn(f"`{kept}` of an interrupted training is written over; `--resume {kept}` would have gone on from it")
    with Bar(quiet=as_json) as bar:
        fitted = driver.train(
            model,
            data,
            validation,
            overrides,
            how=how,
            weights=weights,
            checkpoint=kept,
            resume=resume,
            progress=bar.tell,
        )
    if out:
        driver.keep_weights(out, fitted.weights, data)
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
    say(f"wrote {out}" if out else "the weights were not kept: name a file with --out")


# --- pictures and costs ----------------------------------------------------------------------------------------------


@cli.command("render")
@MODEL
@click.option("--out", required=True, type=PICTURES, help="The picture: .svg, .png, .pdf or .dot.")
@UNROLL
@click.option("--steps", type=Whole(), help="Steps of a static picture.  [default: 50]")
@click.option("--opened/--closed", default=True, show_default=True, help="Loops with their insides, or as one box.")
@click.option(
    "--fold", type=Whole(), default=6, show_default=True, help="Columns of a static picture; the middle is folded."
)
@click.option("--gradient", is_flag=True, help="With the backward graph.")
@click.option("--detail", is_flag=True, help="Every operation, not one box per equation.")
def draw(
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
    from rnngraph import driver

    model = read(file, name, settings)
    unroll = driver.scheduled(model, unroll=unroll).unroll
    driver.render(model, out, unroll, steps, opened, fold, gradient, detail)
    say(f"wrote {out}")


def _plot_files(given: Mapping[str, Any]) -> Paths:
    from rnngraph.viz.plots import files

    return {"--plots": [str(file) for file in files(given["plots"])]} if given["plots"] else {}


@cli.command(also=_plot_files)
@MODEL
@click.option(
    "--steps", type=Wholes(), default="2,10,50,100,200,500,1000", show_default=True, help="Numbers of steps to try."
)
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows of the made-up data.")
@click.option("--modes", default="static,dynamic", show_default=True, help="Ways to unroll, as for --unroll.")
@click.option("--keep", metavar="every:K,...", help="Further rows: what is kept for the way back.")
@click.option("--memory-limit", metavar="10MB,...", help="Further rows: the fastest that fits.")
@click.option("--truncate", metavar="K,...", help="Further rows: gradients cut off after K steps.")
@click.option(
    "--repeats", type=Whole(), default=9, show_default=True, help="Later runs that are timed, of all modes in turns."
)
@BACKEND
@KERNELS
@dtype_option("float32")
@SEED
@click.option("--page", type=PAGE, help="Write a report with plots to this .html file.")
@click.option("--plots", type=Folder(), help="Write the plots into this folder, as .svg and .png.")
@click.option("--memory", type=TIMES, help="Draw what is in memory over the longest run: .svg, .png or .pdf.")
@JSON
def compare(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: tuple[int, ...],
    batch: int,
    modes: str,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    repeats: int,
    backend: str | None,
    kernels: str | None,
    dtype: str | None,
    seed: int,
    page: str | None,
    plots: str | None,
    memory: str | None,
    as_json: bool,
) -> int:
    """Prove that the modes give the same bits, then tell what each costs. Exit code 1 if they do not."""
    from rnngraph import driver
    from rnngraph.costs import Asked
    from rnngraph.files.outputs import write_aside
    from rnngraph.viz.plots import plots as write_plots
    from rnngraph.viz.report import report
    from rnngraph.viz.tables import tables
    from rnngraph.viz.words import honest, verdict

    model = read(file, name, settings)
    how = driver.scheduled(model, backend=backend, dtype=dtype, kernels=kernels, dtype_default="float32")
    asked = Asked(
        tuple(m.strip() for m in modes.split(",")),
        steps,
        batch,
        how.dtype,
        repeats,
        seed,
        driver.schedules(keep=keep or "", memory_limit=memory_limit or "", truncate=truncate or ""),
    )
    warn(driver.unrolling_warning(model, "static" if "static" in asked.modes else "", max(asked.steps), True))
    with console(stderr=True).status("") as status:
        found = driver.compare(model, how, asked, lambda text: status.update(text))
        if memory:
            status.update("measuring memory over time")
            driver.draw_memory(model, asked, memory)
    if page:
        write_aside(page, report(found).encode())
    if plots:
        write_plots(found, plots)
    if as_json:
        say_json(found.to_json())
    else:
        show_all(verdict(found), *honest(found), *found.notes, *tables(found))
    return 0 if found.equal else 1


@cli.command()
@MODEL
@click.option("--steps", type=Whole(), default=100, show_default=True, help="Steps of the made-up data.")
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows of the made-up data.")
@click.option("--seconds", type=Real(0), default=2.0, show_default=True, help="For which each task is run.")
@UNROLL
@KEEP
@BACKEND
@KERNELS
@dtype_option("float32")
@PICTURE
@LINES
@JSON
def bench(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: int,
    batch: int,
    seconds: float,
    unroll: str | None,
    keep: str | None,
    backend: str | None,
    kernels: str | None,
    dtype: str | None,
    picture: str | None,
    lines: int,
    as_json: bool,
) -> None:
    """Tell how fast the model is here, forward alone and in training: per step, beside the machine, by source line."""
    from rnngraph import driver
    from rnngraph.printing import bench_tables

    model = read(file, name, settings)
    flags = {"unroll": unroll, "keep": keep, "backend": backend, "dtype": dtype, "kernels": kernels}
    how = driver.scheduled(model, dtype_default="float32", **flags)
    warn(driver.unrolling_warning(model, how.unroll, steps, True))
    with console(stderr=True).status("") as status:
        found = driver.bench(model, how, steps, batch, seconds, lambda text: status.update(text))
    if as_json:
        say_json(found.to_json())
    else:
        show_all(*bench_tables(found))
    tell_profiles({speed.task: speed.profile for speed in found.speeds}, picture, 0 if as_json else lines)


@cli.command()
@MODEL
@click.option("--steps", type=Whole(0), default=100, show_default=True, help="Steps of the sequences.")
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows.")
@click.option("--gradient", is_flag=True, help="Of a training step, not of a forward run.")
@click.option("--lengths", is_flag=True, help="For data whose rows have lengths of their own.")
@click.option("--lines", type=Whole(0), default=10, show_default=True, help="How many source lines to name.")
@UNROLL
@KEEP
@MEMORY_LIMIT
@TRUNCATE
@SWAP
@KERNELS
@dtype_option("float32")
@JSON
def cost(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: int,
    batch: int,
    gradient: bool,
    lengths: bool,
    lines: int,
    unroll: str | None,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    swap: str | None,
    kernels: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Tell the bytes of arrays that a run will take, without running anything."""
    from rnngraph import driver
    from rnngraph.printing import cost_tables

    model = read(file, name, settings)
    flags = {"unroll": unroll, "dtype": dtype, "kernels": kernels}
    memory = {"keep": keep, "memory_limit": memory_limit, "truncate": truncate, "swap": swap}
    how = driver.scheduled(model, **flags, **memory, dtype_default="float32")
    found = driver.cost(model, how, steps, batch, gradient, lengths)
    if as_json:
        say_json(found.to_json())
        return
    show_all(*cost_tables(found, lines))


@cli.command()
@MODEL
@click.option("--weights", required=True, type=Input(), help="The weights of a trained model.")
@click.option(
    "--prompt",
    type=EmptyText(),
    default="",
    help="The text to begin with; token ids with commas where there is no alphabet.",
)
@click.option("--length", type=Whole(0), default=400, show_default=True, help="Tokens to write at most.")
@click.option(
    "--temperature", type=Real(0), default=1.0, show_default=True, help="Below 1 likelier text; 0 always the likeliest."
)
@click.option(
    "--top-k", type=Whole(0), default=0, show_default=True, help="Draw from the K likeliest tokens; 0 from all."
)
@click.option(
    "--top-p", type=Real(), default=1.0, show_default=True, help="Draw from the likeliest that hold this probability."
)
@click.option("--beam", type=Whole(0), default=0, show_default=True, help="Search with so many texts at once; 0 draws.")
@click.option(
    "--length-penalty",
    type=Real(),
    metavar="A",
    help="With a beam: texts of n tokens are compared by log probability / ((5 + n) / 6) ** A (Wu and others 2016); "
    "0 finds the likeliest.  [default: by the mean of a token]",
)
@click.option("--end", help="The character (or token id) that ends the text.")
@click.option("--alphabet", type=Input(), help="A text with every character once, in the order of their ids.")
@click.option("--tokens", help="The input that takes the text, where that is not plain.")
@click.option("--scores", help="The output that scores the next token, where that is not plain.")
@click.option("--data", "paths", multiple=True, type=Input(), help="Other inputs, as a source to translate.")
@dtype_option("float32")
@SEED
def generate(
    file: str, name: str | None, settings: Sequence[str], weights: str, prompt: str, paths: Sequence[str], **how: Any
) -> None:
    """Write text with a trained model that scores the next token at each step."""
    from rnngraph import driver
    from rnngraph.learn.data import load

    model = read(file, name, settings)
    how["dtype"] = driver.scheduled(model, dtype=how["dtype"], dtype_default="float32").dtype
    write_out(driver.generated(model, weights, prompt, load(paths), **how))


def add_exchange() -> None:
    """The verbs of the exchange with other tools."""
    from rnngraph.exchange.commands import export, weights

    cli.add_command(weights)
    cli.add_command(export)


add_exchange()


def exit_code(arguments: Sequence[str] | None, asked: Asked | None = None) -> int:
    """Runs a command; the one place where what goes wrong becomes a message and a number.

    0: done; 1: could not be done (or the modes differ); 2: what the user wrote is wrong; 130 and 143: interrupted, or
    asked to end.
    """
    asked = asked or Asked()
    open_streams()
    try:
        code = cli.main(arguments, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        tell(error.diagnostics)
        return asked.code if asked.came else error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        say(asked.words, err=True)
        return asked.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _abandon_output()
        return 1
    except Exception as error:
        if asked.came:  # a library made another error of the interrupt
            say(asked.words, err=True)
            return asked.code
        if "RNNGRAPH_TRACEBACK" in os.environ:
            raise
        tell([_told(error)])
        _abandon_output()
        return 1


def _told(error: Exception) -> Diagnostic:
    """What is said of an error that no part of the program has words for."""
    free = _free()
    match error:
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return _no_memory(error, free)
        case SystemError() | ImportError() if free < LITTLE:  # what an import says that gets no memory
            return _no_memory(error, free)
        case RecursionError():
            return Diagnostic("E505", "this is nested too deeply", help="make it flatter")
        case OSError(strerror=str(why)):
            place = f"`{error.filename}`" if error.filename else "standard output"
            return Diagnostic("E664", f"the system refuses {place}: {why}")
    said = f"{type(error).__name__}: {error}".strip()
    return Diagnostic("E999", f"rnngraph itself failed: {said}", help="this is a bug; RNNGRAPH_TRACEBACK=1 shows where")


LITTLE = 32 << 20
"""Bytes that are free when there is hardly memory left."""


def _free() -> int:
    """Bytes that are free; 0 where there are not even those to find it out."""
    try:
        from rnngraph.machine import free_bytes

        return free_bytes()
    except Exception:
        return 0


def _no_memory(error: Exception, free: int) -> Diagnostic:
    """What was asked for, where NumPy says it, and what there is."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    asked = f" for an array of {list(shape)} {dtype}" if shape is not None and dtype is not None else ""
    return Diagnostic(
        "E500",
        f"there is no memory left{asked}: {free / 1e6:,.1f} MB are free",
        help="take fewer steps, a smaller batch or a smaller model; `rnngraph cost` tells what a run takes",
    )


def _abandon_output() -> None:
    """What cannot be written any more is not tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
