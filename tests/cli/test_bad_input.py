"""Wrong files, data, weights and wishes, through the command line: one clear message, an exit code, no traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.request import Wanted
from rnngraph.generation.streaming import stream
from rnngraph.runtime.numpy import NumpyBackend
from tests.support.arrays import arrays
from tests.support.paths import ROOT
from tests.support.running import same_bits

PLAIN = """\
model Plain {
  input x: seq[3]
  y, final = unroll RNN(4) over x
  output y, final
  loss mean(y * y)
  train {
    optimizer sgd(rate = 0.1)
    epochs 2
    batch 2
  }
}
"""

WORDS = """\
model Words {
  input word: seq int
  y, _ = unroll RNN(4) over Embedding(7, 3)(word)
  output y
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a model `plain.rnn` and its data `x.npz`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNGRAPH_TRACEBACK", raising=False)
    write("plain.rnn", PLAIN)
    write("words.rnn", WORDS)
    np.savez("x.npz", x=floats(2, 5, 3))
    return tmp_path


def floats(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


def write(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


class Told:
    """What a command said and left."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = exit_code(arguments)
        said = capsys.readouterr()
        self.out, self.err = said.out, said.err
        assert "Traceback" not in self.err
        assert "rnngraph itself failed" not in self.err, self.err


def refused(capsys: pytest.CaptureFixture[str], code: int, words: str, *arguments: str) -> Told:
    told = Told(capsys, *arguments)
    assert words in told.err, told.err
    assert told.code == code
    return told


# --- files that are no model -----------------------------------------------------------------------------------


TEXTS = {
    "recursion": ("cell A(n) {\n  input x: [3]\n  inner = A(n)\n  output inner(x)\n}\n", "`A` contains itself", 1),
    "negative size": (
        "model M {\n  input x: [3]\n  param w: [3, 2 - 4] ~ normal\n  output x @ w\n}\n",
        "a size cannot be negative, and is `2 - 4` = -2",
        3,
    ),
    "size without bound": (
        "model M {\n  input x: [3]\n  param w: [3, 10000000000000] ~ normal\n  output x @ w\n}\n",
        "a size must be below",
        3,
    ),
    "repetition without bound": (
        "model M {\n  input x: [3]\n  y = x\n  for k in 1..1000000000 {\n    y = y + 1\n  }\n  output y\n}\n",
        "repeats 1,000,000,000 times",
        4,
    ),
    "nesting without bound": (
        f"model M {{\n  input x: [3]\n  output {'(' * 20_000}x{')' * 20_000}\n}}\n",
        "nested too deeply",
        3,
    ),
    "blocks without bound": ("model M {\n" + "for k in 1..2 {\n" * 3000 + "}" * 3000 + "}\n", "too deep", None),
    "a sum without end": (f"model M {{\n  input x: [3]\n  output {'x + ' * 100_000}x\n}}\n", "too", None),
    "a name that is not there": ("model M {\n  input x: [3]\n  output y\n}\n", "y", 3),
    "import from outside": (
        'import "../../etc/passwd"\nmodel M {\n  input x: [3]\n  output x\n}\n',
        "not inside the folder",
        1,
    ),
    "import of itself": ('import "model.rnn"\nmodel M {\n  input x: [3]\n  output x\n}\n', "model.rnn", 1),
    "no model": ("cell A {\n  input x: [3]\n  output x\n}\n", "there is no model", None),
    "nothing": ("", "there is no model", None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_wrong_model_is_refused_at_its_line(folder: Path, capsys: Any, name: str) -> None:
    text, words, line = TEXTS[name]
    write("model.rnn", text)
    told = refused(capsys, 2, words, "run", "model.rnn", "--data", "x.npz")
    if line is not None:
        assert f"model.rnn:{line}:" in told.err


@pytest.mark.parametrize("verb", ["check", "fmt", "show", "summary", "run"])
@pytest.mark.parametrize(
    "content",
    [bytes(range(256)), b"\x00" * 100, b"model M {\xff}", b"\x80" * 2_000_000],
    ids=["bytes", "nul", "latin", "big"],
)
def test_a_file_that_is_no_text(folder: Path, capsys: Any, verb: str, content: bytes) -> None:
    Path("binary.rnn").write_bytes(content)
    refused(capsys, 2, "`binary.rnn` is", verb, "binary.rnn")
    assert Path("binary.rnn").read_bytes() == content


@pytest.mark.parametrize("verb", ["check", "fmt", "show", "summary", "run", "train", "compare"])
def test_a_file_that_is_not_there(folder: Path, capsys: Any, verb: str) -> None:
    data = ["--data", "x.npz"] if verb == "train" else []
    refused(capsys, 2, "there is no file `absent.rnn`", verb, "absent.rnn", *data)
    refused(capsys, 2, "`.` is a folder", verb, ".", *data)


def test_all_errors_of_a_file_come_in_one_go(folder: Path, capsys: Any) -> None:
    write("many.rnn", "model M {\n  input x: [3]\n  a = x @ nosuch\n  b = other(x)\n  output a, b\n}\n")
    told = refused(capsys, 2, "nosuch", "check", "many.rnn")
    assert "other" in told.err


def test_a_mistake_told_in_the_library_names_the_line_that_uses_it(folder: Path, capsys: Any) -> None:
    write("none.rnn", PLAIN.replace("RNN(4)", "RNN(-1)"))
    told = refused(capsys, 2, "a size cannot be negative", "check", "none.rnn")
    assert "--> none.rnn:3:" in told.err and "library/rnn.rnn" in told.err


def test_text_from_outside_cannot_drive_the_terminal(folder: Path, capsys: Any) -> None:
    write("escape.rnn", "model M {\n  input x: [3]\n  output x \x1b[2J @\n}\n")
    assert "\x1b" not in refused(capsys, 2, "error", "check", "escape.rnn").err


# --- data --------------------------------------------------------------------------------------------------------


DATA: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({}, "the data has no `x`"),
    "unknown": ({"x": floats(2, 5, 3), "z": floats(2)}, "the model has no input `z`"),
    "weights": ({"rnn.kernel": floats(7, 4), "rnn.bias": floats(4)}, "the data are weights of this model"),
    "rank": ({"x": floats(2, 3)}, "`x` should be (batch, time, 3), got (2, 3)"),
    "size": ({"x": floats(2, 5, 4)}, "`x` has 4 values on axis 2, expected 3"),
    "dtype": ({"x": np.full((2, 5, 3), "a")}, "`x` should hold floats"),
    "complex": ({"x": np.full((2, 5, 3), 1j)}, "`x` should hold floats"),
    "nan": ({"x": np.full((2, 5, 3), np.nan)}, "`x` holds nan at row 0, step 0, value 0"),
    "infinite": ({"x": np.where(np.arange(30).reshape(2, 5, 3) == 20, np.inf, 0)}, "inf at row 1, step 1, value 2"),
    "empty": ({"x": floats(0, 5, 3)}, "`x` is empty"),
    "long lengths": ({"x": floats(2, 5, 3), "x.lengths": np.array([5, 6])}, "`x.lengths` says 6 for row 1"),
    "negative lengths": ({"x": floats(2, 5, 3), "x.lengths": np.array([-1, 5])}, "`x.lengths` says -1 for row 0"),
    "wrong lengths": ({"x": floats(2, 5, 3), "x.lengths": np.array([5])}, "`x.lengths` should be (2,)"),
    "float lengths": ({"x": floats(2, 5, 3), "x.lengths": floats(2)}, "`x.lengths` should hold integers"),
    "state": ({"x": floats(2, 5, 3), "final.h": floats(2, 7)}, "`final.h` has 7 values on axis 1, expected 4"),
    "state of other rows": ({"x": floats(2, 5, 3), "final.h": floats(3, 4)}, "rows"),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("verb", ["run", "train"])
def test_wrong_data_is_refused(folder: Path, capsys: Any, verb: str, name: str) -> None:
    arrays, words = DATA[name]
    np.savez("given.npz", **arrays)
    told = refused(capsys, 2, words, verb, "plain.rnn", "--data", "given.npz")
    if name not in ("unknown", "weights", "state", "state of other rows"):
        assert "plain.rnn:2:" in told.err, "the line that declares the input"


@pytest.mark.parametrize("id", [-1, 7, 1_000_000])
def test_an_id_outside_its_table_is_refused(folder: Path, capsys: Any, id: int) -> None:
    np.savez("words.npz", word=np.array([[0, 6, id]]))
    refused(
        capsys, 2, f"`word` holds {id} at row 0, step 2, expected 0 to 6", "run", "words.rnn", "--data", "words.npz"
    )


class Bomb:
    """Leaves a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_pickled_arrays_are_refused_unread(folder: Path, capsys: Any, ending: str) -> None:
    array = np.array([Bomb()], dtype=object)
    np.savez("x.npz", x=array) if ending == "npz" else np.save("x.npy", array)
    refused(capsys, 2, "holds pickled Python objects", "run", "plain.rnn", "--data", f"x.{ending}")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.npz", b"PK\x03\x04 not a zip"),
        ("a.npy", b"\x93NUMPY"),
        ("a.json", b"[1, 2"),
        ("a.csv", b"x\nq"),
        ("a.npz", b""),
        ("a.txt", b"x"),
        ("a.json", b"\xff"),
        ("a.json", b"[" * 100_000),
    ],
)
def test_broken_data_is_refused(folder: Path, capsys: Any, name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    refused(capsys, 2, f"`{name}`", "run", "plain.rnn", "--data", name)


def test_data_under_one_name_twice_is_refused(folder: Path, capsys: Any) -> None:
    """Only the last of them would be seen."""
    write("twice.json", '{"x": [[[1, 2, 3]]], "x": [[[4, 5, 6]]]}')
    refused(capsys, 2, "`x` occurs in it twice", "run", "plain.rnn", "--data", "twice.json")
    content = io.BytesIO()
    np.save(content, floats(1, 2, 3))
    with zipfile.ZipFile("twice.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("x.npy", content.getvalue())
    refused(capsys, 2, "`x` occurs in it twice", "run", "plain.rnn", "--data", "twice.npz")
    with pytest.raises(UserError, match="line 1: `x` occurs in it twice"):
        model = rg.load("plain.rnn")
        list(stream(model, model.init(0), ['{"x": [1, 2, 3], "x": [4, 5, 6]}'], "float64", {}))


STACK = """\
model Stack {
  input x: seq[3]
  y, final = unroll LSTM(2) >> GRU(2) over x
  z, other = unroll RNN(2) over x
  output y, z
  loss mean(y * y)
}
"""
STATES = ("final.0.c", "final.0.h", "final.1.h")


@pytest.mark.parametrize("missing", [STATES[:1], STATES[1:2], STATES[2:], STATES[:2], STATES[1:]])
def test_a_record_of_which_states_are_missing_is_refused(folder: Path, capsys: Any, missing: tuple[str, ...]) -> None:
    """They would begin anew, in silence."""
    write("stack.rnn", STACK)
    states = {name: floats(2, 2) for name in STATES if name not in missing}
    np.savez("given.npz", x=floats(2, 5, 3), **states)
    words = f"the data has `{next(iter(states))}` but no {' and no '.join(f'`{m}`' for m in missing)}"
    for verb in ("run", "train"):
        refused(capsys, 2, words, verb, "stack.rnn", "--data", "given.npz")
    np.savez("first.npz", **states)
    model = rg.load("stack.rnn")
    with pytest.raises(UserError, match=words):
        list(stream(model, model.init(0), ["1 2 3"], "float64", {n: a[:1] for n, a in states.items()}))
    written: dict[str, Any] = {}
    exec(to_numpy(model, model.init(0), Wanted()).text, written)
    with pytest.raises(ValueError, match="give all of initial_0_c, initial_0_h, initial_1_h, or none"):
        named = {n.replace("final", "initial").replace(".", "_"): a for n, a in states.items()}
        written["run"](floats(2, 5, 3), **named)


def test_a_whole_record_may_be_given_beside_one_that_is_not(folder: Path) -> None:
    model = rg.parse(STACK)
    data = {"x": floats(2, 5, 3), **{name: floats(2, 2) for name in STATES}}
    found, anew = (model.compile().run(d, model.init(0)) for d in (data, {"x": data["x"]}))
    assert not np.array_equal(found["y"], anew["y"]) and np.array_equal(found["z"], anew["z"])


def test_data_that_is_not_there(folder: Path, capsys: Any) -> None:
    refused(capsys, 1, "cannot read `absent.npz`", "run", "plain.rnn", "--data", "absent.npz")


# --- weights -----------------------------------------------------------------------------------------------------


def weights(path: str, **changes: Any) -> bytes:
    found = {**rg.load("plain.rnn").init(0), **changes}
    rg.save_weights(path, {name: array for name, array in found.items() if array is not None})
    return Path(path).read_bytes()


@pytest.mark.parametrize("kept", [0, 5, 40, 150, -1])
def test_truncated_weights_are_refused(folder: Path, capsys: Any, kept: int) -> None:
    Path("w.safetensors").write_bytes(weights("w.safetensors")[:kept])
    told = "cannot be read as a safetensors file"
    refused(capsys, 2, told, "run", "plain.rnn", "--data", "x.npz", "--weights", "w.safetensors")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"rnn.kernel": floats(8, 4)}, "`rnn.kernel`"),
        ({"rnn.kernel": None}, "no value is given for the weight `rnn.kernel`"),
        ({"rnn.kernal": floats(8, 4), "rnn.kernel": None}, "did you mean `rnn.kernel`"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, capsys: Any, changes: dict[str, Any], words: str) -> None:
    weights("w.safetensors", **changes)
    refused(capsys, 2, words, "run", "plain.rnn", "--data", "x.npz", "--weights", "w.safetensors")


# --- what cannot be written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["absent/file", "."])
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "plain.rnn", "--data", "x.npz", "--out"],
        ["train", "plain.rnn", "--data", "x.npz", "--out"],
        ["train", "plain.rnn", "--data", "x.npz", "--checkpoint"],
        ["compare", "plain.rnn", "--steps", "2", "--page"],
    ],
    ids=["run", "train", "checkpoint", "page"],
)
def test_an_unwritable_output_is_told_before_the_work(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], place: str
) -> None:
    for work in ("debugging.nan_finder.run_and_explain", "training.train.train", "analysis.compare.compare"):
        monkeypatch.setattr(f"rnngraph.{work}", None)
    endings = {"run": ".npz", "train": ".safetensors", "compare": ".html"}
    path = place if place == "." else place + endings[arguments[0]]
    refused(capsys, 1, f"cannot write `{path}`", *arguments, path)


