"""Writing a file so that whoever looks sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics import CannotDo, UserError

Arrays = dict[str, NDArray[Any]]


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


def write_tensors(
    path: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays and texts as one safetensors file. Raises CannotDo where it cannot be written."""
    from safetensors.numpy import save

    # safetensors copies the buffer as it lies in memory, so views and transposes are laid out first.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_aside(path, save(plain, dict(metadata or {})))


def read_tensors(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the texts of a safetensors file.

    Raises CannotDo where there is no readable file, UserError where it is cut short, damaged or of another
    kind.
    """
    from safetensors import SafetensorError, safe_open

    readable(path)
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"`{path}` is no whole safetensors file: {_reason(error)}",
            code="E661",
            help="it may have been cut short while it was copied, or be another kind of file",
        ) from error


def readable(path: str | os.PathLike[str]) -> None:
    """Raises CannotDo, in plain words, where `path` is no file that can be opened."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise CannotDo(f"cannot read `{path}`: {error.strerror or error}", code="E662") from error


def _reason(error: Exception) -> str:
    """What the library says, without the name of its own exception class around it."""
    text = str(error).strip() or type(error).__name__
    known = {
        "headertoosmall": "it is too short",
        "headertoolarge": "it does not begin like one",
        "invalidheaderlength": "it ends before its own header does",
        "incompletebuffer": "it ends before its last array does",
        "incompletemetadata": "it ends before its last array does",
        "invalidheader": "its header is damaged",
    }
    squeezed = text.replace(" ", "").lower()  # some versions say `HeaderTooLarge`, others `header too large`
    return next((words for name, words in known.items() if name in squeezed), text)


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
