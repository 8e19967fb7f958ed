"""What a file itself says of a layer counts: ONNX attributes and Keras configurations against the cell in the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.conversion.convert import Converted, convert
from rnngraph.exchange.formats.read import read
from rnngraph.exchange.recognise import HARD, with_gate
from tests.support.arrays import arrays
from tests.support.models import over
from tests.support.paths import ROOT

HERE = Path(__file__).parent / "weights"
EXPECTED = dict(np.load(HERE / "expected.npz"))
RNG = np.random.default_rng(4)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def converted(text: str, path: Path | str, source: str, **more: Any) -> tuple[Any, Converted]:
    model = rg.parse(text)
    return model, convert(model, read(str(path)), source, "rnngraph", **more)


def refused(text: str, path: Path | str, source: str, **more: Any) -> tuple[str, str]:
    """The message and the help of the error."""
    with pytest.raises(UserError) as error:
        converted(text, path, source, **more)
    (diagnostic,) = error.value.diagnostics
    return diagnostic.message, diagnostic.help


# --- ONNX: the attributes of a node ---------------------------------------------------------------------------------


def node_file(
    path: Path, kind: str, attributes: Mapping[str, Any], directions: int = 1, peepholes: bool = False
) -> Any:
    """A file of one recurrent operator, 4 units over vectors of 3; what it computes by onnxruntime."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    rows, shapes = 4 * GATES[kind], {"W": (4 * GATES[kind], 3), "R": (4 * GATES[kind], 4), "B": (8 * GATES[kind],)}
    arrays = {n: (RNG.normal(size=(directions, *s)) * 0.7).astype("f4") for n, s in shapes.items()}
    if peepholes:
        arrays["P"] = RNG.normal(size=(directions, rows * 3 // 4)).astype("f4")
    names = ["x", "W", "R", "B", *([""] * 3 + ["P"] if peepholes else [])]
    node = helper.make_node(kind, names, ["y"], name="cell", hidden_size=4, **attributes)
    one, two = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y"))
    made = [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    graph = helper.make_graph([node], "g", [one], [two], made)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    whole.ir_version = 8
    onnx.save(whole, path)
    x = RNG.normal(size=(2, 5, 3)).astype("f4")
    given = x if attributes.get("layout") else x.swapaxes(0, 1)
    (y,) = runtime.InferenceSession(whole.SerializeToString()).run(None, {"x": given})
    y = y if attributes.get("layout") else y.transpose(2, 0, 1, 3)  # (batch, time, direction, units)
    return x, y.reshape(2, 5, -1)


SAYS = {
    "before": ("GRU", {}, "GRU(4)"),
    "after": ("GRU", {"linear_before_reset": 1}, "GRU(4, reset_after = true)"),
    "relu": ("RNN", {"activations": ["Relu"]}, "RNN(4, relu)"),
    "two functions": ("LSTM", {"activations": ["Sigmoid", "Relu", "Relu"]}, "LSTM(4, activation = relu)"),
    "coupled": ("LSTM", {"input_forget": 1}, "LSTM(4, coupled = true)"),
    "no clip": ("GRU", {"clip": 3.4028234663852886e38}, "GRU(4)"),
}
"""For each name an operator, its attributes, and the cell that they say."""


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", SAYS)
def test_the_cell_that_a_node_says_is_converted(name: str, backwards: bool, tmp_path: Path) -> None:
    kind, attributes, cell = SAYS[name]
    way = {"direction": "reverse"} if backwards else {}
    x, y = node_file(tmp_path / "m.onnx", kind, {**attributes, **way})
    turned = {True: over(cell).replace("over x", "over x reversed"), False: over(cell)}
    model, own = converted(turned[backwards], tmp_path / "m.onnx", "onnx")
    np.testing.assert_allclose(model.compile().run({"x": x}, own.arrays)["y"], y, rtol=0, atol=2e-6)
    assert own.assumed == () and not own.left
    message, help = refused(turned[not backwards], tmp_path / "m.onnx", "onnx")
    assert "and the file's `cell` is not" in message
    assert f"direction = {'reverse' if backwards else 'forward'}: {'write' if backwards else 'leave out'}" in help


@pytest.mark.parametrize(
    ("name", "cell", "says"),
    [
        ("before", "GRU(4, reset_after = true)", "linear_before_reset = 0: write `GRU(4)`"),
        ("after", "GRU(4)", "linear_before_reset = 1: write `GRU(4, reset_after = true)`"),
        ("relu", "RNN(4)", "activations = Relu: write `RNN(4, activation = relu)`"),
        ("before", "GRU(4, sigmoid)", "activations = Sigmoid, Tanh: write `GRU(4)`"),
        ("coupled", "LSTM(4)", "input_forget = 1: write `LSTM(4, coupled = true)`"),
        ("two functions", "LSTM(4, coupled = true)", "input_forget = 0: write `LSTM(4"),
    ],
)
def test_another_option_than_the_node_s_is_refused(name: str, cell: str, says: str, tmp_path: Path) -> None:
    node_file(tmp_path / "m.onnx", *SAYS[name][:2])
    assert says in refused(over(cell), tmp_path / "m.onnx", "onnx")[1]


@pytest.mark.parametrize(
    ("kind", "attributes", "says"),
    [
        ("GRU", {"clip": 0.5}, "clip = 0.5 of what goes into the activations: no setting of `GRU` says that"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "activations = Sigmoid, Tanh, Relu: no setting"),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.1]}, "LeakyRelu, activation_alpha = "),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "HardSigmoid, Tanh: write a cell of your own, a copy of"),
    ],
)
def test_what_no_setting_says_is_refused(kind: str, attributes: dict[str, Any], says: str, tmp_path: Path) -> None:
    node_file(tmp_path / "m.onnx", kind, attributes)
    assert says in refused(over(f"{kind}(4)"), tmp_path / "m.onnx", "onnx")[1]


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_cell_of_one_s_own_with_hard_gates_is_what_such_a_node_says(kind: str, tmp_path: Path) -> None:
    functions = ["HardSigmoid", *["Tanh"] * (2 if kind == "LSTM" else 1)]
    x, y = node_file(tmp_path / "m.onnx", kind, {"activations": functions})
    text = with_gate(kind, HARD[0]).replace(f"cell {kind}", "cell Mine") + over("Mine(4)")
    model, own = converted(text, tmp_path / "m.onnx", "onnx")
    np.testing.assert_allclose(model.compile().run({"x": x}, own.arrays)["y"], y, rtol=0, atol=2e-6)
    assert "Sigmoid" in refused(with_gate(kind, HARD[1]) + over(f"{kind}(4)"), tmp_path / "m.onnx", "onnx")[1]


