"""What was made once and is kept on disk for the next process: compiled kernels, tables of the grammar."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.atomic_writes import remove_stale, write_aside

STAMP = b"rnngraph kept 1\n"
"""The first bytes of a kept file; the number changes with the form of the files."""
FILES = 10_000
"""So many files of one kind are kept."""
SELDOM = 128
"""The folder is looked through at one in so many writes."""


class Kept:
    """The file of one thing. What is read must be whole, and made from what it is `about`: texts, the CPU, versions."""

    def __init__(self, kind: str, *about: str) -> None:
        self.kind = kind
        self.key = hashlib.sha256("\0".join(about).encode()).digest()
        self.folder = folder()

    @property
    def path(self) -> Path | None:
        return self.folder / f"{self.key.hex()[:40]}.{self.kind}" if self.folder else None

    def read(self) -> bytes | None:
        if self.path is None:
            return None
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        head = STAMP + self.key
        content = data[len(head) + 32 :]
        whole = data.startswith(head) and data[len(head) : len(head) + 32] == hashlib.sha256(content).digest()
        return content if whole and content else None

    def write(self, content: bytes) -> None:
        """Kept where it can be; a disk that is full or closed only costs the next start its time."""
        if self.path is None:
            return
        with suppress(CannotDo, OSError, MemoryError):
            write_aside(self.path, STAMP, self.key, hashlib.sha256(content).digest(), content, durable=False)
            if self.key[0] < 256 // SELDOM:
                _thin_out(self.path.parent, self.kind)


def _thin_out(folder: Path, kind: str) -> None:
    """Removes the oldest files where there are many, and parts that a killed process left."""
    remove_stale(folder)
    files = sorted(folder.glob(f"*.{kind}"), key=lambda file: file.stat().st_mtime)
    for file in files[:-FILES]:
        file.unlink(missing_ok=True)


@cache
def folder() -> Path | None:
    """Where it is kept: a folder that is the user's alone; None where there can be none.

    `RNNGRAPH_CACHE` names another one, or is empty for none.
    """
    named = os.environ.get("RNNGRAPH_CACHE")
    if named == "":
        return None
    path = Path(named) if named else _usual() / "rnngraph" / "kept"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = path.stat()
        if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o077):
            return None
        return path if os.access(path, os.W_OK) else None
    except (OSError, RuntimeError):
        return None


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
