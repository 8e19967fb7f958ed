"""A run cut into pieces at any places is the run in one go, to the bit; what cannot be cut is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.data.lengths import as_given, by_axis
from rnngraph.diagnostics.errors import UserError
from rnngraph.generation.generate import written
from rnngraph.generation.sampling import Style
from rnngraph.generation.scorer import reader, scorer
from rnngraph.generation.streaming import per_step, stream
from rnngraph.model import Model
from tests.support.models import ALL, parsed

ONE_RUN = (
    "bidirectional", "grid", "scanned image", "derivatives", "encoder decoder", "qrnn", "attention", "shifts", "speech",
    "candidates",
)  # fmt: skip
"""Hand on nothing: each run of these is one of a whole sequence."""
REFUSED = {
    "depth": "E640", "shared": "E641", "self attention": "E642", "pyramid": "E640", "entropies": "E642",
    "loop over memory": "E640", "norms": "E640",
}  # fmt: skip
BEGIN_ELSEWHERE = {"single steps": "E642", "counted": "E642"}
"""Refused too; their states do not begin at 0."""
WHOLE = {"attention general": ("source",)}
"""What every step sees whole is given whole with each piece."""
WAYS = [
    (unroll, dtype, kernels)
    for kernels in ("native", "numpy", "numpy")
    for unroll in ("dynamic", "static")
    for dtype in ("float64", "float32")
]

DRAWN = """
cell Noisy(units) {
  input x: [n]
  state h: [units] = 0
  param w: [n + units, units] ~ glorot_uniform
  steady = normal([units], per_sequence = true)
  h' = tanh([x, h] @ w + 0.1 * normal([units]) + 0.2 * steady)
  token = categorical(h')
  two, _ = draw(softmax(h'), 2)
  output h', token, two[0] + 10 * two[1]
}
model Drawn {
  input x: seq[2]
  seen = x + uniform([2]) + 0.01 * float(position(axis = time))
  y, token, two, final = unroll Noisy(3) over seen
  z, more = unroll Clockwork(4, 2) over Dropout(0.5)(y)
  output y, token, two, z, final, more, normal([2]) as same
}
"""
STOPPED = """
cell Walk {
  input x: [n]
  state far: [] = 0
  far' = far + norm(x) + 0.2 * sum(uniform([1]))
  output far', float(t)
  stop far' > 6
}
model Stopped {
  input x: seq[2]
  far, at, final = unroll Walk over x
  z, more = unroll GRU(3) over [far, at]
  noise = x + uniform([2])
  output far, at, z, noise, final, more
}
"""
ROUNDS = """
cell Inner {
  input x: [n]
  state s: [n] = 0
  s' = 0.5 * s + x * float(t + 1) + 0.1 * normal([n])
  output s'
}
cell Rounds(units) {
  input x: [n]
  state h: [units] = 0
  param w: [n + units, units] ~ glorot_uniform
  _, end = unroll Inner with x = [x, h] @ w for 3
  h' = tanh(end.s)
  output h'
}
model Nested {
  input x: seq[2]
  y, final = unroll Rounds(3) over x
  output y, final
}
"""


def data_of(model: Model, steps: int, batch: int) -> dict[str, Any]:
    return synthetic(model, steps, batch, 1)


def piece_of(model: Model, data: Mapping[str, Any], first: int, behind: int, whole: Sequence[str] = ()) -> Any:
    """The data of some steps; rows that have ended have none."""
    piece = dict(data)
    for item in model.inputs:
        if item.axes and item.axes[0] not in whole:
            piece[item.name] = data[item.name][:, first:behind]
            if (key := f"{item.name}.lengths") in data:
                lengths = by_axis(item.axes, data[key])
                left = {a: n if a in whole else np.clip(n - first, 0, behind - first) for a, n in lengths.items()}
                piece[key] = as_given(item.axes, left)
    return piece


def in_pieces(
    model: Model, data: Mapping[str, Any], weights: Any, cuts: Sequence[int], whole: Sequence[str] = (), **how: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every output of each step, put together, and the states of the end."""
    unroll, states, parts = how.pop("unroll", "dynamic"), dict[str, Any](), list[Any]()
    for first, behind in pairwise(cuts):
        steps = {a: cuts[-1] if a in whole else behind - first for i in model.inputs for a in i.axes}
        program = model.compile(unroll, steps, states=True, **how)
        results = program.run({**piece_of(model, data, first, behind, whole), **states}, weights)
        states = {s.name: results[s.name] for s in program.made.states if s.axis not in whole}
        parts.append(results)
    return {n: np.concatenate([p[n] for p in parts], 1) for n in per_step(model)}, states


def unequal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    return [n for n, a in found.items() if (a.dtype, a.tobytes()) != (expected[n].dtype, expected[n].tobytes())]


def assert_pieces(
    model: Model, data: Any, weights: Any, cuts: Sequence[int], whole: Sequence[str] = (), **how: Any
) -> None:
    at_once = model.compile(steps=cuts[-1], states=True, **how).run(data, weights)
    outputs, states = in_pieces(model, data, weights, cuts, whole, **how)
    assert not unequal(outputs, at_once) and not unequal(states, at_once)


@pytest.mark.parametrize("name", [n for n in ALL if n not in (*ONE_RUN, *REFUSED, *BEGIN_ELSEWHERE)])
def test_pieces_give_the_bits_of_one_run(name: str) -> None:
    model, place = parsed(name), list(ALL).index(name)
    rng = np.random.default_rng(place)
    unroll, dtype, kernels = WAYS[place % len(WAYS)]
    steps, batch, cut = (4, 2, 1) if unroll == "static" else (9, int(rng.integers(1, 4)), 3)
    cuts = sorted({0, steps, *rng.integers(1, steps, cut).tolist()})
    how = {"unroll": unroll, "dtype": dtype, "kernels": kernels, "training": bool(rng.integers(2))}
    assert_pieces(model, data_of(model, steps, batch), model.init(1, dtype), cuts, WHOLE.get(name, ()), **how)


@pytest.mark.parametrize("text", [DRAWN, STOPPED, ROUNDS])
@pytest.mark.parametrize(("unroll", "dtype", "kernels"), [WAYS[1], WAYS[-2]])
def test_what_is_drawn_counted_and_stopped_goes_on(text: str, unroll: str, dtype: str, kernels: str) -> None:
    """Also for rows of different lengths, and over a piece without steps."""
    model = rg.parse(text)
    data = {**data_of(model, 6, 3), "seed": 5}
    weights, how = model.init(1, dtype), {"unroll": unroll, "dtype": dtype, "kernels": kernels}
    if kernels == "numpy":
        assert_pieces(model, data, weights, (0, 2, 2, 3, 6), **how)
    assert_pieces(model, {**data, "x.lengths": np.array([6, 1, 4])}, weights, (0, 2, 6), **how)


def test_a_loop_of_a_fixed_number_of_steps_goes_on() -> None:
    text = """
    cell Babble {
      state h: [2] = 0
      h' = tanh(h + normal([2]) + 0.1 * float(t))
      output h'
    }
    model Babbled(n = 9) {
      input b: []
      y, final = unroll Babble for n
      other, _ = unroll Babble for n
      output y + b as y, final, other + b as other
    }
    """
    data, states, parts = {"b": np.zeros(3)}, dict[str, Any](), []
    for n in (4, 2, 3):
        results = rg.parse(text, n=n).compile().run({**data, **states}, {})
        states = {name: results[name] for name in ("final.h", "final.t")}
        parts.append(results)
    at_once = rg.parse(text, n=9).compile().run(data, {})
    assert np.array_equal(np.concatenate([p["y"] for p in parts], 1), at_once["y"])
    assert not unequal(states, at_once)
    again = rg.parse(text, n=3).compile().run(data, {})
    assert np.array_equal(parts[-1]["other"], again["other"])  # a loop that is told nothing begins


EVERY = """
model Listener {
  input x: seq[2]
  low, first = unroll GRU(3) over x
  y, final = unroll Clockwork(4, 2) over every(low, 3)
  output low, y, first, final
}
"""


def test_every_kth_step_is_cut_at_multiples_of_k() -> None:
    model = rg.parse(EVERY)
    data, weights, program = data_of(model, 10, 2), model.init(0), model.compile(kernels="numpy")
    at_once, states, parts = program.run(data, weights), dict[str, Any](), []
    for first, behind in ((0, 3), (3, 9), (9, 10)):
        results = program.run({"x": data["x"][:, first:behind], **states}, weights)
        states = {n: a for n, a in results.items() if n.partition(".")[0] in ("first", "final")}
        parts.append(results["y"])
    assert np.array_equal(np.concatenate(parts, 1), at_once["y"]) and not unequal(states, at_once)
    with pytest.raises(UserError, match=r"`first.t` holds 10 at row 0, expected a multiple of 3"):
        program.run({**data, **states}, weights)
    with pytest.raises(UserError, match=r"`first.t` holds -3 at row 1, expected 0 or more"):
        program.run({**data, **states, "first.t": np.array([3, -3])}, weights)
    ended = {**data, **states, "first.t": np.array([9, 10]), "x.lengths": np.array([2, 0])}
    assert program.run(ended, weights)["first.t"].tolist() == [11, 10]


MODEL = "model M {{\n  input x: seq[2]\n  {}\n  output y, final\n}}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((ALL[name], code) for name, code in REFUSED.items()),
        (MODEL.format("y, final = unroll GRU(3) over shift(x, 1)"), "E642"),
        (MODEL.format("y, final = unroll GRU(3) over window(x, 2)"), "E642"),
        (MODEL.format("y, final = unroll GRU(3) over x - mean(x, axis = time)"), "E642"),
        (MODEL.format("z, final = unroll GRU(3) over x\n  y = SelfAttention(2)(z)"), "E642"),
        (MODEL.format("z, final = unroll GRU(3) over x\n  y = z * norm(final.h)"), "E642"),
        (MODEL.format("z, _ = unroll GRU(3) over x\n  y, final = unroll GRU(3) over z"), "E641"),
        (MODEL.format("z, final = unroll GRU(3) over x\n  y, final = unroll GRU(3) over z"), "E641"),
    ],
)
def test_what_cannot_go_on_is_refused(text: str, code: str) -> None:
    """It is told how many steps are over with the states, and takes no other number than 0."""
    model = rg.parse(text)
    program, data, weights = model.compile(states=True, kernels="numpy"), data_of(model, 6, 2), model.init(0)
    results = program.run(data, weights)
    states = {s.name: results[s.name] for s in program.made.states}
    begun = {name: np.zeros_like(array) for name, array in states.items()}
    for _ in range(2):  # a call like one before is looked at again
        assert not unequal(program.run({**data, **begun}, weights), results)
        with pytest.raises(UserError) as error:
            program.run({**data, **states}, weights)
        assert {d.code for d in error.value.diagnostics} >= {code} and error.value.diagnostics[0].span


@pytest.mark.parametrize("name", BEGIN_ELSEWHERE)
def test_loops_of_a_fixed_number_of_steps_do_not_go_on(name: str) -> None:
    model = parsed(name)
    program, data, weights = model.compile(states=True, kernels="numpy"), data_of(model, 6, 2), model.init(0)
    results = program.run(data, weights)
    with pytest.raises(UserError) as error:
        program.run({**data, **{s.name: results[s.name] for s in program.made.states}}, weights)
    assert {d.code for d in error.value.diagnostics} == {BEGIN_ELSEWHERE[name]}


TWO = """
cell C { input x: [2]  state h: [2] = 0  h' = 0.5 * h + x  output h' }
cell D { input x: [2]  state g: [2] = 0  g' = g + x  output g' }
model M {
  input x: seq[2]
  y, one = unroll C() over x
  z, two = unroll D() over y
  output OUT
}
"""


@pytest.mark.parametrize("out", ["z, one", "z, two", "z, one, two"])
def test_a_loop_whose_states_are_not_handed_out_does_not_begin_anew(out: str) -> None:
    text = TWO.replace("OUT", out).replace("D() over y", "D() over x")
    model, rng = rg.parse(text), np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 2))
    program = model.compile()
    whole, first = program.run({"x": x}, {}), program.run({"x": x[:, :3]}, {})
    states = {s.name: first[s.name] for s in program.made.states if s.name in first}
    if out != "z, one":  # the other loop is handed on, or not needed
        assert np.array_equal(program.run({"x": x[:, 3:], **states}, {})["z"], whole["z"][:, 3:])
        return
    with pytest.raises(UserError, match=r"the data has `one.t` but no `two.g`") as error:
        program.run({"x": x[:, 3:], **states}, {})
    assert error.value.diagnostics[0].code == "E511"
    begun = {name: np.zeros_like(array) for name, array in states.items()}
    assert np.array_equal(program.run({"x": x, **begun}, {})["z"], whole["z"])


