"""Named arrays as safetensors files (https://github.com/huggingface/safetensors, format of version 0.5).

They are read by the format's own library. They are written here: in a fixed order, so that the same arrays and texts
are the same bytes each time, and array by array, so that writing takes no second copy of what may fill the memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import UserError
from rnngraph.files.arrays import host_array
from rnngraph.files.atomic_writes import PathLike, write_aside
from rnngraph.files.untrusted_files import Damaged, foreign

Arrays = dict[str, NDArray[Any]]

CHECKSUM = "sha256"
"""The text that a file written here has: over all else that is in it, so that damage shows."""
_TEXTS = "__metadata__"
_KINDS = {"b1": "BOOL", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "f2": "F16", "i4": "I32", "u4": "U32",
          "f4": "F32", "i8": "I64", "u8": "U64", "f8": "F64"}  # fmt: skip
"""What the format calls a type, by NumPy's letter and bytes."""


def write_tensors(path: PathLike, arrays: Mapping[str, Any], texts: Mapping[str, str] | None = None) -> None:
    """Write named arrays and texts as one safetensors file, aside first. Raises CannotDo where it cannot be written,
    UserError where an array has a name or a type that the format does not have."""
    plain = {name: _little(name, array) for name, array in arrays.items()}
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    told = dict(texts or {})
    told[CHECKSUM] = _checksum(plain, told)
    header: dict[str, Any] = {_TEXTS: dict(sorted(told.items()))}
    end = 0
    for name in order:
        begin, end = end, end + plain[name].nbytes
        kind = _KINDS[plain[name].dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": plain[name].shape, "data_offsets": [begin, end]}
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_aside(path, len(head).to_bytes(8, "little"), head, *(_bytes(plain[name]) for name in order))


def read_tensors(
    path: PathLike, checked: Callable[[Mapping[str, str]], bool] = lambda texts: False
) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the texts of a safetensors file. bfloat16 comes as float32, which holds all of its numbers.

    A checksum is looked at where there is one; `checked` says of the texts of a file that there has to be one.

    Raises CannotDo where there is no readable file, UserError where it is incomplete, damaged or of another
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
        arrays = {name: arrays[name] for name in kinds}
        checksum = texts.pop(CHECKSUM, None)
        if checksum is None and not checked(texts):
            return arrays, texts
        if checksum != _checksum(arrays, texts):
            raise Damaged("its bytes have changed since it was written")
        return arrays, texts


def read_texts(path: PathLike) -> dict[str, str]:
    """The texts of a safetensors file; its arrays are not read. CannotDo and UserError as `read_tensors`."""
    from safetensors import safe_open

    with _understood(path), safe_open(os.fspath(path), framework="numpy") as file:
        return dict(file.metadata() or {})


def tensor_types(path: PathLike) -> dict[str, str]:
    """The names of arrays that a safetensors file holds as bfloat16, which NumPy has no type for."""
    from safetensors import safe_open

    with _understood(path), safe_open(os.fspath(path), framework="numpy") as file:
        return {name: "bfloat16" for name, kind in _kinds(file).items() if kind == "BF16"}


# --- what is in a file -------------------------------------------------------------------------------------------


def _checksum(arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, str]) -> str:
    """Of all arrays with their names, types and shapes, and of all texts, in no order of theirs."""
    found = hashlib.sha256(json.dumps(sorted(texts.items())).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(_bytes(array))
    return found.hexdigest()


def _little(name: object, given: Any) -> NDArray[Any]:
    """The array as it lies in a file: row by row, the least byte first. UserError where the format has no such name or
    no such type."""
    if not isinstance(name, str) or name == _TEXTS or any("\ud800" <= c <= "\udfff" for c in name):
        raise UserError(f"{name!r} cannot name an array in a safetensors file", "E666", "its name must be a string")
    array = host_array(name, given)
    little = array.dtype.newbyteorder("<")
    if little.str[1:] not in _KINDS or np.ma.is_masked(given):
        what = "masked values" if np.ma.is_masked(given) else f"{array.dtype}"
        raise UserError(f"`{name}` holds {what}, which a safetensors file cannot", "E666", "save arrays of numbers")
    return np.ascontiguousarray(array).reshape(array.shape).astype(little, copy=False)


def _bytes(array: NDArray[Any]) -> memoryview:
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _kinds(file: Any) -> dict[str, str]:
    """The type of every array, as the format calls it."""
    names = list(file.keys())
    return {name: file.get_slice(name).get_dtype() for name in names}


def _refuse_narrow(path: PathLike, kinds: Mapping[str, str]) -> None:
    for name, kind in kinds.items():
        if kind == "F4" or kind.startswith(("F8_", "F6_")):
            raise UserError(
                f"`{name}` of `{path}` is stored as float{kind[1]} ({kind}), which NumPy cannot hold",
                code="E663",
                help="such numbers need a scale that only the tool which wrote them knows: "
                "save them from there as float32, or as bfloat16",
            )


def _halves(path: PathLike) -> Arrays:
    """The arrays of bfloat16: the upper half of a float32."""
    from safetensors import deserialize

    with open(path, "rb") as file:
        parts: Any = deserialize(file.read())  # type: ignore[no-untyped-call]
    return {name: widened(p["data"], p["shape"]) for name, p in parts if p["dtype"] == "BF16"}


def widened(data: bytes | bytearray, shape: Sequence[int]) -> NDArray[Any]:
    """The float32 numbers that bytes of bfloat16 stand for (little-endian, as every file has them)."""
    upper = np.frombuffer(data, "<u2").astype("<u4") << 16
    return upper.view("<f4").astype(np.float32, copy=False).reshape(shape)


# --- what is wrong with one ----------------------------------------------------------------------------------------


@contextmanager
def _understood(path: PathLike) -> Iterator[None]:
    """Turns what the library raises into words."""
    from safetensors import SafetensorError

    with foreign(path, "a safetensors file", "E661", _advice(path)):
        try:
            yield
        except SafetensorError as error:
            raise Damaged(_reason(error)) from error


def _advice(path: PathLike) -> str:
    """What mends it: another kind of file is converted."""
    other = Path(path).suffix.lower() in (".npz", ".h5", ".hdf5", ".keras", ".onnx", ".index")
    if other:
        return f"`rnngraph weights convert {path} --model FILE.rnn --out weights.safetensors` makes one of it"
    return "it may have been copied incompletely, or be another kind of file"


def _reason(error: Exception) -> str:
    """What the library says, in plain words."""
    known = {
        "headertoosmall": "it is too short",
        "headertoolarge": "it does not start like one",
        "invalidheaderlength": "it ends before its header is complete",
        "incompletebuffer": "it ends before its last array is complete",
        "incompletemetadata": "it ends before its last array is complete",
        "invalidheader": "its header is damaged",
    }
    squeezed = str(error).replace(" ", "").lower()  # some versions say `HeaderTooLarge`, others `header too large`
    return next((words for name, words in known.items() if name in squeezed), "it is damaged")
