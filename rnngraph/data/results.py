"""Results of a run as files: which of them make one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnngraph.data.shapes import LENGTHS
from rnngraph.files.results import Rows
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput


def table_rows(
    graph: Graph,
    inputs: Sequence[DataInput],
    data: Mapping[str, Any],
    results: Mapping[str, Any],
    beside: Mapping[str, Any] | None = None,
) -> Rows:
    """What one table has: every result with a value for each step of the same axis as the first that has steps; else
    every one with a value for each row. `beside` are ids and dates of the rows, and of their steps."""
    axes = {n: graph.outputs[n].type.axes for n in results if n in graph.outputs}
    stepped = next((a for a in axes.values() if len(a) == 2 and a[-1] == BATCH), None)
    wanted = stepped or (BATCH,)
    names = tuple(n for n, found in axes.items() if found == wanted)
    given = [data[f"{i.name}{LENGTHS}"] for i in inputs if stepped and i.axis == stepped[0]
             and f"{i.name}{LENGTHS}" in data]  # fmt: skip
    steps = next((np.shape(results[n])[1] for n in names if stepped), None)
    fits = {n: np.asarray(a) for n, a in (beside or {}).items() if np.ndim(a) == 1 or steps in (None, np.shape(a)[1])}
    return Rows(names, stepped is not None, np.asarray(given[0]) if given else None, fits)
