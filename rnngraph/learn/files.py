"""Named arrays as safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics import CannotDo, UserError
from rnngraph.files import write_aside

Arrays = dict[str, NDArray[Any]]


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
