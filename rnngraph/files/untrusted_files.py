"""Reading: bytes that others may have made, cut short or changed, become arrays or one message about that file."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.files.atomic_writes import PathLike


class Damaged(ValueError):
    """Why a file is not what it should be, in our own words."""


@contextmanager
def foreign(path: PathLike, what: str, code: str, help: str = "") -> Iterator[None]:
    """Whatever a library raises over the bytes of `path`, or warns of, is one UserError: it cannot be read as `what`.

    CannotDo where it cannot be opened at all, or does not fit into memory.
    """
    readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except MemoryError as error:
        raise CannotDo(f"`{path}` does not fit into memory", code="E543") from error
    except Exception as error:
        raise UserError(f"`{path}` cannot be read as {what}: {reason(error)}", code, help) from error


def readable(path: PathLike) -> None:
    """Raises CannotDo, in plain words, where `path` is not a file that can be opened."""
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CannotDo(f"cannot read `{path}`: it is a pipe or a device, not a file", code="E662")
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        reason = getattr(error, "strerror", None) or error
        raise CannotDo(f"cannot read `{path}`: {reason}", code="E662") from error


def reason(error: BaseException) -> str:
    """Why a file cannot be read; words of other libraries are not handed on."""
    if isinstance(error, Damaged):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno} is not JSON"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8 text"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it is damaged, incomplete, or of another kind"


def parsed_json(text: str | bytes) -> Any:
    """What a text in JSON holds. Damaged where it is too deep, an object has a name twice, or an integer is beyond 64
    bits, so that nothing in it is lost."""

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        once([name for name, _ in pairs])
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=made, parse_int=whole)
    except RecursionError:
        raise Damaged("its brackets are nested too deeply") from None


def whole(digits: str) -> int:
    """An integer of at most 64 bits."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        shown = digits if len(digits) <= 24 else f"{digits[:20]}…"
        raise Damaged(f"{shown} is beyond 64 bits")
    return int(digits)


def once(names: Sequence[str]) -> None:
    """Damaged where a name comes twice: only the last array of it would be seen."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Damaged(f"`{name}` occurs in it twice")
        seen.add(name)
