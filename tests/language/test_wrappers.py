"""Wrappers that hold the states of any cell, or let them begin anew."""

from __future__ import annotations

import numpy as np

import rnngraph as rg

RNG = np.random.default_rng(0)
INNER = """
cell Inner {
  input x: [n]
  state count: int = 5
  count' = count + 1
  y = (LSTM(3) >> GRU(2))(x)
  output y * float(count')
}
"""


def test_masked_steps_are_as_if_they_were_not_there() -> None:
    model = rg.parse(
        INNER
        + """
model Waits {
  input x: seq[2]
  input mask: seq bool
  y, s = unroll Masked(Inner) over x, mask
  output y, s
}
"""
    )
    plain = rg.parse(INNER + "model Plain { input x: seq[2]  y, s = unroll Inner over x  output y, s }")
    weights = model.init(1)
    own = {name.replace("masked.inner", "inner"): array for name, array in weights.items()}
    x, mask = RNG.normal(size=(1, 6, 2)), np.array([[False, True, True, False, True, False]])
    found = model.compile().run({"x": x, "mask": mask}, weights)
    left = plain.compile().run({"x": x[:, mask[0]]}, own)
    assert np.allclose(found["y"][:, mask[0]], left["y"], rtol=1e-12)
    assert not found["y"][:, ~mask[0]].any()
    for name in ("count", "0.c", "0.h", "1.h"):
        ours = next(v for k, v in found.items() if k.startswith("s.") and k.endswith(name))
        theirs = next(v for k, v in left.items() if k.startswith("s.") and k.endswith(name))
        assert np.allclose(ours, theirs, rtol=1e-12)


def test_after_a_reset_all_is_as_at_the_beginning() -> None:
    model = rg.parse(
        INNER
        + """
model Documents {
  input x: seq[2]
  input new: seq bool
  output unroll ResetAt(Inner) over x, new as y
}
"""
    )
    plain = rg.parse(INNER + "model Plain { input x: seq[2]  output unroll Inner over x as y }")
    weights = model.init(1)
    own = {name.replace("reset_at.inner", "inner"): array for name, array in weights.items()}
    x, new = RNG.normal(size=(1, 5, 2)), np.array([[False, False, True, False, False]])
    found = model.compile().run({"x": x, "new": new}, weights)["y"]
    first, second = (plain.compile().run({"x": part}, own)["y"] for part in (x[:, :2], x[:, 2:]))
    assert np.allclose(found, np.concatenate([first, second], 1), rtol=1e-12)


def test_products_of_states_that_begin_anew_read_them_through_the_rule() -> None:
    """A rule of `read_through` sees the old value as the cell does: the first one, where `restart` has put that."""
    model = rg.parse("""
cell Learned(units) {
  input x: [n]
  param h0: [units] ~ normal
  state h: [units] = h0
  param u: [units, units] ~ normal
  h' = 0.3 * h + tanh(h @ u + x)
  output h'
}
layer Rule { input old: [n]  output old * old + 1 }
cell Through(inner) { input x: [n]  output read_through(inner, Rule, x) }
model Documents {
  input x: seq[3]
  input new: seq bool
  output unroll ResetAt(Through(Learned(3))) over x, new as outside
  output unroll Through(At(Learned(3))) over [float(new), x] as inside
}
cell At(inner) { input x: [n]  output restart(inner, x[0] > 0, x[1:]) }
""")
    weights = model.init(1)
    x, new = RNG.normal(size=(1, 5, 3)), np.array([[False, False, True, False, False]])
    found = model.compile().run({"x": x, "new": new}, weights)
    for output, instance in (("outside", "reset_at.inner.inner"), ("inside", "through.inner.inner")):
        h0, u = weights[f"{instance}.h0"], weights[f"{instance}.u"]
        h, expected = h0, []
        for step in range(5):
            h = h0 if new[0, step] else h
            h = 0.3 * h + np.tanh((h * h + 1) @ u + x[0, step])
            expected.append(h)
        assert np.allclose(found[output][0], expected, rtol=1e-12)


