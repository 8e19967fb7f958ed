"""The history of a training as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rnngraph.files.atomic_writes import PathLike, form_of, write_aside
from rnngraph.training.evaluation import BACK, WEIGHT
from rnngraph.viz.figure import FORMS, dress, figure_bytes, spread
from rnngraph.viz.palette import FAINT, INK, KINDS, MODE_LINES, SOFT

HELD_BACK = "validation."
_FEW = 12
"""Epochs that are marked each."""


def write_curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, path: PathLike) -> None:
    """The curves into a file. UserError for another ending than .svg, .png or .pdf."""
    write_aside(path, curves(history, best_epoch, form_of(path, FORMS, "a picture")))


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None, form: str) -> bytes:
    """A panel for the loss and for each metric over the epochs, trained and held back in one; the best epoch marked.
    Norms of gradients, where they were recorded, have a panel over the epochs by weight, and for each time axis one
    over the steps back in time.
    """
    names = list(dict.fromkeys(n.removeprefix(HELD_BACK) for record in history for n in record if n != "epoch"))
    weights = [name for name in names if name.startswith(WEIGHT)]
    axes_of = dict.fromkeys(name.split(".")[1] for name in names if name.startswith(BACK))
    drawn: list[Callable[[Any], None]] = [
        partial(_panel, history=history, name=name, best_epoch=best_epoch)
        for name in names
        if not name.startswith((WEIGHT, BACK))
    ]
    drawn += [partial(_weights, history=history, names=weights)] * bool(weights)
    drawn += [partial(_back, history=history, axis=axis) for axis in axes_of]

    def draw(figure: Any) -> None:
        panels = figure.subplots(max(1, len(drawn)), 1, squeeze=False)[:, 0]
        for axes, one in zip(panels, drawn, strict=False):
            one(axes)

    return figure_bytes(draw, form, "curves", figsize=(7, 2.4 * max(1, len(drawn)) + 0.4))


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
    _over_epochs(axes, name)


def _weights(axes: Any, history: Sequence[Mapping[str, float]], names: Sequence[str]) -> None:
    """A line for each weight; those with the largest gradients have names."""
    last = history[-1]
    largest = sorted(names, key=lambda name: -last.get(name, 0.0))[: len(MODE_LINES)]
    for name in names:
        points = [(record["epoch"], record[name]) for record in history if name in record]
        named = name in largest
        colour = MODE_LINES[largest.index(name)] if named else FAINT
        label = name.removeprefix(WEIGHT) if named else None
        mark = "o" if len(points) < _FEW else None
        axes.plot(*zip(*points, strict=True), color=colour, label=label, linewidth=1.4, marker=mark, markersize=4)
    if spread([value for record in history for name in names if (value := record.get(name))]):
        axes.set_yscale("log")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, labelcolor=INK)
    _over_epochs(axes, "gradient by weight")


def _back(axes: Any, history: Sequence[Mapping[str, float]], axis: str) -> None:
    """A line for the first epoch, one in the middle, and the last: how far back the gradient reaches."""
    before = f"{BACK}{axis}."
    told = [record for record in history if any(name.startswith(before) for name in record)]
    chosen = dict.fromkeys((0, len(told) // 2, len(told) - 1))
    values: list[float] = []
    for i, colour in zip(chosen, (FAINT, SOFT, KINDS["backward"].line)[-len(chosen) :], strict=True):
        norms = {int(n.removeprefix(before)): v for n, v in told[i].items() if n.startswith(before)}
        label = f"epoch {told[i]['epoch']}"
        axes.plot(list(norms), list(norms.values()), color=colour, label=label, linewidth=1.6, marker="o")
        values += norms.values()
    if spread(values):
        axes.set_yscale("log")
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)
    dress(axes, f"gradient of the states, by steps of `{axis}` before the end", "both")
    axes.set_xlabel("steps back", color=INK, fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _over_epochs(axes: Any, title: str) -> None:
    dress(axes, title, "both")
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
