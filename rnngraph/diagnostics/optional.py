"""Packages that are extras: what is said where one is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rnngraph.diagnostics.errors import CannotDo


@contextmanager
def needed(package: str, code: str = "E682", help: str = "") -> Iterator[None]:
    """Turns the absence of a package into a message that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rnngraph"):
            raise
        raise _missing(package, code, help) from error


def installed(package: str) -> bool:
    """Whether it can be imported, without importing it."""
    return find_spec(package) is not None


def refuse_missing(package: str, code: str = "E682", help: str = "") -> None:
    """The same message before anything is begun that would need the package in the end."""
    if not installed(package):
        raise _missing(package, code, help)


def _missing(package: str, code: str, help: str) -> CannotDo:
    told = f"this needs the package `{package}`, which is not installed"
    return CannotDo(told, code, help or f"install it with `{install(package)}`")


def install(package: str) -> str:
    """The command that brings a package to where this runs: an environment may not be the active one."""
    here = sys.prefix == sys.base_prefix or os.environ.get("VIRTUAL_ENV") == sys.prefix
    return f"pip install {package}" if here else f"{sys.executable} -m pip install {package}"
