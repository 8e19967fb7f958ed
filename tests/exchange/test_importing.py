"""Models of other tools come in as text that computes the same: real files with recorded outputs, and small graphs that
onnxruntime runs beside ours."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rnngraph as rg
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.exchange.export.onnx.export import to_onnx
from rnngraph.exchange.export.request import Wanted
from rnngraph.exchange.importing import check
from rnngraph.exchange.importing.importer import Imported, import_model
from tests.support.models import parsed

HERE = Path(__file__).parent / "imported"
EXPECTED = np.load(HERE / "expected.npz")
REAL = ("sentiment.keras", "stacked.keras", "seq2seq.keras", "merge.keras", "flat.h5", "tagger.onnx", "pooled.onnx")


def told(error: pytest.ExceptionInfo[UserError]) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in error.value.diagnostics]


# --- real files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_gives_what_its_own_tool_gave(name: str) -> None:
    made = import_model(HERE / name)
    model = rg.parse(made.text)
    data = {i.name: EXPECTED[f"{name} {i.name}"] for i in model.inputs}
    results = model.compile(kernels="numpy").run(data, {n: w.astype("f8") for n, w in made.weights.items()})
    for i, output in enumerate(model.outputs):
        np.testing.assert_allclose(results[output], EXPECTED[f"{name} {i}"], atol=1e-5)


def test_the_text_is_as_a_person_writes_it() -> None:
    assert import_model(HERE / "tagger.onnx").text == """\
model Tagger {
  input tokens: seq int

  embed = Embedding(7, 3)
  rnn = Bidirectional(LSTM(2), LSTM(2))
  rnn_2 = Bidirectional(LSTM(2), LSTM(2))
  norm_2 = LayerNorm()
  out = Dense(2)

  output out(relu(norm_2(rnn_2(rnn(embed(tokens)))))) as scores
}
"""
    assert import_model(HERE / "seq2seq.keras").text == """\
