"""TensorFlow's checkpoints, read without TensorFlow: `PREFIX.index` says where each variable stands in `PREFIX.data-*`.

The index is a sorted table of blocks (LevelDB's table format); its values are protocol buffers (`tensor_bundle.proto`,
`trackable_object_graph.proto` of TensorFlow). Variables of TensorFlow 2 get the names that Keras gives them, which the
checkpoint keeps beside the paths of its objects.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.exchange.conversion.naming import of_training
from rnngraph.exchange.formats.contents import Found
from rnngraph.files.safetensors import Arrays, widened
from rnngraph.files.untrusted_files import Damaged, foreign, readable

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_LATEST = re.compile(r'^model_checkpoint_path: "([^"]*)"', re.MULTILINE)
_FOOTER, _END = 48, 0xDB4775248B80FB57.to_bytes(8, "little")
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2", 22: "<u4",
          23: "<u8"}  # fmt: skip
_BFLOAT16, _STRING = 14, 7
Fields = dict[int, list[Any]]


def prefix_of(path: str) -> str | None:
    """What the files of a checkpoint begin with, where `path` is that, one of them, or a folder that holds one (a
    SavedModel, or what the file `checkpoint` names); None where it is none of these."""
    place = Path(path)
    latest = place if place.name == "checkpoint" else place / "checkpoint"
    names = [path, str(place / "variables" / "variables")]
    names += [path.rpartition(mark)[0] for mark in (".index", ".meta", ".data-") if mark in place.name]
    if latest.is_file() and (told := _LATEST.search(latest.read_text(errors="replace"))):
        names.append(str(latest.parent / told[1]))
    return next((name for name in names if Path(f"{name}.index").is_file()), None)


def is_of_one_file(path: str) -> bool:
    """Whether a file is a checkpoint in the one-file form of before TensorFlow 0.12."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_END)))
        return file.read() == _END


def advice(prefix: str) -> str:
    """How TensorFlow itself writes the variables as a file that is read."""
    return (
        f"write its variables as .npz where TensorFlow is installed: `import numpy as np, tensorflow as tf; "
        f"r = tf.train.load_checkpoint('{prefix}'); "
        "np.savez('weights.npz', **{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})`"
    )


def read(prefix: str) -> Found:
    """The variables of a checkpoint by name. UserError where it is damaged, or in a form that is not read here."""
    index = f"{prefix}.index"
    with foreign(index, "a TensorFlow checkpoint", "E697", advice(prefix)):
        entries = dict(_table(Path(index).read_bytes()))
        header = _fields(entries.pop(b"", b""))
        data = _Data(prefix, header.get(1, [1])[0], entries)
        found = {name: data.array(name) for name in data.names()}
        arrays = {name: array for name, array in found.items() if array is not None}
        names = _full_names(data, arrays)
    types = {names.get(name, name): "bfloat16" for name in arrays if data.type(name) == _BFLOAT16}
    other = sorted(found.keys() - arrays.keys() - {GRAPH})
    notes = tuple(f"`{name}` is text, or of another type that weights cannot have" for name in other)
    return Found({names.get(name, name): a for name, a in arrays.items()}, types=types, notes=notes)


