"""Every example does what its page says, on the data that lies beside it."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.data.read import load
from rnngraph.training.config import FitConfig
from rnngraph.training.evaluation import evaluate
from rnngraph.training.fit import fit
from rnngraph.weights.metadata import About
from tests.support.paths import ROOT
from tests.support.running import same_bits

EXAMPLES = ROOT / "examples"
DATA = EXAMPLES / "data"


def script(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


baselines = script("baselines")

SMALL_DATA = {
    "sunspots": "sunspots-test", "digits": "digits-test", "chars": "chars-test", "invented": "digits-test",
}  # fmt: skip


PLAIN = [
    path for path in sorted(EXAMPLES.glob("*.rnn")) if (DATA / f"{SMALL_DATA.get(path.stem, path.stem)}.npz").exists()
]
"""The examples with plain data; `test_examples_more` has the others."""


def arrays(path):
    """The arrays of a data file."""
    return dict(load([path]))


def data_of(name, rows=3, steps=20):
    """Some rows of an example's data, and not too many steps."""
    data = arrays(DATA / f"{SMALL_DATA.get(name, name)}.npz")
    return {key: a[:rows, :steps] if name == "chars" else a[:rows] for key, a in data.items()}


# --- the models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PLAIN, ids=lambda p: p.stem)
def test_both_modes_give_the_same_bits(path):
    model, data = rg.load(path), data_of(path.stem)
    steps = next((np.shape(data[i.name])[1] for i in model.inputs if i.axes), 1)
    static, dynamic = (
        model.compile(unroll=mode, steps=steps, gradient=True) for mode in ("static", "dynamic")
    )
    weights = model.init(1)
    ours, theirs = static.run(data, weights), dynamic.run(data, weights)
    assert ours and same_bits(ours, theirs)
    if "loss" in ours:
        (loss, gradients), (other, same) = static.gradients(data, weights), dynamic.gradients(data, weights)
        assert loss == other and same_bits(gradients, same)


PRINTED = {
    "textbook": {
        "y": [[[0.83456165, 0.44506708, -0.21010002, -0.38176674, 0.95100176],
               [0.69185251, 0.99999988, 0.39719999, 0.20911363, 0.99997133]],
              [[0.97582531, 0.99783802, -0.41931435, -0.50139934, 0.99969459],
               [-0.83180672, -0.20288916, 0.69902909, 0.41513512, -0.00059112889]],
              [[0.9966855, 0.99999386, -0.59180784, -0.60450792, 0.99999809],
               [-0.44303608, 0.99992198, 0.51096505, 0.56005251, 0.99670297]],
              [[-0.9988333, 0.99997902, 0.96597314, 0.012116167, -0.99381185],
               [0.32501018, 0.98728287, -0.74440765, 0.27665448, 0.93733406]]],
    },
    "by_hand": {
        "y0": [[0.9247161, -0.999995, -0.8969864, -0.7115789, -0.97927713],
               [0.9773871, -1.0, -0.9999943, 0.76748437, -0.66078764],
               [0.9933354, -1.0, -1.0, 0.99418443, 0.5987562],
               [-0.99991107, 0.9999316, -0.99937576, 1.0, 1.0]],
        "y1": [[0.7885174, -1.0, -1.0, 0.9999928, 1.0],
               [0.01587098, 0.7866728, -0.96647304, 0.75650764, 0.5484772],
               [-0.5836996, -1.0, -1.0, 0.9999931, 0.9999637],
               [-0.9998492, -0.9985043, -0.99633384, 0.9894642, -0.06464703]],
    },
    "lstm4": {
        "final.c": [[0.14033972, 0.81582224, 0.82371634, 0.29101387]],
        "final.h": [[0.06975102, 0.6445508, 0.33219245, 0.03023778]],
    },
    "stack": {
        "y": [[[-0.01573942, 0.02947374, -0.04671409, -0.05581208, 0.00198461],
               [-0.03288725, 0.05618233, -0.07481771, -0.09141026, 0.01093547],
               [-0.05817969, 0.09239119, -0.11113288, -0.11899582, 0.00466868]],
              [[-0.01573942, 0.02947374, -0.04671409, -0.05581209, 0.00198461],
               [-0.02906859, 0.05948253, -0.07529968, -0.09817882, 0.02598765],
               [-0.02588988, 0.04673268, -0.04770134, -0.0830615, 0.03575632]]],
    },
}  # fmt: skip
"""What the tutorials print of TensorFlow's results."""


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_the_numbers_of_the_tutorials_come_out(name, unroll):
    data = arrays(DATA / f"{name}.npz")
    steps = data["x"].shape[1] if "x" in data else 1
    program = rg.load(EXAMPLES / f"{name}.rnn").compile(unroll=unroll, steps=steps, dtype="float32")
    results = program.run(data, rg.load_weights(DATA / f"{name}.safetensors"))
    for output, printed in PRINTED[name].items():
        np.testing.assert_allclose(results[output], printed, atol=3e-5)


