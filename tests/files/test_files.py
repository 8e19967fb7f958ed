"""No file is lost: every verb with all that it reads and writes, in one table; a new verb has to stand in it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.arguments import EmptyText, Folder, Input, Output, Real, Steps, StepsToTry, Verb, Whole, Wholes
from rnngraph.cli.main import exit_code
from rnngraph.files.archives import read_npz, write_npz
from rnngraph.files.atomic_writes import PREFIX, write_aside
from rnngraph.files.safetensors import read_tensors
from tests.support.paths import ROOT
from tests.support.running import same_bits
from tests.support.verbs import COMMANDS, MODEL, VERBS, flags, sums, value_of, with_value


def told(capsys: Any, verb: str, arguments: list[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = exit_code([*verb.split(), *arguments])
    return code, capsys.readouterr().err


# --- the table ---------------------------------------------------------------------------------------------------


def test_every_verb_stands_in_the_table() -> None:
    assert COMMANDS.keys() == VERBS.keys()
    assert all(isinstance(command, Verb) for command in COMMANDS.values())


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_type_that_is_looked_at(verb: str) -> None:
    known = (Input, Output, Folder, EmptyText, Whole, Wholes, Steps, StepsToTry, Real, click.Choice, click.IntRange)
    for param in COMMANDS[verb].params:
        plain = isinstance(param.type, click.types.StringParamType | click.types.BoolParamType)
        assert plain or isinstance(param.type, known), f"{verb} {param.opts}: {param.type}"
        assert param.opts[0] not in ("--out", "--data", "--weights") or isinstance(param.type, Input | Output)
    table = set(VERBS[verb])
    assert set(flags(verb, Output)) <= table | {"--picture", "--resume", "--heat"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_of_the_table_works_and_changes_no_input(folder: Path, capsys: Any, verb: str) -> None:
    before = sums()
    code, said = told(capsys, verb, VERBS[verb])
    assert code == 0, said
    after = sums()
    assert {name: after.get(name) for name in before} == before or verb == "fmt"
    assert not [name for name in after if PREFIX in name or name.endswith(".lock")]
    for flag in flags(verb, Output):
        assert flag not in VERBS[verb] or Path(value_of(VERBS[verb], flag)).exists()


WRITING = [(verb, flag) for verb in VERBS for flag in flags(verb, Output) if flag in VERBS[verb]]


def aliases(path: str, ending: str) -> list[str]:
    """Other names of a file, some with the ending that an output wants."""
    os.symlink(path, f"symbolic{ending}")
    os.link(path, f"hard{ending}")
    return [path, f"./{path}", str(Path(path).resolve()), f"symbolic{ending}", f"hard{ending}"]


@pytest.mark.parametrize(("verb", "flag"), WRITING)
def test_no_output_is_an_input(folder: Path, capsys: Any, verb: str, flag: str) -> None:
    arguments = VERBS[verb]
    wanted = Path(value_of(arguments, flag)).suffix
    read = [arguments[0], *(value_of(arguments, f) for f in flags(verb, Input) if f in arguments)]
    for number, path in enumerate(read):
        inside = folder / str(number)
        inside.mkdir()
        for name in (*read, *(["plots"] if verb == "compare" else [])):
            if Path(name).is_file():
                (inside / name).write_bytes(Path(name).read_bytes())
        os.chdir(inside)
        others = aliases(path, wanted)
        before = sums()
        for other in others:
            code, said = told(capsys, verb, with_value(arguments, flag, other))
            assert code == 2 and ("E665" in said or "E911" in said), (other, said)
            assert other.startswith(("symbolic", "hard")) <= ("E665" in said), said
            assert {n: h for n, h in sums().items() if n in before} == before
        os.chdir(folder)


@pytest.mark.parametrize("verb", dict(WRITING))
def test_no_two_outputs_are_one_file(folder: Path, capsys: Any, verb: str) -> None:
    arguments = VERBS[verb]
    mine = [flag for other, flag in WRITING if other == verb]
    for one, other in product(mine, mine):
        if one != other:
            told_of = told(capsys, verb, with_value(arguments, one, value_of(arguments, other)))
            assert told_of[0] == 2 and ("E665" in told_of[1] or "E911" in told_of[1])


def test_a_checkpoint_may_be_the_one_that_is_gone_on_from(folder: Path, capsys: Any) -> None:
    data = ["small.rnn", "--data", "d.npz", "--out", "o.safetensors"]
    assert told(capsys, "train", [*data, "--checkpoint", "c.checkpoint", "--epochs", "1"])[0] == 0
    kept = Path("c.checkpoint").read_bytes()
    again = [*data, "--checkpoint", "c.checkpoint", "--resume", "c.checkpoint", "--epochs", "2"]
    assert told(capsys, "train", again)[0] == 0
    assert Path("c.checkpoint").read_bytes() != kept
    assert told(capsys, "train", [*data, "--resume", "c.checkpoint", "--epochs", "3"])[0] == 0
    clash = ["small.rnn", "--data", "d.npz", "--out", "c.safetensors", "--checkpoint", "c.safetensors"]
    assert "would be one" in told(capsys, "train", clash)[1]


@pytest.mark.parametrize(("verb", "flag"), [pair for pair in WRITING if pair[0] not in ("weights convert", "import")])
def test_no_output_is_a_file_that_is_imported(folder: Path, capsys: Any, verb: str, flag: str) -> None:
    (folder / "cells").mkdir()
    kept = Path("cells/own.rnn")
    kept.write_text(
        "cell Own(units) {\n  input x: [n]\n  state h: [units] = 0\n  param w: [n, units] ~ glorot_uniform\n"
        "  h' = tanh(x @ w + h)\n  output h'\n}\n"
    )
    Path("small.rnn").write_text('import "cells/own.rnn"\n' + MODEL.replace("LSTM(", "Own("))
    rg.save_weights("w.safetensors", rg.load("small.rnn").init(0))
    before = kept.read_bytes()
    link = f"link{Path(value_of(VERBS[verb], flag)).suffix}"
    os.symlink("cells/own.rnn", link)
    code, said = told(capsys, verb, with_value(VERBS[verb], flag, link))
    assert code == 2 and "E665" in said and "would write over what `small.rnn` imports" in said, said
    assert kept.read_bytes() == before


def test_a_name_with_a_slash_behind_is_that_of_a_folder(folder: Path, capsys: Any) -> None:
    code, said = told(capsys, "run", with_value(VERBS["run"], "--out", "x.npz/"))
    assert code == 1 and "its name is that of a folder" in said and not Path("x.npz").exists()


def test_what_stands_beside_an_export_is_no_data_of_the_user(folder: Path, capsys: Any) -> None:
    np.savez("big.npz", x=1)
    Path("big.rnn").write_text(MODEL.replace("units = 4", "units = 40"))
    before = Path("big.npz").read_bytes()
    assert told(capsys, "export", ["big.rnn", "--to", "numpy", "--seed", "0", "--out", "big.py"])[0] == 0
    assert Path("big.npz").read_bytes() == before and Path("big.weights.npz").exists()


@pytest.mark.parametrize(("verb", "flag"), WRITING)
@pytest.mark.parametrize("name", ["out.txt", "out", "small.rnn", "out.npz.gz", "."])
def test_an_ending_is_kept_or_refused(folder: Path, capsys: Any, verb: str, flag: str, name: str) -> None:
    code, said = told(capsys, verb, with_value(VERBS[verb], flag, name))
    if (verb, flag, name) == ("import", "--out", "small.rnn"):
        assert (code, "is there already" in said) == (2, True)
    elif name == ".":
        assert (code, "it is a folder" in said) == (1, True)
    else:
        assert (code, "E911" in said) == (2, True) and "end its name with ." in said
    assert Path("small.rnn").read_text() == MODEL


@pytest.mark.parametrize(("verb", "flag"), WRITING)
@pytest.mark.parametrize("name", ["absent/x{}", "n" * 300 + "{}", "file/x{}", "nul\0{}"])
def test_a_place_that_cannot_be_written_is_told_first(
    folder: Path, capsys: Any, verb: str, flag: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setattr("rnngraph.model.Model.__init__", None)
    place = name.format(Path(value_of(VERBS[verb], flag)).suffix)
    code, said = told(capsys, verb, with_value(VERBS[verb], flag, place))
    assert code == 1 and "cannot write" in said and "E660" in said, said


def test_a_folder_that_is_gone_is_told(folder: Path, capsys: Any) -> None:
    gone = folder / "gone"
    gone.mkdir()
    data, weights = folder / "d.npz", folder / "w.safetensors"
    os.chdir(gone)
    gone.rmdir()
    arguments = [str(folder / "small.rnn"), "--data", str(data), "--weights", str(weights), "--out", "r.npz"]
    code, said = told(capsys, "run", arguments)
    os.chdir(folder)
    assert code == 1 and "cannot write" in said


# --- forms of results --------------------------------------------------------------------------------------------


def results_of(capsys: Any, out: str, *more: str) -> str:
    arguments = ["small.rnn", "--data", "d.npz", "--weights", "w.safetensors", "--out", out, *more]
    code, said = told(capsys, "run", arguments)
    assert code == 0, said
    return said


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_the_same_numbers_in_every_form(folder: Path, capsys: Any, dtype: str) -> None:
    for form in ("npz", "json", "safetensors", "csv"):
        said = results_of(capsys, f"r.{form}", "--dtype", dtype)
        assert ("a table cannot hold final.c, final.h, loss" in said) == (form == "csv")
    arrays = read_npz("r.npz", "E544")
    assert same_bits(arrays, read_tensors("r.safetensors")[0])
    plain = json.loads(Path("r.json").read_text())
    assert {n: np.asarray(v, arrays[n].dtype).tolist() for n, v in plain.items()} == {
        n: a.tolist() for n, a in arrays.items()
    }
    with open("r.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row", "step", "guess[0]"] and len(rows) == 1 + 16 * 6
    for row, step, value in rows[1:]:
        assert np.dtype(dtype).type(value) == arrays["guess"][int(row), int(step), 0]


def test_a_table_leaves_out_the_padding(folder: Path, capsys: Any) -> None:
    with np.load("d.npz") as file:
        arrays = dict(file)
    lengths = np.arange(16) % 7
    np.savez("d.npz", **arrays, **{"x.lengths": lengths, "size.lengths": lengths})
    results_of(capsys, "r.csv")
    with open("r.csv", newline="") as file:
        rows = [(int(r["row"]), int(r["step"])) for r in csv.DictReader(file)]
    assert rows == [(row, step) for row in range(16) for step in range(row % 7)]


def test_a_table_of_every_second_step_leaves_out_the_padding(tmp_path: Path) -> None:
    model = rg.parse("model M { input x: seq  output every(x, 2) as y }")
    found = model.predict({"x": np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), "x.lengths": np.array([1, 3])}, {})
    found.save(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "row,step,y\n0,0,1.0\n1,0,5.0\n1,1,7.0\n"


STOPS = """
cell Count {
  input x: float
  state n: float = 0
  n' = n + x
  output n'
  stop n' > 2
}
"""


@pytest.mark.parametrize("way, own", [("", [[0, 1, 2], [0]]), (" reversed", [[1, 2, 3], [1]])])
def test_a_table_leaves_out_what_comes_after_a_stop(tmp_path: Path, way: str, own: list[list[int]]) -> None:
    """Zeros there had stood among what was predicted; where another result goes on, there is no value."""
    text = f"{STOPS}model M {{ input x: seq  y = unroll Count over x{way}  output y }}"
    data = {"x": np.array([[1.0, 1, 1, 1], [5, 5, 5, 5]]), "x.lengths": np.array([4, 2])}
    alone, both = (rg.parse(t).predict(data, {}) for t in (text, text.replace("output y }", "output y, x }")))
    alone.save(tmp_path / "r.csv")
    sums = {**{(0, step): i + 1.0 for i, step in enumerate(own[0][:: -1 if way else 1])}, (1, own[1][0]): 5.0}
    lines = [f"{row},{step},{sums[row, step]}" for row, steps in enumerate(own) for step in steps]
    assert (tmp_path / "r.csv").read_text().splitlines() == ["row,step,y", *lines]
    places = [(row, step) for row in (0, 1) for step in range((4, 2)[row])]
    assert both.to_frame()["y"].dropna().tolist() == [sums[place] for place in places if place in sums]
    both.save(tmp_path / "r.csv")
    lines = [f"{row},{step},{sums.get((row, step), '')},{data['x'][row, step]}" for row, step in places]
    assert (tmp_path / "r.csv").read_text().splitlines() == ["row,step,y,x", *lines]


def test_a_table_of_a_number_of_steps_for_each_row(folder: Path, capsys: Any) -> None:
    cell = "cell Next { state n: int = 0  n' = n + 1  output n' }"
    Path("n.rnn").write_text(f"{cell}\nmodel M {{ input n: int  output unroll Next for min(n, 5) as y }}\n")
    np.savez("n.npz", n=np.array([2, 0, 1]))
    assert told(capsys, "run", ["n.rnn", "--data", "n.npz", "--out", "r.csv"])[0] == 0
    assert Path("r.csv").read_text() == "row,step,y\n0,0,1\n0,1,2\n2,0,1\n"
    assert told(capsys, "run", ["n.rnn", "--data", "n.npz", "--out", "r.npz"])[0] == 0
    assert list(read_npz("r.npz", "E544")) == ["y"]


def test_a_table_of_rows_and_none(folder: Path, capsys: Any) -> None:
    Path("rows.rnn").write_text("model M { input x: [2]  output x > 0 as y, sum(x) as z }\n")
    Path("none.rnn").write_text("model M { input x: [2]  loss mean(x) }\n")
    np.savez("x.npz", x=np.array([[1.0, -1.0], [0.5, 2.0]]))
    assert told(capsys, "run", ["rows.rnn", "--data", "x.npz", "--out", "r.csv"])[0] == 0
    assert Path("r.csv").read_text() == "row,y[0],y[1],z\n0,1,0,0.0\n1,1,1,2.5\n"
    code, said = told(capsys, "run", ["none.rnn", "--data", "x.npz", "--out", "r.csv"])
    assert code == 2 and "no result has rows" in said


# --- the same bytes each time ------------------------------------------------------------------------------------

AGAIN = [
    "run small.rnn --data d.npz --weights w.safetensors --out out.npz",
    "run small.rnn --data d.npz --weights w.safetensors --out out.safetensors",
    "run small.rnn --data d.npz --weights w.safetensors --out out.csv",
    "run small.rnn --data d.npz --weights w.safetensors --out out.json",
    "train small.rnn --data d.npz --out out.safetensors --checkpoint out.checkpoint",
    "render small.rnn --out out.pdf",
    "render small.rnn --out out.svg",
    "render small.rnn --out out.png",
    "export small.rnn --to onnx --weights w.safetensors --out out.onnx",
    "export small.rnn --set units=40 --seed 0 --to numpy --out out.py",
    "weights convert w.safetensors --model small.rnn --to keras --out out.safetensors",
    "compare small.rnn --steps 2 --repeats 1 --memory out.pdf",
]


ONE_BY_ONE = """
import json, sys
from pathlib import Path
from rnngraph.cli.main import exit_code
from tests.support.verbs import sums
found = {}
for command in sys.argv[1:]:
    assert exit_code(command.split()) == 0
    found[command] = {n: h for n, h in sums().items() if n.startswith("out")}
    for name in found[command]:
        Path(name).unlink()
