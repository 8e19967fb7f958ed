"""`gradient(of, wrt)`: derivatives in the text, of any order, through loops, for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import CannotDo, UserError

RNG = np.random.default_rng(0)


def run(text: str, **data: Any) -> dict[str, Any]:
    model = rg.parse(text)
    return model.compile().run(data, model.init(1))


def test_derivatives_of_any_order() -> None:
    x = RNG.normal(size=(3, 4))
    found = run(
        """
model Orders {
  input x: [4]
  first = gradient(sum(x ** 4), x)
  second = gradient(sum(first), x)
  third = gradient(sum(second), x)
  output first, second, third
}
""",
        x=x,
    )
    assert np.allclose(found["first"], 4 * x**3)
    assert np.allclose(found["second"], 12 * x**2)
    assert np.allclose(found["third"], 24 * x)


def test_each_row_has_its_own_gradient_of_a_weight() -> None:
    x = RNG.normal(size=(3, 2))
    found = run(
        """
model Rows {
  input x: [2]
  param w: [2, 2] = 0.5
  output gradient(sum((x @ w) * (x @ w)), w) as g
}
""",
        x=x,
    )
    assert np.allclose(found["g"], 2 * x[:, :, None] * (x @ np.full((2, 2), 0.5))[:, None, :])


def test_a_product_with_the_second_derivative() -> None:
    """Of a quadratic form: the matrix itself."""
    a, x, v = RNG.normal(size=(3, 3)), RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    model = rg.parse(
        """
model Hessian {
  input x, v: [3]
  param a: [3, 3]
  slope = gradient((x @ a) @ x, x)
  output gradient(slope @ v, x) as product
}
"""
    )
    found = model.compile().run({"x": x, "v": v}, {"a": a})
    assert np.allclose(found["product"], v @ (a + a.T))


def test_a_penalty_on_gradients_through_a_loop() -> None:
    """Its value by the model's own gradients, the gradient of that by finite differences."""
    text = """
model Penalty {
  input x: seq[3]
  y = last(unroll LSTM(4) over x)
  slope = gradient(sum(y * y), x)
  output slope
  loss sum(slope * slope)
}
"""
    model = rg.parse(text)
    plain = rg.parse(text.replace("loss sum(slope * slope)", "loss sum(y * y)"))
    x, weights = RNG.normal(size=(1, 5, 3)), model.init(2)
    slope = plain.compile(gradient=True).gradients({"x": x}, weights)[1]["x"]
    program = model.compile(gradient=True)
    assert np.allclose(program.run({"x": x}, weights)["slope"], slope)
    grads = program.gradients({"x": x}, weights)[1]
    step = 1e-6
    for name in weights:
        nudged = {**weights, name: weights[name].copy()}
        nudged[name].flat[1] += step
        more = program.run({"x": x}, nudged)["loss"]
        nudged[name].flat[1] -= 2 * step
        less = program.run({"x": x}, nudged)["loss"]
        assert np.allclose(grads[name].flat[1], (more - less) / (2 * step), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    "written, said",
    [
        ("gradient(x, x)", "a gradient is of one number"),
        ("gradient(sum(y), x)", "is a sequence; a gradient is of one number"),
        ("gradient(sum(x), 2 * x)", "is not computed from `2 * x`"),
        ("gradient(sum(x), z)", "is not computed from `z`"),
        ("gradient(sum(last(y)), w)", "which is the same for all rows, in a loop"),
    ],
)
def test_what_is_said(written: str, said: str) -> None:
    with pytest.raises(UserError) as told:
        rg.parse(
            f"""
model Wrong {{
  input x, z: [2]
  input xs: seq[2]
  param w: [2, 2]
  y = unroll Uses over xs with w = w
  output {written} as g, y, z
}}
cell Uses {{ input x: [n]  input w: [n, n]  state h: [n] = 0  h' = tanh(x @ w + h)  output h' }}
"""
        )
    assert said in str(told.value)


