"""Plots as files: the same bytes whenever they are drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from rnngraph.diagnostics.optional import needed
from rnngraph.viz.palette import FAINT, INK, SOFT

FORMS = ("svg", "png", "pdf")
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the variables of the environment by which plotting libraries choose a window or a date."""
    before = {name: os.environ.pop(name) for name in ("MPLBACKEND", "SOURCE_DATE_EPOCH") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


LOGARITHMIC = 20.0
"""An axis is logarithmic whose largest value is more than so many times its least."""


def spread(values: Sequence[float]) -> bool:
    """Whether values are better shown on a logarithmic axis."""
    return bool(values) and min(values) > 0 and max(values) > LOGARITHMIC * min(values)


def dress(axes: Any, title: str, grid: str = "x") -> None:
    """A title, thin lines of a grid (along "x", "y" or "both"), and no frame."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, parse_math=False)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.grid(True, axis=grid, color=FAINT, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def figure_bytes(draw: Callable[[Any], None], form: str, name: str, dpi: int = 160, **options: Any) -> bytes:
    """The content of a file of one of `FORMS`: what `draw` puts on a figure of these options. `name` keeps the ids of
    one svg apart from those of another. CannotDo where matplotlib is not installed."""
    with undisturbed(), needed("matplotlib"):
        from matplotlib import rc_context, rcdefaults, rcParams
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    with undisturbed(), rc_context():
        rcdefaults()  # whatever a `matplotlibrc` says
        rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": name})
        figure = Figure(layout="constrained", **options)
        FigureCanvasAgg(figure)
        draw(figure)
        out = BytesIO()
        figure.savefig(out, format=form, dpi=dpi, metadata=_UNDATED[form])
    return out.getvalue()
