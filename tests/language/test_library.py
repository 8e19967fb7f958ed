"""What the library's wrappers, and functions along sequences, do.

`test_papers.py` holds the cells against their equations; `tests/compilation/test_modes.py` walks them through all
lowerings, padding, finite differences and the laws.
"""

from __future__ import annotations

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import differences
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.diagnostics.errors import UserError
from rnngraph.language.elaboration.imports import library
from rnngraph.viz.summary import summary
from tests.support.equations import drawn, sigmoid
from tests.support.models import ALL, over, parsed
from tests.support.paths import ROOT

# --- wrappers -----------------------------------------------------------------------------------------------


def test_highway_and_projection() -> None:
    plain, wrapped = rg.parse(over("GRU(3)")), rg.parse(over("Highway(GRU(3))"))
    w, x = drawn(wrapped), synthetic(plain, 4, 2, 0)
    inner = plain.compile().run(x, {k.replace(".inner", ""): v for k, v in w.items() if ".inner" in k})["y"]
    carry = sigmoid(x["x"] @ w["net.kernel"] + w["net.bias"])
    got = wrapped.compile().run(x, w)
    assert np.allclose(got["y"], carry * x["x"] + (1 - carry) * inner)
    assert got["final.inner.h"].shape == (2, 3)
    model = rg.parse(over("Projected(GRU(3), 2)"))
    w = drawn(model)
    inner = plain.compile().run(x, {k.replace(".inner", ""): v for k, v in w.items() if ".inner" in k})["y"]
    assert np.allclose(
        model.compile().run(x, w)["y"], inner @ w["net.project.kernel"] + w["net.project.bias"], rtol=1e-12
    )


def test_dropout_per_sequence_keeps_its_mask() -> None:
    text = "model M {{ input x: seq[50] y = Dropout(0.5, {})(x) output y }}"
    data = {"x": np.ones((3, 7, 50)), "seed": 5}
    fixed = rg.parse(text.format("per_sequence = true")).compile(training=True).run(data, {})["y"]
    assert np.array_equal(fixed, np.repeat(fixed[:, :1], 7, axis=1))
    assert not np.array_equal(fixed[0], fixed[1])
    moving = rg.parse(text.format("per_sequence = false")).compile(training=True).run(data, {})["y"]
    assert not np.array_equal(moving[:, 0], moving[:, 1])
    for y in (fixed, moving):
        assert set(np.unique(y)) == {0.0, 2.0}
        assert 0.3 < (y == 0).mean() < 0.7
    assert np.array_equal(rg.parse(text.format("true")).compile().run(data, {})["y"], data["x"])


def test_dropout_around_a_cell() -> None:
    plain = over("LSTM(4)")
    none = over("DropoutAround(LSTM(4))")
    model = rg.parse(none)
    w, data = drawn(model), synthetic(model, 5, 2, 0) | {"seed": 3}
    inner = {k.replace(".inner", ""): v for k, v in w.items()}
    expected = rg.parse(plain).compile().run(data, inner)["y"]
    assert np.array_equal(model.compile(training=True).run(data, w)["y"], expected)
    all_kinds = rg.parse(over("DropoutAround(LSTM(4), 0.3, 0.3, 0.3)"))
    assert np.array_equal(all_kinds.compile().run(data, w)["y"], expected)


PROBE = """
cell Probe {
  input x: [n]
  state h: [40] = 1
  state c: [40] = 1
  param w: [40, 40] ~ identity
  h' = h
  c' = c
  output (h * c) @ w
}
"""


@pytest.mark.parametrize("per_sequence", [True, False])
def test_dropout_of_states_is_what_products_read(per_sequence: bool) -> None:
    """Two states that nothing changes, read by a product with the identity: the product of both masks."""
    cell = f"DropoutAround(Probe(), states = 0.5, per_sequence = {str(per_sequence).lower()})"
    model = rg.parse(PROBE + over(cell))
    data = synthetic(model, 30, 3, 0) | {"seed": 7}
    got = model.compile(training=True).run(data, model.init())
    assert set(np.unique(got["y"])) == {0.0, 4.0} and 0.2 < (got["y"] == 4).mean() < 0.3
    assert np.array_equal(got["y"], np.repeat(got["y"][:, :1], 30, axis=1)) == per_sequence
    assert (got["final.inner.h"] == 1).all() and (got["final.inner.c"] == 1).all()


