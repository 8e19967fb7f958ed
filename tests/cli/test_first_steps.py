"""`new`, `examples`, `library`, `doctor`: what somebody asks who is new here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli import doctor
from rnngraph.cli.examples import DATA
from rnngraph.cli.main import exit_code
from rnngraph.language.elaboration.imports import library
from tests.support.paths import ROOT

GRAMMAR = (ROOT / "grammar" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def said(capsys: Any, *arguments: str, code: int = 0) -> str:
    assert exit_code(arguments) == code
    told = capsys.readouterr()
    return str(told.err if code else told.out)


# --- new ---


def test_the_three_commands_of_a_new_folder_work(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said(capsys, "new", "some/first")
    monkeypatch.chdir("some/first")
    text = Path("README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    rnngraph (.+)$", text, re.M)
    assert [command.split()[0] for command in commands] == ["train", "predict", "compare"]
    for command in commands:
        said(capsys, *command.split(), *(["--repeats", "1"] if command.startswith("compare") else []))
    found, data = (np.genfromtxt(f"{n}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
                   for n in ("predictions", "data"))  # fmt: skip
    error = found["forecast0"][:-1] - data["temperature"][24:]
    change = data["temperature"][24:] - data["temperature"][23:-1]
    assert np.mean(error**2) < np.mean(change**2) / 5, "it has learnt more than that nothing changes"
    assert said(capsys, "check", "model.rnn") == "" or "model.rnn" in said(capsys, "check", "model.rnn")
    assert exit_code(["fmt", "--check", "model.rnn"]) == 0


@pytest.mark.parametrize("command", [["new", "taken"], ["examples", "--copy", "taken"]])
def test_a_folder_with_files_is_left_alone(capsys: Any, command: list[str]) -> None:
    Path("taken").mkdir()
    Path("taken", "mine.txt").write_text("mine")
    assert "has files already" in said(capsys, *command, code=2)
    assert [p.name for p in Path("taken").iterdir()] == ["mine.txt"]
    assert "is not a folder" in said(capsys, *command[:-1], "taken/mine.txt", code=2)


# --- examples ---


def test_examples_are_listed_and_copied_with_their_data(capsys: Any) -> None:
    names = {file.stem for file in (ROOT / "examples").glob("*.rnn")}
    rows = re.findall(r"^(\w+)  .*(kB|in the repository)$", said(capsys, "examples"), re.M)
    assert {name for name, _ in rows} == names
    assert {name for name, where in rows if where == "kB"} == DATA.keys()
    said(capsys, "examples", "--copy", "all")
    assert {file.stem for file in Path("all").glob("*.rnn")} == names
    papers = {file.stem for file in (ROOT / "examples" / "papers").glob("*.rnn")}
    assert set(re.findall(r"^(\w+)  .* a recipe$", said(capsys, "examples"), re.M)) == papers
    assert {file.stem for file in Path("all/papers").glob("*.rnn")} == papers
    assert "wrote one: papers/dnc.rnn" in said(capsys, "examples", "--copy", "one", "dnc")
    rg.load("all/dates.rnn")
    said(capsys, "examples", "--copy", "some", "textbook", "lstm4")
    found = {p.relative_to("some").as_posix() for p in Path("some").rglob("*.*")}
    assert found == {"textbook.rnn", "lstm4.rnn", *(f"data/{file}" for n in ("textbook", "lstm4") for file in DATA[n])}
    run = ["run", "some/textbook.rnn", "--data", "some/data/textbook.npz"]
    assert "8.34561659e-01" in said(capsys, *run, "--weights", "some/data/textbook.safetensors")


def test_an_unknown_example_gets_a_hint(capsys: Any) -> None:
    assert "did you mean `textbook`?" in said(capsys, "examples", "textbok", code=2)
    assert "there are by_hand, chars" in said(capsys, "examples", "zzz", code=2)


# --- library ---


def test_the_library_is_listed_each_with_a_sentence(capsys: Any) -> None:
    text = said(capsys, "library")
    found = re.findall(r"^(\w+)(?:\(.*?(?:\)|,))?  +(\S.+)$", text, re.M)[1:]
    assert {name for name, _ in found} == set(library())
    assert not re.search(r"\((19|20)\d\d\)", text), "papers are shown with the cell"


def test_a_cell_is_shown_whole(capsys: Any) -> None:
    """What the reference says of its settings, states and weights is there, and the equations run as they stand."""
    text = said(capsys, "library", "LSTM")
    assert "Hochreiter, J. Schmidhuber (1997)" in text
    (settings,) = re.findall(r"^\| `LSTM` \| `(.+?)` \|", GRAMMAR, re.M)
    for setting in settings.split(", "):
        name, _, default = setting.partition(" = ")
        assert re.search(rf"^{name} +{re.escape(default or '(needed)')} *$", text, re.M), name
    for declared in ("x: [n]", "c: [units]", "h: [width]", "kernel: [n + width, gates * units]", "w_f: [units]"):
        assert declared in text
    own = text[text.index("cell LSTM(\n") :].replace("cell LSTM", "cell Mine")
    model = rg.parse(own + "model M { input x: seq[3] y, _ = unroll Mine(4) over x output y }")
    assert {w.name.rpartition(".")[2] for w in model.weights} == {"kernel", "bias"}


@pytest.mark.parametrize("name", ["AdditiveAttention", "BagSum", "NCELoss", "QRNNPooling"])
def test_cells_that_share_a_file_are_shown_alone(capsys: Any, name: str) -> None:
    text = said(capsys, "library", name)
    assert len(re.findall(r"^(?:cell|layer) \w+.*\{$", text, re.M)) == 1
    assert text.rstrip().endswith("}")


@pytest.mark.parametrize(("name", "meant"), [("lstm", "LSTM"), ("Dence", "Dense")])
def test_an_unknown_cell_gets_a_hint(capsys: Any, name: str, meant: str) -> None:
    assert f"did you mean `{meant}`?" in said(capsys, "library", name, code=2)


# --- doctor ---


def test_doctor_tells_what_is_here(capsys: Any) -> None:
    found = {one["what"]: one for one in json.loads(said(capsys, "doctor", "--json"))}
    assert f"numpy {np.__version__}" in found["libraries"]["found"]
    assert found["kernels"]["there"] and re.search(r"vectors of \d+ bits, \d+ thread", found["kernels"]["found"])
    for name in ("onnx", "h5py", "torch", "jax", "cupy", "pandas"):
        assert found[name]["there"] or found[name]["help"].startswith("pip install")
    text = said(capsys, "doctor")
    assert "A normal run has all that it needs." in text and max(map(len, text.splitlines())) <= 80


def test_doctor_fails_where_a_library_is_missing(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda *names: "" if "lark" in names else version(*names))
    assert exit_code(["doctor"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^MISSING +libraries +missing: lark", text, re.M) and "pip install lark" in text


def test_doctor_tells_why_kernels_are_not_compiled(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnngraph.runtime import native

    def broken() -> None:
        raise OSError("no LLVM")

    monkeypatch.setattr(native, "walker", broken)
    monkeypatch.setattr("rnngraph.files.cache.folder", lambda: None)
    text = said(capsys, "doctor")
    assert "no LLVM" in text and "NumPy runs models instead" in text and "kernels are compiled anew" in text
