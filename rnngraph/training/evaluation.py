"""The loss and the metrics of data, a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnngraph.training import batches
from rnngraph.training.batch_rows import told_by
from rnngraph.training.batches import Rows

Record = dict[str, float]
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
    axes: Mapping[str, str] | None = None,
    over: Mapping[str, str] | None = None,
) -> Record:
    """`loss` and the metrics of all rows, or of those that are numbered.

    At most `size` rows run at once; of more rows the results are means over such parts, weighted by their rows, or by
    their real steps along the axis that `over` names for a result. `axes` gives for each sequence its axis.
    """
    rows = np.arange(batches.row_count(data)) if rows is None else rows
    names = ("loss", *metrics)
    sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for places in batches.chunks(len(rows), size):
        part = batches.take(data, rows[places])
        with told_by(places, "the data"):
            results = program.run(part, weights)
        for name in names:
            count = batches.weight(part, axes or {}, (over or {}).get(name, ""))
            sums[name] += float(results[name]) * count
            counts[name] += count
    return {name: total / max(1, counts[name]) for name, total in sums.items()}
