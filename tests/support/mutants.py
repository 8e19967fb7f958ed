"""Damaged files of every kind that is read: `python -m tests.support.mutants FIRST LAST [KIND]`.

A seed is a file and what is done to its bytes. Each reader must give the file's arrays, or one message about that file:
no other exception, no warning, no hang, and the file as it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import rnngraph as rg
from rnngraph.check import check
from rnngraph.data.read import load
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.formats.read import read as read_weights
from rnngraph.training import checkpoint
from rnngraph.training.checkpoint import Identity, Made, Training
from rnngraph.training.config import FitConfig
from rnngraph.weights.metadata import About
from tests.support.paths import ROOT
from tests.support.seeds import main

LONGEST = 20
"""Seconds that a reader may take."""
WEIGHTS = {"rnn.kernel": np.arange(12.0).reshape(3, 4), "rnn.bias": np.zeros(4), "n": np.array(3)}
BEGUN = Training(WEIGHTS, {f"m/{name}": np.zeros_like(a) for name, a in WEIGHTS.items()})
IDENTITY = Identity(Made("line"), FitConfig(), 50, {"x": "1"})
ODD = [b"", b"{}", b'""', b"99", b"[" * 3000, b"null", b"\x00", b"\xff" * 9, b"1" * 5000, b"nan", b"\xe2\x80\xae"]
"""What is put instead of a part."""


def _npz(compressed: bool) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **WEIGHTS)
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, WEIGHTS["rnn.kernel"])
    return out.getvalue()


def _safetensors(folder: Path) -> bytes:
    rg.save_weights(folder / "w.safetensors", rg.Weights(WEIGHTS, About("M", {"units": 4})))
    return (folder / "w.safetensors").read_bytes()


def _checkpoint(folder: Path) -> bytes:
    done = Training(WEIGHTS, BEGUN.state, 2, 0, 0.0, 0, WEIGHTS, 0.5, 1, ({"epoch": 1, "loss": 0.5},))
    checkpoint.save(folder / "c.checkpoint", done, IDENTITY)
    return (folder / "c.checkpoint").read_bytes()


def _onnx() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    weights = {"W": np.ones((1, 16, 3), "f4"), "R": np.ones((1, 16, 4), "f4"), "B": np.zeros((1, 32), "f4")}
    node = helper.make_node("LSTM", ["x", *weights], ["y"], hidden_size=4, name="lstm")
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy"]
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    made = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:], tensors))
    return bytes(made.SerializeToString())


def _h5() -> bytes:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.attrs["keras_version"] = "3.0"
        for number, array in enumerate(WEIGHTS.values()):
            file[f"layers/lstm/cell/vars/{number}"] = array
    return out.getvalue()


def _keras() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0"}))
        archive.writestr("model.weights.h5", _h5())
    return out.getvalue()


CSV = b"x,y,name\n1,2,3\n0.5,-7,1e3\n4,5,6\n"
JSON = b'{"x": [[1, 2], [3, 4]], "y": [true, false], "x.lengths": [1, 2], "z": [1.5, 2e3]}'
PICKLE = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\nstate_dict\x94K\x01s."


def _resume(path: Path) -> Any:
    return checkpoint.resume(path, IDENTITY, BEGUN)


def _weights(path: Path) -> Any:
    return read_weights(str(path))


def _data(path: Path) -> Any:
    return load([path])


def _text(path: Path) -> Any:
    return check(str(path))


def _kernels(path: Path) -> Any:
    from rnngraph.files.cache import Kept

    kept = Kept("kernels", "text")
    kept.folder = path.parent
    assert kept.path is not None
    kept.path.write_bytes(path.read_bytes())
    found = kept.read()
    assert found in (None, b"code"), "damaged kernels were taken"
    return found


def _kept() -> bytes:
    from rnngraph.files.cache import STAMP, Kept

    key = Kept("kernels", "text").key
    return STAMP + key + hashlib.sha256(b"code").digest() + b"code"


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "npz": ("d.npz", _data),
    "packed npz": ("p.npz", _data),
    "npy": ("d.npy", _data),
    "csv": ("d.csv", _data),
    "json": ("d.json", _data),
    "weights npz": ("w.npz", _weights),
    "safetensors": ("w.safetensors", _weights),
    "weights": ("w.safetensors", rg.load_weights),
    "checkpoint": ("c.checkpoint", _resume),
    "best weights": ("c.checkpoint", rg.load_weights),
    "onnx": ("m.onnx", _weights),
    "h5": ("m.h5", _weights),
    "keras": ("m.keras", _weights),
    "pickle": ("m.pt", _weights),
    "tensorflow": ("model.ckpt.index", _weights),
    "text": ("m.rnn", _text),
    "kernels": ("x.kernels", _kernels),
}
"""Every reader of bytes that others may have made: a file's name, and what reads it."""


