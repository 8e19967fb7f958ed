"""The loss and the metrics of data, a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnngraph.distributed.processes import ALONE, Processes, joined, own
from rnngraph.training import batches
from rnngraph.training.batch_rows import told_by
from rnngraph.training.batches import Rows

Record = dict[str, float]
WEIGHT = "gradient."
"""What the name of the norm of a weight's gradient begins with in a record."""
BACK = "back."
"""What that of states begins with: `back.time.8` is of those 8 steps before the end of their rows."""
EVALUATED = 1024
"""So many rows are evaluated at once."""


class Evaluable(Protocol):
    """A program without what is random in training; its results hold `loss` and the metrics by name."""

    def run(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]: ...


def evaluate(
    program: Evaluable,
    data: Mapping[str, Any],
    weights: Mapping[str, Any],
    metrics: Iterable[str] = (),
    size: int = EVALUATED,
    rows: Rows | None = None,
    axes: Mapping[str, Sequence[str]] | None = None,
    over: Mapping[str, Sequence[str]] | None = None,
    processes: Processes = ALONE,
    shards: int = 1,
    told: tuple[str, str] = ("the data", ""),
) -> Record:
    """`loss` and the metrics of all rows, or of those that are numbered.

    At most `size` rows run at once; of more rows the results are means over such parts, weighted by their rows, or by
    their real steps along the axes that `over` names for a result. `axes` gives for each sequence its axes. There are
    at least as many parts as `shards`, if there are rows for them; `processes` share the parts. Rows that are wrong are
    `told` as those of these data, and when that was.
    """
    rows = np.arange(batches.row_count(data)) if rows is None else rows
    names = ("loss", *metrics)
    parts = batches.chunks(len(rows), max(1, min(size, -(-len(rows) // shards))))

    def found(places: Rows) -> list[tuple[float, int]]:
        """Of one part each result times how much it counts, and that."""
        part = batches.take(data, rows[places])
        with told_by(rows[places], *told):
            results = program.run(part, weights)
        counts = [batches.weight(part, axes or {}, (over or {}).get(name, ())) for name in names]
        return [(float(results[name]) * count, count) for name, count in zip(names, counts, strict=True)]

    mine = own(len(parts), processes.size, processes.rank)
    everyone = joined(processes, lambda: [found(places) for places in parts[mine.start : mine.stop]])
    return {name: _mean([part[i] for part in everyone]) for i, name in enumerate(names)}


def _mean(parts: Sequence[tuple[float, int]]) -> float:
    """Of sums and what they count."""
    total, count = 0.0, 0
    for part, counts in parts:
        total, count = total + part, count + counts
    return total / max(1, count)
