"""Streams of the stand-in for CuPy. Every call is done when it returns, but the order is kept account of: what a stream
touches while another stream may still be at it, as no event has made it wait, is a `Race`.

A stream knows of every other how much of it is done: what an event knew that it has waited for. Touches of the current
stream are those of the arrays that functions and kernels are given.

On a stream that is captured, kernels and `memsetAsync` are kept for a `Graph`; all else that touches a device or waits
for one is refused, more than CUDA refuses: what it would keep of copies and passing arrays is nothing to rely on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

Bytes = tuple[int, int]
"""Where they begin, and where they end."""


class CUDARuntimeError(RuntimeError):
    """Of `cupy.cuda.runtime`."""


class Race(AssertionError):
    """Two streams touch the same bytes, in either order."""


class Streams:
    """The streams of all devices; the first is the default one."""

    def __init__(self) -> None:
        self.all: list[Stream] = []
        self.pinned: dict[int, int] = {}
        self.room = 1 << 40
        """Bytes of the host that can be pinned."""
        self.default = self.current = Stream(self)
        self.asked = 0
        """Launches of kernels and of graphs, and memory that is filled, asked for by the host."""

    def ask(self, work: Callable[[], None]) -> None:
        """Does it, or keeps it where the current stream is captured."""
        if self.current.kept is None:
            self.asked += 1
            work()
        else:
            self.current.kept.append(work)

    def refuse_captured(self) -> None:
        """What is not kept ends the capture."""
        if self.current.kept is not None:
            self.current.spoilt = True
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted while capturing")

    def touch(self, array: Any) -> None:
        if len(self.all) > 1 and array.nbytes:
            first, behind = np.lib.array_utils.byte_bounds(array)
            self.current.touch((int(first), int(behind)))


class Stream:
    """Of `cupy.cuda`; `non_blocking`, as others wait for the default stream, which this one would hide."""

    def __init__(self, streams: Streams, non_blocking: bool = True) -> None:
        assert non_blocking
        self.streams, self.ptr, self.done = streams, len(streams.all), 0
        self.known: dict[int, int] = {}
        self.touched: dict[Bytes, int] = {}
        """When bytes were last touched."""
        self.kept: list[Callable[[], None]] | None = None
        self.spoilt = False
        self.before: list[Stream] = []
        streams.all.append(self)

    def __enter__(self) -> Stream:
        self.before.append(self.streams.current)
        self.streams.current = self
        return self

    def __exit__(self, *told: Any) -> None:
        self.streams.current = self.before.pop()

    def begin_capture(self) -> None:
        if self is self.streams.default:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self.kept is None
        self.kept, self.spoilt = [], False

    def end_capture(self) -> Graph:
        assert self.kept is not None
        kept, self.kept = self.kept, None
        if self.spoilt:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return Graph(self.streams, kept)

    def touch(self, bytes: Bytes) -> None:
        self.done += 1
        for other in self.streams.all:
            if other is not self:
                self.refuse_race(other, bytes)
        self.touched[bytes] = self.done

    def refuse_race(self, other: Stream, bytes: Bytes) -> None:
        for (first, behind), when in other.touched.items():
            if when > self.known.get(other.ptr, 0) and first < bytes[1] and bytes[0] < behind:
                raise Race(f"stream {self.ptr} touches what stream {other.ptr} may still be at")

    def wait_event(self, event: Event) -> None:
        for ptr, done in event.known.items():
            self.known[ptr] = max(done, self.known.get(ptr, 0))

    def synchronize(self) -> None:
        self.streams.refuse_captured()
        for other in self.streams.all:
            other.known[self.ptr] = self.done


class Graph:
    """Of `cupy.cuda`: what was kept, with the arguments of then."""

    def __init__(self, streams: Streams, kept: list[Callable[[], None]]) -> None:
        self.streams, self.kept = streams, kept

    def launch(self, stream: Stream | None = None) -> None:
        with stream or self.streams.current:
            self.streams.refuse_captured()
            self.streams.asked += 1
            for work in self.kept:
                work()


class Event:
    """Of `cupy.cuda`."""

    def __init__(self, streams: Streams, disable_timing: bool = False) -> None:
        self.known: dict[int, int] = {}

    def record(self, stream: Stream) -> None:
        self.known = {**stream.known, stream.ptr: stream.done}


class Place:
    """A place in the memory of a device (`MemoryPointer`), from and to which a stream can copy."""

    def __init__(self, streams: Streams, array: Any) -> None:
        self.streams, self.array, self.ptr = streams, array, array.ctypes.data

    def copy_to_host_async(self, mem: int, size: int, stream: Stream) -> None:
        self.moved(mem, self.ptr, mem, size, stream)

    def copy_from_host_async(self, mem: int, size: int, stream: Stream) -> None:
        self.moved(self.ptr, mem, mem, size, stream)

    def moved(self, to: int, start: int, mem: int, size: int, stream: Stream) -> None:
        if not any(first <= mem and mem + size <= first + bytes for first, bytes in self.streams.pinned.items()):
            raise CUDARuntimeError("the host's memory is not pinned there: such a copy would wait")
        assert size <= self.array.nbytes
        for place in (self.ptr, mem):
            stream.touch((place, place + size))
        ctypes.memmove(to, start, size)


def pinned(streams: Streams) -> Any:
    def memory(size: int) -> Any:
        """`PinnedMemory` of `cupy.cuda`."""
        if size > streams.room:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        held = np.full(size, 0xFF, np.uint8)
        streams.pinned[held.ctypes.data] = size
        return SimpleNamespace(ptr=held.ctypes.data, held=held)

    return memory
