"""Runs what is looked for by seeds, from the command line: `python -m tests.support.MODULE FIRST LAST [KIND]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable


def main(what: str, findings: Callable[..., Iterable[str]]) -> int:
    """Tells every finding of the seeds from FIRST up to LAST, and how many there were; the exit code."""
    first, last, *kind = sys.argv[1:]
    seeds, began, count = range(int(first), int(last)), time.perf_counter(), 0
    for seed in seeds:
        try:
            found = list(findings(seed, *kind))
        except Exception as error:  # one that fails says no less than one that is wrong
            found = [f"{type(error).__name__}: {error}"]
        for text in found:
            count += 1
            print(f"seed {seed}: {text}", flush=True)
    print(f"{len(seeds)} {what}, {count} findings, {time.perf_counter() - began:.0f} s")
    return 1 if count else 0
