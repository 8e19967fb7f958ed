"""Notebooks: the cell magic, and what draws itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rnngraph as rg

interactive = pytest.importorskip("IPython.core.interactiveshell")

MODEL = "model M(units = 4) {\n  input x: seq[3]\n  y = unroll LSTM(units) over x\n  output y\n  loss mean(y[0])\n}\n"


@pytest.fixture
def shell() -> Iterator[Any]:
    made = interactive.InteractiveShell.instance()
    made.run_line_magic("load_ext", "rnngraph")
    yield made
    interactive.InteractiveShell.clear_instance()


def test_a_cell_is_a_model_that_shows_itself(shell: Any) -> None:
    made = shell.run_cell_magic("rnn", "", MODEL)
    assert isinstance(made, rg.Model) and shell.user_ns["model"] is made
    shown, _ = shell.display_formatter.format(made)
    assert "<svg" in shown["image/svg+xml"]
    assert shell.run_cell_magic("rnn", "net units=8", MODEL).settings == {"units": 8} and "net" in shell.user_ns


def test_a_mistake_is_told_at_its_line(shell: Any) -> None:
    with pytest.raises(rg.UserError, match="did you mean `LSTM`"):
        shell.run_cell_magic("rnn", "", MODEL.replace("LSTM", "LSTN"))
    with pytest.raises(rg.UserError, match="is not a setting"):
        shell.run_cell_magic("rnn", "net 3", MODEL)


def test_results_draw_themselves(shell: Any) -> None:
    model = rg.parse(MODEL)
    fitted = model.fit({"x": np.zeros((4, 3, 3))}, options={"kernels": "numpy"})
    assert "<svg" in shell.display_formatter.format(fitted)[0]["image/svg+xml"]
    compared = model.compare(steps=(2,), batch=1, repeats=1)
    assert shell.display_formatter.format(compared)[0]["text/html"].count("<svg") == 4
