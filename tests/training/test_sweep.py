"""Many trainings set side by side: each is the training by itself, whatever the order and the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.training.checkpoint import Training
from rnngraph.training.fit import Interrupted

TEXT = """\
model M(units = 3) {
  input x: seq[2]
  input y: [1]
  _, final = unroll RNN(units) over x
  guess = Dense(1)(final.h)
  output guess
  loss squared_error(guess, y)
  train {
    batch 4
    epochs 2
    validation 0.25
  }
}
"""
RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(12, 3, 2)), "y": RNG.normal(size=(12, 1))}


def alone(units: int, rate: float, seed: int) -> dict[str, float]:
    return dict(rg.parse(TEXT, units=units).fit(DATA, rate=rate, seed=seed).history[-1])


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_run_is_the_training_by_itself(jobs: int) -> None:
    told: list[int] = []
    found = rg.parse(TEXT).sweep(
        DATA, {"units": [2, 3], "rate": [0.1, 0.01]}, 2, jobs=jobs, progress=lambda records: told.append(len(records))
    )
    assert [(r["units"], r["rate"], r["seed"]) for r in found.records] == [
        (u, rate, s) for u in (2, 3) for rate in (0.1, 0.01) for s in (0, 1)
    ]
    assert told == list(range(1, 9)) and found.score == "validation.loss"
    for record in found.records[:: 3 if jobs == 1 else 7]:
        fitted = rg.parse(TEXT, units=record["units"]).fit(DATA, rate=record["rate"], seed=record["seed"])
        best = fitted.history[fitted.best_epoch - 1]
        assert record["validation.loss"] == best["validation.loss"] and record["epochs_run"] == 2
    means = [np.mean(found.scores(records)) for _, records in found.groups()]
    assert means == sorted(means) and len(means) == 4


def test_an_interrupt_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted was one that failed, and the next one began."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted(Training({}, {}), None)

    monkeypatch.setattr("rnngraph.training.sweep.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rg.parse(TEXT).sweep(DATA, {"rate": [0.1, 0.01]})


def test_a_run_that_diverges_fails_alone() -> None:
    found = rg.parse(TEXT).sweep(DATA, {"optimizer": ["sgd"], "rate": [1e30, 0.01]})
    assert "no longer finite" in found.records[0]["failed"] and "failed" not in found.records[1]
    assert found.groups()[0][0] == ("sgd", 0.01)


@pytest.mark.parametrize(
    ("vary", "seeds", "told"),
    [
        ({"unit": [3]}, 1, "has no setting `unit`"),
        ({"batch": [0]}, 1, "`batch` should be"),
        ({"seed": [1]}, 1, "the seed is not varied by name"),
        ({"rate": []}, 1, "nothing to try"),
        ({"rate": [0.1]}, 0, "nothing to try"),
        ({"rate": [0.1], "epochs": [5, 3, 5]}, 1, "`epochs` is varied over `5` twice"),
        ({"rate": 0.1}, 1, r"`rate` is varied over `0\.1`"),
        ({"optimizer": "adam"}, 1, "`optimizer` is varied over `adam`"),
    ],
)
def test_what_cannot_be_varied_is_told_before_anything_is_trained(vary: Any, seeds: int, told: str) -> None:
    with pytest.raises(rg.UserError, match=told):
        rg.parse(TEXT).sweep(DATA, vary, seeds, progress=lambda records: pytest.fail("it has begun"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to stand in, with a model and its data."""
    monkeypatch.chdir(tmp_path)
    Path("m.rnn").write_text(TEXT)
    np.savez("d.npz", **DATA)


@pytest.mark.usefixtures("files")
def test_runs_that_a_table_holds_are_not_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    begin = ["sweep", "m.rnn", "--data", "d.npz", "--vary", "epochs=1,2", "--out", "s.csv"]
    assert exit_code(begin) == 0
    first = Path("s.csv").read_text().splitlines()
    Path("s.csv").write_text("\n".join(first[:2]) + "\n")
    capsys.readouterr()
    assert exit_code([*begin, "--seeds", "2", "--picture", "s.svg"]) == 0
    assert "holds 1 of 4 runs" in capsys.readouterr().err
    again = Path("s.csv").read_text().splitlines()
    assert len(again) == 5 and set(first) <= set(again) and "<svg" in Path("s.svg").read_text()
    assert exit_code([*begin[:4], "--vary", "epochs=3", "--out", "s.csv"]) == 0
    assert Path("s.csv").read_text().splitlines()[:5] == again  # and what it holds beside them stays