Path("found.json").write_text(json.dumps(found))
"""


def test_the_same_command_writes_the_same_bytes(folder: Path) -> None:
    """In two processes, seconds apart, in either order: no order of a table, no clock, nothing that ran before."""
    found: list[dict[str, dict[str, str]]] = []
    for seed, commands in (("1", AGAIN), ("2", AGAIN[::-1])):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", ONE_BY_ONE, *commands], check=True, env=environment)
        found.append(json.loads(Path("found.json").read_text()))
    assert found[0] == found[1] and found[0].keys() == set(AGAIN) and all(found[0].values())


def test_files_from_python_have_the_same_promises(folder: Path) -> None:
    for name in ("w.npz", "w", "w.rnn"):
        with pytest.raises(rg.UserError, match="cannot determine the format of weights"):
            rg.save_weights(name, {})
    rg.save_weights("none.safetensors", {})
    assert rg.load_weights("none.safetensors") == {}
    turned = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array(1, ">i4"), "c": np.zeros((0, 3), bool)}
    rg.save_weights("t.safetensors", turned)
    back = rg.load_weights("t.safetensors")
    assert all(np.array_equal(back[n], a) and back[n].shape == a.shape for n, a in turned.items())


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({1: np.ones(2)}, "1 cannot name an array"),
        ({"__metadata__": np.ones(2)}, "'__metadata__' cannot name an array"),
        ({"\udcff": np.ones(2)}, "cannot name an array"),
        ({"w": np.array([None])}, "`w` holds object"),
        ({"w": np.ones(2, complex)}, "`w` holds complex128"),
        ({"w": np.array(["a"])}, "`w` holds <U1"),
        ({"w": np.ma.masked_array([1.0, 2.0], [True, False])}, "`w` holds masked values"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(folder: Path, arrays: Any, words: str) -> None:
    with pytest.raises(rg.UserError) as error:
        rg.save_weights("o.safetensors", arrays)
    assert words in error.value.diagnostics[0].message and not Path("o.safetensors").exists()


def test_the_library_of_the_format_reads_what_is_written(folder: Path) -> None:
    from safetensors.numpy import load_file

    kinds = ["bool", "int8", "uint8", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64", "float64"]
    arrays = {f"w.{k}": np.arange(5 * i).reshape(i, 5).astype(k) for i, k in enumerate(kinds)}
    arrays["é\n\"'"] = np.ones(())
    rg.save_weights("k.safetensors", arrays)
    assert same_bits(load_file("k.safetensors"), arrays)


def test_names_that_numpy_has_arguments_of_its_own_for(folder: Path) -> None:
    arrays = {"file": np.ones(2), "args": np.zeros(3), "a/b": np.array(1)}
    write_npz("n.npz", arrays)
    assert same_bits(read_npz("n.npz", "E544"), arrays)


# --- what is left behind -----------------------------------------------------------------------------------------


def test_a_part_of_a_killed_write_is_taken_away_by_a_later_one(folder: Path) -> None:
    old, new = Path(f"{PREFIX}old"), Path(f"{PREFIX}new")
    for part in (old, new):
        part.write_bytes(b"1")
    os.utime(old, (1, 1))
    write_aside("x.bin", b"2")
    assert not old.exists() and new.exists() and Path("x.bin").read_bytes() == b"2"


def test_a_name_as_long_as_a_name_may_be_can_be_written(folder: Path, capsys: Any) -> None:
    name = "n" * 251 + ".npz"
    results_of(capsys, name)
    assert Path(name).exists()


def test_a_cache_that_cannot_be_written_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnngraph.files import cache as kept_on_disk
    from rnngraph.kernels.cpu import machine_code

    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setattr(kept_on_disk, "folder", lambda: cache)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnngraph.files.atomic_writes.os.replace", full)
    machine_code.Module("define i64 @two() {\n  ret i64 2\n}")
    assert list(cache.iterdir()) == []
