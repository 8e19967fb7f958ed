"""Ctrl-C and the request to end (SIGTERM): raised where they can be heard, held while something must be whole."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

AGAIN = 0.05
"""Seconds until an interrupt that came where no exception gets out is raised again."""

_INTERRUPTED = "interrupted"
_ENDED = "asked to end"


class Asked:
    """Which signal asked the process to end, if one did."""

    signal: int = 0

    @property
    def came(self) -> bool:
        return self.signal != 0

    @property
    def code(self) -> int:
        """The exit code of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)

    @property
    def words(self) -> str:
        return _ENDED if self.signal == signal.SIGTERM else _INTERRUPTED


@contextmanager
def heard() -> Iterator[Asked]:
    """Inside, both signals raise KeyboardInterrupt in the main thread, and none is lost: where it comes inside of a
    call back from C code or of a destructor, whose exceptions Python only prints, it is raised again behind.

    A signal that is ignored from outside (a job in the background, `nohup`) stays ignored. Afterwards both have their
    effect at once, so that the interpreter's own end says nothing.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def come(number: int, _: Any) -> None:
        asked.signal = number
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, come)
    before, sys.unraisablehook = sys.unraisablehook, partial(_raised_again, asked)
    try:
        yield asked
    finally:
        sys.unraisablehook = before
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is come:
                signal.signal(number, signal.SIG_DFL)


def _raised_again(asked: Asked, unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        timer = threading.Timer(AGAIN, signal.raise_signal, [asked.signal or signal.SIGINT])
        timer.daemon = True
        timer.start()
        return
    sys.__unraisablehook__(unraisable)


@contextmanager
def held() -> Iterator[None]:
    """A signal that comes meanwhile is raised behind: what is done inside is done whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    if came:
        signal.raise_signal(came[0])
