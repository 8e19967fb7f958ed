"""The picture of memory: bytes alive over the order of a program, stacked by category, one panel for each schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnngraph.analysis.results import CATEGORIES, Panel
from rnngraph.files.atomic_writes import form_of, write_aside
from rnngraph.viz.figure import FORMS, figure_bytes
from rnngraph.viz.palette import FAINT, INK, PAGE, SOFT
from rnngraph.viz.sentences import data

LOOK: Mapping[str, str] = {
    "parameters": "#a78bda",
    "inputs": "#7cc4ee",
    "outputs": "#5b6b82",
    "saved": "#f6b73c",
    "gradients": "#ea7317",
    "workspace": "#cfd8e3",
}
"""A colour for each category; what is saved for the backward pass is the warmest."""

WORDS: Mapping[str, str] = {"saved": "saved for backward"}
ABREAST = 3
"""So many panels stand side by side; more take another row."""
COLUMNS = 400
"""So many columns of a panel differ; of more moments each shows the highest that it stands for."""


def picture(panels: Sequence[Panel], heading: str, path: str | Path) -> None:
    """Writes the panels, at most `ABREAST` side by side, to one scale, as .svg, .png or .pdf."""
    write_aside(path, drawn(panels, heading, form_of(path, FORMS, "a picture")))


def drawn(panels: Sequence[Panel], heading: str, form: str) -> bytes:
    rows = -(-len(panels) // ABREAST)
    columns = -(-len(panels) // rows)

    def draw(figure: Any) -> None:
        places = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        grid = [next(places) for _ in panels]
        for axes in places:
            axes.set_visible(False)
        for axes, panel in zip(grid, panels, strict=True):
            _areas(axes, panel)
            _passes(axes, panel)
            _points(axes, panel)
            _dress(axes, panel)
        top = max(panel.allocated for panel in panels)
        grid[0].set_ylim(0, 1.32 * top)
        for axes, panel in zip(grid, panels, strict=True):
            _peak(axes, panel, top)
        figure.suptitle(heading, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)
        _legend(figure, panels)

    size = (5.4 * columns + 0.6, 4 * rows + 0.6)
    return figure_bytes(draw, form, "memory", dpi=170, figsize=size, facecolor=PAGE)


# --- the parts of a panel ----------------------------------------------------------------------------------------


def _areas(axes: Any, panel: Panel) -> None:
    """The categories one on the other, and the line of their sum."""
    starts, bytes = _columns(panel)
    edges = [*starts, panel.end]
    below = [0] * len(edges)
    for i, category in enumerate(CATEGORIES):
        heights = [column[i] for column in bytes]
        above = [low + high for low, high in zip(below, [*heights, heights[-1]], strict=True)]
        axes.fill_between(edges, below, above, step="post", color=LOOK[category], linewidth=0)
        below = above
    axes.step(edges, below, where="post", color=INK, linewidth=1.1)


def _columns(panel: Panel) -> tuple[list[int], list[tuple[int, ...]]]:
    """At most `COLUMNS` moments, each the highest of those around it."""
    starts, bytes = list[int](), list[tuple[int, ...]]()
    for start, column in zip(panel.starts, panel.bytes, strict=True):
        if starts and start * COLUMNS // panel.end == starts[-1] * COLUMNS // panel.end:
            bytes[-1] = max(bytes[-1], column, key=sum)
        elif not bytes or column != bytes[-1]:
            starts.append(start)
            bytes.append(column)
    return starts, bytes


def _passes(axes: Any, panel: Panel) -> None:
    """Where the forward pass ends and the backward pass begins."""
    middle = panel.end if panel.backward is None else panel.backward
    for name, low, high in (("forward", 0, middle), ("backward", middle, panel.end)):
        if high - low > 0.04 * panel.end:
            axes.text(
                (low + high) / 2, 0.975, name, transform=axes.get_xaxis_transform(),
                ha="center", va="top", fontsize=9.5, color=SOFT,
            )  # fmt: skip
    if 0 < middle < panel.end:
        axes.axvline(middle, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))


def _points(axes: Any, panel: Panel) -> None:
    if panel.measured:
        places, bytes = zip(*panel.measured, strict=True)
        axes.plot(
            places, bytes, "o", markersize=4.2, markerfacecolor=PAGE, markeredgecolor=INK, markeredgewidth=0.9, zorder=4
        )


def _dress(axes: Any, panel: Panel) -> None:
    axes.axhline(panel.allocated, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    axes.annotate(
        f"allocated {data(panel.allocated)}", (0, panel.allocated), xytext=(3, 3), textcoords="offset points",
        fontsize=8.5, color=INK,
    )  # fmt: skip
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlim(0, panel.end)
    axes.set_xlabel("kernels run", color=SOFT, fontsize=9.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: data(value))
    axes.tick_params(which="both", colors=SOFT, labelsize=9, length=0)
    axes.set_axisbelow(True)
    axes.grid(True, axis="y", color=FAINT, linewidth=0.6, alpha=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _peak(axes: Any, panel: Panel, top: int) -> None:
    place, bytes = panel.peak
    right = place > panel.end / 2
    axes.annotate(
        f"peak {data(bytes)}  {panel.peak_line}", (place, bytes),
        xytext=(0.985 if right else 0.015, panel.allocated + 0.16 * top), textcoords=axes.get_yaxis_transform(),
        ha="right" if right else "left", va="center", fontsize=8.5, color=INK, zorder=6,
        bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 1.5},
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8, "shrinkB": 3},
    )  # fmt: skip
    axes.plot([place], [bytes], "D", markersize=5.5, color="#e11d62", zorder=5)


def _legend(figure: Any, panels: Sequence[Panel]) -> None:
    """The categories that there are, in the order they are stacked."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = [c for i, c in enumerate(CATEGORIES) if any(column[i] for panel in panels for column in panel.bytes)]
    handles: list[Any] = [Patch(color=LOOK[c], label=WORDS.get(c, c)) for c in shown]
    handles.append(Line2D([], [], color=INK, linewidth=1.1, label="predicted"))
    if any(panel.measured for panel in panels):
        dot: dict[str, Any] = {
            "marker": "o", "markersize": 4.2, "markerfacecolor": PAGE, "markeredgecolor": INK, "linestyle": "",
        }  # fmt: skip
        word = "measured" if all(panel.measured for panel in panels) else "measured (where all is kept)"
        handles.append(Line2D([], [], label=word, **dot))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9,
        handlelength=1.1, handletextpad=0.5, columnspacing=1.4, labelcolor=INK,
    )  # fmt: skip
