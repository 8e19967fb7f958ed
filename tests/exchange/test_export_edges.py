"""Exports at their edges: what may be left out, what does not fit, no rows at all, flags that do not apply.

Expected numbers are plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.export import to_numpy
from rnngraph.exchange.export.request import Wanted
from tests.exchange.test_export import session

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 2))
SUM = "cell Sum { input x: [n]  state h: [n] = 0  h' = h + x  output h' }\n"
PAIR = f"""{SUM}model M {{
  input source: seq@source[2]
  input target: seq@target[2]
  _, end = unroll Sum() over source
  output unroll Sum() over target from end as y
}}
"""
LEARNED = """
cell C {
  input x: [n]
  param h0: [n] ~ normal
  state h: [n] = h0 * 2
  state k: int = 3
  h' = h + x
  k' = k + 1
  output h', k'
}
model M { input x: seq[2]  input g: [2] = 0.5  y, k, final = unroll C() over x * g  output y, k }
"""


def namespace(text: str, **wanted: Any) -> dict[str, Any]:
    """What the NumPy file of a model defines."""
    model, scope = rg.parse(text), {}
    exec(to_numpy(model, model.init(1), Wanted(**wanted)).text, scope)
    return scope


def numpy_run(text: str, **wanted: Any) -> Callable[..., Any]:
    run: Callable[..., Any] = namespace(text, **wanted)["run"]
    return run


def onnx_session(text: str, **wanted: Any) -> Any:
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import to_onnx

    model = rg.parse(text)
    return session(to_onnx(model, model.init(1), Wanted(**wanted)))


def both(text: str, data: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """The results of the NumPy file and of the ONNX file."""
    made = onnx_session(text, **wanted)
    by_onnx = dict(zip([o.name for o in made.get_outputs()], made.run(None, data), strict=True))
    return [numpy_run(text, **wanted)(**{n.replace(".", "_"): a for n, a in data.items()}), by_onnx]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("static", [False, True])
def test_numbers_written_in_the_model_are_arrays_of_its_type(dtype: str, static: bool) -> None:
    text = """
