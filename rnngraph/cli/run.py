"""`run`: a model on data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Output, Verb
from rnngraph.cli.data_options import DATA_OPTIONS, read_data
from rnngraph.cli.options import (
    BACKEND,
    JSON,
    KERNELS,
    LINES,
    MODEL,
    PICTURE,
    PRODUCTS,
    SEED,
    UNROLL,
    chance_told,
    dtype_option,
    read,
    read_weights,
    refuse_together,
    tell_profiles,
    tell_written,
)
from rnngraph.cli.terminal import say, say_json, tell, warn, write_out
from rnngraph.diagnostics.errors import UserError

if TYPE_CHECKING:
    from rnngraph.compiled import CompiledProgram
    from rnngraph.model import Model
    from rnngraph.run_options import RunOptions

HEAT = Output("a picture", "svg", "png", "pdf")
RESULTS = Output("results", "npz", "csv", "json", "safetensors")


@click.command(cls=Verb)
@MODEL
@DATA_OPTIONS
@click.option("--weights", type=Input(), help="A .safetensors file; without it, new weights by --seed.")
@click.option("--out", type=RESULTS, help="Write every result: .npz, .json, .safetensors; .csv for a table.")
@click.option("--watch", metavar="H,C,I", help="Values inside cells to record at every step.")
@click.option("--heat", type=HEAT, help="Draw what is watched as heat maps over time, of the first row of the data.")
@click.option("--back", metavar="OUTPUT", help="With --heat: the gradient of its last step, by step back in time.")
@click.option("--all", "whole", is_flag=True, help="Print every value, of large arrays too.")
@click.option("--stream", is_flag=True, help="Read a line per step from standard input; write each step's outputs.")
@click.option("--profile", is_flag=True, help="Show the time by source line instead of results.")
@PICTURE
@LINES
@UNROLL
@BACKEND
@KERNELS
@PRODUCTS
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
    heat: str | None,
    back: str | None,
    whole: bool,
    stream: bool,
    profile: bool,
    picture: str | None,
    lines: int,
    unroll: str | None,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    seed: int,
    as_json: bool,
    **asked: Any,
) -> int:
    """Run the model on data and print its outputs, final states, loss and metrics. Exit code 1 if one is NaN."""
    import numpy as np

    from rnngraph.cli.printing import results_json, results_text
    from rnngraph.data.result_tables import apart, table_rows
    from rnngraph.data.shape_checks import steps_of
    from rnngraph.debugging.nan_finder import run_and_explain
    from rnngraph.files.results import write_results
    from rnngraph.run_options import run_options

    refuse_together(stream=stream or None, profile=profile or None, out=out)
    refuse_together(stream=stream or None, picture=picture)
    refuse_together(picture=picture, out=out)
    refuse_together(heat=heat, picture=picture, stream=stream or None)
    refuse_together(heat=heat, profile=profile or None)
    if (heat is None) != (watch is None and back is None) and (heat or back):
        raise UserError("a heat map needs values", "E647", "give `--heat FILE` with `--watch NAMES` or `--back OUTPUT`")
    model = read(file, name, settings, weights)
    options = run_options(model, unroll=unroll, backend=backend, dtype=dtype, kernels=kernels, products=products)
    chance_told(weights, model)
    given = read_weights(model, weights, seed, options.dtype)
    data = read_data(model, paths, asked, given.about.data)
    steps, seeded = steps_of(model.inputs, data), {"seed": np.int64(seed), **data}
    if profile or picture:
        from rnngraph.analysis.profiler import profiled

        warn(model.unrolling_warning(options.unroll, steps, False))
        found = profiled(options.compiled(model, steps), seeded, given)
        if as_json:
            say_json(found.to_json())
        tell_profiles({"run": found}, picture, 0 if as_json else lines)
        return 0
    if stream:
        from rnngraph.generation.streaming import stream as streamed

        for line in streamed(model, given, sys.stdin, options.dtype, seeded):
            write_out(line)
            sys.stdout.flush()
        return 0
    watched = tuple(w.strip() for w in (watch or "").split(",") if w.strip())
    warn(model.unrolling_warning(options.unroll, steps, False))
    program = options.compiled(model, steps, watch=watched)
    if out:
        program = program.telling_own_steps()
    results, trouble = run_and_explain(program, seeded, given)
    results, own = apart(results)
    if heat:
        _draw(heat, model, program, results, options, back, seeded, given)
    if out:
        written = write_results(out, results, table_rows(model.graph, model.inputs, data, results, own))
        tell_written(out, written, results, as_json)
    if as_json:
        say_json(results_json(results, whole=not out))
    elif not out and not heat:
        say(results_text(results, whole))
    tell([trouble] if trouble else [])
    return 1 if trouble else 0


def _draw(
    path: str, model: Model, program: CompiledProgram, results: Mapping[str, Any], how: RunOptions, back: str | None,
    data: Mapping[str, Any], weights: Mapping[str, Any],
) -> None:  # fmt: skip
    """Heat maps of the watched values, and of the gradients of the last step of an output."""
    from rnngraph.analysis.gradients_by_lag import gradients_back
    from rnngraph.data.lengths import lengths_of, real_steps
    from rnngraph.viz.heat import recorded, steps_back, write_maps

    orders, lengths = program.made.orders.items(), lengths_of(model.inputs, data)

    def first(array: Any, axes: Sequence[str]) -> Any:
        """The first row, without its padding."""
        ends = [real_steps(axis, lengths) for axis in axes]
        return array[(0, *(slice(None if end is None else int(end[0])) for end in ends))]

    watched = {name.removeprefix("watch."): axes[1:] for name, axes in orders if name.startswith("watch.")}
    values = {name: first(results[name], axes) for name, axes in watched.items()}
    found = gradients_back(model, how, back, data, weights) if back else {}
    over = {i.name: i.axes for i in model.inputs if i.name in found}
    slopes = {name: first(found[name], axes) for name, axes in over.items()}
    if not all(array.size for array in (*values.values(), *slopes.values())):
        raise UserError("the first row of the data has no steps", "E647", "give data whose first row has some")
    maps = [recorded(name, values[name], axes) for name, axes in watched.items()]
    maps += [steps_back(name, str(back), slopes[name], axes) for name, axes in over.items()]
    write_maps(maps, path, f"{model.block.definition}: the first row of the data")
    say(f"wrote {path}")
