"""`run`: a model on data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from rnngraph.cli.arguments import Input, Output, Verb
from rnngraph.cli.options import (
    BACKEND,
    DATA,
    JSON,
    KERNELS,
    LINES,
    MODEL,
    PICTURE,
    SEED,
    UNROLL,
    chance_told,
    dtype_option,
    read,
    refuse_together,
    tell_profiles,
)
from rnngraph.cli.terminal import say, say_json, tell, warn, write_out

RESULTS = Output("results", "npz", "csv", "json", "safetensors")


@click.command(cls=Verb)
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
    from rnngraph.cli.printing import results_json, results_text
    from rnngraph.data.files import load

    refuse_together(stream=stream or None, profile=profile or None, out=out)
    refuse_together(stream=stream or None, picture=picture)
    refuse_together(picture=picture, out=out)
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