def test_an_unwritable_picture(folder: Path, capsys: Any) -> None:
    refused(capsys, 1, "cannot write `absent/m.svg`", "render", "plain.rnn", "--out", "absent/m.svg")
    refused(capsys, 2, "cannot determine the format", "render", "plain.rnn", "--out", "m.gif")


@pytest.mark.parametrize("verb", ["run", "train"])
def test_a_write_that_fails_leaves_what_was_there(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    kept = Path({"run": "kept.npz", "train": "kept.safetensors"}[verb])
    kept.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnngraph.files.atomic_writes.os.fsync", full)
    refused(capsys, 1, "No space left on device", verb, "plain.rnn", "--data", "x.npz", "--out", str(kept))
    assert kept.read_bytes() == b"old"
    assert sorted(p.name for p in folder.iterdir()) == [kept.name, "plain.rnn", "words.rnn", "x.npz"]


# --- too much ----------------------------------------------------------------------------------------------------


def test_a_plan_larger_than_memory_is_refused_before_anything_is_allocated(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NumpyBackend, "free_bytes", lambda self: 100_000)
    monkeypatch.setattr(NumpyBackend, "empty", lambda self, bytes: pytest.fail("allocated"))
    np.savez("long.npz", x=floats(4, 2000, 3))
    told = refused(capsys, 1, "this run takes", "run", "plain.rnn", "--data", "long.npz")
    assert "0.1 MB are free" in told.err and "the largest part" in told.err
    fits = int(told.err.split("help: ")[-1].split(" steps would fit")[0].replace(",", ""))
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(NumpyBackend, "free_bytes", lambda self: 100_000)
    np.savez("long.npz", x=floats(4, fits, 3))
    assert Told(capsys, "run", "plain.rnn", "--data", "long.npz").code == 0
    np.savez("long.npz", x=floats(4, fits + 1, 3))
    assert Told(capsys, "run", "plain.rnn", "--data", "long.npz").code == 1


def test_a_comparison_larger_than_memory_is_refused_before_its_data_is_made(folder: Path, capsys: Any) -> None:
    told = refused(
        capsys, 1, "this run takes", "compare", "plain.rnn", "--steps", "2,1000000000000", "--modes", "dynamic"
    )
    assert "steps would fit with a batch of 32" in told.err


def test_a_static_unrolling_past_memory_is_refused(folder: Path, capsys: Any) -> None:
    for arguments in (["show", "plain.rnn", "--unroll", "static", "--steps"], ["compare", "plain.rnn", "--steps"]):
        told = refused(capsys, 1, "a static graph of this many steps", *arguments, "1000000000")
        assert "--unroll dynamic" in told.err


def test_a_static_unrolling_past_patience_is_warned_of(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnngraph.model.LARGE_UNROLLING", 20)
    for arguments in (["run"], ["train", "--epochs", "1"]):
        told = Told(capsys, arguments[0], "plain.rnn", "--data", "x.npz", "--unroll", "static", *arguments[1:])
        assert told.code == 0
        assert "warning: static unrolling makes about" in told.err and "`--unroll dynamic`" in told.err
    assert "warning" not in Told(capsys, "run", "plain.rnn", "--data", "x.npz", "--seed", "0").err


def test_weights_larger_than_memory_are_refused(folder: Path, capsys: Any) -> None:
    write("wide.rnn", PLAIN.replace("RNN(4)", "RNN(1000000)"))
    refused(capsys, 1, "the weights take 8,000", "run", "wide.rnn", "--data", "x.npz")


# --- wishes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--unroll", "bogus"], 2, "`bogus` is not a way to unroll"),
        (["--unroll", "0"], 2, "`0` is not a way to unroll"),
        (["--unroll", "-1"], 2, "`-1` is not a way to unroll"),
        (["--dtype", "float16"], 2, "`float16` is not a number type"),
        (["--backend", "tpu"], 2, "there is no backend `tpu`"),
        (["--set", "units"], 2, "`units` is not a setting"),
        (["--set", "units=4"], 2, "has no setting `units`"),
        (["--set", "units=4", "--set", "deep=1", "--set", "units=5"], 2, "the setting `units` is given twice"),
        (["--watch", "y,final,y"], 2, "`y` is named twice in what to watch"),
        (["--model", "Other"], 2, "there is no model `Other`"),
        (["--watch", "nosuch"], 2, "nosuch"),
        (["--bogus"], 2, "No such option"),
        (["--seed", "one"], 2, "--seed one: not a whole number"),
    ],
)
def test_wrong_arguments(folder: Path, capsys: Any, arguments: list[str], code: int, words: str) -> None:
    refused(capsys, code, words, "run", "plain.rnn", "--data", "x.npz", *arguments)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--optimizer", "bogus"], "no optimizer is called `bogus`"),
        (["--rate", "nan"], "--rate nan: must be finite"),
        (["--rate", "-1"], "`rate` should be"),
        (["--epochs", "-1"], "--epochs -1: must be 0 or more"),
        (["--batch", "0"], "--batch 0: must be 1 or more"),
        (["--clip-norm", "-1"], "`clip_norm`"),
        (["--validation", "2"], "`validation`"),
        (["--patience", "3"], "`patience` needs validation rows"),
        (["--split", "bogus"], "Invalid value"),
    ],
)
def test_wrong_training(folder: Path, capsys: Any, arguments: list[str], words: str) -> None:
    refused(capsys, 2, words, "train", "plain.rnn", "--data", "x.npz", *arguments)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["show", "plain.rnn", "--after", "grid"], "there is no stage `grid`"),
        (["show", "plain.rnn", "--unroll", "static"], "none was given"),
        (["show", "plain.rnn", "--unroll", "static", "--steps", "-1"], "--steps -1: must be 0 or more"),
        (["compare", "plain.rnn", "--steps", "a,b"], "not whole numbers"),
        (["compare", "plain.rnn", "--steps", "2,-1"], "0 or more"),
        (["compare", "plain.rnn", "--steps", "2", "--batch", "0"], "must be 1 or more"),
        (["compare", "plain.rnn", "--steps", "2", "--modes", "static,both"], "`both` is not a way to unroll"),
        (["render", "plain.rnn", "--out", "m.svg", "--fold", "0"], "must be 1 or more"),
        (["render", "plain.rnn", "--out", "m.svg", "--steps", "-3"], "must be 1 or more"),
        (["train", "words.rnn", "--data", "x.npz"], "the model has no loss"),
        (["nosuch"], "No such command"),
        (["run"], "Missing argument"),
    ],
)
def test_other_wrong_arguments(folder: Path, capsys: Any, arguments: list[str], words: str) -> None:
    refused(capsys, 2, words, *arguments)


