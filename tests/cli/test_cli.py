"""Every command, through `rnngraph.cli`: what it prints, what it writes, how it exits."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import cli, exit_code
from rnngraph.passes.pipeline import STAGES
from tests.support.arrays import arrays
from tests.support.cuda import emulator
from tests.support.paths import ROOT
from tests.support.running import same_bits
from tests.support.verbs import MODEL

EXAMPLES = ROOT / "examples"
DATA = EXAMPLES / "data"
TEXTBOOK = [str(EXAMPLES / "textbook.rnn")]
WITH_DATA = [*TEXTBOOK, "--data", str(DATA / "textbook.npz"), "--weights", str(DATA / "textbook.safetensors")]

VERBS = ["check", "compare", "fmt", "render", "run", "show", "summary", "train"]

SMALL = MODEL.replace("  train {", "  metric mean(abs(guess[0] - size)) as distance\n  train {").replace(
    "    epochs 2\n", "    epochs 3\n    validation 0.25\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a model that learns, `small.rnn`, and data for it."""
    monkeypatch.chdir(tmp_path)
    Path("small.rnn").write_text(SMALL, encoding="utf-8")
    x = np.random.default_rng(1).normal(size=(32, 6, 3))
    np.savez("small.npz", x=x, size=x.sum(-1))
    return tmp_path


def out(capsys: Any, *arguments: str, code: int = 0) -> str:
    """What a command prints, its exit code checked."""
    found = exit_code(arguments)
    said = capsys.readouterr()
    assert found == code, said.err
    return str(said.out)


# --- help --------------------------------------------------------------------------------------------------------


