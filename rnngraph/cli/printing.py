"""Results and progress for a person at a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.files.results import plain_values

SMALL = 1000
"""Values up to which an array is printed whole."""


def results_text(results: Mapping[str, Any]) -> str:
    """Each array under its name; of a big one the shape and its corners."""
    parts = []
    for name, value in results.items():
        array = np.asarray(value)
        shape = f" {list(array.shape)}" if array.ndim else ""
        body = np.array2string(array, threshold=SMALL, separator=" ", max_line_width=110)
        parts.append(f"{name}{shape} = {body}" if not array.ndim else f"{name}{shape}\n{body}")
    big = [name for name, value in results.items() if np.size(value) > SMALL]
    if big:
        parts.append(f"({', '.join(big)}: not shown in full; write everything with --out results.npz)")
    return "\n\n".join(parts)


def results_json(results: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """For each array its shape, and its values where they are asked for; what is not finite is a word."""
    found = {}
    for name, value in results.items():
        array = np.asarray(value)
        found[name] = {"shape": list(array.shape), "dtype": str(array.dtype)}
        if whole:
            found[name]["values"] = plain_values(array)
    return found


def metrics_text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())


class Bar:
    """A progress bar over the batches of an epoch, and a line for each epoch that is done."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("loss {task.fields[loss]:.4g}"))
        self.console = Console(stderr=True, quiet=quiet)
        self.progress = Progress(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, disable=not sys.stderr.isatty()
        )
        self.task = self.progress.add_task("", total=1, epoch="1", loss=math.nan)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def tell(self, now: Any) -> None:
        """Takes a `training.fit.Progress`."""
        self.progress.update(
            self.task, completed=now.batch, total=now.batches, epoch=f"{now.epoch}/{now.epochs}", loss=now.loss
        )
        if now.record is not None:
            numbers = {k: v for k, v in now.record.items() if k != "epoch"}
            self.progress.console.print(f"epoch {now.epoch}/{now.epochs}  {metrics_text(numbers)}", highlight=False)