def test_a_text_read_in_parts_is_a_text_read_at_once():
    model = rg.load(EXAMPLES / "chars.rnn")
    program, weights, data = model.compile(), model.init(3), data_of("chars")
    whole = program.run(data, weights)
    parts, states = [], {}
    for start, stop in ((0, 1), (1, 13), (13, 20)):
        results = program.run({**{n: a[:, start:stop] for n, a in data.items()}, **states}, weights)
        states = {name: results[name] for name in ("final.c", "final.h")}
        parts.append(results["scores"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole["scores"], atol=1e-13)
    np.testing.assert_allclose(states["final.h"], whole["final.h"], atol=1e-13)


def test_a_model_writes_text_by_seed(tmp_path, capsys):
    path = tmp_path / "chars.safetensors"
    about = About(data=load([DATA / "chars-train.npz"]).made)
    rg.save_weights(path, rg.Weights(rg.load(EXAMPLES / "chars.rnn").init(0, "float32"), about))
    texts = []
    for seed in ("1", "1", "2"):
        arguments = ["--weights", str(path), "--prompt", "It is", "--length", "30", "--seed", seed]
        assert exit_code(["generate", str(EXAMPLES / "chars.rnn"), *arguments]) == 0
        texts.append(capsys.readouterr().out.removesuffix("\n"))
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("It is") and len(text) == 35 for text in texts)


# --- what is learned -------------------------------------------------------------------------------------


def learned(name, data, test, **overrides):
    """The held-back loss and metrics of an example trained by its own recipe, as `rnngraph train` does it."""
    model = rg.load(EXAMPLES / f"{name}.rnn")
    train, plain = (
        model.compile(dtype="float32", gradient=wanted, training=bool(wanted))
        for wanted in ("weights", False)
    )
    weights = {key: a.astype("float32") for key, a in model.init(0).items()}
    metrics = [key for key in plain.run(row_of(test), weights) if key in ("accuracy", "next_year")]
    fitted = fit(train, weights, data, FitConfig.from_recipe(model.recipe, **overrides), evaluator=plain)
    return evaluate(plain, test, fitted.weights, metrics)


def row_of(data):
    return {name: array[:1] for name, array in data.items()}


@pytest.mark.parametrize("name", ["digits", "invented"])
def test_digits_are_read_right(name):
    result = learned(name, arrays(DATA / "digits-train.npz"), arrays(DATA / "digits-test.npz"))
    assert result["accuracy"] >= 0.97


def test_sunspots_are_forecast_better_than_by_this_year():
    train, test = arrays(DATA / "sunspots-train.npz"), arrays(DATA / "sunspots-test.npz")
    assert learned("sunspots", train, test)["next_year"] < 0.75 * baselines.persistence(test)


