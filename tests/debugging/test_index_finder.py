"""An integer that chooses what is not there: one error everywhere, and none behind a row's end or a guard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import Asked, differences, everything, prove
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.cli.main import exit_code
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import CannotDo, OutsideIndex, UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.request import Wanted
from rnngraph.ir.graph import Graph, ShapeError, Value
from rnngraph.ir.interval_arithmetic import Range, unknown
from rnngraph.ir.types import Type
from rnngraph.language.elaboration.elaborate import elaborate
from rnngraph.model import Model
from rnngraph.ops import TABLE, range_analysis
from rnngraph.passes.bodies import everywhere
from rnngraph.passes.index_checks import INSIDE, OUTSIDE
from rnngraph.passes.pipeline import stages
from rnngraph.planning.lowering import lower
from rnngraph.planning.program import repeats_of, steps_of
from rnngraph.runtime.numpy import NumpyBackend
from tests.runtime.test_cupy import fake  # noqa: F401  # a fixture
from tests.support.running import array_of, evaluate, op_graph

STEPS = 5

LOOKUP = "model M { input i: seq int  param w: [3, 2] ~ glorot_uniform  y = w[i - 1]  output y  loss mean(y * y) }"

CARRIED = """
cell Walk {
  input by: int
  state i: int = 0
  param w: [3, 2] ~ glorot_uniform
  y = w[i]
  i' = i + by
  output y
}
model M {
  input i: seq int
  y, final = unroll Walk() over i
  output y, final
  loss mean(y * y)
}
"""

POINTER = """
cell Point {
  input x: [4]
  input by: int
  state i: int = 0
  param w: [4, 4] ~ glorot_uniform
  y = (x @ w)[i]
  i' = i + by
  output y
}
model M {
  input x: seq[4]
  input i: seq int
  y = unroll Point() over x, i
  output y
  loss mean(y * y)
}
"""

STOPPING = CARRIED.replace("  output y\n}\nmodel", "  output y\n  stop i' >= 2\n}\nmodel")

NESTED = """
cell Inner {
  state k: int = 0
  state sum: [2] = 0
  param w: [3, 2] ~ glorot_uniform
  sum' = sum + w[k]
  k' = k + 1
  output sum'
}
cell Outer {
  input from_there: int
  _, end = unroll Inner for 2 from record(k = from_there, sum = zeros([2]))
  output end.sum
}
model M {
  input i: seq int
  output unroll Outer() over i as y
}
"""


def model(body: str, head: str = "input i: seq int") -> str:
    return f"model M {{ {head} {body} }}"


def ids(*rows: tuple[int, ...]) -> Any:
    return np.array(rows, np.int64)


GOOD = {
    "lookup": (LOOKUP, ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2))),
    "carried": (CARRIED, ids((1, 1, 0, 0, 0), (0, 0, 0, 0, 2))),
    "pointer": (POINTER, ids((1, 1, 1, -3, 0), (0, 0, 3, -1, 0))),
    "stopping": (STOPPING, ids((1, 1, 9, 9, 9), (0, 0, 0, 0, 2))),
    "nested": (NESTED, ids((0, 1, 0, 0, 0), (0, 0, 0, 0, 1))),
    "reversed": (CARRIED.replace("over i", "over i reversed"), ids((9, 1, 0, 1, 0), (9, 0, 0, 0, 2))),
    "entry of a sequence": (
        model("y = x[i - 1] output y loss y", "input x: seq[3] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "row of a matrix": (
        model("output x[i - 1] as y", "input x: seq[3, 2] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "one_hot": (model("output one_hot(i - 1, 3) as y"), ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2))),
    "cross_entropy": (
        model("loss cross_entropy(x, i - 1)", "input x: seq[3] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "sequence_loss": (
        model("loss sequence_loss(x, i - 1)", "input x: seq[3] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "accuracy": (
        model("output x metric accuracy(x, i - 1)", "input x: seq[3] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "embedding": (model("output Embedding(3, 2)(i - 1) as y"), ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2))),
    "bag": (
        model("y = BagMean(3, 2)(i - 1, float(i)) output y loss sum(y)"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "sampler": (
        model("output x  loss SampledSoftmax(4, 2)(x, i - 1)", "input x: seq[3] input i: seq int"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
    "looked up before": (
        model("y = w[int(v[where(i > 2, i, 0)])] output y loss y", "input i: seq int param w: [3] param v: [4] = 0"),
        ids((1, 2, 3, 1, 1), (3, 3, 1, 2, 2)),
    ),
}
"""Texts with an int input `i`, and contents of it that stay inside."""

BAD = {
    "lookup": ((1, 2, 0), "an index is -1 at step 2, row 1, expected 0 to 2", "i - 1"),
    "carried": ((1, 1, 3), "an index is 3 at step 2, row 1, expected 0 to 2", "i"),
    "pointer": ((1, 0, -1), "an index is -1 at step 1, row 1, expected 0 to 3", "i"),
    "stopping": ((1, 1, -1), "an index is -1 at step 2, row 1, expected 0 to 2", "i"),
    "nested": ((1, 3, 2), "an index is 3 at step 3, step 1 of 2, row 1, expected 0 to 2", "k"),
    "reversed": ((1, 3, 5), "an index is 7 at step 2, row 1, expected 0 to 2", "i"),
    "entry of a sequence": ((0, 4, 4), "an index is 3 at step 4, row 0, expected 0 to 2", "i - 1"),
    "row of a matrix": ((1, 0, -2), "an index is -3 at step 0, row 1, expected 0 to 2", "i - 1"),
    "one_hot": ((1, 0, 0), "an index is -1 at step 0, row 1, expected 0 to 2", "i - 1"),
    "cross_entropy": ((1, 0, 0), "an index is -1 at step 0, row 1, expected 0 to 2", "i - 1"),
    "sequence_loss": ((1, 0, 4), "an index is 3 at step 0, row 1, expected 0 to 2", "i - 1"),
    "accuracy": ((1, 0, 4), "an index is 3 at step 0, row 1, expected 0 to 2", "i - 1"),
    "embedding": ((1, 0, 0), "an index is -1 at step 0, row 1, expected 0 to 2", "Embedding(3, 2)(i - 1)"),
    "bag": ((1, 0, 0), "an index is -1 at step 0, row 1, expected 0 to 2", "BagMean(3, 2)(i - 1, float(i))"),
    "sampler": ((1, 0, 5), "an index is 4 at step 0, row 1, expected 0 to 3", "SampledSoftmax(4, 2)(x, i - 1)"),
    "looked up before": ((0, 3, 6), "an index is 6 at step 3, row 0, expected 0 to 3", "where(i > 2, i, 0)"),
}
"""Row, step and what stands there instead; what is said of it, and the expression that it is said of."""


def data_of(m: Model, i: Any, steps: int = STEPS) -> dict[str, Any]:
    made = synthetic(m, steps, len(i), 1)
    return {**made, "i": i}


def wrong(name: str) -> tuple[Model, dict[str, Any], str, str]:
    text, good = GOOD[name]
    (row, step, value), said, at = BAD[name]
    i = good.copy()
    i[row, step] = value
    m = rg.parse(text)
    return m, data_of(m, i), said, at


def told(error: pytest.ExceptionInfo[UserError]) -> tuple[str, str]:
    (found,) = error.value.diagnostics
    assert found.span is not None and found.help and found.code == "E540"
    return found.message, found.span.text


WAYS: list[dict[str, Any]] = [
    {"unroll": "static", "kernels": "numpy"},
    {"unroll": "dynamic", "kernels": "numpy"},
    {"unroll": "dynamic", "kernels": "native"},
    {"unroll": 2, "kernels": "native"},
]


def programs(m: Model, **more: Any) -> list[CompiledProgram]:
    return [m.compile(**way, steps=STEPS if way["unroll"] == "static" else None, **more) for way in WAYS]


@pytest.mark.parametrize("name", GOOD)
def test_the_error_names_line_step_row_and_value_in_every_mode_and_kernel(name: str) -> None:
    m, data, said, at = wrong(name)
    weights = m.init(0)
    for program in programs(m):
        with pytest.raises(OutsideIndex) as error:
            program.run(data, weights)
        assert told(error) == (said, at)
        assert error.value.exit_code == 2


@pytest.mark.parametrize("name", [n for n, (text, _) in GOOD.items() if "loss" in text])
def test_a_gradient_gives_the_same_error(name: str) -> None:
    m, data, said, _ = wrong(name)
    weights = m.init(0)
    for program in programs(m, gradient="weights", training=name == "sampler"):
        with pytest.raises(OutsideIndex) as error:
            program.gradients(data, weights)
        assert told(error)[0].replace(", value 0", "") == said


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", ["lookup", "carried", "pointer", "nested"])
def test_an_error_on_a_device_is_the_same(name: str) -> None:
    m, data, said, at = wrong(name)
    with pytest.raises(OutsideIndex) as error:
        m.compile(backend="cupy").run(data, m.init(0))
    assert told(error) == (said, at)
    m.compile(backend="cupy").run(data_of(m, GOOD[name][1]), m.init(0))


SCHEDULES: list[dict[str, Any]] = [
    {"keep": "every:2"}, {"keep": "revolve:2"}, {"truncate": 2}, {"memory_limit": "20kB"}
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["carried", "pointer"])
def test_steps_that_are_computed_again_give_the_same_error(name: str, schedule: dict[str, Any]) -> None:
    m, data, said, at = wrong(name)
    program = m.compile(gradient="weights", **schedule)
    with pytest.raises(OutsideIndex) as error:
        program.gradients(data, m.init(0))
    assert told(error) == (said, at)


@pytest.mark.parametrize("name", GOOD)
def test_what_stays_inside_is_the_same_in_every_mode(name: str) -> None:
    text, i = GOOD[name]
    m = rg.parse(text)
    data, weights = data_of(m, i), m.init(0)
    first, *others = (program.run(data, weights) for program in programs(m))
    for other in others:
        assert all(d.max_abs < 1e-12 for d in differences(first, other))


# --- rows that have ended --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in GOOD if n != "reversed"])
def test_what_stands_behind_the_end_of_a_row_chooses_nothing(name: str) -> None:
    m, data, said, _ = wrong(name)
    (row, step, _), *_ = BAD[name]
    short = np.full(2, STEPS)
    short[row] = step
    if name in ("carried", "pointer", "stopping"):
        short[row] = step + 1  # the step that makes it, but not the one that chooses by it
    if name == "nested":
        short[row] = step
    weights = m.init(0)
    lengths = {f"{i.name}.lengths": short for i in m.inputs}
    found = [program.run({**data, **lengths}, weights) for program in programs(m)]
    data["i"][row, short[row] :] = 0
    assert all(d.max_abs < 1e-12 for other in found for d in differences(found[0], other))
    if short[row] < STEPS and name != "carried":
        with pytest.raises(OutsideIndex, match=said.partition(" at ")[0]):
            m.compile().run({**wrong(name)[1]}, weights)


def test_a_row_that_has_stopped_chooses_nothing_in_any_mode() -> None:
    text, i = GOOD["stopping"]
    m = rg.parse(text)
    weights = m.init(0)
    w = weights["walk.w"]
    for program in programs(m):
        y = program.run({"i": i}, weights)["y"]
        assert np.array_equal(y[0], [w[0], w[1], *np.zeros((3, 2))])  # 9 and more comes behind the stop
        assert np.array_equal(y[1], [w[0]] * 5)


def test_a_loop_beside_one_that_stops_looks_at_its_own_rows() -> None:
    text = STOPPING + CARRIED.replace("cell Walk", "cell Other").replace("unroll Walk", "unroll Other").replace(
        "model M", "model Both"
    )
    m = rg.parse(text, "Both")
    with pytest.raises(OutsideIndex, match="an index is 3 at step 3, row 0"):
        m.compile().run({"i": ids((1, 1, 1, 1, 1))}, m.init(0))


BY_THE_STEP = """
cell Each {
  input x: [3]
  param w: [3, 2] ~ glorot_uniform
  output x[t], one_hot(t, 3), x[mod(t, 3)], w[t]
}
model M {
  input x: seq[3]
  a, b, c, d = unroll Each() over x
  output a, b, c, d
}
"""


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_an_index_that_all_rows_share_counts_as_long_as_one_row_goes_on(unroll: str) -> None:
    m = rg.parse(BY_THE_STEP)
    weights, x = m.init(0), np.random.default_rng(0).normal(size=(2, 4, 3))
    steps = 4 if unroll == "static" else None
    program, function = m.compile(unroll, steps), numpy_function(m, weights, Wanted(unroll, steps, True, False))
    for lengths in ([3, 1], [1, 3]):
        want = program.run({"x": x, "x.lengths": lengths}, weights)
        row = int(np.argmax(lengths))
        assert np.array_equal(want["a"][row, :3], np.diagonal(x[row, :3]))
        found = function(x, np.array(lengths))
        assert all(np.allclose(found[n], want[n], atol=1e-6) for n in want)
    for lengths in ([4, 1], [4, 4]):
        with pytest.raises(OutsideIndex, match="an index is 3 at step 3"):
            program.run({"x": x, "x.lengths": lengths}, weights)
        with pytest.raises(IndexError, match="`t`: an index is 3, expected 0 to 2"):
            function(x, np.array(lengths))
    with pytest.raises(OutsideIndex, match="an index is 3 at step 3, expected 0 to 2"):
        program.run({"x": x}, weights)


# --- guards ------------------------------------------------------------------------------------------------------


def run(text: str, **data: Any) -> dict[str, Any]:
    m = rg.parse(text)
    weights = m.init(0)
    found = [program.run(data, weights) for program in programs(m)]
    assert all(d.max_abs < 1e-12 for other in found for d in differences(found[0], other))
    return {**found[0], **weights}


def test_a_label_that_says_nothing_can_be_guarded() -> None:
    """As `ignore_index` does elsewhere."""
    text = model(
        "output x loss where(i != -1, cross_entropy(x, where(i != -1, i, 0)), 0)", "input x: seq[3] input i: seq int"
    )
    x, i = np.random.default_rng(0).normal(size=(2, STEPS, 3)), ids((0, -1, 2, 1, -1), (2, 2, -1, 0, 1))
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    want = -np.where(i >= 0, np.take_along_axis(logs, i[..., None] % 3, -1)[..., 0], 0).mean()
    assert np.allclose(run(text, x=x, i=i)["loss"], want)


@pytest.mark.parametrize(
    ("chosen", "want"),
    [
        ("w[where(i > 0, i - 1, 0)]", lambda w, i: w[np.maximum(i - 1, 0)]),
        ("w[min(max(i, 0), 2)]", lambda w, i: w[i.clip(0, 2)]),
        ("w[i % 3]", lambda w, i: w[i % 3]),
        ("w[mod(i * 7 - 100, 3)]", lambda w, i: w[(i * 7 - 100) % 3]),
        ("w[int(i > 4)]", lambda w, i: w[(i > 4).astype(int)]),
        ("w[where(t % 2 == 0, 1, 2)]", None),
    ],
)
def test_a_computed_index_that_is_guarded_is_taken_as_it_is(chosen: str, want: Any) -> None:
    if want is None:
        text = f"cell C {{ input i: int param w: [3, 2] ~ glorot_uniform output {chosen} }}"
        found = run(text + model("output unroll C() over i as y"), i=ids((0, 0, 0, 0, 0)))
        assert np.array_equal(found["y"][0], found["c.w"][[1, 2, 1, 2, 1]])
        return
    i = ids((0, 1, 2, 3, 7), (5, -4, 0, 1, 1))
    if "i - 1" in chosen:
        i = i.clip(0, 3)
    found = run(model(f"output {chosen} as y", "input i: seq int param w: [3, 2] ~ glorot_uniform"), i=i)
    assert np.array_equal(found["y"], want(found["w"], i))


@pytest.mark.parametrize(
    ("body", "inside", "outside"),
    [
        ("w[i[0]]", (1, 9), (9, 1)),
        ("w[last(i)]", (9, 1), (1, 9)),
        ("w[every(i, 2)]", (1, 9, 2), (1, 2, 9)),
        ("w[shift(i, 1)]", (1, 9), (9, 1)),
    ],
)
def test_only_what_chooses_is_looked_at(body: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    """The rest of such an input may hold anything."""
    head = "param w: [3, 2] ~ glorot_uniform input i: " + ("[2] int" if "[0]" in body else "seq int")
    m = rg.parse(model(f"output {body} as y", head))
    m.compile().run({"i": ids(inside)}, m.init(0))
    with pytest.raises(OutsideIndex, match="an index is 9"):
        m.compile().run({"i": ids(outside)}, m.init(0))


def test_the_gradient_of_a_lookup_goes_to_its_own_row() -> None:
    m = rg.parse(LOOKUP.replace("w[i - 1]", "w[where(i > 0, i - 1, 0)]"))
    weights, i = m.init(0), ids((0, 1, 3), (3, 0, 2))
    want = np.zeros((3, 2))
    np.add.at(want, np.maximum(i - 1, 0), 2 * weights["w"][np.maximum(i - 1, 0)] / i.size / 2)
    for kernels in ("numpy", "native"):
        _, grads = m.compile(gradient=True, kernels=kernels).gradients({"i": i}, weights)
        assert np.allclose(grads["w"], want)


def test_a_default_and_a_written_class_are_looked_at_too() -> None:
    m = rg.parse(model("output w[k] * float(i) as y", "input i: seq int input k: int = 9 param w: [3]"))
    with pytest.raises(UserError, match="`k` holds 9"):
        m.compile().run({"i": ids((1, 2))}, m.init(0))
    with pytest.raises(UserError, match="there is no element 5"):
        rg.parse(model("output one_hot(5, 3) * float(i) as y"))
    with pytest.raises(UserError, match="there is no element -1"):
        rg.parse(model("loss cross_entropy(x, -1)", "input x: [3]"))


def test_a_first_value_of_a_weight_is_looked_at() -> None:
    head = "input x: seq param n: [2] = [1, 5] param u: [3] = 1 param v: [2] = u[int(n)]"
    m = rg.parse(model("output x * sum(v) as y", head))
    with pytest.raises(UserError, match="an index is 5, expected 0 to 2"):
        m.init(0)


# --- what is known before a run ----------------------------------------------------------------------------------


def looks(text: str) -> bool:
    """Whether a run has to look."""
    return OUTSIDE in rg.parse(text).compile().graph.outputs


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        (model("output Embedding(3, 2)(i) as y"), False),
        (model("y = Embedding(3, 3)(reversed(i)) output y loss cross_entropy(y, i)"), False),
        (model("y = unroll LSTM(3) over Embedding(3, 3)(shift(i, 1, fill = 2)) loss cross_entropy(y, i)"), False),
        (LOOKUP, True),
        (CARRIED, True),
        (CARRIED.replace("i + by", "min(max(i + by, 0), 2)"), False),
        (CARRIED.replace("i + by", "mod(i + by, 3)"), False),
        (CARRIED.replace("i + by", "argmax(y)"), False),
        (CARRIED.replace("= 0\n", "= 3\n").replace("i + by", "argmax(y)"), True),
        (NESTED.replace("from_there", "mod(there, 2)").replace("input mod(there, 2)", "input there"), True),
        (NESTED.replace("k + 1", "mod(k + 1, 3)"), True),
    ],
)
def test_what_is_known_to_lie_inside_is_not_looked_at(text: str, needed: bool) -> None:
    assert looks(text) == needed


RANGED = [
    name
    for name, op in TABLE.items()
    if op.range is not unknown and name not in ("size", "iota", "const", "inside") and op.kind != "gather"
]


@pytest.mark.parametrize("kind", ["int", "float"])
@pytest.mark.parametrize("name", RANGED)
def test_ranges_hold(name: str, kind: Any) -> None:
    """Of what an op gives for random numbers between two others, by its kernel; and what is said to be finite is."""
    rng = np.random.default_rng(0)
    for (attrs, types), _ in product(TABLE[name].examples, range(20)):
        free = [t.dtype == "float" for t in types]
        kinds = tuple(Type(t.axes, t.shape, kind) if f else t for t, f in zip(types, free, strict=True))
        try:
            graph, inputs, y = op_graph(name, {**attrs, "dtype": kind} if name == "cast" else attrs, kinds)
        except ShapeError:
            pytest.skip("not for integers")
        arrays = {k: array_of(v.type, rng) for k, v in graph.inputs.items()}
        known = dict[Value, Range]()
        for i, v in enumerate(inputs):
            if free[i]:
                low = int(rng.integers(-9, 9))
                between = low, low + int(rng.integers(1, 9))
                draw = rng.integers if kind == "int" else rng.uniform
                arrays[f"x{i}"] = draw(*between, arrays[f"x{i}"].shape)
                if name == "mod" and i and kind == "int":
                    arrays[f"x{i}"] = np.abs(arrays[f"x{i}"]) + 1
            array = arrays[f"x{i}"]
            known[v] = Range(array.min(), array.max()) if array.dtype != bool else Range(0, 1)
        range_analysis.note([y.node], known)
        with np.errstate(all="ignore"):
            got = evaluate(graph, arrays)["y"]
        if known[y].finite:
            assert np.isfinite(got).all()
            assert known[y].low <= got.min() + 1e-12 and got.max() - 1e-12 <= known[y].high


def test_arithmetic_that_leaves_64_bits_can_be_anything() -> None:
    head = "input i: seq int param w: [3, 2] ~ glorot_uniform"
    assert looks(model("output w[min(max(max(i, 0) * 4611686018427387904 * 2, 0), 2)] as y", head)) is False
    m = rg.parse(model("output w[min(max(i, 0) * 4611686018427387904, 2)] as y", head))
    with pytest.raises(OutsideIndex, match="an index is -9223372036854775808"):
        m.compile().run({"i": ids((2,))}, m.init(0))


FED_BACK = POINTER.replace("i' = i + by", "state h: [4] = 0  h' = tanh(h + y + w[i])  i' = i + by")


@pytest.mark.parametrize("text", [CARRIED, POINTER, FED_BACK, STOPPING])
@pytest.mark.parametrize("padded", [False, True])
def test_looking_costs_a_step_nothing(text: str, padded: bool) -> None:
    """A loop does no more in a step than where nobody looks."""
    graph = elaborate(rg.parse(text).file, padded=padded).graph
    blind = everywhere(graph, lambda node, inputs: inputs[:1] if node.op is INSIDE else None)

    def work(graph: Graph) -> Counter[str]:
        *_, (_, last) = stages(graph, None, {}, "dynamic", {})
        return Counter(step.node.op.name for loop in repeats_of(lower(last).code) for step in steps_of(loop.body))

    assert work(graph) <= work(blind)


# --- the verbs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAINED = CARRIED.replace("loss mean(y * y)", "loss mean(y * y) train { optimizer sgd(rate = 0.1) epochs 3 batch 4 }")


def rows(wrong_row: int | None = None) -> Any:
    i = np.tile(ids((0, 1, 0, 0, 0)), (20, 1))
    if wrong_row is not None:
        i[wrong_row, 2] = 7
    return i


def test_training_keeps_what_it_has_and_can_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.rnn").write_text(TRAINED)
    np.savez("good.npz", i=rows())
    arguments = ("train", "m.rnn", "--out", "w.safetensors")
    for row in (2, 11, 19):
        np.savez("bad.npz", i=rows(int(row)))
        assert exit_code([*arguments, "--data", "bad.npz"]) == 2
        said = capsys.readouterr().err
        assert "an index is 8 at step 3" in said and f"row {row} of the data, in epoch 1" in said
        assert "y = w[i]" in said and "`w.safetensors.checkpoint` holds the weights so far" in said
        assert exit_code([*arguments, "--data", "good.npz", "--resume", "w.safetensors.checkpoint"]) == 2
        assert "was made with other data: `i` is not the same" in capsys.readouterr().err
        begun = ("--weights", "w.safetensors.checkpoint", "--checkpoint", "other.checkpoint")
        assert exit_code([*arguments, "--data", "good.npz", *begun]) == 0
        capsys.readouterr()


def test_held_back_rows_are_told_by_their_own_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.rnn").write_text(TRAINED.replace("epochs 3", "epochs 3 validation 0.2"))
    rest = ["--out", "w.safetensors"]
    told = []
    for row in range(0, 20, 5):
        np.savez("bad.npz", i=rows(row))
        assert exit_code(["train", "m.rnn", "--data", "bad.npz", *rest]) == 2
        said = capsys.readouterr().err
        assert f"(row {row} of the data, " in said
        told.append("after epoch 1" in said)
    assert True in told and False in told
    np.savez("good.npz", i=rows())
    assert exit_code(["train", "m.rnn", "--data", "good.npz", "--validation-data", "bad.npz", *rest]) == 2
    assert "row 15 of the validation data, after epoch 1" in capsys.readouterr().err


def test_a_stream_names_its_line(folder: Path) -> None:
    from rnngraph.generation.streaming import stream

    m = rg.parse(CARRIED)
    told = stream(m, m.init(0), iter(["1", "1", "1", "1", "1"]), "float64", {})
    with pytest.raises(OutsideIndex, match=r"an index is 3 at step .*line 4"):
        list(told)


def test_made_up_data_may_choose_outside() -> None:
    """What is compared and timed has no data of the user's that could be wrong."""
    found = prove(rg.parse(LOOKUP), NumpyBackend(), Asked(steps=(3,), batch=2))
    assert found and all(difference.equal for difference in found)


