"""Calls of cells and layers whose states are values: one step, records, layers that unroll, weights that are shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError

RNG = np.random.default_rng(0)


def run(text: str, weights: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    model = rg.parse(text)
    return model.compile().run(data, model.init(1) if weights is None else weights)


def refused(text: str) -> str:
    with pytest.raises(UserError) as told:
        rg.parse(text)
    return str(told.value)


def test_two_calls_are_two_steps() -> None:
    """With one set of weights; what a loop of two steps over the same values gives."""
    x = RNG.normal(size=(3, 2, 4))
    found = run(
        """
model Twice {
  input x0, x1: [4]
  input x: seq[4]
  lstm = LSTM(5, peepholes = true) >> GRU(3)
  _, s0 = lstm(x0)
  y, s1 = lstm(x1) from s0
  ys, final = unroll lstm over x
  output y, s1, last(ys) as end, final
}
""",
        x0=x[:, 0], x1=x[:, 1], x=x,
    )  # fmt: skip
    assert np.allclose(found["y"], found["end"], rtol=1e-12)
    for part in ("0.c", "0.h", "1.h"):
        assert np.allclose(found[f"s1.{part}"], found[f"final.{part}"], rtol=1e-12)


def test_states_that_are_not_told_begin_as_declared() -> None:
    found = run(
        """
cell Two {
  input x: []
  state a: [] = 1
  state b: [] = 10
  a' = a + x
  b' = b + x
  output a' + b'
}
model Some {
  input x: []
  input xs: seq[]
  two = Two()
  y, s = two(x) from record(b = x)
  z = unroll two over xs from record(a = 0)
  output y, s, z
}
""",
        x=np.array([2.0]), xs=np.array([[1.0, 1.0]]),
    )  # fmt: skip
    assert found["y"] == [1 + 2 + 2 + 2]
    assert (found["s.a"], found["s.b"]) == ([3.0], [4.0])
    assert found["z"].tolist() == [[1 + 11, 2 + 12]]


def test_a_layer_hands_out_the_states_of_its_loops_and_takes_them() -> None:
    """A sequence in two pieces, its second half from the states of the first, is the whole sequence forwards."""
    x = RNG.normal(size=(2, 6, 3))
    text = """
model Half(parts = 1) {
  input x: seq[3]
  input more: seq@more[3]
  both = Bidirectional(LSTM(4), GRU(2))
  y, s = both(x)
  z, end = both(more) from record(forward = s.forward)
  output y, z, s, end
}
"""
    halves = run(text, x=x[:, :4], more=x[:, 4:])
    whole = run(text, x=x, more=x[:, :1])
    assert np.allclose(halves["z"][:, :, :4], whole["y"][:, 4:, :4], rtol=1e-12)
    assert np.allclose(halves["end.forward.c"], whole["s.forward.c"], rtol=1e-12)
    assert np.allclose(halves["end.backward.h"], whole["y"][:, 4, 4:], rtol=1e-12)


def test_the_states_of_a_cell_inside_of_a_step() -> None:
    """`y, s = inner(x)` gives the new states; `from` makes a step whose states are not kept."""
    x = RNG.normal(size=(1, 4, 2))
    found = run(
        """
cell Sum {
  input x: [n]
  state all: [n] = 0
  all' = all + x
}
cell Outer(inner) {
  input x: [n]
  s = inner(x)
  fresh = inner(x) from s
  output s.all, fresh.all
}
model Inside {
  input x: seq[2]
  a, b, final = unroll Outer(Sum) over x
  output a, b, final
}
""",
        x=x,
    )
    sums = np.cumsum(x, axis=1)
    assert np.allclose(found["a"], sums)
    assert np.allclose(found["b"], sums + x)
    assert np.allclose(found["final.inner.all"], sums[:, -1])


@pytest.mark.parametrize(
    "used",
    ["unroll net over x", "net(x)", "unroll Twice2(net) over x"],
    ids=["cell", "layer", "wrapper"],
)
def test_an_instance_has_one_set_of_weights_however_often_it_is_used(used: str) -> None:
    """Also those of the instances that its own body makes, with a name and without."""
    kind = "layer" if used == "net(x)" else "cell"
    model = rg.parse(
        f"""
{kind} Net {{
  input x: [n]
  norm = LayerNorm
  inner = Dense(2)
  output Dense(3)(inner(norm(x))) + Dense(3)(x)
}}
cell Twice2(net) {{
  input x: [n]
  output net(x) * 2
}}
model Shared {{
  input x: seq[4]
  net = Net
  a = {used}
  b = {used.replace("over x", "over 2 * x").replace("(x)", "(2 * x)")}
  output a, b
}}
"""
    )
    weights = model.init(3)
    assert sorted(weights) == [
        "net.dense.bias", "net.dense.kernel", "net.dense_2.bias", "net.dense_2.kernel",
        "net.inner.bias", "net.inner.kernel", "net.norm.gain", "net.norm.offset",
    ]  # fmt: skip
    x = RNG.normal(size=(2, 3, 4))
    program = model.compile()
    one, other = program.run({"x": x}, weights), program.run({"x": 2 * x}, weights)
    assert np.array_equal(one["b"], other["a"])


def test_the_rule_of_a_wrapper_holds_in_a_single_step() -> None:
    """What products read of a state that is given as a value goes through the rule as well."""
    found = run(
        """
layer Zero { input x: [n]  output 0 * x }
cell Through(inner) { input x: [n]  output read_through(inner, Zero, x) }
model Ruled {
  input x: [3]
  input h: [2]
  cell_ = RNN(2)
  y = Through(cell_)(x) from h
  z = cell_(x)
  output y, z
}
""",
        x=RNG.normal(size=(2, 3)), h=RNG.normal(size=(2, 2)),
    )  # fmt: skip
    assert np.array_equal(found["y"], found["z"])


CALLS = "model Wrong {{\n  input x: [3]\n  input xs: seq[3]\n  lstm = LSTM(2)\n  {}\n  output y\n}}"


@pytest.mark.parametrize(
    "statement, said",
    [
        ("y = lstm(xs)", "`LSTM` has states and runs step by step"),
        ("y = lstm(x) from record(k = 0)", "has a state `k`, but what is called here has `c`, `h`"),
        ("y = lstm(x) from 0", "one value cannot initialise 2 states: `c`, `h`"),
        ("y = lstm(x) from record(h = x)", "the state `h` has 2 values, but `h` of"),
        ("y = lstm from record(h = 0)", "`from` gives states to a cell that is called, which `lstm` is not"),
        ("y = tanh(x) from record(h = 0)", "`from` gives states to a cell that is called"),
        ("y = LSTM(2) from record(h = 0)", "give it its input: `LSTM(2)(x) from record(h = 0)`"),
        ("y = (lstm >> GRU(2))(x) from record(h = 0)", "which could initialise `0.h` or `1.h`"),
        ("y, a, b = lstm(x)", "3 names on the left, but the right side gives 1 value and the states after it"),
    ],
)
def test_what_is_said_of_calls(statement: str, said: str) -> None:
    assert said in refused(CALLS.format(statement))


def test_what_only_a_loop_has_is_refused_in_a_single_step() -> None:
    assert "`t`, the index of the step" in refused(
        "model T {\n  input x: [4]\n  y = Clockwork(8, 4)(x)\n  output y\n}"
    )
    assert "`stop` ends a loop" in refused(
        "cell C {\n  state h: [] = 0\n  h' = h + 1\n  output h'\n  stop h' == 3\n}\n"
        "model T {\n  input x: []\n  c = C()\n  y = c()\n  output y + x\n}"
    )
