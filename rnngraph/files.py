"""Writing a file so that whoever looks sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rnngraph.diagnostics import CannotDo


def write_aside(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path` in one move: written beside it, synchronised to the disk, then moved into
    place. A link stays a link to what is written; a device or a pipe is written to, and stays one.

    Raises CannotDo where the folder or the file cannot be written; what stood at `path` is then still there.
    """
    target = _target(path)
    temporary: str | None = None
    try:
        if _is_device(target):
            target.write_bytes(content)
            return
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise CannotDo(f"cannot write `{path}`: {error.strerror or error}", code="E660") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def refuse_unwritable(*paths: str | os.PathLike[str] | None) -> None:
    """CannotDo where a file could not be written: asked before long work, so that its fruit is not lost."""
    for path in paths:
        if path is None:
            continue
        target = _target(path)
        if _is_device(target):
            continue
        try:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        except OSError as error:
            raise CannotDo(f"cannot write `{path}`: {error.strerror or error}", code="E660") from error
        os.close(handle)
        os.unlink(temporary)


def _target(path: str | os.PathLike[str]) -> Path:
    """Where `path` leads; CannotDo where that is a folder."""
    if Path(path).is_dir():
        raise CannotDo(f"cannot write `{path}`: it is a folder", code="E660")
    return Path(path) if _is_device(Path(path)) else Path(os.path.realpath(path))


def _is_device(path: Path) -> bool:
    """Whether there is something at `path` that takes bytes and is no file, as `/dev/null` or a pipe."""
    return path.exists() and not path.is_file()


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or what a new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
