"""What training over several processes takes beside a run: memory for the exchange, and bytes that are sent."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rnngraph.distributed import all_reduce
from rnngraph.distributed.all_reduce import bucket
from rnngraph.distributed.processes import own

STATE, NUMBERS = 1, 3
"""Bytes in which a process says whether it has failed, and float64 numbers of each shard."""


class Volume(Struct, frozen=True):
    """What one update exchanges: `entries` of the gradient with so many bytes each, of `shards` over `processes`."""

    entries: int
    itemsize: int
    shards: int
    processes: int

    def sent(self, rank: int) -> int:
        """Bytes that a process gives to others in an update."""
        others, shards = self.processes - 1, len(own(self.shards, self.processes, rank))
        found = others * (STATE + 8 * NUMBERS * shards)
        for size in self.buckets():
            found += shards * self.given(size, rank) + len(own(size, self.processes, rank)) * others * self.itemsize
        return found

    @property
    def messages(self) -> int:
        """Messages that a process gives to others in an update: each exchange is one to each of them. There are two
        before the gradients, and for each bucket one with each of its shards and one with the mean."""
        buckets = -(-self.entries // bucket(self.processes))
        return (self.processes - 1) * (2 + buckets * (self.rounds + 1))

    def held(self, rank: int) -> int:
        """Bytes of a process's own shards, of what comes in, and of means that go out."""
        shards, processes = len(own(self.shards, self.processes, rank)), self.processes
        mine = sum(len(own(size, processes, rank)) for size in self.buckets())
        return (shards * self.entries + self.rounds * processes * mine + all_reduce.AHEAD * self.part) * self.itemsize

    @property
    def part(self) -> int:
        """Entries of a bucket that a process adds up, at most."""
        return all_reduce.part(self.entries, self.processes)

    @property
    def rounds(self) -> int:
        """The most shards that a process has."""
        return -(-self.shards // self.processes)

    def given(self, size: int, rank: int) -> int:
        """Bytes of a bucket of so many entries of one shard that a process gives to those who add them up."""
        return (size - len(own(size, self.processes, rank))) * self.itemsize

    def buckets(self) -> Iterator[int]:
        """The entries of each bucket."""
        size = bucket(self.processes)
        yield from (min(size, self.entries - start) for start in range(0, self.entries, size))
