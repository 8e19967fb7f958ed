"""Weights from and to other tools: against TensorFlow's golden data, Keras, PyTorch and onnxruntime, and back again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.cli.export import export
from rnngraph.cli.main import exit_code
from rnngraph.cli.weights import weights
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.exchange.conversion import convert as converting
from rnngraph.exchange.conversion.convert import convert
from rnngraph.exchange.conversion.detect import hint, looks_like
from rnngraph.exchange.conversion.layouts import LAYOUTS
from rnngraph.exchange.formats.keras import named
from rnngraph.exchange.formats.read import read
from rnngraph.exchange.recognise import cells
from tests.support.models import over, parsed
from tests.tensorflow.test_golden import NAMES as GOLDEN
from tests.tensorflow.test_golden import Written, close

SAYABLE = {
    "RNN(5)": ("tf1", "keras", "torch", "onnx"),
    "RNN(5, relu)": ("tf1", "keras", "torch", "onnx"),
    "RNN(5, sigmoid)": ("tf1", "keras", "onnx"),
    "GRU(5)": ("tf1", "keras", "onnx"),
    "GRU(5, reset_after = true)": ("tf1", "keras", "torch", "onnx"),
    "LSTM(5)": ("tf1", "keras", "torch", "onnx"),
    "LSTM(5, forget_bias = 0)": ("tf1", "keras", "torch", "onnx"),
    "LSTM(5, 2.5, relu)": ("tf1", "keras", "onnx"),
    "LSTM(5, peepholes = true)": ("tf1", "onnx"),
    "LSTM(5, cell_clip = 0.05)": ("tf1",),
    "LSTM(5, projection = 3)": ("tf1", "torch"),
    "LSTM(5, projection = 4, projection_clip = 0.05)": ("tf1",),
    "LSTM(4, 0.5, relu, true, 0.9, 3, 0.8)": ("tf1",),
    "LSTM(4) >> LSTM(4)": ("tf1", "keras", "torch", "onnx"),
    "LSTM(4) >> GRU(3, reset_after = true)": ("tf1", "keras", "torch", "onnx"),
    "LSTM(5, coupled = true, peepholes = true)": ("onnx",),
}
"""For each cell, the tools that have it."""


def random_weights(model: Any) -> dict[str, Any]:
    """Every weight different from what it begins with, biases too."""
    rng = np.random.default_rng(5)
    return {w.name: rng.normal(size=w.shape) * 0.5 for w in model.weights}


# --- there and back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", LAYOUTS)
@pytest.mark.parametrize("cell", SAYABLE)
def test_a_cell_goes_to_each_tool_that_has_it_and_comes_back(cell: str, tool: str) -> None:
    model = rg.parse(over(cell))
    own = random_weights(model)
    if tool not in SAYABLE[cell]:
        with pytest.raises(UserError, match="cannot be written"):
            convert(model, own, "rnngraph", tool)
        return
    theirs = convert(model, own, "rnngraph", tool).arrays
    assert looks_like(theirs) == tool
    back = convert(model, theirs, tool, "rnngraph")
    assert not back.left and set(back.arrays) == set(own)
    for name, array in own.items():
        np.testing.assert_allclose(back.arrays[name], array, rtol=0, atol=1e-15)


@pytest.mark.parametrize("tool", LAYOUTS)
def test_layers_without_states_come_along(tool: str) -> None:
    model = parsed("tagger")
    own = random_weights(model)
    back = convert(model, convert(model, own, "rnngraph", tool).arrays, tool, "rnngraph")
    assert all(np.allclose(back.arrays[name], array, rtol=0, atol=1e-15) for name, array in own.items())


def test_a_stack_is_one_module_of_layers_and_directions_in_pytorch() -> None:
    stack = rg.parse(over("LSTM(4) >> LSTM(4)"))
    assert "net.weight_ih_l1" in convert(stack, stack.init(), "rnngraph", "torch").arrays
    both = rg.parse("model M {\n  input x: seq[3]\n  y = Bidirectional(LSTM(4), LSTM(4))(x)\n  output y\n}\n")
    assert "bidirectional.bias_hh_l0_reverse" in convert(both, both.init(), "rnngraph", "torch").arrays


def test_a_cell_of_the_user_with_the_same_equations_is_recognised() -> None:
    text = Path(rg.__file__).parent.joinpath("language/library/gru.rnn").read_text().replace("cell GRU", "cell Mine")
    (cell,) = cells(rg.parse(text + over("Mine(3)")).made)
    assert (cell.kind, cell.units, cell.inputs) == ("GRU", 3, 3)
    changed = text.replace("u * h + (1 - u) * c", "u * c + (1 - u) * h")
    assert cells(rg.parse(changed + over("Mine(3)")).made) == []


# --- TensorFlow 1: the golden data -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in GOLDEN if all("/" in v for v in Written(n).meta["tf_variables"].values())])
def test_golden_variables_of_tensorflow(name: str) -> None:
    written = Written(name)
    theirs = {full: written.arrays[local] for local, full in written.meta["tf_variables"].items()}
    model = rg.parse(written.text)
    assert looks_like(theirs) == "tf1"
    own = convert(model, theirs, "tf1", "rnngraph")
    assert not own.left
    results = model.compile(dtype=written.meta["dtype"]).run(written.data(), own.arrays)
    for key, value in written.outputs("out.").items():
        close(results[key], value, 1e-10 if written.meta["dtype"] == "float64" else 1e-5)


# --- PyTorch, Keras, onnxruntime: the tools themselves -------------------------------------------------------

TORCH = {
    "RNN(4)": ("RNN", {}),
    "RNN(4, relu)": ("RNN", {"nonlinearity": "relu"}),
    "GRU(4, reset_after = true)": ("GRU", {}),
    "LSTM(4)": ("LSTM", {}),
    "LSTM(4, projection = 2)": ("LSTM", {"proj_size": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["one", "stack", "both", "both twice"])
@pytest.mark.parametrize("cell", TORCH)
def test_pytorch_s_own_modules_agree(cell: str, form: str, bias: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    kind, options = TORCH[cell]
    layers = 2 if form in ("stack", "both twice") else 1
    module = getattr(torch.nn, kind)(
        3, 4, layers, bias=bias, batch_first=True, bidirectional="both" in form, dtype=torch.float64, **options
    )
    save({f"rnn.{name}": value for name, value in module.state_dict().items()}, str(tmp_path / "w.safetensors"))
    body = {
        "one": f"y, final = unroll {cell} over x",
        "stack": f"y, final = unroll {cell} >> {cell} over x",
        "both": f"y = Bidirectional({cell}, {cell})(x)",
        "both twice": f"z = Bidirectional({cell}, {cell})(x)\n  y = Bidirectional({cell}, {cell})(z)",
    }[form]
    model = rg.parse(f"model M {{\n  input x: seq[3]\n  {body}\n  output y\n}}\n")
    own = convert(model, read(str(tmp_path / "w.safetensors")), "torch", "rnngraph")
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    with torch.no_grad():
        want = module(torch.from_numpy(x))[0].numpy()
    assert not own.left
    np.testing.assert_allclose(model.compile().run({"x": x}, own.arrays)["y"], want, rtol=0, atol=1e-12)
    there = convert(model, own.arrays, "rnngraph", "torch").arrays
    back = convert(model, there, "torch", "rnngraph").arrays
    assert all(np.allclose(back[name], array, rtol=0, atol=1e-15) for name, array in own.arrays.items())


@pytest.mark.slow
@pytest.mark.parametrize("cell", TORCH)
def test_gradients_agree_with_pytorch(cell: str) -> None:
    torch = pytest.importorskip("torch")
    kind, options = TORCH[cell]
    module = getattr(torch.nn, kind)(3, 4, batch_first=True, dtype=torch.float64, **options)
    model = rg.parse(over(cell))
    theirs = {f"net.{n}": v.detach().numpy() for n, v in module.state_dict().items()}
    own = convert(model, theirs, "torch", "rnngraph").arrays
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 3))).requires_grad_()
    y = module(x)[0]
    (y * y).mean().backward()
    loss, grads = model.compile(gradient=True).gradients({"x": x.detach().numpy()}, own)
    assert loss == pytest.approx(float((y * y).mean().detach()), abs=1e-13)
    np.testing.assert_allclose(grads["x"], x.grad.numpy(), rtol=0, atol=1e-13)
    name = "net.candidate_kernel" if kind == "GRU" else "net.kernel"
    gates = {"RNN": ["h"], "GRU": ["r", "z", "n"], "LSTM": ["i", "f", "g", "o"]}[kind]
    rows = dict(zip(gates, np.split(module.weight_ih_l0.grad.numpy(), len(gates)), strict=True))
    order = {"RNN": ["h"], "GRU": ["n"], "LSTM": ["i", "g", "f", "o"]}[kind]
    want = np.concatenate([rows[g] for g in order]).T
    np.testing.assert_allclose(grads[name][:3], want, rtol=0, atol=1e-13)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, about NumPy 2
def test_keras_files_are_read_and_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for package in ("h5py", "torch"):
        pytest.importorskip(package)
    keras = pytest.importorskip("keras")
    layers = keras.layers
    start = keras.Input((None,), dtype="int64")
    value = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(layers.Embedding(7, 3)(start))
    value = layers.GRU(5, return_sequences=True)(value)
    value = layers.GRU(5, return_sequences=True, reset_after=False)(value)
    value = layers.SimpleRNN(3, return_sequences=True)(value)
    module = keras.Model(start, layers.Dense(2)(value))
    for variable in module.weights:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape) * 0.5)
    module.save(tmp_path / "k.keras")
    module.save_weights(tmp_path / "k.weights.h5")
    model = rg.parse(
        "model K {\n  input ids: seq int\n  a = Bidirectional(LSTM(4), LSTM(4))(Embedding(7, 3)(ids))\n"
        "  b, _ = unroll GRU(5, reset_after = true) over a\n  c, _ = unroll GRU(5) over b\n"
        "  d, _ = unroll RNN(3) over c\n  scores = Dense(2)(d)\n  output scores\n}\n"
    )
    ids = np.random.default_rng(0).integers(0, 7, (2, 6))
    want = module(ids).detach().numpy()
    for path in ("k.keras", "k.weights.h5"):
        own = convert(model, read(str(tmp_path / path)), "keras", "rnngraph")
        assert not own.left
        np.testing.assert_allclose(
            model.compile(dtype="float32").run({"ids": ids}, own.arrays)["scores"], want, atol=1e-5
        )


def test_the_arrays_of_a_keras_file_without_a_configuration_get_their_names() -> None:
    matrix, row = np.zeros((3, 4)), np.zeros(4)
    found = named(
        {
            "layers/lstm/cell/vars/0": matrix, "layers/lstm/cell/vars/1": matrix, "layers/lstm/cell/vars/2": row,
            "layers/dense/vars/0": matrix, "layers/dense/vars/1": row, "layers/embedding/vars/0": matrix,
            "layers/dense_1/vars/0": matrix, "mine/vars/0": matrix,
        },
        [], {"layers/dense_1": "scores"}, "", {},
    )  # fmt: skip
    expected = {"lstm/kernel", "lstm/recurrent_kernel", "lstm/bias", "dense/kernel", "dense/bias"}
    assert set(found.arrays) == expected | {"embedding/embeddings", "scores/kernel", "mine/matrix"}


@pytest.mark.parametrize("cell", ["RNN(4)", "GRU(4)", "GRU(4, reset_after = true)", "LSTM(4, peepholes = true)"])
def test_the_operators_of_an_onnx_file_are_read(cell: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import to_onnx
    from rnngraph.exchange.export.request import Wanted

    model = rg.parse(over(cell))
    own = random_weights(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(to_onnx(model, own, Wanted(dtype="float64"), operators=True))
    back = convert(model, read(str(path)), "onnx", "rnngraph")
    assert not back.left
    assert all(np.allclose(back.arrays[name], array, rtol=0, atol=1e-15) for name, array in own.items())


# --- what is refused ---------------------------------------------------------------------------------------


def test_a_layer_that_fits_two_modules_is_asked_about() -> None:
    model = parsed("encoder decoder")
    theirs = convert(model, random_weights(model), "rnngraph", "torch").arrays
    renamed = {n.replace("lstm_2.", "writer.").replace("lstm.", "reader."): a for n, a in theirs.items()}
    with pytest.raises(UserError, match=r"`lstm` could be any of `reader`, `writer`") as error:
        convert(model, renamed, "torch", "rnngraph")
    assert "--map lstm=reader" in error.value.diagnostics[0].help
    pairs = {"lstm": "writer", "lstm_2": "reader"}
    own = convert(model, renamed, "torch", "rnngraph", pairs).arrays
    np.testing.assert_array_equal(own["lstm.kernel"][:3, :4].T, renamed["writer.weight_ih_l0"][:4])


def test_a_conversion_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = rg.parse(over("LSTM(4)"))
    wrong = LAYOUTS["torch"]

    def write(cell: Any, own: Any) -> Any:
        return {n: a[::-1] if n == "weight_hh" else a for n, a in wrong.write(cell, own).items()}

    swapped = replace(wrong, write=write)
    monkeypatch.setitem(converting.LAYOUTS, "torch", swapped)
    with pytest.raises(UserError, match="gives different numbers than PyTorch's layer"):
        convert(model, random_weights(model), "rnngraph", "torch")


def test_arrays_of_another_size_or_kind_fit_no_layer() -> None:
    theirs = convert(rg.parse(over("LSTM(5)")), rg.parse(over("LSTM(5)")).init(), "rnngraph", "torch").arrays
    with pytest.raises(UserError, match="no arrays of PyTorch fit the layer `net`"):
        convert(rg.parse(over("LSTM(4)")), theirs, "torch", "rnngraph")
    gru = convert(rg.parse(over("GRU(4, reset_after = true)")), rg.parse(over("GRU(4, reset_after = true)")).init(),
                  "rnngraph", "torch").arrays  # fmt: skip
    with pytest.raises(UserError) as error:
        convert(rg.parse(over("GRU(4)")), gru, "torch", "rnngraph")
    assert "write `reset_after = true`" in error.value.diagnostics[0].help


def test_arrays_without_a_place_are_told() -> None:
    model = rg.parse(over("LSTM(4)"))
    theirs = convert(model, model.init(), "rnngraph", "torch").arrays
    more = {**theirs, "net.weight_ih_l0_reverse": theirs["net.weight_ih_l0"], "optimizer": np.zeros(3)}
    assert set(convert(model, more, "torch", "rnngraph").left) == {"net.weight_ih_l0_reverse", "optimizer"}


@pytest.mark.parametrize(
    ("name", "content", "kind", "says"),
    [
        ("w.pt", b"\x80\x04.", UserError, "may be a pickle"),
        ("w.index", b"", UserError, "TensorFlow checkpoint"),
        ("w.npz", b"PK\x03\x04", UserError, "cannot be read as .npz"),
        ("w.h5", b"not hdf5", UserError, "cannot be read as Keras"),
        ("w.onnx", b"\xff\xff", UserError, "cannot be read as ONNX"),
        ("w.safetensors", b"123", UserError, "cannot be read as a safetensors file"),
    ],
)
def test_files_that_are_refused(name: str, content: bytes, kind: type[UserError], says: str, tmp_path: Path) -> None:
    for package in {"w.h5": ["h5py"], "w.onnx": ["onnx"]}.get(name, []):
        pytest.importorskip(package)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(kind, match=says):
        read(str(path))


def test_an_npz_with_a_pickle_in_it_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", thing=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="pickle"):
        read(str(tmp_path / "w.npz"))
    with pytest.raises(CannotDo):
        read(str(tmp_path / "none.npz"))


def test_names_show_the_layout() -> None:
    assert looks_like(["encoder.weight_ih_l0"]) == "torch"
    assert looks_like(["rnn/multi_rnn_cell/cell_0/gru_cell/gates/kernel:0"]) == "tf1"
    assert looks_like(["gru/recurrent_kernel"]) == "keras"
    assert looks_like(["lstm.W", "lstm.R"]) == "onnx"
    assert looks_like(["net.kernel", "net.bias"]) is None and hint(["net.kernel"]) == ""
    assert "--from torch" in hint(["encoder.weight_ih_l0"])


# --- the command line ----------------------------------------------------------------------------------------


def test_the_verbs_of_the_command_line(tmp_path: Path) -> None:
    model = tmp_path / "m.rnn"
    model.write_text(over("LSTM(4)"))
    own = tmp_path / "own.safetensors"
    rg.save_weights(own, rg.load(model).init(3))
    call = CliRunner()
    there = [str(own), "--to", "torch", "--model", str(model), "--out", str(tmp_path / "t.safetensors")]
    done = call.invoke(weights, ["convert", *there], catch_exceptions=False)
    assert done.exit_code == 0 and "net -> net.weight_ih_l0" in done.output
    shown = call.invoke(weights, ["show", str(tmp_path / "t.safetensors"), "--json"], catch_exceptions=False)
    found = json.loads(shown.output)
    assert found["layout"] == "torch"
    assert {row["name"]: row["shape"] for row in found["arrays"]}["net.weight_ih_l0"] == "(16, 3)"
    assert "weight_hh_l0" in call.invoke(weights, ["show", str(tmp_path / "t.safetensors")]).output
    back = [str(tmp_path / "t.safetensors"), "--model", str(model), "--out", str(tmp_path / "back.safetensors")]
    assert call.invoke(weights, ["convert", *back], catch_exceptions=False).exit_code == 0
    first, second = rg.load_weights(own), rg.load_weights(tmp_path / "back.safetensors")
    assert all(np.allclose(first[name], second[name], rtol=0, atol=1e-15) for name in first)
    text = [str(model), "--to", "numpy", "--weights", str(own), "--out", str(tmp_path / "m.py")]
    assert call.invoke(export, text, catch_exceptions=False).exit_code == 0
    assert "def run(x, initial_c=None" in (tmp_path / "m.py").read_text()
    with pytest.raises(UserError, match="for `--to onnx`"):
        call.invoke(export, [*text, "--operators"], catch_exceptions=False)


def test_a_layer_that_is_mapped_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.rnn").write_text(over("GRU(4)"))
    np.savez(tmp_path / "w.npz", a=np.ones(2))
    files = [str(tmp_path / name) for name in ("w.npz", "m.rnn", "o.safetensors")]
    verb = ["weights", "convert", files[0], "--model", files[1], "--out", files[2]]
    assert exit_code([*verb, "--map", "net=a", "--map", "net=b"]) == 2
    assert "the layer `net` is given twice" in capsys.readouterr().err
