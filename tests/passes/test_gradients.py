"""Gradients where they are easily wrong: loops inside of steps, poles that a mask hides, states that no loss needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.compiled import CompiledProgram
from rnngraph.model import Model

WAYS = [(unroll, kernels) for unroll in ("static", "dynamic", 2) for kernels in ("numpy", "native")]


def programs(model: Model, steps: int, **more: Any) -> Iterator[CompiledProgram]:
    for unroll, kernels in WAYS:
        yield model.compile(unroll, steps if unroll == "static" else None, kernels=kernels, gradient=True, **more)


def gradients(text: str, data: dict[str, Any], weights: dict[str, Any] | None = None, steps: int = 4) -> dict[str, Any]:
    """Of the loss, or of the sum of `y`: found in every way, which must agree."""
    model = rg.parse(text)
    given = {**model.init(0), **(weights or {})}
    found = []
    for program in programs(model, steps):
        ones = None if "loss" in model.graph.outputs else {"y": np.ones_like(program.run(data, given)["y"])}
        found.append(program.gradients(data, given, ones)[1])
    for other in found[1:]:
        assert all(np.allclose(other[name], found[0][name], rtol=1e-12, atol=1e-14) for name in found[0])
    return found[0]


# --- loops inside of a step --------------------------------------------------------------------------------------

TWICE = """
cell Inner { state s: []   s' = tanh(s)   output s' }
cell Outer {
  input x: []
  state h: [] = 0
  _, end = unroll Inner for 2 from record(s = x)
  h' = end.s
  output h'
}
model Test { input x: seq   output unroll Outer() over x as y }
"""


def test_a_loop_inside_of_a_step() -> None:
    x = np.array([[0.1, 0.5, -0.3, 2.0]])
    slope = (1 - np.tanh(np.tanh(x)) ** 2) * (1 - np.tanh(x) ** 2)
    assert np.allclose(gradients(TWICE, {"x": x})["x"], slope, rtol=1e-13)


def test_loops_for_the_same_number_of_steps_inside_of_each_other() -> None:
    """h <- h * w * w * w at each of three steps: h w^9, whose slope is 9 h w^8."""
    text = """
cell Inner { state s: [] = 1  param w: [] = 1.1   s' = s * w   output s' }
cell Outer { state h: [] = 1   _, end = unroll Inner() for 3 from h   h' = end.s   output h' }
model Test { input x: []  _, end = unroll Outer() for 3   output x as y   loss x * end.h }
"""
    found = gradients(text, {"x": np.array([2.0])}, steps=0)
    assert found["outer.inner.w"] == pytest.approx(2 * 9 * 1.1**8, rel=1e-13)
    assert found["x"] == pytest.approx(1.1**9, rel=1e-13)


def test_a_cell_of_the_file_inside_of_one_of_the_library_knows_the_file() -> None:
    text = (
        TWICE.replace("[]", "[2]").replace("x: seq", "x: seq[2]").replace("unroll Outer()", "unroll Residual(Outer())")
    )
    x = np.array([[[0.1, 0.5]]])
    y = rg.parse(text).compile().run({"x": x}, {})["y"]
    assert np.allclose(y, x + np.tanh(np.tanh(x)), rtol=1e-15)


# --- what the loss does not reach --------------------------------------------------------------------------------


def test_a_state_that_the_loss_does_not_need_has_no_part_in_it() -> None:
    """b is nan from the second step on; a is w a + 1 from 1, whose sum over four steps has the slope 20 at w = 1."""
    text = """
