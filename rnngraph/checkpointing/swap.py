"""Tapes outside of the memory that a run computes in: put there while the next chunk is computed, and fetched back
before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.runtime.device import Outside


class Swap:
    """Places for tapes outside, with the interface of `execution.Store`; `buffer` holds the one tape that is moving."""

    def __init__(self, outside: Outside, width: int, buffer: Any, copyto: Callable[[Any, Any], Any]) -> None:
        self.outside, self.width, self.buffer, self.copyto = outside, width, buffer, copyto
        self.fetched: int | None = None

    def put(self, place: int, source: Any) -> None:
        """Begins to move a tape out; its arrays may change at once."""
        self.outside.wait()
        self.fetched = None
        self.copyto(self.buffer[: source.size], source)
        self.outside.write(place * self.width, source.size)

    def get(self, place: int, target: Any) -> None:
        """A tape, which best has been asked for by `ahead`."""
        if self.fetched != place:
            self.ahead(place, target.size)
        self.outside.wait()
        self.copyto(target, self.buffer[: target.size])
        self.fetched = None

    def ahead(self, place: int, size: int) -> None:
        """Begins to fetch a tape."""
        self.fetched = place
        self.outside.read(place * self.width, size)
