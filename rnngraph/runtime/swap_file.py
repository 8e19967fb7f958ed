"""A file that takes what there is no room for in memory.

It has no name from the moment it is there, so that nothing is left of it whatever ends the run, and its room on
the disk is taken before the run begins. Plain reads and writes are used rather than a memory map: a map counts as
memory under `ulimit -v`, and a full disk would end the process instead of the run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rnngraph.diagnostics.errors import CannotDo


class SwapFile:
    """An `Outside` in a file; CannotDo where the disk has no room for `bytes` bytes."""

    def __init__(self, folder: str, bytes: int, buffer: Any) -> None:
        self.buffer, self.file = buffer, _room(folder, bytes)
        self.worker = ThreadPoolExecutor(1, "swap")
        weakref.finalize(self, _closed, self.file, self.worker)
        self.under_way: Future[None] | None = None

    def write(self, start: int, size: int) -> None:
        self.begin(self.written, start, size)

    def read(self, start: int, size: int) -> None:
        self.begin(self.fetched, start, size)

    def begin(self, work: Callable[[int, int], None], start: int, size: int) -> None:
        self.wait()
        self.under_way = self.worker.submit(work, start, size)

    def wait(self) -> None:
        try:
            if self.under_way is not None:
                self.under_way.result()
        except OSError as error:
            raise CannotDo(f"the swap file cannot be used: {error.strerror}", "E619") from error
        finally:
            self.under_way = None

    def written(self, start: int, size: int) -> None:
        view = memoryview(self.buffer[:size])
        while view:
            done = os.pwrite(self.file.fileno(), view, start)
            view, start = view[done:], start + done

    def fetched(self, start: int, size: int) -> None:
        view = memoryview(self.buffer[:size])
        while view:
            done = os.preadv(self.file.fileno(), [view], start)
            view, start = view[done:], start + done


def _closed(file: Any, worker: ThreadPoolExecutor) -> None:
    worker.shutdown()
    file.close()


def _room(folder: str, bytes: int) -> Any:
    """A file without a name that has so many bytes for itself."""
    try:
        free = shutil.disk_usage(folder).free
        if bytes > free:
            raise CannotDo(
                f"the swap file takes {bytes:,} bytes and {free:,} are free in `{folder}`",
                "E619",
                "name another folder",
            )
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open for as long as the swap file is there
        if bytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, bytes)
        return file
    except OSError as error:
        raise CannotDo(f"no swap file in `{folder}`: {error.strerror}", "E619", "name another folder") from error
