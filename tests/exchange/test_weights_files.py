"""Weights of every kind of file and name go where they belong, or are told: nothing is dropped in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.cli.weights import weights
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.exchange.conversion.convert import Converted, convert
from rnngraph.exchange.conversion.layers import places
from rnngraph.exchange.export.onnx.export import to_onnx
from rnngraph.exchange.export.request import Wanted
from rnngraph.exchange.formats.contents import Found
from rnngraph.exchange.formats.listing import shown
from rnngraph.exchange.formats.read import read
from tests.support.arrays import arrays
from tests.support.models import over

HERE = Path(__file__).parent / "weights"
RNG = np.random.default_rng(6)


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape)


def lstm(name: str, inputs: int = 3, units: int = 4) -> dict[str, Any]:
    """Arrays of a layer as PyTorch names them."""
    rows = 4 * units
    shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, units), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {f"{name}.{local}_l0": drawn(*shape) for local, shape in shapes.items()}


def told(error: pytest.ExceptionInfo[UserError]) -> list[tuple[str, str, str]]:
    return [(d.code, d.message, d.help) for d in error.value.diagnostics]


# --- a layer is what its definition is, not what its params are called ----------------------------------------------

OWN = """
layer Mine(units) {
  input x: seq[n]
  param kernel: [n, units]
  param bias: [units] = 0
  y, _ = unroll LSTM(units) over tanh(x @ kernel) * bias
  output y
}
layer Dense(units) {
  input x: [n]
  param kernel: [units, n]
  output kernel @ x
}
model M {
  input x: seq[3]
  input id: seq int
  param table: [7, 3]
  output Dense(2)(Mine(4)(x + table[id])) as y
}
"""


def test_params_are_no_layers_and_hide_none() -> None:
    model = rg.parse(OWN)
    assert [place.name for place in places(model.made)] == ["mine.lstm"]
    given = {**lstm("rnn", 4), "emb.weight": drawn(7, 3), "proj.weight": drawn(4, 3), "proj.bias": drawn(4)}
    with pytest.raises(UserError) as error:
        convert(model, given, "torch", "rnngraph")
    assert [(message.split("`")[1], help) for _, message, help in told(error)] == [
        ("table", "`emb.weight` has its sizes: `--map table=emb.weight`"),
        ("mine.kernel", "`proj.weight` has its sizes turned over: `--map mine.kernel=proj.weight.T`"),
        ("mine.bias", "`proj.bias` has its sizes: `--map mine.bias=proj.bias`"),
        ("dense.kernel", "`--map dense.kernel=NAME` takes an array of the file for it"),
    ]
    names = {"table": "emb.weight", "mine.kernel": "proj.weight.T", "mine.bias": "proj.bias", "dense.kernel": "out"}
    own = convert(model, {**given, "out": drawn(2, 4)}, "torch", "rnngraph", names)
    np.testing.assert_array_equal(own.arrays["mine.kernel"], given["proj.weight"].T)
    assert not own.left and "mine.lstm <- `rnn`" in own.told
    assert "mine.kernel <- `proj.weight` (turned over)" in own.told
    with pytest.raises(UserError, match="the file has no array `nothing` for `table`"):
        convert(model, given, "torch", "rnngraph", {"table": "nothing"})


def test_what_is_inside_of_a_wrapper_or_beside_a_function_is_found() -> None:
    wrapped = rg.parse(over("Highway(LSTM(3)) >> Projected(GRU(4, reset_after = true), 2)"))
    names = [place.name for place in places(wrapped.made)]
    assert names == ["net.0.inner", "net.1.inner", "net.1.project"]
    own = {w.name: drawn(*w.shape) for w in wrapped.weights}
    there = convert(wrapped, own, "rnngraph", "torch")
    assert "net.0.kernel -> net.0.kernel (no layer of PyTorch: as it is)" in there.told
    back = convert(wrapped, there.arrays, "torch", "rnngraph")
    assert not back.left and all(np.allclose(back.arrays[n], a, rtol=0, atol=1e-15) for n, a in own.items())
    apart = rg.parse(over("LSTM(4) >> relu >> LSTM(4)"))  # no module of two layers: there is a function between them
    assert [place.number for place in places(apart.made)] == [0, 0]


def test_layers_of_a_name_that_we_gave_go_by_order_where_names_do_not_fit() -> None:
    """Our second layer is `lstm_2`, Keras's third: with three layers of one size a match by name would swap two."""
    lines = "\n".join(f"  {b}, _ = unroll LSTM(4) over {a}" for a, b in zip("abc", "bcd", strict=True))
    model = rg.parse(f"model M {{\n  input a: seq[4]\n{lines}\n  output d\n}}\n")
    given = {}
    for i, name in enumerate(("lstm", "lstm_1", "lstm_2")):
        for local, shape in (("kernel", (4, 16)), ("recurrent_kernel", (4, 16)), ("bias", (16,))):
            given[f"{name}/{local}"] = np.full(shape, i + 1.0)
    own = convert(model, given, "keras", "rnngraph").arrays
    assert [own[f"{name}.kernel"][0, 0] for name in ("lstm", "lstm_2", "lstm_3")] == [1, 2, 3]


