"""Heat maps over time: what `--watch` records, attention, and gradients by step back in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rnngraph.files.atomic_writes import form_of, write_aside
from rnngraph.viz.figure import FORMS, figure_bytes
from rnngraph.viz.palette import INK, SOFT

if TYPE_CHECKING:
    import numpy as np

TALLEST = 24
"""Rows of a map from which on it grows no taller."""
FAINTEST = 1e-12
"""Share of the largest gradient that is still told apart from 0."""


class HeatMap(Struct, frozen=True):
    """`values` (rows, columns), drawn with the first row at the top; `powers` colours by powers of ten."""

    title: str
    values: np.ndarray[Any, Any]
    across: str
    down: str
    powers: bool = False


def recorded(name: str, values: np.ndarray[Any, Any], axes: Sequence[str]) -> HeatMap:
    """One row of data, (axes..., units...): units over steps, or one axis over another as attention has it."""
    spoken = [axis if "@" not in axis else "step" for axis in axes]
    if len(axes) > 1:
        return HeatMap(name, values.reshape(values.shape[0], values.shape[1], -1).mean(-1), spoken[1], spoken[0])
    across = spoken[0] if axes else "value"
    return HeatMap(name, values.reshape(values.shape[0] if axes else 1, -1).T, across, "unit")


def steps_back(name: str, output: str, gradient: np.ndarray[Any, Any], axes: Sequence[str]) -> HeatMap:
    """The size of a gradient: of one (steps, units...) the last step first, of one over two axes as these lie."""
    title = f"gradient of the last {output} by {name}"
    if len(axes) > 1:
        size = abs(gradient).reshape(*gradient.shape[:2], -1).mean(-1)
        return HeatMap(title, size, axes[1], axes[0], powers=True)
    return HeatMap(title, abs(gradient.reshape(len(gradient), -1)[::-1].T), "steps back", "unit", powers=True)


def write_maps(maps: Sequence[HeatMap], path: str, heading: str) -> None:
    """A map over the other, as .svg, .png or .pdf."""
    write_aside(path, drawn(maps, form_of(path, FORMS, "a picture"), heading))


def drawn(maps: Sequence[HeatMap], form: str, heading: str) -> bytes:
    heights = [0.9 + 0.13 * min(len(m.values), TALLEST) for m in maps]

    def draw(figure: Any) -> None:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK, parse_math=False)
        panels = figure.subplots(len(maps), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, heat in zip(panels, maps, strict=True):
            _panel(figure, axes, heat)

    return figure_bytes(draw, form, "heat", figsize=(9, 0.6 + sum(heights)))


def _panel(figure: Any, axes: Any, heat: HeatMap) -> None:
    image = axes.imshow(heat.values, aspect="auto", interpolation="nearest", **_colours(heat))
    axes.set_title(heat.title, loc="left", fontsize=11, color=INK, parse_math=False)
    axes.set_xlabel(heat.across, color=SOFT, fontsize=9.5, parse_math=False)
    axes.set_ylabel(heat.down, color=SOFT, fontsize=9.5, parse_math=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    axes.tick_params(colors=SOFT, labelsize=9, length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    if heat.powers:
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
        bar.ax.yaxis.set_minor_formatter(lambda value, _: "")
    bar.ax.tick_params(colors=SOFT, labelsize=8, length=0)
    bar.outline.set_visible(False)


def _colours(heat: HeatMap) -> Mapping[str, Any]:
    """Around 0 where there are both signs, from 0 on where there are none below, by powers of ten for gradients."""
    low, high = float(heat.values.min()), float(heat.values.max())
    if heat.powers and high > 0:
        from matplotlib.colors import LogNorm

        least = max(float(heat.values[heat.values > 0].min()), FAINTEST * high)
        return {"cmap": "magma", "norm": LogNorm(min(least, high / 10), high, clip=True)}
    if low < 0:
        most = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": 0.0, "vmax": max(high, 1e-30)}
