"""`compare`: the ways to unroll, proven equal, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Folder, Output, Paths, StepsToTry, Verb, Whole, Wholes
from rnngraph.cli.options import BACKEND, JSON, KERNELS, MODEL, PRODUCTS, SEED, TIMES, dtype_option, read, setting
from rnngraph.cli.terminal import console, say_json, show_all, warn
from rnngraph.diagnostics.optional import refuse_missing

if TYPE_CHECKING:
    from rnngraph.analysis.equality import Asked
    from rnngraph.analysis.results import Comparison
    from rnngraph.model import Model
    from rnngraph.run_options import RunOptions

PAGE = Output("a page", "html")


def _plot_files(given: Mapping[str, Any]) -> Paths:
    from rnngraph.viz.comparison_plots import files

    if not given["plots"]:
        return {}
    refuse_missing("matplotlib")
    return {"--plots": [str(file) for file in files(given["plots"])]}


@click.command(cls=Verb, also=_plot_files)
@MODEL
@click.option(
    "--steps", type=StepsToTry(), default="2,10,50,100,200,500,1000", show_default=True,
    help="Numbers of steps to try; an axis with a number of its own has that in all rows."
)
@click.option("--batch", type=Whole(), default=32, show_default=True, help="Rows of the synthetic data.")
@click.option("--modes", default="static,dynamic", show_default=True, help="Modes, as for --unroll.")
@click.option("--keep", metavar="every:K,...", help="More rows: what is kept for the backward pass.")
@click.option("--memory-limit", metavar="10MB,...", help="More rows: the fastest schedule that fits.")
@click.option("--truncate", metavar="K,...", help="More rows: gradients truncated after K steps.")
@click.option("--processes", type=Wholes(1, "a number of processes"), help="Also a step over processes: 1,2,4.")
@click.option("--repeats", type=Whole(), default=9, show_default=True, help="Later runs to time, with modes in turn.")
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@SEED
@click.option("--page", type=PAGE, help="Write a report with plots to this .html file.")
@click.option("--plots", type=Folder(), help="Write the plots into this folder, as .svg and .png.")
@click.option("--memory", type=TIMES, help="Draw memory use over the longest run: .svg, .png or .pdf.")
@click.option("--full", "in_full", is_flag=True, help="Show every number: of graphs, runs, and memory.")
@JSON
def compare(
    file: str,
    name: str | None,
    settings: Sequence[str],
    steps: tuple[int | dict[str, int], ...],
    batch: int,
    modes: str,
    keep: str | None,
    memory_limit: str | None,
    truncate: str | None,
    processes: tuple[int, ...] | None,
    repeats: int,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    seed: int,
    page: str | None,
    plots: str | None,
    memory: str | None,
    in_full: bool,
    as_json: bool,
) -> int:
    """Verify that the modes give the same bits, then report what each costs. Exit code 1 if they do not."""
    from rnngraph.analysis.compare import compare as compared
    from rnngraph.analysis.compare import schedules
    from rnngraph.analysis.equality import Asked
    from rnngraph.analysis.measured_scaling import over_processes, refuse_unshared
    from rnngraph.analysis.predicted_scaling import Link
    from rnngraph.cli.comparison import full, short
    from rnngraph.cli.tables import processes_table
    from rnngraph.files.atomic_writes import write_aside
    from rnngraph.run_options import run_options
    from rnngraph.runtime.choose_backend import backend_named
    from rnngraph.viz.comparison_plots import plots as write_plots

    model = read(file, name, settings)
    flags = {"backend": backend, "dtype": dtype, "kernels": kernels, "products": products}
    options = run_options(model, **flags, dtype_default="float32")
    asked = Asked(
        modes=tuple(m.strip() for m in modes.split(",")),
        **Asked.steps_of(model, steps),
        batch=batch,
        dtype=options.dtype,
        repeats=repeats,
        seed=seed,
        schedules=schedules(keep=keep or "", memory_limit=memory_limit or "", truncate=truncate or ""),
        in_full=in_full or as_json or page is not None,
    )
    if processes:
        refuse_unshared(model, batch, processes)
    longest = asked.at(model, max(asked.steps))
    warn(model.unrolling_warning("static" if "static" in asked.modes else "", longest, True))
    with console(stderr=True).status("") as status:
        chosen = backend_named(options.backend, options.kernels or None, options.products)
        found = compared(model, chosen, asked, lambda text: status.update(text))
        over = None
        if processes:
            known = file, name, dict(setting(text) for text in settings)
            over = over_processes(model, known, options, longest, batch, repeats, processes, Link(), status.update)
        if memory:
            status.update("measuring memory over time")
            _draw_memory(model, asked, memory)
    if page:
        write_aside(page, _page(file, name, settings, options, found).encode())
    if plots:
        write_plots(found, plots)
    if as_json:
        say_json({**found.to_json(), **({"over_processes": over.to_json()} if over else {})})
    else:
        show_all(*(full if in_full else short)(found), *(processes_table(over) if over else ()))
    return 0 if found.equal else 1


def _page(file: str, name: str | None, settings: Sequence[str], options: RunOptions, found: Comparison) -> str:
    """What was found, beside the graph, the memory and the source of the model."""
    from rnngraph.explore.page import page
    from rnngraph.explore.session import Session
    from rnngraph.language.syntax.parser import read_source

    known = dict(setting(text) for text in settings)
    flags = {"dtype": options.dtype, "kernels": options.kernels or None}
    return page(Session(read_source(file), known, name, flags=flags).compared(found))


def _draw_memory(model: Model, asked: Asked, path: str) -> None:
    """Draws what each mode holds in memory over the longest run."""
    from rnngraph.analysis.memory_timeline import panels
    from rnngraph.viz.memory import picture

    steps = max(asked.steps)
    heading = f"{model.block.definition}: bytes alive, {steps:,} steps, batch {asked.batch:,}, {asked.dtype}"
    picture(list(panels(model, asked)), heading, path)
