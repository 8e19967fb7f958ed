"""Threads of compiled kernels one after another: what they do between two meetings must not depend on who is first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ctypes import CFUNCTYPE, c_int64, c_void_p
from itertools import zip_longest

from rnngraph.kernels.cpu import table_interpreter as walk
from rnngraph.kernels.cpu.threads import Job, walker

KERNEL = CFUNCTYPE(None, c_void_p, *[c_int64] * 4, c_void_p)
Order = Callable[[Sequence[int]], Sequence[int]]


def one_by_one(order: Order) -> Callable[[int, Sequence[Job], bool], None]:
    """What shares jobs out (`native_execution._share_out`), with one thread only: each does its part up to the next
    meeting, in this order. AssertionError where one meets others that are through. Of a fork each task goes on by one
    kernel, in this order."""

    def share_out(threads: int, jobs: Sequence[Job], short: bool = False) -> None:
        parts = [_walk(job, order) for job in jobs]
        while True:
            over = {i: not any(parts[i]) for i in order(range(len(jobs)))}
            assert len(set(over.values())) == 1, "not all threads come to this meeting"
            if over[0]:
                return

    return share_out


def _words(address: int, count: int) -> Sequence[int]:
    return (c_int64 * count).from_address(address)


def _walk(job: Job, order: Order) -> Iterator[bool]:
    """As `walk` does it; after each kernel, and true at each meeting."""
    table, count, places = job
    for i in range(count):
        at = table + 8 * walk.WORDS * i
        entry = _words(at, walk.WORDS)
        if entry[walk.KERNEL]:
            _run(at, entry, places)
        elif entry[walk.LOOP]:
            yield from _loop(entry, places, order)
        else:
            yield from _fork(entry[walk.BODY], order)
        yield bool(entry[walk.BARRIER])


def _fork(address: int, order: Order) -> Iterator[bool]:
    """All tasks at once, a kernel of each in turn."""
    words = walk.TASK_WORDS
    at = range(walk.TASK0, walk.TASK0 + words * _words(address, walk.TASK0)[walk.TASKS], words)
    tasks = [_words(address + 8 * i, words) for i in order(at)]
    for _ in zip_longest(*(_walk((table, count, places), order) for table, count, places in tasks)):
        yield False


def _run(at: int, entry: Sequence[int], places: int) -> None:
    module = walker().module
    args = entry[walk.ARGS]
    moves = module.function("moves", c_void_p, c_int64, c_void_p, c_void_p)
    moves(args, entry[walk.MOVES], entry[walk.MOVING], places)
    if entry[walk.JUMP]:
        module.function("through_list", c_void_p, c_void_p)(at, args)
    else:
        ranges = (entry[word] for word in (walk.ROW0, walk.ROW1, walk.COL0, walk.COL1))
        KERNEL(entry[walk.KERNEL])(args, *ranges, None)


def _loop(entry: Sequence[int], places: int, order: Order) -> Iterator[bool]:
    loop = _words(entry[walk.LOOP], walk.LOOP_WORDS)
    steps, where = loop[walk.STEPS], _words(places + 8 * loop[walk.PLACE], 3)
    idle = bool(loop[walk.SINCE])
    for n in range(steps):
        where[:] = [steps - 1 - n if loop[walk.REVERSE] else n, n & 1, n & 1 ^ 1]  # type: ignore[index]
        if loop[walk.SINCE] and idle:
            idle = _over(loop, walk.SINCE, places)
        if idle:
            yield from _walk((loop[walk.REST], loop[walk.REST_COUNT], places), order)
            continue
        yield from _walk((entry[walk.BODY], entry[walk.COUNT], places), order)
        if loop[walk.UNTIL]:
            idle = _over(loop, walk.UNTIL, places)


def _over(loop: Sequence[int], look: int, places: int) -> bool:
    module = walker().module
    address, count, moves = loop[look : look + 3]
    module.function("moves", c_void_p, c_int64, c_void_p, c_void_p)(address, count, moves, places)
    finished = module.function("finished", c_void_p, c_int64, c_int64, c_int64, returns=c_int64)
    return bool(finished(_words(address, 1)[0], *(loop[word] for word in (walk.FIRST, walk.LAST, walk.STEP))))