cell Two {
  input x: []
  state a: [] = 1
  state b: [] = 1
  param w: [] = 1
  a' = w * a + x
  b' = log(-1 - b * b) * w
  output a'
}
model M { input x: seq  y = unroll Two() over x  output y }
"""
    found = gradients(text, {"x": np.ones((1, 4))})
    assert found["two.w"] == pytest.approx(20)
    assert np.allclose(found["x"], [[4, 3, 2, 1]])


def test_states_that_are_not_given_have_a_gradient_each() -> None:
    model = rg.parse("model M { input x: seq[3]  y, final = unroll LSTM(4) over x  output y, final  loss mean(y * y) }")
    data, weights = {"x": np.random.default_rng(0).normal(size=(2, 5, 3))}, model.init(1)
    zeros = {"final.c": np.zeros((2, 4)), "final.h": np.zeros((2, 4))}
    for program in programs(model, 5):
        _, alone = program.gradients(data, weights)
        _, given = program.gradients({**data, **zeros}, weights)
        assert alone.keys() == given.keys()
        assert all(np.allclose(alone[name], given[name], rtol=1e-13) for name in given)


# --- poles --------------------------------------------------------------------------------------------------------

HIDDEN = [
    "log(z)",
    "sqrt(z) + log(z) * sqrt(z)",
    "1 / z",
    "reciprocal(z) * z",
    "z ** 0.3",
    "z ** -1.5",
    "mod(1, z)",
    "w * (1 // z) + z",
    "tanh(log(z)) + sigmoid(1 / z)",
    "exp(-1 / z)",
    "norm([log(z), z])",
    "softmax([log(z), 1 / z, z])[0]",
    "log_softmax([log(z), z])[1]",
    "max([1 / z, 2]) + min([log(z), z])",
    "cumsum([1 / z, z])[1]",
    "sum([log(z), 1 / z] @ u)",
    "sum(transpose(reshape([log(z), 1 / z, z, z * z], [2, 2]), [1, 0]) @ [log(z), z])",
    "abs(log(z)) + square(1 / z) + clip(log(z), -1, 1)",
]
Z = np.array([[0.7, 0.0, -0.4, 1.3], [-0.0, 0.23, -2.0, 0.9]])


@pytest.mark.parametrize("told", HIDDEN)
def test_a_pole_behind_a_condition_has_no_gradient(told: str) -> None:
    """Where z <= 0 the other branch is taken, and its slope is the whole slope.

    The values are finite differences of the same formula at safe places.
    """
    cell = """