THROUGH = """
layer Masked { input old: [n] frozen param mask: [n] = 1 output old * mask }
cell Through(inner) { input x: [n] output read_through(inner, Masked(), x) }
"""
READ = {
    "RNN(4)": {"kernel": 3},
    "LSTM(4, peepholes = true, show_cell = true)": {"kernel": 3},
    "LSTM(5, projection = 4)": {"kernel": 3},
    "GRU(4)": {"gates_kernel": 3, "candidate_kernel": 3},
    "GRU(4, reset_after = true)": {"gates_kernel": 3, "candidate_kernel": 3},
    "MGU(4)": {"gate_kernel": 3, "kernel": 3},
    "MultiplicativeLSTM(4)": {"state_factor": 0},
    "LayerNormLSTM(4)": {"state_kernel": 0},
    "SLSTM(4)": {"kernel": 3},
}
"""Of each cell the kernels that states are multiplied by, and the first of their rows that belongs to the state."""


@pytest.mark.parametrize("cell", READ)
def test_a_rule_for_what_products_read(cell: str) -> None:
    """A mask of the state is a mask of the rows of the kernels that it meets: nothing else may see it."""
    wrapped = rg.parse(
        THROUGH + over(f"Through({cell})").replace("y, final", "y, z, final" if "show" in cell else "y, final")
    )
    plain = rg.parse(over(cell).replace("y, final", "y, z, final" if "show" in cell else "y, final"))
    mask, x = np.array([0.0, 2.0, 0.0, 3.0]), synthetic(plain, 6, 3, 0)
    weights = drawn(plain)
    inner = {k.replace("net.", "net.inner."): v for k, v in weights.items()} | {"net.masked.mask": mask}
    got = wrapped.compile().run(x, inner)
    for name, first in READ[cell].items():
        kernel = weights[f"net.{name}"].copy()
        kernel[first:] *= mask[:, None]
        weights[f"net.{name}"] = kernel
    expected = plain.compile().run(x, weights)
    for name, value in expected.items():
        assert np.allclose(got[name.replace("final.", "final.inner.")], value, rtol=1e-12, atol=1e-14), name


WEIGHED = """
layer Squared { input w: [n, m] output w * w }
cell Weighed(inner) { input x output reweigh(inner, Squared, x) }
"""


@pytest.mark.parametrize("cell", READ)
def test_a_rule_for_the_weights_of_states(cell: str) -> None:
    """The rows of the kernels that meet the state, and no others, are those that the rule makes."""
    several = "y, z, final" if "show" in cell else "y, final"
    texts = WEIGHED + over(f"Weighed({cell})"), over(cell)
    wrapped, plain = (rg.parse(text.replace("y, final", several)) for text in texts)
    weights, x = drawn(plain), synthetic(plain, 6, 3, 0)
    got = wrapped.compile().run(x, {k.replace("net.", "net.inner."): v for k, v in weights.items()})
    for name, first in READ[cell].items():
        kernel = weights[f"net.{name}"].copy()
        kernel[first:] **= 2
        weights[f"net.{name}"] = kernel
    for name, value in plain.compile().run(x, weights).items():
        assert np.allclose(got[name.replace("final.", "final.inner.")], value, rtol=1e-12, atol=1e-14), name


def test_the_weights_of_states_in_a_convolution() -> None:
    """Its channels are the input's first, then the state's."""
    text = "model M {{ input x: seq[4, 4, 2] net = {} y, final = unroll net over x output y }}"
    wrapped, plain = rg.parse(WEIGHED + text.format("Weighed(ConvLSTM(3))")), rg.parse(text.format("ConvLSTM(3)"))
    weights, x = drawn(plain), synthetic(plain, 3, 2, 0)
    got = wrapped.compile().run(x, {k.replace("net.", "net.inner."): v for k, v in weights.items()})["y"]
    weights["net.kernel"][:, :, 2:] **= 2
    assert np.allclose(got, plain.compile().run(x, weights)["y"], rtol=1e-12, atol=1e-14)


