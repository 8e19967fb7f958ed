"""Results over several axes: the batch, the axis of the outer loop, that of the inner one, whatever they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.onnx.export import to_onnx
from rnngraph.exchange.export.request import Wanted
from rnngraph.files.safetensors import Arrays
from rnngraph.language.checking.check import check
from rnngraph.language.syntax.parser import parse
from rnngraph.model import Model
from tests.support.constructs import MODELS
from tests.support.models import parsed

OUTER, INNER, ROWS = 4, 5, 2
NAMES = (("target", "source"), ("a", "z"))

ATTENTION = """
cell Attend(units) {
  input x: [n]
  input memory: seq@INNER[m]
  state h: [units] = 0
  param w: [n, m]
  a = softmax(memory @ (x @ w), axis = INNER)
  h' = sum(a * memory, axis = INNER)
  output h', a
}

layer Both {
  input a: seq@p[n]
  input b: seq@q[m]
  output outer(a, b)
}

model Looks {
  input x: seq@OUTER[2]
  input m: seq@INNER[3]
  y, a = unroll Attend(3) over x with memory = m
  z, b = unroll Attend(2) over m with memory = x
  output a, tanh(a) as bent, Both(x, m) as xm, Both(m, x) as mx, b, y, z
}
"""
NESTED = """
cell Inner {
  state s: []
  s' = tanh(s + 1)
  output s'
}

cell Outer {
  input x: []
  state h: [] = 0
  steps, end = unroll Inner for 3 from record(s = h + x)
  h' = end.s
  output steps
}