def test_an_output_is_changed_with_its_own_state() -> None:
    """Two states that become one value are two outputs, and the old value of one is no new value of another."""
    model = rg.parse("""
cell Several {
  input x: [n]
  state a, b, late: [n] = 1
  z = x + 0.5 * a + b
  a' = z
  b' = z
  late' = a
  output a', b', a
}
layer Half { input old, new: [n]  output 0.5 * old + 0.5 * new }
cell Wrapped(inner) {
  input x: [n]
  a, b, before = revise(inner, Half, x)
  output a, b, before
}
model Ways {
  input b0: [2]
  input x: seq[2]
  a, b, before, s = unroll Wrapped(Several) over x from record(inner = record(b = b0))
  output a, b, before, s.inner.late as late
}
""")
    x, b = RNG.normal(size=(1, 4, 2)), np.array([3.0, -2.0])
    found = model.compile().run({"x": x, "b0": b[None]}, {})
    a = late = np.ones(2)
    for step in range(4):
        assert np.allclose(found["before"][0, step], a, rtol=1e-12)
        z = x[0, step] + 0.5 * a + b
        a, b, late = 0.5 * a + 0.5 * z, 0.5 * b + 0.5 * z, 0.5 * late + 0.5 * a
        assert np.allclose(found["a"][0, step], a, rtol=1e-12)
        assert np.allclose(found["b"][0, step], b, rtol=1e-12)
    assert np.allclose(found["late"][0], late, rtol=1e-12)


def test_a_new_value_is_read_as_it_is_also_before_it_is_revised() -> None:
    """What a cell makes of its new value, which a wrapper changes afterwards, holds no old one for later products."""
    model = rg.parse("""
cell Squares {
  input x: [n]
  state h: [n] = 1
  h' = 0.5 * h + x
  output h' * h'
}
cell Sums {
  input x: [n]
  state s: [n] = 0.5
  param k: [n, n] ~ normal
  s' = s + x @ k + s @ k
  output s'
}
layer Half { input old, new: [n]  output 0.5 * old + 0.5 * new }
layer Triple { input old: [n]  output 3 * old }
cell Changed(inner) { input x: [n]  output revise(inner, Half, x) }
cell Through(inner) { input x: [n]  output read_through(inner, Triple, x) }
model Ways {
  input x: seq[2]
  output unroll Through(Changed(Squares) >> Sums) over x as y
}
""")
    weights = model.init(2)
    (k,) = weights.values()
    x = RNG.normal(size=(1, 4, 2))
    h, s = np.ones(2), np.full(2, 0.5)
    found = model.compile().run({"x": x}, weights)["y"][0]
    for step in range(4):
        new = 0.5 * h + x[0, step]
        h, s = 0.5 * h + 0.5 * new, s + (new * new) @ k + (3 * s) @ k
        assert np.allclose(found[step], s, rtol=1e-12)


def test_a_single_step_begins_anew_as_a_loop_does() -> None:
    """From its declared first value, whatever `from` gives, alone and inside of another step."""
    model = rg.parse("""
cell Sum {
  input x: [n]
  state h: [n] = 7
  h' = 0.5 * h + x
  output h'
}
cell Anew(inner) { input x: [n]  output restart(inner, x[0] > 0, x) }
cell Twice(inner) {
  input x: [n]
  y, s = inner(x)
  z = inner(2 * x) from s
  output [y, z]
}
model Steps {
  input x: [1]
  input h0: [1]
  anew = Anew(Sum)
  first = record(inner = record(h = h0))
  y = anew(x) from first
  z = unroll anew over sequence(x, x) from first
  w = unroll Twice(anew) over sequence(x) from record(inner = first)
  output y, steps(z) as z, steps(w) as w
}
""")
    x, h0 = np.array([[1.0], [-1.0]]), np.array([[3.0], [3.0]])
    found = model.compile().run({"x": x, "h0": h0}, {})
    assert np.allclose(found["y"], [[0.5 * 7 + 1], [0.5 * 3 - 1]])
    assert np.allclose(found["z"][:, :, 0], [[4.5, 4.5], [0.5, 0.25 - 1]])
    assert np.allclose(found["w"][:, 0], [[4.5, 0.5 * 7 + 2], [0.5, 0.25 - 2]])
