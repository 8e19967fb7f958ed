"""Results and progress for a person at a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
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
        parts.append(f"({', '.join(big)}: not shown whole; write everything with --out results.npz)")
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


def kernel_table(kernels: Sequence[Any]) -> Any:
    """Compiled kernels (`kernels.listing.Listed`) with the source lines that they compute."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("kernel", "operations", "lines", box=None)
    for one in kernels:
        often = f" x {one.times:,}" if one.times > 1 else ""
        table.add_row(
            "  " * one.depth + escape(one.what) + often, " ".join(one.ops), escape(one.why or ", ".join(one.lines))
        )
    left = sum(1 for one in kernels if one.why)
    table.caption = f"{left} left to NumPy" if left else "nothing is left to NumPy"
    return table


def cost_tables(cost: Any, lines: int) -> list[Any]:
    """A predicted cost (`analysis.cost.Cost`): by category with its law, and the lines that answer for the peak."""
    from rich.markup import escape
    from rich.table import Table

    sizes = ", ".join(f"{axis} {size:,}" for axis, size in cost.sizes.items())
    by_category = Table("category", "bytes", "law (T steps, B rows, U units)", title=f"{sizes}, {cost.dtype}", box=None)
    for category, size in cost.bytes.items():
        by_category.add_row(category, f"{size:,}", str(cost.laws[category]))
    by_category.add_row("total", f"{cost.total:,}", f"{cost.peak.bytes:,} alive at once at most")
    if cost.course:
        kept = f"computed at a time, and {cost.course.places:,} places for what is kept between"
        by_category.add_row("steps in a piece", f"{cost.course.chunk:,}", kept)
    by_category.add_row("forward steps", f"{cost.evaluations:,.3f}", "computed for each step of the sequence")
    objects = cost.objects
    told = f"about, in {objects.nodes:,} nodes: {objects.per_node:,.0f} a node"
    by_category.add_row("graph, program", f"{objects.graph + objects.program:,}", told)
    by_category.add_row("optimiser", f"{cost.optimiser:,}", "beside a run, while training")
    by_line = Table("bytes at the peak", "line", "", title="where they are made", box=None)
    for line in cost.lines[:lines]:
        by_line.add_row(f"{line.bytes:,}", escape(line.place), escape(line.text))
    peak, way = cost.peak, "backward" if cost.peak.backward else "forward"
    return [by_category, f"the peak is at {escape(peak.place)} ({way}): {escape(peak.text)}", by_line]


def bench_tables(found: Any) -> list[Any]:
    """Speeds (`bench.Bench`): a row for each task, and what they were measured on."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rnngraph.viz.sentences import interval

    title = f"{found.model}: batch {found.batch}, {found.steps:,} steps, {found.how}"
    told = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    told.add_column("")
    for name in ("a run", "", "a step", "products", "of the peak"):
        told.add_column(name, justify="right")
    for speed in found.speeds:
        per_step = f"{1e3 * speed.seconds / found.steps:.3g} ms"
        share = f"{speed.rate / found.peak:.0%}"
        run = f"{1e3 * speed.seconds:.3g} ms"
        told.add_row(speed.task, run, interval(speed.times * 1e3), per_step, f"{speed.rate / 1e9:.3g} GFLOP/s", share)
    return [told, f"{found.machine}\npeak: {found.peak / 1e9:.0f} GFLOP/s, {found.peak_of}\n"]


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
