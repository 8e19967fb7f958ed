"""From a user's own file to a trained model and its predictions, through the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code

Told = pytest.CaptureFixture[str]
FORECAST = """\
model Forecast(units = 6) {
  input load: seq[2]
  input price: [1]
  _, final = unroll LSTM(units) over load
  forecast = Dense(1)(final.h)
  output forecast
  loss squared_error(forecast, price)
}
"""
WRITER = """\
model Writer(vocab = 5, units = 12) {
  input text: seq int
  input following: seq int
  y, final = unroll LSTM(units) over Embedding(vocab, 4)(text)
  scores = Dense(vocab)(y)
  output scores, final
  loss cross_entropy(scores, following)
  metric accuracy(scores, following)
}
"""
TABLE = ["--columns", "load=temp,load", "--columns", "price=price", "--steps", "8", "--horizon", "1", "--order", "day"]
SMALL = ["--epochs", "6", "--batch-size", "16", "--lr", "0.02"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("f.rnn").write_text(FORECAST)
    Path("w.rnn").write_text(WRITER)
    Path("corpus.txt").write_text("abcabde" * 60)
    with open("t.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["day", "temp", "load", "price", "remark"])
        for i in np.random.default_rng(0).permutation(120):
            day = np.datetime64("2024-01-01") + int(i)
            table.writerow([day, 10 + np.sin(i / 5), 500 + 90 * np.cos(i / 5), 70 + 20 * np.sin(i / 5 + 1), "x"])
    return tmp_path


def test_a_table_is_trained_on_and_predictions_are_in_its_units(capsys: Told) -> None:
    assert exit_code(["train", "f.rnn", "--data", "t.csv", *TABLE, *SMALL, "--set", "units=7", "--standardise",
                      "--out", "f.safetensors", "--log", "log.csv", "--curves", "curves.svg"]) == 0  # fmt: skip
    assert len(Path("log.csv").read_text().splitlines()) == 7 and "<svg" in Path("curves.svg").read_text()
    # neither --set nor a word on the table: the weights know
    assert exit_code(["evaluate", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv"]) == 0
    assert float(capsys.readouterr().out.split()[-1]) < 1
    assert exit_code(["predict", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv", "--out", "p.csv"]) == 0
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["day"] for r in rows] == [str(np.datetime64("2024-01-08") + i) for i in range(113)]
    found = np.array([float(r["forecast[0]"]) for r in rows])
    true = 70 + 20 * np.sin(np.arange(8, 121) / 5 + 1)
    assert np.abs(found - true).mean() < 10  # in units of the price, of which the deviation is 14
    model, weights = rg.load("f.rnn", units=7), rg.load_weights("f.safetensors")
    data = rg.data.table(model, "t.csv", like=weights.about.data, only=["load"])
    assert np.allclose(model.predict(data, weights)["forecast"][:, 0], found, rtol=1e-5)


def test_weights_of_another_model_are_refused(capsys: Told) -> None:
    assert exit_code(["train", "f.rnn", "--data", "t.csv", *TABLE, "--epochs", "0", "--out", "f.safetensors"]) == 0
    Path("f.rnn").write_text("# a comment and one more metric change nothing\n" + FORECAST.replace(
        "(forecast, price)\n", "(forecast, price)\n  metric squared_error(forecast, price) as error\n"))  # fmt: skip
    assert exit_code(["evaluate", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv"]) == 0
    Path("f.rnn").write_text(FORECAST.replace("Dense(1)(final.h)", "tanh(Dense(1)(final.h))"))
    capsys.readouterr()
    for verb in (["evaluate"], ["predict"], ["run"], ["export", "--out", "f.onnx"]):
        data = [] if verb[0] == "export" else ["--data", "t.csv"]
        assert exit_code([verb[0], "f.rnn", "--weights", "f.safetensors", *data, *verb[1:]]) == 2
        assert "was trained for another model: `forecast` is computed otherwise here" in capsys.readouterr().err
    # a training may start from them
    assert exit_code(["train", "f.rnn", "--data", "t.csv", "--weights", "f.safetensors", "--epochs", "0"]) == 0


def test_a_setting_that_differs_is_told(capsys: Told) -> None:
    text = FORECAST.replace("(units = 6)", "(units = 6, by = 1.0)")
    Path("f.rnn").write_text(text.replace("Dense(1)(final.h)", "by * Dense(1)(final.h)"))
    begin = ["train", "f.rnn", "--data", "t.csv", *TABLE, "--epochs", "0", "--out", "f.safetensors"]
    assert exit_code([*begin, "--set", "by=2"]) == 0
    assert exit_code(["predict", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv"]) == 0
    capsys.readouterr()
    assert exit_code(["predict", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv", "--set", "by=3"]) == 2
    assert "`by` was 2 there and is 3 here" in capsys.readouterr().err
    assert exit_code(["predict", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv", "--set", "units=3"]) == 2
    assert "`units` was its default there and is 3 here" in capsys.readouterr().err
    Path("f.rnn").write_text(FORECAST)
    assert exit_code(["predict", "f.rnn", "--weights", "f.safetensors", "--data", "t.csv"]) == 2
    assert "`f.safetensors` says that it is of the model `Forecast` with by = 2" in capsys.readouterr().err


def test_a_text_by_segments_is_learnt_and_written_on(capsys: Told) -> None:
    assert exit_code(["train", "w.rnn", "--text", "corpus.txt", "--segment", "5", "--batch", "8", "--lr", "0.05",
                      "--epochs", "25", "--out", "w.safetensors"]) == 0  # fmt: skip
    assert exit_code(["generate", "w.rnn", "--weights", "w.safetensors", "--prompt", "abcab", "--length", "16",
                      "--temperature", "0"]) == 0  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1] == "abcabdeabcabdeabcabde"
    assert exit_code(["evaluate", "w.rnn", "--weights", "w.safetensors", "--text", "corpus.txt", "--steps", "24"]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_model_with_ids_to_spare_writes_signs_that_it_was_shown(capsys: Told) -> None:
    assert exit_code(["train", "w.rnn", "--text", "corpus.txt", "--set", "vocab=9", "--steps", "12", "--epochs", "1",
                      "--test", "corpus.txt", "--out", "w.safetensors"]) == 0  # fmt: skip
    assert "test: loss" in capsys.readouterr().out
    assert exit_code(["generate", "w.rnn", "--weights", "w.safetensors", "--prompt", "abc", "--length", "50"]) == 0
    assert set(capsys.readouterr().out.strip()) <= set("abcde")


def test_the_layout_for_segments_is_no_way_to_read_a_table() -> None:
    Path("s.rnn").write_text(
        "model S { input load: seq\n input price: seq\n y, final = unroll RNN(3) over load[None]\n"
        " guess = Dense(1)(y)\n output guess, final\n loss squared_error(guess[0], price) }"
        .replace("load[None]", "reshape(load, [1])")
    )
    assert exit_code(["train", "s.rnn", "--data", "t.csv", "--order", "day", "--horizon", "1", "--segment", "5",
                      "--batch", "3", "--epochs", "1", "--out", "s.safetensors"]) == 0  # fmt: skip
    assert exit_code(["predict", "s.rnn", "--weights", "s.safetensors", "--data", "t.csv", "--out", "p.csv"]) == 0
    assert len(Path("p.csv").read_text().splitlines()) == 121  # the whole table is one sequence again


def test_a_checkpoint_is_used_as_weights(capsys: Told) -> None:
    assert exit_code(["train", "w.rnn", "--text", "corpus.txt", "--steps", "12", "--epochs", "1",
                      "--checkpoint", "w.checkpoint"]) == 0  # fmt: skip
    assert exit_code(["generate", "w.rnn", "--weights", "w.checkpoint", "--prompt", "abc", "--length", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("abc")


def test_results_are_summarised(capsys: Told) -> None:
    assert exit_code(["run", "f.rnn", "--data", "t.csv", *TABLE, "--seed", "0"]) == 0
    short = capsys.readouterr().out
    assert len(short.splitlines()) < 25 and "--all shows it" in short
    assert exit_code(["run", "f.rnn", "--data", "t.csv", *TABLE, "--seed", "0", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 100


def test_an_export_takes_its_format_from_the_ending() -> None:
    for name in ("f.py", "f.onnx"):
        assert exit_code(["export", "f.rnn", "--seed", "0", "--out", name]) == 0
    assert Path("f.py").read_text().startswith('"""')


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "t.csv", *TABLE, "--columns", "load=temp"], "the input `load` is given twice"),
        (["--data", "t.csv", "--columns", "load"], "`load` is not an input with its columns"),
        (["--data", "t.csv", "--tokens", "char"], "--tokens is for texts"),
        (["--text", "corpus.txt", "--by", "x"], "--by is for tables"),
        (["--text", "corpus.txt", "--data", "t.csv"], "--text and --data exclude each other"),
        ([], "there are no data to train on"),
        (["--data", "t.csv", *TABLE, "--rate-schedule", "cosine(to=x)"], "is not a schedule with settings"),
        (["--data", "t.csv", *TABLE, "--segment", "4"], "`price` has no steps"),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], told: str, capsys: Told) -> None:
    assert exit_code(["train", "f.rnn", *arguments]) == 2
    assert told in capsys.readouterr().err
