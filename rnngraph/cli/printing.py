"""Results and progress for a person at a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnngraph.cli.terminal import cell, table
from rnngraph.files.results import Rows, columns_of, plain_values

if TYPE_CHECKING:
    from rnngraph.training.sweep import Sweep

SMALL = 60
"""Values up to which an array is printed whole."""
WIDTH = 80


def results_text(results: Mapping[str, Any], whole: bool = False) -> str:
    """Each array under its name; of a big one, unless the `whole` is wanted, the shape and its corners."""
    parts = []
    most = sys.maxsize if whole else SMALL
    for name, value in results.items():
        array = np.asarray(value)
        shape = f" {list(array.shape)}" if array.ndim else ""
        body = np.array2string(array, threshold=most, edgeitems=2, separator=" ", max_line_width=WIDTH)
        parts.append(f"{name}{shape} = {body}" if not array.ndim else f"{name}{shape}\n{body}")
    big = [name for name, value in results.items() if np.size(value) > most]
    if big:
        parts.append(f"({', '.join(big)}: not shown in full; --all shows it, --out results.npz writes it)")
    return "\n\n".join(parts)


def rows_table(arrays: Mapping[str, Any], rows: Rows, most: int) -> list[Any]:
    """A `rich` table of results by row and step, the first so many lines of it, and how many there are more."""
    columns = columns_of(arrays, rows)
    lines = list(zip(*columns.values(), strict=True))
    told = [[f"{v:.6g}" if isinstance(v, np.floating) else cell(v) for v in line] for line in lines[:most]]
    beside = [cell(name) for name in columns if name.partition("[")[0] not in rows.names]
    left = f"{len(lines) - most:,} further rows; --out predictions.csv writes all" if len(lines) > most else ""
    return [table([cell(name) for name in columns], told, beside), left]


def results_json(results: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """For each array its shape, and its values where they are asked for; what is not finite is a word."""
    found = {}
    for name, value in results.items():
        array = np.asarray(value)
        found[name] = {"shape": list(array.shape), "dtype": str(array.dtype)}
        if whole:
            found[name]["values"] = plain_values(array)
    return found


def sweep_table(found: Sweep) -> Any:
    """A `rich` table with a line for each choice, the best first: mean, least and greatest score over its seeds."""
    from rnngraph.training.sweep import plain

    lines = []
    for choice, records in found.groups():
        scores = found.scores(records)
        told = (sum(scores) / len(scores), min(scores), max(scores)) if scores else ()
        numbers = [f"{value:.4g}" for value in told] or [""] * 3
        lines.append([*(cell(plain(v)) for v in choice), str(len(scores)), *numbers])
    return table([*map(cell, found.names), "runs", found.score, "least", "greatest"], lines, ())


def metrics_text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


class Bar:
    """A progress bar over the batches of an epoch, and a line for each epoch that is done; in a notebook too.

    with rg.Bar() as bar:
        model.fit(data, progress=bar.tell)
    """

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("loss {task.fields[loss]:.4g}"))
        self.console = Console(stderr=True, quiet=quiet)
        self.progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (sys.stderr.isatty() or self.console.is_jupyter),
        )
        self.task = self.progress.add_task("", total=1, epoch="1", loss=math.nan)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def tell(self, now: Any) -> None:
        """Takes a `training.fit.Progress`."""
        from rnngraph.training.evaluation import BACK, WEIGHT

        self.progress.update(
            self.task, completed=now.batch, total=now.batches, epoch=f"{now.epoch}/{now.epochs}", loss=now.loss
        )
        if now.record is not None:
            numbers = {k: v for k, v in now.record.items() if k != "epoch" and not k.startswith((WEIGHT, BACK))}
            line = f"epoch {now.epoch}/{now.epochs}  {metrics_text(numbers)}"
            self.progress.console.print(line, highlight=False, soft_wrap=True)