model Seq2seq {
  input source: seq[3]
  input target: seq@target_time[2]

  encoder = LSTM(2)
  decoder = LSTM(2)
  scores = Dense(2)

  _, encoder_final = unroll encoder over source
  decoder_y = unroll decoder over target from encoder_final

  output scores(decoder_y) as scores
  output encoder_final.h as encoder
}
"""


def test_the_first_dimension_may_be_the_steps() -> None:
    made = import_model(HERE / "states.onnx")
    x, h0 = EXPECTED["states.onnx x"], EXPECTED["states.onnx h0"]
    data = {"x": x.swapaxes(0, 1), "h0": h0.swapaxes(0, 1)}
    results = rg.parse(made.text).compile(dtype="float32", kernels="numpy").run(data, made.weights)
    np.testing.assert_allclose(results["y"], EXPECTED["states.onnx 0"].swapaxes(0, 1), atol=1e-5)


def test_everything_that_cannot_be_said_is_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        import_model(HERE / "unsayable.keras")
    assert told(error) == [
        ("E760", "layer `conv1d_3` (Conv1D) cannot be said in the language: there is nothing like it"),
        ("E760", "layer `own_code` (Lambda) cannot be said in the language: it holds code, which is never run"),
    ]


@pytest.mark.parametrize(
    ("name", "said", "other", "words"),
    [
        ("merge", '"data_format": "channels_last"', '"data_format": "channels_first"', "its channels are not the last"),
        ("sentiment", '"noise_shape": null', '"noise_shape": [null, 1, 4]', "its noise_shape has several entries"),
    ],
)
def test_options_that_change_what_a_layer_does_are_read(
    name: str, said: str, other: str, words: str, tmp_path: Path
) -> None:
    with ZipFile(HERE / f"{name}.keras") as old, ZipFile(tmp_path / "m.keras", "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            new.writestr(entry, content.replace(said.encode(), other.encode()))
    with pytest.raises(UserError, match=words):
        import_model(tmp_path / "m.keras")


def _tensor(name: str, call: int = 0) -> dict[str, object]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, 0]}}


def _input(name: str) -> dict[str, object]:
    config = {"name": name, "batch_shape": [None, None, 2]}
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def _called(kind: str, name: str, *calls: object, **config: object) -> dict[str, object]:
    """A layer, or a function of `keras.ops`, with the arguments of each of its calls; those of Keras 2 are a tuple."""
    nodes = [{"args": call, "kwargs": {}} if isinstance(call, list) else call for call in calls]
    made = {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}
    return made if config else {**made, "module": "keras.src.ops.numpy"}


def _written(path: Path, layers: list[dict[str, object]], outputs: list[list[object]], version: str = "3.8.0") -> Path:
    """A file of Keras with a model of these layers, which have no weights."""
    inputs = [[layer["name"], 0, 0] for layer in layers if layer["class_name"] == "InputLayer"]
    config = {"name": "m", "layers": layers, "input_layers": inputs, "output_layers": outputs}
    told = {"config.json": {"class_name": "Functional", "config": config}, "metadata.json": {"keras_version": version}}
    with ZipFile(HERE / "merge.keras") as old, ZipFile(path, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, json.dumps(told[entry]).encode() if entry in told else old.read(entry))
    return path


def _run(path: Path, **data: object) -> dict[str, Any]:
    made = import_model(path)
    return dict(rg.parse(made.text).compile(dtype="float64").run(data, made.weights))


X = np.array([[[0.5, -1.0], [2.0, 0.0]]])


def test_numbers_in_calls_of_keras_functions_count(tmp_path: Path) -> None:
    """`ops.maximum(1 - x, 0.25) * [2, 3]`: only the tensors of a call had been seen, so that it was `x`."""
    row = {"class_name": "__tensor__", "config": {"value": [2.0, 3.0], "dtype": "float32"}}
    less, most = _called("Subtract", "less", [1, _tensor("x")]), _called("Maximum", "most", [_tensor("less"), 0.25])
    layers = [_input("x"), less, most, _called("Multiply", "y", [_tensor("most"), row])]
    result = _run(_written(tmp_path / "m.keras", layers, [["y", 0, 0]]), x=X)["y"]
    np.testing.assert_array_equal(result, np.maximum(1 - X, 0.25) * [2, 3])


def test_keras_functions_that_only_bear_the_name_of_a_layer_are_refused(tmp_path: Path) -> None:
    """`ops.average` takes the mean of one array, the layer `Average` that of several."""
    layers = [_input("x"), _called("Average", "y", [_tensor("x")])]
    with pytest.raises(UserError, match="there is nothing like it"):
        import_model(_written(tmp_path / "m.keras", layers, [["y", 0, 0]]))


def test_calls_of_a_model_in_a_model_are_told_apart(tmp_path: Path) -> None:
    """Keras 3 counts those that are outputs from 1, and others from 0; Keras 2 all of them from 1."""
    inner = [_input("i"), _called("Multiply", "twice", [_tensor("i"), 2])]
    config = {"layers": inner, "input_layers": [["i", 0, 0]], "output_layers": [["twice", 0, 0]]}
    model = _called("Functional", "f", [_tensor("a")], [_tensor("b")], **config)
    layers = [_input("a"), _input("b"), model, _called("Add", "y", [_tensor("f", 1), 1])]
    found = _run(_written(tmp_path / "m.keras", layers, [["f", 1, 0], ["y", 0, 0]]), a=X, b=10 * X)
    np.testing.assert_array_equal(found["f"], 2 * X)
    np.testing.assert_array_equal(found["y"], 20 * X + 1)

    inner = [_input("i"), _called("Multiply", "square", (["i", 0, 0, {}], ["i", 0, 0, {}]), trainable=True)]
    config = {"layers": inner, "input_layers": [["i", 0, 0]], "output_layers": [["square", 0, 0]]}
    model = _called("Functional", "f", (["a", 0, 0, {}],), (["b", 0, 0, {}],), **config)
    y = _called("Activation", "y", (["f", 2, 0, {}],), activation="linear")
    layers = [_input("a"), _input("b"), model, y]
    found = _run(_written(tmp_path / "m.keras", layers, [["f", 1, 0], ["y", 0, 0]], "2.15.0"), a=X, b=10 * X)
    np.testing.assert_array_equal(found["f"], X * X)
    np.testing.assert_array_equal(found["y"], 100 * X * X)


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.8.0", 1 / 6)])
def test_hard_sigmoid_is_that_of_the_files_keras(version: str, slope: float, tmp_path: Path) -> None:
    """A layer of Keras 2 had that of Keras 3, where it is no gate."""
    layers = [_input("x"), _called("Activation", "y", [_tensor("x")], activation="hard_sigmoid")]
    result = _run(_written(tmp_path / "m.keras", layers, [["y", 0, 0]], version), x=X)["y"]
    np.testing.assert_allclose(result, slope * X + 0.5, rtol=1e-12)


def test_a_formula_is_applied_to_matrices_too(tmp_path: Path) -> None:
    """`relu6` of what is no sequence: what was made of it was not valid."""
    matrix = _input("x")
    matrix["config"] = {"name": "x", "batch_shape": [None, 2, 2]}
    layers = [matrix, _called("Activation", "y", [_tensor("x")], activation="relu6")]
    result = _run(_written(tmp_path / "m.keras", layers, [["y", 0, 0]]), x=5 * X)["y"]
    np.testing.assert_array_equal(result, np.clip(5 * X, 0, 6))


def _edited(path: Path, **told: object) -> Path:
    """`seq2seq.keras` with its decoder called with these besides its input."""
    with ZipFile(HERE / "seq2seq.keras") as old, ZipFile(path, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry == "config.json":
                config = json.loads(content)
                (decoder,) = (layer for layer in config["config"]["layers"] if layer["name"] == "decoder")
                decoder["inbound_nodes"][0]["kwargs"] = told
                content = json.dumps(config).encode()
            new.writestr(entry, content)
    return path


def test_first_states_that_are_constant_are_begun_with(tmp_path: Path) -> None:
    """They had been zeros."""
    h, c = ({"class_name": "__tensor__", "config": {"value": [v], "dtype": "float32"}} for v in ([0.5, -1], [2, 3]))
    made = import_model(_edited(tmp_path / "m.keras", initial_state=[h, c]))
    x = np.random.default_rng(0).normal(size=(1, 1, 2))
    data = {"source": np.zeros((1, 1, 3)), "target": x}
    result = rg.parse(made.text).compile(dtype="float64").run(data, made.weights)["scores"]
    w = {name: np.float64(array) for name, array in made.weights.items()}
    seen = np.concatenate([x[0, 0], [0.5, -1]]) @ w["decoder.kernel"] + w["decoder.bias"]
    i, j, f, o = np.split(seen, 4)
    i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f + 1, o))
    state = o * np.tanh(f * [2, 3] + i * np.tanh(j))
    np.testing.assert_allclose(result[0, 0], state @ w["scores.kernel"] + w["scores.bias"], atol=1e-12)


def test_what_a_layer_is_called_with_besides_is_told(tmp_path: Path) -> None:
    """A mask had been passed over in silence."""
    with pytest.raises(UserError, match="layer `decoder` is called with a mask: steps are left out by lengths here"):
        import_model(_edited(tmp_path / "m.keras", mask=_tensor("target")))
    notes = import_model(_edited(tmp_path / "n.keras", training=True)).notes
    assert "`decoder` is called with training = true: here it drops nothing but in training" in notes


def test_quantised_layers_are_refused(tmp_path: Path) -> None:
    """Their integers had been taken as the weights."""
    with ZipFile(HERE / "sentiment.keras") as old, ZipFile(tmp_path / "m.keras", "w") as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry) if entry != "model.weights.h5" else _whole_numbers(old.read(entry)))
    with pytest.raises(UserError, match="`scores/kernel` holds int8 numbers: it is quantised, save it as floats"):
        import_model(tmp_path / "m.keras")


def _whole_numbers(weights: bytes) -> bytes:
    """A file of weights with the matrix of its last layer as integers."""
    h5py = pytest.importorskip("h5py")
    kept = io.BytesIO(weights)
    with h5py.File(kept, "a") as file:
        old = np.asarray(file["layers/dense/vars/0"])
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.round(old * 100).astype(np.int8)
    return kept.getvalue()


def test_what_goes_backwards_over_masked_steps_is_told(tmp_path: Path) -> None:
    """Keras reverses padding with the steps, and hands on a mask that it has not reversed."""
    assert not any("backwards" in note for note in import_model(HERE / "stacked.keras").notes)
    with ZipFile(HERE / "stacked.keras") as old, ZipFile(tmp_path / "m.keras", "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry == "config.json":
                config = json.loads(content)
                inner = {"name": "m", "mask_value": 0.0}
                masking = {"module": "keras.layers", "class_name": "Masking", "config": inner}
                config["config"]["layers"].insert(1, masking)
                content = json.dumps(config).encode()
            new.writestr(entry, content)
    (note,) = (note for note in import_model(tmp_path / "m.keras").notes if "backwards" in note)
    assert "goes backwards over masked steps: of a row that is padded its outputs begin at the first step here" in note


# --- our own files --------------------------------------------------------------------------------------------------

OWN = ("lstm peepholes", "lstm everything", "clockwork", "encoder decoder", "greedy", "pooling", "tagger", "thoughts",
       "logarithms")  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_what_was_exported_comes_back(name: str, tmp_path: Path) -> None:
    model = parsed(name)
    made = _imported(to_onnx(model, model.init(1), Wanted(), True), tmp_path)
    assert made.difference is not None and made.difference < 1e-5


def test_an_exported_file_says_who_made_it() -> None:
    model = onnx.load_from_string(to_onnx(parsed("lstm"), parsed("lstm").init(0), Wanted()))
    assert (model.producer_name, model.producer_version) == ("rnngraph", rg.__version__)
    assert {p.key: p.value for p in model.metadata_props}["rnngraph.version"] == rg.__version__


# --- operators ------------------------------------------------------------------------------------------------------

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _imported(content: bytes, folder: Path) -> Imported:
    (folder / "small.onnx").write_bytes(content)
    return import_model(folder / "small.onnx")


def _model(
    nodes: list[Any], inputs: list[Any], outputs: dict[str, int], tensors: dict[str, Any], opset: int = 18
) -> bytes:
    """The content of a file; outputs have so many dimensions."""
    ports = [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in inputs]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n, rank in outputs.items()]
    held = [numpy_helper.from_array(np.asarray(a), n) for n, a in tensors.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "small", ports, ends, held), opset_imports=[helper.make_opsetid("", opset)]
    )
    made.ir_version = 8
    content: bytes = made.SerializeToString()
    return content


def _recurrent(kind: str, extra: dict[str, Any], **attributes: Any) -> bytes:
    """An operator of 3 inputs and 2 units over (steps, batch, 3); `extra` are constants or inputs by their place."""
    rng = np.random.default_rng(0)
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = 2 * GATES[kind]
    shapes = {"W": (ways, rows, 3), "R": (ways, rows, 2), "B": (ways, 2 * rows)}
    tensors = {n: rng.normal(size=s).astype("f4") for n, s in shapes.items()}
    inputs = [("x", TensorProto.FLOAT, ["steps", "rows", 3])]
    names = ["x", "W", "R", "B", "", "", "", ""]
    for name, (place, shape) in extra.items():
        names[place] = name
        if name == "P":
            tensors[name] = rng.normal(size=shape).astype("f4")
        else:
            inputs.append((name, TensorProto.INT32 if name == "lengths" else TensorProto.FLOAT, shape))
    outputs = {"y": 4, "h": 3, **({"c": 3} if kind == "LSTM" else {})}
    while not names[-1]:
        names.pop()
    node = helper.make_node(kind, names, list(outputs), name="cell", hidden_size=2, **attributes)
    return _model([node], inputs, outputs, tensors)


def test_numbers_of_bfloat16_may_stand_in_either_field(tmp_path: Path) -> None:
    """A file that keeps them in `int32_data` was called damaged."""
    nodes = [helper.make_node("Cast", ["w"], ["v"], to=1), helper.make_node("Add", ["x", "v"], ["y"])]
    model = onnx.ModelProto.FromString(_model(nodes, [("x", TensorProto.FLOAT, ["rows", 2])], {"y": 2}, {}))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, [2], [0.5, -3.0]))
    made = _imported(model.SerializeToString(), tmp_path)
    x = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(rg.parse(made.text).compile().run({"x": x}, made.weights)["y"], [[1.5, -1.0]])


def test_flatten_tells_that_fixed_dimensions_are_sizes(tmp_path: Path) -> None:
    """Where nothing else told of them, a valid file was called damaged."""
    node = helper.make_node("Flatten", ["x"], ["y"], axis=1)
    made = _imported(_model([node], [("x", TensorProto.FLOAT, ["rows", 3, 4])], {"y": 2}, {}), tmp_path)
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(rg.parse(made.text).compile().run({"x": x}, {})["y"], x.reshape(2, 12))


HARD = {"activations": ["HardSigmoid", "Tanh", "Relu"], "activation_alpha": [0.3], "activation_beta": [0.4]}
OPERATORS = {
    "reverse": ("LSTM", {}, {"direction": "reverse"}, "LSTM(2)"),
    "both": ("GRU", {}, {"direction": "bidirectional"}, "GRU(2)"),
    "peepholes": ("LSTM", {"P": (7, (1, 6))}, {}, "LSTM(2, peepholes = true)"),
    "coupled": ("LSTM", {}, {"input_forget": 1}, "coupled = true"),
    "clip": ("LSTM", {"P": (7, (1, 6))}, {"clip": 0.6}, "LSTM(2, peepholes = true, gate_clip = 0.6)"),
    "clip gru": ("GRU", {}, {"clip": 0.4, "linear_before_reset": 1}, "gate_clip = 0.4"),
    "hard": ("LSTM", {}, HARD, "cell OtherLSTM"),
    "clip rnn": ("RNN", {}, {"clip": 0.5, "activations": ["Elu"]}, "layer ClippedElu"),
    "hard gru": ("GRU", {}, {"activations": ["HardSigmoid", "LeakyRelu"]}, "recurrent_activation = HardSigmoid"),
    "reset": ("GRU", {}, {"linear_before_reset": 1}, "GRU(2, reset_after = true)"),
    "softsign": ("RNN", {}, {"activations": ["Softsign"]}, "RNN(2, activation = softsign)"),
    "states": ("LSTM", {"h0": (5, [1, "rows", 2]), "c0": (6, [1, "rows", 2])}, {}, "from record("),
    "lengths": ("GRU", {"lengths": (4, ["rows"])}, {"direction": "bidirectional"}, "GRU(2)"),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_with_its_attributes(name: str, tmp_path: Path) -> None:
    kind, extra, attributes, expected = OPERATORS[name]
    made = _imported(_recurrent(kind, extra, **attributes), tmp_path)
    assert expected in made.text
    assert made.difference is not None


FUNCTIONS = {
    "Gelu": {}, "Elu": {"alpha": 0.5}, "Selu": {}, "LeakyRelu": {"alpha": 0.2}, "Celu": {"alpha": 0.7}, "HardSwish": {},
    "Mish": {}, "Softsign": {}, "Erf": {}, "Round": {}, "Ceil": {}, "Atan": {}, "HardSigmoid": {"alpha": 0.3},
    "Swish": {"alpha": 1.7},
}  # fmt: skip
OVER = {"ReduceProd": "prod(", "ReduceLogSumExp": "logsumexp(", "ReduceMin": "min("}
SUMS = {"bij,bjk->bik": "xy", "bij,bkj->bi": "xz", "bii->bi": "s", "bij->jb": "x", "bij,bjk,bi->kb": "xyr"}


def test_functions_and_sums_are_those_of_the_language(tmp_path: Path) -> None:
    """Products of several matrices at once, too."""
    make = helper.make_node
    inputs = {"x": [2, 3], "y": [3, 4], "z": [4, 3], "s": [3, 3], "r": [2], "p": [2, 5, 3], "q": [2, 3, 4]}
    nodes = [make(name, ["x"], [f"f{i}"], **attributes) for i, (name, attributes) in enumerate(FUNCTIONS.items())]
    nodes += [make("Gelu", ["x"], ["tanh_gelu"], approximate="tanh")]
    nodes += [make(name, ["x", "last"], [f"o{i}"], keepdims=0) for i, name in enumerate(OVER)]
    nodes += [make("Einsum", list(given), [f"e{i}"], equation=text) for i, (text, given) in enumerate(SUMS.items())]
    nodes += [make("ArgMin", ["x"], ["least"], axis=2, keepdims=0), make("Cast", ["least"], ["l"], to=1)]
    nodes += [make("MatMul", ["p", "q"], ["many"])]
    ranks = {f"f{i}": 3 for i in range(len(FUNCTIONS))} | {f"o{i}": 2 for i in range(len(OVER))}
    ranks |= {f"e{i}": len(text.split("->")[1]) for i, text in enumerate(SUMS)} | {"tanh_gelu": 3, "l": 2, "many": 4}
    ports = [(name, TensorProto.FLOAT, ["rows", *shape]) for name, shape in inputs.items()]
    content = _model(nodes, ports, ranks, {"last": np.array([2])}, opset=24)
    made = _imported(content, tmp_path)
    assert made.difference is not None and made.difference < 1e-5
    for word in ("gelu(x)", "gelu(x, approximate = true)", "mish(x)", "erf(x)", "argmin(x", *OVER.values()):
        assert word in made.text
    assert 'einsum("i j, j k, i -> k", x, y, r)' in made.text


def test_a_loop_is_a_cell(tmp_path: Path) -> None:
    """Sums up the steps of a sequence, which it looks up by their index."""
    floats = TensorProto.FLOAT
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["x", "i"], ["now"], axis=0),
            helper.make_node("Add", ["total", "now"], ["more"]),
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Tanh", ["more"], ["shown"]),
        ],
        "adding",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("total", floats, ["batch", 3]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", floats, ["batch", 3]),
            helper.make_tensor_value_info("shown", floats, ["batch", 3]),
        ],
    )
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["count"]),
        helper.make_node("Loop", ["count", "yes", "start"], ["end", "all"], body=body),
    ]
    tensors = {"zero": np.int64(0), "yes": np.array(True)}
    inputs = [("x", floats, ["time", "batch", 3]), ("start", floats, ["batch", 3])]
    made = _imported(_model(nodes, inputs, {"end": 2, "all": 3}, tensors), tmp_path)
    assert "cell Adding" in made.text and made.difference is not None


# --- what differs from the file -------------------------------------------------------------------------------------

INTS, FLOATS = TensorProto.INT64, TensorProto.FLOAT


def test_lengths_are_given_with_their_sequence(tmp_path: Path) -> None:
    made = _imported(_recurrent("GRU", {"lengths": (4, ["rows"])}), tmp_path)
    assert [i.name for i in rg.parse(made.text).inputs] == ["x"]
    assert "`lengths` is given as `x.lengths`" in made.notes


def test_lengths_may_be_data_too(tmp_path: Path) -> None:
    """A mean over the steps that are real."""
    nodes = [
        helper.make_node("GRU", ["x", "W", "R", "", "lens"], ["all"], hidden_size=2),
        helper.make_node("Squeeze", ["all", "one"], ["steps"]),
        helper.make_node("ReduceSum", ["steps", "zero"], ["total"], keepdims=0),
        helper.make_node("Cast", ["lens"], ["count"], to=FLOATS),
        helper.make_node("Unsqueeze", ["count", "one"], ["column"]),
        helper.make_node("Div", ["total", "column"], ["mean"]),
    ]
    rng = np.random.default_rng(0)
    tensors = {"W": rng.normal(size=(1, 6, 3)).astype("f4"), "R": rng.normal(size=(1, 6, 2)).astype("f4")}
    tensors |= {"zero": np.array([0]), "one": np.array([1])}
    inputs = [("x", FLOATS, ["time", "batch", 3]), ("lens", TensorProto.INT32, ["batch"])]
    made = _imported(_model(nodes, inputs, {"mean": 2}, tensors), tmp_path)
    assert made.difference is not None and [i.name for i in rg.parse(made.text).inputs] == ["x", "lens"]
    assert "`lens` is also given as `x.lengths`" in made.notes


def test_another_order_of_dimensions_is_told(tmp_path: Path) -> None:
    made = _imported(_recurrent("RNN", {}), tmp_path)
    assert "`x` is (batch, time, 3) here, and (time, batch, 3) in the file" in made.notes
    assert "`h` is (batch, 1, 2) here, and (1, batch, 2) in the file" in made.notes
    assert not import_model(HERE / "tagger.onnx").notes


def test_names_that_are_keywords_are_changed(tmp_path: Path) -> None:
    nodes = [helper.make_node("Tanh", ["input"], ["output"]), helper.make_node("Relu", ["input"], ["loss"])]
    made = _imported(_model(nodes, [("input", FLOATS, ["batch", 3])], {"output": 2, "loss": 2}, {}), tmp_path)
    assert rg.parse(made.text).outputs == ("output_2", "loss_2")
    assert made.notes == tuple(f"`{name}` is called `{name}_2` here" for name in ("input", "output", "loss"))


# --- the comparison -------------------------------------------------------------------------------------------------

LOOKUPS = {
    "behind": [
        helper.make_node("Add", ["ids", "one"], ["next"]),
        helper.make_node("Gather", ["table", "next"], ["y"]),
    ],
    "one hot": [helper.make_node("OneHot", ["ids", "depth", "values"], ["y"])],
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_ids_are_inside_of_what_they_choose_from(name: str, tmp_path: Path) -> None:
    tensors = {"one": np.int64(1), "depth": np.int64(3), "values": np.float32([0, 1]), "table": np.eye(3, dtype="f4")}
    made = _imported(_model(LOOKUPS[name], [("ids", INTS, ["batch", "time"])], {"y": 3}, tensors), tmp_path)
    assert made.difference == 0


def test_why_a_file_was_not_run_is_told(tmp_path: Path) -> None:
    tensors = {"one": np.int64(5), "table": np.eye(3, dtype="f4")}
    made = _imported(_model(LOOKUPS["behind"], [("ids", INTS, ["batch", "time"])], {"y": 3}, tensors), tmp_path)
    assert made.difference is None and made.checked.startswith("the model was NOT compared: onnxruntime does not run")
    assert "out of data bounds" in made.checked


def _padded(shown: str, rank: int) -> bytes:
    """Steps with lengths, then a bias for each, then their sum; `shown` is what is given of it."""
    nodes = [
        helper.make_node("GRU", ["x", "W", "R", "", "lens"], ["all"], hidden_size=2),
        helper.make_node("Squeeze", ["all", "one"], ["steps"]),
        helper.make_node("Add", ["steps", "bias"], ["shifted"]),
        helper.make_node("ReduceSum", ["shifted", "zero"], ["total"], keepdims=0),
    ]
    rng = np.random.default_rng(0)
    tensors = {"W": rng.normal(size=(1, 6, 3)).astype("f4"), "R": rng.normal(size=(1, 6, 2)).astype("f4")}
    tensors |= {"zero": np.array([0]), "one": np.array([1]), "bias": np.float32([2, 3])}
    inputs = [("x", FLOATS, ["time", "batch", 3]), ("lens", TensorProto.INT32, ["batch"])]
    return _model(nodes, inputs, {shown: rank}, tensors)


def test_padding_may_differ_and_real_steps_may_not(tmp_path: Path) -> None:
    made = _imported(_padded("shifted", 3), tmp_path)
    assert made.difference is not None
    assert "`shifted` has zeros behind the end of a row here, and not in the file" in made.notes
    with pytest.raises(UserError, match="the output `total` differs"):
        _imported(_padded("total", 2), tmp_path)


def test_half_floats_are_compared_as_such(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, ["batch", 64]) for n in "xy"]
    w = numpy_helper.from_array(np.random.default_rng(0).normal(size=(64, 64)).astype("f2"), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "small", ports[:1], ports[1:], [w])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    difference = _imported(made.SerializeToString(), tmp_path).difference
    assert difference is not None and 1e-4 < difference < 2e-2


# --- what is refused ------------------------------------------------------------------------------------------------


def test_files_that_are_no_models_get_one_message(tmp_path: Path) -> None:
    for name in ("text.onnx", "text.keras", "text.h5"):
        (tmp_path / name).write_text("no model")
        with pytest.raises(UserError) as error:
            import_model(tmp_path / name)
        assert len(told(error)) == 1 and "cannot be read as" in told(error)[0][1]
    with pytest.raises(UserError, match="no model that can be imported"):
        import_model(HERE / "make.py")
    with pytest.raises(CannotDo, match="cannot read"):
        import_model(tmp_path / "missing.onnx")
    with pytest.raises(UserError, match="holds weights alone"):
        import_model(HERE.parent / "weights" / "keras3.weights.h5")


def test_nodes_and_versions_that_are_unknown(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="one"),
        helper.make_node("Unique", ["a"], ["y"], name="two"),
    ]
    inputs = [("x", TensorProto.FLOAT, ["batch", 3, 3])]
    with pytest.raises(UserError) as error:
        _imported(_model(nodes, inputs, {"y": 3}, {}), tmp_path)
    assert [message for _, message in told(error)] == [
        "node `one` (Det) cannot be said in the language: there is nothing like it",
        "node `two` (Unique) cannot be said in the language: there is nothing like it",
    ]
    with pytest.raises(UserError, match="version 6 of ONNX's operators"):
        _imported(_model([helper.make_node("Tanh", ["x"], ["y"])], inputs, {"y": 3}, {}, opset=6), tmp_path)


INVALID = {
    "No Op registered for Unheard": ("Unheard", {}, []),
    "shape": ("Tanh", {}, None),
    "No opset import for domain": ("Tanh", {"domain": "elsewhere"}, []),
}


@pytest.mark.parametrize("reason", INVALID)
def test_why_a_file_is_not_valid_is_told(reason: str, tmp_path: Path) -> None:
    kind, attributes, shape = INVALID[reason]
    ports = [helper.make_tensor_value_info("x", FLOATS, []), helper.make_tensor_value_info("y", FLOATS, shape)]
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], **attributes)], "small", ports[:1], ports[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(UserError, match=f"cannot be read as an ONNX model: .*{reason}"):
        _imported(made.SerializeToString(), tmp_path)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    made = onnx.load(HERE / "tagger.onnx")
    made.ir_version = 99
    with pytest.raises(UserError, match="ir_version 99 is higher"):
        _imported(made.SerializeToString(), tmp_path)


@pytest.mark.parametrize(("told", "reason"), [(None, "is missing"), (3, "is 3")])
def test_the_size_of_a_layer_agrees_with_its_weights(told: int | None, reason: str, tmp_path: Path) -> None:
    made = onnx.load_from_string(_recurrent("LSTM", {}))
    (size,) = (a for a in made.graph.node[0].attribute if a.name == "hidden_size")
    if told is None:
        made.graph.node[0].attribute.remove(size)
    else:
        size.i = told
    with pytest.raises(UserError, match=rf"`cell` \(LSTM\).*its hidden_size {reason}, and its weights have 2 units"):
        _imported(made.SerializeToString(), tmp_path)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16"])
def test_narrow_integers_are_refused(kind: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["small"], name="narrow", to=TensorProto.DataType.Value(kind.upper())),
        helper.make_node("Cast", ["small"], ["y"], to=FLOATS),
    ]
    with pytest.raises(UserError, match=rf"node `narrow` \(Cast\).*: it makes numbers of type {kind}"):
        _imported(_model(nodes, [("x", FLOATS, ["batch", 3])], {"y": 2}, {}), tmp_path)


def test_a_model_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    with pytest.raises(UserError) as error:
        import_model(HERE / "tagger.onnx")
    assert told(error)[0][0] == "E763" and "the output `scores` differs" in told(error)[0][1]
