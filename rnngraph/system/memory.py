"""What this process may still take of the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_OF_ONE = {"memory.max": ("memory.current", "inactive_file"),
           "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file")}  # fmt: skip
"""The file of a limit, that of what is used, and what of it the system gives back by itself (both versions)."""

LITTLE = 1 << 16
"""Bytes that are there in any case: the system is only asked for more, as that takes longer than a small program."""


def has_room(bytes: int) -> bool:
    """Whether the address space has so many bytes more. They are asked for and given back: quicker than `free_bytes`
    by far, which reads files of the system."""
    import mmap

    try:
        mmap.mmap(-1, bytes).close()
    except (OSError, MemoryError):
        return False
    return True


def free_bytes() -> int:
    """Bytes of memory that can still be had: of the machine, of the address space, of the container."""
    import psutil

    available: int = psutil.virtual_memory().available
    return max(0, min([available, *_of_address_space(), *_of_container()]))


def _of_address_space() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    if sys.platform == "win32":
        return
    import resource

    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms


def _of_container() -> Iterator[int]:
    """What a control group of Linux leaves."""
    for folder in dict.fromkeys(_folders()):
        for limit, (used, given_back) in _OF_ONE.items():
            with suppress(OSError, ValueError):  # `max` is not a number: there is no limit
                most = int((folder / limit).read_text())
                told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield most - int((folder / used).read_text()) + int(told.get(given_back, 0))


def _folders() -> Iterator[Path]:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            if kind in ("", "memory"):
                yield CGROUP / kind / path.lstrip("/")
    yield from (CGROUP, CGROUP / "memory")
