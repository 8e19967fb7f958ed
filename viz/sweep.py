"""The scores of a sweep as a picture."""

from __future__ import annotations

from typing import Any

from rnngraph.files.outputs import PathLike, form_of, write_aside
from rnngraph.training.sweep import Sweep, plain
from rnngraph.viz.curves import LOGARITHMIC
from rnngraph.viz.figure import FORMS, figure_bytes
from rnngraph.viz.palette import FAINT, INK, KINDS, SOFT


def write_scores(found: Sweep, path: PathLike) -> None:
    """A line for each choice, the best above: a dot for each seed, a stroke for their mean.

    UserError for another ending than .svg, .png or .pdf.
    """
    form = form_of(path, FORMS, "a picture")
    groups = [(choice, found.scores(records)) for choice, records in found.groups()][::-1]
    names = [", ".join(f"{n} {plain(v)}" for n, v in zip(found.names, choice, strict=True)) for choice, _ in groups]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for place, (_, scores) in enumerate(groups):
            axes.plot(scores, [place] * len(scores), "o", color=KINDS["pointwise"].line, markersize=5, alpha=0.7)
            if scores:
                mean = sum(scores) / len(scores)
                axes.plot([mean, mean], [place - 0.3, place + 0.3], color=KINDS["backward"].line, linewidth=2)
        shown = [score for _, scores in groups for score in scores]
        if shown and min(shown) > 0 and max(shown) > LOGARITHMIC * min(shown):
            axes.set_xscale("log")
        axes.set_yticks(range(len(groups)), names, parse_math=False)
        axes.set_ylim(-0.7, len(groups) - 0.3)
        axes.set_title(f"{found.score} by seed, and its mean", loc="left", fontsize=11, color=INK, parse_math=False)
        axes.tick_params(colors=SOFT, labelsize=9, length=0)
        axes.grid(True, axis="x", color=FAINT, linewidth=0.6, alpha=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)

    write_aside(path, figure_bytes(draw, form, "sweep", figsize=(8, 0.9 + 0.36 * max(1, len(groups)))))
