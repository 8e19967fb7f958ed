"""Packages that are extras: what is said where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnngraph.diagnostics.errors import CannotDo


@contextmanager
def needed(package: str, code: str = "E682", help: str = "") -> Iterator[None]:
    """Turns the absence of a package into a message that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rnngraph"):
            raise
        told = f"this needs the package `{package}`, which is not installed"
        raise CannotDo(told, code, help or f"install it with `pip install {package}`") from error
