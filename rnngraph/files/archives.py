"""NumPy's own files, `.npy` and `.npz`, read and written without pickles and to the same bytes each time."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rnngraph.diagnostics.errors import UserError
from rnngraph.files.atomic_writes import PathLike, write_aside
from rnngraph.files.untrusted_files import Damaged, foreign, once

Arrays = dict[str, NDArray[Any]]
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of every member: an archive is the same bytes whenever it is written."""
_HEADER = 10_000
"""Bytes of a header at most; a longer one is no array of numbers."""


def read_npz(path: PathLike, code: str) -> Arrays:
    """The arrays of an archive by name. UserError (with `code`) where it is damaged, encrypted, or holds pickles."""
    with foreign(path, ".npz data", code), zipfile.ZipFile(_zip(path)) as archive:
        members = archive.infolist()
        once([_name(member) for member in members])
        return {_name(member): _member(archive, member, path) for member in members}


def read_npy(path: PathLike, code: str) -> NDArray[Any]:
    """The array of a file, mapped: what is read of it is read from the disk when it is asked for."""
    with foreign(path, ".npy data", code), open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        shape, fortran, dtype = _plain_header(file, size, path)
        start = file.tell()
        if start + math.prod(shape) * dtype.itemsize < size:
            raise Damaged("it holds more than its array")
        if not math.prod(shape):
            return np.zeros(shape, dtype)
        mapped = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
        return mapped.view(np.ndarray)


def write_npz(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """All arrays by name, aside first. Their names may be any, those of NumPy's own arguments too."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _FIRST_DAY), "w", force_zip64=True) as file:
                npy.write_array(file, np.asarray(array), allow_pickle=False)
    write_aside(path, content.getbuffer())


def _zip(path: PathLike) -> PathLike:
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            start = file.read(len(npy.MAGIC_PREFIX))
        raise Damaged("it is a single array, no archive" if start == npy.MAGIC_PREFIX else "it is not an archive")
    return path


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: PathLike) -> NDArray[Any]:
    if member.flag_bits & 0x1:
        raise Damaged(f"`{_name(member)}` is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 0x20:
        raise Damaged(f"`{_name(member)}` is compressed in a way that NumPy does not write")
    if not member.filename.endswith(".npy"):
        raise Damaged(f"`{member.filename}` in it is not an array")
    with archive.open(member) as file:
        return _array(file, member.file_size, path)


def _array(file: IO[bytes], size: int, path: PathLike) -> NDArray[Any]:
    """The array of a stream of `size` bytes."""
    _plain_header(file, size, path)
    file.seek(0)
    found: NDArray[Any] = npy.read_array(file, allow_pickle=False, max_header_size=_HEADER)
    if file.read(1):
        raise Damaged("it holds more than its array")
    return found


def _plain_header(file: IO[bytes], size: int, path: PathLike) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array of numbers; they are believed only as far as there are bytes."""
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise UserError(
            f"`{path}` holds pickled Python objects, which can run code when they are read; it was not read",
            code="E545",
            help="save plain arrays of numbers with numpy.savez",
        )
    start = file.tell()
    if math.prod(shape) * dtype.itemsize > size - start:
        raise Damaged("it ends before its array is complete")
    return shape, fortran, dtype


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise Damaged(f"it is of version {version[0]} of its format, which is not known")
    shape, fortran, dtype = read(file, max_header_size=_HEADER)
    return shape, fortran, dtype
