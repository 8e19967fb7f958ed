"""The verbs that write text, stream, predict and exchange, and the `schedule` block, through the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.data.read import load
from rnngraph.run_options import RunOptions, run_options
from rnngraph.weights.metadata import About
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
CHARS, LSTM4 = str(EXAMPLES / "chars.rnn"), str(EXAMPLES / "lstm4.rnn")

Told = pytest.CaptureFixture[str]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """New weights of the character model, with the alphabet of its data."""
    path = tmp_path / "chars.safetensors"
    about = About(data=load([EXAMPLES / "data" / "chars-train.npz"]).made)
    rg.save_weights(path, rg.Weights(rg.load(CHARS).init(0, "float32"), about))
    return str(path)


def test_generate_writes_characters(weights: str, capsys: Told) -> None:
    begin = ["generate", CHARS, "--weights", weights, "--prompt", "It is", "--length", "20"]
    texts = []
    for more in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], ["--beam", "3"], ["--temperature", "0"]):
        assert exit_code([*begin, *more]) == 0
        texts.append(capsys.readouterr().out.rstrip("\n"))
    assert all(t.startswith("It is") for t in texts)
    assert texts[0] == texts[1] != texts[2]


def test_generate_writes_ids_without_an_alphabet(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "plain.safetensors"
    rg.save_weights(path, rg.load(CHARS).init(0))
    assert exit_code(["generate", CHARS, "--weights", str(path), "--prompt", "1,2", "--length", "3"]) == 0
    assert len(capsys.readouterr().out.strip().split(",")) == 5


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--prompt", "~"], "which the model was not trained on"),
        ([], "there is no initial text"),
        (["--prompt", "a", "--temperature", "-1"], "temperature"),
        (["--prompt", "a", "--tokens", "txt"], "`txt` is not an input"),
        (["--prompt", "a", "--alphabet", LSTM4], "the alphabet has"),
    ],
)
def test_generate_tells_mistakes(weights: str, more: list[str], told: str, capsys: Told) -> None:
    assert exit_code(["generate", CHARS, "--weights", weights, *more]) == 2
    assert told in capsys.readouterr().err


def test_stream_answers_each_line(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    x = np.random.default_rng(0).normal(size=(3, 6))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(",".join(map(str, row)) for row in x) + "\n"))
    assert exit_code(["run", LSTM4, "--stream"]) == 0
    told = [json.loads(line)["y"] for line in capsys.readouterr().out.splitlines()]
    model = rg.load(LSTM4)
    assert np.allclose(told, model.compile().run({"x": x[None]}, model.init(0))["y"][0], rtol=1e-13)


@pytest.mark.parametrize("line", ["nan", "1.5", "1e300", "-inf"])
def test_stream_takes_no_part_of_an_integer(monkeypatch: pytest.MonkeyPatch, capsys: Told, line: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"3\n{line}\n"))
    assert exit_code(["run", CHARS, "--seed", "0", "--stream"]) == 2
    assert "line 2: `text` should hold whole numbers, got " in capsys.readouterr().err


def test_stream_tells_what_a_line_lacks(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1 2 3\n"))
    assert exit_code(["run", LSTM4, "--stream"]) == 2
    assert "line 1 has 3 numbers, expected 6" in capsys.readouterr().err


def test_cost_is_what_compare_measures(capsys: Told) -> None:
    """Of the same step of training, which `bench` times as well."""
    sizes = ["--batch", "4", "--kernels", "numpy", "--json"]
    assert exit_code(["cost", CHARS, "--steps", "9", "--gradient", *sizes]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total"] == sum(told["bytes"].values()) and told["peak"]["bytes"] <= told["total"]
    assert exit_code(["compare", CHARS, "--steps", "9", "--modes", "dynamic", "--repeats", "1", *sizes]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    ledger = {entry["category"]: (entry["predicted"], entry["measured"]) for entry in row["ledger"]}
    assert ledger == {category: (bytes, bytes) for category, bytes in told["bytes"].items()}
    assert exit_code(["bench", CHARS, "--steps", "9", "--seconds", "0", *sizes]) == 0
    infer, train = json.loads(capsys.readouterr().out)["speeds"]
    metric = [any("metric" in line["text"] for line in task["profile"]["lines"]) for task in (infer, train)]
    assert metric == [True, False], "a step of training computes no metric"
    assert exit_code(["cost", CHARS, "--steps", "64", "--gradient"]) == 0
    assert "T B" in capsys.readouterr().out


def test_cost_tells_what_rows_with_lengths_take(capsys: Told) -> None:
    totals = []
    for more in ([], ["--lengths"]):
        assert exit_code(["cost", CHARS, "--steps", "9", "--gradient", *more, "--json"]) == 0
        totals.append(json.loads(capsys.readouterr().out)["total"])
    assert totals[0] < totals[1]


def test_a_limit_that_training_keeps_is_kept_by_what_is_predicted(capsys: Told) -> None:
    """All outputs of so many steps would not fit."""
    asked = ["--steps", "10000", "--batch", "4", "--gradient", "--memory-limit", "6MB", "--json"]
    assert exit_code(["cost", CHARS, *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total"] <= 6_000_000 and told["piece"] > 1 and told["kept"] > 1


def test_a_model_without_anything_to_differentiate_has_no_step_of_training(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "best.rnn"
    path.write_text("model M { input x: seq int  y = Embedding(5, 3)(x)  output argmax(y) as best }")
    assert exit_code(["cost", str(path), "--gradient"]) == 2
    assert "nothing to differentiate" in capsys.readouterr().err
    assert exit_code(["cost", str(path)]) == 0


SCHEDULED = """
model M {
  input x: seq[2]
  y, final = unroll RNN(3) over x
  output y
  loss mean(y)
  schedule { unroll static dtype float32 }
  train { epochs 2 }
}
"""


def test_a_schedule_block_is_overridden_by_flags() -> None:
    model = rg.parse(SCHEDULED)
    flags: dict[str, Any] = {"unroll": None, "backend": None, "dtype": None}
    assert run_options(model, **flags) == RunOptions("static", "numpy", "float32")
    assert run_options(model, **{**flags, "unroll": "dynamic"}).unroll == "dynamic"
    plain = rg.parse(SCHEDULED.replace("schedule { unroll static dtype float32 }", ""))
    assert run_options(plain, **flags, dtype_default="float32").dtype == "float32"


def test_check_tells_options_that_are_none(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "m.rnn"
    path.write_text(SCHEDULED.replace("dtype", "dtypo").replace("epochs", "epoch"))
    assert exit_code(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert "did you mean `dtype`?" in told and "did you mean `epochs`?" in told and "m.rnn:7:" in told


def test_check_tells_every_value_of_an_option_that_is_none(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "m.rnn"
    wrong = SCHEDULED.replace("static dtype float32", "statc\n dtype float16\n backend cuppy")
    path.write_text(wrong.replace("epochs 2", "optimizer adm"))
    assert exit_code(["check", str(path)]) == 2
    told = capsys.readouterr().err
    for place, message in (
        ("7:14", "`statc` is not a way to unroll"),
        ("8:2", "`float16` is not a number type"),
        ("9:2", "there is no backend `cuppy`"),
        ("10:11", "no optimizer is called `adm`"),
    ):
        assert message in told and f"m.rnn:{place} " in told, told


def test_options_are_checked_beside_other_mistakes(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "m.rnn"
    wrong = SCHEDULED.replace("output y", "output yy").replace("epochs 2", "epochs -2 optimizer adam(rat = 1)")
    path.write_text(wrong.replace("model M", "model M(units = 4)").replace("dtype float32 }", "dtype float32 }\n"))
    assert exit_code(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert "`yy`" in told and "`epochs` should be" in told and "did you mean `rate`?" in told
    path.write_text(SCHEDULED.replace("model M", "model M(units = 4)").replace("epochs 2", "epochs 2 batch units"))
    assert exit_code(["check", str(path)]) == 0


def test_weights_and_export_are_verbs(weights: str, tmp_path: Path, capsys: Told) -> None:
    assert exit_code(["weights", "show", weights, "--json"]) == 0
    assert {a["name"] for a in json.loads(capsys.readouterr().out)["arrays"]} == set(rg.load(CHARS).init(0))
    out = tmp_path / "chars.py"
    assert exit_code(["export", CHARS, "--to", "numpy", "--weights", weights, "--out", str(out)]) == 0
    assert "import numpy" in out.read_text()


def test_weights_of_another_layout_are_recognised(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "torch.safetensors"
    arrays = {"lstm.weight_ih_l0": np.zeros((16, 6)), "lstm.weight_hh_l0": np.zeros((16, 4)),
              "lstm.bias_ih_l0": np.zeros(16), "lstm.bias_hh_l0": np.zeros(16)}  # fmt: skip
    rg.save_weights(path, arrays)
    data = str(EXAMPLES / "data" / "lstm4.npz")
    assert exit_code(["run", LSTM4, "--data", data, "--weights", str(path)]) == 2
    assert "weights convert" in capsys.readouterr().err


def test_a_training_keeps_a_checkpoint_of_its_own_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    digits, out = str(EXAMPLES / "digits.rnn"), tmp_path / "d.safetensors"
    data = ["--data", str(EXAMPLES / "data" / "digits-test.npz"), "--epochs", "2", "--out", str(out)]
    kept = Path(f"{out}.checkpoint")
    told: list[bool] = []

    def stop(bar: Any, now: Any) -> None:
        told.append(kept.exists())
        if now.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("rnngraph.cli.printing.Bar.tell", stop)
        assert exit_code(["train", digits, *data]) == 130
    assert any(told) and kept.exists() and str(kept) in capsys.readouterr().err
    assert exit_code(["train", digits, *data, "--resume", str(kept)]) == 0
    assert out.exists() and kept.exists()  # what the user named stays
    capsys.readouterr()
    assert exit_code(["train", digits, *data]) == 0
    assert "went on" not in capsys.readouterr().err and not kept.exists()


# --- how fast a model is -----------------------------------------------------------------------------------------

QUICK = ["--steps", "3", "--batch", "2", "--seconds", "0"]


def test_bench_tells_speed_and_where_the_time_goes(capsys: Told) -> None:
    assert exit_code(["bench", LSTM4, *QUICK]) == 0
    told = capsys.readouterr().out
    for word in ("LSTM4: batch 2, 3 steps, float32", "infer", "train", "GFLOP/s", "where the time goes", "lstm.rnn:"):
        assert word in told


SPEECH = """
model M {
  input x: seq@time[5]
  input y: seq@label int
  loss ctc_loss(Dense(5)(unroll LSTM(3) over x), y)
}
"""


def test_compare_takes_steps_for_each_axis(tmp_path: Path, capsys: Told) -> None:
    """An axis that is named has its steps in all rows; where all are, the rows are of the first."""
    (tmp_path / "speech.rnn").write_text(SPEECH)
    arguments = ["compare", str(tmp_path / "speech.rnn"), "--batch", "2", "--repeats", "1", "--json", "--steps"]
    for given, steps in (("6,9,label=2", [6, 6, 9, 9]), ("time=9,label=2", [9, 9])):
        assert exit_code([*arguments, given]) == 0
        found = json.loads(capsys.readouterr().out)
        assert ([row["steps"] for row in found["rows"]], found["beside"]) == (steps, {"label": 2})
        for row in found["rows"]:
            entries = {e["category"]: e for e in row["ledger"]}
            assert all(e["predicted"] == e["measured"] for e in entries.values() if e["measured"] is not None)
            x, y = 4 * 2 * 5 * row["steps"], 64  # at multiples of 64 bytes
            assert entries["inputs"]["predicted"] == -(-x // 64) * 64 + y
    model = rg.load(tmp_path / "speech.rnn")
    found = model.compare({"time": 9, "label": 2}, 2, repeats=1)
    assert found.equal and [row.steps for row in found.rows] == [9, 9]
    assert found.facts.startswith("batch 2, 2 steps of label, float32")
    for given, told in (("6,labels=2", "no sequence of the data runs over `labels`"), ("label=2", "for `time`")):
        assert exit_code([*arguments, given]) == 2
        assert told in capsys.readouterr().err


def test_bench_takes_steps_for_each_axis(tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "speech.rnn").write_text(SPEECH)
    arguments = ["bench", str(tmp_path / "speech.rnn"), "--batch", "2", "--seconds", "0"]
    assert exit_code([*arguments, "--steps", "time=9,label=2"]) == 0
    assert "batch 2, time 9, label 2 steps" in capsys.readouterr().out
    assert exit_code([*arguments, "--steps", "time=9,label=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["axes"]) == (9, {"time": 9, "label": 2})
    assert exit_code([*arguments, "--steps", "time=9"]) == 2
    assert "no number of steps is given for `label`" in capsys.readouterr().err


@pytest.mark.parametrize("kernels", ["native", "numpy"])
def test_bench_counts_the_products(kernels: str, capsys: Told) -> None:
    """Forward [x, h] @ kernel; backward the same for the weights, and for h alone: x is no weight."""
    assert exit_code(["bench", LSTM4, *QUICK, "--kernels", kernels, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"{kernels} kernels" in found["how"]
    rows, columns, steps, batch = (6, 4), 16, 3, 2
    infer, train = (speed["flops"] for speed in found["speeds"])
    assert infer == 2 * sum(rows) * columns * steps * batch
    assert train == 2 * infer + 2 * rows[1] * columns * steps * batch
    for speed in found["speeds"]:
        lines = speed["profile"]["lines"]
        assert 0 < sum(line["forward"] + line["backward"] for line in lines) < speed["profile"]["seconds"]
        assert any(line["backward"] for line in lines) == (speed["task"] == "train")
        assert speed["gflops"] == pytest.approx(speed["flops"] / speed["seconds"] / 1e9)


def test_bench_counts_no_products_of_steps_that_a_stop_leaves_out(tmp_path: Path, capsys: Told) -> None:
    """With NumPy x @ w is made for all of the 20 steps, h @ u for the 8 that run."""
    (tmp_path / "m.rnn").write_text(
        "cell C {\n input x: [n]\n state h: [5] = 0\n param w: [n, 5] = 0.1\n param u: [5, 5] = 0.1\n"
        " h' = tanh(x @ w + h @ u)\n output h'\n stop t >= 7\n}\n"
        "model M {\n input x: seq[3]\n output unroll C() over x as y\n}\n"
    )
    model, size = str(tmp_path / "m.rnn"), ["--steps", "20", "--batch", "4", "--seconds", "0.01"]
    assert exit_code(["bench", model, *size, "--kernels", "numpy", "--json"]) == 0
    (infer, *_) = json.loads(capsys.readouterr().out)["speeds"]
    assert infer["flops"] == 2 * 4 * (20 * 3 * 5 + 8 * 5 * 5)


@pytest.mark.parametrize("kernels, unroll", [("native", "dynamic"), ("numpy", "static")])
def test_bench_counts_the_products_of_steps_that_are_made_again(kernels: str, unroll: str, capsys: Told) -> None:
    """Of 80 steps in chunks of 32 the first two chunks run twice."""
    size = ["--steps", "80", "--batch", "2", "--seconds", "0.01", "--keep", "every:32"]
    assert exit_code(["bench", LSTM4, *size, "--kernels", kernels, "--unroll", unroll, "--json"]) == 0
    of_x, of_h = (2 * 2 * rows * 16 for rows in (6, 4))  # of one step
    (_, train) = json.loads(capsys.readouterr().out)["speeds"]
    assert train["flops"] == 80 * (2 * (of_x + of_h) + of_h) + 64 * (of_x + of_h)


def test_static_and_dynamic_have_the_same_products(capsys: Told) -> None:
    """But for the gradient of the first state, which a static program does not compute where nobody wants it."""
    counts = []
    for unroll in ("static", "dynamic", "2"):
        assert exit_code(["bench", str(EXAMPLES / "stack.rnn"), *QUICK, "--unroll", unroll, "--json"]) == 0
        counts.append([speed["flops"] for speed in json.loads(capsys.readouterr().out)["speeds"]])
    batch, first_states = 2, 4 * 16 + 5 * 20
    assert counts[1] == counts[2] == [counts[0][0], counts[0][1] + 2 * batch * first_states]


def test_bench_follows_steps_that_are_made_again(capsys: Told) -> None:
    assert exit_code(["bench", LSTM4, *QUICK, "--keep", "sqrt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "--keep sqrt" in found["how"]
    lines = found["speeds"][1]["profile"]["lines"]
    assert any("lstm.rnn" in line["place"] and line["backward"] for line in lines)


@pytest.mark.parametrize("kernels", ["native", "numpy"])
@pytest.mark.parametrize("unroll", ["static", "2"])
def test_a_watched_run_computes_the_same(kernels: str, unroll: str) -> None:
    """With something around every kernel, and other weights from one run to the next."""
    from rnngraph.analysis.synthetic_data import synthetic

    seen: list[Any] = []

    def watch(kernel: Any, steps: tuple[Any, ...]) -> Any:
        def watched(*arrays: Any) -> None:
            seen.extend(steps)
            kernel(*arrays)

        return watched

    model = rg.load(EXAMPLES / "invented.rnn", units=8)
    data = synthetic(model, 5, 3, 0)
    program = model.compile(unroll, 5, gradient="weights", kernels=kernels)
    variant, checked = program.main, program.check(data)
    bound = program.backend.watched(variant.program, variant.plan(checked.sizes), watch)
    inputs = {name: program.input(name, variant, checked, {}) for name in variant.program.inputs}
    for seed in (0, 1):
        weights = model.init(seed)
        results = bound.run(inputs, weights)
        loss, gradients = program.gradients(data, weights)
        assert results["loss"] == loss
        assert all(np.array_equal(results[f"grad:{name}"], gradients[name]) for name in gradients)
    assert {step.node.origin.backward for step in seen} == {True, False}


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_the_times_of_a_run_are_drawn(form: str, tmp_path: Path, capsys: Told) -> None:
    data, picture = tmp_path / "x.npz", tmp_path / f"times.{form}"
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3, 6)))
    asked = ["run", LSTM4, "--data", str(data), "--profile", "--lines", "2"]
    assert exit_code([*asked, "--picture", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "run: where the time goes" in told and "other lines" in told and f"wrote {picture}" in told
    begin = picture.read_bytes()[:300]
    assert {"svg": b"<svg", "png": b"PNG", "pdf": b"%PDF"}[form] in begin


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--batch", "0"], "--batch 0"),
        (["--steps", "0"], "--steps 0"),
        (["--steps", "time=0"], "--steps time=0"),
        (["--steps", "time=3,time=4"], "neither a number of steps nor one for each axis"),
        (["--steps", "tine=3"], "no sequence of the data runs over `tine`"),
        (["--lines", "0"], "--lines 0"),
        (["--seconds", "-1"], "--seconds -1"),
        (["--unroll", "sometimes"], "not a way to unroll"),
        (["--picture", "times.gif"], "format of a picture"),
        (["--picture", "nosuch/times.svg"], "cannot write"),
    ],
)
def test_bench_tells_mistakes(more: list[str], told: str, tmp_path: Path, capsys: Told) -> None:
    assert exit_code(["bench", LSTM4, *QUICK, *more]) in (1, 2)
    assert told in capsys.readouterr().err


def test_run_has_a_profile_for_programs_to_read(tmp_path: Path, capsys: Told) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3, 6)))
    assert exit_code(["run", LSTM4, "--data", str(tmp_path / "x.npz"), "--profile", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0 and any("lstm.rnn" in line["place"] for line in found["lines"])