@cache
def sound(kind: str) -> bytes:
    """A whole file of a kind."""
    with tempfile.TemporaryDirectory() as place:
        made: dict[str, Callable[[], bytes]] = {
            "npz": partial(_npz, False),
            "weights npz": partial(_npz, False),
            "packed npz": partial(_npz, True),
            "npy": _npy,
            "csv": lambda: CSV,
            "json": lambda: JSON,
            "safetensors": partial(_safetensors, Path(place)),
            "weights": partial(_safetensors, Path(place)),
            "checkpoint": partial(_checkpoint, Path(place)),
            "best weights": partial(_checkpoint, Path(place)),
            "onnx": _onnx,
            "h5": _h5,
            "keras": _keras,
            "pickle": lambda: PICKLE,
            "tensorflow": lambda: min((ROOT / "tests" / "exchange" / "weights").rglob("*.index")).read_bytes(),
            "kernels": _kept,
            "text": lambda: (ROOT / "examples" / "digits.rnn").read_bytes(),
        }
        return made[kind]()


# --- what is done to them ----------------------------------------------------------------------------------------


def mutant(content: bytes, chance: random.Random) -> bytes:
    """The bytes after one to three mishaps."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        content = chance.choice(MISHAPS)(content, chance)
    return content


def _place(content: bytes, chance: random.Random) -> int:
    """Any place; half of the time near the beginning or the end, where formats keep their headers."""
    size = len(content)
    near = chance.random()
    if near < 0.3:
        return chance.randrange(min(size, 200) + 1)
    return max(0, size - chance.randrange(min(size, 200) + 1)) if near < 0.5 else chance.randrange(size + 1)


def flipped(content: bytes, chance: random.Random) -> bytes:
    if not content:
        return content
    at = min(_place(content, chance), len(content) - 1)
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def without(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.randrange(1, 40) :]


def doubled(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[: at + chance.randrange(1, 300)] + content[at:]


def strewn(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + chance.choice(ODD) + content[at + chance.choice([0, 1, 4, 8]) :]


def numbered(content: bytes, chance: random.Random) -> bytes:
    """A number of four or eight bytes that is very large, negative or nothing."""
    at, form = _place(content, chance), chance.choice(["<I", "<Q", ">I"])
    number = chance.choice([0, 1, 2**31, 2**32 - 1, chance.randrange(2**32)])
    return content[:at] + struct.pack(form, number) + content[at + struct.calcsize(form) :]


def digits(content: bytes, chance: random.Random) -> bytes:
    """A number in words, as in headers, that is another."""
    places = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    if not places:
        return content
    at = chance.choice(places)
    return content[:at] + chance.choice([b"9999999999", b"-1", b"0", b"9" * 5000, b"1e9"]) + content[at + 1 :]


MISHAPS = [flipped, flipped, cut, without, doubled, strewn, numbered, digits]


# --- what must hold ----------------------------------------------------------------------------------------------


def findings(seed: int, kind: str = "") -> Iterator[str]:
    """What is wrong in how the mutant of a seed is read."""
    chance = random.Random(seed)
    kind = kind or list(READERS)[seed % len(READERS)]
    name, read = READERS[kind]
    content = mutant(sound(kind), chance)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(content)
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LONGEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except UserError as error:
            words = " ".join(d.message for d in error.diagnostics)
            if path.stem not in words and not any(d.span for d in error.diagnostics):
                yield f"{kind}: `{words[:200]}` does not name the file"
        except BaseException as error:
            yield f"{kind}: {type(error).__name__}: {str(error)[:300]}"
        finally:
            signal.alarm(0)
        if path.read_bytes() != content:
            yield f"{kind}: the file was changed"


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"longer than {LONGEST} s")


if __name__ == "__main__":
    sys.exit(main("mutants", findings))