cell C { input x: [2]  state h: [] = 0  h' = h + t / 2  output h', [t, 1], float(t) * x, where(x > 0, 1, 0.5) }
model M {
  input x: seq[2]
  input c: bool
  a, b, d, e = unroll C() over x
  output x + [0.5, 1] as p, where(c, [1, 2], [3, 4]) as q, [x, 1] as r, a, b, d, e, [1, 2] @ [x[0], 1] as s
}
"""
    x, c, t = X.astype(dtype), np.array([True, False, True]), np.arange(4)
    want = {
        "p": x + np.array([0.5, 1], dtype),
        "q": np.where(c[:, None], [1, 2], [3, 4]),
        "r": np.concatenate([x, np.ones((3, 4, 1), dtype)], -1),
        "a": np.tile(np.cumsum(t / 2), (3, 1)).astype(dtype),
        "b": np.tile(np.stack([t, t * 0 + 1], -1), (3, 1, 1)),
        "d": x * t[:, None].astype(dtype),
        "e": np.where(x > 0, 1, 0.5).astype(dtype),
        "s": x[..., 0] + 2,
    }
    steps = {"unroll": "static", "steps": 4} if static else {}
    for got in both(text, {"x": x, "c": c}, dtype=dtype, **steps):
        for name, array in want.items():
            assert (np.shape(got[name]), np.asarray(got[name]).dtype) == (array.shape, array.dtype), name
            np.testing.assert_allclose(got[name], array, rtol=1e-6, err_msg=name)


def test_a_sequence_that_only_says_how_long_it_is() -> None:
    text = "cell C { input x: [n]  state h: [] = 0  h' = h + t  output h' }\n"
    text += "model M { input x: seq[2]  output unroll C() over x as y, position(axis = time) as at }\n"
    for got in both(text, {"x": X}, dtype="float64"):
        assert np.array_equal(got["y"], np.tile([0, 1, 3, 6.0], (3, 1)))
        assert np.array_equal(got["at"], np.tile(np.arange(4), (3, 1)))


def test_first_states_and_inputs_with_a_default_may_be_left_out() -> None:
    weights = rg.parse(LEARNED).init(1)
    first = weights["c.h0"] * 2
    for got in both(LEARNED, {"x": X}, dtype="float64"):
        np.testing.assert_allclose(got["y"], first + np.cumsum(X * 0.5, 1))
        assert np.array_equal(got["k"], np.tile(np.arange(4, 8), (3, 1)))
    given = {"x": X, "initial.h": X[:, 0], "initial.k": np.array([1, 2, 3]), "g": X[:, 1]}
    for got in both(LEARNED, given, dtype="float64"):
        np.testing.assert_allclose(got["y"], X[:, :1] + np.cumsum(X * X[:, 1:2], 1))
        assert np.array_equal(got["k"], np.array([[1], [2], [3]]) + np.arange(1, 5))
    assert [i.name for i in onnx_session(LEARNED).get_inputs()] == ["x"]
    for got in both(LEARNED, {"x": X[:, :0]}, dtype="float64", unroll="static", steps=0):
        assert got["y"].shape == (3, 0, 2)


def test_an_input_that_alone_tells_the_size_must_be_given() -> None:
    text = "model M { input g: seq[2] = 0.5  output g * 2 as y }\n"
    assert [i.name for i in onnx_session(text).get_inputs()] == ["g"]
    with pytest.raises(TypeError, match="'g'"):
        numpy_run(text)()


def test_a_model_without_rows_is_refused() -> None:
    model = rg.parse("cell C { state h: [2] = 1  h' = h * 0.5  output h' }\nmodel M { output unroll C() for 3 as y }\n")
    with pytest.raises(UserError, match="determines the number of rows"):
        to_numpy(model, {}, Wanted())


# --- sizes and lengths ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_by_the_numpy_file() -> None:
    model = f"{SUM}model M {{ input x: seq[2]  input k: seq int  y, final = unroll Sum() over x  output y, k as j }}"
    dynamic, static = numpy_run(model, lengths=True, dtype="float64"), numpy_run(model, unroll="static", steps=4)
    ids = np.zeros((3, 4), int)
    for run, arguments, message in (
        (static, {"x": X[:, :3], "k": ids}, r"`x` should be \(batch, 4, 2\) float32, got \(3, 3, 2\) float64"),
        (static, {"x": X, "k": ids[:, :2]}, r"`k` should be \(3, 4\) int64, got \(3, 2\) int64"),
        (dynamic, {"x": X, "k": ids[:2]}, r"`k` should be \(3, 4\) int64, got \(2, 4\)"),
        (dynamic, {"x": X[..., :1], "k": ids}, r"`x` should be \(batch, time, 2\) float64, got \(3, 4, 1\)"),
        (dynamic, {"x": X, "k": ids + 0.5}, r"`k` should be \(3, 4\) int64, got \(3, 4\) float64"),
        (dynamic, {"x": X, "k": ids, "initial_h": X[0]}, r"`initial_h` should be \(3, 2\) float64, got \(4, 2\)"),
        (dynamic, {"x": X, "k": ids, "lengths": [4, 2, 5]}, "`lengths` says 5 for row 2, expected 0 to 4"),
        (dynamic, {"x": X, "k": ids, "lengths": [4, -1, 0]}, "`lengths` says -1 for row 1, expected 0 to 4"),
        (dynamic, {"x": X, "k": ids, "lengths": [4.0, 1, 0]}, r"`lengths` should be \(3\) int64, got \(3,\) float64"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**arguments)


def test_onnxruntime_refuses_another_number_of_steps() -> None:
    made = onnx_session(PAIR, unroll="static", steps={"source": 3, "target": 2})
    assert [i.shape for i in made.get_inputs()] == [["batch", 3, 2], ["batch", 2, 2]]
    with pytest.raises(Exception, match="Got: 4 Expected: 3"):
        made.run(None, {"source": X.astype("float32"), "target": X[:, :2].astype("float32")})


def test_lengths_in_onnx_may_be_left_out_and_are_brought_in_range() -> None:
    text = f"{SUM}model M {{ input x: seq[2]  y, end = unroll Sum() over x  output mean(y, axis = time) as m, end.h }}"
    made = onnx_session(text, lengths=True, states=False, dtype="float64")
    for given, meant in ((None, [4, 4, 4]), ([9, 2, -3], [4, 2, 0])):
        mean, last = made.run(None, {"x": X} | ({"x.lengths": np.array(given)} if given else {}))
        sums = [np.cumsum(row[:n], 0) for row, n in zip(X, meant, strict=True)]
        np.testing.assert_allclose(last, [s[-1] if len(s) else np.zeros(2) for s in sums])
        np.testing.assert_allclose(mean, [s.mean(0) if len(s) else np.zeros(2) for s in sums])


@pytest.mark.parametrize("steps", [{"source": 4, "target": 2}, 4])
def test_a_static_export_of_two_axes(steps: Any) -> None:
    source, target = X, X[:, : 2 if isinstance(steps, dict) else 4] + 1
    for got in both(PAIR, {"source": source, "target": target}, unroll="static", steps=steps, dtype="float64"):
        np.testing.assert_allclose(got["y"], source.sum(1, keepdims=True) + np.cumsum(target, 1))


def test_no_rows_and_no_steps() -> None:
    """What looks over all steps, or multiplies two sequences, finds nothing there."""
    text = """model M {
  input a: seq@p[2]
  input b: seq@q[2]
  s = a @ b
  output max(a, axis = p) as most, min(a, axis = p) as least, s, sum(s, axis = p) as total
}"""
    for rows, p, q in ((2, 0, 3), (0, 4, 3), (2, 0, 0)):
        for got in both(text, {"a": np.ones((rows, p, 2)), "b": np.ones((rows, q, 2))}, dtype="float64"):
            assert np.array_equal(got["most"], np.zeros((rows, 2))) and np.array_equal(got["least"], got["most"])
            assert got["s"].shape == (rows, p, q) and np.array_equal(got["total"], np.zeros((rows, q)))


def test_a_remainder_of_zero_in_the_padding_is_harmless() -> None:
    text = "model M { input k: seq int  input n: seq int  output k % n as r }"
    data = {"k": np.array([[7, 5, 9]]), "n": np.array([[4, 2, 0]]), "k.lengths": np.array([2])}
    (got,) = onnx_session(text, lengths=True).run(None, data)
    assert np.array_equal(got, [[3, 1, 0]])


INNER = """
cell Inner {
  input m, x: float
  state s: [] = 0
  s' = sin(s + m * x)
  output s'
}