def test_characters_are_guessed_better_than_by_trigrams():
    train, test = arrays(DATA / "chars-train.npz"), arrays(DATA / "chars-test.npz")
    trigram, _ = baselines.best_trigram(train, test, 74)
    assert learned("chars", train, test, epochs=3)["loss"] < trigram


def test_a_table_with_dates_is_forecast_better_than_by_no_change():
    model = rg.load(EXAMPLES / "forecast.rnn")
    columns = {"known": ["unemployment", "inflation", "bill_rate"], "next": "unemployment"}
    data = rg.data.table(
        model, DATA / "economy.csv", columns=columns, steps=12, horizon=1, order="quarter", standardise=True
    )
    fitted = model.fit(data)
    best = fitted.history[fitted.best_epoch - 1]
    assert best["validation.loss"] < 0.6 * best["validation.unchanged"]
    assert f"{best['validation.unchanged']:.3f} (`unchanged`)" in (EXAMPLES / "README.md").read_text()
    found = model.predict(data, fitted.weights)
    assert 2 < found["forecast"].min() < found["forecast"].max() < 12  # percent, not standardised


# --- the baselines and the data --------------------------------------------------------------------------


def test_the_page_quotes_the_baselines():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    train, test = baselines.read("sunspots-train"), baselines.read("sunspots-test")
    error, order = baselines.autoregression(train, test)
    assert f"| next year is like this year | {baselines.persistence(test):.4f} |" in page
    assert f"| least-squares autoregression on the last {order} years | {error:.4f} |" in page
    entropy, _ = baselines.best_trigram(baselines.read("chars-train"), baselines.read("chars-test"), 74)
    assert f"{entropy:.3f} nats" in page


@pytest.mark.parametrize("continuation", [True, False])
def test_a_trigram_model_gives_probabilities(continuation):
    text = np.random.default_rng(0).integers(0, 5, 300)
    model = baselines.trigram_model(text, 6, baselines.Smoothing((0.7, 0.5, 0.5), continuation))
    np.testing.assert_allclose(model.sum(-1), 1.0)
    assert (model > 0).all()


def test_a_trigram_model_that_knows_the_source_reaches_its_entropy():
    text = np.tile([0, 1, 2, 1], 2000)
    sure = baselines.trigram(text, *baselines.scored(text), 3, baselines.Smoothing((0.1, 0.1, 0.1), True))
    assert sure < 1e-3


def test_the_data_is_what_its_script_cuts(tmp_path, monkeypatch):
    make_data = script("make_data")
    (tmp_path / "pride_and_prejudice.txt").write_bytes((DATA / "pride_and_prejudice.txt").read_bytes())
    monkeypatch.setattr(make_data, "FOLDER", tmp_path)
    for cut in (make_data.textbook, make_data.sunspots, make_data.digits, make_data.economy, make_data.characters):
        cut()
    assert (tmp_path / "economy.csv").read_bytes() == (DATA / "economy.csv").read_bytes()
    made = {path.name for path in tmp_path.glob("*.npz")}
    others = ("word_ends-", "dates-", "strips-", "ponder-")  # which test_examples_more.py cuts
    assert made == {path.name for path in DATA.glob("*.npz") if not path.name.startswith(others)}
    for name in made:
        ours, kept = arrays(tmp_path / name), arrays(DATA / name)
        assert ours.keys() == kept.keys()
        assert all(ours[k].dtype == kept[k].dtype and np.array_equal(ours[k], kept[k]) for k in ours)


def test_training_and_test_rows_are_not_the_same():
    for name, key in (("digits", "image"), ("chars", "text")):
        train, test = (arrays(DATA / f"{name}-{part}.npz")[key] for part in ("train", "test"))
        known = {row.tobytes() for row in train}
        assert sum(row.tobytes() in known for row in test) == 0
    last_known = arrays(DATA / "sunspots-train.npz")["following"][-1, -1, 0]
    assert arrays(DATA / "sunspots-test.npz")["x"][0, -1, 0] == last_known


def test_everything_is_small():
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 1_500_000
