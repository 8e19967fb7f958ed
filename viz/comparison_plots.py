"""Four plots of a comparison against the number of steps, one colour for each mode, named at its line's end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from msgspec import Struct

from rnngraph.analysis.results import CompareRow, Comparison, Spread
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.atomic_writes import write_aside
from rnngraph.viz.figure import figure_bytes
from rnngraph.viz.palette import FAINT, INK, MODE_LINES, MODES, SOFT
from rnngraph.viz.sentences import data


class Plot(Struct, frozen=True):
    """What one plot shows: a name for its file, a title, and its value of a row (None: no point)."""

    name: str
    title: str
    value: Callable[[CompareRow], float]
    unit: str
    spread: Callable[[CompareRow], Spread] | None = None
    """The interval that the value lies in, where it was measured several times."""


FORMS = ("svg", "png")

PLOTS = (
    Plot("nodes", "Graph with gradient", lambda row: row.nodes_gradient, "nodes"),
    Plot("compile", "Compile time", lambda row: 1000 * row.compile_seconds, "ms"),
    Plot("time", "Later runs", lambda row: row.later_ms.middle, "ms per run", lambda row: row.later_ms),
    Plot("bytes", "Memory of a run", lambda row: sum(e.measured for e in row.ledger), "bytes"),
)


_WIDTHS = {"static": 4.0, "dynamic": 1.8}
"""The static line is the broader, so that both are seen where they are the same."""


def plots(results: Comparison, path: str | Path, forms: Sequence[str] = FORMS) -> list[Path]:
    """Writes each plot as `compare-NAME.svg` and `.png` into the folder; gives the files."""
    for (plot, form), file in zip(product(PLOTS, forms), files(path, forms), strict=True):
        write_aside(file, drawn(results, plot, form))
    return files(path, forms)


def files(path: str | Path, forms: Sequence[str] = FORMS) -> list[Path]:
    """The files that plots are written to, in a folder that is made where there is none. CannotDo where none can be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotDo(f"cannot write into `{folder}`: {error.strerror or error}", "E912") from error
    return [folder / f"compare-{plot.name}.{form}" for plot, form in product(PLOTS, forms)]


def inline(results: Comparison, plot: Plot) -> str:
    """An `<svg>` element for a page; its ids begin with the plot's name, for a page has several."""
    text = drawn(results, plot, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{plot.name}-', text)
    return re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{plot.name}-", text)


def drawn(results: Comparison, plot: Plot, form: str) -> bytes:
    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for mode in results.modes:
            _line(axes, results, plot, mode)
        _dress(axes, results, plot)
        _name_lines(axes, results, plot)

    return figure_bytes(draw, form, plot.name, figsize=(5.6, 3.6))


def colour(results: Comparison, mode: str) -> str:
    """Static and dynamic always the same; other modes in the order they appear."""
    if mode in MODES:
        return MODES[mode]
    others = [m for m in results.modes if m not in MODES]
    return MODE_LINES[others.index(mode) % len(MODE_LINES)]


def _line(axes: Any, results: Comparison, plot: Plot, mode: str) -> None:
    rows = results.of(mode)
    axes.plot(
        [row.steps for row in rows],
        [plot.value(row) for row in rows],
        color=colour(results, mode),
        marker="o",
        markersize=4.5,
        linewidth=_WIDTHS.get(mode, 2.0),
        clip_on=False,
        zorder=3,
    )
    if plot.spread is not None:
        spreads = [plot.spread(row) for row in rows]
        low, high = [one.low for one in spreads], [one.high for one in spreads]
        axes.fill_between([row.steps for row in rows], low, high, color=colour(results, mode), alpha=0.2, linewidth=0)


def _dress(axes: Any, results: Comparison, plot: Plot) -> None:
    values = [plot.value(row) for row in results.rows]
    steps = sorted({row.steps for row in results.rows})
    if len(steps) > 1 and steps[-1] >= 10 * steps[0]:
        axes.set_xscale("log")
        axes.set_xticks(steps, [f"{n:,}" for n in steps], minor=False)
        axes.set_xticks([], minor=True)
    if min(values, default=0) > 0 and max(values) >= 10 * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(f"{plot.title}, {plot.unit}", loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel("steps", color=SOFT, fontsize=9.5)
    axes.tick_params(which="both", colors=SOFT, labelsize=9, length=0)
    axes.yaxis.set_major_formatter(lambda value, _: data(value) if plot.unit == "bytes" else f"{value:,g}")
    axes.grid(True, axis="y", color=FAINT, linewidth=0.6, alpha=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _name_lines(axes: Any, results: Comparison, plot: Plot) -> None:
    """The mode's name beside its last point; names of lines that end together are set apart."""
    ends = sorted((plot.value(results.of(mode)[-1]), mode) for mode in results.modes)
    last, shift = float("-inf"), 0.0
    for value, mode in ends:
        height = axes.transData.transform((1, max(value, 1e-12)))[1]
        shift = max(0.0, last + 22 - height)
        last = height + shift
        axes.annotate(
            mode,
            (results.of(mode)[-1].steps, value),
            xytext=(9, shift * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=colour(results, mode),
            fontsize=10,
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )
