"""What processes that train together ask of each other; a process alone asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:  # a command that is one process is not to wait for NumPy
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Gradients = Mapping[str, Array]

T = TypeVar("T")


class Fold(Protocol):
    """The mean of the gradients of an update over its shards, added up in the order of the shards, whoever has them.

    So it has the same bits on any number of processes.
    """

    travels: bool
    """Whether it has a use for gradients of a shard that are there before the others."""

    def begin(self) -> None:
        """Before each update."""

    def put_some(self, shard: int, gradients: Gradients) -> None:
        """Some of what `put` will be given for a shard."""

    def put(self, shard: int, gradients: Gradients, weight: float) -> None:
        """One of our own shards, in order: its gradients, which may be written over afterwards, and how much it counts.
        Without gradients it has no part in the mean."""

    def mean(self, numbers: Array) -> tuple[Array, Gradients]:
        """The numbers of all shards (shards, ...), of which ours are given, and the mean; valid until the next update.
        Called where all processes have agreed to go on."""


class Processes(Protocol):
    """The processes of a run, numbered from 0 (their _rank_).

    What one of them does alone is `work` in one of these calls. Where it fails on any process all raise: so none waits
    for another that has ended. All processes make the same calls in the same order.
    """

    rank: int
    size: int

    def agreed(self, work: Callable[[], T]) -> T:
        """What `work` gives here."""

    def gathered(self, work: Callable[[], T]) -> list[T]:
        """What it gives on each process."""

    def of_first(self, work: Callable[[], T]) -> T:
        """What it gives on process 0; others do not do it."""

    def fold(self, shards: int) -> Fold:
        """For a training; each process puts the shards of `own_shards`."""

    def free(self) -> None:
        """Behind the last call."""

    def close(self) -> None:
        """At the end of the program."""


def own(count: int, size: int, rank: int) -> range:
    """Which of so many things in a row a process has: as many as others, or one more."""
    return range(rank * count // size, (rank + 1) * count // size)


def owner(thing: int, count: int, size: int) -> int:
    """Which process has a thing, by `own`."""
    return ((thing + 1) * size - 1) // count


def own_shards(processes: Processes, shards: int) -> range:
    return own(shards, processes.size, processes.rank)


def mean_with(before: Array | None, weight: float, gradient: Array, more: float) -> Array:
    """The mean, by weight, of what was before and of one more, which counts `more`; written over what was before."""
    if before is None:
        return gradient.copy()
    before += (gradient - before) * gradient.dtype.type(more / (weight + more or 1))
    return before


class FoldAlone:
    """The fold of a process that has all shards: each is added when it comes."""

    travels = False

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.begin()

    def begin(self) -> None:
        self.weight, self.found = 0.0, cast("Gradients", {})

    def put_some(self, shard: int, gradients: Gradients) -> None:
        pass

    def put(self, shard: int, gradients: Gradients, weight: float) -> None:
        if self.shards == 1:  # taken as they lie
            self.found = gradients
        elif gradients:
            before = self.found
            self.found = {n: mean_with(before.get(n), self.weight, g, weight) for n, g in gradients.items()}
            self.weight += weight

    def mean(self, numbers: Array) -> tuple[Array, Gradients]:
        return numbers, self.found


class Alone:
    """One process."""

    rank, size = 0, 1

    def agreed(self, work: Callable[[], T]) -> T:
        return work()

    def gathered(self, work: Callable[[], T]) -> list[T]:
        return [work()]

    def of_first(self, work: Callable[[], T]) -> T:
        return work()

    def fold(self, shards: int) -> Fold:
        return FoldAlone(shards)

    def free(self) -> None:
        pass

    def close(self) -> None:
        pass


ALONE = Alone()


def first_alone(processes: Processes, work: Callable[[], object]) -> None:
    """Process 0 does something for all, as writing a file; the others wait until it is done."""
    processes.agreed(lambda: work() if processes.rank == 0 else None)


def joined(processes: Processes, work: Callable[[], Sequence[T]]) -> list[T]:
    """The lists of all processes, one behind the other."""
    return [item for part in processes.gathered(work) for item in part]
