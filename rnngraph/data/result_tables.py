"""Results of a run as files: which of them make one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.data.dataset import Dataset
from rnngraph.data.lengths import lengths_of, real_steps
from rnngraph.files.results import Rows
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated

Array = NDArray[Any]


OWN = "own steps:"
"""What the name of a result begins with that says which steps of another one are a row's own."""


def with_own_steps(made: Elaborated) -> Elaborated:
    """The model that also tells of outputs that a `stop` can end which steps are a row's own."""
    told = {name: mask for name, mask in made.own_steps.items() if name in made.graph.outputs}
    outputs = {**made.graph.outputs, **{OWN + name: mask for name, mask in told.items()}}
    orders = {**made.orders, **{OWN + name: made.orders[name] for name in told}}
    return replace(made, graph=made.graph.with_outputs(outputs), orders=orders)


def apart(results: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of such a model, and by their names which steps are a row's own."""
    own = {name.removeprefix(OWN): array for name, array in results.items() if name.startswith(OWN)}
    return {name: array for name, array in results.items() if not name.startswith(OWN)}, own


def table_rows(
    graph: Graph,
    inputs: Sequence[DataInput],
    data: Mapping[str, Any],
    results: Mapping[str, Any],
    own: Mapping[str, Array],
) -> Rows:
    """What one table has: every result with a value for each step of the same axis as the first that has steps; else
    every one with a value for each row. Beside them stand the ids and dates of the data; `own` is as in `Rows`."""
    axes = {n: graph.outputs[n].type.axes for n in results if n in graph.outputs}
    stepped = next((a for a in axes.values() if len(a) == 2 and a[-1] == BATCH), None)
    names = tuple(n for n, found in axes.items() if found == (stepped or (BATCH,)))
    axis = stepped[0] if stepped else ""
    lengths, beside = real_steps(axis, lengths_of(inputs, data)), _beside(inputs, data, axis)
    return Rows(names, stepped is not None, lengths, beside, own={n: own[n] for n in names if n in own})


def _beside(inputs: Sequence[DataInput], data: Mapping[str, Any], axis: str) -> dict[str, Array]:
    """What stands beside the rows; beside what runs along another axis, the last real step of theirs."""
    if not isinstance(data, Dataset):
        return {}
    lengths = lengths_of(inputs, data).get(data.axis)
    return {n: a if a.ndim == 1 or data.axis == axis else _last(a, lengths) for n, a in data.beside.items()}


def _last(array: Array, lengths: Array | None) -> Array:
    found: Array = array[:, -1] if lengths is None else array[np.arange(len(array)), lengths - 1]
    return found