def test_drop_connect_has_one_mask_for_all_steps_and_rows() -> None:
    text = """
    cell Probe { input x: [n] state h: [40] = 1 param w: [40, 60] = 1 h' = h output h @ w + x @ ones([3, 60]) }
    """
    model = rg.parse(text + over("DropConnect(Probe(), 0.25)"))
    data = {"x": np.zeros((3, 5, 3)), "seed": 7}
    for kernels in ("numpy", "native"):
        y = model.compile(training=True, kernels=kernels).run(data, model.init())["y"] * 0.75
        assert np.allclose(y, np.broadcast_to(y[:1, :1], y.shape), rtol=1e-14)
        kept = y[0, 0].round()
        assert np.allclose(y[0, 0], kept) and 28 < kept.mean() < 32 and len(set(kept)) > 5
        other = model.compile(training=True, kernels=kernels).run(data | {"seed": 8}, model.init())["y"] * 0.75
        assert not np.allclose(other, y)
    assert (model.compile().run(data, model.init())["y"] == 40).all()


def test_a_rule_inside_of_a_rule_and_beside_a_loop() -> None:
    """Two rules are both applied, once; a loop inside of the step has states of its own, which they leave alone."""
    loop = """
    cell Turn { state s: [4] = 0 param w: [4, 4] s' = tanh(s @ w) output s' }
    cell Outer { input x: [n] state h: [4] = 0.5 param u: [n + 4, 4] param v: [4, 4]
      start = tanh([x, h] @ u)
      _, end = unroll Turn() for 2 from record(s = start)
      h' = 0.9 * h + (end.s + h) @ v   output h' @ v }
    """
    model = rg.parse(THROUGH + loop + over("Through(Through(Outer()))"))
    w, x = drawn(model), synthetic(model, 5, 2, 0)["x"]
    masks = w["net.masked.mask"] * w["net.inner.masked.mask"]
    turn, (u, v) = next(a for k, a in w.items() if k.endswith("turn.w")), (w[f"net.inner.inner.{k}"] for k in "uv")
    h, expected = np.full((2, 4), 0.5), []
    for t in range(5):
        end = np.tanh(np.tanh(np.tanh(np.concatenate([x[:, t], masks * h], axis=1) @ u) @ turn) @ turn)
        h = 0.9 * h + (end + masks * h) @ v
        expected.append(h @ v)
    for unroll in ("dynamic", "static"):
        program = model.compile(unroll, 5 if unroll == "static" else None)
        assert np.allclose(program.run({"x": x}, w)["y"], np.stack(expected, axis=1), rtol=1e-12)


def test_a_rule_for_what_no_product_reads() -> None:
    with pytest.raises(UserError, match="no product of `SRU` reads a state of its own"):
        rg.parse(over("DropoutAround(SRU(4), states = 0.5)"))


@pytest.mark.parametrize("training", [True, False])
def test_wrappers_of_states_over_a_thousand_steps(training: bool) -> None:
    """What a state stores does not grow: an h stays within 1, and a c forgets."""
    drop = "DropoutAround({}(8), states = 0.5, per_sequence = {})"
    cells = [drop.format(c, p) for c in ("LSTM", "GRU", "RecurrentHighway") for p in ("true", "false")]
    cells += ["Zoneout(LSTM(8), 0.5)", "Zoneout(GRU(8), 0.1)", "DropoutAround(Zoneout(GRU(8)), states = 0.5)"]
    text = "model M { input x: seq[3] " + "".join(
        f"net{i} = {cell} y{i}, final{i} = unroll net{i} over x output y{i}, final{i} " for i, cell in enumerate(cells)
    )
    model = rg.parse(text + "}")
    x = np.random.default_rng(0).normal(size=(2, 1000, 3))
    got = model.compile(training=training).run({"x": x, "seed": 1}, drawn(model))
    for name, value in got.items():
        if name.endswith(".t"):  # how many steps are over
            continue
        assert np.abs(value).max() <= (20 if name.endswith(".c") else 1), name
    assert all((got[f"y{i}"] != 0).all() for i in range(6))


