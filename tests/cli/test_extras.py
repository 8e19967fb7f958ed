"""Where an extra is missing, one message has the command that brings it, and nothing is lost."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnngraph.cli.main import exit_code

TEXT = "model M { input x: seq[2] input y: seq[2] h = unroll RNN(2) over x output h loss squared_error(h, y) }"


@pytest.fixture(autouse=True)
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.rnn").write_text(TEXT)
    np.savez("data.npz", x=np.ones((4, 3, 2)), y=np.zeros((4, 3, 2)))
    for package in ("matplotlib", "svglib", "svglib.svglib"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    "command",
    [
        "train m.rnn --data data.npz --epochs 1 --out w.safetensors --curves c.svg",
        "sweep m.rnn --data data.npz --vary rate=0.1 --out s.csv --picture s.svg",
        "bench m.rnn --picture t.svg",
        "compare m.rnn --plots folder",
        "compare m.rnn --memory memory.svg",
        "run m.rnn --data data.npz --picture t.svg",
    ],
)
def test_plots_are_refused_before_anything_is_begun(capsys: Any, command: str) -> None:
    assert exit_code(command.split()) == 1
    told = capsys.readouterr().err
    assert "`matplotlib`, which is not installed" in told and re.search(r"`.*pip install matplotlib`", told)
    assert {path.name for path in Path().iterdir()} == {"m.rnn", "data.npz"}


def test_a_page_needs_neither(capsys: Any) -> None:
    assert exit_code(["compare", "m.rnn", "--steps", "2", "--repeats", "1", "--page", "page.html"]) == 0
    assert "matplotlib" not in capsys.readouterr().err and Path("page.html").stat().st_size > 100_000


def test_pictures_of_models_need_neither_but_for_pdf(capsys: Any) -> None:
    assert exit_code(["render", "m.rnn", "--out", "m.svg"]) == 0
    assert exit_code(["render", "m.rnn", "--out", "m.pdf"]) == 1
    assert re.search(r"pip install svglib", capsys.readouterr().err) and not Path("m.pdf").exists()
