"""Plots as files: the same bytes whenever they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

FORMS = ("svg", "png", "pdf")
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}


def figure_bytes(draw: Callable[[Any], None], form: str, name: str, dpi: int = 160, **options: Any) -> bytes:
    """The content of a file of one of `FORMS`: what `draw` puts on a figure of these options. `name` keeps the ids of
    one svg apart from those of another."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": name}):
        figure = Figure(layout="constrained", **options)
        FigureCanvasAgg(figure)
        draw(figure)
        out = BytesIO()
        figure.savefig(out, format=form, dpi=dpi, metadata=_UNDATED[form])
    return out.getvalue()
