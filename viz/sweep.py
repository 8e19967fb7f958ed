"""The scores of a sweep as a picture."""

from __future__ import annotations

from typing import Any

from rnngraph.files.atomic_writes import PathLike, form_of, write_aside
from rnngraph.training.sweep import Sweep, plain
from rnngraph.viz.figure import FORMS, dress, figure_bytes, spread
from rnngraph.viz.palette import KINDS


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
        if spread(shown):
            axes.set_xscale("log")
        axes.set_yticks(range(len(groups)), names, parse_math=False)
        axes.set_ylim(-0.7, len(groups) - 0.3)
        dress(axes, f"{found.score} by seed, and its mean")

    write_aside(path, figure_bytes(draw, form, "sweep", figsize=(8, 0.9 + 0.36 * max(1, len(groups)))))
