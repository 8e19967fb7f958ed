"""Where the time of a run goes, by source line: the slowest lines, and a picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnngraph.analysis.results import LineTime, Profile
from rnngraph.files.atomic_writes import form_of, write_aside
from rnngraph.viz.figure import FORMS, dress, figure_bytes
from rnngraph.viz.palette import INK, KINDS


def slowest(profile: Profile, most: int) -> tuple[LineTime, ...]:
    """The slowest lines, the others as one."""
    rows = tuple(sorted(profile.shown, key=lambda line: -line.seconds))
    if len(rows) <= most + 1:
        return rows
    rest = rows[most:]
    forward, backward = (sum(part) for part in zip(*((r.forward, r.backward) for r in rest), strict=True))
    return (*rows[:most], LineTime("", f"{len(rest)} other lines", forward, backward))


def write_picture(profiles: Mapping[str, Profile], path: str, most: int) -> None:
    """For each task horizontal bars, one for each of the slowest lines."""
    form = form_of(path, FORMS, "a picture")
    write_aside(path, _drawn({task: slowest(profile, most)[::-1] for task, profile in profiles.items()}, form))


def _drawn(tasks: Mapping[str, Sequence[LineTime]], form: str) -> bytes:
    heights = [1 + len(rows) for rows in tasks.values()]

    def draw(figure: Any) -> None:
        panels = figure.subplots(len(tasks), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, (task, rows) in zip(panels, tasks.items(), strict=True):
            _bars(axes, rows)
            dress(axes, f"{task}: milliseconds by source line")

    return figure_bytes(draw, form, "times", figsize=(9, 0.6 + 0.34 * sum(heights)))


def _bars(axes: Any, rows: Sequence[LineTime]) -> None:
    forward, backward = (
        [1e3 * part for part in parts] for parts in zip(*((r.forward, r.backward) for r in rows), strict=True)
    )
    places = range(len(rows))
    axes.barh(places, forward, color=KINDS["pointwise"].line, label="forward", height=0.7)
    if any(backward):
        axes.barh(places, backward, left=forward, color=KINDS["backward"].line, label="backward", height=0.7)
        axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    axes.set_yticks(places, [_label(line) for line in rows], parse_math=False)


def _label(line: LineTime) -> str:
    text = line.text if len(line.text) <= 60 else f"{line.text[:57]}..."
    number = line.place.rpartition(":")[2]
    return f"{text}   {number}" if number else text
