"""Ctrl-C and the request to end (SIGTERM): raised where they can be heard, held while something must be whole."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

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
    if not _in_main_thread():
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
    if _in_main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def die() -> None:
    """Ends the process by a signal, which a launcher of several processes takes as the end of all."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _raised_again(asked: Asked, unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        timer = threading.Timer(AGAIN, _raise_in_main_thread, [asked.signal or signal.SIGINT])
        timer.daemon = True
        timer.start()
        return
    sys.__unraisablehook__(unraisable)


def _raise_in_main_thread(number: int) -> None:
    """There a signal also ends a wait (for a time, a pipe, a lock); one that another thread raises itself does not."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


class Heard(Protocol):
    """Does some work while signals are raised at once, and one that has waited first of all. The work is a function,
    since a signal can get between the lines of Python that end a `with`."""

    def __call__(self, work: Callable[[], T]) -> T: ...


class _Gate:
    """What is done when a signal comes: by the handlers of before, unless it has to wait."""

    def __init__(self, handlers: dict[int, Any]) -> None:
        self.handlers = handlers
        self.waiting: list[int] | None = None
        """Where signals wait; None where they are let through."""
        self.shut = False
        """Whether they change nothing any more."""

    def __call__(self, number: int, frame: Any) -> None:
        if self.shut:
            return
        if self.waiting is not None:
            self.waiting.append(number)
        elif callable(handler := self.handlers[number]):
            handler(number, frame)
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    def passed(self, waiting: list[int] | None, came: list[int], work: Callable[[], T]) -> T:
        """What the work gives while signals wait elsewhere, or are let through; the first that came goes there."""
        before = self.waiting
        try:
            self.waiting = waiting
            if came:
                self(came.pop(0), None)
            return work()
        finally:
            self.waiting = before


@contextmanager
def held() -> Iterator[Heard]:
    """A signal that comes meanwhile is raised behind: what is done inside is done whole, but for the work that is given
    to the function that it gives."""
    if not _in_main_thread():
        yield _at_once
        return
    with _gate() as gate:
        before, came = gate.waiting, list[int]()

        def heard(work: Callable[[], T]) -> T:
            return gate.passed(before, came, work)

        try:
            gate.waiting = came
            yield heard
        finally:
            gate.waiting = before
        if came:
            gate(came[0], None)


def _at_once(work: Callable[[], T]) -> T:
    return work()


def _in_main_thread() -> bool:
    """Where Python hears signals."""
    return threading.current_thread() is threading.main_thread()


def unheard_inside() -> None:
    """From now on, up to the end of the outermost `held`, signals change nothing: what they ask for is under way."""
    if _in_main_thread() and (gate := _standing()) is not None:
        gate.shut = True


def _standing() -> _Gate | None:
    """The gate of the outermost `held` that we are in."""
    handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))
    return next((handler for handler in handlers if isinstance(handler, _Gate)), None)


@contextmanager
def _gate() -> Iterator[_Gate]:
    if (standing := _standing()) is not None:
        yield standing
        return
    found = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    before: dict[int, Any] = {n: h or signal.SIG_DFL for n, h in found.items() if h is not signal.SIG_IGN}
    gate = _Gate(before)
    try:
        for number in before:
            signal.signal(number, gate)
        yield gate
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
