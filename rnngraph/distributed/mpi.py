"""Processes that talk by MPI (mpi4py): the one file that imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import numpy as np

from rnngraph.diagnostics.errors import CannotDo, UserError, told_of
from rnngraph.distributed.all_reduce import Exchange
from rnngraph.distributed.failures import Failure, NoMpi, failure_of, known_to_all, raised_by_all
from rnngraph.distributed.processes import Processes
from rnngraph.distributed.spawn import mpiexec, started
from rnngraph.system.cores import cores
from rnngraph.system.interrupts import held, unheard_inside

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
