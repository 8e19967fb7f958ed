"""Results of a run as files: which of them make one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.data.dataset import Dataset
from rnngraph.data.lengths import lengths_of, real_steps
from rnngraph.files.results import Rows
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput

Array = NDArray[Any]


def table_rows(graph: Graph, inputs: Sequence[DataInput], data: Mapping[str, Any], results: Mapping[str, Any]) -> Rows:
    """What one table has: every result with a value for each step of the same axis as the first that has steps; else
    every one with a value for each row. Beside them stand the ids and dates of the data."""
    axes = {n: graph.outputs[n].type.axes for n in results if n in graph.outputs}
    stepped = next((a for a in axes.values() if len(a) == 2 and a[-1] == BATCH), None)
    names = tuple(n for n, found in axes.items() if found == (stepped or (BATCH,)))
    axis = stepped[0] if stepped else ""
    return Rows(names, stepped is not None, real_steps(axis, lengths_of(inputs, data)), _beside(inputs, data, axis))


def _beside(inputs: Sequence[DataInput], data: Mapping[str, Any], axis: str) -> dict[str, Array]:
    """What stands beside the rows; beside what runs along another axis, the last real step of theirs."""
    if not isinstance(data, Dataset):
        return {}
    lengths = lengths_of(inputs, data).get(data.axis)
    return {n: a if a.ndim == 1 or data.axis == axis else _last(a, lengths) for n, a in data.beside.items()}


def _last(array: Array, lengths: Array | None) -> Array:
    found: Array = array[:, -1] if lengths is None else array[np.arange(len(array)), lengths - 1]
    return found
