"""`import rnngraph as rg`: the names that users write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.request import Wanted
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"

TEXT = """\
model Two(units = 4) {
  input x: seq[3]
  input y: seq[]
  h, final = unroll LSTM(units) >> RNN(2) over x
  scores = Dense(1)(h)
  output scores, final
  loss mean((scores[0] - y) * (scores[0] - y))
}
"""


@pytest.fixture
def data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(3, 5, 3)), "y": rng.normal(size=(3, 5))}


def test_every_public_name_is_there() -> None:
    for name in rg.__all__:
        assert getattr(rg, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = rg.nosuch


def test_a_model_says_what_it_is() -> None:
    model = rg.parse(TEXT, units=6)
    assert [i.name for i in model.inputs] == ["x", "y"]
    assert model.weights[0].shape == (9, 24)
    assert set(model.outputs) >= {"scores"}
    assert {s.name for s in model.states} == {"final.0.c", "final.0.h", "final.1.h"}
    assert model.block.definition == "Two"


def test_load_takes_paths_settings_and_names(tmp_path: Path) -> None:
    path = tmp_path / "two.rnn"
    path.write_text(TEXT + TEXT.replace("Two", "Other").replace("units = 4", "units = 5"))
    assert rg.load(path, "Other").weights[0].shape == (8, 20)
    assert rg.load(str(path), "Two", units=2).weights[0].shape == (5, 8)
    with pytest.raises(rg.UserError, match="setting"):
        rg.load(path, "Two", unit=2)


@pytest.mark.parametrize("unroll", ["static", "dynamic", 2])
def test_run_and_gradients(data: dict[str, Any], unroll: str | int) -> None:
    model = rg.parse(TEXT)
    weights = model.init(seed=1)
    program = model.compile(unroll=unroll, steps=5, backend="numpy", dtype="float64", gradient=True)
    results = program.run(data, weights)
    assert results["scores"].shape == (3, 5, 1) and results["final.0.c"].shape == (3, 4)
    loss, gradients = program.gradients(data, weights)
    assert loss == results["loss"]
    assert gradients.keys() == {*weights, "x", "y", "final.0.c", "final.0.h", "final.1.h"}
    assert all(gradients[name].shape == weights[name].shape for name in weights)
    step = 1e-6
    moved = {**weights, "dense.bias": weights["dense.bias"] + step}
    slope = (program.run(data, moved)["loss"] - loss) / step
    assert slope == pytest.approx(gradients["dense.bias"][0], rel=1e-4)


def test_cotangents_stand_in_for_a_loss(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    weights, program = model.init(1), model.compile(gradient=True)
    cotangent = np.random.default_rng(3).normal(size=(3, 5, 1))
    total, gradients = program.gradients(data, weights, {"scores": cotangent})
    results = program.run(data, weights)
    assert total == pytest.approx(float(np.sum(results["scores"] * cotangent)))
    assert gradients["dense.bias"] == pytest.approx(cotangent.sum())


def test_final_states_are_fed_back_under_their_names(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    weights, program = model.init(1), model.compile()
    whole = program.run(data, weights)
    first = program.run({n: a[:, :2] for n, a in data.items()}, weights)
    states = {n: a for n, a in first.items() if n.startswith("final.")}
    rest = program.run({**{n: a[:, 2:] for n, a in data.items()}, **states}, weights)
    np.testing.assert_allclose(rest["scores"], whole["scores"][:, 2:], atol=1e-14)


def test_results_are_the_users_to_keep(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    program, weights = model.compile(gradient=True), model.init(1)
    _, gradients = program.gradients(data, weights)
    kept = {name: array.copy() for name, array in gradients.items()}
    before = {name: array.copy() for name, array in weights.items()}
    program.gradients({n: a * 2 for n, a in data.items()}, weights)
    assert all(np.array_equal(gradients[name], kept[name]) for name in kept)
    assert all(np.array_equal(weights[name], before[name]) for name in weights)


def test_weights_go_through_a_file(tmp_path: Path) -> None:
    weights = rg.parse(TEXT).init(3)
    rg.save_weights(tmp_path / "w.safetensors", weights)
    again = rg.load_weights(tmp_path / "w.safetensors")
    assert weights.keys() == again.keys()
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_a_watched_value_is_recorded_at_every_step(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    for unroll in ("static", "dynamic"):
        results = model.compile(unroll, 5, watch=("c",)).run(data, model.init(1))
        watched = next(a for n, a in results.items() if n.rpartition(".")[2] == "c" and not n.startswith("final"))
        assert watched.shape == (3, 5, 4)
        assert np.array_equal(watched[:, -1], results["final.0.c"])


def test_any_stage_is_a_networkx_graph() -> None:
    import networkx

    from rnngraph.ir.text import to_networkx

    program = rg.parse(TEXT).compile(gradient=True)
    found = to_networkx(program.graph)
    assert isinstance(found, networkx.DiGraph) and networkx.is_directed_acyclic_graph(found)
    assert {"op", "type"} <= set(found.nodes[next(iter(found))])


def test_models_and_programs_draw_themselves() -> None:
    model = rg.load(EXAMPLES / "textbook.rnn")
    for picture in (model._repr_svg_(), model.compile("static", 3)._repr_svg_()):
        assert picture.startswith(("<svg", "<?xml"))
        assert "</svg>" in picture and "kernel" in picture


def test_mistakes_are_errors_with_diagnostics(data: dict[str, Any]) -> None:
    with pytest.raises(rg.UserError) as wrong:
        rg.parse("model M {\n  input x: [3]\n  output y\n}\n")
    assert wrong.value.exit_code == 2 and wrong.value.diagnostics[0].code
    model = rg.parse(TEXT)
    program, weights = model.compile("static", 5), model.init(1)
    with pytest.raises(rg.UserError, match="was compiled for 5"):
        program.run({n: a[:, :4] for n, a in data.items()}, weights)
    with pytest.raises(rg.UserError, match="without gradients"):
        program.gradients(data, weights)
    with pytest.raises(rg.UserError, match="none was given"):
        model.compile("static")
    with pytest.raises(rg.UserError, match=r"no `dense\.bias`"):
        program.run(data, {n: a for n, a in weights.items() if n != "dense.bias"})
    with pytest.raises(rg.UserError, match="no output `nosuch`"):
        model.compile(gradient=True).gradients(data, weights, {"nosuch": np.zeros(3)})


def test_a_dynamic_program_is_compiled_once_for_any_batch_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model = rg.parse(TEXT)
    program, weights = model.compile(), model.init(1)
    for batch, steps in ((4, 2), (1, 1), (7, 3), (2, 40)):
        x = np.random.default_rng(batch).normal(size=(batch, steps, 3))
        assert program.run({"x": x, "y": x[..., 0]}, weights)["scores"].shape == (batch, steps, 1)
        monkeypatch.setattr("rnngraph.compilation.variant.lower", None)


def test_an_output_and_a_metric_of_one_name_are_both_given() -> None:
    text = "model M { input x: seq[2]\n y, f = unroll RNN(2) over x\n output y as level\n metric mean(y) as level }"
    model = rg.parse(text)
    results = model.compile().run({"x": np.ones((1, 3, 2))}, model.init(0))
    assert results["level"].shape == (1, 3, 2)
    assert results["metric.level"] == pytest.approx(results["level"].mean())


def test_exports_keep_names_apart_as_run_does() -> None:
    text = """
    cell Wrap { input x: [n]  enc = RNN(2)  output enc(x) }
    model M {
      input x: seq[2]
      y, final = unroll Wrap over x
      z, RECORD = unroll RNN(2) over x
      output y, z
      metric mean(y) as y
    }
    """
    model = rg.parse(text.replace("RECORD", "other"))
    x, weights = np.ones((1, 3, 2)), model.init(0)
    scope: dict[str, Any] = {}
    exec(to_numpy(model, weights, Wanted(loss=True, dtype="float64")).text, scope)
    found, expected = scope["run"](x), model.compile().run({"x": x}, weights)
    assert found.keys() == {"y", "z", "metric.y"} and np.allclose(found["metric.y"], expected["metric.y"])
    same = rg.parse(text.replace("RECORD", "enc"))  # `final.enc.h` and `enc.h` are both `initial.enc.h`
    with pytest.raises(UserError, match=r"two states would both be called `initial\.enc\.h`"):
        to_numpy(same, same.init(0), Wanted())


# --- one call after another --------------------------------------------------------------------------------------


def test_later_calls_see_new_data_and_new_weights(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    program, others = model.compile(gradient=True), model.init(2)
    program.gradients(data, model.init(1))
    again = {name: array[::-1].copy() for name, array in data.items()}
    for weights in (others, {name: array * 0.5 for name, array in others.items()}):
        loss, found = program.gradients(again, weights)
        right, expected = model.compile(gradient=True).gradients(again, weights)
        assert loss == right and all(np.array_equal(found[name], expected[name]) for name in expected)
    others["dense.bias"] += 1  # in place, seen as well
    assert program.run(again, others)["loss"] == model.compile().run(again, others)["loss"]


def test_every_call_has_its_seed() -> None:
    """However it is given, and whatever was given before."""
    program = rg.parse("model M { input x: [3]  output x + uniform([3]) as y }").compile()
    x = np.zeros((2, 3))
    drawn = [[program.run({"x": x, "seed": kind(n)}, {})["y"] for n in (5, 6)] for kind in (int, np.int64, np.array)]
    assert all(np.array_equal(found, drawn[0]) for found in drawn)
    assert not np.array_equal(*drawn[0])
    assert np.array_equal(program.run({"x": x}, {})["y"], program.run({"x": x, "seed": 0}, {})["y"])


def test_every_call_is_checked(data: dict[str, Any]) -> None:
    both = "[x, Embedding(7, 2)(id)]"
    model = rg.parse(f"model M {{ input x: seq[3]\n input id: seq int\n y = unroll RNN(2) over {both}\n output y }}")
    program, weights = model.compile(), model.init(0)
    good = {"x": data["x"], "id": np.zeros((3, 5), "int64")}
    program.run(good, weights)
    bad = data["x"].copy()
    bad[1, 2, 0] = np.nan
    for wrong, told in (({"x": bad}, "row 1, step 2"), ({"id": good["id"] + 7}, "expected 0 to 6")):
        with pytest.raises(rg.UserError, match=told):
            program.run({**good, **wrong}, weights)
    with pytest.raises(rg.UserError, match=r"no `rnn\.bias`"):
        program.run(good, {n: a for n, a in weights.items() if n != "rnn.bias"})
    padded = program.run({**good, "x": bad, "x.lengths": np.array([5, 2, 5])}, weights)["y"]
    assert np.isfinite(padded).all() and not padded[1, 2:].any()


def test_data_of_any_kind_may_follow_each_other(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    program, weights = model.compile(), model.init(1)
    results = [
        program.run(given, weights)["loss"]
        for given in (
            data,
            {name: array.tolist() for name, array in data.items()},
            {name: np.asfortranarray(array) for name, array in data.items()},
            {name: array.astype("float32") for name, array in data.items()},
            data,
        )
    ]
    assert results[0] == results[1] == results[2] == results[4] != results[3]


def test_a_cotangent_of_another_shape_is_told(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    program, weights = model.compile(gradient=True), model.init(1)
    for shape in ((3, 5), (1, 5, 1)):
        with pytest.raises(rg.UserError, match=r"cotangent of `scores` should be \(3, 5, 1\)"):
            program.gradients(data, weights, {"scores": np.ones(shape)})


@pytest.mark.parametrize("kernels", ["native", "numpy"])
def test_a_weight_that_no_compiled_kernel_reads_may_be_another_array(kernels: str) -> None:
    model = rg.parse("model M { input id: seq int\n y = unroll RNN(2) over Embedding(7, 2)(id)\n output y }")
    program, data = model.compile(kernels=kernels), {"id": np.array([[1, 6, 3]])}
    for seed in (1, 2):
        weights = model.init(seed)
        assert np.array_equal(program.run(data, weights)["y"], model.compile(kernels=kernels).run(data, weights)["y"])


NUMBERS = "model M {\n  input x: [3]\n  param w: [3, 2] = 1\n  y = x @ w\n  output y\n  loss mean(y)\n}\n"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"w": np.ones((2, 3))}, "the weight `w` should be (3, 2), got (2, 3)"),
        ({"w": np.ones(2)}, "the weight `w` should be (3, 2), got (2,)"),
        ({"w": np.ones((1, 1))}, "the weight `w` should be (3, 2), got (1, 1)"),
        ({"w": 1.0}, "the weight `w` should be (3, 2), got ()"),
        ({"w": None}, "the weight `w` should be (3, 2)"),
        ({"w": np.full((3, 2), None)}, "the weight `w` should hold numbers, got object"),
        ({"w": np.full((3, 2), "a")}, "the weight `w` should hold numbers"),
        ({"w": [[1.0, 2.0], [1.0]]}, "the weight `w` should be (3, 2)"),
        ({"w": np.ma.masked_array(np.ones((3, 2)), np.eye(3, 2))}, "the weight `w` holds masked values"),
        (None, "the weights should be arrays by name, got NoneType"),
        ([np.ones((3, 2))], "the weights should be arrays by name, got list"),
        ({1: np.ones((3, 2))}, "1 is not a name"),
    ],
)
def test_weights_that_do_not_fit_are_told_by_name(weights: object, words: str) -> None:
    """NumPy would repeat a row of weights, or tell a shape without a name."""
    program = rg.parse(NUMBERS).compile(gradient=True)
    for call in (program.run, program.gradients):
        with pytest.raises(rg.UserError) as error:
            call({"x": np.ones((1, 3))}, weights)  # type: ignore[arg-type,operator]
        assert words in error.value.diagnostics[0].message


@pytest.mark.parametrize("data", [None, [1], "x", {1: np.ones((1, 3))}])
def test_data_that_are_no_arrays_by_name(data: object) -> None:
    with pytest.raises(rg.UserError, match="the data should be arrays by name"):
        rg.parse(NUMBERS).compile().run(data, {"w": np.ones((3, 2))})  # type: ignore[arg-type]


def test_masked_data_are_refused() -> None:
    """Also where plain ones of the same shape ran before: what lies below a mask is no number."""
    x = np.ma.masked_array(np.ones((1, 3)), [[True, False, False]])
    program = rg.parse(NUMBERS).compile()
    for _ in range(2):
        with pytest.raises(rg.UserError, match="`x` holds masked values"):
            program.run({"x": x}, {"w": np.ones((3, 2))})
        program.run({"x": np.ones((1, 3))}, {"w": np.ones((3, 2))})


def test_masked_lengths_are_refused() -> None:
    program = rg.parse("model M { input x: seq output sum(x, axis = time) as total }").compile()
    data = {"x": np.ones((2, 3)), "x.lengths": np.ma.masked_array([3, 1], [False, True])}
    with pytest.raises(rg.UserError, match=r"`x\.lengths` should hold integers, got masked values"):
        program.run(data, {})


def test_masked_arrays_are_refused_wherever_arrays_are_taken() -> None:
    hidden = np.ma.masked_array(np.ones((2, 3)), np.eye(2, 3))
    model = rg.parse("model M { input x: seq[3] input k: [1] y, final = unroll RNN(3) over x output y, final"
                     " loss squared_error(last(y)[0:1], k) }")  # fmt: skip
    weights, row = model.init(), {"x": np.ones((2, 1, 3)), "k": np.ones((2, 1))}
    calls = (
        lambda: model.compile(outputs=("y",), states=True).step({"x": hidden}, weights),
        lambda: model.predict({"x": hidden[:, None]}, weights),
        lambda: model.compile().jvp(row, weights, {"x": hidden[:, None]}),
        lambda: model.compile(gradient=True).gradients(row, weights, {"y": hidden[:, None]}),
        lambda: rg.data.windows({"x": hidden}, 1),
        lambda: rg.data.streams({"x": hidden}, 2),
    )
    for call in calls:
        with pytest.raises(rg.UserError, match="holds masked values"):
            call()


def test_a_row_that_cannot_be_predicted_is_told_by_its_own_number() -> None:
    x = np.zeros((1500, 3))
    x[1400, 1] = np.nan
    with pytest.raises(rg.UserError, match="`x` holds nan at row 1400"):
        rg.parse(NUMBERS).predict({"x": x}, {"w": np.ones((3, 2))})


def test_integers_that_would_become_negative_are_refused() -> None:
    program = rg.parse("model M { input k: int output k + 1 as y }").compile()
    with pytest.raises(rg.UserError, match="`k` holds 9223372036854775808, which 64 bits with a sign do not hold"):
        program.run({"k": np.array([2**63], np.uint64)}, {})
    assert program.run({"k": np.array([2**62], np.uint64)}, {})["y"].tolist() == [2**62 + 1]


def test_rows_that_are_predicted_draw_numbers_of_their_own() -> None:
    model = rg.parse("model M { input x: [] output x + uniform([]) as y }")
    data = {"x": np.zeros(1500)}
    found = model.predict(data, {}, options={"dtype": "float64"})["y"]
    assert len(set(found.tolist())) == 1500 and found.tolist() == model.compile().run(data, {})["y"].tolist()


def test_rows_that_are_evaluated_draw_numbers_of_their_own() -> None:
    """The loss is that of one run of all rows, and of what is predicted for them."""
    model = rg.parse("model M { input x: []  y = uniform([])  output y  loss squared_error(y, x) }")
    data, double = {"x": np.zeros(1500), "seed": 3}, {"dtype": "float64"}
    drawn = model.predict(data, {}, double)["y"]
    assert len(set(drawn.tolist())) == 1500
    for found in (model.evaluate(data, {}, double)["loss"], model.compile().run(data, {})["loss"]):
        assert float(found) == pytest.approx(np.mean(drawn**2), rel=1e-12)


def test_rows_that_are_predicted_know_each_other() -> None:
    """What is a mean over all rows is so for more rows than run at once."""
    model = rg.parse("model M { input x: seq[2] input y: seq int output last(x) - sequence_loss(x, y, 1) as z }")
    x, y = np.random.default_rng(0).normal(size=(1500, 1, 2)), np.arange(1500).reshape(-1, 1) % 2
    mean = np.mean(np.log(np.exp(x).sum(axis=2)) - np.take_along_axis(x, y[..., None], axis=2)[..., 0])
    assert np.allclose(model.predict({"x": x, "y": y}, {}).arrays["z"], x[:, 0] - mean, atol=1e-5)


def test_predictions_know_lengths_that_a_target_has() -> None:
    model = rg.parse("model M { input x, y: seq  s = sum(x, axis = time)  output s  loss squared_error(x, y) }")
    data = {"x": np.ones((2, 3)), "y": np.ones((2, 3)), "y.lengths": [3, 1]}
    assert model.predict(data, {}).arrays["s"].tolist() == [3.0, 1.0]


def test_columns_of_pandas_are_arrays_at_every_call() -> None:
    pandas = pytest.importorskip("pandas")
    program = rg.parse("model M { input x: [] output 2 * x as y }").compile()
    program.run({"x": np.arange(3.0)}, {})
    assert program.run({"x": pandas.Series([1.0, 2.0, 3.0])}, {})["y"].tolist() == [2.0, 4.0, 6.0]


def test_lists_and_whole_numbers_are_weights_too() -> None:
    program = rg.parse(NUMBERS).compile()
    for weights in ([[1, 2]] * 3, np.array([[1, 2]] * 3), np.array([[1, 2]] * 3, "f4")):
        assert program.run({"x": np.ones((1, 3))}, {"w": weights})["y"].tolist() == [[3.0, 6.0]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seed": "a"}, "`seed` should be a whole number, got the text `a`"),
        ({"seed": None}, "`seed` should be a whole number, got `None`"),
        ({"seed": 1.5}, r"`seed` should be a whole number, got `1\.5`"),
        ({"dtype": "int8"}, "`int8` is not a number type"),
    ],
)
def test_new_weights_by_what_is_no_seed_or_type(given: dict[str, Any], words: str) -> None:
    with pytest.raises(rg.UserError, match=words):
        rg.parse(NUMBERS).init(**given)
    assert rg.parse(NUMBERS).init(np.int64(3), "float32")["w"].dtype == np.float32


# --- a method for each verb --------------------------------------------------------------------------------------


def test_a_step_at_a_time_is_the_whole_sequence(data: dict[str, Any]) -> None:
    model = rg.parse(TEXT)
    weights, program = model.init(0), model.compile(outputs=("scores",), states=True)
    whole, state, found = program.run(data, weights), None, []
    for t in range(5):
        outputs, state = program.step({"x": data["x"][:, t]}, weights, state)
        found.append(outputs["scores"])
    assert np.array_equal(np.stack(found, axis=1), whole["scores"])
    assert all(np.array_equal(state[s.name], whole[s.name]) for s in model.states)


def test_what_needs_the_whole_sequence_takes_no_single_step(data: dict[str, Any]) -> None:
    both = rg.parse("model M { input x: seq[3]\n y = Bidirectional(RNN(2), RNN(2))(x)\n output y }")
    with pytest.raises(rg.UserError, match="a reversed loop needs the whole sequence"):
        both.compile(states=True).step({"x": data["x"][:, 0]}, both.init(0))
    hidden = rg.parse(TEXT.replace("output scores, final", "output scores"))
    with pytest.raises(rg.UserError, match="compiled without its states"):
        hidden.compile().step({"x": data["x"][:, 0]}, hidden.init(0))


def test_each_verb_is_a_method(data: dict[str, Any], tmp_path: Path) -> None:
    model = rg.parse(TEXT)
    told: list[Any] = []
    fitted = model.fit(data, epochs=2, batch=2, progress=told.append)
    assert len(fitted.history) == 2 and len(told) == 4
    assert model.evaluate(data, fitted.weights).keys() == {"loss"}
    assert model.predict({"x": data["x"]}, fitted.weights)["scores"].shape == (3, 5, 1)
    assert model.cost(5, 3, gradient=True).total > 0
    assert model.compare((2, 3), 2, repeats=1).equal
    assert model.bench(3, 2, seconds=0.0).speeds
    assert model.render(tmp_path / "m.svg")._repr_mimebundle_().keys() == {"image/svg+xml"}
    assert model.summary()
    model.export(tmp_path / "m.py", fitted.weights)
    assert {"m.py", "m.svg"} <= {path.name for path in tmp_path.iterdir()}
    frame = pytest.importorskip("pandas").DataFrame(fitted.history)
    assert fitted.to_frame().equals(frame)


def test_weights_know_their_model_and_refuse_another(data: dict[str, Any], tmp_path: Path) -> None:
    fitted = rg.parse(TEXT, units=5).fit(data, epochs=1)
    rg.save_weights(tmp_path / "w.safetensors", fitted.weights)
    found = rg.load_weights(tmp_path / "w.safetensors")
    assert found.about == fitted.weights.about and found.about.settings == {"units": 5}
    assert found.about.text == {"<text>": TEXT} and found.about.model == "Two"
    other = rg.parse(TEXT.replace("Dense(1)(h)", "2 * Dense(1)(h)"), units=5)
    renamed = rg.parse(TEXT.replace("output scores, final", "output 2 * scores as guess"), units=5)
    same = rg.parse(TEXT.replace("output scores, final", "output scores as guess"), units=5)
    for model in (other, renamed):
        with pytest.raises(rg.UserError, match="the weights were trained for another model"):
            model.predict({"x": data["x"]}, found)
    assert np.array_equal(
        same.predict({"x": data["x"]}, found)["guess"],
        rg.parse(TEXT, units=5).predict({"x": data["x"]}, found)["scores"],
    )


def test_weights_of_another_model_of_the_same_file_are_refused() -> None:
    one = "model {} {{\n  input x: seq[3]\n  y = unroll RNN(2, activation = {}) over x\n  output y\n}}\n"
    text = one.format("Tanh", "tanh") + one.format("Relu", "relu") + one.format("Same", "tanh")
    models = {name: rg.parse(text, name) for name in ("Tanh", "Relu", "Same")}
    weights = rg.Weights(models["Tanh"].init(0), models["Tanh"].about)
    x = {"x": np.ones((2, 4, 3))}
    with pytest.raises(rg.UserError, match="h'` is computed otherwise here"):
        models["Relu"].predict(x, weights)
    found = {name: models[name].predict(x, weights)["y"] for name in ("Tanh", "Same")}
    assert np.array_equal(found["Tanh"], found["Same"])


def test_an_error_shows_itself_in_a_notebook_without_the_calls() -> None:
    with pytest.raises(rg.UserError) as error:
        rg.parse("model M { input x: seq[3]\n output z }")
    lines = error.value._render_traceback_()
    assert lines[0].startswith("error: ") and not any("Traceback" in line for line in lines)


def test_weights_that_the_model_has_not_are_refused(data: dict[str, Any]) -> None:
    """At every call, also one of data that were met before; outputs that need fewer weights take all."""
    model = rg.parse(TEXT)
    program, weights = model.compile(gradient=True), model.init(0)
    other = {**weights, "dense.biass": weights["dense.bias"]}
    program.run(data, weights)
    for call in (program.run, program.gradients, program.begin):
        with pytest.raises(UserError, match=r"the model has no weight `dense\.biass`") as error:
            call(data, other)
        assert "did you mean `dense.bias`?" in str(error.value)
    assert model.compile(outputs=("final.1.h",)).run({"x": data["x"]}, weights)


KINDS: dict[str, Callable[[rg.Model, dict[str, Any]], object]] = {
    '`gradient` should be True, False or "weights", got the text `yes`': lambda m, d: m.compile(gradient="yes"),  # type: ignore[arg-type]
    "`training` should be True or False, got `1`": lambda m, d: m.compile(training=1),  # type: ignore[arg-type]
    "`outputs` should be a list of texts or None, got the text `h`": lambda m, d: m.compile(outputs="h"),  # type: ignore[arg-type]
    "`log_gradients` should be True or False, got the text `no`": lambda m, d: m.fit(d, log_gradients="no"),  # type: ignore[arg-type]
    "`progress` should be a function or None, got `3`": lambda m, d: m.fit(d, progress=3),  # type: ignore[arg-type]
    "`options` should be a `RunOptions`, a mapping": lambda m, d: m.evaluate(d, m.init(), "static"),  # type: ignore[arg-type]
    "`batch` should be a whole number, got `2.5`": lambda m, d: m.cost(batch=2.5),  # type: ignore[arg-type]
    "`steps` should be a list of whole numbers or a mapping (a dict), got `100`": lambda m, d: m.compare(100),  # type: ignore[arg-type]
    "`keep` should be a text, got `3`": lambda m, d: m.compare((2,), keep=3),  # type: ignore[arg-type]
    "`dark` should be True or False, got the text `yes`": lambda m, d: m.render(dark="yes"),
    "there is no option `darkness`": lambda m, d: m.render(darkness=True),
    "`loss` should be True or False, got the text `no`": lambda m, d: m.export("m.py", m.init(), loss="no"),
    "`path` should be a text or a path, got `3`": lambda m, d: rg.load_weights(3),  # type: ignore[arg-type]
    "`paths` should be a list of paths, got the text `a.npz`": lambda m, d: rg.data.load("a.npz"),
    "`standardise` should be True, False or None": lambda m, d: rg.data.table(m, {}, standardise="no"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("words", KINDS)
def test_options_of_another_kind_are_refused(words: str, data: dict[str, Any]) -> None:
    """Before anything is done, as Python would take them for something else."""
    with pytest.raises(UserError, match=re.escape(words)):
        KINDS[words](rg.parse(TEXT), data)


def test_a_setting_may_have_the_name_of_what_is_given_by_place() -> None:
    of_the_text = "model M(text = 2, path = 3) {\n input x: [text + path]\n output x\n}\n"
    assert rg.parse(of_the_text, text=4, path=5).inputs[0].type.shape == (9,)


def test_numbers_of_numpy_are_numbers() -> None:
    program = rg.parse(TEXT).compile("static", np.int64(3), gradient=np.bool_(True), outputs=["scores"])  # type: ignore[arg-type]
    assert program.schedule.steps == 3
