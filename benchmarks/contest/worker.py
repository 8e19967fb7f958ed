"""The process of one contestant: `python -m contest.worker NAME`, a line of JSON in, a line out.

`{"contest": [CELL, TASK, SIZE], "results": FILE}` makes it ready, runs once and writes the results into the file;
`{"calls": N}` asks for the median seconds of one call.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from contest.cells import CELLS
from contest.contestants import CONTESTANTS
from contest.problem import Absent, Size, problem


def timed(run: Callable[[], Any], count: int) -> float:
    """The median, after one call that is not counted: others have used the caches since the last."""
    run()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def ready(name: str, cell: str, task: str, size: str, results: str) -> tuple[Callable[[], Any] | None, dict[str, Any]]:
    """The call that is to be timed, and what to say of the first: its seconds, or why there is none."""
    p = problem(CELLS[cell], Size(*map(int, size.split(","))))
    try:
        began = time.perf_counter()
        run, read = CONTESTANTS[name](p, task, cell)
        found = run()
        first = time.perf_counter() - began
    except Absent as reason:
        return None, {"absent": str(reason)}
    np.savez(results, **{n: np.asarray(a) for n, a in read(found).items()})
    del found
    return run, {"first": first, "once": timed(run, 1)}


def main(name: str) -> None:
    if hasattr(os, "sched_setaffinity"):  # some libraries take every core that they see
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])])
    run: Callable[[], Any] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "contest" in asked:
            run = None  # what the contest before held goes first
            run, answer = ready(name, *asked["contest"], asked["results"])
        else:
            assert run is not None
            answer = {"seconds": timed(run, asked["calls"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
