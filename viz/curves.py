"""The history of a training as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnngraph.files.outputs import PathLike, form_of, write_aside
from rnngraph.viz.figure import FORMS, dress, figure_bytes, spread
from rnngraph.viz.palette import INK, KINDS, SOFT

HELD_BACK = "validation."
_FEW = 12
"""Epochs that are marked each."""


def write_curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, path: PathLike) -> None:
    """The curves into a file. UserError for another ending than .svg, .png or .pdf."""
    write_aside(path, curves(history, best_epoch, form_of(path, FORMS, "a picture")))


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, form: str) -> bytes:
    """A panel for the loss and for each metric over the epochs, trained and held back in one; the best epoch marked."""
    names = list(dict.fromkeys(n.removeprefix(HELD_BACK) for record in history for n in record if n != "epoch"))
    height = 2.4 * max(1, len(names)) + 0.4

    def draw(figure: Any) -> None:
        panels = figure.subplots(max(1, len(names)), 1, squeeze=False, sharex=True)[:, 0]
        for axes, name in zip(panels, names, strict=False):
            _panel(axes, history, name, best_epoch)
        panels[-1].set_xlabel("epoch", color=INK, fontsize=9)

    return figure_bytes(draw, form, "curves", figsize=(7, height))


def _panel(axes: Any, history: Sequence[Mapping[str, float]], name: str, best_epoch: int | None) -> None:
    shown = []
    for key, label, kind in ((name, "training", "pointwise"), (HELD_BACK + name, "held back", "backward")):
        points = [(record["epoch"], record[key]) for record in history if key in record]
        if points:
            mark = "o" if len(points) < _FEW else None
            axes.plot(*zip(*points, strict=True), color=KINDS[kind].line, label=label, linewidth=1.6, marker=mark)
            shown += [value for _, value in points]
    if spread(shown):
        axes.set_yscale("log")
    if best_epoch is not None:
        axes.axvline(best_epoch, color=SOFT, linewidth=0.8, linestyle=":", label=f"best: epoch {best_epoch}")
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)
    dress(axes, name, "both")
    axes.xaxis.get_major_locator().set_params(integer=True)
