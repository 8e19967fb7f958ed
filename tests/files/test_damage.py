"""Files that are damaged, foreign or hostile: one message about it; the many are made by `tests.support.mutants`."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.data.read import load
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.safetensors import write_tensors
from rnngraph.training import checkpoint
from rnngraph.weights.save_load import CHECKPOINT
from tests.support.mutants import BEGUN, IDENTITY, READERS, WEIGHTS, findings, sound


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_takes_its_file_and_no_damage(kind: str, tmp_path: Path) -> None:
    name, read = READERS[kind]
    if kind not in ("pickle", "tensorflow"):  # one is never read, one needs the files beside it
        (tmp_path / name).write_bytes(sound(kind))
        read(tmp_path / name)
    assert [wrong for seed in range(30) for wrong in findings(seed, kind)] == []


def refused(path: Path, *words: str) -> None:
    with warnings.catch_warnings(), pytest.raises(UserError) as error:
        warnings.simplefilter("error")
        load([path])
    said = error.value.diagnostics[0].message
    assert str(path) in said and all(word in said for word in words), said


@pytest.mark.parametrize("name", ["d.npz", "d.json", "d.csv", "w.safetensors", "w.npz", "w.onnx", "w.h5", "w.pt"])
def test_what_is_no_file_is_not_read(tmp_path: Path, name: str) -> None:
    """A device gives bytes without end, and a pipe cannot be looked at twice."""
    from rnngraph.exchange.formats.read import read as read_weights

    path = tmp_path / name
    path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="it is a pipe or a device, not a file"):
        load([path]) if name.startswith("d") else read_weights(str(path))
    if name == "w.safetensors":
        with pytest.raises(UserError, match="it is a pipe or a device, not a file"):
            rg.load_weights(path)


# --- archives ----------------------------------------------------------------------------------------------------


def member(array: Any = (1.0, 2.0)) -> bytes:
    import io

    out = io.BytesIO()
    np.save(out, np.array(array))
    return out.getvalue()


def archive(path: Path, *members: tuple[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as file:
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in members:
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_in_another_way(tmp_path: Path, how: int) -> None:
    refused(archive(tmp_path / "a.npz", ("x.npy", member()), how=how), "`x` is compressed in a way")


def test_an_archive_with_an_array_twice_or_something_else(tmp_path: Path) -> None:
    refused(archive(tmp_path / "a.npz", ("x.npy", member()), ("x.npy", member())), "`x` occurs in it twice")
    refused(archive(tmp_path / "a.npz", ("x.txt", b"1")), "`x.txt` in it is not an array")


@pytest.mark.parametrize(("bit", "words"), [(0x1, "`x` is encrypted"), (0x20, "`x` is compressed in a way")])
def test_a_member_that_is_encrypted_or_patched(tmp_path: Path, bit: int, words: str) -> None:
    path = archive(tmp_path / "a.npz", ("x.npy", member()))
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content[at] |= bit
    path.write_bytes(content)
    refused(path, words)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", "it ends before its array is complete"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "it holds more than its array"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,", "damaged, incomplete, or of another kind"),
        ("{'descr': '<f8'}", "damaged, incomplete, or of another kind"),
        ("x" * 20_000, "damaged, incomplete, or of another kind"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "holds pickled Python objects"),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_a_header_that_is_wrong(tmp_path: Path, header: str, words: str, inside: bool) -> None:
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + np.array([1.0, 2.0]).tobytes()
    path = tmp_path / ("a.npz" if inside else "a.npy")
    if inside:
        archive(path, ("x.npy", content))
    else:
        path.write_bytes(content)
    refused(path, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"x": [' + b"9" * 5000 + b"]}", "99999999999999999999… is beyond 64 bits"),
        (b'{"x": [18446744073709551616]}', "18446744073709551616 is beyond 64 bits"),
        (b'{"x": ' + b"[" * 100_000, "its brackets are nested too deeply"),
        (b'{"x": [1 2]}', "line 1, column 10 is not JSON"),
        (b'{"x": 1, "x": 2}', "`x` occurs in it twice"),
        (b'{"x": "\xff"}', "is not UTF-8 text"),
        (b"\xff\xfe\x00", "cannot be read as .json data"),
        (b'{"x": {"y": 1}}', "`x` holds something other than numbers"),
    ],
)
def test_a_text_in_json_that_is_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    refused(tmp_path / "a.json", words)


def test_a_table_with_a_number_of_5000_digits(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n" + "9" * 5000 + "\n")
    refused(tmp_path / "a.csv", "99999999999999999999… is beyond 64 bits")
    (tmp_path / "a.csv").write_text("x\n" + "1" * 200_000 + "e\n")
    refused(tmp_path / "a.csv", ".csv")


# --- checkpoints -------------------------------------------------------------------------------------------------


def texts(**changes: str) -> dict[str, str]:
    place = {"epoch": 1, "batch": 0, "loss_sum": 0.0, "rows": 0, "best_loss": None, "best_epoch": 0, "history": []}
    whole = {"kind": CHECKPOINT, "training": json.dumps(place), "identity": json.dumps(IDENTITY.as_json())}
    return {**whole, **changes}


ARRAYS = {**{f"weights/{n}": a for n, a in WEIGHTS.items()}, **{f"state/{n}": a for n, a in BEGUN.state.items()}}
WRONG = ["", "{}", '""', "99", "[]", "null", "[" * 5000, '{"epoch": "x"}', '{"epoch": 1e400}', "9" * 5000, "\x1b[31m"]


@pytest.mark.parametrize("field", ["training", "identity"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_checkpoint_whose_texts_are_others(tmp_path: Path, field: str, wrong: str) -> None:
    """Their checksum is right: they were written so."""
    write_tensors(tmp_path / "c.checkpoint", ARRAYS, texts(**{field: wrong}))
    with pytest.raises(UserError, match=r"c\.checkpoint"):
        checkpoint.resume(tmp_path / "c.checkpoint", IDENTITY, BEGUN)


@pytest.mark.parametrize(
    "change", [{"epoch": -1}, {"epoch": True}, {"rows": "1"}, {"history": [1]}, {"history": [{"loss": "x"}]}]
)
def test_a_checkpoint_that_stands_nowhere(tmp_path: Path, change: dict[str, Any]) -> None:
    place = {**json.loads(texts()["training"]), **change}
    write_tensors(tmp_path / "c.checkpoint", ARRAYS, texts(training=json.dumps(place)))
    with pytest.raises(UserError, match=r"c\.checkpoint` cannot be read as a checkpoint"):
        checkpoint.resume(tmp_path / "c.checkpoint", IDENTITY, BEGUN)


@pytest.mark.parametrize("name", [*ARRAYS, "state/other"])
def test_a_checkpoint_with_other_arrays(tmp_path: Path, name: str) -> None:
    arrays = {**ARRAYS, name: np.zeros(7)}
    write_tensors(tmp_path / "c.checkpoint", arrays, texts())
    with pytest.raises(UserError, match=r"c\.checkpoint"):
        checkpoint.resume(tmp_path / "c.checkpoint", IDENTITY, BEGUN)


@pytest.mark.parametrize("kind", ["checkpoint", "weights"])
def test_no_flipped_bit_is_taken(tmp_path: Path, kind: str) -> None:
    """Every byte of a file with one bit changed: refused, or the same numbers (a space in the header)."""
    name, read = READERS[kind]
    content, path = sound(kind), tmp_path / name
    path.write_bytes(content)
    whole = read(path)
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            found = read(path)
        except UserError:
            continue
        if kind == "weights":
            assert b"sha256" not in path.read_bytes() or all(np.array_equal(found[n], whole[n]) for n in whole), at
        else:
            assert all(np.array_equal(found.weights[n], whole.weights[n]) for n in whole.weights), at


def test_a_weight_file_of_another_tool_needs_no_checksum(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3)}, tmp_path / "w.safetensors", {"kind": "else"})
    assert rg.load_weights(tmp_path / "w.safetensors")["w"].tolist() == [1, 1, 1]
    save_file(ARRAYS, tmp_path / "c.checkpoint", texts())
    with pytest.raises(UserError, match="its bytes have changed since it was written"):
        checkpoint.resume(tmp_path / "c.checkpoint", IDENTITY, BEGUN)
