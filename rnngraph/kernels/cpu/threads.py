"""Helping threads: they wait inside compiled code, and sleep when there has been nothing to do for a while."""

from __future__ import annotations

import math
import os
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import CDLL, c_int64, c_void_p
from functools import cache

from rnngraph.kernels.cpu import table_interpreter as walk
from rnngraph.kernels.cpu.machine_code import module
from rnngraph.system.cores import cores_given


def available() -> int:
    """The number of threads to use: one for each core given to us, or fewer where `RNNGRAPH_THREADS` or
    `OMP_NUM_THREADS` says so. Threads wait for each other, so more than there are cores would only lose."""
    cores = cores_given()
    for name in ("RNNGRAPH_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isascii() and given.isdigit() and int(given):
            return min(int(given), cores)
    return cores


class Walker:
    """The compiled functions that walk tables."""

    def __init__(self) -> None:
        declared = set[str]()
        text = walk.write(declared)
        self.module = module(frozenset(declared), text, all_passes=True)
        self.start = self.module.function("start", c_void_p)
        self.serve = self.module.function("serve", c_void_p, c_int64, c_int64, returns=c_int64)


@cache
def walker() -> Walker:
    return Walker()


class Words:
    """64-bit numbers in one place, on cache lines of their own, for compiled code and for Python."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.room = array("q", [0] * (len(numbers) + 8))
        self.first = -self.room.buffer_info()[0] % 64 // 8
        self.address = self.room.buffer_info()[0] + 8 * self.first
        self.write(0, numbers)

    def write(self, start: int, numbers: Sequence[int]) -> None:
        start += self.first
        self.room[start : start + len(numbers)] = array("q", numbers)

    def __getitem__(self, i: int) -> int:
        return self.room[self.first + i]

    def __setitem__(self, i: int, number: int) -> None:
        self.room[self.first + i] = number


def shared_words(threads: int) -> Words:
    """What threads share."""
    words = Words([0] * (walk.OWN0 + walk.OWN * threads))
    words[walk.THREADS] = threads
    words[walk.LOOKS] = walk.SPINS if threads <= cores_given() else 0
    return words


Job = tuple[int, int, int]
"""What a thread walks: a table, its number of entries, and where its places are kept, as addresses."""


def give(shared: Words, thread: int, job: Job) -> None:
    """Puts a job where a thread will look for it."""
    shared.write(walk.OWN0 + walk.OWN * thread, job)


def allowed(thread: int) -> set[int]:
    """The cores that a thread may run on; none where the system does not tell."""
    return os.sched_getaffinity(thread) if hasattr(os, "sched_getaffinity") else set()


def allow(thread: int, cores: set[int]) -> None:
    """Lets a thread run on these cores, if there are any."""
    if cores:
        with suppress(OSError):  # a system may keep it where it is
            os.sched_setaffinity(thread, cores)


def core_here() -> int:
    """The core that this thread runs on; -1 where the system does not tell."""
    return _sched_getcpu()()


@cache
def _sched_getcpu() -> Callable[[], int]:
    try:
        found: Callable[[], int] = CDLL(None).sched_getcpu
    except (OSError, TypeError, AttributeError):
        return lambda: -1
    return found


SOON = 0.01
"""Seconds after a job in which another one may be one of many."""


class Pool:
    """Threads for one process. One job runs at a time."""

    def __init__(self, threads: int) -> None:
        self.threads, self.process = threads, os.getpid()
        self.shared = shared_words(threads)
        self.asleep = [False] * threads
        self.bells = [threading.Semaphore(0) for _ in range(threads)]
        self.names = [0] * threads
        self.cores = [set[int]() for _ in range(threads)]
        self.elsewhere = [set[int]() for _ in range(threads)]
        self.job, self.busy, self.ended = 0, threading.Lock(), -math.inf
        for i in range(1, threads):
            threading.Thread(target=self.serve, args=(i,), daemon=True, name=f"rnngraph-{i}").start()

    def serve(self, thread: int) -> None:
        walks, seen = walker(), 0
        self.names[thread] = threading.get_native_id()
        while True:
            seen = walks.serve(self.shared.address, thread, seen)
            self.asleep[thread] = True
            if self.shared[walk.JOB] == seen:
                self.bells[thread].acquire()
                allow(self.names[thread], self.cores[thread])
            self.asleep[thread] = False

    def wake(self, thread: int) -> None:
        """Systems like to wake a thread on the core of who wakes it, where the two take turns for milliseconds. So
        until it is awake it may run on its other cores alone."""
        cores = allowed(self.names[thread])
        if cores != self.elsewhere[thread]:  # else it has not come so far since it was woken last
            self.cores[thread] = cores
        self.elsewhere[thread] = self.cores[thread] - {core_here()}
        allow(self.names[thread], self.elsewhere[thread])
        self.bells[thread].release()

    def run(self, jobs: Sequence[Job], short: bool = False) -> None:
        """Walks one table in each thread; a single one in the first thread, which the others help with its forks.

        To wake a thread takes as long as a `short` job: so for a single one nobody is woken, only for one of many.
        """
        forks = len(jobs) < self.threads
        with self.busy:
            wakes = not short or time.perf_counter() < self.ended + SOON
            for i, job in enumerate(jobs):
                give(self.shared, i, job)
            self.shared[walk.COUNTER] = self.shared[walk.DONE] = 0
            if forks:
                self.shared[walk.FORK] = 0
            self.job += 2
            self.shared[walk.JOB] = self.job + forks  # before anyone is looked at: who falls asleep now looks once more
            for i in range(1, self.threads):
                if wakes and self.asleep[i]:
                    self.wake(i)
            walker().start(self.shared.address)
            self.ended = time.perf_counter()


_pools: dict[int, Pool] = {}


def pool(threads: int) -> Pool:
    """The threads of this process; a child of a fork starts its own."""
    found = _pools.get(threads)
    if found is None or found.process != os.getpid():
        found = _pools[threads] = Pool(threads)
    return found
