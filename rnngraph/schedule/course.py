"""A schedule fitted to one length: how long its chunks are, what it does with them, and what it keeps meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from rnngraph.schedule.actions import HERE, Action, Advance, Back, Save, Visit, evaluates


@dataclass(frozen=True)
class Course:
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
    """The folder of the file that tapes are kept in; "" for memory."""
    cut_off: bool = False
    """Whether no cotangent passes from one chunk to the one before."""

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
    def places(self) -> int:
        """How many places are needed for what is kept."""
        states = max((a.place + 1 for a in self.actions if isinstance(a, Save)), default=0)
        tapes = (a.tape for a in self.actions if isinstance(a, Visit | Advance) and a.tape is not None)
        return max(states, max((p + self.tape for p in tapes if p != HERE), default=0))

    @cached_property
    def kinds(self) -> frozenset[tuple[str, int]]:
        """What is computed for a chunk, and of how many steps: `first`, `again`, `advance`."""
        found = set()
        for action in self.actions:
            if isinstance(action, Visit | Advance | Back):
                first, behind = self.span(action.chunk)
                found.add((_kind(action), behind - first))
        return frozenset(found)

    @cached_property
    def evaluations(self) -> float:
        """Forward steps that are computed, for each step of the sequence."""
        spans = [self.span(a.chunk) for a in self.actions if evaluates(a)]
        return sum(behind - first for first, behind in spans) / max(1, self.steps)


def _kind(action: Visit | Advance | Back) -> str:
    if isinstance(action, Advance):
        return "advance" if action.tape is None else "again"
    return "again" if isinstance(action, Back) and action.tape is None else "first"
