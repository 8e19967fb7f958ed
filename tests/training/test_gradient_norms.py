"""Norms of the gradient in the history of a training: only if asked for, and as other ways to compute them say."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from tests.support.running import same_bits

TEXT = """
model Reading(units = 4) {{
  input x: seq[3]
  input target: [1]
  y, final = unroll {cell} over x{way}
  loss squared_error(Dense(1)(final.h), target)
  output y, final
}}
"""
RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(5, 9, 3)), "target": RNG.normal(size=(5, 1))}
OPTIONS = {"dtype": "float64", "kernels": "numpy"}


def after_one_epoch(model: rg.Model, data: dict[str, Any]) -> tuple[dict[str, float], Any]:
    fitted = model.fit(data, epochs=1, batch=5, options=OPTIONS, log_gradients=True)
    return fitted.history[0], fitted.weights


HELD = """
cell Held(units) {
  input x: [n]
  state h: [units] = 0
  param w: [n + units, units]
  h' = where(x[0] > 0, tanh([x, h] @ w), h)
  output h'
}
"""


@pytest.mark.parametrize("cell", ["RNN(units)", "Held(units)"])
def test_the_norm_at_a_step_is_that_of_a_run_which_begins_there(cell: str) -> None:
    model = rg.parse(HELD + TEXT.format(cell=cell, way=""))
    record, weights = after_one_epoch(model, DATA)
    program = model.compile(gradient=True, kernels="numpy")
    for back in (1, 2, 4):
        first, rest = DATA["x"][:, : 9 - back], DATA["x"][:, 9 - back :]
        state = program.run({**DATA, "x": first}, weights)["final.h"]
        _, gradients = program.gradients({**DATA, "x": rest, "final.h": state}, weights)
        assert record[f"back.time.{back}"] == pytest.approx(np.linalg.norm(gradients["final.h"]), rel=1e-9)
    _, gradients = program.gradients(DATA, weights)
    for name in weights:
        assert record[f"gradient.{name}"] == pytest.approx(np.linalg.norm(gradients[name]), rel=1e-9)
    assert [name for name in record if name.startswith("back.")] == [f"back.time.{k}" for k in (0, 1, 2, 4, 8)]


def test_steps_back_count_from_the_end_of_each_row_in_either_direction() -> None:
    """A row whose steps behind its end were left out, alone, has the same norms."""
    lengths = np.array([4, 4, 4, 4, 4])
    for way in ("", " reversed"):
        text = TEXT.format(cell="LSTM(units) >> Held(units)", way=way).replace("final.h", "final.1.h")
        model = rg.parse(HELD + text)
        padded, weights = after_one_epoch(model, {**DATA, "x.lengths": lengths})
        cut, others = after_one_epoch(model, {**DATA, "x": DATA["x"][:, :4]})
        np.testing.assert_allclose(weights["dense.kernel"], others["dense.kernel"])
        for back in (0, 1, 2):
            assert padded[f"back.time.{back}"] == pytest.approx(cut[f"back.time.{back}"], rel=1e-9)
            assert padded[f"back.time.{back}"] > 0


@pytest.mark.parametrize("way", ["", " reversed"])
def test_steps_back_count_from_a_stop(way: str) -> None:
    """Of rows that stop after four steps the norms are those of these four alone."""
    cell = "cell Ending(units) { input x: [n]  gru = GRU(units)  output gru(x)  stop x[0] > 9 }"
    text = cell + TEXT.format(cell="Ending(units)", way=way).replace("final.h", "final.gru.h")
    x = np.array(DATA["x"])
    x[:, 5 if way else 3, 0] = 10.0
    model = rg.parse(text)
    stopped, _ = after_one_epoch(model, {**DATA, "x": x})
    alone, _ = after_one_epoch(model, {**DATA, "x": x[:, 5:] if way else x[:, :4]})
    assert all(stopped[name] == pytest.approx(norm, rel=1e-9) for name, norm in alone.items())
    assert alone["back.time.2"] > 0 and stopped["back.time.4"] == 0


def test_nothing_is_recorded_unasked_and_no_bit_of_the_training_depends_on_it() -> None:
    model = rg.parse(TEXT.format(cell="GRU(units)", way=""))
    plain, told = (model.fit(DATA, epochs=2, batch=2, options=OPTIONS, log_gradients=asked) for asked in (False, True))
    assert set(plain.history[0]) == {"epoch", "loss"} and same_bits(plain.weights, told.weights)
    assert [r["loss"] for r in plain.history] == [r["loss"] for r in told.history]


def test_the_command_writes_them_beside_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.rnn").write_text(TEXT.format(cell="RNN(units)", way=""))
    np.savez("data.npz", **DATA)
    train = ["train", "m.rnn", "--data", "data.npz", "--epochs", "3", "--out", "w.safetensors", "--log-gradients"]
    assert exit_code([*train, "--log", "history.csv", "--curves", "curves.svg"]) == 0
    assert "back.time" not in capsys.readouterr().out, "the line of an epoch stays short"
    rows = list(csv.DictReader(Path("history.csv").read_text().splitlines()))
    assert len(rows) == 3 and all(float(row["back.time.0"]) > float(row["back.time.8"]) > 0 for row in rows)
    picture = Path("curves.svg").read_text()
    assert "gradient by weight" in picture and "rnn.kernel" in picture and "before the end" in picture
    assert exit_code(train) == 2
    assert "--log history.csv" in capsys.readouterr().err


def test_a_training_by_segments_is_measured_on_its_first_segment() -> None:
    text = TEXT.format(cell="RNN(units)", way="").replace("final.h", "y").replace("target: [1]", "target: seq[1]")
    model = rg.parse(text)
    data = {"x": DATA["x"], "target": RNG.normal(size=(5, 9, 1))}
    fitted = model.fit(data, epochs=1, segment=4, options=OPTIONS, log_gradients=True)
    assert [name for name in fitted.history[0] if name.startswith("back.")] == [f"back.time.{k}" for k in (0, 1, 2)]


def test_data_without_steps_have_norms_of_weights_alone() -> None:
    model = rg.parse(TEXT.format(cell="RNN(units)", way=""))
    record, _ = after_one_epoch(model, {**DATA, "x": DATA["x"][:, :0]})
    assert record["gradient.dense.bias"] > 0 and not any(name.startswith("back.") for name in record)


def test_shards_are_measured_together() -> None:
    model = rg.parse(TEXT.format(cell="RNN(units)", way=""))
    still = {"epochs": 1, "batch": 5, "optimizer": "sgd", "rate": 0.0, "options": OPTIONS, "log_gradients": True}
    whole, parts = (model.fit(DATA, shards=shards, **still).history[0] for shards in (1, 2))
    assert parts == pytest.approx(whole, rel=1e-12)