def test_zoneout_keeps_entries_of_states() -> None:
    """While training an entry is old or new; else the mean of the two."""
    model = rg.parse(over("Zoneout(GRU(40), 0.5)"))
    w, data = drawn(model), synthetic(model, 1, 4, 0) | {"seed": 1}
    start = {"final.inner.h": np.random.default_rng(0).normal(size=(4, 40))}
    inner = {k.replace(".inner", ""): v for k, v in w.items()}
    old = start["final.inner.h"]
    new = rg.parse(over("GRU(40)")).compile().run({**data, "final.h": old}, inner)["y"][:, 0]
    got = model.compile(training=True).run({**data, **start}, w)
    kept = got["final.inner.h"] == old
    assert 0.3 < kept.mean() < 0.7
    assert np.array_equal(got["final.inner.h"], np.where(kept, old, new))
    assert np.array_equal(got["y"][:, 0], got["final.inner.h"])
    assert np.allclose(model.compile().run({**data, **start}, w)["final.inner.h"], (old + new) / 2)


def test_a_rule_for_states_needs_the_size_of_the_state() -> None:
    text = "layer Half { input old: [n] input new: [n] output new[:1] } cell W(inner) { input x: [n]"
    with pytest.raises(UserError, match="a rule gives one value with the size of the state"):
        rg.parse(f"{text} output revise(inner, Half(), x) }} {over('W(GRU(4))')}")


def test_fixed_tensors_and_masks() -> None:
    model = rg.parse("""model M { input x: [3]
      mask = reshape(range(3), [3, 1]) >= range(3)
      output x @ eye(3), where(mask, 1, 0) as mask, range(size(x)) as r loss sum(x @ where(mask, eye(3), 2)) }""")
    got = model.compile(gradient=True).run({"x": np.array([[1.0, 2.0, 3.0]])}, {})
    assert got["output"].tolist() == [[1, 2, 3]]
    assert got["mask"].reshape(3, 3).tolist() == np.tri(3).tolist()
    assert got["r"].reshape(-1).tolist() == [0, 1, 2]


# --- how weights begin ----------------------------------------------------------------------------------------


