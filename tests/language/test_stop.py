"""After a `stop` a row is as long as it has run: whatever is made of it goes by that, as it does by lengths."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.analysis.equality import differences, everything
from rnngraph.compilation.variant import Signature
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.onnx.export import to_onnx
from rnngraph.exchange.export.request import Wanted
from rnngraph.kernels.cpu.modules import target
from rnngraph.runtime.native import NativeBackend
from rnngraph.runtime.numpy import NumpyBackend

RUNS = """
cell Until(inner) {
  input x: [n]
  input end: int
  output inner(x)
  stop end == 1
}
"""
MODEL = """
model M {
  input x: seq[2]
  input end: seq int
  input label: seq@label int
  input other: seq[3]
  y, final = unroll Until(GRU(3)) over x, end
  centre, variance = moments(y, axis = time)
  heavy, _ = weighted_moments(y, exp(other), axis = time)
  back, left = unroll RNN(2) over exp(y) reversed
  on, right = unroll LSTM(2) over [y, other]
  scores = Dense(4)(y)
  output y, final, left, right, back, on, centre, variance, heavy
  output last(y) as at_last, sum(exp(y), axis = time) as total, mean(exp(y) * other, axis = time) as average
  output max(y - 3, axis = time) as most, min(y + 3, axis = time) as least, softmax(sum(y), axis = time) as weights
  output log_softmax(sum(y), axis = time) as logs, reversed(exp(y)) as turned, window(y, 2) as windows
  output shift(y, 1, fill = 2) as later, shift(y, -1, fill = 7) as sooner, every(y, 2) as second
  output last(every(y, 2)) as last_second, sequence_mask(y) as here, exp(y) as more
  output Bidirectional(GRU(2), GRU(2))(y) as both, SelfAttention(2)(y) as looked
  loss mean(square(exp(y) - other)) + sum(last(y)) + sum(centre * variance)
  loss cross_entropy(scores, argmax(other))
  loss ctc_loss(scores, label, ignore_longer = true)
  loss sequence_loss(scores, argmax(other), exp(other[0]))
  metric accuracy(scores, argmax(other))
}
"""
END = np.array([5, 1, 3, 2])
"""The number of steps that each row is let run."""


def given(lengths: Any = None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    end = np.zeros((4, 5), int)
    end[np.arange(4), END - 1] = 1
    data = {"x": rng.normal(size=(4, 5, 2)), "other": rng.normal(size=(4, 5, 3)), "end": end}
    data["label"] = rng.integers(0, 3, (4, 2))
    return data if lengths is None else {**data, "x.lengths": np.asarray(lengths)}


@pytest.mark.parametrize("lengths", [None, [5, 4, 2, 0]])
def test_a_row_that_stops_is_as_long_as_it_ran(lengths: Any) -> None:
    """The same cell without its `stop`, over rows of these lengths, gives the same results and gradients."""
    stops, runs = rg.parse(RUNS + MODEL), rg.parse(RUNS.replace("stop end == 1", "") + MODEL)
    weights, data = stops.init(0), given(lengths)
    own = END if lengths is None else np.minimum(END, lengths)
    wanted = everything(runs.compile(gradient=True), given(own), weights, None)
    ways: list[dict[str, Any]] = [{"unroll": "static", "steps": {"time": 5, "label": 2}}, {}, {"unroll": 3}]
    ways += [{"kernels": "numpy"}, {"keep": "every:2"}]
    for way in ways:
        found = everything(stops.compile(gradient=True, **way), data, weights, None)
        for name, value in wanted.items():
            if name == "final.t":  # how many steps of the data are over, whatever is done with them
                continue
            assert np.allclose(found[name], value, rtol=1e-11, atol=1e-12, equal_nan=True), (way, name)
    assert found["at_last"].shape == (4, 3) and found["final.stop"].tolist() == (own == END).tolist()


def test_the_modes_give_the_same_bits() -> None:
    model = rg.parse(RUNS + MODEL)
    weights, data = model.init(0), given()
    steps = {"time": 5, "label": 2}
    for kernels in ("native", "numpy"):
        found = [
            everything(model.compile(unroll, steps, gradient=True, kernels=kernels), data, weights, None)
            for unroll in ("dynamic", "static", 3)
        ]
        assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]


def test_it_counts_what_is_there() -> None:
    """`last`, means and losses of 1, 2, 3, 4 | 4 | 2, 4 and of a row that never stops."""
    model = rg.parse("""
    cell Walk { input x: []  state far: [] = 0  far' = far + x  output far'  stop far' > 3 }
    model M {
      input x: seq
      y, final = unroll Walk over x
      output last(y) as end, mean(y, axis = time) as average, final
      loss y * y
      metric y + 1 as one_more
    }""")
    x = np.array([[1, 1, 1, 1, 1], [4, 1, 1, 1, 1], [2, 2, 2, 2, 2], [0, 0, 0, 0, 1]])
    found = model.compile().run({"x": x}, {})
    assert found["end"].tolist() == [4, 4, 4, 1] and found["average"].tolist() == [2.5, 4, 3, 0.2]
    assert found["loss"] == pytest.approx((1 + 4 + 9 + 16 + 16 + 4 + 16 + 1) / (4 + 1 + 2 + 5))
    assert found["one_more"] == pytest.approx((10 + 4 + 6 + 1) / 12 + 1)
    assert found["final.stop"].tolist() == [True, True, True, False]


def test_a_reversed_loop_stops_in_the_row_s_own_steps() -> None:
    """What stands behind a row's end stops nothing; a row that stopped reaches back from its end."""
    model = rg.parse("""
    cell Until0 { input x: []  state n: [] = 0  n' = n + 1  output n' * 1  stop x == 0 }
    model M {
      input x: seq
      y, final = unroll Until0 over x reversed
      z, more = unroll Until0 over y + 1
      output y, final, last(y) as end, mean(y, axis = time) as average, reversed(y) as turned, z, last(z) as last_z
    }""")
    x = np.array([[1.0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    for way in ({}, {"unroll": "static", "steps": 5}):
        found = model.compile(**way).run({"x": x, "x.lengths": np.array([4, 2, 5, 0])}, {})
        assert found["y"].tolist() == [[0, 3, 2, 1, 0], [2, 1, 0, 0, 0], [5, 4, 3, 2, 1], [0, 0, 0, 0, 0]]
        assert found["end"].tolist() == [1, 1, 1, 0] and found["average"].tolist() == [2, 1.5, 3, 0]
        assert found["turned"].tolist() == [[1, 2, 3, 0, 0], [1, 2, 0, 0, 0], [1, 2, 3, 4, 5], [0] * 5]
        assert found["z"].tolist() == [[0, 1, 2, 3, 0], [1, 2, 0, 0, 0], [1, 2, 3, 4, 5], [0] * 5]
        assert found["last_z"].tolist() == [3, 2, 5, 0]


BACKWARDS = """
cell Two {
  input x
  state n: int = 0
  n' = n + 1
  output x
  stop n' == 2
}
cell Index {
  input x
  state sum: int = 0
  sum' = sum + t
  output t
}
model M {
  input x: seq[3]
  input c: seq int
  input l: seq@label int
  y = unroll Two over x reversed
  k = unroll Two over c reversed
  output shift(y + 5, 1) as before, shift(k, 1, fill = 7) as filled, last(window(k + 5, 3)) as windows
  output unroll Index over k as index, unroll Index over k reversed as back
  loss_of = ctc_loss(y, l)
  greedy, many, far = ctc_greedy(y)
  best, count, score = ctc_beam(y)
  runs, places = collapse_repeated(k)
  output loss_of, many, far, count, score, places, greedy + 1 as greedy, best + 1 as best, runs + 1 as runs
}
model Plain {
  input x: seq[3]
  input c: seq int
  input l: seq@label int
  loss_of = ctc_loss(x, l)
  greedy, many, far = ctc_greedy(x)
  best, count, score = ctc_beam(x)
  runs, places = collapse_repeated(c)
  output loss_of, many, far, count, score, places, greedy + 1 as greedy, best + 1 as best, runs + 1 as runs
}
"""


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_behind_a_reversed_loop_that_stops_a_row_begins_later(kernels: str) -> None:
    """Its first step is the one at which the loop ended: nothing is before it, and there `t` is 0."""
    x, c = np.random.default_rng(0).normal(size=(2, 5, 3)), np.array([[1, 1, 1, 0, 0], [1, 1, 2, 2, 1]])
    lengths, labels = np.array([5, 3]), np.array([[0], [1]])
    data = {"x": x, "c": c, "l": labels, "x.lengths": lengths, "c.lengths": lengths}
    got = rg.parse(BACKWARDS, "M").compile(kernels=kernels).run(data, {})
    own = np.array([[3, 4], [1, 2]])
    before = np.zeros((2, 5, 3))
    before[0, 4], before[1, 2] = x[0, 3] + 5, x[1, 1] + 5
    np.testing.assert_allclose(got["before"], before)
    assert got["filled"].tolist() == [[0, 0, 0, 7, 0], [0, 7, 1, 0, 0]]
    assert got["windows"].tolist() == [[0, 5, 5], [0, 6, 7]]
    assert got["index"].tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert got["back"].tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    cut = {"x": np.take_along_axis(x, own[..., None], 1), "c": np.take_along_axis(c, own, 1), "l": labels}
    for name, array in rg.parse(BACKWARDS, "Plain").compile(kernels=kernels).run(cut, {}).items():
        np.testing.assert_allclose(got[name][:, :2] if array.ndim == 2 else got[name], array, rtol=1e-12)


def test_a_loop_inside_of_a_step_stops() -> None:
    """Its sequence is as long as each step let each row run, inside of the step and outside."""
    model = rg.parse("""
    cell Halve { input x: []  state left: [] = 8  left' = left * x  output left'  stop left' < 1 }
    cell Outer {
      input x: []
      y = unroll Halve with x = x for 5
      output y, last(y), sum(float(sequence_mask(y)) + 0 * y)
    }
    model M {
      input x: seq
      y, end, _ = unroll Outer over x
      output y, end
      loss y
    }""")
    x = np.array([[0.5, 0.1, 0.9], [0.2, 2, 0.7]])
    found = model.compile().run({"x": x, "x.lengths": np.array([3, 2])}, {})
    total, count = 0.0, 0
    for row, steps in enumerate((3, 2)):
        for t in range(steps):
            left, seen = 8.0, []
            while len(seen) < 5 and left >= 1:
                left *= x[row, t]
                seen.append(left)
            total, count = total + sum(seen), count + len(seen)
            assert found["end"][row, t] == pytest.approx(seen[-1])
    assert found["loss"] == pytest.approx(total / count)


def test_what_is_exported_goes_by_it_too() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = rg.parse(RUNS + MODEL)
    weights, data = model.init(0, "float32"), given()
    text = to_numpy(model, weights, Wanted()).text
    space: dict[str, Any] = {}
    exec(compile(text, "exported", "exec"), space)
    given_as = {n: data[n].astype("float32") if n != "end" else data[n] for n in ("x", "end", "other")}
    session = onnxruntime.InferenceSession(to_onnx(model, weights, Wanted(states=False)))
    names = [output.name for output in session.get_outputs()]
    wanted = model.compile(dtype="float32").run(data, weights)
    for found in (space["run"](**given_as), dict(zip(names, session.run(None, given_as), strict=True))):
        for name, value in found.items():
            assert np.allclose(value, wanted[name], rtol=1e-4, atol=1e-5), name


def test_a_weight_that_is_the_same_at_every_step_counts_at_every_step() -> None:
    model = rg.parse("model M {\n  input x: seq\n  m, v = weighted_moments(x, 2, axis = time)\n  output m, v\n}")
    found = model.compile().run({"x": np.array([[1.0, 2, 3, 6]])}, {})
    assert found["m"].tolist() == [3] and found["v"].tolist() == [3.5]


def test_each_row_runs_as_many_steps_as_it_says() -> None:
    """0 included, and at most as many as the bound; in a step too, where the number changes from step to step."""
    model = rg.parse(
        """
cell Double {
  state h: [] = 1
  h' = 2 * h
  output h'
}
cell Outer {
  input k: int
  state s: [] = 1
  _, end = unroll Double for min(k, 3) from s
  s' = end.h
  output s'
}
model Counted {
  input n: int
  input k: seq int
  y, final = unroll Double for min(n, 4)
  output y, final, unroll Outer over k as z
}
"""
    )
    data = {"n": np.array([0, 3, 9]), "k": np.array([[0, 1], [2, -1], [5, 1]])}
    for how in ({}, {"unroll": "static", "steps": 2}):
        found = model.compile(**how).run(data, {})
        assert found["final.h"].tolist() == [1, 8, 16]
        assert found["y"].tolist() == [[0, 0, 0, 0], [2, 4, 8, 0], [2, 4, 8, 16]]
        assert found["z"].tolist() == [[1, 2], [4, 4], [8, 16]]


def test_a_number_of_steps_needs_a_bound() -> None:
    text = "cell C {{ state h: [] = 1  h' = 2 * h  output h' }}\nmodel M {{ input n: {}  output unroll C for {} as y }}"
    with pytest.raises(UserError, match="at most must be known while compiling"):
        rg.parse(text.format("int", "n"))
    with pytest.raises(UserError, match="an int for each row"):
        rg.parse(text.format("[]", "n"))


COUNTED = (
    RUNS
    + """
model M {
  input x: seq[2]
  input end: seq int
  y, final = unroll Until(RNN(3)) over x, end
  output y, final
  loss mean(y * y)
}
"""
)


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_with_gradients_a_loop_ends_too(kernels: str) -> None:
    """There and back it makes as many steps as there are up to the last end of a row."""
    model = rg.parse(COUNTED)
    program, weights = model.compile(gradient=True, kernels=kernels), model.init(0)
    found = []
    for steps in (2, 5, 8):
        end = np.zeros((3, 8), int)
        end[[0, 1, 2], [0, steps - 1, 1]] = 1
        data = {"x": np.random.default_rng(0).normal(size=(3, 8, 2)), "end": end}
        found.append(made(program, data, weights))
    for op in (("tanh", False), ("sub", True)):  # the cell's function, and its slope
        assert [b[op] - a[op] for a, b in pairwise(found)] == [3, 3], op


def made(program: Any, data: Any, weights: Any) -> Counter[tuple[str, bool]]:
    """How often a run does each op, in the forward pass (False) and in the backward pass."""
    variant, checked, found = program.variant(Signature(cotangents=("loss",))), program.check(data), Counter[Any]()

    def watch(kernel: Any, steps: Any) -> Any:
        ops = Counter((step.node.op.name, step.node.origin.backward) for step in steps)

        def counted(*arrays: Any) -> None:
            found.update(ops)
            kernel(*arrays)

        return counted

    bound = program.backend.watched(variant.program, variant.plan(checked.sizes), watch)
    bound.run({n: program.input(n, variant, checked, {}) for n in variant.inputs}, weights)
    return found


SPOILT = """
cell Spoilt(units) {
  input x: [n]
  input z: [units]
  input end: int
  state h: [units] = 0.5
  param kernel: [n + units, units] ~ glorot_uniform
  param scale: [units] = -1
  u = 1 + sigmoid([x, h] @ kernel)  # never 0, as what a step leaves that is left out
  h' = relu(log(u) / u - 0.25) * scale + h / u + z * (h - 9)  # whose slope makes -0 of 0
  output h' * scale
  stop end == 1
}
model M {
  input x: seq[3]
  input z: seq[4]
  input end: seq int
  y, final = unroll Spoilt(4) over x, z, end
  output y, final
  loss mean(y * y)
}
"""


@pytest.mark.parametrize("threads", [0, 1, 3], ids=["numpy", "native", "three threads"])
def test_what_stands_behind_an_end_reaches_no_gradient(threads: int) -> None:
    """Neither what is left out nor what is computed there, of large numbers: to the sign of a zero."""
    model, backend = rg.parse(SPOILT), backend_of(threads)
    weights, rng, rows, steps = model.init(0), np.random.default_rng(0), 7, 9
    ends = rng.integers(0, 6, rows)
    end = np.zeros((rows, steps), int)
    end[np.arange(rows), ends] = 1
    x, z = rng.normal(size=(rows, steps, 3)), rng.uniform(size=(rows, steps, 4))
    behind = np.arange(steps) > ends[:, None]
    ways: list[dict[str, Any]] = [{"unroll": "static", "steps": steps}, {}, {"unroll": 3}, {"keep": "every:2"}]
    first: dict[str, Any] = {}
    for large in (0.0, 1e200):
        data = {"x": np.where(behind[..., None], large, x), "z": z, "end": end}
        for way in ways:
            found = everything(model.compile(gradient=True, backend=backend, **way), data, weights, None)
            first = first or found
            assert not [d for d in differences(first, found) if not d.equal], (large, way)
    assert all(np.isfinite(value).all() for value in first.values())
    for name in ("x", "z"):
        found = first[f"gradient of {name}"]
        assert found[~behind].all() and not found[behind].any() and not np.signbit(found[behind]).any()


def backend_of(threads: int) -> Any:
    """NumPy for no threads; else compiled kernels that share out the least work."""
    if not threads:
        return NumpyBackend()
    return NativeBackend(lambda dtype: replace(target(dtype), threads=threads, worth=0, worth_meeting=0))
