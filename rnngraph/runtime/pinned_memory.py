"""Memory of the host that takes what there is no room for on a GPU, and that copies reach while kernels run.

Such memory stays where it is (it is _pinned_), so that the device copies from and to it by itself. The copies are on
a stream of their own, which does not wait for the default one, as others do. Kernels and copies wait for each other on
the device, by events; the host waits for neither.
"""

from __future__ import annotations

import weakref
from typing import Any

from rnngraph.diagnostics.errors import CannotDo


class PinnedMemory:
    """An `Outside` in memory of the host; CannotDo where so much of it cannot be pinned."""

    def __init__(self, cupy: Any, bytes: int, buffer: Any) -> None:
        self.cupy, self.buffer = cupy, buffer
        try:
            self.memory = cupy.cuda.PinnedMemory(bytes)
        except cupy.cuda.runtime.CUDARuntimeError as error:
            told = f"{bytes:,} bytes of the host's memory cannot be pinned: {error}"
            raise CannotDo(told, "E619", "`--keep sqrt` keeps less, on the device") from error
        self.copies = cupy.cuda.Stream(non_blocking=True)
        self.event = cupy.cuda.Event(disable_timing=True)
        weakref.finalize(self, _finished, self.copies, self.memory, buffer)

    def write(self, start: int, size: int) -> None:
        self.ordered(self.kernels, self.copies)
        self.buffer.data.copy_to_host_async(self.memory.ptr + start, size, self.copies)

    def read(self, start: int, size: int) -> None:
        self.ordered(self.kernels, self.copies)
        self.buffer.data.copy_from_host_async(self.memory.ptr + start, size, self.copies)

    def wait(self) -> None:
        self.ordered(self.copies, self.kernels)

    @property
    def kernels(self) -> Any:
        """The stream that the run is on."""
        return self.cupy.cuda.get_current_stream()

    def ordered(self, first: Any, then: Any) -> None:
        """What is asked for from now on the one stream waits for all that has been asked for on the other."""
        self.event.record(first)
        then.wait_event(self.event)


def _finished(copies: Any, memory: Any, buffer: Any) -> None:
    """Memory is given back once nothing is copied any more: a run may have ended by an error."""
    copies.synchronize()
