"""Tapes in a file: written while the next chunk is computed, and fetched back before they are needed.

The file has no name from the moment it is there, so that nothing is left of it whatever ends the run, and its room on
the disk is taken before the run begins. Plain reads and writes are used rather than a memory map: a map counts as
memory under `ulimit -v`, and a full disk would end the process instead of the run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import CannotDo


class SwapFile:
    """Places for tapes in a file, with the interface of `execution.Store`; `buffer` holds the one tape that is moving.

    CannotDo where the disk has no room for `size` bytes.
    """

    def __init__(self, folder: str, size: int, width: int, buffer: Any) -> None:
        self.width, self.buffer = width, buffer
        self.file = _room(folder, size)
        self.worker = ThreadPoolExecutor(1, "swap")
        weakref.finalize(self, _closed, self.file, self.worker)
        self.under_way: Future[None] | None = None
        self.fetched: int | None = None

    def put(self, place: int, source: Any) -> None:
        """Begins to write a tape; its arrays may change at once."""
        self.wait()
        self.fetched = None
        np.copyto(self.buffer[: source.size], source)
        self.under_way = self.worker.submit(self.write, place * self.width, source.size)

    def get(self, place: int, target: Any) -> None:
        """Waits for a tape, which best has been asked for by `ahead`."""
        if self.fetched != place:
            self.ahead(place, target.size)
        self.wait()
        np.copyto(target, self.buffer[: target.size])
        self.fetched = None

    def ahead(self, place: int, size: int) -> None:
        """Begins to fetch a tape."""
        self.wait()
        self.fetched = place
        self.under_way = self.worker.submit(self.read, place * self.width, size)

    def wait(self) -> None:
        """Returns once nothing is under way; CannotDo where it failed."""
        try:
            if self.under_way is not None:
                self.under_way.result()
        except OSError as error:
            raise CannotDo(f"the swap file cannot be used: {error.strerror}", "E619") from error
        finally:
            self.under_way = None

    def write(self, start: int, size: int) -> None:
        view = memoryview(self.buffer[:size])
        while view:
            done = os.pwrite(self.file.fileno(), view, start)
            view, start = view[done:], start + done

    def read(self, start: int, size: int) -> None:
        view = memoryview(self.buffer[:size])
        while view:
            done = os.preadv(self.file.fileno(), [view], start)
            view, start = view[done:], start + done


def _closed(file: Any, worker: ThreadPoolExecutor) -> None:
    worker.shutdown()
    file.close()


def _room(folder: str, size: int) -> Any:
    """A file without a name that has so many bytes for itself."""
    try:
        free = shutil.disk_usage(folder).free
        if size > free:
            raise CannotDo(
                f"the swap file takes {size:,} bytes and {free:,} are free in `{folder}`", "E619", "name another folder"
            )
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open for as long as the walker is there
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return file
    except OSError as error:
        raise CannotDo(f"no swap file in `{folder}`: {error.strerror}", "E619", "name another folder") from error
