"""What is shown at a terminal of 80 and of 100 columns: no line is longer, nothing is cut."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rnngraph.cli.main import exit_code
from tests.support.paths import ROOT

COMPARE = "--repeats 1 --batch 2 --kernels numpy"
COMMANDS = [
    (f"compare lstm4.rnn --steps 2,100 {COMPARE}", 80),
    (f"compare sunspots.rnn --steps 3 {COMPARE} --full", 100),
    (f"compare digits.rnn --steps 4 {COMPARE} --modes dynamic --keep sqrt,revolve:3 --truncate 2", 80),
    *(("summary dates.rnn", width) for width in (80, 100)),
    *(("cost dates.rnn", width) for width in (80, 100)),
    ("cost digits.rnn --gradient --keep sqrt --kernels numpy", 80),
    ("bench dates.rnn --steps source=6,target=3 --batch 2 --seconds 0 --kernels numpy", 80),
    ("bench digits.rnn --steps 3 --batch 2 --seconds 0 --kernels numpy", 100),
    *(("library", width) for width in (80, 100)),
    *(("examples", width) for width in (80, 100)),
]
"""Commands in the folder of the examples, and a width."""


@pytest.mark.parametrize(("command", "width"), COMMANDS)
def test_nothing_is_cut(command: str, width: int, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    monkeypatch.setenv("COLUMNS", str(width))
    assert exit_code(command.split()) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert not re.search(r"\d,$|^ +,?\d\d\d,\d{3}$", text, re.M), "a number is folded"