cell C {
  input z: []
  param u: [2, 2] ~ normal(0, 1)
  param w: [] = 1
  GUARD
  output VALUE + 0.5 * z * w
}
model M { input z: seq  y = unroll C() over z  output y  loss mean(y) }
"""
    guarded = cell.replace("GUARD", f"v = {told.replace('z', '(w * z)')}").replace("VALUE", "where(z > 0, v, 0)")
    found = gradients(guarded, {"z": Z})
    safe = cell.replace("GUARD", "s = where(z > 0, w * z, 1.0)").replace(
        "VALUE", f"where(z > 0, {told.replace('z', 's')}, 0)"
    )
    model = rg.parse(safe)
    weights, program = model.init(0), model.compile()

    def loss(z: Any, weights: Any) -> float:
        return float(program.run({"z": z}, weights)["loss"])

    def slope(f: Any) -> float:
        return float(f(1e-6) - f(-1e-6)) / 2e-6

    for place in np.ndindex(Z.shape):
        unit = np.zeros_like(Z)
        unit[place] = 1
        if Z[place]:
            assert found["z"][place] == pytest.approx(slope(lambda h, u=unit: loss(Z + h * u, weights)), abs=1e-7)
        else:
            assert found["z"][place] == pytest.approx(0.5 / Z.size)
    for name, w in weights.items():
        for place in np.ndindex(w.shape):
            unit = np.zeros_like(w)
            unit[place] = 1
            moved = slope(lambda h, n=name, w=w, u=unit: loss(Z, {**weights, n: w + h * u}))
            assert found[name][place] == pytest.approx(moved, rel=1e-6, abs=1e-7), name


def test_the_slope_of_a_norm_at_zero_is_zero() -> None:
    text = "model M { input x: seq[3]  param w: [3] = 0  output norm(w) * norm(x) as y }"
    found = gradients(text, {"x": np.array([[[3.0, 0, 4], [0, 0, 0]]])}, steps=2)
    assert not found["w"].any() and not found["x"].any()


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_the_slopes_of_powers_at_zero(kernels: str) -> None:
    """That of x ** 0 is 0, of x ** 1 is 1, once and twice; 0 ** y has none along y above 0."""
    power = rg.parse("model M { input x: [4] param y: [4] = [0, 1, 1.5, 2] loss sum(x ** y) }")
    given = {"x": [[0.0, 0.0, 0.0, 3.0]]}
    _, found = power.compile(gradient=True, kernels=kernels).gradients(given, power.init())
    assert np.allclose(found["x"], [[0, 1, 0, 6]]) and np.allclose(found["y"], [0, 0, 0, 9 * np.log(3)])
    curved = rg.parse("model M { input x: [] loss gradient(x ** 0 + x ** 1 + x ** 2, x) ** 2 / 2 }")
    assert curved.compile(gradient=True, kernels=kernels).gradients({"x": [0.0]}, {})[1]["x"] == [2.0]


@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize(
    "told",
    [
        "max(z)",
        "min(-z)",
        "log_softmax(z)[0]",
        "cross_entropy(z, 0) + logsumexp(z)",
        "sum(max_pool(reshape(z - 9, [SIZE, 1]), SIZE))",
        "ctc_loss(z, label)",
    ],
)
def test_what_minus_infinity_masks_takes_no_part(told: str, kernels: str) -> None:
    """The gradient is that of the entries that are left, as if there were no others; the largest of them is 0 twice."""
    rng = np.random.default_rng(0)
    x = np.concatenate([[[[0.0, 5.0, 0.0, -1.0]]], rng.normal(size=(1, 3, 4))], axis=1)
    left, found = [0, 2, 3], []
    for entries in ([0, 1, 2, 3], left):
        text = "model M { input x, m: seq[SIZE]  input label: seq@label int  z = x + log(m)  loss mean(TOLD) }"
        model = rg.parse(text.replace("TOLD", told).replace("SIZE", str(len(entries))))
        data = {"x": x[..., entries], "m": np.broadcast_to(np.array([1.0, 0, 1, 1])[entries], (1, 4, len(entries)))}
        given = data | ({"label": [[0]]} if "label" in told else {})
        found.append(model.compile(gradient=True, kernels=kernels).gradients(given, {})[1]["x"])
    assert np.allclose(found[0][..., left], found[1], rtol=1e-13, atol=1e-15) and not found[0][..., 1].any()


@pytest.mark.parametrize("sign", ["max", "min"])
def test_padding_has_no_share_in_the_largest_of_zeros(sign: str) -> None:
    found = gradients(
        f"model M {{ input x: seq  loss {sign}(x, axis = time) }}",
        {"x": np.zeros((2, 4)), "x.lengths": [2, 1]},
    )
    assert np.array_equal(found["x"], [[0.25, 0.25, 0, 0], [0.5, 0, 0, 0]])


@pytest.mark.parametrize("more", [{}, {"keep": "every:2"}, {"keep": "revolve:1"}, {"truncate": 3}])
def test_poles_in_the_padding_reach_no_gradient(more: dict[str, Any]) -> None:
    """Each row alone, at its own length, has the same loss and gradients as in company."""
    text = """
model M {
  input x: seq[3]
  param v: [3, 3] ~ orthogonal
  z = x @ v
  y = unroll GRU(3) over z / norm(z) + log(sum(square(z)))
  output y
  loss sum(y * y)
}
"""
    model = rg.parse(text)
    weights, x, lengths = model.init(0), np.random.default_rng(1).normal(size=(3, 4, 3)), [4, 1, 3]
    want: dict[str, Any] = {}
    for row, length in enumerate(lengths):
        program = model.compile(gradient="weights", kernels="numpy", **more)
        _, grads = program.gradients({"x": x[row : row + 1, :length]}, weights)
        want = {n: want.get(n, 0) + g * length / sum(lengths) for n, g in grads.items()}
    data = {"x": np.where(np.arange(4)[:, None] < np.reshape(lengths, (3, 1, 1)), x, np.nan), "x.lengths": lengths}
    for program in programs(model, 4, **more):
        _, grads = program.gradients(data, weights)
        assert all(np.allclose(grads[name], want[name], rtol=1e-11) for name in want)


# --- told before training ----------------------------------------------------------------------------------------


def test_a_weight_that_training_cannot_move_is_told() -> None:
    text = """
