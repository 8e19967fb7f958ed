"""Weights by name as files, and the weights of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from rnngraph.files.outputs import form_of
from rnngraph.files.tensors import Arrays, read_tensors, write_tensors

CHECKPOINT = "rnngraph checkpoint 2"
"""What a file says of itself that holds a training run (`training.checkpoint`) and not weights alone."""


def save_weights(
    path: str | os.PathLike[str],
    weights: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write weights by name as a .safetensors file, aside first.

    Raises CannotDo where it cannot, UserError where the name of the file has another ending.
    """
    form_of(path, ("safetensors",), "weights")
    write_tensors(path, weights, metadata)


def load_weights(path: str | os.PathLike[str]) -> Arrays:
    """The arrays of a safetensors file by name. A checkpoint gives its best weights.

    Raises CannotDo where there is no readable file, UserError where it is incomplete or another kind of file.
    """
    arrays, metadata = read_tensors(path)
    return best_weights(arrays, metadata)


def best_weights(arrays: Arrays, metadata: Mapping[str, str]) -> Arrays:
    """Of a checkpoint its best weights (its last, where nothing is held back); of other files all arrays."""
    if metadata.get("kind") != CHECKPOINT:
        return arrays
    return group_of(arrays, "best") or group_of(arrays, "weights")


def group_of(arrays: Arrays, group: str) -> Arrays:
    """The arrays of one part of a checkpoint: `weights`, `state` or `best`."""
    return {name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")}