def test_what_has_no_second_derivative_is_refused() -> None:
    with pytest.raises(CannotDo, match="`ctc_loss` cannot be differentiated again"):
        rg.parse(
            """
model Speech {
  input x: seq[4]
  input labels: seq@label int
  slope = gradient(ctc_loss(x, labels), x)
  output slope
  loss mean(slope * slope)
}
"""
        ).compile(gradient=True).gradients(
            {"x": RNG.normal(size=(1, 4, 4)), "labels": np.array([[1, 2]])}, {}
        )


# --- from Python ------------------------------------------------------------------------------------------

TAGGER = """
model Tagger {
  input x: seq[3]
  input right: seq[2]
  y, s = unroll LSTM(4) over x
  scores = Dense(2)(y)
  output scores, s
  loss squared_error(tanh(scores), right)
}
"""


@pytest.mark.parametrize("lengths", [None, np.array([4, 2])])
def test_products_with_derivatives_are_differences(lengths: Any) -> None:
    """Of gradients for `hvp`, of outputs for `jvp`, along a direction; of padded rows too; both modes the same bits."""
    model = rg.parse(TAGGER)
    weights = model.init(2)
    data = {"x": RNG.normal(size=(2, 4, 3)), "right": RNG.normal(size=(2, 4, 2))}
    if lengths is not None:
        data |= {"x.lengths": lengths, "right.lengths": lengths}
    along = {name: RNG.normal(size=array.shape) for name, array in weights.items()}
    program = model.compile(gradient=True)
    step = 1e-5

    def moved(sign: float) -> dict[str, Any]:
        return {name: array + sign * step * along[name] for name, array in weights.items()}

    ahead, behind = (program.gradients(data, moved(sign))[1] for sign in (1, -1))
    found = program.hvp(data, weights, along)
    assert found.keys() == weights.keys()
    for name in weights:
        assert np.allclose(found[name], (ahead[name] - behind[name]) / (2 * step), rtol=1e-5, atol=1e-8)
    into = RNG.normal(size=data["x"].shape)
    here, there = ({**data, "x": data["x"] + sign * step * into} for sign in (1, -1))
    ahead, behind = program.run(here, moved(1)), program.run(there, moved(-1))
    changes = program.jvp(data, weights, along | {"x": into})
    assert changes.keys() == ahead.keys()
    for name, change in changes.items():
        assert np.allclose(change, (ahead[name] - behind[name]) / (2 * step), rtol=1e-5, atol=1e-8)
    static = model.compile(gradient=True, unroll="static", steps=4)
    assert all(np.array_equal(a, found[n]) for n, a in static.hvp(data, weights, along).items())
    assert all(np.array_equal(a, changes[n]) for n, a in static.jvp(data, weights, along | {"x": into}).items())


POLES = """
model Poles {
  input x: [3]
  input z: [1]
  output log(x), sqrt(x), 2 / x as half, x ** 1.5 as power, norm(x), atan2(x, 2), x % 0.7 as rest
  output where(x > 1, log(x - 1), 0) as hidden, sqrt(z) as steep
}
"""


def test_what_has_a_pole_changes_by_its_slope() -> None:
    """How it changes had been 0 wherever a slope may be infinite. One that is hidden does no harm, one that is not is
    told."""
    x, v = np.array([[1.0, 2, 3.5]]), np.array([[3.0, -1, 0.5]])
    model = rg.parse(POLES)
    slopes = {
        "log": v / x, "sqrt": v / (2 * np.sqrt(x)), "half": -2 * v / x**2, "power": 1.5 * np.sqrt(x) * v,
        "norm": (x * v).sum(1) / np.sqrt((x**2).sum(1)), "atan2": 2 * v / (x**2 + 4), "rest": v,
        "hidden": np.array([[0, -1, 0.2]]), "steep": np.array([[np.inf]]),
    }  # fmt: skip
    data = {"x": x, "z": np.zeros((1, 1))}
    for kernels in ("numpy", "native"):
        found = model.compile(kernels=kernels).jvp(data, {}, {"x": v, "z": np.ones((1, 1))})
        assert found.keys() == slopes.keys()
        assert all(np.allclose(found[name], slope, rtol=1e-12) for name, slope in slopes.items())


