"""Elaboration: the names and numbers that come out, the language reference, the library."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnngraph as rg
from rnngraph.data.shape_checks import steps_of
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.ir.graph import LOOP, loop_of
from rnngraph.ir.verify import verify
from rnngraph.language.builtins.registry import TABLE
from rnngraph.language.checking.check import check
from rnngraph.language.elaboration.elaborate import elaborate
from rnngraph.language.elaboration.elaborated import Block, Elaborated
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.initialisers import INITIALISERS
from rnngraph.language.syntax.parser import parse, read_source
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.runtime.execution import Bound
from rnngraph.runtime.numpy import NumpyBackend
from tests.support.paths import ROOT

REFERENCE = (ROOT / "grammar" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```rnn\n(.*?)```", REFERENCE, re.DOTALL)


def made(text: str, values: dict[str, object] | None = None, **options: Any) -> Elaborated:
    """A text elaborated, its graph verified."""
    found = elaborate(parse(Source("test.rnn", text)), values or {}, **options)
    verify(found.graph)
    return found


def model(body: str) -> str:
    return "model M { input x: seq[3] " + body + " }"


def weights(text: str) -> dict[str, tuple[int, ...]]:
    return {w.name: w.shape for w in made(text).weights}


def numbers(text: str, data: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The outputs of a model on arrays that are batch-major, batch-major again; weights count up from 0."""
    found = made(text, **options)
    arrays = {n: _time_first(found, n, np.asarray(a)) for n, a in data.items()}
    given = {w.name: np.arange(np.prod(w.shape, dtype=int)).reshape(w.shape) / 10.0 for w in found.weights}
    sizes = {"batch": len(next(iter(data.values())))}
    sizes |= steps_of(found.inputs, data)
    program = lower(found.graph)
    bound = Bound(program, plan(program, sizes, "float64"), NumpyBackend())
    results = {n: np.array(a) for n, a in bound.run({n: arrays[n] for n in program.inputs}, given).items()}
    return {n: _batch_first(found, n, a) for n, a in results.items()}


def _time_first(found: Elaborated, name: str, array: Any) -> Any:
    return array.swapaxes(0, 1) if len(found.graph.inputs[name].type.axes) == 2 else array


def _batch_first(found: Elaborated, name: str, array: Any) -> Any:
    return array.swapaxes(0, 1) if len(found.graph.outputs[name].type.axes) == 2 else array


# --- the language reference and the library ---------------------------------------------------------


def test_the_reference_has_examples() -> None:
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("\n")[0][:30])
@pytest.mark.parametrize("padded", [False, True])
def test_every_example_of_the_reference_is_right(text: str, padded: bool) -> None:
    assert check(parse(Source("reference.rnn", text))) == []
    assert made(text, padded=padded, training=padded).outputs or made(text).graph.outputs


def test_the_reference_names_every_function_and_initialiser() -> None:
    words = set(re.findall(r"\w+", REFERENCE))
    assert words >= set(TABLE) | set(INITIALISERS) | set(library())


def test_the_reference_lists_every_code() -> None:
    folder = ROOT / "rnngraph" / "front"
    used = {c for f in folder.glob("*.py") for c in re.findall(r'"([EW]\d{3})"', f.read_text(encoding="utf-8"))}
    assert used <= set(re.findall(r"[EW]\d{3}", REFERENCE))


LIBRARY = sorted(e.name for e in resources.files("rnngraph.language.library").iterdir() if e.name.endswith(".rnn"))


