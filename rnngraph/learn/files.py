"""Named arrays as safetensors files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    """The arrays and the texts of a safetensors file. bfloat16 comes as float32, which holds all of its numbers.

    Raises CannotDo where there is no readable file, UserError where it is cut short, damaged or of another
    kind, or holds numbers of 8 bits and less.
    """
    from safetensors import safe_open

    with _understood(path), safe_open(os.fspath(path), framework="numpy") as file:
        kinds = _kinds(file)
        texts = dict(file.metadata() or {})
        _refuse_narrow(path, kinds)
        arrays = {name: file.get_tensor(name) for name, kind in kinds.items() if kind != "BF16"}
    if len(arrays) < len(kinds):
        arrays |= _halves(path)
    return {name: arrays[name] for name in kinds}, texts


def tensor_types(path: str | os.PathLike[str]) -> dict[str, str]:
    """The names of arrays that a safetensors file holds as bfloat16, which NumPy has no type for."""
    from safetensors import safe_open

    with _understood(path), safe_open(os.fspath(path), framework="numpy") as file:
        return {name: "bfloat16" for name, kind in _kinds(file).items() if kind == "BF16"}


def _kinds(file: Any) -> dict[str, str]:
    """The type of every array, as the format calls it."""
    names = list(file.keys())
    return {name: file.get_slice(name).get_dtype() for name in names}


@contextmanager
def _understood(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what the library raises into words."""
    from safetensors import SafetensorError

    readable(path)
    try:
        yield
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"`{path}` is no whole safetensors file: {_reason(error)}",
            code="E661",
            help="it may have been cut short while it was copied, or be another kind of file",
        ) from error


def _refuse_narrow(path: str | os.PathLike[str], kinds: Mapping[str, str]) -> None:
    for name, kind in kinds.items():
        if kind == "F4" or kind.startswith(("F8_", "F6_")):
            raise UserError(
                f"`{name}` of `{path}` is stored as float{kind[1]} ({kind}), which NumPy cannot hold",
                code="E663",
                help="such numbers count times a scale that the tool which wrote them knows: "
                "save them from there as float32, or as bfloat16",
            )


def _halves(path: str | os.PathLike[str]) -> Arrays:
    """The arrays of bfloat16: the upper half of a float32."""
    from safetensors import deserialize

    with open(path, "rb") as file:
        parts: Any = deserialize(file.read())  # type: ignore[no-untyped-call]
    return {name: widened(p["data"], p["shape"]) for name, p in parts if p["dtype"] == "BF16"}


def widened(data: bytes | bytearray, shape: Sequence[int]) -> NDArray[Any]:
    """The float32 numbers that bytes of bfloat16 stand for (little-endian, as every file has them)."""
    upper = np.frombuffer(data, "<u2").astype("<u4") << 16
    return upper.view("<f4").astype(np.float32, copy=False).reshape(shape)


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
