"""What training over several processes takes beside a run: memory for the exchange, and bytes that are sent."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rnngraph.distributed.processes import own

BUCKET, PART = 1 << 20, 1 << 14
"""So many entries of a gradient travel at a time: little memory, and each is added up while the cache has it. Of a
bucket a process has at least such a part, so that a message is worth its latency."""
AHEAD = 2
"""So many means travel at once, so that one goes out while another is added up."""
STATE, NUMBERS = 1, 3
"""Bytes in which a process says whether it has failed, and float64 numbers of each shard."""


def bucket(processes: int) -> int:
    """Entries of a bucket."""
    return max(BUCKET, PART * processes)


class Exchange(Struct, frozen=True):
    """The exchange of one update: `entries` of the gradient with so many bytes each, of `shards` over `processes`."""

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
        return (shards * self.entries + self.rounds * processes * mine + AHEAD * self.part) * self.itemsize

    @property
    def part(self) -> int:
        """Entries of a bucket that a process adds up, at most."""
        return -(-min(bucket(self.processes), self.entries) // self.processes)

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
