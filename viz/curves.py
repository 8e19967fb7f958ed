"""The history of a training as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnngraph.files.outputs import PathLike, form_of, write_aside
from rnngraph.viz.figure import FORMS, figure_bytes
from rnngraph.viz.palette import FAINT, INK, KINDS, SOFT

HELD_BACK = "validation."
_FEW = 12
"""Epochs that are marked each."""
LOGARITHMIC = 20.0
"""A panel whose largest value is so many times its smallest has a logarithmic axis."""


def write_curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, path: PathLike) -> None:
    """A panel for the loss and for each metric over the epochs, trained and held back in one; the best epoch marked.

    UserError for another ending than .svg, .png or .pdf.
    """
    form = form_of(path, FORMS, "a picture")
    names = list(dict.fromkeys(n.removeprefix(HELD_BACK) for record in history for n in record if n != "epoch"))
    height = 2.4 * max(1, len(names)) + 0.4

    def draw(figure: Any) -> None:
        panels = figure.subplots(max(1, len(names)), 1, squeeze=False, sharex=True)[:, 0]
        for axes, name in zip(panels, names, strict=False):
            _panel(axes, history, name, best_epoch)
        panels[-1].set_xlabel("epoch", color=INK, fontsize=9)

    write_aside(path, figure_bytes(draw, form, "curves", figsize=(7, height)))


def _panel(axes: Any, history: Sequence[Mapping[str, float]], name: str, best_epoch: int | None) -> None:
    shown = []
    for key, label, kind in ((name, "training", "pointwise"), (HELD_BACK + name, "held back", "backward")):
        points = [(record["epoch"], record[key]) for record in history if key in record]
        if points:
            mark = "o" if len(points) < _FEW else None
            axes.plot(*zip(*points, strict=True), color=KINDS[kind].line, label=label, linewidth=1.6, marker=mark)
            shown += [value for _, value in points]
    if shown and min(shown) > 0 and max(shown) > LOGARITHMIC * min(shown):
        axes.set_yscale("log")
    if best_epoch is not None:
        axes.axvline(best_epoch, color=SOFT, linewidth=0.8, linestyle=":", label=f"best: epoch {best_epoch}")
    axes.set_title(name, loc="left", fontsize=11, color=INK, parse_math=False)
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.grid(True, color=FAINT, linewidth=0.6, alpha=0.7)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