def test_layers_of_other_names_go_by_order_only_where_none_is_over() -> None:
    """A Keras file tells the order of its layers, whatever they are called; but not which of two is meant."""
    shapes = {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
    arrays = {f"{name}/{local}": drawn(*s) for name in ("writer", "reader") for local, s in shapes.items()}
    found = Found(arrays, places={"reader": "layers/lstm", "writer": "layers/lstm_1"})
    line = "  {0}, _ = unroll LSTM(4) over x\n"
    one, two = (
        rg.parse(f"model M {{\n  input x: seq[3]\n{lines}  output y\n}}\n")
        for lines in (line.format("y"), line.format("z") + "  output z\n" + line.format("y"))
    )
    assert convert(two, found, "keras", "rnngraph").told == ("lstm <- `reader`", "lstm_2 <- `writer`")
    with pytest.raises(UserError, match="`lstm` could be any of `reader`, `writer`"):
        convert(one, found, "keras", "rnngraph")


def test_a_name_that_the_user_chose_is_meant() -> None:
    model = rg.parse("model M {\n  input x: seq[3]\n  reader = LSTM(4)\n  y, _ = unroll reader over x\n  output y\n}\n")
    with pytest.raises(UserError) as error:
        convert(model, {**lstm("reader", 3, 5), **lstm("writer")}, "torch", "rnngraph")
    ((code, message, help),) = told(error)
    assert code == "E692" and message == "no arrays of PyTorch fit the layer `reader`, `LSTM(4)`"
    assert help == (
        "it takes `weight_ih` (16, 3), `weight_hh` (16, 4), `bias_ih` (16,), `bias_hh` (16,); the file has "
        "`reader.weight_ih_l0` (20, 3), `reader.weight_hh_l0` (20, 5), `reader.bias_ih_l0` (20,), "
        "`reader.bias_hh_l0` (20,)"
    )
    assert not convert(model, lstm("writer"), "torch", "rnngraph", {"reader": "writer"}).left


def test_a_name_is_no_match_where_it_is_another_kind_of_layer() -> None:
    """AWD-LSTM calls its table `encoder`; `--map` goes before what sizes and order say."""
    text = (
        "model M {\n  input x: seq[3]\n  encoder = LSTM(4)\n  y, _ = unroll encoder over x\n"
        "  z, _ = unroll LSTM(4) over x\n  output y, z\n}\n"
    )
    model, given = rg.parse(text), {"encoder.weight": drawn(9, 3), **lstm("rnns.0"), **lstm("rnns.1")}
    assert convert(model, given, "torch", "rnngraph").told[:2] == ("encoder <- `rnns.0`", "lstm <- `rnns.1`")
    turned = convert(model, given, "torch", "rnngraph", {"lstm": "rnns.0"})
    assert turned.told[:2] == ("encoder <- `rnns.1`", "lstm <- `rnns.0`")
    with pytest.raises(UserError, match=r"two arrays would be written as `net/kernel`"):
        convert(model, turned.arrays, "rnngraph", "keras", {"lstm": "net", "encoder": "net"})


def test_a_message_never_has_an_empty_name() -> None:
    bare = {name.removeprefix("a."): array for name, array in lstm("a", 3, 5).items()}
    with pytest.raises(UserError) as error:
        convert(rg.parse(over("LSTM(4)")), bare, "torch", "rnngraph")
    assert "the file has `weight_ih_l0` (20, 3), `weight_hh_l0` (20, 5)" in told(error)[0][2]
    with pytest.raises(UserError, match=r"takes `weight_ih` \(16, 3\).*the file has no layers"):
        convert(rg.parse(over("LSTM(4)")), {}, "torch", "rnngraph")
    right = {name.removeprefix("a."): array for name, array in lstm("a").items()}
    assert convert(rg.parse(over("LSTM(4)")), right, "torch", "rnngraph").told == (
        "net <- the arrays without a module's name",
    )


# --- numbers of other types -----------------------------------------------------------------------------------------

TAGGER = """
model Tagger {
  input words: seq int
  both = Bidirectional(LSTM(4), LSTM(4))
  deep = Bidirectional(LSTM(4), LSTM(4))
  scores = Dense(2)(LayerNorm()(deep(both(Embedding(7, 3)(words)))))
  output scores
}
"""


def tagger() -> Any:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = torch.nn.Embedding(7, 3), torch.nn.Linear(8, 2, bias=False)
            self.rnn = torch.nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)
            self.norm = torch.nn.LayerNorm(8)

        def forward(self, ids: Any) -> Any:
            return self.out(self.norm(self.rnn(self.words(ids))[0]))

    torch.manual_seed(1)
    net = Net()
    with torch.no_grad():
        net.norm.weight.normal_()
        net.norm.bias.normal_()
    return net


