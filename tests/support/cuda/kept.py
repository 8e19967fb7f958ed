"""What compilers made, kept from one run of the tests to the next, wherever the tests lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

WEEKS = 14 * 86_400


@cache
def folder() -> Path:
    """The folder of what is kept; what nobody has asked for in weeks goes."""
    found = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnngraph-tests" / "cuda"
    found.mkdir(parents=True, exist_ok=True)
    for file in found.glob("*-*"):
        with contextlib.suppress(FileNotFoundError):  # of another process
            if file.stat().st_mtime < time.time() - WEEKS:
                file.unlink()
    return found


def kept(name: str, about: Sequence[str], make: Callable[[Path], object]) -> Path:
    """The file `name` that `make` puts into a folder it is given, once for all that it depends on."""
    key = hashlib.sha256("\0".join(about).encode()).hexdigest()[:32]
    file = folder() / f"{key}-{name}"
    if file.exists():
        os.utime(file)
        return file
    with tempfile.TemporaryDirectory(dir=folder()) as temporary:
        make(Path(temporary))
        os.replace(Path(temporary) / name, file)
    return file
