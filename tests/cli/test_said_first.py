"""What is said, and when: mistakes before the work, chance by name, nothing of a file to the terminal as it is."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.training import checkpoint
from tests.support.paths import ROOT
from tests.support.verbs import MODEL, VERBS

EVIL = "w\x1b]0;owned\x07\u202e\x1b[2J"
"""A name that would change a terminal's title, its direction and its contents."""


def told(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = exit_code(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


TRAIN = ("train", "small.rnn", "--data", "d.npz", "--epochs", "1")


# --- chance, and what is not kept --------------------------------------------------------------------------------


def test_random_weights_are_told_where_nobody_asked_for_them(folder: Path, capsys: Any) -> None:
    run = ("run", "small.rnn", "--data", "d.npz", "--out", "o.npz")
    export = ("export", "small.rnn", "--to", "numpy", "--out", "o.py")
    for command in (run, export):
        code, _, said = told(capsys, *command)
        assert code == 0 and "the weights are random numbers, by seed 0" in said and "W601" in said
        assert "W601" not in told(capsys, *command, "--seed", "0")[2]
        assert "W601" not in told(capsys, *command, "--weights", "w.safetensors")[2]
    Path("none.rnn").write_text("model M { input x: [2]  output x * 2 as y }\n")
    np.savez("x.npz", x=np.ones((1, 2)))
    assert told(capsys, "run", "none.rnn", "--data", "x.npz")[2] == ""


@pytest.mark.parametrize(("target", "out"), [("numpy", "o.py"), ("onnx", "o.onnx")])
def test_an_export_says_that_its_weights_are_random(folder: Path, capsys: Any, target: str, out: str) -> None:
    note = b"Its weights are random numbers by seed 3; it is not trained."
    export = ("export", "small.rnn", "--to", target, "--out", out)
    assert told(capsys, *export, "--seed", "3")[0] == 0
    assert note in Path(out).read_bytes()
    assert told(capsys, *export, "--weights", "w.safetensors")[0] == 0
    assert note not in Path(out).read_bytes()


def test_that_weights_are_not_kept_is_said_first(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: Any = lambda *_, **__: (_ for _ in ()).throw(rg.UserError("here", "E000"))  # noqa: E731
    monkeypatch.setattr("rnngraph.training.train.train", failing)
    said = told(capsys, *TRAIN)[2]
    assert said.index("W602") < said.index("here")
    assert "W602" not in told(capsys, *TRAIN, "--out", "o.safetensors")[2]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--resume", "c.checkpoint", "--weights", "w.safetensors"], "--resume and --weights exclude each other"),
        (["--validation", "0.1", "--validation-data", "v.npz"], "--validation and --validation-data exclude"),
        (["--test", "wrong.npz"], "the data has no `size`"),
        (["--validation-data", "wrong.npz"], "the data has no `size`"),
        (["--test", "absent.npz"], "cannot read `absent.npz`"),
    ],
)
def test_a_mistake_is_found_before_the_training(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, more: list[str], words: str
) -> None:
    np.savez("wrong.npz", x=np.ones((4, 6, 3)))
    monkeypatch.setattr("rnngraph.training.train.fit", lambda *_, **__: pytest.fail("trained"))
    code, _, said = told(capsys, *TRAIN, "--out", "o.safetensors", *more)
    assert code in (1, 2) and words in said


# --- what a checkpoint belongs to --------------------------------------------------------------------------------


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


OWN = changed(MODEL, "LSTM(units)", "Own(units)") + (
    "cell Own(units) {\n  input x: [n]\n  state h: [units] = 0\n  param w: [n, units] ~ glorot_uniform\n"
    "  h' = tanh(x @ w + h)\n  output h'\n}\n"
)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tanh(x @ w + h)", "sigmoid(x @ w + h)", "`own.h` is computed otherwise"),
        ("x @ w + h)", "x @ w - h)", "`own.h` is computed otherwise"),
        ("loss mean((guess", "loss 2 * mean((guess", "its equations or settings have changed since"),
        ("rate = 0.01", "rate = 0.02", "optimizer was adam"),
        ("batch 8", "batch 4", "batch was 8, now 4"),
    ],
)
def test_a_checkpoint_under_other_equations_is_refused(
    folder: Path, capsys: Any, old: str, new: str, words: str
) -> None:
    Path("small.rnn").write_text(OWN)
    assert told(capsys, *TRAIN, "--checkpoint", "c.checkpoint")[0] == 0
    Path("small.rnn").write_text(changed(OWN, old, new))
    code, _, said = told(capsys, *TRAIN[:-1], "2", "--resume", "c.checkpoint")
    assert code == 2 and words in said, said


