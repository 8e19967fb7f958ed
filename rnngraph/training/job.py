"""What stays the same during a training, and what it needs of a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field
from numpy.typing import NDArray

from rnngraph.debugging.nan_finder import Cause
from rnngraph.distributed.processes import ALONE, Fold, Processes
from rnngraph.files.safetensors import Arrays
from rnngraph.runtime.array_updates import WholeArrays
from rnngraph.training.batches import row_count
from rnngraph.training.checkpoint import Identity
from rnngraph.training.config import FitConfig
from rnngraph.training.evaluation import EVALUATED, Evaluable, Record
from rnngraph.training.segment_batches import Pieces
from rnngraph.training.validation import Split

Explain = Callable[[Mapping[str, Any], Mapping[str, Any]], Cause | None]
"""Tells where a batch, with these weights, first gives a value that is not finite."""

Weigh = Callable[[Mapping[str, Any], Mapping[str, Any]], float]
"""How much the loss of some rows, with these weights, counts beside that of others."""


def by_rows(rows: Mapping[str, Any], weights: Mapping[str, Any]) -> float:
    return row_count(rows)


Together = Callable[[Mapping[str, Any], int], int]
"""How many of so many rows of held-back data are evaluated at once."""

Ready = Callable[[Mapping[str, NDArray[Any]]], None]
"""Is told gradients that are made before a batch is done with."""


class Norms(Protocol):
    """Measures the gradient of rows of data, with these weights."""

    def __call__(self, rows: Mapping[str, Any], weights: Mapping[str, Any]) -> Record: ...

    def refuse_too_large(self, rows: Mapping[str, Any]) -> None:
        """CannotDo where there is no memory for that."""


class Trainable(Protocol):
    """A program with gradients: the loss of a batch (its mean over rows), and gradients of the weights by
    name, which the next batch may write over.
    """

    def lent_gradients(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], ready: Ready | None = None
    ) -> tuple[float, Mapping[str, NDArray[Any]]]: ...


class Carrying(Trainable, Protocol):
    """A program that also gives the states that it ends with, by the names under which it takes them."""

    def lent_step(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], ready: Ready | None = None
    ) -> tuple[float, Mapping[str, NDArray[Any]], Arrays]: ...


class Progress(Struct, frozen=True):
    """Told after every batch. `loss` is the mean so far in this epoch; `record` is there once it is over."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    record: Record | None = None


class Job(Struct, frozen=True):
    """What stays the same during a run."""

    program: Trainable
    arrays: WholeArrays
    config: FitConfig
    split: Split
    pieces: Pieces
    evaluator: Evaluable | None
    metrics: tuple[str, ...]
    frozen: frozenset[str]
    identity: Identity
    path: str | os.PathLike[str] | None
    weigh: Weigh
    together: int = EVALUATED
    progress: Callable[[Progress], None] | None = field(default=None)
    explain: Explain | None = field(default=None)
    processes: Processes = ALONE
    fold: Fold = field(default_factory=lambda: ALONE.fold(1))
    norms: Norms | None = field(default=None)

    @property
    def shards(self) -> int:
        return self.config.shards or 1