@pytest.mark.parametrize("name", LIBRARY)
def test_a_library_file_is_right(name: str) -> None:
    entry = resources.files("rnngraph.language.library") / name
    assert check(parse(Source(entry.name, entry.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "cell",
    [
        "RNN(4)", "RNN(4, activation = relu)", "LSTM(4)", "GRU(4)", "GRU(4, reset_after = true)",
        "Residual(GRU(3))",
        "LSTM(4, peepholes = true, cell_clip = 1.0, projection = 2, projection_clip = 0.5)",
        "LSTM(4) >> Dropout(0.5) >> LSTM(5)", "RNN(3) >> tanh", "RNN(4) >> Dense(2, activation = softmax)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("padded", [False, True])
def test_library_cells_unroll(cell: str, padded: bool) -> None:
    for direction in ("", " reversed"):
        made(model(f"y, final = unroll {cell} over x{direction} output y"), padded=padded, training=True)


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("output unroll RNN(4) over x as y", ["rnn.kernel", "rnn.bias"]),
        ("enc = RNN(4) output unroll enc over x as y", ["enc.kernel", "enc.bias"]),
        ("enc = RNN(4) a = unroll enc over x b = unroll enc over x reversed output a, b", ["enc.kernel",
        "enc.bias"]),
        ("a = Dense(2)(x) b = Dense(2)(x) output a, b", ["dense.kernel", "dense.bias", "dense_2.kernel",
        "dense_2.bias"]),
        ("output unroll RNN(4) >> RNN(2) over x as y",
         ["stack.0.kernel", "stack.0.bias", "stack.1.kernel", "stack.1.bias"]),
        ("deep = RNN(4) >> tanh >> RNN(2) output unroll deep over x as y",
         ["deep.0.kernel", "deep.0.bias", "deep.2.kernel", "deep.2.bias"]),
        ("y = Bidirectional(RNN(4), RNN(2))(x) output y",
         ["bidirectional.forward.kernel", "bidirectional.forward.bias", "bidirectional.backward.kernel",
          "bidirectional.backward.bias"]),
        ("r = RNN(4) output Bidirectional(r, r)(x) as y", ["r.kernel", "r.bias"]),
        ("y = x for k in 1..2 { y = Dense(4)(y) d = Dense(2) y = d(y) } output y",
         ["dense.1.kernel", "dense.1.bias", "d.1.kernel", "d.1.bias", "dense.2.kernel", "dense.2.bias",
         "d.2.kernel",
          "d.2.bias"]),
        ("for k in 1..2 { param p: [3] = 0 } output x * p as y", ["p.1", "p.2"]),
    ],
)  # fmt: skip
def test_weights_are_named_by_their_instances(text: str, names: list[str]) -> None:
    assert list(weights(model(text))) == names


BARE = """
layer Scale { input x: [n]  param gain: [n] = 1  output x * gain }
layer Thrice(norm) { input x: [n]  output norm(norm(x) + norm(2 * x)) }
layer Ways(step = Slow) { input x: seq[n]  a = unroll step over x  b = unroll step over x reversed  output [a, b] }
cell Slow { input x: [n]  state h: [n] = 0  param w: [n] = 1  h' = h * w + x  output h' }
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("norm = Scale output norm(norm(x) + norm(2 * x))", ["norm.gain"]),
        ("norm = LayerNorm output norm(norm(x) + x)", ["norm.gain", "norm.offset"]),
        ("output Thrice(Scale)(x)", ["thrice.norm.gain"]),
        ("output Thrice(norm = Scale)(x) + Thrice(Scale)(x)", ["thrice.norm.gain", "thrice_2.norm.gain"]),
        ("output Ways()(x)", ["ways.step.w"]),
        ("both = Ways output both(x) + both(2 * x)", ["both.step.w"]),
        ("step = Slow output unroll step >> step over x", ["step.w"]),
        ("y = x step = Slow for k in 1..2 { y = unroll step over y } output y", ["step.w"]),
        ("y = x for k in 1..2 { s = Slow y = unroll s >> s over y } output y", ["s.1.w", "s.2.w"]),
        ("output Scale(Scale(x))", ["scale.gain", "scale_2.gain"]),
        ("kind = Dense output kind(3)(kind(3, activation = relu)(x))",
         ["dense.kernel", "dense.bias", "dense_2.kernel", "dense_2.bias"]),
    ],
)  # fmt: skip
def test_a_definition_that_is_bound_without_brackets_is_one_instance(text: str, names: list[str]) -> None:
    assert sorted(weights(BARE + model(text))) == sorted(names)
    with pytest.raises(UserError, match=r"given where an instance is made: `LayerNorm\(epsilon = \.\.\.\)`"):
        made(model("norm = LayerNorm output norm(epsilon = 1)(x)"))


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("LSTM(4)", ["c", "h"]),
        ("LSTM(4) >> RNN(5)", ["0.c", "0.h", "1.h"]),
        ("Residual(GRU(3))", ["inner.h"]),
        ("RNN(4) >> Residual(LSTM(4))", ["0.h", "1.inner.c", "1.inner.h"]),
        ("Two(4)", ["a.h", "a_2.h", "rnn.h"]),
        ("Turns(4)", ["h.1", "rnn.1.h", "h.2", "rnn.2.h"]),
    ],
)
def test_states_are_named_from_the_unrolled_cell_on(cell: str, names: list[str]) -> None:
    text = """
    cell Two(u) { input x: [n] a = RNN(u) output a(x) + a(x) + RNN(u)(x) }
    cell Turns(u) { input x: [n] for k in 1..2 { state h: [u] = 0 h' = h + RNN(u)(x) } output h' }
    """
    found = made(text + model(f"y, final = unroll {cell} over x output y, final"))
    assert list(found.outputs) == ["y", *(f"final.{n}" for n in names)]
    assert [s.name for s in found.states] == [f"final.{n}" for n in names]


def test_a_state_that_is_fed_becomes_an_input() -> None:
    text = model("y, final = unroll LSTM(4) over x output y")
    assert "final.c" not in made(text).graph.inputs
    fed = made(text, fed=[s for s in made(text).states if s.name == "final.c"])
    assert fed.graph.inputs["final.c"].type.shape == (4,)
    assert {s.name: s.value == fed.graph.inputs.get(s.name) for s in fed.states} == {
        "final.c": True,
        "final.h": False,
    }


def test_the_tree_of_instances() -> None:
    found = made(model("y = unroll LSTM(4) >> Residual(GRU(4)) over x reversed output Dense(2)(y) as y"))
    assert _outline(found.block) == [
        ("", "M", "model", ""), ("stack", "LSTM >> Residual", "pipe", "time"),
        ("stack.0", "LSTM", "cell", ""),
        ("stack.1", "Residual", "cell", ""), ("stack.1.inner", "GRU", "cell", ""),
        ("dense", "Dense", "layer", ""),
    ]  # fmt: skip
    stack = found.block.children[0]
    assert stack.reverse and [s.name for s in stack.children[0].states] == ["c", "h"]
    assert stack.children[1].children[0].weights[0].name == "stack.1.inner.gates_kernel"


def _outline(block: Block) -> list[tuple[str, str, str, str]]:
    own = (".".join(block.path), block.definition, block.kind, block.axis)
    return [own, *(line for child in block.children for line in _outline(child))]


def test_watching_records_a_named_value_at_every_step() -> None:
    text = model("y = unroll LSTM(4) >> LSTM(2) over x output y")
    two = made(text, watch=("i", "stack.0.c"))
    shapes = {n: v.type.shape for n, v in two.graph.outputs.items() if n.startswith("watch.")}
    assert shapes == {"watch.stack.0.i": (4,), "watch.stack.1.i": (2,), "watch.stack.0.c": (4,)}
    one = made(model("y = unroll RNN(4) over x output y"), watch=("h",))
    assert one.graph.outputs["watch.h"].type.axes == ("time", "batch")
    with pytest.raises(UserError, match="there is no value `hh`"):
        made(text, watch=("hh",))


    with pytest.raises(UserError, match="`h` is named twice in what to watch"):
        made(text, watch=("h", "i", "h"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("output argmax(x), argmax(-x)", ["argmax", "argmax_2"]),
        ("output argmax(x), x as argmax, argmax(-x)", ["argmax_2", "argmax", "argmax_3"]),
        ("output split(x, 3), x as split_2", ["split", "split_3", "split_4", "split_2"]),
        ("y, f = unroll RNN(2) over x output f.h as f, y, f", ["f", "y", "f.h"]),
        ("output Loss(x) loss mean(x)", ["loss_2", "loss"]),
        ("output x metric mean(x) metric mean(-x) metric max(x) as mean_2", [
            "x", "metric.mean", "metric.mean_3", "metric.mean_2"]),
    ],
)  # fmt: skip
def test_names_that_are_made_up_give_way_to_those_that_are_told(text: str, names: list[str]) -> None:
    assert list(made("layer Loss { input x: [n] output x } " + model(text)).graph.outputs) == names


# --- settings and recipes ---------------------------------------------------------------------------------


def test_settings_from_outside() -> None:
    text = "model M(units = 4, activation = tanh, deep = false, kind = RNN) { input x: seq[3] " + (
        "y = unroll kind(units, activation) over x if deep { y = Dense(units)(y) } output y }"
    )
    assert made(text).settings == {"units": 4, "deep": False}
    changed = made(text, {"units": 7, "activation": "relu", "deep": True, "kind": "GRU"})
    assert changed.settings == {"units": 7, "deep": True}
    assert {w.name for w in changed.weights} >= {"gru.gates_kernel", "dense.kernel"}


@pytest.mark.parametrize(
    ("values", "message", "help"),
    [
        ({"unit": 4}, "no setting `unit`", "did you mean `units`"),
        ({"activation": "tahn"}, "cannot be `tahn`", "did you mean `tanh`"),
        ({"units": -1}, "a size cannot be negative", ""),
        ({"units": 2.5}, "must be a whole number", ""),
    ],
)
def test_settings_that_cannot_be(values: dict[str, object], message: str, help: str) -> None:
    text = "model M(units = 4, activation = tanh) { input x: seq[3] output unroll RNN(units, activation) over x as y }"
    with pytest.raises(UserError, match=message) as refused:
        made(text, values)
    assert help in str(refused.value)


def test_a_recipe() -> None:
    text = """
    train { epochs 3 batch 8 }
    model M(rate = 0.5) {
      input x: seq[3] loss mean(x)
      train { optimizer adam(rate = rate / 2) epochs 20 clip_norm 5 shuffle true split last }
    }
    """
    found = made(text)
    assert found.recipe == {
        "optimizer": ("adam", {"rate": 0.25}), "epochs": 20, "batch": 8, "clip_norm": 5, "shuffle": True,
        "split": "last",
    }  # fmt: skip
    assert made(model("loss mean(x) train { optimizer sgd }")).recipe == {"optimizer": ("sgd", {})}


def test_several_models_need_a_choice() -> None:
    text = model("output x as a") + model("output x as b").replace("M", "N")
    assert made(text, model="N").outputs == ("b",)
    for wrong, message in ((None, "several models"), ("O", "no model `O`")):
        with pytest.raises(UserError, match=message):
            made(text, model=wrong)
    with pytest.raises(UserError, match="there is no model"):
        made("layer L { input x: [n] output x }")


# --- numbers ------------------------------------------------------------------------------------------------

X = np.arange(12.0).reshape(2, 2, 3)
ROWS = np.array([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [np.nan]]])
LENGTHS = np.array([3, 2])
SEQ1 = "model M { input x: seq[1] "


def padded(text: str) -> dict[str, Any]:
    return numbers(text, {"x": ROWS, "lengths@time": LENGTHS}, padded=True)


def test_a_cell_against_numpy() -> None:
    found = numbers(model("y, final = unroll RNN(2) over x output y, final"), {"x": X})
    kernel, bias = np.arange(10).reshape(5, 2) / 10.0, np.arange(2) / 10.0
    h = np.zeros((2, 2))
    for t in range(2):
        h = np.tanh(np.concatenate([X[:, t], h], axis=1) @ kernel + bias)
        np.testing.assert_allclose(found["y"][:, t], h)
    np.testing.assert_allclose(found["final.h"], h)


def test_rows_keep_to_their_lengths() -> None:
    text = (
        "cell Sum { input x: [n] state s: [n] = 0 s' = s + x output s' + 100 }"
        + SEQ1
        + (
            "y, final = unroll Sum over x b, back = unroll Sum over x reversed "
            "output y, final, b, back, last(x) as last, reversed(x) as r, x + 1 as more, shift(x, -1) as ahead, "
            "mean(x, axis = time) as mean, window(x, 2) as w loss sum(x) metric sum(x) + 1 as m }"
        )
    )
    found = padded(text)
    one = {name: array[..., 0] for name, array in found.items() if array.ndim > 1 and name != "w"}
    np.testing.assert_array_equal(one["y"], [[101, 103, 106], [104, 109, 0]])
    np.testing.assert_array_equal(one["b"], [[106, 105, 103], [109, 105, 0]])
    np.testing.assert_array_equal(one["final.s"], [6, 9])
    np.testing.assert_array_equal(one["back.s"], [6, 9])
    np.testing.assert_array_equal(one["last"], [3, 5])
    np.testing.assert_array_equal(one["r"], [[3, 2, 1], [5, 4, 0]])
    np.testing.assert_array_equal(one["more"], [[2, 3, 4], [5, 6, 0]])
    np.testing.assert_array_equal(one["ahead"], [[2, 3, 0], [5, 0, 0]])
    np.testing.assert_array_equal(one["mean"], [2, 4.5])
    np.testing.assert_array_equal(found["w"], [[[0, 1], [1, 2], [2, 3]], [[0, 4], [4, 5], [0, 0]]])
    assert float(found["loss"]) == 15 / 5 and float(found["metric.m"]) == 20 / 5


def test_the_index_of_the_step() -> None:
    text = (
        "cell Index { input x: [n] state k: int = 0 k' = k + 1 output t, t == k } "
        + SEQ1
        + ("t, same = unroll Index over x b, also = unroll Index over x reversed output t, same, b, also }")
    )
    found = padded(text)
    np.testing.assert_array_equal(found["t"], [[0, 1, 2], [0, 1, 0]])
    np.testing.assert_array_equal(found["b"], [[2, 1, 0], [1, 0, 0]])
    real = np.array([[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(found["same"], real)
    np.testing.assert_array_equal(found["also"], real)
    plain = numbers(text, {"x": np.zeros((1, 3, 1))})
    np.testing.assert_array_equal(plain["b"], [[2, 1, 0]])


def test_states_begin_as_told() -> None:
    text = (
        "cell Keep { input x: [n] state s: [n] = 0.5 s' = s output s' }"
        + SEQ1
        + (
            "input s0: [1] param p: [1] = 0 a = unroll Keep over x b = unroll Keep over x from s0 "
            "c, f = unroll Keep over x from record(s = s0 + 1) d = unroll Keep over x from f "
            "output last(a) as a, last(b) as b, last(c) as c, last(d) as d loss p[0] }"
        )
    )
    found = numbers(text, {"x": np.zeros((2, 3, 1)), "s0": np.array([[7.0], [8.0]])})
    assert {n: found[n][:, 0].tolist() for n in "abcd"} == {
        "a": [0.5, 0.5], "b": [7.0, 8.0], "c": [8.0, 9.0], "d": [8.0, 9.0],
    }  # fmt: skip


def test_a_final_state_begins_the_state_that_is_called_like_it() -> None:
    text = """
    cell Greedy(decoder, start) { state token: int = start token' = argmax(decoder(one_hot(token, 3))) output token' }
    model M {
      input x: seq[3]
      decoder = RNN(3)
      _, thought = unroll decoder over x
      output unroll Greedy(decoder, 1) for 4 from thought as tokens
    }
    """
    found = made(text)
    (loop,) = (loop_of(n) for n in found.graph.nodes() if n.op is LOOP and loop_of(n).axis == "4@for")
    begins = {str(c.param.node.attrs["name"]): c.init.node.op.name for c in loop.carries}
    assert begins == {"token": "spread", "decoder.h": "loop"}
    assert found.graph.outputs["tokens"].type.axes == ("4@for", "batch")


def test_constants_and_inner_loops_are_captured_through_every_level() -> None:
    text = """
    cell Inner { input m: [n] input w: [n] state s: [n] = 0 s' = s + m * w output s' }
    cell Outer { input x: [n] input memory: seq@m[n] y = unroll Inner over memory with w = x output last(y) }
    model M {
      input x: seq[1]
      input memory: seq@other[1]
      output unroll Outer over x with memory = memory as y
    }
    """
    found = numbers(text, {"x": ROWS[:1], "memory": np.array([[[10.0], [20.0]]])})
    np.testing.assert_array_equal(found["y"][0, :, 0], [30, 60, 90])


def test_one_instance_at_two_places_of_a_step_has_two_states() -> None:
    text = """
    cell Count { input x: [n] state s: [n] = 0 param w: [n] = 0 s' = s + x + w output s' }
    cell Twice { input x: [n] c = Count() output c(x) + 10 * c(2 * x) }
    model M { input x: seq[1] output unroll Twice over x as y }
    """
    assert list(weights(text)) == ["twice.c.w"]
    np.testing.assert_array_equal(numbers(text, {"x": ROWS[:1]})["y"][0, :, 0], [21, 63, 126])


def test_dropout_is_a_matter_of_training() -> None:
    text = "model M { input x: seq[50] output Dropout(0.5)(x) as y }"
    x = np.ones((4, 6, 50))
    np.testing.assert_array_equal(numbers(text, {"x": x})["y"], x)
    drawn = numbers(text, {"x": x, "seed": 3}, training=True)["y"]
    assert set(np.unique(drawn)) == {0.0, 2.0}
    assert len({drawn[b, t].tobytes() for b in range(4) for t in range(6)}) == 24


def test_losses_add_up_and_penalties_are_not_averaged() -> None:
    text = "model M { input x: seq[1] param w: [2] = 0 loss sum(x) loss 2 * sum(w) }"
    assert float(padded(text)["loss"]) == pytest.approx(15 / 5 + 2 * 0.1)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[x, 1, 2 * x[0]]", [1, 2, 4, 1, 2]), ("x[1:]", [2, 4]), ("x[-1]", 4), ("x @ [1, 0, 1]", 5),
        ("outer(x, [1, 2])[1, :]", [2, 4]), ("transpose(outer(x, [1, 2]))[1]", [2, 4, 8]),
        ("sum(x) / 2", 3.5),
        ("mean(outer(x, [1, 3]), axis = 0)", [7 / 3, 7]), ("norm(x)", 21**0.5), ("max(x)", 4),
        ("min(x, 3)", [1, 2, 3]),
        ("max(x, 2, [3, 0, 0])", [3, 2, 4]), ("x ** 2 - x ** 3", [0, -4, -48]),
        ("x % 3 == 1", [True, False, True]),
        ("where(x > 1, x, -x)", [-1, 2, 4]), ("clip(x, 1.5, 3)", [1.5, 2, 3]), ("x // 3", [0, 0, 1]),
        ("mod(x, 3)", [1, 2, 1]),
        ("where(not (x > 1 and x < 3), 1.0, 0)", [1, 0, 1]), ("repeat(x, 2)", [1, 1, 2, 2, 4, 4]),
        ("cumsum(x)", [1, 3, 7]),
        ("reshape([x, x], [2, 3])[1]", [1, 2, 4]), ("concat(outer(x, [1]), outer(x, [2]), axis = 0)[4]", [4]),
        ("argmax(x)", 2), ("one_hot(i, 3) + float(i)", [1, 2, 1]), ("x[i]", 2), ("int(x / 2)", [0, 1, 2]),
        ("i + 0.5", 1.5),
        ("outer(x, x)[i]", [2, 4, 8]), ("softmax(zeros([4]))", [0.25] * 4), ("ones([2]) * i", [1, 1]),
        ("i / 2", 0.5),
        ("squared_error(x, [1, 2, 1])", 3), ("binary_cross_entropy(0.0 * i, 1)", np.log(2)), ("square(i)", 1),
        ("cross_entropy(0 * x, i)", np.log(3)), ("cross_entropy(0 * x, one_hot(i, 3))", np.log(3)),
        ("accuracy(x, i + 1)", 1),
        ("(x > 1) * 3", [0, 3, 3]), ("-x", [-1, -2, -4]), ("reciprocal(x)", [1, 0.5, 0.25]),
        ("identity(x)", [1, 2, 4]),
        ("log_softmax([i, i])", [-np.log(2)] * 2), ("floor(x / 3)", [0, 0, 1]), ("sign(x - 2)", [-1, 0, 1]),
    ],
)  # fmt: skip
def test_expressions(expression: str, expected: Any) -> None:
    found = numbers(f"model M {{ input x: [3] input i: int output {expression} as y }}", {"x": [[1.0, 2, 4]], "i": [1]})
    np.testing.assert_allclose(found["y"][0] if found["y"].ndim > np.ndim(expected) else found["y"], expected)


@pytest.mark.parametrize("name", sorted(n for n, f in TABLE.items() if f.fold and len(f.parameters) == 1))
@pytest.mark.parametrize("number", [0.75, 2.5])
def test_what_is_known_while_compiling_is_what_would_be_computed(name: str, number: float) -> None:
    found = numbers(
        f"model M {{ input x: float output {name}(x) as a, x * 0 + {name}({number}) as b }}", {"x": [number]}
    )
    np.testing.assert_allclose(found["a"], found["b"], rtol=1e-14)


# --- imports ---------------------------------------------------------------------------------------------------


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


USES = 'import "cells/mine.rnn" ' + model("output unroll Mine(2) over x as y")
MINE = "cell Mine(u) { input x: [n] output Other(u)(x) }"


def test_imports_below_the_folder(tmp_path: Path) -> None:
    written(tmp_path, "cells/mine.rnn", 'import "deeper/other.rnn" ' + MINE)
    written(tmp_path, "cells/deeper/other.rnn", "layer Other(u) { input x: [n] output Dense(u)(x) }")
    found = elaborate(parse(read_source(written(tmp_path, "model.rnn", USES))))
    assert [w.name for w in found.weights] == ["mine.other.dense.kernel", "mine.other.dense.bias"]


def test_every_file_names_its_own(tmp_path: Path) -> None:
    """What a definition names is what stands in its own file, whoever imports it and wherever it is used."""
    written(tmp_path, "two.rnn", "layer Help { input x: [n] output 2 * x } layer Two { input x: [n] output Help(x) }")
    three = "layer Help { input x: [n] output 3 * x } layer Three { input x: [n] output Help(x) }"
    written(tmp_path, "three.rnn", three)
    head = 'import "two.rnn" import "three.rnn" '
    both = head + "model M { input x: [1] output Two(x) as a, Three(x) as b }"
    own = head + (
        "layer Help { input x: [n] output 5 * x } layer Dense { input x: [n] output 4 * x } "
        "layer Same { input x: [n] output Help(Dense(x)) } "
        "model M { input x: [1] output Two(x) as a, Three(x) as b, Residual(Same)(x) as c }"
    )
    for text, expected in ((both, {"a": 2, "b": 3}), (own, {"a": 2, "b": 3, "c": 21})):
        found = rg.load(written(tmp_path, "model.rnn", text)).compile().run({"x": np.ones((1, 1))}, {})
        assert {name: float(array[0, 0]) for name, array in found.items()} == expected
    with pytest.raises(UserError, match="`Help` comes from two imports"):
        rg.load(written(tmp_path, "model.rnn", head + "model M { input x: [1] output Help(x) }"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../out.rnn", "not inside the folder"), ("/etc/passwd", "not inside the folder"),
        ("cells/link.rnn", "is outside the folder"),
        ("cells/none.rnn", "there is no file"), ("cells", "is a folder"),
        ("cells/../../out.rnn", "not inside the folder"),
        ("self.rnn", "imports itself"), ("cells/a.rnn", "imports itself"),
        ("cells/wrong.rnn", "expected"),
    ],
)  # fmt: skip
def test_imports_that_fail(tmp_path: Path, path: str, message: str) -> None:
    written(tmp_path, "out.rnn", "layer Out { input x: [n] output x }")
    inside = tmp_path / "inside"
    written(inside, "cells/a.rnn", 'import "b.rnn"')
    written(inside, "cells/b.rnn", 'import "a.rnn"')
    written(inside, "cells/wrong.rnn", "layer { }")
    (inside / "cells" / "link.rnn").symlink_to(tmp_path / "out.rnn")
    file = parse(read_source(written(inside, "self.rnn", f'import "{path}" ' + model("output x"))))
    with pytest.raises(UserError, match=message):
        elaborate(file)
    assert any(re.search(message, d.message) for d in check(file))


def test_an_own_definition_goes_before_the_library() -> None:
    own = "layer Dense(units) { input x: [n] param only: [n, units] output x @ only }"
    assert list(weights(own + model("output Dense(2)(x) as y"))) == ["dense.only"]


# --- whatever is written -----------------------------------------------------------------------------------------


def test_long_sums_and_deep_calls_are_no_trouble() -> None:
    assert made(model("output " + " + ".join(["x"] * 200) + " as y")).outputs == ("y",)
    nested = "x"
    for _ in range(40):
        nested = f"tanh({nested})"
    assert made(model(f"output {nested} as y")).outputs == ("y",)


CORPUS = [
    *BLOCKS,
    *(p.read_text(encoding="utf-8") for p in sorted((ROOT / "rnngraph" / "library").glob("*.rnn"))),
]
WORDS = re.compile(r"\s+|[A-Za-z_]\w*'?|\d+\.\d+|\d+|\S")
VOCABULARY = sorted({w for text in CORPUS for w in WORDS.findall(text)})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CORPUS), st.data())
def test_whatever_is_written_gets_a_graph_or_a_message(text: str, data: st.DataObject) -> None:
    words = WORDS.findall(text)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        words[place] = data.draw(st.sampled_from(["", *VOCABULARY]))
    try:
        file = parse(Source("any.rnn", "".join(words)))
    except UserError:
        return
    found = check(file)
    try:
        verify(elaborate(file).graph)
    except UserError as refused:
        errors = {d.message for d in found if d.severity == "error"}
        assert errors or any(d.code in ("E303", "E315") for d in refused.diagnostics)