@pytest.mark.usefixtures("files")
def test_a_table_keeps_runs_in_which_more_was_varied(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are of the model by itself, with its 3 units, are not made again; all of them were deleted."""
    begin = ["sweep", "m.rnn", "--data", "d.npz", "--out", "s.csv", "--vary", "rate=0.1,0.01"]
    assert exit_code([*begin, "--vary", "units=2,3"]) == 0
    first = [line.split(",") for line in Path("s.csv").read_text().splitlines()[1:]]
    capsys.readouterr()
    assert exit_code(begin) == 0
    assert "holds 2 of 2 runs" in capsys.readouterr().err
    assert exit_code([*begin[:-1], "rate=0.1,0.03"]) == 0
    assert "holds 1 of 2 runs" in capsys.readouterr().err
    then = [line.split(",") for line in Path("s.csv").read_text().splitlines()[1:]]
    assert then[:4] == first and [line[:2] for line in then[4:]] == [["0.1", ""], ["0.03", ""]]


WORDS = """\
model W(vocab = 6) {
  input x, next: seq int
  y, final = unroll RNN(3) over Embedding(vocab, 2)(x)
  scores = Dense(vocab)(y)
  output scores, final
  loss cross_entropy(scores, next)
  train { epochs 1  batch 2 }
}
"""


@pytest.mark.parametrize(
    ("vary", "values", "more"),
    [("batch", (2, 4), "segment 5"), ("segment", (5, 10), ""), ("set vocab", (6, 9), "")],
)
def test_a_text_is_read_for_each_run_as_a_training_by_itself_reads_it(
    vary: str, values: tuple[int, ...], more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many rows as its batches have, as many ids as its settings say: all runs had the rows and ids of the file."""
    monkeypatch.chdir(tmp_path)
    Path("w.rnn").write_text(WORDS.replace("batch 2", f"batch 2 {more}"))
    Path("t.txt").write_text(" ".join("abcdefgh"[n] for n in RNG.integers(0, 8, 200)))
    read = ["w.rnn", "--text", "t.txt", "--tokens", "word"]
    name = vary.removeprefix("set ")
    assert exit_code(["sweep", *read, "--vary", f"{name}={','.join(map(str, values))}", "--out", "s.csv"]) == 0
    swept = [line.split(",")[2] for line in Path("s.csv").read_text().splitlines()[1:]]
    for value, loss in zip(values, swept, strict=True):
        option = ["--set", f"{name}={value}"] if vary != name else [f"--{name}", str(value)]
        assert exit_code(["train", *read, *option, "--out", "w.safetensors", "--log", "log.csv"]) == 0
        assert Path("log.csv").read_text().splitlines()[1].split(",")[1] == loss
    assert swept[0] != swept[1]


def test_optimisers_with_their_settings_are_varied() -> None:
    tried = [("sgd", {"rate": 0.1}), ("sgd", {"rate": 0.01})]
    found = rg.parse(TEXT).sweep(DATA, {"optimizer": tried}, 2)
    assert len(found.groups()) == 2
    for record in found.records:
        fitted = rg.parse(TEXT).fit(DATA, optimizer=record["optimizer"], seed=record["seed"])
        assert record["validation.loss"] == fitted.history[fitted.best_epoch - 1]["validation.loss"]


OWN = """
cell Own(units) {
  input x: [n]
  state h: [units] = 0
  param w: [n + units, units] ~ orthogonal
  h' = tanh([x, h] @ w)
  output h'
}
"""
"""A cell whose weights begin in a way that can be changed."""


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("(guess, y)", "(2 * guess, y)", []),
        ("orthogonal", "normal(0, 1)", []),
        ("epochs 2", "epochs 3", []),
        ("", "", ["--data", "e.npz"]),
        ("", "", ["--data", "d.npz", "--test", "e.npz"]),
    ],
)
def test_runs_of_another_model_recipe_or_data_are_made_again(
    old: str, new: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    text = TEXT.replace("RNN(units)", "Own(units)") + OWN
    np.savez("d.npz", **DATA)
    np.savez("e.npz", x=DATA["x"], y=DATA["y"] + 1)
    begin, data = ["sweep", "m.rnn", "--vary", "rate=0.1", "--out", "s.csv"], ["--data", "d.npz"]
    Path("m.rnn").write_text(text)
    assert exit_code([*begin, *data]) == 0
    before = Path("s.csv").read_text().splitlines()
    Path("m.rnn").write_text(text.replace(old, new))
    capsys.readouterr()
    assert exit_code([*begin, *(more or data)]) == 0
    assert "holds 0 of 1 runs" in capsys.readouterr().err
    after = Path("s.csv").read_text().splitlines()
    assert len(after) == 2 and after[1] != before[1]
