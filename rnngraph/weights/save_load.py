"""Weights by name as files, and the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.files.atomic_writes import PathLike, form_of
from rnngraph.files.safetensors import Arrays, read_tensors, read_texts, write_tensors
from rnngraph.weights.metadata import ABOUT, About, about_of

CHECKPOINT = "rnngraph checkpoint 2"
"""What a file says of itself that holds a training run (`training.checkpoint`) and not weights alone."""


class Weights(dict[str, NDArray[Any]]):
    """Arrays by name, with what is known `about` them: their model, and how its data were made."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], about: About | None = None) -> None:
        super().__init__(arrays)
        self.about = about or About()


@kinds_checked
def save_weights(path: PathLike, weights: Mapping[str, NDArray[Any]]) -> None:
    """Write weights by name as a .safetensors file, aside first; `Weights` with what is known about them.

    Raises CannotDo where it cannot, UserError where the name of the file has another ending.
    """
    form_of(path, ("safetensors",), "weights")
    about = weights.about if isinstance(weights, Weights) else About()
    write_tensors(path, weights, {ABOUT: about.to_text()} if about else {})


@kinds_checked
def load_weights(path: PathLike) -> Weights:
    """The arrays of a safetensors file by name. A checkpoint gives its best weights.

    Raises CannotDo where there is no readable file, UserError where it is incomplete or another kind of file.
    """
    arrays, texts = read_tensors(path)
    return Weights(best_weights(arrays, texts), about_of(path, texts))


def load_about(path: PathLike) -> About:
    """What a weight file says of itself; its arrays are not read."""
    return about_of(path, read_texts(path))


def best_weights(arrays: Arrays, metadata: Mapping[str, str]) -> Arrays:
    """Of a checkpoint its best weights (its last, where nothing is held back); of other files all arrays."""
    if metadata.get("kind") != CHECKPOINT:
        return arrays
    return group_of(arrays, "best") or group_of(arrays, "weights")


def group_of(arrays: Arrays, group: str) -> Arrays:
    """The arrays of one part of a checkpoint: `weights`, `state` or `best`."""
    return {name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")}