def test_a_bug_of_ours_is_called_one(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("oh")

    run = "rnngraph.debugging.nan_finder.run_and_explain"
    monkeypatch.setattr(run, broken)
    assert exit_code(["run", "plain.rnn", "--data", "x.npz"]) == 1
    assert "rnngraph itself failed: RuntimeError: oh" in capsys.readouterr().err
    monkeypatch.setattr(run, lambda *_: (_ for _ in ()).throw(MemoryError()))
    assert exit_code(["run", "plain.rnn", "--data", "x.npz"]) == 1
    assert "memory is exhausted" in capsys.readouterr().err


# --- numbers that are none ---------------------------------------------------------------------------------------


LOGS = """\
cell Shrink(units) {
  input x: [n]
  state h: [units] = 1
  param w: [n, units] ~ normal(0, 0.0001)
  r = log(h - 0.3)
  h' = r + x @ w
  output h'
}

model M {
  input x: seq[3]
  y, final = unroll Shrink(4) over x
  output y
  loss mean(y * y)
}
"""


@pytest.mark.parametrize("unroll", ["static", "dynamic", "2"])
def test_the_first_step_and_equation_of_a_nan_are_told(folder: Path, capsys: Any, unroll: str) -> None:
    write("logs.rnn", LOGS)
    told = refused(
        capsys,
        1,
        "`r` in `shrink` becomes nan at step 1, row 0, value 0",
        "run",
        "logs.rnn",
        "--data",
        "x.npz",
        "--unroll",
        unroll,
        "--out",
        "kept.npz",
    )
    assert "logs.rnn:5:7" in told.err and "`log` of -0.65" in told.err
    assert np.isnan(arrays("kept.npz")["y"]).any(), "nothing is lost"


def test_an_infinite_value_before_the_nan_is_told_too(folder: Path, capsys: Any) -> None:
    text = LOGS.replace("r = log(h - 0.3)", "e = exp(300 * h)\n  r = e / (1 + e)").replace("h' = r", "h' = r + 2 * t")
    write("large.rnn", text)
    told = refused(capsys, 1, "`r` in `shrink` becomes nan at step 2", "run", "large.rnn", "--data", "x.npz")
    assert "`div` of inf and inf is nan here" in told.err
    assert "is inf here, before that, at step 2, row 0, value 0" in told.err
    assert "help: its operand is too large" in told.err


def test_the_first_nan_of_training_is_told(folder: Path, capsys: Any) -> None:
    write("logs.rnn", LOGS)
    told = refused(
        capsys, 1, "the loss was no longer finite in epoch 1, batch 1", "train", "logs.rnn", "--data", "x.npz"
    )
    assert "`r` in `shrink` becomes nan at step 1" in told.err and "logs.rnn:5:7" in told.err


def test_a_nan_of_the_gradient_alone_is_told(folder: Path, capsys: Any) -> None:
    text = PLAIN.replace("loss mean(y * y)", "loss mean(sqrt(0 * abs(y)))")
    write("root.rnn", text)
    told = refused(capsys, 1, "the gradient was no longer finite", "train", "root.rnn", "--data", "x.npz")
    assert "the gradient of" in told.err and "root.rnn:5:" in told.err


def test_a_nan_among_the_weights_is_told(folder: Path, capsys: Any) -> None:
    weights("w.safetensors", **{"rnn.bias": np.array([0, 0, np.nan, 0])})
    told = Told(capsys, "run", "plain.rnn", "--data", "x.npz", "--weights", "w.safetensors")
    assert "the weight `rnn.bias` holds nan" in told.err and told.code


def test_weights_that_training_made_infinite_are_told(folder: Path, capsys: Any) -> None:
    write("steep.rnn", PLAIN.replace("mean(y * y)", "mean(1000 * y * y)"))
    arguments = ["train", "steep.rnn", "--data", "x.npz", "--rate", "1e38"]
    told = refused(capsys, 1, "no longer finite in epoch 2, batch 1", *arguments)
    assert "holds a value that is not finite" in told.err


def test_padding_is_not_taken_for_the_cause(folder: Path, capsys: Any) -> None:
    x = floats(2, 5, 3)
    x[0, 3:] = np.nan
    np.savez("padded.npz", **{"x": x, "x.lengths": np.array([3, 5])})
    assert Told(capsys, "run", "plain.rnn", "--data", "padded.npz").code == 0
    write("logs.rnn", LOGS)
    refused(capsys, 1, "`r` in `shrink` becomes nan at step 1", "run", "logs.rnn", "--data", "padded.npz")


# --- interruption ------------------------------------------------------------------------------------------------


def training(*arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "rnngraph",
        "train",
        "plain.rnn",
        "--data",
        "many.npz",
        "--checkpoint",
        "state.checkpoint",
        "--epochs",
        "100000",
        "--seed",
        "3",
        *arguments,
    ]


def started(folder: Path) -> subprocess.Popen[str]:
    """A training that has kept its first checkpoint."""
    np.savez("many.npz", x=floats(40, 5, 3))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where these tests are run deaf to Ctrl-C
    process = subprocess.Popen(
        training(), stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=listening
    )
    deadline = time.monotonic() + 60
    while not Path("state.checkpoint").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    return process


def epochs_kept(path: str = "state.checkpoint") -> int:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return int(json.loads(file.metadata()["training"])["epoch"])


def test_ctrl_c_keeps_and_names_the_checkpoint(folder: Path, capsys: Any) -> None:
    process = started(folder)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "training was interrupted in epoch" in said and "`state.checkpoint` holds its state" in said
    assert "Traceback" not in said
    goes_on(capsys)


def test_a_killed_training_goes_on_from_its_checkpoint(folder: Path, capsys: Any) -> None:
    process = started(folder)
    process.kill()
    process.communicate(timeout=60)
    goes_on(capsys)


def goes_on(capsys: Any) -> None:
    """To the same bits as a training that was never stopped."""
    import rnngraph as rg

    epochs = str(epochs_kept() + 3)
    common = ["train", "plain.rnn", "--data", "many.npz", "--seed", "3", "--epochs", epochs]
    assert Told(capsys, *common, "--resume", "state.checkpoint", "--out", "resumed.safetensors").code == 0
    assert Told(capsys, *common, "--out", "whole.safetensors").code == 0
    whole, resumed = rg.load_weights("whole.safetensors"), rg.load_weights("resumed.safetensors")
    assert same_bits(whole, resumed)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--resume", "absent.checkpoint"], 1, "cannot read `absent.checkpoint`"),
        (["--resume", "w.safetensors"], 2, "is not a checkpoint"),
        (["--resume", "half.checkpoint"], 2, "cannot be read as a safetensors file"),
        (["--resume", "state.checkpoint", "--rate", "0.7"], 2, "was made with other settings"),
    ],
)
def test_a_checkpoint_that_does_not_fit(folder: Path, capsys: Any, arguments: list[str], code: int, words: str) -> None:
    weights("w.safetensors")
    assert Told(capsys, "train", "plain.rnn", "--data", "x.npz", "--checkpoint", "state.checkpoint").code == 0
    Path("half.checkpoint").write_bytes(Path("state.checkpoint").read_bytes()[:300])
    refused(capsys, code, words, "train", "plain.rnn", "--data", "x.npz", *arguments)


def test_no_reader_of_the_output_is_no_failure_to_be_told(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "rnngraph", "show", "plain.rnn", "--unroll", "static", "--steps", "3000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)
