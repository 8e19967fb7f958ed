"""Folders that are filled with new files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.files.atomic_writes import write_aside


def fill(folder: str, contents: Mapping[str, bytes]) -> None:
    """Writes files, by their paths inside of a folder that is made for them.

    UserError where the folder has files already; CannotDo where it cannot be written.
    """
    top = Path(folder)
    try:
        if top.exists() and (not top.is_dir() or any(top.iterdir())):
            told = "is not a folder" if not top.is_dir() else "has files already"
            raise UserError(f"`{folder}` {told}", "E770", "name a folder that is not there yet")
        for name in contents:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        raise CannotDo(f"cannot write `{folder}`: {getattr(error, 'strerror', None) or error}", "E660") from error
    for name, content in contents.items():
        write_aside(top / name, content)