def test_a_weight_that_begins_as_an_expression_of_others() -> None:
    model = rg.parse("""model M { input x: [4]
      param w: [4, 2]  ~ normal
      param v: [4, 2] = 2 * w + 1
      param norms: [2] = sum(square(v), axis = 0)
      frozen param table: [3] = [1, 2, 3.5]
      frozen param corner: [2, 2] = reshape([1, 0, 0, 1], [2, 2])
      output x @ w + x @ v, norms @ corner, table }""")
    w = model.init(3)
    assert np.array_equal(w["v"], 2 * w["w"] + 1)
    assert np.allclose(w["norms"], (w["v"] ** 2).sum(axis=0))
    assert w["table"].tolist() == [1, 2, 3.5] and w["corner"].tolist() == [[1, 0], [0, 1]]
    assert {n.name for n in model.weights if n.frozen} == {"table", "corner"}
    assert model.init(3, "float32")["v"].dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input x: [3] param w: [3] = x output x * w", "depends on `x`"),
        ("input x: [3] param a: [3] = b param b: [3] = a output x * a * b", "there is no `a` here"),
        ("input x: [3] param a: [3] = b param b: [4] = 1 output x * a + b[0]", "`a` has 3 values, but `b` has 4"),
    ],
)
def test_what_a_weight_cannot_begin_as(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        rg.parse(f"model M {{ {text} }}")
    assert message in str(caught.value)


# --- gradients -----------------------------------------------------------------------------------------------


def test_detach_and_straight_through() -> None:
    text = "model M {{ input x: [3] y = {} output y loss sum(y) }}"
    x = np.array([[-2.0, 0.5, 3.0]])
    for e, value, grad in (
        ("detach(x) * x", x * x, x),
        ("clip(x, -1, 1)", np.clip(x, -1, 1), [[0.0, 1.0, 0.0]]),
        ("straight_through(clip(x, -1, 1), x)", np.clip(x, -1, 1), [[1.0, 1.0, 1.0]]),
        ("straight_through(sign(x), 2 * x)", np.sign(x), [[2.0, 2.0, 2.0]]),
    ):
        program = rg.parse(text.format(e)).compile(gradient=True)
        assert np.array_equal(program.run({"x": x}, {})["y"], value)
        assert np.array_equal(program.gradients({"x": x}, {})[1]["x"], grad)


def test_detach_cuts_the_way_back_through_time() -> None:
    """A state that is detached at every step: the gradient of one step alone."""
    cell = "cell Cut { input x: [n] state h: [n] = 0 param w: [n, n] h' = tanh(x + detach(h) @ w) output h' }"
    model = rg.parse(cell + over("Cut()"))
    data, w = synthetic(model, 3, 1, 0), drawn(model)
    program = model.compile(gradient=True)
    results = program.run(data, w)
    _, grads = program.gradients(data, w, {"final.h": np.ones((1, 3))})
    assert not grads["x"][:, :2].any()
    assert np.allclose(grads["x"][:, 2], 1 - results["final.h"] ** 2)


# --- sequences ------------------------------------------------------------------------------------------------


def test_pooling_over_real_steps() -> None:
    model = rg.parse("""model M { input x: seq[2]
      output max(x, axis = time) as most, min(x, axis = time) as least, sum(x, axis = time) as total,
        softmax(x, axis = time) as weights, log_softmax(x, axis = time) as logs }""")
    x = np.random.default_rng(0).normal(size=(3, 4, 2)) - 5
    lengths = np.array([4, 2, 0])
    x[1, 2:] = np.nan
    got = model.compile().run({"x": x, "x.lengths": lengths}, {})
    for row, n in enumerate(lengths):
        real = x[row, :n]
        assert np.array_equal(got["most"][row], real.max(axis=0) if n else np.zeros(2))
        assert np.array_equal(got["least"][row], real.min(axis=0) if n else np.zeros(2))
        weights = np.exp(real) / np.exp(real).sum(axis=0)
        assert np.allclose(got["weights"][row, :n], weights) and not got["weights"][row, n:].any()
        assert np.allclose(got["logs"][row, :n], np.log(weights)) and not got["logs"][row, n:].any()


def test_softmax_over_time_of_large_scores() -> None:
    model = rg.parse("model M { input x: seq[] output softmax(x, axis = time) as y loss last(x) }")
    y = model.compile().run({"x": np.array([[1000.0, 0.0, -1000.0]])}, {})["y"]
    assert y.tolist() == [[1.0, 0.0, 0.0]]


def test_steps_past_the_longest_row_are_not_run() -> None:
    """The dynamic program leaves its loop; what is there stays as the masks of the static one have it."""
    model = rg.parse(over("LSTM(4) >> GRU(3)"))
    data = synthetic(model, 40, 3, 0) | {"x.lengths": np.array([2, 0, 3])}
    w = drawn(model)
    dynamic, static = model.compile(), model.compile("static", 40)
    results = [p.run(data, w) for p in (dynamic, static, model.compile(7))]
    for other in results[1:]:
        assert not [d for d in differences(results[0], other) if not d.equal]
    variant = next(v for s, v in dynamic._variants.items() if s.padded)
    assert [item.until for item in variant.program.code if hasattr(item, "until")] != [None]


def test_shift_with_a_first_value() -> None:
    model = rg.parse("model M { input x: seq int output shift(x, 1, fill = 9) as a, shift(x, -2, fill = 7) as b }")
    got = model.compile().run({"x": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), "x.lengths": np.array([4, 2])}, {})
    assert got["a"].tolist() == [[9, 1, 2, 3], [9, 5, 0, 0]]
    assert got["b"].tolist() == [[3, 4, 7, 7], [7, 7, 0, 0]]