def test_these_are_the_verbs(capsys: Any) -> None:
    assert set(VERBS) <= set(cli.commands)
    said = out(capsys, "--help")
    assert all(re.search(rf"^  {verb} ", said, re.M) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_help(capsys: Any, verb: str) -> None:
    said = out(capsys, verb, "--help")
    assert f"rnngraph {verb}" in said or f"{verb} [OPTIONS]" in said
    bare = [p.opts[0] for p in cli.commands[verb].params if isinstance(p, click.Option) and not p.help]
    assert not bare


def test_the_version(capsys: Any) -> None:
    assert out(capsys, "--version") == f"rnngraph, version {rg.__version__}\n"


def test_the_program_runs_as_a_process() -> None:
    for command in ([sys.executable, "-m", "rnngraph"], [sys.executable, "-m", "rnngraph"]):
        done = subprocess.run([*command, "check", *TEXTBOOK], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and "no problems found" in done.stdout, done.stderr


# --- check, fmt, show, summary ----------------------------------------------------------------------------------


def test_check(folder: Path, capsys: Any) -> None:
    assert "no problems found" in out(capsys, "check", "small.rnn", *TEXTBOOK)
    Path("bad.rnn").write_text("model M {\n  input x: [3]\n  output y\n}\n")
    assert out(capsys, "check", "bad.rnn", "small.rnn", code=2) == ""
    found = json.loads(out(capsys, "check", "bad.rnn", "--json", code=2))
    assert [(d["file"], d["line"], d["severity"]) for d in found if d["severity"] == "error"] == [
        ("bad.rnn", 3, "error")
    ]
    assert set(found[0]) >= {"code", "message", "column", "end_line", "end_column", "note", "labels", "help"}


def test_warnings_do_not_fail_a_check(folder: Path, capsys: Any) -> None:
    Path("idle.rnn").write_text("model M {\n  input x: [3]\n  input idle: [3]\n  output x\n}\n")
    assert exit_code(["check", "idle.rnn"]) == 0
    assert "warning" in capsys.readouterr().err


def test_fmt(folder: Path, capsys: Any) -> None:
    ugly = SMALL.replace("  input x", "     input   x").replace("= 4", "=4")
    Path("ugly.rnn").write_text(ugly)
    assert "ugly.rnn: would change" in out(capsys, "fmt", "--check", "ugly.rnn", code=1)
    assert Path("ugly.rnn").read_text() == ugly
    pretty = out(capsys, "fmt", "--stdout", "ugly.rnn")
    assert Path("ugly.rnn").read_text() == ugly and "input x: seq[3]" in pretty
    assert "ugly.rnn: changed" in out(capsys, "fmt", "ugly.rnn")
    assert Path("ugly.rnn").read_text() == pretty
    assert out(capsys, "fmt", "--check", "ugly.rnn") == ""


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.rnn")), ids=lambda p: p.stem)
def test_the_examples_are_formatted_and_right(capsys: Any, path: Path) -> None:
    assert out(capsys, "fmt", "--check", str(path)) == ""
    assert out(capsys, "check", str(path)).endswith("no problems found\n")


@pytest.mark.parametrize("stage", STAGES)
def test_show_prints_every_stage(capsys: Any, stage: str) -> None:
    for more in ([], ["--gradient"], ["--unroll", "static", "--steps", "3"], ["--unroll", "2"]):
        said = out(capsys, "show", *TEXTBOOK, "--after", stage, *more)
        assert "output" in said and "tanh(" in said
        assert ("loop RNN over time" in said) == (stage != "unroll" or "static" not in more)


def test_show_gradient_names_what_it_is_of(folder: Path, capsys: Any) -> None:
    said = out(capsys, "show", "small.rnn", "--gradient")
    assert "output grad:lstm.kernel" in said


def test_summary(folder: Path, capsys: Any) -> None:
    said = out(capsys, "summary", "small.rnn", "--set", "units=6")
    assert "lstm" in said and "kernel [9, 24]" in said
    found = json.loads(out(capsys, "summary", "small.rnn", "--set", "units=6", "--json"))
    weights = rg.load("small.rnn", units=6).weights
    assert found["totals"]["values"] == sum(int(np.prod(w.shape)) for w in weights)


# --- run ---------------------------------------------------------------------------------------------------------


def test_run_prints_the_numbers(capsys: Any) -> None:
    said = {mode: out(capsys, "run", *WITH_DATA, "--unroll", mode) for mode in ("static", "dynamic", "2")}
    assert said["static"] == said["dynamic"] == said["2"]
    assert "y [4, 2, 5]" in said["static"] and "8.34561659e-01" in said["static"]


def test_run_as_json_has_every_bit(capsys: Any) -> None:
    found = json.loads(out(capsys, "run", *WITH_DATA, "--json"))
    program = rg.load(TEXTBOOK[0]).compile()
    results = program.run(dict(np.load(DATA / "textbook.npz")), rg.load_weights(DATA / "textbook.safetensors"))
    assert found.keys() == results.keys()
    for name, array in results.items():
        assert found[name]["shape"] == list(array.shape)
        assert np.array_equal(found[name]["values"], array)


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_run_writes_and_watches(folder: Path, capsys: Any, unroll: str) -> None:
    arguments = ["run", "small.rnn", "--data", "small.npz", "--unroll", unroll, "--out", "r.npz", "--watch", "h,i,c"]
    assert "wrote r.npz" in out(capsys, *arguments)
    found = arrays("r.npz")
    assert {"guess", "final.h", "final.c", "loss", "distance", "h", "i", "c"} <= set(found)
    assert found["h"].shape == found["i"].shape == (32, 6, 4)
    assert np.array_equal(found["h"][:, -1], found["final.h"])


def test_watched_values_are_the_same_in_both_modes(folder: Path, capsys: Any) -> None:
    for mode in ("static", "dynamic"):
        out(
            capsys,
            "run",
            "small.rnn",
            "--data",
            "small.npz",
            "--unroll",
            mode,
            "--out",
            f"{mode}.npz",
            "--watch",
            "h,f,o",
        )
    static, dynamic = arrays("static.npz"), arrays("dynamic.npz")
    assert set(static) == set(dynamic)
    assert all(np.array_equal(static[name], dynamic[name]) for name in static)


def test_big_results_are_not_printed_whole(folder: Path, capsys: Any) -> None:
    np.savez("long.npz", x=np.zeros((40, 100, 3)), size=np.zeros((40, 100)))
    said = out(capsys, "run", "small.rnn", "--data", "long.npz")
    assert len(said) < 5000 and "--out results.npz" in said


def test_run_depends_on_the_seed_alone(folder: Path, capsys: Any) -> None:
    first, same, other = (out(capsys, "run", "small.rnn", "--data", "small.npz", "--seed", s) for s in "778")
    assert first == same != other


def test_names_of_results_may_be_anything(folder: Path, capsys: Any) -> None:
    Path("names.rnn").write_text("model M {\n  input x: [3]\n  output x as file, x + 1 as allow_pickle\n}\n")
    np.savez("x.npz", x=np.zeros((2, 3)))
    out(capsys, "run", "names.rnn", "--data", "x.npz", "--out", "r.npz")
    assert set(arrays("r.npz")) == {"file", "allow_pickle"}


def test_one_model_of_several(folder: Path, capsys: Any) -> None:
    text = "model A {\n  input x: [3]\n  output x as a\n}\n\nmodel B {\n  input x: [3]\n  output x as b\n}\n"
    Path("two.rnn").write_text(text)
    np.savez("x.npz", x=np.zeros((2, 3)))
    assert "b [2, 3]" in out(capsys, "run", "two.rnn", "--data", "x.npz", "--model", "B")
    assert exit_code(["run", "two.rnn", "--data", "x.npz"]) == 2
    assert "--model" in capsys.readouterr().err


# --- train -------------------------------------------------------------------------------------------------------


def test_train_learns_tells_and_writes(folder: Path, capsys: Any) -> None:
    common = ["train", "small.rnn", "--data", "small.npz", "--test", "small.npz", "--epochs", "30"]
    found = json.loads(out(capsys, *common, "--json", "--out", "w.safetensors"))
    history = found["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert {"epoch", "loss", "validation.loss", "validation.distance"} <= set(history[0])
    assert set(found["test"]) == {"loss", "distance"}
    used = json.loads(out(capsys, "run", "small.rnn", "--data", "small.npz", "--weights", "w.safetensors", "--json"))
    assert used["loss"]["values"] == pytest.approx(found["test"]["loss"], rel=1e-4)


def test_train_says_where_the_weights_went(folder: Path, capsys: Any) -> None:
    common = ["train", "small.rnn", "--data", "small.npz", "--epochs", "1"]
    assert "the weights were not saved" in out(capsys, *common)
    assert "wrote w.safetensors" in out(capsys, *common, "--out", "w.safetensors")


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_training_gives_the_same_bits_however_it_is_unrolled(folder: Path, capsys: Any, unroll: str) -> None:
    common = ["train", "small.rnn", "--data", "small.npz"]
    out(capsys, *common, "--unroll", unroll, "--out", "one.safetensors")
    out(capsys, *common, "--unroll", "3", "--out", "other.safetensors")
    one, other = rg.load_weights("one.safetensors"), rg.load_weights("other.safetensors")
    assert same_bits(one, other)


def test_resume_gives_the_same_bits(folder: Path, capsys: Any) -> None:
    common = ["train", "small.rnn", "--data", "small.npz"]
    out(capsys, *common, "--epochs", "6", "--out", "whole.safetensors")
    out(capsys, *common, "--epochs", "2", "--checkpoint", "c.checkpoint")
    out(capsys, *common, "--epochs", "6", "--resume", "c.checkpoint", "--out", "parts.safetensors")
    whole, parts = rg.load_weights("whole.safetensors"), rg.load_weights("parts.safetensors")
    assert same_bits(whole, parts)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_flags_override_the_recipe(folder: Path, capsys: Any, optimizer: str) -> None:
    arguments = ["--optimizer", optimizer, "--rate", "0.002", "--clip-norm", "1", "--batch", "4", "--epochs", "2"]
    found = json.loads(out(capsys, "train", "small.rnn", "--data", "small.npz", *arguments, "--json"))
    assert len(found["history"]) == 2


def test_early_stop(folder: Path, capsys: Any) -> None:
    arguments = ["--epochs", "200", "--patience", "2", "--rate", "1.0", "--validation-data", "small.npz"]
    found = json.loads(out(capsys, "train", "small.rnn", "--data", "small.npz", *arguments, "--json"))
    assert len(found["history"]) == found["best_epoch"] + 2 < 200


# --- render ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--closed"], ["--unroll", "static"], ["--gradient"], ["--detail"]], ids=str)
@pytest.mark.parametrize("form", ["svg", "png", "pdf", "dot"])
def test_render_writes_every_form(folder: Path, capsys: Any, form: str, more: list[str]) -> None:
    assert out(capsys, "render", *TEXTBOOK, "--out", f"m.{form}", *more) == f"wrote m.{form}\n"
    content = Path(f"m.{form}").read_bytes()
    assert content.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[form])
    if form == "svg":
        text = " ".join("".join(e.itertext()) for e in ElementTree.fromstring(content).iter() if e.tag.endswith("text"))
        assert "kernel" in text and ("47 more steps" in text or "static" not in more)


# --- compare -----------------------------------------------------------------------------------------------------


def test_compare_proves_and_tells(folder: Path, capsys: Any) -> None:
    arguments = ["compare", "small.rnn", "--steps", "2,7", "--batch", "3", "--repeats", "1"]
    found = json.loads(out(capsys, *arguments, "--json", "--modes", "static,dynamic,2"))
    assert found["equal"] and all(d["equal"] for d in found["differences"])
    assert {d["name"] for d in found["differences"]} >= {"guess", "final.h", "loss", "gradient of lstm.kernel"}
    assert [(r["mode"], r["steps"]) for r in found["rows"]] == [
        (m, n) for n in (2, 7) for m in ("static", "dynamic", "2")
    ]
    for row in found["rows"]:
        assert {e["category"] for e in row["ledger"]} >= {"parameters", "inputs", "outputs", "saved", "gradients"}
        assert all(e["predicted"] == e["measured"] for e in row["ledger"])
    said = out(capsys, *arguments, "--page", "r.html", "--plots", "plots", "--full")
    assert "The modes give the same bits" in said and "how they grow with the steps T" in " ".join(said.split())
    assert Path("r.html").read_text().startswith("<!doctype html>")
    assert {p.suffix for p in Path("plots").iterdir()} == {".svg", ".png"}


def test_compare_exits_1_where_the_bits_differ(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is a little off, and more so with every call."""
    from rnngraph.ops import TABLE
    from rnngraph.runtime import execution

    plain, calls = execution.Bound.parts, [0]

    def off(self: Any, step: Any) -> Any:
        kernel, arguments = plain(self, step)
        if step.node.op is not TABLE["tanh"]:
            return kernel, arguments

        def noisy(*arrays: Any) -> None:
            kernel(*arrays)
            calls[0] += 1
            arrays[-1][...] += 1e-5 * calls[0]

        return noisy, arguments

    monkeypatch.setattr(execution.Bound, "parts", off)
    asked = ["--steps", "3", "--repeats", "1", "--kernels", "numpy"]
    said = out(capsys, "compare", "small.rnn", *asked, "--batch", "2", code=1)
    assert "The modes differ in" in said
    found = json.loads(out(capsys, "compare", "small.rnn", *asked, "--json", code=1))
    assert not found["equal"]


# --- the README --------------------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (?:rnngraph|\.ci/rnngraph) (.+?)(?: +#.*)?$", README, re.M)


def test_the_readme_shows_every_verb_of_the_tour() -> None:
    assert {"check", "run", "compare", "render", "train", "show"} <= {command.split()[0] for command in COMMANDS}


# --- the benchmarks ----------------------------------------------------------------------------------------------


def benchmark(script: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_growth_is_measured(tmp_path: Path) -> None:
    done = benchmark("growth.py", ["--steps", "2,10,50", "--repeats", "1", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(found["verdicts"].values()) and len(found["rows"]) == 6


def test_every_cell_of_the_contest_is_right(tmp_path: Path) -> None:
    """Ours, and those others that are installed, against float64."""
    names = ["ours", "ours static", "PyTorch layer", "PyTorch loop", "onnxruntime", "onnxruntime Scan"]
    asked = ["--cells", "all", "--only", ",".join(names), "--sizes", "2,3,4,5", "--threads", "1", "--seconds", "0"]
    done = benchmark("cpu.py", [*asked, "--json", "all.json"], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "all.json").read_text())
    assert len(rows) == 2 * len({row["cell"] for row in rows}) >= 18
    assert all(row["ms"].keys() >= {"ours", "ours static"} and max(row["errors"].values()) < 1e-5 for row in rows)
    absent = {reason for row in rows for reason in row["absent"].values()}
    assert not any("died" in reason for reason in absent) and "geometric means" in done.stdout


def test_the_contest_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    for arguments, told in ((["--cells", "lstn"], "no `lstn`"), (["--sizes", "3,4"], "not of the form batch")):
        done = benchmark("cpu.py", arguments, tmp_path)
        assert done.returncode and told in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="memory is what Linux tells")
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="no JAX, which is the peer")
def test_whole_models_are_timed(tmp_path: Path) -> None:
    """Also where a peer cannot take part."""
    asked = ["--models", "character LM", "--task", "generate", "--batch", "1", "--rounds", "1", "--threads", "1"]
    done = benchmark("models.py", [*asked, "--peers", "jax,keras", "--json", "m.json"], tmp_path)
    assert done.returncode == 0, done.stderr
    [row] = json.loads((tmp_path / "m.json").read_text())
    assert row["ms"].keys() == row["MB"].keys() == {"ours", "jax"} and row["ahead"] > 0
    assert "keras does not generate with character LM" in done.stderr


@pytest.mark.skipif(not emulator.AVAILABLE, reason="no g++, which compiles kernels for the emulator")
def test_the_contest_on_a_gpu_is_ready_for_one(tmp_path: Path) -> None:
    """By the stand-in: what it asks of us is there, and right."""
    asked = ["gpu.py", "--contests", "lstm:2,3,4,5", "--turns", "1", "--json", "gpu.json"]
    asked += ["--long", "20,4", "--swapped", "6,4", "--small", "4,8,3"]
    code = (
        "import runpy, sys; from tests.support import stand_in; sys.modules['cupy'] = stand_in.cupy(); "
        f"sys.argv = {asked!r}; runpy.run_path({str(ROOT / 'benchmarks' / 'gpu.py')!r}, run_name='__main__')"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "gpu.json").read_text())
    rows, long = told["rows"], told["machine"]["a minGRU over one long row, in chunks and walked, ms"]
    assert re.fullmatch(r"0: [\d.]+ and [\d.]+(; -\d: [\d.]+ and [\d.]+){3}", long)
    kept = told["machine"]["an LSTM by where the backward pass has its values, ms"]
    assert re.fullmatch(r"on the device: [\d.]+, on the host: [\d.]+, sqrt: [\d.]+", kept)
    ours = [row for row in rows if row["name"] in ("ours", "ours, as called", "ours, static", "ours, op by op")]
    assert len(ours) == 8
    assert all(not row["failed"] and row["error"] < 1e-5 and row["us_per_step"] > 0 for row in ours)


def test_the_contest_on_a_gpu_goes_on_where_there_is_none(tmp_path: Path) -> None:
    asked = ["--contests", "lstm:2,3,4,5", "--turns", "1", "--json", "gpu.json"]
    done = benchmark("gpu.py", asked, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    cpu = [row for row in rows if "on the CPU" in row["name"]]
    assert len(cpu) == 2 and all(row["error"] < 1e-5 and row["us_per_step"] > 0 for row in cpu)
    assert all(row["failed"] or row["turns"] for row in rows) and "| us a step |" in done.stdout
