"""Kernels over whole arrays that belong to no program, as an optimiser's step: every thread takes its part of each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from rnngraph.kernels.cpu import table_interpreter as walk
from rnngraph.kernels.cpu.modules import Addresses
from rnngraph.kernels.cpu.target import CpuTarget
from rnngraph.kernels.cpu.threads import pool
from rnngraph.kernels.kernel import Kernel

WORTH = 4_000_000
"""Bytes that pay for telling other threads."""


def run(kernel: Kernel, addresses: Addresses, jobs: Sequence[tuple[Sequence[int], int]], bytes: int) -> None:
    """Runs one kernel for each job, its arguments and its number of columns; `bytes` are read and written in all.

    Columns are cut at whole vectors, so that threads share no entries.
    """
    machine: CpuTarget = addresses.machine
    threads = machine.threads if bytes >= WORTH else 1
    address, tables = addresses.of(kernel), []
    kept: list[array[int]] = []
    arguments = [_kept(given, kept) for given, _ in jobs]
    for thread in range(threads):
        words = array("q", [0] * walk.WORDS) * len(jobs)
        for start, at, (_, columns) in zip(range(0, len(words), walk.WORDS), arguments, jobs, strict=True):
            words[start + walk.KERNEL], words[start + walk.ARGS] = address, at
            words[start + walk.COL0], words[start + walk.COL1] = _part(columns, thread, threads, machine.width)
        tables.append((_kept(words, kept), len(jobs), _kept([0, 0, 0], kept)))
    pool(threads).run(tables)


def _part(columns: int, thread: int, threads: int, width: int) -> tuple[int, int]:
    parts = -(-columns // width)
    first, last = parts * thread // threads, parts * (thread + 1) // threads
    return first * width, min(last * width, columns)


def _kept(words: Sequence[int] | array[int], kept: list[array[int]]) -> int:
    made = words if isinstance(words, array) else array("q", words)
    kept.append(made)
    return made.buffer_info()[0]