@pytest.mark.parametrize("steps", [1, 4, 5, 7])
@pytest.mark.parametrize("by", [1, 2, 3])
def test_every_second_step(steps: int, by: int) -> None:
    model = rg.parse(
        f"model M {{ input x: seq[2] z = every(x, {by}) y, final = unroll GRU(2) over z output z, y, last(z) as e }}"
    )
    x, lengths = np.random.default_rng(0).normal(size=(3, steps, 2)), np.array([steps, 0, steps // 2])
    for unroll in ("dynamic", "static"):
        program = model.compile(unroll, steps if unroll == "static" else None)
        got = program.run({"x": x, "x.lengths": lengths}, model.init())
        for row, n in enumerate(lengths):
            real = x[row, :n:by]
            assert np.array_equal(got["z"][row, : len(real)], real) and not got["z"][row, len(real) :].any()
            assert not got["y"][row, len(real) :].any()
            assert np.array_equal(got["e"][row], real[-1] if len(real) else np.zeros(2))


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_its_equations(causal: bool) -> None:
    model = rg.parse(f"model M {{ input x: seq[3] y = SelfAttention(4, {str(causal).lower()})(x) output y }}")
    w, x, lengths = drawn(model), np.random.default_rng(1).normal(size=(2, 5, 3)), np.array([5, 3])
    got = model.compile().run({"x": x, "x.lengths": lengths}, w)["y"]
    for row, n in enumerate(lengths):
        q, k, v = np.split(x[row, :n] @ w["self_attention.kernel"], 3, axis=1)
        scores = q @ k.T / 2
        if causal:
            scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        assert np.allclose(got[row, :n], weights / weights.sum(axis=1, keepdims=True) @ v)


STOPS = """
cell Count(limit) {
  state n: int = 0
  n' = n + 1
  output n'
  stop n' >= limit
}
model M { output unroll Count(LIMIT) for 5 as n }
"""


def test_a_row_stops_after_the_step_that_says_so() -> None:
    model = rg.parse("""
cell Sum {
  input x: []
  input limit: []
  state s: [] = 0
  s' = s + x
  output s'
  stop s' > limit
}
model M { input x: seq[] input limit: [] y, final = unroll Sum over x with limit = limit output y, final }
""")
    x, limit = np.ones((4, 6)), np.array([0.5, 2.5, 100.0, 0.0])
    for unroll in ("dynamic", "static", 4):
        program = model.compile(unroll, 6 if unroll == "static" else None, gradient=True)
        got = program.run({"x": x, "limit": limit}, {})
        assert got["final.s"].tolist() == [1.0, 3.0, 6.0, 1.0]
        assert got["y"].tolist() == [[1, 0, 0, 0, 0, 0], [1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0]]
        _, grads = program.gradients({"x": x, "limit": limit}, {}, {"final.s": np.ones(4)})
        assert grads["x"].sum(axis=1).tolist() == [1.0, 3.0, 6.0, 1.0]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("n' < 0 and false", None),
        ("false", "it is false at every step"),
        ("t == 5", "the left side is from 0 to 4, the right side 5"),
        ("t > 4", "the left side is from 0 to 4, the right side 4"),
        ("argmax([n, 1, 2]) == 3", "the left side is from 0 to 2, the right side 3"),
        ("t >= 4", None),
    ],
)
def test_a_stop_that_can_never_be_reached(condition: str, reason: str | None) -> None:
    text = STOPS.replace("n' >= limit", condition).replace("(limit)", "").replace("(LIMIT)", "")
    if reason is None:
        rg.parse(text)
        return
    with pytest.raises(UserError) as caught:
        rg.parse(text)
    (found,) = caught.value.diagnostics
    assert found.code == "E317" and reason in found.message


def test_stop_belongs_to_a_cell() -> None:
    with pytest.raises(UserError, match="`stop` ends the steps of a cell, but `M` is a model"):
        rg.parse("model M { input x: [] output x stop x > 1 }")
    with pytest.raises(UserError, match="a condition is needed"):
        rg.parse(STOPS.replace("n' >= limit", "n' + limit").replace("LIMIT", "3"))


# --- the files -------------------------------------------------------------------------------------------------


def test_every_cell_and_layer_is_walked() -> None:
    used = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    inner = {"QRNNPooling"}
    cells = {d.name for d in library().values() if d.kind == "cell"}
    assert {name for name in cells - inner if f"{name}(" not in used} == set()


def test_the_library_does_not_see_what_a_file_calls_its_own() -> None:
    """A file's own `Dense` with other settings leaves the library's cells as they are."""
    own = "layer Dense(a, b, c) { input x: [n] output x * (a + b + c) }"
    model = rg.parse(own + over("Projected(GRU(3), 2)"))
    assert {w.name for w in model.weights} >= {"net.project.kernel", "net.project.bias"}


# --- how it is shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_model_has_a_picture_and_rows_in_the_summary(name: str) -> None:
    model = parsed(name)
    assert "<svg" in model._repr_svg_()
    rows = summary(model.block, model.weights)
    assert sum(r.values for r in rows) == sum(w.size for w in model.init().values())
