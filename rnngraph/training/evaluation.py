"""The loss and the metrics of data, a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnngraph.distributed.processes import ALONE, Processes, joined, own
from rnngraph.files.safetensors import Arrays
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


class Parts(Protocol):
    """How the results of all rows follow from what is found of parts of them."""

    def of_all(self, parts: list[Arrays]) -> Record: ...


class Evaluable(Protocol):
    """A program without what is random in training; its results hold `loss` and the metrics by name."""

    def run(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]: ...

    def in_parts(self, data: Mapping[str, Any]) -> Parts | None:
        """None where the results do not follow from parts of the rows."""

    def run_part(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Arrays:
        """What is found of some of the rows."""


def evaluate(
    program: Evaluable,
    data: Mapping[str, Any],
    weights: Mapping[str, Any],
    metrics: Iterable[str] = (),
    size: int = EVALUATED,
    rows: Rows | None = None,
    processes: Processes = ALONE,
    shards: int = 1,
    told: tuple[str, str] = ("the data", ""),
) -> Record:
    """`loss` and the metrics of all rows, or of those that are numbered.

    At most `size` rows run at once where the results follow from parts of the rows, and there are at least as many
    parts as `shards`, if there are rows for them; `processes` share the parts. Rows that are wrong are `told` as those
    of these data, and when that was.
    """
    rows = np.arange(batches.row_count(data)) if rows is None else rows
    parts = batches.chunks(len(rows), max(1, min(size, -(-len(rows) // shards))))
    way = program.in_parts(data) if len(parts) > 1 else None
    run = program.run if way is None else program.run_part

    def found(places: Rows) -> Arrays:
        with told_by(rows[places], *told):
            return dict(run(batches.take(data, rows[places]), weights))

    parts = parts if way is not None else [np.arange(len(rows))]
    mine = own(len(parts), processes.size, processes.rank)
    everyone = joined(processes, lambda: [found(places) for places in parts[mine.start : mine.stop]])
    results = everyone[0] if way is None else way.of_all(everyone)
    return {name: float(results[name]) for name in ("loss", *metrics)}
