"""How fast the cores are: fused multiply-adds of numbers that never leave the registers, on all threads at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int64, c_void_p
from functools import cache
from threading import Barrier

import numpy as np

from rnngraph.kernels.cpu.llvm_text import Function
from rnngraph.kernels.cpu.machine_code import module, vector_bytes
from rnngraph.kernels.cpu.vectors import Lanes

CHAINS = 12
"""So many sums grow side by side: each waits for its own last term, and two units of a core want one in every cycle.
With both factors they fit into 16 registers."""

UNROLLED = 8
"""Terms of each sum in one turn of the loop, so that counting takes no time."""

LEAST = 0.02
"""Seconds of a core that a measurement takes at least."""


def peak(dtype: str, threads: int, times: int = 5) -> float:
    """Floating-point operations per second of all threads together: of each the best of several measurements.

    A multiplication and an addition are two operations. Times are those of the cores: other work on them is left out.
    """
    run, width = _compiled(dtype)
    turns = 1 << 12
    while _seconds(run, dtype, width, turns) < LEAST:
        turns *= 2
    with ThreadPoolExecutor(threads) as pool:
        waiting = Barrier(threads)

        def best(_: int) -> float:
            waiting.wait()
            return min(_seconds(run, dtype, width, turns) for _ in range(times))

        took = list(pool.map(best, range(threads)))
    return sum(2 * width * CHAINS * UNROLLED * turns / seconds for seconds in took)


def _seconds(run: Callable[[int, int], None], dtype: str, width: int, turns: int) -> float:
    """What a core works for so many turns."""
    numbers = np.array([0.5, 1.0] + [0.0] * width * CHAINS, dtype)
    began = time.thread_time()
    run(turns, numbers.ctypes.data)
    return time.thread_time() - began


@cache
def _compiled(dtype: str) -> tuple[Callable[[int, int], None], int]:
    """The function of a number of turns and a place for numbers, and how many of them a vector has."""
    width, declared = vector_bytes() // np.dtype(dtype).itemsize, set[str]()
    text = _written(width, dtype, declared)
    return module(frozenset(declared), text, all_passes=True).function("multiply_add", c_int64, c_void_p), width


def _written(width: int, dtype: str, declared: set[str]) -> str:
    element = {"float32": "float", "float64": "double"}[dtype]
    to = Function("multiply_add", ["i64 %turns", "ptr %numbers"])
    v = Lanes(to, width, element, declared)
    factor, term = (v.load_one(to.at("%numbers", i, element), dtype) for i in range(2))
    sums = [to.variable(v.floats) for _ in range(CHAINS)]
    for place in sums:
        to.do(f"store {v.floats} zeroinitializer, ptr {place}")
    with to.loop(0, "%turns"):
        for place in sums * UNROLLED:
            old = to.let(f"load {v.floats}, ptr {place}")
            to.do(f"store {v.floats} {v.fma(factor, old, term)}, ptr {place}")
    for i, place in enumerate(sums):
        v.store(to.let(f"load {v.floats}, ptr {place}"), to.at("%numbers", 2 + i * width, element), dtype)
    return to.text()