CURVED = """
model Curved {
  input x, v: [2]
  param w: [2] = 4
  param head: [2] = 0
  miss = sum(square(sqrt(x) - 2))
  output gradient(sum(gradient(miss, x) * v), x) as second
  loss sum(square(sqrt(w) - 2)) + log(w) @ head
}
"""


def test_second_derivatives_where_a_first_one_is_zero() -> None:
    """Of (sqrt(w) - 2) ** 2 at w = 4, where it is least, the second derivative is 1 / (2 w); of head * log(w) with
    a head of zeros the mixed one is 1 / w."""
    model, v = rg.parse(CURVED), np.array([[1.0, 2]])
    weights, data = model.init(0), {"x": np.full((1, 2), 4.0), "v": v}
    program = model.compile(gradient=True)
    assert np.allclose(program.run(data, weights)["second"], v / 8, rtol=1e-12)
    found = program.hvp(data, weights, {"w": np.array([1.0, 3]), "head": np.array([5.0, 7])})
    assert np.allclose(found["w"], np.array([1, 3]) / 8 + np.array([5, 7]) / 4, rtol=1e-12)
    assert np.allclose(found["head"], np.array([1, 3]) / 4, rtol=1e-12)


@pytest.mark.parametrize("unroll", ["dynamic", "static"])
def test_second_derivatives_of_rows_that_the_step_chooses(unroll: str) -> None:
    """Of the mean of (p[t] x)^2 each entry of row t has the sum of x^2 at step t, by the number of real steps."""
    model = rg.parse(
        """
cell Chosen { input x: [2]  param p: [3, 2]  output p[t] * x }
model M { input x: seq[2]  loss mean((unroll Chosen() over x) ** 2) }
"""
    )
    x, p, along = RNG.normal(size=(2, 3, 2)), RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    program = model.compile(unroll, 3 if unroll == "static" else None, gradient=True)
    data = {"x": x, "x.lengths": np.array([3, 2])}
    found = program.hvp(data, {"chosen.p": p}, {"chosen.p": along})
    x[1, 2] = 0
    assert np.allclose(found["chosen.p"], (x**2).sum(0) / 5 * along)


def test_a_direction_may_leave_out_weights_but_not_invent_them() -> None:
    model = rg.parse(TAGGER)
    weights = model.init(2)
    data = {"x": RNG.normal(size=(2, 4, 3)), "right": RNG.normal(size=(2, 4, 2))}
    program = model.compile(gradient=True)
    one = program.jvp(data, weights, {"dense.bias": np.array([1.0, 0.0])})["scores"]
    assert np.allclose(one[..., 0], 1) and not one[..., 1].any()
    with pytest.raises(UserError, match=r"nothing that can be differentiated is called `dense.bais`"):
        program.hvp(data, weights, {"dense.bais": np.ones(2)})
    with pytest.raises(UserError, match=r"should be \(2,\)"):
        program.hvp(data, weights, {"dense.bias": np.ones(3)})


def test_where_gradients_vanish_is_seen_by_what_is_added_to_a_state() -> None:
    """The recipe of the reference: the slope of the loss at each step's state, here against the chain rule by hand."""
    found = run(
        """
layer Plus {
  input new, by: [n]
  output new + by
}
cell Nudged(inner) {
  input x, by: [n]
  output revise(inner, Plus, x, by = by)
}
cell Halving {
  input x: [n]
  state h: [n] = 0
  h' = 0.5 * h + x
  output h'
}
model Vanishing {
  input x: seq[2]
  nothing = 0 * x
  y = unroll Nudged(Halving) over x, nothing
  output gradient(sum(last(y)), nothing) as slope
}
""",
        x=RNG.normal(size=(1, 4, 2)),
    )
    assert np.allclose(found["slope"][0, :, 0], [0.125, 0.25, 0.5, 1])