def test_a_checkpoint_is_of_the_equations_not_of_the_text(folder: Path, capsys: Any) -> None:
    Path("small.rnn").write_text(OWN)
    assert told(capsys, *TRAIN, "--checkpoint", "c.checkpoint")[0] == 0
    same = changed("# a remark\n" + OWN, "output guess, final", "output final, guess\n  metric mean(guess[0]) as g")
    Path("other.rnn").write_text(same)
    again = ("train", "other.rnn", *TRAIN[2:-1], "2", "--resume", "c.checkpoint", "--unroll", "static")
    code, _, said = told(capsys, *again)
    assert code == 0, said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--dtype", "float64"], "dtype was float32, now float64"),
        (["--truncate", "2"], "truncate was not set, now 2"),
        (["--data", "other.npz"], "made with other data: `x` is not the same"),
        (["--validation-data", "v.npz"], "made with other data: `held back: size`, `held back: x` are not the same"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(folder: Path, capsys: Any, more: list[str], words: str) -> None:
    assert told(capsys, *TRAIN, "--checkpoint", "c.checkpoint")[0] == 0
    with np.load("d.npz") as file:
        np.savez("other.npz", x=np.nextafter(file["x"], 9), size=file["size"])
    data = [] if "--data" in more else ["--data", "d.npz"]
    code, _, said = told(capsys, "train", "small.rnn", *data, *more, "--epochs", "2", "--resume", "c.checkpoint")
    assert code in (1, 2) and words in said, said


def test_a_second_training_into_one_checkpoint_is_refused(folder: Path, capsys: Any) -> None:
    command = (*TRAIN, "--checkpoint", "c.checkpoint")
    with checkpoint.alone("c.checkpoint"):
        code, _, said = told(capsys, *command)
        assert code == 1 and "another training saves its state in `c.checkpoint`" in said
        assert told(capsys, *TRAIN, "--checkpoint", "other.checkpoint")[0] == 0
    Path(".c.checkpoint.lock").write_text("")  # of a training that was killed
    assert told(capsys, *command)[0] == 0
    assert not list(folder.glob(".*"))


# --- what goes to the terminal -----------------------------------------------------------------------------------


def test_names_from_files_cannot_drive_the_terminal(folder: Path, capsys: Any) -> None:
    rg.save_weights("evil.safetensors", {EVIL: np.ones(2)})
    np.savez("evil.npz", **{EVIL: np.ones((1, 2))})
    for arguments in (
        ["weights", "show", "evil.safetensors"],
        ["weights", "show", "evil.npz"],
        ["weights", "convert", "evil.safetensors", "--model", "small.rnn", "--out", "o.safetensors"],
        ["weights", "convert", "evil.npz", "--from", "torch", "--model", "small.rnn", "--out", "o.safetensors"],
        ["run", "small.rnn", "--data", "evil.npz", "--weights", "evil.safetensors"],
        ["run", "small.rnn", "--data", EVIL],
        ["fmt", EVIL],
    ):
        _, out, err = told(capsys, *arguments)
        assert not {"\x1b", "\x07", "\u202e"} & {*out, *err}, arguments
        assert "owned" in out + err


def test_texts_that_a_model_writes_cannot_drive_the_terminal(folder: Path) -> None:
    """At a terminal; a file gets them as they are."""
    Path("a.txt").write_text("\x1b\x07\u202e\x9b\u200f")
    command = [sys.executable, "-m", "rnngraph", "generate", *VERBS["generate"]]
    command[command.index("--prompt") + 1] = "\x1b"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    main, other = pty.openpty()
    subprocess.run(command, stdout=other, check=True, env=environment)
    os.close(other)
    shown = os.read(main, 1000).decode()
    os.close(main)
    assert "\N{REPLACEMENT CHARACTER}" in shown and "\x1b" not in shown and "\x9b" not in shown
    written = subprocess.run(command, capture_output=True, check=True, env=environment, text=True).stdout
    assert written.startswith("\x1b")


def test_a_name_of_a_file_cannot_drive_the_terminal_either(folder: Path, capsys: Any) -> None:
    name = "e\x1b[31mvil\n\udcff.rnn"
    Path(name).write_text(MODEL)
    for verb in (["cost", "--gradient"], ["show", "--kernels"], ["summary"], ["bench", "--seconds", "0"]):
        code, out, err = told(capsys, verb[0], name, *verb[1:])
        assert code == 0 and not {"\x1b", "\udcff"} & {*out, *err}
    for form in ("svg", "pdf", "png", "dot"):
        assert told(capsys, "render", name, "--out", f"o.{form}")[0] == 0
    ElementTree.parse("o.svg")
    assert told(capsys, "run", name, "--data", "d.npz", "--seed", "0", "--profile")[0] == 0


def test_a_terminal_of_one_column_has_a_least_width(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    assert "133" in told(capsys, "summary", "small.rnn")[1]


def rnngraph(arguments: str, folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    command = [sys.executable, "-m", "rnngraph", *arguments.split()]
    return subprocess.run(command, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE, **more)


PRINTING = ["cost small.rnn", "show small.rnn", "summary small.rnn", "run small.rnn --data d.npz", "check small.rnn"]


@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_takes_nothing_is_told(folder: Path, command: str) -> None:
    with open("/dev/full", "w") as full:
        done = rnngraph(command, folder, stdout=full)
    assert done.returncode == 1 and "No space left on device [E668]" in done.stderr and "E999" not in done.stderr


@pytest.mark.parametrize("command", ["cost small.rnn --gradient", "compare small.rnn --steps 2 --repeats 3"])
def test_a_terminal_that_knows_ascii_alone(folder: Path, command: str) -> None:
    done = rnngraph(command, folder, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout.isascii(), done.stderr
    assert "16 U^2 + 68 U" in done.stdout or "compare" in command


def test_streams_that_are_closed(folder: Path) -> None:
    for closed in ((1,), (2,), (1, 2), (0, 1, 2)):
        arguments = [sys.executable, "-m", "rnngraph", "cost", "small.rnn"]

        def close(numbers: tuple[int, ...] = closed) -> None:
            for number in numbers:
                os.close(number)

        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(arguments, cwd=folder, env=environment, preexec_fn=close).returncode == 0


# --- options that cannot be meant --------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "train", "cost", "bench", "compare", "show"])
@pytest.mark.parametrize("option", ["--keep", "--dtype", "--kernels", "--products", "--unroll", "--backend", "--swap"])
def test_an_empty_option_is_refused(folder: Path, capsys: Any, verb: str, option: str) -> None:
    code, _, said = told(capsys, verb, *VERBS[verb], option, "")
    assert code == 2 and (f"{option} is empty" in said or "Usage" in said)


@pytest.mark.parametrize(
    "arguments",
    [
        "cost small.rnn --gradient --keep mixed:101",
        "cost small.rnn --lines -1",
        "cost small.rnn --steps 1e3",
        "cost small.rnn --batch 99999999999999999999",
        "bench small.rnn --seconds nan",
        "bench small.rnn --seconds inf",
        "bench small.rnn --steps 0",
        "compare small.rnn --steps 2,-1",
        "compare small.rnn --repeats 0",
        "run small.rnn --data d.npz --set units=nan",
        "run small.rnn --data d.npz --set units=1e400",
        "run small.rnn --data d.npz --set units=" + "9" * 5000,
        "run small.rnn --data d.npz --seed 99999999999999999999",
        "train small.rnn --data d.npz --rate inf",
        "train small.rnn --data d.npz --clip-norm nan",
        "render small.rnn --out o.svg --fold 0",
        "generate writer.rnn --weights g.safetensors --temperature nan",
        "generate writer.rnn --weights g.safetensors --top-k -1",
    ],
)
def test_an_option_that_cannot_be_meant(folder: Path, capsys: Any, arguments: str) -> None:
    code, _, said = told(capsys, *arguments.split())
    assert code == 2 and "E999" not in said and "Traceback" not in said, said
    assert len(said) < 1500 and "Exceeds the limit" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run small.rnn --data d.npz --stream --out s.npz", "--stream and --out exclude each other"),
        ("run small.rnn --data d.npz --profile --out s.npz", "--profile and --out exclude each other"),
        ("run small.rnn --data d.npz --stream --picture s.svg", "--stream and --picture exclude each other"),
        ("run small.rnn --data d.npz --picture s.svg --out s.npz", "--picture and --out exclude each other"),
    ],
)
def test_options_of_which_one_would_be_forgotten(folder: Path, capsys: Any, arguments: str, words: str) -> None:
    code, _, said = told(capsys, *arguments.split())
    assert code == 2 and words in said and not Path("s.npz").exists()


def test_a_small_temperature_writes_the_likeliest(folder: Path, capsys: Any) -> None:
    written = {}
    for temperature in ("0", "1e-307", "1e-309", "1e-320"):
        for dtype in ("float32", "float64"):
            more = ["--temperature", temperature, "--dtype", dtype]
            written[temperature, dtype] = told(capsys, "generate", *VERBS["generate"], *more)[1]
    assert len(set(written.values())) == 1


def test_files_are_formatted_one_by_one(folder: Path, capsys: Any) -> None:
    Path("ugly.rnn").write_text("model   M {input x: [2]\n output x * 2 as y}\n")
    Path("bad.rnn").write_text("model {\n")
    code, out, err = told(capsys, "fmt", "bad.rnn", "ugly.rnn", "absent.rnn")
    assert code == 2 and "ugly.rnn: changed" in out and "bad.rnn" in err and "absent.rnn" in err
    assert Path("ugly.rnn").read_text().startswith("model M {")
    os.mkfifo("pipe.rnn")
    before = "model   M {input x: [2]\n output x * 2 as y}\n"
    writer = subprocess.Popen([sys.executable, "-c", f"open('pipe.rnn', 'w').write({before!r})"])
    code, out, err = told(capsys, "fmt", "pipe.rnn")
    writer.wait()
    assert code == 1 and "changed" not in out and "is not a file that can be changed" in err


def test_a_training_that_was_over_says_so(folder: Path, capsys: Any) -> None:
    assert told(capsys, *TRAIN, "--checkpoint", "c.checkpoint")[0] == 0
    code, _, said = told(capsys, *TRAIN, "--resume", "c.checkpoint", "--out", "o.safetensors")
    assert code == 0 and "nothing is left to train: `c.checkpoint` is at epoch 1" in said


def test_pictures_know_no_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnngraph.viz.figure import figure_bytes

    def draw(figure: Any) -> None:
        figure.add_subplot().plot([1, 2])

    before = {form: figure_bytes(draw, form, "x") for form in ("svg", "pdf", "png")}
    Path("matplotlibrc").write_text("figure.facecolor: red\nsvg.fonttype: path\nfont.size: 30\n")
    environment = {"SOURCE_DATE_EPOCH": "abc", "MPLBACKEND": "nonsense"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert {form: figure_bytes(draw, form, "x") for form in before} == before
    done = rnngraph("compare small.rnn --steps 2 --repeats 1 --page p.html --memory m.pdf", folder, env=environment)
    assert done.returncode == 0, done.stderr
    done = rnngraph("render small.rnn --out r.pdf", folder, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_static_export_that_no_tool_reads_is_refused(folder: Path, capsys: Any) -> None:
    for target, out in (("onnx", "o.onnx"), ("numpy", "o.py")):
        export = ["export", "small.rnn", "--seed", "0", "--to", target, "--out", out, "--unroll", "static", "--steps"]
        code, _, said = told(capsys, *export, "100000")
        assert code == 1 and "E504" in said and not Path(out).exists()


def test_a_static_export_grows_with_its_steps(folder: Path) -> None:
    """Names are counted on, not searched for from the beginning."""
    from rnngraph.exchange.export.numpy.statements import Names

    looked = 0

    class Counting(set[str]):
        def __contains__(self, name: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(name)

    names = Names([])
    names.taken = Counting()
    found = [names.fresh("h") for _ in range(1000)]
    assert found[:3] == ["h", "h_2", "h_3"] and looked < 3000


def test_a_model_that_is_given_nothing_runs_one_row(folder: Path, capsys: Any) -> None:
    Path("alone.rnn").write_text(
        "cell Half { state h: [2] = 1  h' = h * 0.5  output h' }\nmodel M { y, _ = unroll Half() for 3  output y }\n"
    )
    model = rg.load("alone.rnn")
    for unroll in ("dynamic", "static"):
        y = model.compile(unroll, {}).run({}, {})["y"]
        assert y.tolist() == [[[0.5, 0.5], [0.25, 0.25], [0.125, 0.125]]]
    for verb in (["run"], ["compare", "--steps", "2", "--repeats", "1"], ["bench", "--seconds", "0"], ["cost"]):
        assert told(capsys, verb[0], "alone.rnn", *verb[1:])[0] == 0
