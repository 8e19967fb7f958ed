"""Processes that talk by MPI (mpi4py): the one file that knows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from msgspec import Struct

from rnngraph.diagnostics.errors import CannotDo, UserError, told_of
from rnngraph.distributed import communication_volume
from rnngraph.distributed.failures import Failure, NoMpi, failure_of, known_to_all, raised_by_all
from rnngraph.distributed.processes import Processes, mean_with, own, owner
from rnngraph.distributed.spawn import mpiexec, started
from rnngraph.system.cores import cores
from rnngraph.system.interrupts import held, unheard_inside

if TYPE_CHECKING:
    from rnngraph.distributed.processes import Array, Gradients

T = TypeVar("T")
INSTALL = "`pip install 'rnngraph[mpi]'`, or mpi4py built with the MPI of this cluster"


def world(size: int) -> Processes:
    """All processes that a launcher started. CannotDo where MPI is missing, or sees others than the launcher did."""
    found = of(_mpi().COMM_WORLD)
    if found.size != size:
        raise CannotDo(
            f"the launcher started {size} processes, but the MPI of mpi4py ({library()}) sees {found.size}",
            "E733",
            "launcher and mpi4py belong to different MPIs: use the `mpiexec` of that one",
        )
    return found


def of(comm: Any) -> Processes:
    """The processes of a communicator of mpi4py. The cores and GPUs of a machine are shared by those that run on it."""
    if not isinstance(comm, _mpi().Comm):
        raise UserError(f"`comm` should be a communicator of mpi4py, got {told_of(comm)}", "E733", "as MPI.COMM_WORLD")
    made = MpiProcesses(comm.Dup(), comm.Dup())
    _share_machine(made.comm)
    return made


def library() -> str:
    """The MPI that mpi4py runs on: its name and version."""
    lines = _mpi().Get_library_version().split("\n")
    return " ".join(lines[0].replace("Version:", "").split()).rstrip(",")


def greeting() -> None:
    """What one of the processes that `heard` starts says."""
    world = _mpi().COMM_WORLD
    told = world.allgather(world.rank)
    if world.rank == 0:
        print(f"{library()}: {len(told)}")


def heard(seconds: float = 20.0) -> tuple[str, bool]:
    """The MPI that mpi4py finds, or what is wrong, and whether two processes of its `mpiexec` can talk."""
    launcher = mpiexec()
    if launcher is None:
        return "there is no `mpiexec`", False
    try:
        done = started(2, "from rnngraph.distributed.mpi import greeting as g; g()", seconds=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`{launcher}` does not work: {type(error).__name__}", False
    name, _, count = done.stdout.strip().rpartition(": ")
    if count == "2":
        return f"{name}, `{launcher}`; two processes can talk", True
    return f"two processes of `{launcher}` cannot talk" + (f" by {name}" if name else ""), False


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except ImportError:
        raise NoMpi("several processes need mpi4py, which is not installed", "E733", INSTALL) from None
    except Exception as error:
        raise NoMpi(f"mpi4py finds no MPI that works: {str(error).splitlines()[0]}", "E733", INSTALL) from None
    return MPI


def _share_machine(comm: Any) -> None:
    """As many threads for this process as are its part of the cores, and a GPU of its own, unless the user has said
    which."""
    here = comm.Split_type(_mpi().COMM_TYPE_SHARED)
    own = cores()
    there = set[int]().union(*here.allgather(own))
    os.environ.setdefault("RNNGRAPH_THREADS", str(max(1, min(len(own), len(there) // here.size))))
    os.environ.setdefault("RNNGRAPH_DEVICE", str(here.rank))
    here.Free()


class MpiProcesses:
    """Those of two communicators that nobody else uses: one for questions and what follows from them, and a `line` for
    gradients, which go out at their own time. `sent` counts the bytes that this one gives to others: its part of each
    exchange, once for each process that gets it."""

    def __init__(self, comm: Any, line: Any) -> None:
        self.comm, self.line, self.rank, self.size = comm, line, comm.rank, comm.size
        self.sent = 0
        self.exchange: Exchange | None = None

    def agreed(self, work: Callable[[], T]) -> T:
        return cast(T, self._agreed(work, lambda result: result))

    def gathered(self, work: Callable[[], T]) -> list[T]:
        return cast(list[T], self._agreed(work, self.comm.allgather))

    def of_first(self, work: Callable[[], T]) -> T:
        return cast(T, self._agreed(lambda: work() if self.rank == 0 else None, self.comm.bcast, for_all=True))

    def free(self) -> None:
        self.comm.Free()
        self.line.Free()

    def close(self) -> None:
        with held():
            self.free()
            _mpi().Finalize()

    def fold(self, shards: int) -> Exchange:
        self.exchange = Exchange(self, shards)
        return self.exchange

    def _agreed(self, work: Callable[[], Any], then: Callable[[Any], Any], for_all: bool = False) -> Any:
        """What `then` makes of what all have done; with `for_all` one did it. Signals are heard in the work alone, so
        that none leaves while others wait for it, and no longer where all have failed: one that came later would take
        the place of the error, and this process would ask again, while the others have left."""
        failure: BaseException | None = None
        result = None
        with held() as heard:
            try:
                result = heard(work)
            except BaseException as error:
                if known_to_all(error):
                    raise
                failure = error
            with self.unbroken():
                failures = self._failures(None if failure is None else failure_of(failure, for_all))
                if not failures:
                    return then(result)
            unheard_inside()
            raise raised_by_all(failure or RuntimeError(), failures, self.size) from failure

    def _failures(self, failure: Failure | None) -> Mapping[int, Failure]:
        """What went wrong, by rank. Where something did, what some have begun to send is sent to its end by all."""
        states = np.zeros(self.size, np.int8)
        self.comm.Allgather(np.array([failure is not None], np.int8), states)
        self.sent += self.size - 1
        if not states.any():
            return {}
        told = self.comm.allgather((failure, self.exchange.left if self.exchange else 0))
        if self.exchange:
            self.exchange.end(max(left for _, left in told))
        return {rank: one for rank, (one, _) in enumerate(told) if one is not None}

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Where something fails while others wait for this process, all are ended."""
        try:
            yield
        except BaseException as error:
            with suppress(OSError, ValueError):
                said = f"error: rank {self.rank}: {type(error).__name__}: {error} [E735]"
                print(said, file=sys.__stderr__, flush=True)
            self.comm.Abort(1)


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

    def __init__(self, among: MpiProcesses, shards: int) -> None:
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
        entries, size, processes = 0, communication_volume.bucket(self.among.size), self.among.size
        for name in order:
            self.places[name] = slice(entries, entries + prod(self.shapes[name]))
            entries = self.places[name].stop
        self.ours = np.zeros((len(self.mine), entries), dtype)
        for start in range(0, entries, size):
            stop = min(start + size, entries)
            part = len(own(stop - start, processes, self.among.rank))
            self.buckets.append(Bucket(start, stop, np.empty((self.rounds, processes, part), dtype), []))
        known = communication_volume.Exchange(entries, self.ours.itemsize, self.shards, processes)
        self.means = np.empty((communication_volume.AHEAD, known.part), dtype)

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
            if len(going) == communication_volume.AHEAD:
                going.popleft().Wait()
            mean = self.means[turn % communication_volume.AHEAD, : bucket.room.shape[2]]
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
