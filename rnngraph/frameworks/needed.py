"""What is said where a framework is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.diagnostics.errors import CannotDo


@contextmanager
def needed(package: str, extra: str) -> Iterator[None]:
    """Turns the absence of a package into a message that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        told = f"this needs the package `{package}`, which is not installed"
        raise CannotDo(told, "E747", f"`pip install 'rnngraph[{extra}]'` brings it") from error
