"""Ctrl-C and the request to end (SIGTERM): raised where they can be heard, held while something must be whole."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

TWICE = 0.5
"""Seconds in which a second signal is one with the first."""
AGAIN = 0.6
"""Seconds until an interrupt that came where no exception gets out is raised again."""

_INTERRUPTED = "interrupted"
_ENDED = "asked to end"


class Asked:
    """Which signal asked the process to end, if one did."""

    signal: int = 0
    until: float = 0.0
    """Until when a further signal is taken for the same wish."""

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

    A signal that is ignored from outside (a job in the background, `nohup`) stays ignored.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def come(number: int, _: Any) -> None:
        now = time.monotonic()
        if now < asked.until:
            return  # pressed twice: the first one is on its way out
        asked.signal, asked.until = number, now + TWICE
        raise KeyboardInterrupt

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, come) for number in numbers}
    before, sys.unraisablehook = sys.unraisablehook, partial(_raised_again, asked)
    try:
        yield asked
    finally:
        sys.unraisablehook = before
        for number, handler in handlers.items():
            if signal.getsignal(number) is come:
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def unheard() -> None:
    """From now on neither signal does anything: the process is at its end, and its exit code is known."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def die() -> None:
    """Ends the process by a signal, which a launcher of several processes takes as the end of all."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _raised_again(asked: Asked, unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        timer = threading.Timer(AGAIN, signal.raise_signal, [asked.signal or signal.SIGINT])
        timer.daemon = True
        timer.start()
        return
    sys.__unraisablehook__(unraisable)


Heard = Callable[[], AbstractContextManager[None]]


@contextmanager
def held() -> Iterator[Heard]:
    """A signal that comes meanwhile is raised behind: what is done inside is done whole. Inside of what it gives,
    signals are raised at once all the same, and one that waited at its beginning."""
    if threading.current_thread() is not threading.main_thread():
        yield nullcontext
        return
    came: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: _handler(n, lambda number, _: came.append(number)) for n in numbers}

    @contextmanager
    def heard() -> Iterator[None]:
        waiting = {n: _handler(n, handler) for n, handler in before.items()}
        try:
            if came:
                signal.raise_signal(came.pop())
            yield
        finally:
            for number, handler in waiting.items():
                signal.signal(number, handler)

    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _handler(number: int, handler: Any) -> Any:
    """Sets it, and gives the one before."""
    before = signal.signal(number, handler)
    return before if before is not None else signal.SIG_DFL
