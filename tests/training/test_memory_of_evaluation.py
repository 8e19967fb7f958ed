"""A limit to memory holds for what is evaluated beside a training too: in as many rows as fit, else nothing begins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.training.metric_accumulation import Evaluator

TEXT = """
model Reading(units = 16) {
  input x: seq[3]
  input y: seq[1]
  h, _ = unroll RNN(units) over x
  p = Dense(1)(h)
  loss squared_error(p, y)
  metric abs(p - y)[0] as off
  output p
}
"""
STEPS = 100
RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(40, STEPS, 3)), "y": RNG.normal(size=(40, STEPS, 1))}
MODEL = rg.parse(TEXT)


def forward(rows: int, dtype: str = "float64") -> int:
    """The bytes of an evaluation of so many rows."""
    sizes = {"time": STEPS, "batch": rows}
    return Evaluator(MODEL, MODEL.options(dtype=dtype))._adding.main.plan(sizes).total


def updating(rows: int) -> int:
    """The fewest bytes of an update of so many rows."""
    with pytest.raises(rg.UserError, match="E616") as raised:
        MODEL.fit(DATA, epochs=1, batch=rows, options={"memory_limit": 1000, "dtype": "float64"})
    found = re.search(r"at least ([\d,]+)", str(raised.value))
    assert found
    return int(found.group(1).replace(",", ""))


def means(weights: Any, data: Any) -> dict[str, float]:
    """The loss and the metric by the equations of the cell."""
    h, off = np.zeros((len(data["x"]), 16)), []
    for t in range(STEPS):
        h = np.tanh(np.concatenate([data["x"][:, t], h], axis=1) @ weights["rnn.kernel"] + weights["rnn.bias"])
        off.append(h @ weights["dense.kernel"] + weights["dense.bias"] - data["y"][:, t])
    return {"loss": float(np.mean(np.square(off))), "off": float(np.mean(np.abs(off)))}


def test_rows_that_do_not_fit_together_are_evaluated_a_few_at_a_time() -> None:
    limit = max(updating(8), forward(1) + 100)
    assert limit < forward(8)
    options = {"memory_limit": limit, "dtype": "float64"}
    fitted = MODEL.fit(DATA, DATA, epochs=1, batch=8, options=options)
    for name, value in means(fitted.weights, DATA).items():
        assert fitted.history[0][f"validation.{name}"] == pytest.approx(value, rel=1e-12)


def begun(**asked: Any) -> list[Any]:
    """What was told of a training that is refused for its memory."""
    told: list[Any] = []
    with pytest.raises(rg.UserError, match="E616"):
        MODEL.fit(DATA, epochs=1, batch=1, progress=told.append, **asked)
    return told


def test_no_epoch_is_trained_for_an_evaluation_that_does_not_fit() -> None:
    limit = updating(1)
    assert limit < forward(1)
    options = {"memory_limit": limit, "dtype": "float64"}
    assert begun(validation=0.5, options=options) == []
    assert begun(log_gradients=True, options=options) == []


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_test_data_run_in_batches_of_the_flags(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixteen rows fit; a recipe without `batch` has batches of 32."""
    monkeypatch.chdir(tmp_path)
    limit = forward(16, "float32") + 1000
    block = f"schedule {{ memory_limit {limit} }} train {{ epochs 1 }}"
    Path("m.rnn").write_text(TEXT.replace("output p", f"output p {block}"))
    np.savez("d.npz", **DATA)
    seen = rows_run(monkeypatch)
    own = ["--batch=16", "--out=w.safetensors"] if verb == "train" else ["--vary=batch=16", "--out=w.csv"]
    assert exit_code([verb, "m.rnn", "--data=d.npz", "--test=d.npz", *own]) == 0, capsys.readouterr().err
    assert seen == [16, 16, 8]
    if verb == "train":
        loss = means(rg.load_weights("w.safetensors"), DATA)["loss"]
        told = re.search(r"test: loss ([\d.]+)", capsys.readouterr().out)
        assert told and float(told.group(1)) == pytest.approx(loss, rel=1e-3)


def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each part that is evaluated from now on its rows."""
    seen, run = list[int](), Evaluator.run_part

    def noted(self: Evaluator, data: Any, weights: Any) -> Any:
        seen.append(len(data["x"]))
        return run(self, data, weights)

    monkeypatch.setattr(Evaluator, "run_part", noted)
    return seen
