"""A schedule fitted to one length: how long its chunks are, what it does with them, and what it keeps meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from msgspec import Struct

from rnngraph.checkpointing.actions import Action, Counts, counted
from rnngraph.checkpointing.revolve import counts, revolve


class Course(Struct, frozen=True, dict=True):
    """`steps` cut into chunks of `chunk` steps, the last one maybe shorter, and the actions over them."""

    steps: int
    chunk: int
    plan: Callable[[int], Iterator[Action]]
    """The actions for a number of chunks."""
    reverse: bool = False
    """Whether chunk 0 is the last in time."""
    tape: int = 1
    """How many places a tape takes."""
    wide: int = 1
    """How many states are as wide as one place."""
    swap: str = ""
    """Where tapes are kept: the folder of a file, or `host` for its memory beside a GPU's; "" for where the run is."""
    known: Callable[[int, int], Counts] | None = None
    """What the actions come to for a number of chunks, one of them set apart, where that is known without a walk."""

    @property
    def chunks(self) -> int:
        return -(-self.steps // self.chunk)

    @property
    def actions(self) -> Iterator[Action]:
        return self.plan(self.chunks)

    def span(self, chunk: int) -> tuple[int, int]:
        """The first step of a chunk, and the step behind its last."""
        place = self.chunks - 1 - chunk if self.reverse else chunk
        return place * self.chunk, min((place + 1) * self.chunk, self.steps)

    @cached_property
    def counts(self) -> Counts:
        """What the actions come to, the chunk that may be shorter set apart."""
        last = 0 if self.reverse else self.chunks - 1
        return self.known(self.chunks, last) if self.known else counted(self.actions, last, self.tape)

    def length(self, last: bool) -> int:
        """The steps of a chunk: of the last in time, or of any other."""
        return self.steps - (self.chunks - 1) * self.chunk if last else self.chunk

    @property
    def places(self) -> int:
        """How many places are needed for what is kept."""
        return self.counts.places

    @property
    def kinds(self) -> frozenset[tuple[str, int]]:
        """What is computed for a chunk, and of how many steps: `first`, `again`, `advance`."""
        return frozenset((kind, self.length(last)) for kind, last in self.counts.times)

    @property
    def evaluations(self) -> float:
        """Forward steps that are computed, for each step of the sequence."""
        steps = sum(times * self.length(last) for (_, last), times in self.counts.times.items())
        return steps / max(1, self.steps)


def revolving(steps: int, chunk: int, slots: int, reverse: bool = False) -> Course:
    """The least work with so many states kept at once."""
    return Course(
        steps,
        chunk,
        lambda chunks: revolve(chunks, slots),
        reverse,
        known=lambda chunks, apart: counts(chunks, slots, apart),
    )
