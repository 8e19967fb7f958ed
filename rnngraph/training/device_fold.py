"""Gradients of several processes whose arrays lie on GPUs: they travel through the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnngraph.distributed.processes import Fold, Processes
from rnngraph.runtime.array_updates import WholeArrays


class ThroughHost:
    """The fold of arrays on a device: any MPI will do, as it is given those of the host."""

    travels = False

    def __init__(self, fold: Fold, arrays: WholeArrays) -> None:
        self.fold, self.arrays = fold, arrays

    def begin(self) -> None:
        self.fold.begin()

    def put_some(self, shard: int, gradients: Mapping[str, Any]) -> None:
        pass

    def put(self, shard: int, gradients: Mapping[str, Any], weight: float) -> None:
        self.fold.put(shard, {name: self.arrays.host(array) for name, array in gradients.items()}, weight)

    def mean(self, numbers: Any) -> tuple[Any, Mapping[str, Any]]:
        numbers, gradients = self.fold.mean(numbers)
        return numbers, {name: self.arrays.own(array) for name, array in gradients.items()}


def fold_of(processes: Processes, shards: int, arrays: WholeArrays) -> Fold:
    """The fold of a training whose updates are made by `arrays`."""
    fold = processes.fold(shards)
    return ThroughHost(fold, arrays) if arrays.on_device and processes.size > 1 else fold