model Nested {
  input x: seq@OUTER
  output unroll Outer() over x as y
}
"""


def named(text: str, outer: str, inner: str) -> Model:
    return rg.parse(text.replace("OUTER", outer).replace("INNER", inner))


def data_of(model: Model) -> Arrays:
    rng = np.random.default_rng(3)
    steps = {"x": OUTER, "m": INNER}
    return {i.name: rng.normal(size=(ROWS, steps[i.name], *i.type.shape)) for i in model.inputs}


def attention(x: Any, memory: Any, w: Any) -> Any:
    """The weights of each step of x on the steps of the memory."""
    scores = np.einsum("bon,nm,bim->boi", x, w, memory)
    weights = np.exp(scores)
    return weights / weights.sum(-1, keepdims=True)


def expected(data: Arrays, weights: Arrays) -> Arrays:
    x, m = data["x"], data["m"]
    a = attention(x, m, weights["attend.w"])
    b = attention(m, x, weights["attend_2.w"])
    xm = np.einsum("bon,bim->boinm", x, m)
    return {
        "a": a,
        "bent": np.tanh(a),
        "xm": xm,
        "mx": xm.transpose(0, 2, 1, 4, 3),
        "b": b,
        "y": np.einsum("boi,bim->bom", a, m),
        "z": np.einsum("bio,bom->bim", b, x),
    }


def same(got: Arrays, want: Arrays) -> None:
    assert got.keys() == want.keys()
    for name, array in want.items():
        assert np.shape(got[name]) == array.shape, name
        assert np.allclose(got[name], array, rtol=1e-12, atol=1e-14), name


@pytest.mark.parametrize(("outer", "inner"), NAMES)
@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("unroll", ["dynamic", "static"])
def test_the_outer_axis_comes_first_whatever_it_is_called(outer: str, inner: str, kernels: str, unroll: str) -> None:
    model = named(ATTENTION, outer, inner)
    data, weights = data_of(model), model.init(1)
    steps = {outer: OUTER, inner: INNER} if unroll == "static" else None
    program = model.compile(unroll, steps, kernels=kernels)
    for _ in range(2):  # the second call goes by what was kept of the first
        same(program.run(data, weights), expected(data, weights))


def test_cotangents_have_the_axes_of_their_outputs() -> None:
    cotangent = np.random.default_rng(5).normal(size=(ROWS, OUTER, INNER))
    for outer, inner in NAMES:
        model = named(ATTENTION, outer, inner)
        data, weights = data_of(model), model.init(1)
        program = model.compile(gradient=True)
        for _ in range(2):
            loss, grads = program.gradients(data, weights, {"a": cotangent})
            assert np.isclose(loss, np.sum(expected(data, weights)["a"] * cotangent))
            w = weights["attend.w"]
            for place in np.ndindex(w.shape):
                step = np.zeros(w.shape)
                step[place] = 1e-6
                up, down = (np.sum(attention(data["x"], data["m"], v) * cotangent) for v in (w + step, w - step))
                assert np.isclose(grads["attend.w"][place], (up - down) / 2e-6, rtol=1e-6)


def test_steps_inside_of_a_step_stand_behind_it() -> None:
    model = named(NESTED, *NAMES[0])
    x = data_of(model)["x"]
    h, rows = np.zeros(ROWS), []
    for t in range(OUTER):
        inside = []
        h = h + x[:, t]
        for _ in range(3):
            h = np.tanh(h + 1)
            inside.append(h)
        rows.append(np.stack(inside, -1))
    for name in ("time", "a", "target"):
        same(named(NESTED, name, "").compile().run({"x": x}, {}), {"y": np.stack(rows, 1)})


@pytest.mark.parametrize(("outer", "inner"), NAMES)
def test_exports_have_the_axes_of_run(outer: str, inner: str) -> None:
    import onnxruntime

    model = named(ATTENTION, outer, inner)
    data, weights = data_of(model), model.init(1)
    wanted = Wanted(states=False, dtype="float64")
    scope: dict[str, Any] = {}
    exec(to_numpy(model, weights, wanted).text, scope)
    same(scope["run"](**data), expected(data, weights))
    session = onnxruntime.InferenceSession(to_onnx(model, weights, wanted), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    same(dict(zip(names, session.run(names, data), strict=True)), expected(data, weights))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("layer L { input w: seq[]  output mean(w, axis = time) }", "`w` of `L` is a sequence over one axis"),
        ("layer L { input w: []  output w * t }", "`t` is the index of one step, but `w` runs over a and b"),
    ],
)
def test_no_axis_is_chosen_by_its_name_alone(layer: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        rg.parse(f"{layer} model M {{ input p: seq@a  input q: seq@b  output L(p * q) }}")


def test_a_state_that_is_a_sequence() -> None:
    """A network over the grid of two sequences, each row of its own lengths, against loops in NumPy."""
    model = parsed("grid")
    rng = np.random.default_rng(0)
    x, m = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 5, 4))
    across, down = np.array([4, 2, 0]), np.array([5, 0, 3])
    weights = model.init(1)
    found = model.compile().run({"x": x, "m": m, "x.lengths": across, "m.lengths": down}, weights)["y"]
    (w,) = weights.values()
    for row in range(3):
        above, want = np.full((5, 3), 0.3), np.zeros((4, 3))
        for i in range(across[row]):
            left = np.zeros(3)
            for j in range(down[row]):
                left = np.tanh(np.concatenate([x[row, i], m[row, j], above[j], left]) @ w)
                above[j] = left
            want[i] = left
        assert np.allclose(found[row], want, rtol=1e-12)


def test_a_state_is_a_sequence_over_the_axis_of_an_input() -> None:
    with pytest.raises(UserError, match="runs over source, but no input of `C` does"):
        rg.parse(
            "cell C { input x: [n]  state s: seq@source[n] = 0  s' = s + x  output last(s') }\n"
            "model M { input x: seq[2]  output unroll C over x as y }"
        )


def test_the_steps_of_a_fixed_number_are_a_time_too() -> None:
    """A loop `for 3` runs along an axis without a name: there `axis = time` is that one."""
    text = """
    cell Double { state s: [2] = 1  s' = 2 * s  output s' }
    model M {
      input k: seq@source[2]
      y = unroll Double for 3
      output mean(y, axis = time), max(y + k, axis = time) as m, sum(y + k, axis = source) as s
    }
    """
    found = rg.parse(text).compile().run({"k": np.ones((1, 4, 2))}, {})
    np.testing.assert_allclose(found["mean"][0], [14 / 3, 14 / 3])
    np.testing.assert_allclose(found["m"], np.full((1, 4, 2), 9))
    np.testing.assert_allclose(found["s"][0, :, 0], [12, 20, 36])


SCAN = """
cell Point(units) {
  input x: [n]
  input above: [units]
  state left: [units] = 0
  param w: [n + 2 * units, units]
  left' = tanh([x, above, left] @ w)
  output left'
}
cell Row(units) {
  input line: seq@INNER[n]
  state above: seq@INNER[units] = 0
  above' = unroll Point(units) over line, above
  output above'
}
"""
GRID = SCAN.replace("INNER", "column") + """
model Grid {
  input a: seq@row[2]
  input b: seq@column[2]
  x = [a * b, a + b]
  output unroll CELL over x as y
}
"""


@pytest.mark.parametrize("unroll", ["dynamic", "static"])
def test_a_loop_over_a_grid_runs_along_the_axis_that_the_cell_does_not_name(unroll: str) -> None:
    model, rng = rg.parse(GRID.replace("CELL", "Row(3)")), np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 5, 2))
    weights = model.init(1)
    steps = {"row": 4, "column": 5} if unroll == "static" else None
    data = {"a": a, "b": b, "a.lengths": [4, 2], "b.lengths": [3, 5]}
    found = model.compile(unroll, steps).run(data, weights)["y"]
    for row, (rows, columns) in enumerate(((4, 3), (2, 5))):
        h = np.zeros((rows + 1, columns + 1, 3))
        for i in range(rows):
            for j in range(columns):
                x = np.concatenate([a[row, i] * b[row, j], a[row, i] + b[row, j], h[i, j + 1], h[i + 1, j]])
                h[i + 1, j + 1] = np.tanh(x @ weights["row.point.w"])
        np.testing.assert_allclose(found[row, :rows, :columns], h[1:, 1:], rtol=1e-12)
        assert not found[row, rows:].any() and not found[row, :, columns:].any()


def test_a_loop_over_a_grid_must_know_its_axis() -> None:
    with pytest.raises(UserError, match="runs over column and row: along which of them the cell runs is not said"):
        rg.parse(GRID.replace("CELL", "LSTM(3)")).made  # noqa: B018


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_the_gradient_of_loops_over_a_grid(kernels: str) -> None:
    """Of rows with lengths on both axes, in both directions, by differences."""
    model, rng = rg.parse(MODELS["a grid of two sequences"]), np.random.default_rng(1)
    data: Any = {"a": rng.normal(size=(2, 4, 2)), "b": rng.normal(size=(2, 3, 2))}
    data |= {"a.lengths": [4, 2], "b.lengths": [1, 3]}
    program, weights = model.compile(kernels=kernels, gradient=True), model.init(2)
    way = {name: rng.normal(size=w.shape) for name, w in weights.items()}
    slopes = program.gradients(data, weights)[1]
    slope = sum(float(np.sum(slopes[n] * way[n])) for n in way)
    up, down = (
        program.gradients(data, {n: w + h * way[n] for n, w in weights.items()})[0] for h in (1e-5, -1e-5)
    )
    assert slope == pytest.approx((up - down) / 2e-5, rel=1e-6)


# --- padding along one axis of two ---

SUMMED = """
cell Each {
  input q: []
  input m: seq@source
  output VALUE
}
model Summed {
  input q: seq@target
  input m: seq@source
  y = unroll Each over q with m = m
  w = softmax(q * m, axis = source)
  output y, sum(y, axis = source) as total, mean(y, axis = source) as middle, sum(y, axis = target) as other
  output sum(sum(y, axis = source), axis = target) as all, sum(w, axis = target) as coverage
}
"""
VALUES = [
    "m + q", "exp(m)", "max(m, q)", "where(m > 0, m, q)", "shift(m, 1)", "reversed(m) + q", "m + last(m)",
    "m + position(axis = source)", "softmax(m + q, axis = source)", "log_softmax(m * q, axis = source)",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_steps_beyond_the_end_of_either_axis_are_none(value: str, kernels: str) -> None:
    """What a step gives for a whole sequence is cut at the ends of both: each row has what it has alone."""
    model, rng = rg.parse(SUMMED.replace("VALUE", value)), np.random.default_rng(0)
    data: Any = {"q": rng.normal(size=(3, 4)), "m": rng.normal(size=(3, 5))}
    ends: Any = {"q": [4, 2, 3], "m": [2, 5, 3]}
    program = model.compile(kernels=kernels)
    found = program.run({**data, **{f"{name}.lengths": end for name, end in ends.items()}}, {})
    for row in range(3):
        alone = program.run({name: array[row : row + 1, : ends[name][row]] for name, array in data.items()}, {})
        for name, right in alone.items():
            own = tuple(slice(size) for size in right[0].shape)
            np.testing.assert_allclose(found[name][row][own], right[0], rtol=1e-12, atol=1e-15)
            rest = np.array(found[name][row])
            rest[own] = 0
            assert not rest.any()


def test_what_is_added_up_over_one_axis_of_two_by_hand() -> None:
    model = rg.parse(SUMMED.replace("VALUE", "m + q"))
    found = model.compile().run({"q": [[1.0, 2.0]], "m": [[1.0, 2.0, 9.0]], "m.lengths": [2]}, {})
    np.testing.assert_array_equal(found["y"][0], [[2, 3, 0], [3, 4, 0]])
    np.testing.assert_array_equal(found["total"][0], [5, 7])


COUNTED_ROWS = """
cell Count {
  input x: []
  state n: [] = 0
  n' = n + x
  output n'
  stop n' > 2
}
cell Scan {
  input line: seq@column
  state rows: [] = 0
  rows' = rows + 1
  output unroll Count over line
}
model M {
  input image: seq@row@column
  y = unroll Scan over image
  down = sum(y, axis = row)
  output down, mean(y, axis = row) as middle, max(-y, axis = row) as least,
    softmax(0 * y, axis = row) as shares, logsumexp(0 * y, axis = row) as many,
    last(down) as end, mean(down, axis = column) as all
  loss down + 1
}"""


def test_of_rows_that_stop_at_other_columns_their_sum_has_what_is_left_of_any() -> None:
    """By hand: the first row counts 1, 2, 3, the second stops at its first column: there alone are two."""
    image = np.array([[[1.0, 1, 1, 9], [3, 1, 1, 9], [9, 9, 9, 9]]])
    for lengths in ({}, {"image.lengths": [[2, 3]]}):
        data = {"image": image if lengths else image[:, :2, :3], **lengths}
        found = rg.parse(COUNTED_ROWS).compile().run(data, {})
        assert found["down"][0, :3].tolist() == [4, 2, 3] and not found["down"][0, 3:].any()
        assert found["middle"][0, :3].tolist() == [2, 2, 3] and not found["middle"][0, 3:].any()
        assert found["least"][0, :3].tolist() == [-1, -2, -3] and not found["least"][0, 3:].any()
        assert found["shares"][0, :2, :3].tolist() == [[0.5, 1, 1], [0.5, 0, 0]]
        np.testing.assert_allclose(found["many"][0, :3], [np.log(2), 0, 0])
        assert found["end"].tolist() == [3] and found["all"].tolist() == [3]


def test_rows_of_the_padding_leave_no_columns() -> None:
    """Both rows of the first image stop at their first column; the second image has none, alone or beside the first."""
    image = np.zeros((2, 3, 3))
    image[0, :2] = [[3, 1, 1], [4, 1, 1]]
    data = {"image": image, "image.lengths": [[2, 3], [0, 3]]}
    found = rg.parse(COUNTED_ROWS).compile().run(data, {})
    assert found["down"].tolist() == [[7, 0, 0], [0, 0, 0]] and found["middle"].tolist() == [[3.5, 0, 0], [0, 0, 0]]
    assert found["end"].tolist() == [7, 0] and found["all"].tolist() == [7, 0] and found["loss"] == 8


# --- data over two axes -----------------------------------------------------------------------------------------------

IMAGE = SCAN + """
layer Shade {
  input image: seq@OUTER@INNER[n]
  output mean(mean(image, axis = INNER), axis = OUTER)
}
model Image {
  input x: seq@OUTER@INNER[2]
  input target: seq@OUTER@INNER
  input weight: seq@INNER = 1
  y = unroll Row(3) over x
  output y, x * 2 as twice, Shade()(x) as shade
  loss weight * squared_error(mean(y), target)
}
"""
SIDES = np.array([[4, 5], [2, 3], [4, 0], [1, 5]])
"""The height and the width of each image."""


def image_model(outer: str = "row", inner: str = "column") -> Model:
    return rg.parse(IMAGE.replace("OUTER", outer).replace("INNER", inner))


def images() -> dict[str, Any]:
    """Of several sizes, with what is no number behind their ends."""
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {"x": rng.normal(size=(4, 4, 5, 2)), "target": rng.normal(size=(4, 4, 5))}
    for row, (height, width) in enumerate(SIDES):
        for array in data.values():
            array[row, height:] = array[row, :, width:] = np.nan
    return {**data, "x.lengths": SIDES}


@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize(("outer", "inner"), [("row", "column"), ("a", "z")])
def test_data_over_two_axes_have_them_as_declared(outer: str, inner: str, kernels: str) -> None:
    """Images of several sizes against loops in NumPy; what is asked of each is what it would be asked alone."""
    model, data = image_model(outer, inner), images()
    weights = model.init(1)
    program = model.compile(kernels=kernels, gradient=True)
    found = program.run(data, weights)
    static = model.compile("static", {outer: 4, inner: 5}, kernels=kernels, gradient=True)
    assert all(np.array_equal(found[n], a) for n, a in static.run(data, weights).items())
    errors = []
    for row, (height, width) in enumerate(SIDES):
        x, h = data["x"][row, :height, :width], np.zeros((height + 1, width + 1, 3))
        for i, j in np.ndindex(height, width):
            h[i + 1, j + 1] = np.tanh(np.concatenate([x[i, j], h[i, j + 1], h[i + 1, j]]) @ weights["row.point.w"])
        np.testing.assert_allclose(found["y"][row, :height, :width], h[1:, 1:], rtol=1e-12)
        np.testing.assert_allclose(found["shade"][row], x.mean((0, 1)) if x.size else 0, rtol=1e-12)
        np.testing.assert_array_equal(found["twice"][row, :height, :width], 2 * x)
        assert not found["y"][row, height:].any() and not found["y"][row, :, width:].any()
        errors += np.square(h[1:, 1:].mean(-1) - data["target"][row, :height, :width]).ravel().tolist()
    np.testing.assert_allclose(found["loss"], np.mean(errors), rtol=1e-12)
    slopes, same = (p.gradients(data, weights)[1] for p in (program, static))
    assert all(np.array_equal(slopes[n], same[n]) for n in slopes)
    assert slopes["x"].shape == data["x"].shape and np.isfinite(slopes["x"]).all()
    for place in ((0, 3, 1, 0), (1, 0, 2, 1)):
        up, down = (data["x"].copy() for _ in range(2))
        up[place], down[place] = up[place] + 1e-6, down[place] - 1e-6
        ends = [program.run({**data, "x": x}, weights)["loss"] for x in (up, down)]
        assert slopes["x"][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_exports_take_lengths_along_two_axes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model, data = image_model(), images()
    weights = model.init(1)
    wanted = Wanted(lengths=True, loss=True, dtype="float64")
    want = model.compile().run(data, weights)
    scope: dict[str, Any] = {}
    exec(to_numpy(model, weights, wanted).text, scope)
    plain = {name.removeprefix("x."): array for name, array in data.items()}
    same(scope["run"](**plain), want)
    with pytest.raises(ValueError, match=r"`lengths` says \[4 6\] for row 0, expected 0 to \[4, 5\]"):
        scope["run"](**{**plain, "lengths": np.add(SIDES, [0, 1])})
    session = onnxruntime.InferenceSession(to_onnx(model, weights, wanted), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    same(dict(zip(names, session.run(names, data), strict=True)), want)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x.lengths": SIDES[:, 0]}, r"`x.lengths` should be \(4, 2\), one for each row, along row and column"),
        ({"x.lengths": np.add(SIDES, [0, 1])}, r"says 6 for row 0, expected 0 to 5 \(its steps along column\)"),
        ({"weight": np.ones((4, 6))}, r"`weight` has 6 steps \(column\), but `x` has 5"),
        (
            {"weight": np.ones((4, 5)), "weight.lengths": [5, 3, 1, 5]},
            "`weight.lengths` and `x.lengths` disagree at row 2: 1 and 0",
        ),
        ({"x.lengths": np.minimum(SIDES + 1, [4, 5])}, "row 1, step 0 of row, step 3 of column"),
    ],
)
def test_what_is_wrong_along_one_of_two_axes_is_told(changed: dict[str, Any], said: str) -> None:
    model = image_model()
    with pytest.raises(UserError, match=said):
        model.compile().run({**images(), **changed}, model.init(1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model M { input x: seq@a@a  output x }", "the axis `a` is named twice"),
        ("model M { input x: seq@a@batch  output x }", "`batch` is the axis of the rows"),
        (
            "layer L { input v: seq@p@q  output v }  model M { input x: seq@a@b  output L(x) }",
            "`v` of `L` is a sequence over 2 axes, but `x` runs over a and b",
        ),
        (
            "layer L { input v: seq@a@b  output v }  model M { input x: seq@a  output L(x) }",
            "`v` of `L` is a sequence over a and b, but `x` runs over a",
        ),
        (
            "layer L { input v: seq@p@a@q  output v }  model M { input x: seq@a@b@c  output L(x) }",
            "say which is which: `seq@a@b@c`",
        ),
        ("model M { input x: seq@a@b  output last(x) }", "`x` runs over a and b: one axis is needed here"),
    ],
)
def test_axes_that_do_not_fit(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        rg.parse(text).made  # noqa: B018


def test_one_axis_more_than_a_name_is_known_by_what_is_left() -> None:
    model = rg.parse("layer L { input v: seq@p@b  output sum(v, axis = p) }  model M { input x: seq@a@b  output L(x) }")
    assert model.compile().run({"x": np.ones((1, 2, 3))}, {})["l"].tolist() == [[2, 2, 2]]


def test_changes_of_outputs_have_the_axes_of_these() -> None:
    model, data = image_model(), images()
    program, weights = model.compile(), model.init(1)
    into = np.random.default_rng(2).normal(size=data["x"].shape)
    found = program.jvp(data, weights, {"x": into})
    up, down = (program.run({**data, "x": data["x"] + h * into}, weights) for h in (1e-6, -1e-6))
    for name in ("y", "twice", "shade", "loss"):
        np.testing.assert_allclose(found[name], (up[name] - down[name]) / 2e-6, rtol=1e-6, atol=1e-9)


def test_what_is_drawn_for_each_place_leaves_the_order_of_axes() -> None:
    model = rg.parse("model M { input x: seq@row@column[2]  output Dropout(0.5)(x) as y, normal([2]) * x as z }")
    found = model.compile(training=True).run({"x": np.ones((1, 3, 4, 2)), "seed": 1}, {})
    assert found["y"].shape == found["z"].shape == (1, 3, 4, 2)


def test_data_over_two_axes_have_no_next_step() -> None:
    program = image_model().compile(states=True)
    with pytest.raises(UserError, match="`x` runs over row and column, so that there is no one next step of it"):
        program.step({"x": np.ones((1, 2))}, {})


@pytest.mark.parametrize(
    ("text", "data", "axis", "names"),
    [
        ("input a: seq@row\n input b: seq@column\n output position(axis = row) * b as y", {"b": [[1.0]]}, "row", "`a`"),
        ("input a, b: seq = 1\n output a * b as y", {}, "time", "`a` or `b`"),
    ],
)
def test_steps_that_no_data_tell_are_asked_for(text: str, data: Any, axis: str, names: str) -> None:
    with pytest.raises(rg.UserError, match=f"how many steps `{axis}` has") as error:
        rg.parse(f"model M {{ {text} }}").compile().run(data, {})
    assert error.value.diagnostics[0].help == f"give {names}"


def test_predictions_see_the_data_that_only_tell_steps() -> None:
    model = rg.parse("model M { input a: seq@row\n input b: seq@column\n output position(axis = row) * b as y }")
    found = model.predict({"a": np.zeros((1, 3)), "b": np.array([[1.0, 2]])}, {})
    assert found["y"].tolist() == [[[0, 0], [1, 2], [2, 4]]]


def test_a_sequence_may_be_called_as_its_axis_is() -> None:
    text = """
    model Named {
      input source: seq@source[2]
      first = 0
      output sum(source, axis = source) as total, position(axis = source) as place
      output sum(source, axis = first) as both
    }
    """
    source = np.arange(6.0).reshape(1, 3, 2)
    found = rg.parse(text).compile().run({"source": source}, {})
    assert found["total"].tolist() == [[6.0, 9.0]]
    assert found["place"].tolist() == [[0, 1, 2]]
    assert found["both"].tolist() == [[1.0, 5.0, 9.0]]
    assert check(parse(Source("named.rnn", text))) == []


def test_a_value_that_is_no_number_known_while_compiling_is_no_axis() -> None:
    with pytest.raises(UserError, match="`x` is not a sequence over `n`"):
        rg.parse("model M { input n: int  input x: seq[3]  output sum(x, axis = n) as y  output n }")