# --- schedules: time is cut inside ---------------------------------------------------------------------------------

TRAINED = """
model Trained {
  input x: seq[2]
  y, final = unroll LSTM(3) >> Dropout(0.4) >> Clockwork(4, 2) over Dropout(0.2)(x)
  output y, final
  loss mean(y * y)
}
"""


@pytest.mark.parametrize("how", [{"keep": "every:2"}, {"keep": "revolve:2"}, {"truncate": 8}])
def test_schedules_go_by_the_true_steps(how: dict[str, Any]) -> None:
    """Also where the run itself is a later piece."""
    model = rg.parse(TRAINED)
    data, weights, rng = data_of(model, 8, 32), model.init(0), np.random.default_rng(2)
    program = model.compile(gradient=True, training=True)
    states = {s.name: rng.normal(size=(32, *s.type.shape)) for s in program.made.states if not s.begins}
    data |= {**states, "final.t": np.full(32, 5), "seed": 3}
    scheduled = model.compile(gradient=True, training=True, **how)
    assert not unequal(scheduled.run(data, weights), program.run(data, weights))
    assert not unequal(scheduled.gradients(data, weights)[1], program.gradients(data, weights)[1])


def test_a_truncated_gradient_is_that_of_pieces() -> None:
    """What is dropped in a piece is what is dropped there in one run."""
    model = rg.parse(TRAINED)
    data, weights = data_of(model, 12, 2), model.init(0)
    _, cut = model.compile(gradient=True, training=True, truncate=4).gradients(data, weights)
    program, states, parts = model.compile(gradient=True, training=True, states=True), dict[str, Any](), []
    for first in (0, 4, 8):
        piece = {"x": data["x"][:, first : first + 4], **states}
        parts.append(program.gradients(piece, weights)[1])
        results = program.run(piece, weights)
        states = {s.name: results[s.name] for s in program.made.states}
    for name in weights:
        assert np.allclose(cut[name], sum(p[name] for p in parts) / 3, rtol=1e-9, atol=1e-14)


