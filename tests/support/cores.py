"""The cores that the tests were given, of which each process that shares the tests keeps to its share.

Threads that wait for each other then never wait for another process, whose turn on a core is a thousand times as long
as what they do between two meetings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.system.cores import cores

CORES = sorted(cores())


def keep_to_share() -> None:
    """In a process that shares the tests with others; on a system that allows it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        place, processes = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.sched_setaffinity(0, CORES[place::processes] or {CORES[place % len(CORES)]})


@contextmanager
def on_all() -> Iterator[None]:
    """Threads that are started meanwhile run at the same time, as far as there are cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
