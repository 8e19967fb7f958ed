"""The table of ops tests itself: every entry runs on its examples, and its gradient agrees with differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rnngraph.diagnostics.errors import CannotDo
from rnngraph.ir.types import Type
from rnngraph.ops import TABLE
from tests.support.running import array_of, differentiated, evaluate, op_graph

CASES = [(name, attrs, types) for name, op in sorted(TABLE.items()) for attrs, types in op.examples]


def ident(case: Any) -> str:
    name, attrs, types = case
    return f"{name}-{'-'.join(str(t).replace(' ', '_') for t in types)}-{attrs}"


def test_every_op_has_an_example() -> None:
    assert {name for name, op in TABLE.items() if not op.examples} == {"stack", "history"}


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_gradient_agrees_with_finite_differences(case: Any) -> None:
    name, attrs, types = case
    rng = np.random.default_rng(7)
    graph, inputs, y = op_graph(name, attrs, types)
    arrays = {f"x{i}": array_of(t, rng) for i, t in enumerate(types)}
    value = evaluate(graph, arrays)["y"]
    assert value.shape == array_of(y.type, rng).shape
    if y.type.dtype != "float" or TABLE[name].vjp is None:
        return
    if name == "ctc_gradient":
        with pytest.raises(CannotDo, match="cannot be differentiated again"):
            differentiated(graph, y, {"x0": inputs[0]})
        return
    cot = rng.normal(size=value.shape)
    floats = {f"x{i}": v for i, v in enumerate(inputs) if v.type.dtype == "float"}
    grads = evaluate(differentiated(graph, y, floats), {**arrays, "cot": cot})
    for key in floats:
        flat, step = arrays[key].reshape(-1), 1e-6
        for place in range(flat.size):
            shifted = []
            for sign in (1, -1):
                moved = {**arrays, key: arrays[key].copy()}
                moved[key].reshape(-1)[place] += sign * step
                shifted.append(float(np.sum(evaluate(graph, moved)["y"] * cot)))
            expected = (shifted[0] - shifted[1]) / (2 * step)
            got = grads[f"grad:{key}"].reshape(-1)[place]
            assert got == pytest.approx(expected, rel=1e-5, abs=1e-7), f"{key}[{place}]"


REFERENCE = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", REFERENCE)
def test_values_far_out_are_right(name: str) -> None:
    """To their last places, also where they are small."""
    x = np.array([[-1e5, -700.0, -40.0], [-1.5, 0.0, 1e-9], [2.5, 37.0, 1e5]])
    graph, _, _ = op_graph(name, {}, (Type(("batch",), (3,)),))
    with np.errstate(over="ignore"):  # as every run is made
        got = evaluate(graph, {"x0": x})["y"]
        expected = REFERENCE[name](x.astype(np.longdouble)).astype(np.float64)
    assert np.allclose(got, expected, rtol=1e-14, atol=0)


def test_softmax_of_large_numbers() -> None:
    graph, _, _ = op_graph("log_softmax", {"dim": -1}, (Type(("batch",), (3,)),))
    got = evaluate(graph, {"x0": np.array([[1000.0, 0, -1000]] * 3)})["y"]
    assert got[0].tolist() == [0.0, -1000.0, -2000.0]


def test_uniform_depends_on_seed_step_and_row_alone() -> None:
    types = (Type((), (), "int"), Type(("time",), (), "int"))
    graph, _, _ = op_graph("uniform", {"shape": (5,), "key": "a"}, types)
    steps = np.arange(4)

    def draw(seed: int, steps: Any, batch: int) -> Any:
        return evaluate(graph, {"x0": np.array(seed), "x1": steps}, {"time": len(steps), "batch": batch})["y"]

    full = draw(1, steps, 3)
    assert np.array_equal(draw(1, steps[2:], 3), full[2:])
    assert np.array_equal(draw(1, steps, 2), full[:, :2])
    assert not np.array_equal(draw(2, steps, 3), full)
    many = draw(3, np.arange(100), 50)
    assert many.min() >= 0 and many.max() < 1
    assert abs(many.mean() - 0.5) < 0.005 and abs(many.var() - 1 / 12) < 0.002
    flat = many.reshape(-1)
    assert len(np.unique(flat)) == flat.size
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("axis", ["a", "label", "time"])
def test_rows_of_a_sequence_with_further_axes(axis: str) -> None:
    """What is done within the lengths of rows, step by step, whatever axes stand around."""
    axes, rng = ("a", "label", "time", "batch"), np.random.default_rng(0)
    type, at = Type(axes, (2,)), axes.index(axis)
    x = array_of(type, rng)
    steps = x.shape[at]
    lengths = np.array([steps, 0, 1])
    last, turned, placed = np.zeros_like(x.take(0, at)), x.copy(), np.zeros_like(x)
    for b, n in enumerate(lengths):
        row = np.moveaxis(x[:, :, :, b], at, 0)
        if n:
            last[:, :, b] = row[n - 1]
            np.moveaxis(placed[:, :, :, b], at, 0)[n - 1] = row[n - 1]
        np.moveaxis(turned[:, :, :, b], at, 0)[:n] = row[:n][::-1]
    few, many = Type(tuple(a for a in axes if a != axis), (2,)), Type(("batch",), (), "int")

    def made(name: str, types: tuple[Type, ...], *arrays: Any) -> Any:
        graph = op_graph(name, {"axis": axis}, types)[0]
        return evaluate(graph, {f"x{i}": array for i, array in enumerate(arrays)})["y"]

    assert np.array_equal(made("last_within", (type, many), x, lengths), last)
    assert np.array_equal(made("reverse_within", (type, many), x, lengths), turned)
    assert np.array_equal(made("place_last_within", (few, many), last, lengths), placed)
    ends = np.moveaxis(x, at, 0)[-1]
    assert np.array_equal(made("last", (type,), x), ends)
    assert np.array_equal(np.moveaxis(made("place_last", (few,), ends), at, 0)[-1], ends)


def test_rows_whose_lengths_differ_from_step_to_step() -> None:
    """As those of an inner loop that stops: a length for each row at each step around."""
    type, few, many = Type(("a", "time", "batch"), (2,)), Type(("a", "batch"), (2,)), Type(("a", "batch"), (), "int")
    x, lengths = array_of(type, np.random.default_rng(0)), np.array([[4, 0, 1], [2, 3, 4]])
    last, turned, placed = np.zeros((2, 3, 2)), x.copy(), np.zeros_like(x)
    for a, b in np.ndindex(2, 3):
        n = lengths[a, b]
        turned[a, :n, b] = x[a, :n, b][::-1]
        if n:
            last[a, b] = placed[a, n - 1, b] = x[a, n - 1, b]
    for name, types, array, expected in (
        ("last_within", (type, many), x, last),
        ("reverse_within", (type, many), x, turned),
        ("place_last_within", (few, many), last, placed),
    ):
        graph = op_graph(name, {"axis": "time"}, types)[0]
        assert np.array_equal(evaluate(graph, {"x0": array, "x1": lengths})["y"], expected), name


def test_minus_infinity_is_taken_once() -> None:
    graph, _, _ = op_graph("top_k", {"k": 3}, (Type(("batch",), (4,)),))
    low = -np.inf
    x = np.array([[low, 1, low, low], [2, low, 3, 0], [low, low, low, low]])
    assert evaluate(graph, {"x0": x})["y"].tolist() == [[1, 0, 2], [2, 0, 3], [0, 1, 2]]
