"""Heat maps: what is watched over time, attention, gradients by step back in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.gradients_by_lag import gradients_back
from rnngraph.cli.main import exit_code
from rnngraph.run_options import run_options
from rnngraph.viz.heat import recorded, steps_back

DECAY = """
cell Decay() {
  input x: [n]
  state h: [n] = 0
  h' = 0.5 * h + x
  output h'
}

model Fading {
  input x: seq[2]
  y, _ = unroll Decay() over x
  output y
}
"""


def test_a_gradient_by_step_back_is_that_of_the_closed_form(tmp_path: Path) -> None:
    """y_T = sum over k of 0.5^k x_(T - k), so k steps back it is 0.5^k."""
    model = rg.parse(DECAY)
    found = gradients_back(model, run_options(model), "y", {"x": np.ones((1, 5, 2))}, model.init())
    heat = steps_back("x", "y", found["x"][0], ("time",))
    assert np.allclose(heat.values, np.broadcast_to(0.5 ** np.arange(5), (2, 5)))
    assert (heat.across, heat.down, heat.powers) == ("steps back", "unit", True)


def test_the_last_step_is_each_rows_own() -> None:
    model = rg.parse(DECAY)
    data = {"x": np.ones((3, 4, 2)), "x.lengths": np.array([2, 4, 0])}
    found = gradients_back(model, run_options(model), "y", data, model.init())["x"][..., 0]
    assert found.tolist() == [[0.5, 1, 0, 0], [0.125, 0.25, 0.5, 1], [0, 0, 0, 0]]


def test_the_last_step_is_each_rows_own_among_every_second_one() -> None:
    model = rg.parse(DECAY.replace("over x", "over every(x, 2)"))
    data = {"x": np.ones((3, 5, 2)), "x.lengths": np.array([2, 5, 3])}
    found = gradients_back(model, run_options(model), "y", data, model.init())["x"][..., 0]
    assert found.tolist() == [[1, 0, 0, 0, 0], [0.25, 0, 0.5, 0, 1], [0.5, 0, 1, 0, 0]]


@pytest.mark.parametrize("way", ["", " reversed"])
def test_the_last_step_is_the_one_before_a_stop(way: str) -> None:
    """Behind it an output is 0, whatever came before."""
    model = rg.parse(DECAY.replace("  output h'\n", "  output h'\n  stop x[0] > 1\n").replace("over x", f"over x{way}"))
    x = np.ones((3, 4, 2))
    x[0, 2] = x[1, 0] = 2
    data = {"x": x, "x.lengths": np.array([4, 4, 3])}
    found = gradients_back(model, run_options(model), "y", data, model.init())["x"][..., 0]
    forward = [[0.25, 0.5, 1, 0], [1, 0, 0, 0], [0.25, 0.5, 1, 0]]
    backward = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]]  # a loop that goes backwards has read nothing before
    assert found.tolist() == (backward if way else forward)


def test_units_stand_over_steps_and_one_axis_over_the_other() -> None:
    values = np.arange(12.0).reshape(4, 3)
    heat = recorded("h", values, ("time",))
    assert np.array_equal(heat.values, values.T) and (heat.across, heat.down) == ("time", "unit")
    heat = recorded("weights", values, ("target", "source"))
    assert np.array_equal(heat.values, values) and (heat.across, heat.down) == ("source", "target")
    assert recorded("p", np.arange(4.0), ("time",)).values.shape == (1, 4)


def test_run_draws_what_it_watches(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fading.rnn").write_text(DECAY)
    np.savez("d.npz", x=np.ones((2, 6, 2)))
    assert exit_code(["run", "fading.rnn", "--data", "d.npz", "--watch", "h", "--back", "y", "--heat", "h.svg"]) == 0
    text = Path("h.svg").read_text()
    assert ">h<" in text and "gradient of the last y by x" in text and "Fading: the first row" in text
    assert capsys.readouterr().out == "wrote h.svg\n"


def test_the_padding_of_the_first_row_is_not_drawn(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fading.rnn").write_text(DECAY)
    asked = ["run", "fading.rnn", "--watch", "h", "--back", "y"]
    for name, length in (("short", 3), ("none", 0)):
        np.savez(f"{name}.npz", **{"x": np.ones((2, 6, 2)), "x.lengths": np.array([length, 6])})
    np.savez("cut.npz", x=np.ones((1, 3, 2)))
    for name in ("short", "cut"):
        assert exit_code([*asked, "--data", f"{name}.npz", "--heat", f"{name}.svg"]) == 0
    assert Path("short.svg").read_text() == Path("cut.svg").read_text()
    assert exit_code([*asked, "--data", "none.npz", "--heat", "none.svg"]) == 2
    assert "the first row of the data has no steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--heat", "h.svg"], "a heat map needs values"), (["--back", "y"], "a heat map needs values"),
        (["--heat", "h.svg", "--back", "z"], "`z` is no output of floats at every step"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(
    more: list[str], said: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fading.rnn").write_text(DECAY)
    np.savez("d.npz", x=np.ones((2, 6, 2)))
    assert exit_code(["run", "fading.rnn", "--data", "d.npz", *more]) != 0
    assert said in capsys.readouterr().err
    assert not Path("h.svg").exists()
