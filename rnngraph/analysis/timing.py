"""Times of runs: contestants take turns, and what is told of each is a median with the interval that it lies in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from statistics import median
from typing import Any

from rnngraph.analysis.results import Spread

OUTSIDE = 0.025
"""How likely the true median is below the interval at most, and above it."""


def seconds(run: Callable[[], Any]) -> float:
    """Of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def repeated(run: Callable[[], Any], limit: float) -> list[float]:
    """The seconds of each call, of three at least, made for about so many seconds."""
    times: list[float] = []
    end = time.perf_counter() + limit
    while len(times) < 3 or time.perf_counter() < end:
        times.append(seconds(run))
    return times


def in_turns(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Spread]:
    """The times of each, in seconds: after a round that is not told, all run once in each of so many rounds.

    So what slows the machine for a while slows all of them. Every other round goes backwards.
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(-1, repeats):
        for name in list(runs)[:: 1 if i % 2 else -1]:
            took = seconds(runs[name])
            if i >= 0:
                found[name].append(took)
    return {name: spread(times) for name, times in found.items()}


def spread(times: Sequence[float]) -> Spread:
    """The median, and the interval between two of the times in which the true one lies with 95 % of likelihood.

    It makes no assumption on how times are distributed (W. J. Conover, "Practical nonparametric statistics", section
    3.2): of so many, each is below the true median with a half. Fewer than six times give their whole range.
    """
    ordered, skipped = sorted(times), _skipped(len(times))
    return Spread(median(ordered), ordered[skipped], ordered[-1 - skipped])


def _skipped(count: int) -> int:
    """The largest rank of so many that at most `OUTSIDE` speaks against: that at most so many are below the median."""
    below, chance = 0.0, -count * log(2)  # the logarithm, as it may be smaller than any number
    for rank in range(count):
        below += exp(chance)
        if below > OUTSIDE:
            return max(0, rank - 1)
        chance += log((count - rank) / (rank + 1))
    return 0