def test_both_directions_of_a_node_are_read_each_with_its_own_functions(tmp_path: Path) -> None:
    functions = {"activations": ["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Relu"], "direction": "bidirectional"}
    x, y = node_file(tmp_path / "m.onnx", "LSTM", {**functions, "layout": 0}, 2, peepholes=True)
    text = "model M {\n  input x: seq[3]\n  output Bidirectional(LSTM(4, peepholes = true), BACK)(x) as y\n}\n"
    right = text.replace("BACK", "LSTM(4, activation = relu, peepholes = true)")
    model, own = converted(right, tmp_path / "m.onnx", "onnx")
    np.testing.assert_allclose(model.compile().run({"x": x}, own.arrays)["y"], y, rtol=0, atol=2e-6)
    _, help = refused(text.replace("BACK", "LSTM(4, peepholes = true)"), tmp_path / "m.onnx", "onnx")
    assert "write `LSTM(4, activation = relu, peepholes = true)`" in help
    _, alone = converted(over("LSTM(4, peepholes = true)"), tmp_path / "m.onnx", "onnx")
    assert dict(alone.left) == {"cell reversed": "the model has one direction"}


def test_peepholes_that_a_file_has_are_not_dropped(tmp_path: Path) -> None:
    node_file(tmp_path / "m.onnx", "LSTM", {}, peepholes=True)
    _, help = refused(over("LSTM(4)"), tmp_path / "m.onnx", "onnx")
    assert "peepholes (`P`): write `LSTM(4, peepholes = true)`" in help


