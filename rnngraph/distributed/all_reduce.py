"""The all-reduce of gradients: processes add up their parts of a bucket of entries, and give the means to all.

It asks for what MPI has, through the communicators of `mpi`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from msgspec import Struct

from rnngraph.distributed.processes import mean_with, own, owner
from rnngraph.system.interrupts import held

if TYPE_CHECKING:
    from rnngraph.distributed.processes import Array, Gradients

BUCKET, PART = 1 << 20, 1 << 14
"""So many entries of a gradient travel at a time: little memory, and each is added up while the cache has it. Of a
bucket a process has at least such a part, so that a message is worth its latency."""
AHEAD = 2
"""So many means travel at once, so that one goes out while another is added up."""


def bucket(processes: int) -> int:
    """Entries of a bucket."""
    return max(BUCKET, PART * processes)


def part(entries: int, processes: int) -> int:
    """Entries of a bucket that a process adds up, at most, where there are so many entries in all."""
    return -(-min(bucket(processes), entries) // processes)


class Communicators(Protocol):
    """Those of `mpi.MpiProcesses`, from which gradients go."""

    comm: Any
    line: Any
    rank: int
    size: int
    sent: int

    def unbroken(self) -> AbstractContextManager[None]: ...


class Bucket(Struct, frozen=True):
    """Entries that travel together: of those from `start` to `stop` our part comes to `room` (rounds, processes, part),
    from each shard by a request of `coming`."""

    start: int
    stop: int
    room: Array
    coming: list[Any]

    def wait(self) -> None:
        while self.coming:
            self.coming.pop().Wait()


class Exchange:
    """The fold of several processes. Each adds up its part of the entries for all shards, in their order, and gives the
    mean of it to all: of n entries each process sends about n for a shard, and n of the mean.

    Entries lie in the order in which their gradients are made, as seen in the first update, and a bucket leaves when it
    is full: while the backward pass makes the next one. All processes must ask MPI for the same in the same order,
    so that where one fails it sends as much of no use as others have sent. While one bucket is added up, the next one
    comes in, and the mean of the one before goes out.
    """

    travels = True

    def __init__(self, among: Communicators, shards: int) -> None:
        self.among, self.shards = among, shards
        self.held_by = [own(shards, among.size, rank) for rank in range(among.size)]
        self.mine = self.held_by[among.rank]
        self.rounds = max(map(len, self.held_by))
        self.first: dict[int, dict[str, Array]] = {}
        """Our gradients before all know the shapes, in the first update."""
        self.order: dict[str, None] = {}
        """Their names as they were made."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.places: dict[str, slice] = {}
        self.ours: Array = np.empty((0, 0))
        self.buckets: list[Bucket] = []
        self.means: Array = np.empty((0, 0))
        self.begin()

    def begin(self) -> None:
        self.there = set[str]()
        """Whose gradients of the shard that is under way are in their place."""
        self.left = 0
        """So many buckets have left, of all turns."""

    def put_some(self, shard: int, gradients: Gradients) -> None:
        if not self.shapes:
            self.order |= dict.fromkeys(gradients)
            return
        row = self.ours[shard - self.mine.start]
        for name, gradient in gradients.items():
            row[self.places[name]] = np.reshape(gradient, -1)
        self.there |= gradients.keys()
        full = next((place.start for name, place in self.places.items() if name not in self.there), row.size)
        self._leave(shard - self.mine.start, full)

    def put(self, shard: int, gradients: Gradients, weight: float) -> None:
        if gradients and self.shapes:
            self.put_some(shard, {name: g for name, g in gradients.items() if name not in self.there})
        elif gradients:
            self.first[shard] = {name: np.array(gradient) for name, gradient in gradients.items()}
        self.there.clear()

    def end(self, left: int) -> None:
        """Lets as many buckets leave as have somewhere, and waits until all are over."""
        while self.left < left:
            self._send()
        for bucket in self.buckets:
            bucket.wait()
        self.left = 0

    def mean(self, numbers: Array) -> tuple[Array, Gradients]:
        """`numbers` have in column 0 whether a shard has gradients, in column 1 how much it counts."""
        with self.among.unbroken():
            everyone = self._numbers(numbers)
            if not everyone[:, 0].any():
                return everyone, {}
            self._learn()
            self._leave(self.rounds - 1, self.ours.shape[1])
            self._exchange(everyone)
            self.left = 0
        return everyone, {name: self.ours[0, self.places[name]].reshape(shape) for name, shape in self.shapes.items()}

    def _learn(self) -> None:
        """In the first update all hear from the first process that has gradients what there is."""
        if self.shapes:
            return
        seen = self.among.comm.allgather(self._seen())
        self.shapes, order, dtype = next(one for one in seen if one[0])
        self._allocate(order, dtype)
        for shard, gradients in self.first.items():
            for name in order:
                self.put_some(shard, {name: gradients.pop(name)})
            self.there.clear()

    def _seen(self) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...], str]:
        """The shapes of our gradients by name, the names as they were made, and the type of all."""
        found = next(iter(self.first.values()), {})
        shapes = {name: gradient.shape for name, gradient in found.items()}
        order = tuple(dict.fromkeys((*self.order, *found)))
        return shapes, order, next((gradient.dtype.str for gradient in found.values()), "")

    def _allocate(self, order: Sequence[str], dtype: str) -> None:
        """Memory for gradients, and for what comes in of our part."""
        entries, size, processes = 0, bucket(self.among.size), self.among.size
        for name in order:
            self.places[name] = slice(entries, entries + prod(self.shapes[name]))
            entries = self.places[name].stop
        self.ours = np.zeros((len(self.mine), entries), dtype)
        for start in range(0, entries, size):
            stop = min(start + size, entries)
            mine = len(own(stop - start, processes, self.among.rank))
            self.buckets.append(Bucket(start, stop, np.empty((self.rounds, processes, mine), dtype), []))
        self.means = np.empty((AHEAD, part(entries, processes)), dtype)

    def _numbers(self, ours: Array) -> Array:
        size, columns = self.among.size, ours.shape[1]
        everyone = np.empty((self.shards, columns))
        counts = [len(own(self.shards, size, rank)) * columns for rank in range(size)]
        self.among.comm.Allgatherv(np.ascontiguousarray(ours), [everyone, counts])
        self.among.sent += ours.nbytes * (size - 1)
        return everyone

    def _leave(self, turn: int, full: int) -> None:
        """Sends all buckets of the turns before, and of this one those whose entries, so many in all, are there. A
        signal waits meanwhile: what MPI was asked for must be known here."""
        all = len(self.buckets)
        while self.left < (turn + 1) * all and (self.left < turn * all or self.buckets[self.left % all].stop <= full):
            with held(), self.among.unbroken():
                self._send()

    def _send(self) -> None:
        """Gives each process its part of the next bucket of our shard of the turn, if we have one."""
        turn, place = divmod(self.left, len(self.buckets))
        bucket = self.buckets[place]
        size, rank, there = self.among.size, self.among.rank, turn < len(self.mine)
        lengths, places = self._parts(bucket.stop - bucket.start)
        sends = lengths if there else [0] * size
        row = self.ours[turn, bucket.start : bucket.stop] if there else self.ours[:0].reshape(-1)
        counts = [lengths[rank] if turn < len(theirs) else 0 for theirs in self.held_by]
        given, got = [row, (sends, places)], [bucket.room[turn], (counts, [r * lengths[rank] for r in range(size)])]
        bucket.coming.append(self.among.line.Ialltoallv(given, got))
        self.left += 1
        self.among.sent += (sum(sends) - sends[rank]) * row.itemsize

    def _exchange(self, numbers: Array) -> None:
        """The mean of a bucket takes the place of our first shard in it, which has left."""
        going = deque[Any]()
        for turn, bucket in enumerate(self.buckets):
            if len(going) == AHEAD:
                going.popleft().Wait()
            mean = self.means[turn % AHEAD, : bucket.room.shape[2]]
            going.append(self._added(bucket, mean, numbers))
        for request in going:
            request.Wait()

    def _added(self, bucket: Bucket, mean: Array, numbers: Array) -> Any:
        """Adds up our part once it is there, and gives the mean to all."""
        bucket.wait()
        self._add(bucket, mean, numbers)
        self.among.sent += mean.nbytes * (self.among.size - 1)
        whole = self.ours[0, bucket.start : bucket.stop]
        return self.among.line.Iallgatherv(mean, [whole, self._parts(whole.size)])

    def _parts(self, entries: int) -> tuple[list[int], list[int]]:
        """How many entries of a bucket each process adds up, and where they begin."""
        cuts = [own(entries, self.among.size, rank) for rank in range(self.among.size)]
        return [len(cut) for cut in cuts], [cut.start for cut in cuts]

    def _add(self, bucket: Bucket, mean: Array, numbers: Array) -> None:
        weight, first = 0.0, True
        for shard in range(self.shards):
            there, counts = bool(numbers[shard, 0]), float(numbers[shard, 1])
            if not there:
                continue
            holder = owner(shard, self.shards, self.among.size)
            found = bucket.room[shard - self.held_by[holder].start, holder]
            if first:
                np.copyto(mean, found)
            else:
                mean_with(mean, weight, found, counts)
            weight, first = weight + counts, False
