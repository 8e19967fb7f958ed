"""The cores that this process may run on."""

from __future__ import annotations

import os


def cores() -> set[int]:
    """By their numbers."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def cores_given() -> int:
    return len(cores())
