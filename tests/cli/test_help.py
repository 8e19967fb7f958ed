"""Help: lines that are not cut, and examples that run; what a shell completes."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import rnngraph as rg
from rnngraph.cli.main import cli, exit_code
from rnngraph.weights.metadata import About
from tests.support.paths import ROOT
from tests.support.verbs import COMMANDS

QUICK = {"train": ["--epochs", "1"], "compare": ["--repeats", "1", "--batch", "2"], "bench": ["--seconds", "0"]}
"""What keeps an example short, where it is run for a test."""


def helped(*verb: str) -> str:
    return CliRunner().invoke(cli, [*verb, "--help"], terminal_width=80).output


def examples(verb: str) -> list[list[str]]:
    """The commands at the end of a verb's help, as words behind `rnngraph`."""
    text = helped(*verb.split()).replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^ +rnngraph (.+)$", text, re.M)]


@pytest.mark.parametrize("group", [[], ["weights"]])
def test_each_verb_is_told_in_a_line(group: list[str]) -> None:
    text = helped(*group)
    commands = cli.commands if not group else cli.commands[group[0]].commands  # type: ignore[attr-defined]
    told = dict(re.findall(r"^  ([a-z]+)  +(.+)$", text.partition("Commands:")[2], re.M))
    assert told.keys() == commands.keys()
    assert all(line.endswith(".") and "..." not in line for line in told.values())


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_examples_of_the_help_run(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    found = examples(verb)
    others = ("check", "export")  # which show what an example before them wrote, or write it
    assert len(found) == 2 and all(" ".join(words).startswith(verb) for words in found if words[0] not in others)
    assert max(map(len, helped(*verb.split()).splitlines())) <= 80
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    _furnish(tmp_path)
    for words in found:
        assert exit_code([*words, *QUICK.get(words[0], [])]) == 0, capsys.readouterr().err


def _furnish(folder: Path) -> None:
    """The examples as they are copied, and weights of the character model, whose data do not come along."""
    for file in (ROOT / "examples").glob("*.rnn"):
        shutil.copy(file, folder)
    (folder / "data").symlink_to(ROOT / "examples" / "data")
    about = About(settings={"units": 8}, data=rg.data.load(["data/chars-train.npz"]).made)
    rg.save_weights("chars.safetensors", rg.Weights(rg.load("chars.rnn", units=8).init(0, "float32"), about))
    model, columns = rg.load("forecast.rnn"), {"known": ["unemployment", "inflation", "bill_rate"]}
    made = rg.data.table(model, "data/economy.csv", columns=columns | {"next": "unemployment"}, steps=12, horizon=1)
    rg.save_weights("forecast.safetensors", rg.Weights(model.init(0), About(data=made.made)))


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "comp", [("plain", "compare")]),
        (["weights"], "c", [("plain", "convert")]),
        (["train"], "--val", [("plain", "--validation-data"), ("plain", "--validation")]),
        (["run"], "exa", [("file", "exa")]),
        (["run", "a.rnn", "--data"], "", [("file", "")]),
        (["compare", "a.rnn", "--plots"], "p", [("dir", "p")]),
        (["export", "a.rnn", "--to"], "o", [("plain", "onnx")]),
    ],
)
def test_a_shell_completes_verbs_options_and_files(
    words: list[str], incomplete: str, expected: list[tuple[str, str]]
) -> None:
    found = ShellComplete(cli, {}, "rnngraph", "_RNNGRAPH_COMPLETE").get_completions(words, incomplete)
    assert [(item.type, item.value) for item in found] == expected


def test_every_file_of_every_verb_is_completed() -> None:
    """Whatever takes a path says so to the shell."""
    for name, command in COMMANDS.items():
        for param in command.params:
            if param.type.name in ("path", "folder"):
                (item,) = param.shell_complete(click.Context(command), "x")
                assert item.type in ("file", "dir"), f"{name} {param.name}"