def test_the_check_runs_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the comparison of options blind, the numbers would still tell."""
    node_file(tmp_path / "m.onnx", "GRU", {"linear_before_reset": 0})
    monkeypatch.setattr("rnngraph.exchange.conversion.matching.differences", lambda *_: [])
    with pytest.raises(UserError, match="gives different numbers than ONNX's layer"):
        converted(over("GRU(4, reset_after = true)"), tmp_path / "m.onnx", "onnx")


# --- Keras: the saved configuration ---------------------------------------------------------------------------------

KERAS_2 = """
model K {
  input ids: seq int
  words = Embedding(7, 3)
  a = Bidirectional(LSTM(4), LSTM(4))(words(ids))
  b, _ = unroll HARD(5) over a
  scores = Dense(2)(LayerNorm(0.001)(b))
  output softmax(scores) as y
}
"""
KERAS_3 = """
model K {
  input ids: seq int
  words = Embedding(7, 3)
  a, _ = unroll RNN(3, relu) over words(ids)
  middle = HARD(4, reset_after = true)
  b, _ = unroll middle over a reversed
  c, _ = unroll LSTM(2) >> LSTM(2) over reversed(b)
  output Dense(2)(LayerNorm(0.001)(Dense(3)(c))) as y
}
"""


def hard(text: str, gate: str) -> str:
    return with_gate("GRU", gate).replace("cell GRU", "cell HARD") + text


@pytest.mark.parametrize("name", ["keras2.h5", "tf2.ckpt", "tf2.ckpt.index"])
def test_keras_2_is_read_with_and_without_its_configuration(name: str) -> None:
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    model, own = converted(hard(KERAS_2, HARD[0]), HERE / name, "keras")
    results = model.compile(dtype="float32").run({"ids": EXPECTED["ids"]}, own.arrays)
    np.testing.assert_allclose(results["y"], EXPECTED["keras2"], rtol=0, atol=1e-6)
    told = "\n".join(own.assumed)
    if name == "keras2.h5":
        assert not own.left
        assert told == "`dense`: the file says activation = softmax, which the model must have after the layer"
    else:
        assert "`bidirectional.forward`, `bidirectional.backward`: activation = tanh, recurrent_activation" in told
        assert "`layer_norm`: epsilon = 0.001 (the file does not say; `--assume epsilon=...` does)" in told


BY_SETTING = KERAS_3.replace("HARD(4,", "GRU(4, recurrent_activation = hard_sigmoid,")


HARD_GRU = "GRU(4, reset_after = true, recurrent_activation = hard_sigmoid)"


@pytest.mark.parametrize("said", [hard(KERAS_3, HARD[1]), BY_SETTING], ids=["written out", "by setting"])
@pytest.mark.parametrize("name", ["keras3.keras", "keras3.weights.h5"])
def test_keras_3_is_read_with_and_without_its_configuration(name: str, said: str) -> None:
    pytest.importorskip("h5py")
    model, own = converted(said, HERE / name, "keras")
    results = model.compile(dtype="float32").run({"ids": EXPECTED["ids"]}, own.arrays)
    np.testing.assert_allclose(results["y"], EXPECTED["keras3"], rtol=0, atol=1e-6)
    assert "middle <- `middle`" in own.told and "rnn <- `simple_rnn` (without `bias`)" in own.told
    assert "dense <- `tail/dense` (without `bias`)" in own.told
    assert bool(own.assumed) == (name == "keras3.weights.h5")


@pytest.mark.parametrize(
    ("there", "here", "says"),
    [
        ("RNN(3, relu)", "RNN(3)", "activation = relu: write `RNN(3, activation = relu)`"),
        ("HARD(4,", "GRU(4,", f"write `{HARD_GRU}`"),
        ("over a reversed", "over a", "go_backwards = true: write `unroll ... over ... reversed`"),
        ("reset_after = true", "reset_after = false", f"reset_after = true: write `{HARD_GRU}`"),
        ("LayerNorm(0.001)", "LayerNorm()", "epsilon = 0.001: write `LayerNorm(epsilon = 0.001)`"),
        ("Dense(2)(", "Dense(2, relu)(", "activation = linear: write `Dense(2)`"),
    ],
)
def test_another_option_than_the_configuration_s_is_refused(there: str, here: str, says: str) -> None:
    pytest.importorskip("h5py")
    text = hard(KERAS_3.replace(there, here), HARD[1])
    assert says in refused(text, HERE / "keras3.keras", "keras")[1]


def test_the_way_in_which_keras_joins_two_directions_counts(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "k.h5"
    path.write_bytes((HERE / "keras2.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"merge_mode": "concat"', '"merge_mode": "sum"')
    assert "merge_mode = sum: a layer of your own" in refused(hard(KERAS_2, HARD[0]), path, "keras")[1]


@pytest.mark.parametrize("cell", ["LSTM(4)", "GRU(4, reset_after = true)"])
def test_layers_for_cudnn_are_read(cell: str) -> None:
    pytest.importorskip("h5py")
    name = f"cudnn_{cell[:4].rstrip('(').lower()}"
    model, own = converted(over(cell), HERE / f"{name}.h5", "keras")
    y = model.compile().run({"x": EXPECTED["cudnn_x"]}, own.arrays)["y"]
    np.testing.assert_allclose(y, EXPECTED[name], rtol=0, atol=1e-6)
    assert own.assumed == ()
    if cell != "LSTM(4)":
        assert "reset_after = true" in refused(over("GRU(4)"), HERE / f"{name}.h5", "keras")[1]


@pytest.mark.parametrize("tool", ["tf1", "torch"])
def test_a_direction_that_names_tell_counts(tool: str) -> None:
    """A model that runs backwards takes the arrays of that direction."""
    both = rg.parse("model M {\n  input x: seq[3]\n  output Bidirectional(LSTM(4), LSTM(4))(x) as y\n}\n")
    own = {w.name: RNG.normal(size=w.shape) for w in both.weights}
    there = convert(both, own, "rnngraph", tool).arrays
    for text, way in ((over("LSTM(4)"), "forward"), (over("LSTM(4)").replace("over x", "over x reversed"), "backward")):
        one = convert(rg.parse(text), there, tool, "rnngraph")
        np.testing.assert_allclose(one.arrays["net.kernel"], own[f"bidirectional.{way}.kernel"], rtol=0, atol=1e-15)
        assert len(one.left) == len(there) / 2 and "runs backwards" not in str(one.assumed)
    alone = {name: array for name, array in there.items() if "reverse" not in name and "bw" not in name}
    if tool == "torch":
        told = convert(rg.parse(over("LSTM(4)").replace("over x", "over x reversed")), alone, tool, "rnngraph").assumed
        assert told == ("`net`: it runs backwards here, and the file does not say which way it ran",)


# --- what a file cannot say -----------------------------------------------------------------------------------------


def test_what_tensorflow_1_does_not_keep_is_told_and_can_be_told() -> None:
    golden = arrays(ROOT / "tests" / "tensorflow" / "golden" / "basic_lstm_forget_bias_0.npz")
    text = over("LSTM(4)").replace("output", "output Embedding(17, 3)(id) as e,")
    text = text.replace("net =", "input id: seq int\n  net =")
    model, own = converted(text, HERE / "tf1.ckpt", "tf1")
    (line,) = own.assumed
    assert line.startswith("`net`: forget_bias = 1, activation = tanh, cell_clip = 0 (the file does not say; ")
    assert set(own.left) - {"global_step"} == {f"rnn/basic_lstm_cell/{n}/Adam" for n in ("kernel", "bias")}
    np.testing.assert_array_equal(own.arrays["embedding.table"], EXPECTED["words"])
    for told in ("forget_bias", "net.forget_bias"):
        model, own = converted(text, HERE / "tf1.ckpt", "tf1", assumed={told: "0"})
        assert own.assumed[0].startswith("`net`: activation = tanh")
        data = {"x": golden["x"], "id": np.zeros((3, 5), int), "final.c": golden["s0.c"], "final.h": golden["s0.h"]}
        np.testing.assert_allclose(model.compile().run(data, own.arrays)["y"], golden["out.y"], rtol=0, atol=1e-12)
    _, help = refused(text, HERE / "tf1.ckpt", "tf1", assumed={"activation": "relu"})
    assert "write `LSTM(4, activation = relu)`" in help
    message, help = refused(text, HERE / "tf1.ckpt", "tf1", assumed={"forgetbias": "0"})
    assert "no assumption called `forgetbias`" in message and "did you mean `forget_bias`?" in help


def test_what_the_file_says_itself_cannot_be_assumed() -> None:
    pytest.importorskip("h5py")
    message, _ = refused(over("LSTM(4)"), HERE / "cudnn_lstm.h5", "keras", assumed={"activation": "relu"})
    assert message == "`activation` is given as relu, but the file already says: activation = tanh"


def test_an_array_that_could_be_of_two_layers_is_told() -> None:
    model = rg.parse("model M {\n  input x: seq[4]\n  output Dense(4)(x) as y\n}\n")
    own = convert(model, {"out.weight": RNG.normal(size=(4, 4))}, "torch", "rnngraph")
    assert own.assumed == (
        "`dense`: `out` holds one array, which an embedding could hold as well (`--map dense=...` takes another)",
    )
    assert json.dumps(own.told) == '["dense <- `out` (without `bias`)"]'
