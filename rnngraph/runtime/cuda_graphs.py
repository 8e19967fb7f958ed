"""CUDA graphs: kernels that are launched again over the same arrays are captured once, and then launched all at once.

What a call computes on lies where it lay before: data and lengths are copied into the arena, sizes belong to the plan,
and random numbers follow from a seed in the arena. Only weights may be other arrays; then what was captured is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from rnngraph.runtime.gpu_loading import Refused, warn

MOST = 1 << 14
"""Launches of a graph, at most, as the driver keeps what each is told, and has to prepare it."""

Call = Callable[[], Any]
Item = TypeVar("Item")


class Graphs:
    """Who captures, for all programs of a backend: until it is refused once."""

    def __init__(self, cupy: Any) -> None:
        self.cupy, self.refused = cupy, False

    def launched(self, calls: Sequence[Call]) -> Any | None:
        """A graph of what these calls launch, which has been launched; None where it is refused: nothing has."""
        if self.refused:
            return None
        try:
            graph = self.captured(calls)
            graph.launch()
            return graph
        except (RuntimeError, MemoryError) as error:
            self.refused = True
            warn("kernels are launched one by one, not as a CUDA graph", Refused(f"it is refused: {error}"))
            return None

    def captured(self, calls: Sequence[Call]) -> Any:
        """On a stream of its own, for which no other waits: the default one cannot be captured."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                for call in calls:
                    call()
            except BaseException:
                with suppress(RuntimeError):  # a capture that has failed is ended, too
                    stream.end_capture()
                raise
            return stream.end_capture()


class Replayed:
    """Calls that launch kernels: as they are the first time, as a graph from the second time on."""

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs
        self.forget()

    def forget(self) -> None:
        """What the kernels are told is not what it was."""
        self.graph: Any | None = None
        self.again = False

    def __call__(self, calls: Sequence[Call]) -> None:
        """`calls` are those of the last time, unless that has been forgotten."""
        if self.graph is not None:
            self.graph.launch()
            return
        if self.again:
            self.graph = self.graphs.launched(calls)
        if self.graph is None:
            for call in calls:
                call()
        self.again = True


def runs(items: Sequence[Item], launches: Callable[[Item], float]) -> Iterator[tuple[list[Item], bool]]:
    """The items in their order, cut into runs; of each, whether it is worth a graph and can be one. `launches` tells
    how many an item asks for, infinitely many where it does more than that."""
    found: list[Item] = []
    count = 0.0
    for item in items:
        if found and count + launches(item) > MOST:
            yield found, 1 < count <= MOST
            found, count = [], 0.0
        found.append(item)
        count += launches(item)
    if found:
        yield found, 1 < count <= MOST
