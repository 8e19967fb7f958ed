"""Segments, accumulation, batches of similar lengths, learning rates, decay: each against numbers that are found
otherwise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.diagnostics.errors import Warned
from rnngraph.runtime.array_updates import NumpyArrays
from rnngraph.training import updates
from rnngraph.training.clipping import clip_factor
from rnngraph.training.config import FitConfig
from rnngraph.training.fit import Interrupted
from rnngraph.training.learning_rates import Cosine, Linear, Place, Plateau, Step, warmed_up
from rnngraph.training.optimisers import SGD, Adagrad, Adam, RMSprop
from rnngraph.training.segment_batches import Pieces
from tests.support.running import same_bits

MODEL = """\
model M {
  input x: seq[2]
  input y: seq[1]
  h, final = unroll LSTM(3) over x
  guess = Dense(1)(h)
  output guess, final
  loss squared_error(guess, y)
}
"""
BOTH_WAYS = MODEL.replace("h, final = unroll LSTM(3) over x", "h = Bidirectional(RNN(3), RNN(3))(x)")
BOTH_WAYS = BOTH_WAYS.replace(", final", "")
RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(4, 12, 2)), "y": RNG.normal(size=(4, 12, 1))}
FLOAT64 = {"dtype": "float64"}


def model(text: str = MODEL) -> Any:
    return rg.parse(text)


def fitted(data: Any = DATA, text: str = MODEL, **recipe: Any) -> Any:
    made = model(text)
    given = {"optimizer": SGD(0.1), "batch": 4, "epochs": 1, **recipe}
    return made.fit(data, weights=made.init(3), options=made.options(**FLOAT64), **given)


# --- segments -----------------------------------------------------------------------------------------------------


def test_segments_of_one_update_have_the_truncated_gradient() -> None:
    """States go on from segment to segment, gradients do not: at the same weights that is the truncated gradient."""
    made = model()
    weights = made.init(3)
    _, cut = made.compile(gradient="weights", truncate=4, outputs=("loss",)).gradients(DATA, weights)
    found = fitted(segment=4, accumulate=3).weights
    for name, weight in weights.items():
        assert np.allclose(found[name], weight - 0.1 * cut[name], rtol=1e-12, atol=1e-14)


def test_segments_are_updates_that_go_on_from_the_states_before() -> None:
    made = model()
    weights, states = made.init(3), {}
    program = made.compile(gradient="weights", outputs=("loss",))
    finals = made.compile(outputs=("guess",), states=True)
    for first in (0, 5, 10):
        part = {name: a[:, first : first + 5] for name, a in DATA.items()} | states
        _, gradients = program.gradients(part, weights)
        results = finals.run({n: a for n, a in part.items() if n != "y"}, weights)
        states = {s.name: results[s.name] for s in made.states if s.name in results}
        weights = {n: w - 0.1 * gradients[n] for n, w in weights.items()}
    found = fitted(segment=5).weights
    assert all(np.allclose(found[n], weights[n], rtol=1e-12, atol=1e-14) for n in weights)


@pytest.mark.parametrize("unroll", ["dynamic", "static"])
def test_rows_that_end_inside_a_segment(unroll: str) -> None:
    data = {**DATA, "x.lengths": np.array([12, 3, 7, 1])}
    made = model()
    options = made.options(unroll=unroll, **FLOAT64)
    found = made.fit(data, weights=made.init(3), options=options, optimizer=SGD(0.1), batch=4, epochs=2, segment=3)
    padded = {n: np.where(np.arange(12)[None, :, None] < data["x.lengths"][:, None, None], a, np.nan)
              for n, a in DATA.items()}  # fmt: skip
    again = made.fit({**padded, "x.lengths": data["x.lengths"]}, weights=made.init(3), options=options,
                     optimizer=SGD(0.1), batch=4, epochs=2, segment=3)  # fmt: skip
    assert same_bits(found.weights, again.weights)
    assert all(np.isfinite(w).all() for w in found.weights.values())


def test_a_segment_without_any_steps_changes_nothing() -> None:
    short = {**DATA, "x.lengths": np.array([4, 3, 2, 1])}
    cut = {**{n: a[:, :4] for n, a in DATA.items()}, "x.lengths": short["x.lengths"]}
    assert same_bits(fitted(short, segment=4, optimizer=Adam(0.1)).weights, fitted(cut, optimizer=Adam(0.1)).weights)


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 7])
def test_a_run_by_segments_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    recipe = {"optimizer": Adam(0.05), "batch": 2, "epochs": 2, "segment": 5, "accumulate": 2}
    made, path = model(), tmp_path / "run.checkpoint"
    whole, told = made.fit(DATA, **recipe), []

    def progress(now: Any) -> None:
        told.append(now)
        if len(told) == stop:
            raise KeyboardInterrupt

    if len(told) < stop:
        try:
            made.fit(DATA, checkpoint=path, progress=progress, **recipe)
        except Interrupted:
            assert same_bits(made.fit(DATA, resume=path, **recipe).weights, whole.weights)


@pytest.mark.parametrize(
    ("text", "data", "words"),
    [
        (BOTH_WAYS, DATA, "a reversed loop needs the whole sequence"),
        (MODEL.replace("h, final =", "h, _ =").replace(", final", ""), DATA, "no name to return it under"),
        (MODEL.replace("guess, y)", "guess - mean(guess, axis = time), y)"), DATA, "`mean` looks at more than one"),
        (MODEL.replace("guess, y)", "guess * norm(final.h), y)"), DATA, "states after the last step are read here"),
        (
            "model M { input x: seq[2]\n input y: [1]\n h, final = unroll RNN(3) over x\n g = Dense(1)(final.h)\n"
            " output g, final\n loss squared_error(g, y) }",
            {"x": DATA["x"], "y": DATA["y"][:, 0]},
            "`y` has no steps",
        ),
        (
            "model M { input x: [2]\n input y: [1]\n g = Dense(1)(x)\n output g\n loss squared_error(g, y) }",
            {"x": DATA["x"][:, 0], "y": DATA["y"][:, 0]},
            "`y` has no steps",
        ),
    ],
)
def test_what_cannot_be_cut_is_told(text: str, data: Any, words: str) -> None:
    with pytest.raises(rg.UserError, match=words):
        fitted(data, text, segment=4)


# --- batches ------------------------------------------------------------------------------------------------------


def test_gradients_of_several_batches_are_those_of_one() -> None:
    whole, parts = fitted(batch=4), fitted(batch=1, accumulate=4)
    assert all(np.allclose(whole.weights[n], parts.weights[n], rtol=1e-12) for n in whole.weights)
    uneven, three = fitted(batch=3, accumulate=2), fitted(batch=4)
    assert all(np.allclose(uneven.weights[n], three.weights[n], rtol=1e-12) for n in three.weights)


WEIGHED = {
    "weights of classes": "loss cross_entropy(s, label, weights = [1, 2, 5])",
    "an ignored label": "loss cross_entropy(s, label, ignore = 0)\n  loss 0.1 * sum(k ** 2)",
    "weights of steps": "loss sequence_loss(s, label, w)",
    "weights of 1": "loss sequence_loss(s, label, 1)",
    "weights by places": "loss sequence_loss(s, label, float(1 + position(axis = time)))",
    "steps of each row": "z = unroll Count() with k = k for min(n, 5)\n  loss z",
    "steps before a stop": "z = unroll Ends() over x with k = k\n  loss z",
}


@pytest.mark.parametrize("name", WEIGHED)
def test_batches_count_by_what_their_loss_is_divided_by(name: str) -> None:
    """The loss of an epoch, and the gradient of accumulated batches and of shards, are those of all rows at once."""
    made = rg.parse(f"""