# --- one step at a time --------------------------------------------------------------------------------------------

WRITER = """
model Writer(vocab = 6) {
  input text: seq int
  y, final = unroll GRU(4) >> Clockwork(4, 2) over Embedding(vocab, 3)(text)
  scores = 2 * Dense(vocab)(y) + normal([vocab]) + 0.1 * float(position(axis = time))
  output scores, final
}
"""


def test_a_stream_is_one_run() -> None:
    model = rg.parse(WRITER)
    weights, text = model.init(1), [1, 2, 5, 0, 3, 1, 2, 4]
    at_once = model.compile().run({"text": np.array([text]), "seed": 7}, weights)["scores"][0]
    lines = stream(model, weights, map(str, text), "float64", {"seed": np.array(7)})
    assert np.array_equal([json.loads(line)["scores"] for line in lines], at_once)
    again = stream(model, weights, map(str, text), "float64", {})
    assert not np.array_equal([json.loads(line)["scores"] for line in again], at_once)


@pytest.mark.parametrize("hides", [False, True])
def test_generate_writes_what_the_model_scores(hides: bool) -> None:
    """The likeliest token of one run over all before it, whether states are handed on or the text is read again."""
    model = rg.parse(WRITER.replace("y, final = ", "y, _ = ").replace(", final", "") if hides else WRITER)
    weights = {n: 3 * w for n, w in model.init(2).items()}
    for seed in (0, 4):
        score = scorer(model, reader(model), weights, {}, "float64", seed)
        found = written(score, [1, 2], Style(length=12, temperature=0, seed=seed))
        program, text = model.compile(), [1, 2]
        for _ in range(12):
            scores = program.run({"text": np.array([text]), "seed": seed}, weights)["scores"]
            text.append(int(np.argmax(scores[0, -1])))
        assert found == text[2:] and len(set(found)) > 2


def test_a_step_at_a_time_needs_no_more_than_one_step() -> None:
    """Attention over a memory that comes line by line would see a line of it."""
    model = parsed("attention general")
    with pytest.raises(UserError, match="`softmax` looks at more than one step"):
        next(stream(model, model.init(0), ["1 2 3 4 5 6"], "float64", {}))
