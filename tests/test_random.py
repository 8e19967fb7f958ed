"""Random cells: whatever can be written, the three lowerings give the same bits, and gradients are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import rnngraph as rg
from rnngraph.costs import differences, everything, synthetic

WIDTH = 3
UNARY = ("tanh", "sigmoid", "softplus", "sin", "exp", "abs", "-", "softmax", "relu", "log_sigmoid")


class Writing:
    """A cell being written: its params, and the values that may be read so far."""

    def __init__(self, draw: Any, states: int) -> None:
        self.draw = draw
        self.params: list[str] = []
        self.known = ["x @ wx", *(f"s{i}" for i in range(states)), "bias"]

    def pick(self, items: Any) -> Any:
        return self.draw(st.sampled_from(items))

    def kernel(self, rows: int) -> str:
        name = f"k{len(self.params)}"
        self.params.append(f"param {name}: [{rows}, {WIDTH}] ~ uniform(-0.7, 0.7)")
        return name

    def value(self, depth: int) -> str:
        """An expression of WIDTH values."""
        kind = (
            "leaf"
            if depth == 0
            else self.pick(("leaf", "unary", "binary", "where", "product", "join", "scalar", "time"))
        )
        if kind == "leaf":
            return f"({self.pick(self.known)})"
        a = self.value(depth - 1)
        if kind == "unary":
            return f"{self.pick(UNARY)}(0.5 * {a})"
        if kind == "scalar":
            return f"{a} * {self.pick(('sum', 'mean', 'max', 'norm'))}({self.value(depth - 1)} + 0.3)"
        if kind == "time":
            return f"where(t % 2 == {self.pick((0, 1))}, {a}, {self.value(depth - 1)})"
        b = self.value(depth - 1)
        if kind == "binary":
            return f"({a} {self.pick(('+', '-', '*'))} {b})"
        if kind == "where":
            return f"where({a} {self.pick(('<', '>=', '>'))} {b}, {a}, 0.5 * {b})"
        if kind == "product":
            return f"(0.3 * [{a}, {b}] @ {self.kernel(2 * WIDTH)})"
        start = self.pick(range(WIDTH + 1))
        return f"[{a}, {b}][{start}:{start + WIDTH}]"


@st.composite
def cells(draw: Any) -> str:
    """A model around a random cell with one to three states."""
    states = draw(st.integers(1, 3))
    writing = Writing(draw, states)
    lines = []
    for i in range(states):
        for _ in range(draw(st.integers(0, 1))):
            name = f"v{len(lines)}"
            lines.append(f"{name} = {writing.value(2)}")
            writing.known.append(name)
        lines.append(f"s{i}' = tanh({writing.value(2)} + 0.2 * s{i})")
        writing.known.append(f"s{i}'")
    outputs = [writing.value(1) for _ in range(draw(st.integers(1, 2)))]
    declared = [f"state s{i}: [{WIDTH}] = {draw(st.sampled_from((0, 0.25)))}" for i in range(states)]
    head = [
        "input x: [n]",
        *declared,
        f"param wx: [n, {WIDTH}] ~ normal(0, 0.5)",
        f"param bias: [{WIDTH}] ~ normal(0, 0.3)",
    ]
    body = "\n  ".join([*head, *writing.params, *lines, f"output {', '.join(outputs)}"])
    names = ", ".join(f"y{i}" for i in range(len(outputs)))
    source = draw(st.sampled_from(("x", "x reversed", "shift(x, 1)", "tanh(x)")))
    loss = " + ".join(f"mean(y{i} * y{i})" for i in range(len(outputs)))
    return f"""cell Random() {{
  {body}
}}
model Try {{
  input x: seq[2]
  {names}, final = unroll Random() over {source}
  output {names}, final
  loss {loss}
}}
"""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cells(), st.integers(0, 5), st.integers(1, 3), st.booleans(), st.integers(2, 4))
def test_random_cells_are_the_same_in_every_lowering(
    text: str, steps: int, batch: int, padded: bool, turn: int
) -> None:
    model = rg.parse(text)
    data, weights = synthetic(model, steps, batch, 0, padded), model.init(0)
    found = [
        everything(model.compile(unroll, n, gradient=True), data, weights, None)
        for unroll, n in (("static", steps), ("dynamic", None), (turn, None))
    ]
    for other in found[1:]:
        assert not [d for d in differences(found[0], other) if not d.equal]
    assert all(np.isfinite(v).all() for v in found[0].values())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(cells())
def test_random_cells_have_right_gradients(text: str) -> None:
    model = rg.parse(text)
    data, weights = synthetic(model, 3, 2, 0), model.init(0)
    program = model.compile(gradient=True)
    loss, grads = program.gradients(data, weights)
    rng = np.random.default_rng(0)
    way = {name: rng.normal(size=w.shape) for name, w in weights.items()}
    slope = sum(float(np.sum(grads[name] * way[name])) for name in weights)

    def at(step: float) -> float:
        return program.gradients(data, {n: w + step * way[n] for n, w in weights.items()})[0]

    # A kink (where, relu, max) between the points spoils one difference, not two of different length.
    apart = [abs((at(h) - at(-h)) / (2 * h) - slope) for h in (1e-5, 1e-6, 3e-7)]
    assume(apart[-1] < 5 * apart[0] or max(apart) < 1e-4)  # a jump (`where` at equality) grows as the points close in
    assert min(apart) <= 1e-4 * max(1.0, abs(slope), abs(loss))