cell Count {{ input k: []  state h: [] = 1  h' = tanh(h * k)  output h' }}
cell Ends {{ input x: [2]  input k: []  state h: [] = 0  h' = h + k * x[0]  output h'  stop h' > 0.5 }}
model M {{
  input x: seq[2]
  input label: seq int
  input w: seq
  input n: int
  param k: [] = 1.2
  s = Dense(3)(x)
  {WEIGHED[name]}
}}""")
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=(7, 6, 2)), "label": rng.integers(0, 3, (7, 6)), "w": rng.random((7, 6)),
            "n": rng.integers(0, 9, 7), "x.lengths": np.array([6, 0, 2, 5, 1, 3, 4])}  # fmt: skip
    given = {"weights": made.init(1), "options": FLOAT64, "epochs": 1}
    whole = made.fit(data, batch=7, optimizer=SGD(1.0), **given)
    for recipe in ({"batch": 2, "accumulate": 4}, {"batch": 7, "shards": 3}):
        parts = made.fit(data, optimizer=SGD(1.0), **recipe, **given)
        assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-10)
        assert all(np.allclose(parts.weights[n], whole.weights[n], rtol=1e-10) for n in whole.weights)
    told = made.fit(data, batch=2, optimizer=SGD(0.0), **given).history[0]["loss"]
    assert told == pytest.approx(made.evaluate(data, given["weights"], FLOAT64)["loss"], rel=1e-10)


@pytest.mark.parametrize("read", ["every(x, 2)", "whole(x, axis = other)"])
def test_batches_count_by_the_real_steps_of_the_loss(read: str) -> None:
    """Of an axis that is derived too: the rows of 12, 3, 1 and 0 steps have 6, 2, 1 and 0 that are even."""
    text = f"model M {{ input x: seq[2]  param w: [2] = 1  loss mean((sum({read} * w) - 1) ** 2) }}"
    data = {"x": DATA["x"], "x.lengths": np.array([12, 3, 1, 0])}
    whole, parts = fitted(data, text), fitted(data, text, batch=1, accumulate=4)
    assert np.allclose(whole.weights["w"], parts.weights["w"], rtol=1e-12)
    assert whole.history[0]["loss"] == pytest.approx(parts.history[0]["loss"], rel=1e-12)


def test_a_batch_has_rows_of_similar_lengths() -> None:
    lengths = np.random.default_rng(1).integers(0, 100, 203)
    data = {"x": np.zeros((203, 100)), "x.lengths": lengths}
    pieces = Pieces(data, np.arange(203), FitConfig(batch=10, similar_lengths=True), {"x": "time"})
    rows = [pieces.members(0, i) for i in range(pieces.count)]
    assert sorted(np.concatenate(rows)) == list(range(203)) and len(rows[-1]) == 3
    assert max(np.ptp(lengths[r]) for r in rows) < 20
    means = [lengths[r].mean() for r in rows]
    assert means != sorted(means) and not np.array_equal(rows[0], pieces.members(1, 0))


# --- rates and decay ----------------------------------------------------------------------------------------------


def test_rates_over_a_training() -> None:
    def at(schedule: Any, *updates: int, losses: tuple[float, ...] = ()) -> list[float]:
        return [schedule.factor(Place(u, 10, 4, losses)) for u in updates]

    assert at(Step(2, 0.5), 0, 19, 20, 39, 40) == [1, 1, 0.5, 0.5, 0.25]
    assert np.allclose(at(Cosine(0.1), 0, 20, 40, 50), [1, 0.55, 0.1, 0.1])
    assert np.allclose(at(Cosine(), 10), 0.5 * (1 + math.cos(math.pi / 4)))
    assert np.allclose(at(Linear(0.2), 0, 20, 40), [1, 0.6, 0.2])
    assert at(Plateau(1, 0.5), 0, losses=(3, 2, 2, 2)) == [0.5]
    assert at(Plateau(1, 0.5), 0, losses=(3, 2, 2, 1, 1, 1, 1, 1)) == [0.25]
    assert at(Plateau(2, 0.5), 0, losses=(3, 2, 2, 2)) == [1]
    assert [warmed_up(Place(u, 10, 4), 4) for u in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_a_schedule_moves_the_weights_less() -> None:
    made = model()
    weights = made.init(3)
    half = fitted(rate_schedule=("linear", {"to": 0.0}), epochs=2)
    # one update an epoch: the first at the full rate, the second at half of it
    first = fitted()
    _, gradient = made.compile(gradient="weights", outputs=("loss",)).gradients(DATA, first.weights)
    assert all(np.allclose(half.weights[n], first.weights[n] - 0.05 * gradient[n], rtol=1e-12) for n in weights)


@pytest.mark.parametrize("kept", [Adam(0.1), SGD(0.1, momentum=0.9), RMSprop(0.1), Adagrad(0.1)])
def test_decay_adds_the_weight_to_the_gradient(kept: Any) -> None:
    weight, gradient = np.array([1.0, -2.0]), np.array([0.3, 0.5])
    states = []
    for optimiser, given in ((replace(kept, decay=0.1), gradient), (kept, gradient + 0.1 * weight)):
        now = {"w": weight.copy()}
        updates.update(optimiser, now, {"w": given}, updates.start(optimiser, now), NumpyArrays())
        states.append(now["w"])
    assert np.allclose(*states, rtol=1e-15)


def test_adagrad_divides_by_the_root_of_the_sum_of_squares() -> None:
    now, state = {"w": np.array([1.0, 2.0])}, updates.start(Adagrad(0.5), {"w": np.zeros(2)})
    for gradient in ([3.0, 1.0], [4.0, 0.0]):
        state = updates.update(Adagrad(0.5), now, {"w": np.array(gradient)}, state, NumpyArrays())
    assert np.allclose(now["w"], [1 - 0.5 * 3 / 3 - 0.5 * 4 / 5, 2 - 0.5], rtol=1e-9)


def test_clipping_with_pytorchs_epsilon() -> None:
    assert clip_factor(2.0, 1.0, 1e-6) == 1 / (2 + 1e-6) and clip_factor(0.5, 1.0, 1e-6) == 1
    assert clip_factor(0.0, 1.0) == 1


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"rate_schedule": "cosin"}, "no rate schedule is called `cosin`.*\n.*did you mean `cosine`"),
        ({"rate_schedule": ("cosine", {"too": 1})}, "`cosine` has no setting `too`"),
        ({"rate_schedule": ("step", {"every": 0})}, "`every` should be a whole number of at least 1"),
        ({"segment": 0}, "`segment` should be a whole number of steps"),
        ({"accumulate": 1.5}, "`accumulate` should be a whole number of batches"),
        ({"warmup": -1}, "`warmup` should be"),
    ],
)
def test_settings_that_are_wrong_are_told(recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(rg.UserError, match=words):
        fitted(**recipe)


def test_epochs_are_part_of_a_schedule_that_runs_over_them_all(tmp_path: Path) -> None:
    made, path = model(), tmp_path / "run.checkpoint"
    made.fit(DATA, checkpoint=path, epochs=1, rate_schedule="cosine")
    with pytest.raises(rg.UserError, match="epochs was 1, now 2"):
        made.fit(DATA, resume=path, epochs=2, rate_schedule="cosine")


# --- means over steps of rows that differ in length ---------------------------------------------------------------


def test_what_is_evaluated_in_parts_is_the_loss_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    lengths = np.where(np.arange(1500) < 1024, 1, 10)
    data = {"x": rng.normal(size=(1500, 10, 2)), "y": rng.normal(size=(1500, 10, 1)), "x.lengths": lengths}
    made = model()
    weights = made.init(0)
    whole = made.compile(outputs=("loss",)).run(data, weights)["loss"]
    assert made.evaluate(data, weights, {"dtype": "float64"})["loss"] == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        "loss cross_entropy(s, label, ignore = 0)",
        "loss cross_entropy(last(s), kind, weights = [1, 2, 40])",
        "loss sequence_loss(s, label, w, over_batch = false)",
        "loss cross_entropy(s, label) loss cross_entropy(last(s), kind) loss 0.1 * sum(k ** 2) metric abs(w) as off",
        "loss abs(w) metric exp(sequence_loss(s, label, 1)) as perplexity",
    ],
)
def test_ratios_and_sums_of_means_are_those_of_all_rows(loss: str, ragged: bool) -> None:
    """Where a part of the rows counts otherwise than by its rows or steps: the first 1,024 are unlike the others."""
    made = rg.parse(f"""
    model M {{
      input x: seq[2]
      input label: seq int
      input kind: int
      input w: seq
      param k: [2] = 1
      s = Dense(3)(x)
      {loss}
    }}""")
    rng, late = np.random.default_rng(4), np.arange(1100) >= 1024
    data = {"x": rng.normal(size=(1100, 4, 2)), "label": rng.integers(0, 3, (1100, 4)) * late[:, None],
            "kind": late.astype(int) * 2, "w": rng.random((1100, 4)) + late[:, None]}  # fmt: skip
    data |= {"x.lengths": np.where(late, 4, 1)} if ragged else {}
    weights = made.init(0)
    whole = made.compile().run(data, weights)
    for name, value in made.evaluate(data, weights, {"dtype": "float64"}).items():
        assert value == pytest.approx(float(whole[name]), rel=1e-12)


def test_a_loss_by_segments_is_that_of_the_whole_at_the_same_weights() -> None:
    data = {**DATA, "x.lengths": np.array([12, 3, 7, 1])}
    made = model()
    weights = made.init(3)
    whole = made.compile(outputs=("loss",)).run(data, weights)["loss"]
    for recipe in ({"segment": 5, "batch": 4}, {"segment": 5, "batch": 1}, {"batch": 2, "accumulate": 2}):
        told = made.fit(data, weights=weights, options=FLOAT64, epochs=1, optimizer=SGD(0.0), **recipe).history
        assert told[0]["loss"] == pytest.approx(float(whole), rel=1e-12)


STOPPING = """
cell Ends { input x: [n]  state h: [n] = 0  param k: [n]  h' = h + k * x  output h'  stop x[0] > 0.9 }
model Stopping { input x: seq[2]  z, final = unroll Ends over x  loss mean(z ** 2)  output final }
"""


def test_rows_that_have_stopped_count_nothing_in_later_parts() -> None:
    """Neither in later segments, nor where first states that are given say so."""
    stopping, weights = rg.parse(STOPPING), {"ends.k": np.array([0.3, -0.5])}
    still = {"weights": weights, "epochs": 1, "optimizer": "sgd", "rate": 0.0, "options": {"dtype": "float64"}}
    data = {"x": RNG.normal(size=(4, 7, 2))}
    data["x"][:, 3, 0] = [2, 0, 2, 0]
    states = {"final.h": np.ones((4, 2)), "final.stop": np.array([True, False, False, True])}
    program = stopping.compile()
    for rows, cut in ((data, {"segment": 2}), ({**data, **states}, {"batch": 1, "accumulate": 4})):
        [record] = stopping.fit(rows, **still, **cut).history
        assert record["loss"] == pytest.approx(float(program.run(rows, weights)["loss"]), rel=1e-12)


PARTS = """
model M {
  input x: seq[2]
  input y: seq[1]
  input z: seq int
  h, final = unroll LSTM(3) over x
  param w: [3] = 1
  s = squared_error(Dense(1)(h), y)
  %s
}"""
CUT = {**DATA, "z": RNG.integers(0, 3, (4, 12))}


def parts(loss: str, data: Any = CUT, **recipe: Any) -> tuple[float, float]:
    """The loss that a training tells which changes nothing, and that of all rows."""
    made = rg.parse(PARTS % loss)
    weights = made.init(3)
    given = {"options": FLOAT64, "epochs": 1, "batch": 4, "optimizer": SGD(0.0), **recipe}
    told = made.fit(data, weights=weights, **given).history[0]["loss"]
    return told, float(made.compile(outputs=("loss",)).run(data, weights)["loss"])


@pytest.mark.parametrize(
    "loss",
    [
        "loss s",
        "loss mean(s, axis = time)",
        "loss sqrt(sum(square(w))) * mean(s, axis = time) + 0.1 * sum(square(w))",
        "loss s - 3 * s loss cross_entropy(h, z)",
        "loss sequence_loss(h, z)",
        "loss mean(h, axis = time) @ [1, 2, 3]",
        "loss s loss mean(h, axis = time) @ [1, 2, 3]",
    ],
)
@pytest.mark.parametrize("recipe", [{"segment": 5}, {"segment": 5, "accumulate": 2}, {"batch": 3, "accumulate": 2}])
def test_means_of_parts_are_the_loss_of_all(loss: str, recipe: dict[str, Any]) -> None:
    found, whole = parts(loss, **recipe)
    assert found == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "line"),
    [
        ("loss sqrt(mean(s, axis = time))", "sqrt(mean(s, axis = time))"),
        ("loss 1 + exp(-sum(s, axis = time))", "exp(-sum(s, axis = time))"),
        ("loss mean(s, axis = time) * sum(s, axis = time)", "mean(s, axis = time) * sum(s, axis = time)"),
        ("loss square(s - mean(s, axis = time))", "s - mean(s, axis = time)"),
        ("loss mean(final.h)", "unroll LSTM(3) over x"),
        ("loss where(s == mean(s, axis = time), 0, s)", "s == mean(s, axis = time)"),
        ("loss max(s, axis = time)", "max(s, axis = time)"),
        ("loss last(s)", "last(s)"),
        ("loss square(cross_entropy(h, z, ignore = 0))", "square(cross_entropy(h, z, ignore = 0))"),
    ],
)
def test_a_loss_that_does_not_follow_from_those_of_segments(loss: str, line: str) -> None:
    with pytest.raises(rg.UserError, match="this model cannot be trained segment by segment") as refused:
        parts(loss, segment=5)
    assert line in {told.span.text for told in refused.value.diagnostics if told.span}


LEARNT = "cross_entropy(h, z, weights = exp(w * [1, 2, 3]))"
RAGGED = {**CUT, "x.lengths": np.array([12, 3, 7, 1])}


@pytest.mark.parametrize(
    ("loss", "data", "recipe", "reason"),
    [
        (f"loss {LEARNT}", CUT, {"segment": 5}, "divided by another sum"),
        (f"loss {LEARNT}", CUT, {"batch": 2, "accumulate": 2}, "divided by another sum"),
        ("loss cross_entropy(h, z, ignore = 0) loss s", CUT, {"shards": 2}, "divided by another sum"),
        ("loss sequence_loss(h, z, float(z), over_batch = false)", CUT, {"segment": 5}, "divided by another sum"),
        ("loss sqrt(cross_entropy(h, z, ignore = 0))", CUT, {"shards": 2}, "neither a sum nor a mean"),
        ("loss s loss mean(final.h)", RAGGED, {"batch": 2, "accumulate": 2}, "over different axes"),
        ("loss mean(s, axis = time)", RAGGED, {"segment": 5}, "by its own length"),
        ("loss sum((z + 1) * s, axis = time) / sum(z + 1, axis = time)", CUT, {"segment": 5}, "divided by another sum"),
        ("loss sequence_loss(h, z, position(axis = time))", RAGGED, {"segment": 5}, "divided by another sum"),
    ],
)
def test_a_loss_that_parts_do_not_give_is_told(loss: str, data: Any, recipe: dict[str, Any], reason: str) -> None:
    with pytest.warns(Warned, match="which is not that of all rows together") as told:
        found, whole = parts(loss, data, **recipe)
    [warning] = told
    assert reason in str(warning.message) and loss.split()[1].split("(")[0] in str(warning.message)
    assert found != pytest.approx(whole, rel=1e-6)


WEIGHTED = [
    "loss cross_entropy(h, z, ignore = 0)",
    "loss 2 * cross_entropy(h, z, weights = [1, 2, 40]) + 0.1 * sum(square(w))",
    "loss sequence_loss(h, z, 0.1 * float(z))",
    "loss sequence_loss(h, z, 2)",
]


@pytest.mark.parametrize("loss", WEIGHTED)
def test_a_loss_with_a_sum_of_its_own_counts_by_it(loss: str) -> None:
    """The loss by parts is that of all rows, and so is the gradient; a batch without any label changes nothing."""
    data = {**RAGGED, "z": CUT["z"] * (np.arange(4) != 2)[:, None]}
    for recipe in ({"segment": 5}, {"batch": 3}):
        found, whole = parts(loss, data, **recipe)
        assert found == pytest.approx(whole, rel=1e-10)
    made = rg.parse(PARTS % loss)
    given = {"weights": made.init(3), "options": FLOAT64, "epochs": 1, "optimizer": SGD(1.0)}
    at_once = made.fit(data, batch=4, **given)
    for recipe in ({"batch": 1, "accumulate": 4}, {"batch": 4, "shards": 3}):
        by_parts = made.fit(data, **recipe, **given)
        assert by_parts.history[0]["loss"] == pytest.approx(at_once.history[0]["loss"], rel=1e-10)
        assert all(np.allclose(by_parts.weights[name], w, rtol=1e-10) for name, w in at_once.weights.items())


def test_means_over_different_axes_agree_where_all_rows_are_as_long() -> None:
    found, whole = parts("loss s loss mean(final.h)", batch=3, accumulate=2)
    assert found == pytest.approx(whole, rel=1e-12)


def test_weights_to_start_from_are_looked_at() -> None:
    made = model()
    fitted = made.fit(DATA, weights=made.init(0), epochs=0)
    assert {w.dtype for w in fitted.weights.values()} == {np.dtype("float32")}
    with pytest.raises(rg.UserError, match="the model has no weight `foo`"):
        made.fit(DATA, weights={**made.init(0), "foo": np.ones(2)}, epochs=0)
    with pytest.raises(rg.UserError, match="exclude each other"):
        made.fit(DATA, weights=made.init(0), resume="x.checkpoint")


def test_what_only_a_metric_reads_need_not_be_there_to_train() -> None:
    text = MODEL.replace("input y: seq[1]", "input y: seq[1]\n  input other: seq[1]").rstrip()
    text = text.removesuffix("}") + "  metric squared_error(guess, other) as away\n}\n"
    plain, cut = fitted(text=text), fitted(text=text, segment=4)
    assert same_bits(plain.weights, fitted().weights) and same_bits(cut.weights, fitted(segment=4).weights)


def test_settings_beside_an_optimiser_that_has_its_own_are_told() -> None:
    with pytest.raises(rg.UserError, match="the optimizer has its settings, and `rate` is given beside it"):
        fitted(optimizer=("adam", {"beta1": 0.8}), rate=0.1)