cell Walk(units, limit) {
  input x: [n]
  state h: [units] = 0
  state far: [] = 0
  param kernel: [n + units, units] ~ glorot_uniform
  param end: [] = 1
  h' = tanh([x, h] @ kernel)
  far' = far + sum(abs(h'))
  output h'
  stop far' > limit * end
}
model Far {
  input x: seq[3]
  param a: [3, 4] ~ normal
  param b: [] = 1
  param c: [] = 1
  param d: [3] = 1
  frozen param f: [] = 1
  y = unroll Walk(3, 2.0) over x
  z = argmax(x @ a)
  soft = straight_through(float(x @ d > 0), sigmoid(x @ d))
  output y
  loss mean(y * y) * float(z) + where(sum(y) > b + f, 1.0, 0.5) + detach(c) + soft
}
"""
    told = {d.span.text: d.message for d in rg.parse(text).warnings if d.code == "W405" and d.span}
    assert set(told) == {"far' > limit * end", "argmax(x @ a)", "sum(y) > b + f"}
    assert all(f"`{n}`" in m for n, m in zip(("walk.end", "a", "b"), told.values(), strict=True))


# --- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_join_of_what_has_rows_and_what_has_none(rows: int) -> None:
    """Also where there are as many rows as steps."""
    text = """
layer Placed { input x: [n]  param table: [5, 2] ~ normal  output [x, table[t % 5], x] }
model M { input x: seq[3]  output Placed()(x) as y }
"""
    model = rg.parse(text)
    x, weights = np.random.default_rng(0).normal(size=(rows, 3, 3)), model.init(0)
    want = np.concatenate([x, np.broadcast_to(weights["placed.table"][:3], (rows, 3, 2)), x], -1)
    for program in programs(model, 3):
        assert np.array_equal(program.run({"x": x}, weights)["y"], want)


TABLES = """
cell Look {
  input m: [5, 3]
  input k: int
  state h: [3] = 0
  h' = tanh(0.5 * h + m[k % 5])
  output h'
}
model M {
  input k: seq int
  input row: int
  param w: [5, 3] ~ normal(0, 1)
  tables = tanh(w * (1 + float(position(axis = time))))
  y = unroll Look() over tables, k
  z = unroll Look() over tables with k = row
  output y, z
  loss mean(y * y) + mean(z)
}
"""


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_each_step_may_have_a_table_of_its_own(kernels: str) -> None:
    """Looking a row up in it stays in the loop, and its gradient is one table for each step."""
    random, steps = np.random.default_rng(0), 4
    k, row, w = random.integers(0, 5, (3, steps)), random.integers(0, 5, 3), random.normal(size=(5, 3))

    def loss(w: Any) -> Any:
        tables = np.tanh(w * (1 + np.arange(steps))[:, None, None])
        y, z = [np.zeros((3, 3))], [np.zeros((3, 3))]
        for t in range(steps):
            y.append(np.tanh(0.5 * y[-1] + tables[t, k[:, t]]))
            z.append(np.tanh(0.5 * z[-1] + tables[t, row]))
        return np.square(y[1:]).mean() + np.mean(z[1:])

    model = rg.parse(TABLES)
    [name] = [weight.name for weight in model.weights]
    for unroll in ("dynamic", "static"):
        program = model.compile(unroll, steps, dtype="float64", gradient="weights", kernels=kernels)
        found, gradients = program.gradients({"k": k, "row": row}, {name: w})
        assert found == pytest.approx(loss(w), rel=1e-12)
        for place in np.ndindex(w.shape):
            step = np.zeros_like(w)
            step[place] = 1e-6
            slope = (loss(w + step) - loss(w - step)) / 2e-6
            assert gradients[name][place] == pytest.approx(slope, abs=1e-8)