def scores(model: Any, own: Converted, ids: Any) -> Any:
    return model.compile(dtype="float32").run({"words": np.asarray(ids)}, own.arrays)["scores"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_pytorch_files_of_every_width_are_read_and_go_back(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    net, path = tagger(), tmp_path / "w.safetensors"
    narrow = {name: array.to(getattr(torch, kind)) for name, array in net.state_dict().items()}
    net.load_state_dict({name: array.float() for name, array in narrow.items()})
    save(narrow, str(path))
    model, ids = rg.parse(TAGGER), torch.randint(0, 7, (2, 5))
    found = read(str(path))
    assert {row[2] for row in shown(found)} == {kind}
    assert sum(row[3] for row in shown(found)) == path.stat().st_size - 8 - int.from_bytes(
        path.read_bytes()[:8], "little"
    )
    own = convert(model, found, "torch", "rnngraph")
    np.testing.assert_allclose(scores(model, own, ids), net(ids).detach().numpy(), rtol=0, atol=1e-5)
    assert not own.left and "dense <- `out` (without `bias`)" in own.told
    names = {"both": "rnn", "embedding": "words", "layer_norm": "norm", "dense": "out"}
    back = convert(model, own.arrays, "rnngraph", "torch", names).arrays
    assert set(back) == {*net.state_dict(), "out.bias"}
    net.load_state_dict({n: torch.from_numpy(back[n].copy()) for n in net.state_dict()})
    np.testing.assert_allclose(scores(model, own, ids), net(ids).detach().numpy(), rtol=0, atol=1e-5)


def test_sums_of_float16_biases_are_not_rounded_to_float16() -> None:
    model, narrow = rg.parse(over("LSTM(4)")), {n: a.astype(np.float16) for n, a in lstm("a").items()}
    narrow["a.bias_ih_l0"][:], narrow["a.bias_hh_l0"][:] = 2048, 1  # 2049 is no float16
    own = convert(model, narrow, "torch", "rnngraph").arrays
    np.testing.assert_array_equal(own["net.bias"][:8], 2049)


def test_what_numpy_makes_of_bfloat16_is_read(tmp_path: Path) -> None:
    upper = np.array([[1.5, -2.25]], np.float32).view("<u2")[:, 1::2].copy()
    np.savez(tmp_path / "w.npz", w=upper.view("V2"))
    found = read(str(tmp_path / "w.npz"))
    np.testing.assert_array_equal(found.arrays["w"], [[1.5, -2.25]])
    assert [row[1:4] for row in shown(found)] == [("(1, 2)", "bfloat16", 4)]


def test_the_mean_of_large_weights_is_finite_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.full(4, 3e38, np.float32), b=np.array([True, False]), c=np.zeros((0, 2)))
    found = [row[4:] for row in shown(read(str(tmp_path / "w.npz")))]
    assert found == [("3e+38", "3e+38", "3e+38"), ("0", "0.5", "1"), ("", "", "")]


def test_float_8_is_named_and_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(UserError, match=r"`w` of .* is stored as float8"):
        read(str(path))
    quantised = {n: a.astype(np.int8) if "weight" in n else a for n, a in lstm("a").items()}
    with pytest.raises(UserError, match=r"`a\.weight_ih_l0` holds int8 numbers, not floats"):
        convert(rg.parse(over("LSTM(4)")), quantised, "torch", "rnngraph")


@pytest.mark.parametrize("lacking", ["weight", "bias"])
def test_norms_of_keras_without_gain_or_offset(lacking: str) -> None:
    model = rg.parse("model M {\n  input x: seq[3]\n  output LayerNorm(0.01)(x) as y\n}\n")
    there = {"weight": "gamma", "bias": "beta"}
    given = {f"norm/{name}": drawn(3) for local, name in there.items() if local != lacking}
    own = convert(model, given, "keras", "rnngraph")
    x = drawn(2, 4, 3)
    centred = x - x.mean(-1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.01)
    want = want * given.get("norm/gamma", 1) + given.get("norm/beta", 0)
    np.testing.assert_allclose(model.compile().run({"x": x}, own.arrays)["y"], want, rtol=0, atol=1e-12)


# --- ONNX: more than one operator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operators", [True, False])
def test_our_own_exports_come_back_whole(operators: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    mine = "layer Mine { input x: seq[n]  y, _ = unroll Highway(RNN(n)) over x  output y }\n"
    model = rg.parse(mine + TAGGER.replace("Bidirectional(LSTM(4), LSTM(4))", "Mine()", 1))
    own = {w.name: drawn(*w.shape) for w in model.weights}
    path = tmp_path / "m.onnx"
    path.write_bytes(to_onnx(model, own, Wanted(dtype="float64"), operators=operators))
    back = convert(model, read(str(path)), "onnx", "rnngraph")
    assert not back.left and back.assumed == ()
    assert all(np.allclose(back.arrays[name], array, rtol=0, atol=1e-15) for name, array in own.items())


@pytest.mark.parametrize("form", ["initializers", "constants", "cut"])
def test_layers_of_any_onnx_file(form: str, tmp_path: Path) -> None:
    """A table, an operator, a norm, products as one node and as two; weights as initializers, nodes, cut of others."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    arrays = {
        "table": drawn(7, 3), "W": drawn(1, 12, 3), "R": drawn(1, 12, 4), "B": drawn(1, 24), "gain": drawn(4),
        "offset": drawn(4), "one": drawn(4, 5), "one_bias": drawn(5), "two": drawn(2, 5), "two_bias": drawn(2),
    }  # fmt: skip
    arrays = {n: a.astype("f4") for n, a in arrays.items()}
    stored = {f"whole_{n}" if form == "cut" and n in "WRB" else n: a for n, a in arrays.items()}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], name="words"),
        helper.make_node("Transpose", ["e"], ["x"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["x", "W", "R", "B"], ["y"], name="reader", hidden_size=4, linear_before_reset=1),
        helper.make_node("Squeeze", ["y", "first"], ["z"]),
        helper.make_node("LayerNormalization", ["z", "gain", "offset"], ["n"], name="norm", epsilon=0.01),
        helper.make_node("MatMul", ["n", "one"], ["m"], name="hidden"),
        helper.make_node("Add", ["one_bias", "m"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Reshape", ["r", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "two", "two_bias"], ["scores"], name="out", transB=1, alpha=0.5, beta=2.0),
    ]
    if form == "cut":
        cuts = []
        for name in "WRB":
            pieces = [f"{name}_{i}" for i in range(3)]
            cuts += [helper.make_node("Split", [f"whole_{name}"], pieces, axis=1, num_outputs=3)]
            cuts += [helper.make_node("Concat", pieces, [name], axis=1)]
        nodes = cuts + nodes
    if form == "constants":
        nodes = [
            helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)) for n, a in stored.items()
        ] + nodes
        stored = {}
    stored |= {"first": np.array([1]), "flat": np.array([-1, 5])}
    ids, out = (
        helper.make_tensor_value_info(n, t, None)
        for n, t in (("ids", TensorProto.INT64), ("scores", TensorProto.FLOAT))
    )
    graph = helper.make_graph(nodes, "g", [ids], [out], [numpy_helper.from_array(a, n) for n, a in stored.items()])
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    whole.ir_version = 8
    onnx.save(whole, tmp_path / "m.onnx")
    model = rg.parse(
        "model M {\n  input words: seq int\n  reader = GRU(4, reset_after = true)\n"
        "  y, _ = unroll reader over Embedding(7, 3)(words)\n"
        "  scores = Dense(2)(relu(Dense(5)(LayerNorm(0.01)(y))))\n  output scores\n}\n"
    )
    data = RNG.integers(0, 7, (2, 5))
    (want,) = runtime.InferenceSession(whole.SerializeToString()).run(None, {"ids": data})
    own = convert(model, read(str(tmp_path / "m.onnx")), "onnx", "rnngraph")
    assert not own.left and own.assumed == ()
    np.testing.assert_allclose(scores(model, own, data).swapaxes(0, 1).reshape(-1, 2), want, rtol=0, atol=1e-5)
    other = rg.parse(model.file.source.text.replace("LayerNorm(0.01)", "LayerNorm()"))
    with pytest.raises(UserError, match=r"the file says epsilon = 0.01: write `LayerNorm\(epsilon = 0.01\)`"):
        convert(other, read(str(tmp_path / "m.onnx")), "onnx", "rnngraph")


def test_a_first_state_that_an_onnx_file_fixes_is_told(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"W": drawn(1, 4, 3), "R": drawn(1, 4, 4), "h": np.ones((1, 2, 4))}
    node = helper.make_node("RNN", ["x", "W", "R", "", "", "h"], ["y"], name="net", hidden_size=4)
    one, two = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y"))
    made = [numpy_helper.from_array(a.astype("f4"), n) for n, a in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph([node], "g", [one], [two], made)), tmp_path / "m.onnx")
    own = convert(rg.parse(over("RNN(4)")), read(str(tmp_path / "m.onnx")), "onnx", "rnngraph")
    assert list(own.left) == ["net.initial_h"] and own.told == ("net <- `net` (without `B`)",)


# --- names of other times and tools ---------------------------------------------------------------------------------

PTB = """
model Words {
  input words: seq int
  y, final = unroll LSTM(4) over Embedding(9, 4)(words)
  scores = Dense(9)(y)
  output scores
}
"""


@pytest.mark.parametrize(
    "names",
    [
        ("M/rnn/basic_lstm_cell/kernel", "M/rnn/basic_lstm_cell/bias", "M/dense/kernel", "M/dense/bias"),
        ("M/RNN/basic_lstm_cell/weights", "M/RNN/basic_lstm_cell/biases", "M/softmax_w", "M/softmax_b"),
        ("M/RNN/BasicLSTMCell/Linear/Matrix", "M/RNN/BasicLSTMCell/Linear/Bias", "M/logits/W", "M/logits/b"),
        ("RNN/LSTMCell/W_0", "RNN/LSTMCell/B", "out/weights", "out/biases"),
        ("rnn/lstm_cell/kernel:0", "rnn/lstm_cell/bias:0", "out/weights:0", "out/biases:0"),
    ],
)
def test_names_of_every_age_of_tensorflow(names: tuple[str, ...]) -> None:
    arrays = [drawn(8, 16), drawn(16), drawn(4, 9), drawn(9)]
    given = {**dict(zip(names, arrays, strict=True)), "M/embedding": drawn(9, 4), "M/embedding/Adam": drawn(9, 4)}
    own = convert(rg.parse(PTB), given, "tf1", "rnngraph")
    for ours, array in zip(("lstm.kernel", "lstm.bias", "dense.kernel", "dense.bias"), arrays, strict=True):
        np.testing.assert_array_equal(own.arrays[ours], array)
    assert dict(own.left) == {"M/embedding/Adam": "kept by the optimiser"}


def test_a_cell_is_no_dense_layer_though_its_arrays_have_the_names() -> None:
    model = rg.parse("model M {\n  input x: seq[7]\n  output Dense(16)(x) as y\n}\n")
    with pytest.raises(UserError, match=r"\(16,\) \(it is a `basic_lstm_cell`\)"):
        convert(
            model, {"a/basic_lstm_cell/kernel": drawn(7, 16), "a/basic_lstm_cell/bias": drawn(16)}, "tf1", "rnngraph"
        )


def test_tensorflow_s_cells_for_cudnn_add_no_forget_bias() -> None:
    scope = "cudnn_lstm/rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"
    bias = drawn(16)
    own = convert(
        rg.parse(over("LSTM(4)")), {f"{scope}/kernel": drawn(7, 16), f"{scope}/bias": bias}, "tf1", "rnngraph"
    )
    np.testing.assert_allclose(own.arrays["net.bias"], bias - np.repeat([0, 0, 1, 0], 4), rtol=0, atol=1e-15)
    assert "forget_bias" not in own.assumed[0]


@pytest.mark.parametrize("name", ["tf1.ckpt", "tf1.ckpt.index", "tf1.ckpt.data-00000-of-00001", "folder", "saved"])
def test_a_checkpoint_of_tensorflow_is_read_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    expected = arrays(HERE / "expected.npz")
    place = {"folder": tmp_path, "saved": tmp_path / "variables"}.get(name)
    if place is not None:
        place.mkdir(exist_ok=True)
        for part in HERE.glob("tf1.ckpt.*"):
            (place / part.name.replace("tf1.ckpt", "variables")).write_bytes(part.read_bytes())
        if name == "folder":
            (place / "checkpoint").write_text('model_checkpoint_path: "variables"\n')
    found = read(str(tmp_path if place else HERE / name))
    np.testing.assert_array_equal(found.arrays["words"], expected["words"])
    assert found.arrays["global_step"] == 7 and len(found.arrays) == 6


@pytest.mark.parametrize(("part", "cut"), [("index", 100), ("index", 3), ("data-00000-of-00001", 900)])
def test_a_damaged_checkpoint_is_told(part: str, cut: int, tmp_path: Path) -> None:
    for whole in HERE.glob("tf1.ckpt.*"):
        content = whole.read_bytes()
        (tmp_path / whole.name).write_bytes(content[:-cut] if whole.name.endswith(part) else content)
    with pytest.raises(UserError, match="cannot be read as a TensorFlow checkpoint") as error:
        read(str(tmp_path / "tf1.ckpt"))
    assert "tf.train.load_checkpoint" in told(error)[0][2]
    (tmp_path / "tf1.ckpt.data-00000-of-00001").unlink()
    if part != "index":
        with pytest.raises(CannotDo, match=r"tf1\.ckpt\.data-00000-of-00001`: No such file"):
            read(str(tmp_path / "tf1.ckpt"))


def test_a_checkpoint_of_one_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"x" * 60 + 0xDB4775248B80FB57.to_bytes(8, "little"))
    with pytest.raises(UserError, match=r"in the form of before 0\.12"):
        read(str(tmp_path / "model.ckpt"))


WAYS = {
    "norm": lambda n, m: n.utils.weight_norm(m, "weight_hh_l0"),
    "parametrised": lambda n, m: n.utils.parametrizations.weight_norm(m, "weight_hh_l0"),
    "other dimension": lambda n, m: n.utils.parametrizations.weight_norm(m, "weight_hh_l0", dim=1),
    "one length": lambda n, m: n.utils.parametrizations.weight_norm(m, "weight_hh_l0", dim=None),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of PyTorch, about its older ways
@pytest.mark.parametrize("way", WAYS)
def test_weights_that_pytorch_keeps_in_parts(way: str) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(3, 4, batch_first=True, dtype=torch.float64)
    WAYS[way](torch.nn, module)
    with torch.no_grad():
        next(p for n, p in module.named_parameters() if n.endswith(("_g", "original0"))).mul_(1.7)
    model, x = rg.parse(over("LSTM(4)")), torch.from_numpy(drawn(2, 5, 3))
    own = convert(model, {n: a.detach().numpy() for n, a in module.state_dict().items()}, "torch", "rnngraph")
    want = module(x)[0].detach().numpy()
    np.testing.assert_allclose(model.compile().run({"x": x.numpy()}, own.arrays)["y"], want, rtol=0, atol=1e-12)
    assert not own.left and "(weight normalisation)" in own.told[0]


def test_dropped_weights_are_taken_raw_and_other_parts_are_told_how_to_join() -> None:
    arrays = lstm("0.rnns.0.module")
    arrays["0.rnns.0.weight_hh_l0_raw"] = whole = arrays.pop("0.rnns.0.module.weight_hh_l0")
    stale = {**arrays, "0.rnns.0.module.weight_hh_l0": whole * 0}
    for given in (arrays, stale):
        own = convert(rg.parse(over("LSTM(4)")), given, "torch", "rnngraph")
        gates = np.split(whole, 4)
        np.testing.assert_array_equal(own.arrays["net.kernel"][3:, :4], gates[0].T)
        assert not own.left and "is taken from `0.rnns.0.weight_hh_l0_raw`" in own.told[0]
    pruned = lstm("a")
    pruned["a.weight_hh_l0_orig"] = pruned.pop("a.weight_hh_l0")
    with pytest.raises(UserError, match=r"`prune\.remove`"):
        convert(rg.parse(over("LSTM(4)")), pruned, "torch", "rnngraph")


def test_tied_weights_are_one_param_or_two_layers(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    table, arrays = drawn(7, 4), lstm("rnn", 4)
    save_file({**arrays, "out.weight": table}, str(tmp_path / "w.safetensors"), {"words.weight": "out.weight"})
    found = read(str(tmp_path / "w.safetensors"))
    assert found.notes == ("`words.weight` is tied to `out.weight`",)
    two = (
        "model M {\n  input words: seq int\n  y, _ = unroll LSTM(4) over Embedding(7, 4)(words)\n"
        "  output Dense(7)(y) as y\n}\n"
    )
    own = convert(rg.parse(two), found, "torch", "rnngraph", {"embedding": "words", "dense": "out"}).arrays
    np.testing.assert_array_equal(own["embedding.table"], own["dense.kernel"].T)
    one = two.replace("Dense(7)(y)", "y @ transpose(table)").replace("Embedding(7, 4)(words)", "table[words]")
    one = one.replace("  y, _", "  param table: [7, 4]\n  y, _")
    made = convert(rg.parse(one), found, "torch", "rnngraph", {"table": "words.weight"})
    np.testing.assert_array_equal(made.arrays["table"], table)
    assert dict(made.left) == {"out.weight": "equal to `words.weight`"}


# --- pickles: said what they are, and the advice leads to the end ---------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
@pytest.mark.parametrize("kind", ["state", "training", "lightning", "with objects", "module", "script"])
def test_the_advice_for_a_pickle_leads_to_the_end(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import argparse

    module = torch.nn.LSTM(3, 4, batch_first=True)
    state = {f"rnn.{name}": array for name, array in module.state_dict().items()}
    state["tied"] = state["rnn.bias_hh_l0"]
    light = {"pytorch-lightning_version": "2.1", "state_dict": state, "hyper_parameters": {"rate": 0.1}}
    path = tmp_path / {"lightning": "m.ckpt", "with objects": "m.ckpt"}.get(kind, "m.pt")
    if kind == "script":
        torch.jit.script(module).save(str(path))
    else:
        torch.save({
            "state": state, "training": {"model": state, "epoch": 3}, "lightning": light, "module": module,
            "with objects": {**light, "hyper_parameters": argparse.Namespace(rate=0.1)},
        }[kind], path)  # fmt: skip
    with pytest.raises(UserError, match="runs whatever code is in it") as error:
        read(str(path))
    ((code, message, help),) = told(error)
    says = {"script": "is a TorchScript file", "module": "is a PyTorch file"}
    assert code == "E696" and says.get(kind, "Lightning" if path.suffix == ".ckpt" else "is a PyTorch file") in message
    assert ("weights_only=False" in help) == (kind in ("with objects", "module"))
    assert ("objects of argparse.Namespace" in help) == (kind == "with objects")
    command = help.partition('python -c "')[2].rpartition('"')[0]
    exec(command, {})  # what `python -c` would run
    own = convert(rg.parse(over("LSTM(4)")), read(str(path.with_suffix(".safetensors"))), "torch", "rnngraph")
    np.testing.assert_array_equal(own.arrays["net.kernel"][:3, :4], module.weight_ih_l0.detach().numpy()[:4].T)


# --- the command line -----------------------------------------------------------------------------------------------


def test_what_is_guessed_assumed_and_left_out_is_printed(tmp_path: Path) -> None:
    (tmp_path / "m.rnn").write_text(over("LSTM(4)"))
    arguments = [
        "convert",
        str(HERE / "tf1.ckpt"),
        "--model",
        str(tmp_path / "m.rnn"),
        "--out",
        str(tmp_path / "o.safetensors"),
    ]
    done = CliRunner().invoke(weights, [*arguments, "--assume", "forget_bias=0"], catch_exceptions=False)
    assert done.exit_code == 0 and done.output.splitlines() == [
        "read as TensorFlow 1's, judging by the names; `--from` overrides this",
        "net <- `rnn/basic_lstm_cell`",
        "assumed for `net`: activation = tanh, cell_clip = 0 (the file does not say; `--assume activation=...` does)",
        "warning: `global_step` is not in the model and was left out",
        "warning: `words` is not in the model and was left out",
        "warning: left out the state of an optimiser: 2 arrays as `rnn/basic_lstm_cell/bias/Adam`",
        f"wrote {tmp_path / 'o.safetensors'}: 2 arrays",
    ]
    shown_too = CliRunner().invoke(weights, ["show", str(HERE / "tf1.ckpt")], catch_exceptions=False)
    assert "the names look like the layout `tf1`" in shown_too.output
    np.savez(tmp_path / "w.npz", strange=np.ones(3))
    with pytest.raises(UserError, match=r"neither this model's nor those of a known tool(.|\n)*name its tool"):
        CliRunner().invoke(weights, ["convert", str(tmp_path / "w.npz"), *arguments[2:]], catch_exceptions=False)
    with pytest.raises(UserError, match="`forget_bias` is not a pair"):
        CliRunner().invoke(weights, [*arguments, "--assume", "forget_bias"], catch_exceptions=False)


# --- what our own files say of themselves ---------------------------------------------------------------------------


FORECAST = """
model Forecast {{
  input x: seq[1]
  input next: [1]
  h, _ = unroll LSTM(3) over x
  forecast = {of}(Dense(1)(last(h)))
  output forecast
  loss squared_error(forecast, next)
  train {{ epochs 1 }}
}}
"""


def test_converted_weights_of_ours_know_what_their_data_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are weights of the model that they are converted for, even if it computes something else."""
    monkeypatch.chdir(tmp_path)
    Path("m.rnn").write_text(FORECAST.format(of="identity"))
    Path("other.rnn").write_text(FORECAST.format(of="tanh"))
    values = np.random.default_rng(1).normal(50, 10, 30).round(3)
    Path("t.csv").write_text("\n".join(["x,next", *(f"{a},{a}" for a in values)]))
    asked = ["--data=t.csv", "--steps=5", "--horizon=1", "--standardise", "--out=w.safetensors"]
    assert exit_code(["train", "m.rnn", *asked]) == 0, capsys.readouterr().err
    for model in ("m.rnn", "other.rnn"):
        assert exit_code(["weights", "convert", "w.safetensors", f"--model={model}", f"--out={model}.safetensors"]) == 0
    assert Path("m.rnn.safetensors").read_bytes() == Path("w.safetensors").read_bytes()
    found = ["predict", "other.rnn", "--weights=other.rnn.safetensors", "--data=t.csv", "--out=p.json"]
    assert exit_code(found) == 0, capsys.readouterr().err
    there = np.array(json.loads(Path("p.json").read_text())["forecast"])
    assert np.abs((there - values.mean()) / values.std()).max() < 1  # a tanh, in the units of the column
    assert np.abs(there - values.mean()).max() > 1
    capsys.readouterr()
    assert exit_code(["weights", "convert", "w.safetensors", "--to=torch", "--model=m.rnn", "--out=t.safetensors"]) == 0
    told = capsys.readouterr().out
    mean = re.search(r"`x` takes \(value - ([\d.]+)\) / ", told)
    assert mean and float(mean.group(1)) == pytest.approx(values.mean(), rel=1e-12)
