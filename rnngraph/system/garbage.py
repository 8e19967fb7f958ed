"""The garbage collector set aside while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 100_000
"""From so many new objects on they count as old afterwards."""


@contextmanager
def set_aside() -> Iterator[None]:
    """No collections inside; where the caller has set the collector aside it stays so.

    A static program is many small objects that live as long as it does. The collector would look at all of them time
    and again, for a third of the time that compiling takes, and find nothing: what is dropped here is in no cycles.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # frozen and thawed, they are old without having been looked at
        gc.enable()


@contextmanager
def only_new() -> Iterator[None]:
    """Collections inside are those that are asked for, and look only at what is made inside."""
    ours = not gc.get_freeze_count()
    if ours:
        gc.freeze()
    try:
        with set_aside():
            yield
    finally:
        if ours:
            gc.unfreeze()
