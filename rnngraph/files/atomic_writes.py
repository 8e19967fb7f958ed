"""Writing: whoever looks sees the old file or the new one, never a part, and no file that is read is written over."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rnngraph.diagnostics.errors import CannotDo, UserError

PREFIX = ".rnngraph-"
"""How the name of a file begins that is not whole yet."""
_STALE = 3600.0
"""Seconds after which a part that nobody writes any more (a machine went down) is taken away."""

PathLike = str | os.PathLike[str]


def write_aside(path: PathLike, *parts: Any, durable: bool = True) -> None:
    """Put bytes, one part behind the other, at `path` in one move: written beside it, synchronised to the disk (where
    it is to be durable), then moved into place. A link stays a link to what is written; a device or a pipe is written
    to, and stays one.

    Raises CannotDo where the folder or the file cannot be written; what stood at `path` is then still there.
    """
    with _told(path):
        target = _target(path)
        if is_device(target):
            with open(target, "wb") as device:
                device.writelines(parts)
            return
        if durable:
            remove_stale(target.parent)
        with _beside(target) as (handle, temporary):
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.chmod(temporary, _mode(target))
            os.replace(temporary, target)
        if durable:
            _synchronise(target.parent)


def refuse_unwritable(*paths: PathLike) -> None:
    """CannotDo where a file could not be written: asked before long work, so that its fruit is not lost."""
    for path in paths:
        with _told(path):
            target = _target(path)
            if not is_device(target):
                with _beside(target) as (handle, _):
                    os.close(handle)


@contextmanager
def _told(path: PathLike) -> Iterator[None]:
    """What the system refuses, as a message."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        raise CannotDo(f"cannot write `{path}`: {getattr(error, 'strerror', None) or error}", code="E660") from error


@contextmanager
def _beside(target: Path) -> Iterator[tuple[int, str]]:
    """An open file in the same folder, which is gone afterwards unless it was moved."""
    if len(os.fsencode(target.name)) > _longest_name(target.parent):
        raise CannotDo(f"cannot write `{target}`: its name is too long", code="E660")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=PREFIX)
    try:
        yield handle, temporary
    finally:
        Path(temporary).unlink(missing_ok=True)


def _longest_name(folder: Path) -> int:
    """Bytes that the name of a file may have."""
    return os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255


def remove_stale(folder: Path) -> None:
    """A process that was killed in the middle of a write leaves a part behind; the next write takes it away."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE:
                os.unlink(entry.path)


def _synchronise(folder: Path) -> None:
    """The folder's own entry reaches the disk too, where a folder can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _target(path: PathLike) -> Path:
    """Where `path` leads; CannotDo where that is a folder."""
    if Path(path).is_dir():
        raise CannotDo(f"cannot write `{path}`: it is a folder", code="E660")
    return Path(path) if is_device(Path(path)) else Path(os.path.realpath(path))


def is_device(path: Path) -> bool:
    """Whether there is something at `path` that takes bytes and is no file, as `/dev/null` or a pipe."""
    return path.exists() and not path.is_file()


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or what a new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# --- which files a command has -----------------------------------------------------------------------------------


def refuse_clashes(inputs: Mapping[str, Sequence[str]], outputs: Mapping[str, Sequence[str]]) -> None:
    """UserError where a file would be written that is read, or two outputs are one file; by option, the files' names.

    Two names are one file where the system says so, through links of both kinds; devices are never in the way.
    """
    read = {place: (option, path) for option, path, place in _places(inputs)}
    written: dict[object, tuple[str, str]] = {}
    for option, path, place in _places(outputs):
        if place in read:
            other, name = read[place]
            told = f"{_one_file(path, name)}: {option} would write over {_read(other)}"
            raise UserError(told, "E665", f"give {option} another name")
        if place in written:
            other, name = written[place]
            raise UserError(f"{_one_file(path, name)}: {other} and {option} would be one", "E665", "name two files")
        written[place] = option, path


def _read(option: str) -> str:
    return option if option.startswith("what ") else f"what {option} reads"


def _one_file(path: str, name: str) -> str:
    return f"`{path}`" if path == name else f"`{path}` and `{name}` are the same file"


def _places(named: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, object]]:
    for option, paths in named.items():
        for path in paths:
            if (place := _place(path)) is not None:
                yield option, path, place


def _place(path: str) -> object:
    """What two names of one file have in common: device and number of the file, or the folder's and the name."""
    try:
        about = os.stat(path)
        return None if not stat.S_ISREG(about.st_mode) else (about.st_dev, about.st_ino)
    except (OSError, ValueError):
        pass
    try:
        target = Path(os.path.realpath(path))
        about = os.stat(target.parent)
    except (OSError, ValueError):
        return None  # what cannot be reached is told where it is opened
    return about.st_dev, about.st_ino, target.name


def form_of(path: PathLike, forms: Iterable[str], what: str) -> str:
    """The ending of a file's name, without its dot and in small letters: one of `forms`, else UserError.

    What is written into a device or a pipe, whose name says nothing, has the first form.
    """
    known = tuple(forms)
    with _told(path):
        if os.fspath(path).endswith(os.sep):
            raise CannotDo(f"cannot write `{path}`: its name is that of a folder", code="E660")
        found = Path(path).suffix.lower().removeprefix(".")
        if found not in known and is_device(_target(path)):
            return known[0]
    if found in known:
        return found
    endings = [f".{form}" for form in known]
    told = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
    raise UserError(f"cannot determine the format of {what} from `{path}`", "E911", f"end its name with {told}")