# --- the table ------------------------------------------------------------------------------------------------------


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in order."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or not footer.endswith(_END):
        raise Damaged("it does not end like one")
    _, at = _handle(footer, 0)
    (where, _) = _handle(footer, at)
    for _, value in _block(content, *where):
        yield from _block(content, *_handle(value, 0)[0])


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a block: each key without what it shares with the one before."""
    data = content[offset : offset + size]
    if len(data) < size or len(content) <= offset + size:
        raise Damaged("it is incomplete")
    if content[offset + size] != 0:
        raise Damaged("its index is compressed")
    (restarts,) = struct.unpack("<I", data[-4:])
    end, at, key = len(data) - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(data, at)
        more, at = _varint(data, at)
        length, at = _varint(data, at)
        key = key[:shared] + data[at : at + more]
        yield key, data[at + more : at + more + length]
        at += more + length


# --- protocol buffers -----------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def _fields(data: bytes) -> Fields:
    """The fields of a message by number, each with all its values: ints, or bytes."""
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _shape(message: bytes) -> tuple[int, ...]:
    return tuple(_fields(dim).get(1, [0])[0] for dim in _fields(message).get(2, []))


# --- the data -------------------------------------------------------------------------------------------------------


class _Data(Struct, frozen=True):
    """The variables of a checkpoint: `entries` are the messages that say where each stands."""

    prefix: str
    shards: int
    entries: dict[bytes, bytes]

    def names(self) -> list[str]:
        """Those of whole variables: the key of a part of one begins with 0."""
        return [key.decode() for key in self.entries if not key.startswith(b"\0")]

    def type(self, name: str) -> int:
        return int(_fields(self.entries[name.encode()]).get(1, [0])[0])

    def array(self, name: str) -> Any:
        """The numbers of a variable, None where it holds none. One that is kept in parts is put together."""
        entry = _fields(self.entries[name.encode()])
        if 7 not in entry:
            return self._stored(entry)
        whole: Any = None
        for extents in (_extents(part) for part in entry[7]):
            part = self._stored(_fields(self.entries[_part_key(name, extents)]))
            whole = np.zeros(_shape(entry[2][0]), part.dtype) if whole is None else whole
            whole[tuple(slice(start, None if size < 0 else start + size) for start, size in extents)] = part
        return whole

    def _stored(self, entry: Fields) -> Any:
        kind, shape = entry.get(1, [0])[0], _shape(entry.get(2, [b""])[0])
        if kind not in (*_TYPES, _BFLOAT16):
            return None
        data = self.bytes(entry)
        return widened(data, shape) if kind == _BFLOAT16 else np.frombuffer(data, _TYPES[kind]).reshape(shape)

    def bytes(self, entry: Fields) -> bytes:
        shard, offset, size = (entry.get(n, [0])[0] for n in (3, 4, 5))
        path = f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"
        readable(path)
        with open(path, "rb") as file:
            if offset + size > os.fstat(file.fileno()).st_size:
                raise Damaged(f"`{path}` is cut short")
            file.seek(offset)
            return file.read(size)


def _extents(part: bytes) -> list[tuple[int, int]]:
    """Start and length in each dimension; a length of -1 is all of it."""
    dims = [_fields(extent) for extent in _fields(part).get(1, [])]
    return [(dim.get(1, [0])[0], dim.get(2, [-1])[0]) for dim in dims]


def _part_key(name: str, extents: list[tuple[int, int]]) -> bytes:
    """The key of a part of a variable, which sorts by name and place (`OrderedCode`, `saved_tensor_slice_util`)."""
    text = name.encode().replace(b"\xff", b"\xff\0") + b"\0\1"
    rank = len(extents).to_bytes(1, "big") if extents else b""
    return b"\0" + text + bytes([len(rank)]) + rank + b"".join(map(_ordered, (n for pair in extents for n in pair)))


def _ordered(value: int) -> bytes:
    """A number so that bytes sort as numbers do: as many ones at the front as there are bytes."""
    size = (value if value >= 0 else ~value).bit_length() // 7 + 1
    ones = ((1 << size) - 1) << (7 * size)
    return ((value & ((1 << (8 * size)) - 1)) ^ ones).to_bytes(size, "big")


# --- the names of TensorFlow 2 --------------------------------------------------------------------------------------


def _full_names(data: _Data, arrays: Arrays) -> dict[str, str]:
    """The names that Keras gave to variables, by their paths, where a name is of one variable. What an optimiser keeps
    goes by its path, which shows it; so does a variable under the second of two paths."""
    if GRAPH.encode() not in data.entries:
        return {}
    paths: dict[str, list[str]] = {}
    for path, name in _named(_text(data.bytes(_fields(data.entries[GRAPH.encode()])))):
        if path in arrays and not of_training(path, arrays):
            paths.setdefault(name, []).append(path)
    one = {name: all(np.array_equal(arrays[p], arrays[same[0]]) for p in same) for name, same in paths.items()}
    return {same[0]: name for name, same in paths.items() if one[name] and name not in arrays}


def _text(data: bytes) -> bytes:
    """The one string of a string tensor: its length, a checksum of the lengths, its bytes."""
    size, at = _varint(data, 0)
    return data[at + 4 : at + 4 + size]


def _named(graph: bytes) -> Iterator[tuple[str, str]]:
    for node in _fields(graph).get(1, []):
        for attribute in _fields(node).get(2, []):
            told = _fields(attribute)
            if 2 in told and 3 in told:
                yield told[3][0].decode(), told[2][0].decode()