cell Outer {
  input x: float
  input memory: seq@other
  state a: [] = 0
  s = unroll Inner over memory with x = x
  a' = a * last(s) + sum(s, axis = other)
  output a'
}

model Slopes {
  input x: seq
  input memory: seq@other
  y = unroll Outer over x with memory = memory
  output last(y) as end
  output gradient(last(y), x) as slope
}
"""


def end_of(x: np.ndarray, memory: np.ndarray) -> float:
    a = 0.0
    for number in x:
        s, total = 0.0, 0.0
        for m in memory:
            s = np.sin(s + m * number)
            total += s
        a = a * s + total
    return a


def test_a_gradient_through_a_loop_inside_of_a_step_is_written_anew_for_each_pass() -> None:
    """The backward pass runs the same inner loop again: it had read what the last step of the first pass had left."""
    x, memory = np.array([[0.3, -0.7, 1.1]]), np.array([[0.9, 0.4]])
    nudges = 1e-6 * np.eye(3)
    slope = [(end_of(x[0] + d, memory[0]) - end_of(x[0] - d, memory[0])) / 2e-6 for d in nudges]
    for found in both(INNER, {"x": x, "memory": memory}, dtype="float64"):
        np.testing.assert_allclose(found["end"], [end_of(x[0], memory[0])], rtol=1e-6)
        np.testing.assert_allclose(found["slope"], [slope], rtol=1e-5)


# --- flags ----------------------------------------------------------------------------------------------------------

PLAIN = "model M {\n  input x: [2]\n  output x * 2 as y\n}\n"
FIXED = (
    "cell C { state h: [2]  h' = h * 0.5  output h' }\nmodel M { input x: [2]  output unroll C() for 3 from x as y }\n"
)
SEQUENCE = f"{SUM}model M {{\n  input x: seq[2]\n  output unroll Sum() over x as y\n}}\n"


def exported(folder: Path, text: str, flags: str) -> int:
    (folder / "m.rnn").write_text(text)
    target = "" if "--to" in flags else "--to numpy "
    out = folder / ("m.onnx" if "onnx" in flags else "m.py")
    return exit_code(["export", str(folder / "m.rnn"), *(target + flags).split(), "--out", str(out)])


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (PLAIN, "--unroll static", "`M` has no steps to unroll"),
        (FIXED, "--unroll static --steps 3", "`M` fixes its own number of steps"),
        (SEQUENCE, "--steps 4", "`--steps` is for a static export"),
        (SEQUENCE, "--loss", "`M` has neither a loss nor a metric"),
        (SEQUENCE, "--states", "`M` has no state that can be an input"),
        (PLAIN, "--lengths", "`M` takes no sequence, so it has no lengths"),
        (PLAIN, "--seed 3 --weights w.safetensors", "`--seed` is for new weights"),
        (SEQUENCE, "--operators", "`--operators` is for `--to onnx`"),
        (SEQUENCE, "--to onnx --operators --unroll static --steps 4", "an operator is a loop of its own"),
        (SEQUENCE, "--unroll static", "a static program needs a number of steps"),
        (SEQUENCE, "--unroll static --steps tim=4", "no sequence of `M` runs over `tim`"),
        (SEQUENCE, "--unroll static --steps 4,5", "--steps 4,5: neither a number of steps"),
        (PAIR, "--unroll static --steps source=4,source=5", "nor one for each axis"),
        (PAIR, "--unroll static --steps source=4", "a static program needs a number of steps for the axis `target`"),
    ],
)
def test_a_flag_that_does_not_apply_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, flags: str, message: str
) -> None:
    assert exported(tmp_path, text, flags) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["m.rnn"]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (FIXED, "--unroll static"),
        (SEQUENCE, "--unroll static --steps 4 --no-states"),
        (PAIR, "--unroll static --steps source=4,target=2"),
        (PLAIN, "--no-lengths --no-states"),
    ],
)
def test_a_flag_that_applies_is_taken(tmp_path: Path, text: str, flags: str) -> None:
    assert exported(tmp_path, text, flags) == 0


def test_operators_that_nothing_became_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    assert exported(tmp_path, SEQUENCE, "--to onnx --operators") == 0
    assert "no cell of the model is exactly an ONNX operator" in capsys.readouterr().err