# --- exports -----------------------------------------------------------------------------------------------------


def numpy_function(m: Model, weights: Mapping[str, Any], wanted: Wanted) -> Any:
    scope: dict[str, Any] = {"__file__": "nowhere.py"}
    exec(to_numpy(m, weights, wanted).text, scope)
    return scope["run"]


WANTED = {
    "dynamic": Wanted(states=False, dtype="float64"),
    "static": Wanted("static", STEPS, states=False, dtype="float64"),
    "padded": Wanted(lengths=True, states=False, dtype="float64"),
    "static padded": Wanted("static", STEPS, lengths=True, states=False, dtype="float64"),
}
EXPORTED = ["lookup", "carried", "pointer", "stopping", "nested", "reversed", "row of a matrix", "one_hot", "embedding"]


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_function_raises_with_line_and_value(name: str) -> None:
    m, data, said, _ = wrong(name)
    weights = m.init(0)
    value = said.partition(" at ")[0]
    for wanted in WANTED.values():
        function = numpy_function(m, weights, wanted)
        with pytest.raises(IndexError, match=f"<text>:[0-9]+: `.*{value}"):
            function(**data)
        good = data_of(m, GOOD[name][1])
        found, want = function(**good), m.compile().run(good, weights)
        assert all(np.allclose(found[n], want[n]) for n in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_onnxruntime_refuses(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import to_onnx

    m, data, *_ = wrong(name)
    weights, good = m.init(0), data_of(m, GOOD[name][1])
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    for wanted in WANTED.values():
        session = ort.InferenceSession(to_onnx(m, weights, wanted), quiet)
        names = {i.name for i in session.get_inputs()}
        lengths = {f"{i.name}.lengths": np.full(2, STEPS) for i in m.inputs}
        given, wrong_data = ({n: a for n, a in {**d, **lengths}.items() if n in names} for d in (good, data))
        with pytest.raises(Exception, match="out of data bounds"):
            session.run(None, wrong_data)
        want = m.compile().run(good, weights)
        for output, found in zip(session.get_outputs(), session.run(None, given), strict=True):
            assert np.allclose(found, want[output.name])


def test_everything_agrees_in_all_modes_where_rows_end_at_different_steps() -> None:
    """Random lengths and random integers, of which those behind the end lie far outside."""
    rng = np.random.default_rng(5)
    round_and_round = "mod(i + by, 4) - mod(i + by, 4) // 3"
    for text in (CARRIED.replace("i + by", round_and_round), LOOKUP, POINTER.replace("i + by", "by")):
        m = rg.parse(text)
        for _ in range(2):
            lengths = rng.integers(0, STEPS + 1, 4)
            i = rng.integers(1, 4, (4, STEPS))
            i[np.arange(STEPS) >= lengths[:, None]] = 99
            data = {**data_of(m, i), **{f"{one.name}.lengths": lengths for one in m.inputs}}
            weights = m.init(0)
            first, *others = (everything(p, data, weights, None) for p in programs(m, gradient="weights"))
            for other in others:
                assert all(d.max_abs < 1e-12 for d in differences(first, other))


def test_an_index_that_cannot_be_looked_for_is_told_by_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: Any) -> Any:
        raise CannotDo("no room")

    monkeypatch.setattr("rnngraph.debugging.index_finder.rerun", no_room)
    m, data, *_ = wrong("carried")
    with pytest.raises(OutsideIndex) as error:
        m.compile().run(data, m.init(0))
    assert told(error) == ("an index is out of range", "i")
