"""Exported models compute what `run` computes: as NumPy files on their own, and in onnxruntime."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.data.lengths import as_given
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.export.numpy.choice import WORDS
from rnngraph.exchange.export.numpy.export import EMBEDDED, to_numpy
from rnngraph.exchange.export.numpy.expressions import Words
from rnngraph.exchange.export.numpy.snippets import SNIPPETS
from rnngraph.exchange.export.numpy.statements import RESERVED, Names, Writer, identifier
from rnngraph.exchange.export.request import Wanted, chosen
from rnngraph.ir.graph import Graph, Value
from rnngraph.language.elaboration.streamable import of_a_later_piece
from rnngraph.model import Model
from rnngraph.ops import TABLE
from tests.support.models import ALL, EXAMPLES, loaded, over, parsed
from tests.support.running import SIZES, array_of, evaluate, op_graph

STEPS, ROWS = 4, 3
MODELS = {**ALL, **{path.stem: path for path in EXAMPLES}}
OPS = [(name, i) for name, op in TABLE.items() for i in range(len(op.examples))]
UNSAID_IN_NUMPY = {"outside", "unpatch", "draw", "ctc_beam", "ctc_gradient", "ctc_loss"}
UNSAID_IN_ONNX = {*UNSAID_IN_NUMPY, "uniform", "solve"}
"""What an export refuses, told at the user's expression."""


def model_named(name: str) -> Model:
    text = MODELS[name]
    return loaded(text) if isinstance(text, Path) else parsed(name)


@cache
def expected(name: str, dtype: str, lengths: bool, states: bool = True) -> dict[str, Any]:
    """What `run` gives, whatever way of exporting is compared with it."""
    model = model_named(name)
    data = data_of(model, lengths=lengths, states=states)
    return model.compile(dtype=dtype, kernels="numpy").run(data, model.init(1))


def data_of(model: Model, *, lengths: bool, states: bool = True) -> dict[str, Any]:
    """Arrays for every input; with lengths, of full, shorter and empty rows."""
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {}
    for item in model.inputs:
        size = {"batch": ROWS}
        shape = [size.get(a, STEPS) for a in sorted(item.type.axes, key=lambda a: a != "batch")] + list(item.type.shape)
        kind = {"float": float, "int": int, "bool": bool}[item.type.dtype]
        data[item.name] = rng.normal(size=shape) if kind is float else rng.integers(0, 2, shape).astype(kind)
        if lengths and item.axes:
            over = {axis: np.array([STEPS, 2, 0]) for axis in item.axes}
            data[f"{item.name}.lengths"] = as_given(item.axes, over)
    for state in [s for s in model.states if s.recorded] if states else []:
        shape = [ROWS, *state.type.shape]
        whole = rng.integers(0, 2, shape).astype(bool if state.type.dtype == "bool" else int)
        data[state.name] = rng.normal(size=shape) if state.type.dtype == "float" else whole
        if state.begins:
            data[state.name] = 0 * whole if of_a_later_piece(model.made, state) else 5 * state.stride * whole
    return data


def outside(name: str, model: Model) -> str:
    """The name that an array of `run` has in an export."""
    is_state = name in {state.name for state in model.states}
    return f"initial.{name.removeprefix('final.')}" if is_state else name


def sayable(model: Model, wanted: Wanted, unsaid: set[str]) -> Wanted | None:
    """What can be exported of a model: all, all but the loss, or nothing (None)."""
    for choice in (wanted, replace(wanted, loss=False)):
        graph = chosen(model, choice, model.init(1)).elaborated
        if not any(node.op.name in unsaid for node in graph.all_nodes()):
            return choice
    return None


def agree(got: Mapping[str, Any], want: Mapping[str, Any], tolerance: float) -> None:
    assert got
    for name, array in got.items():
        scale = max(1.0, float(np.abs(want[name]).max(initial=0)))
        assert np.shape(array) == want[name].shape, name
        difference = np.abs(np.asarray(array, np.float64) - want[name]).max(initial=0)
        assert difference <= tolerance * scale, name


# --- NumPy ---------------------------------------------------------------------------------------------------------

RUNNER = """
import json, runpy, sys
import numpy as np
for name, data in json.load(open(sys.argv[1])).items():
    run = runpy.run_path(name + ".py")["run"]
    with np.load(data) as arrays:
        results = run(**arrays)
    np.savez(name + ".results.npz", **results)
assert "rnngraph" not in sys.modules
"""
VARIANTS = {
    "padded": (Wanted(lengths=True, loss=True, dtype="float64"), True),
    "own states": (Wanted(lengths=True, loss=True, dtype="float64"), False),
    "full": (Wanted(loss=True, dtype="float64"), True),
    "static": (Wanted("static", STEPS, lengths=True, loss=True, dtype="float64"), True),
}


def arguments(model: Model, data: Mapping[str, Any], signature: str) -> dict[str, Any]:
    """The data under the names of the function's arguments; lengths of a single axis are `lengths`."""
    named = {identifier(outside(name, model)): array for name, array in data.items()}
    words = [word.split("=")[0].strip() for word in signature.split(",")]
    if "lengths" in words:  # of every axis the same here
        named["lengths"] = next((array for name, array in data.items() if name.endswith(".lengths")), None)
    return {name: array for name, array in named.items() if name in words and array is not None}


@pytest.mark.parametrize("variant", VARIANTS)
def test_numpy_files_run_alone_and_agree(variant: str, tmp_path: Path) -> None:
    todo, want = {}, {}
    wanted, states = VARIANTS[variant]
    for name in MODELS:
        model = model_named(name)
        weights, data = model.init(1), data_of(model, lengths=wanted.lengths, states=states)
        asked = sayable(model, wanted, UNSAID_IN_NUMPY)
        if asked is None:
            with pytest.raises(UserError, match="cannot be exported"):
                to_numpy(model, weights, wanted)
            continue
        written = to_numpy(model, weights, asked)
        path = tmp_path / name
        Path(f"{path}.py").write_text(written.text)
        if written.arrays is not None:
            np.savez(f"{path}.weights.npz", **written.arrays)
        signature = written.text.split("def run(")[1].split("):")[0]
        np.savez(f"{path}.data.npz", **arguments(model, data, signature))
        todo[str(path)] = f"{path}.data.npz"
        want[str(path)] = expected(name, "float64", wanted.lengths, states)
    (tmp_path / "todo.json").write_text(json.dumps(todo))
    command = [sys.executable, "-I", "-c", RUNNER, str(tmp_path / "todo.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for file, arrays in want.items():
        with np.load(f"{file}.results.npz") as got:
            agree(dict(got), arrays, 1e-12)


def test_a_numpy_file_reads_like_the_equations() -> None:
    model = rg.parse(over("LSTM(5)"))
    text = to_numpy(model, model.init(), Wanted(lengths=True, dtype="float64")).text
    assert "def run(x, initial_c=None, initial_h=None, lengths=None, weights=WEIGHTS):" in text
    assert "    for t in range(steps):" in text
    assert "        i, j, f, o = np.split(sums, 4, axis=-1)" in text
    told = "kept = recurrent_activation(f + forget_bias) * c + recurrent_activation(i) * activation(j)"
    assert f"        # {told}" in text
    assert "        kept = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)" in text


def test_small_weights_stand_in_the_file_to_the_last_bit() -> None:
    model = rg.parse(over("RNN(5)"))
    weights = model.init(2)
    written = to_numpy(model, weights, Wanted(dtype="float64"))
    assert written.arrays is None
    scope: dict[str, Any] = {}
    exec(written.text, scope)
    assert all(np.array_equal(scope["WEIGHTS"][name], weights[name]) for name in weights)
    large = rg.parse(over(f"RNN({EMBEDDED})"))
    assert set(to_numpy(large, large.init(), Wanted()).arrays or ()) == set(large.init())


def test_a_loop_with_stop_is_left_early() -> None:
    model = parsed("stop")
    text = to_numpy(model, model.init(), Wanted()).text
    assert "            break" in text
    assert "break" not in to_numpy(parsed("lstm"), parsed("lstm").init(), Wanted(lengths=True)).text


def test_inputs_may_be_called_like_the_function_s_own_names() -> None:
    model = rg.parse("model M {\n  input weights: seq[2]\n  input np: [2]\n  output weights * np as y\n}\n")
    scope: dict[str, Any] = {}
    exec(to_numpy(model, {}, Wanted(dtype="float64")).text, scope)
    data = {"weights": np.ones((2, 3, 2)), "np": np.full((2, 2), 3.0)}
    got = scope["run"](data["weights"], data["np"])
    agree(got, model.compile().run(data, {}), 0)


def test_results_of_a_numpy_file_are_arrays_of_their_own() -> None:
    """One that is a weight, an input or a first state as it is could be written to, and changed later calls."""
    text = "input x: seq[2]  input z: [2]  param w: [2] = 3  _, final = unroll RNN(2) over x  output z, w, final"
    model, scope = rg.parse(f"model M {{ {text} }}"), dict[str, Any]()
    exec(to_numpy(model, model.init(), Wanted(dtype="float64", lengths=True)).text, scope)
    given = {"x": np.ones((1, 3, 2)), "z": np.ones((1, 2)), "initial_h": np.ones((1, 2)), "lengths": np.array([0])}
    for array in scope["run"](**given).values():
        array[...] = 7
    assert all((given[name] == 1).all() for name in ("x", "z", "initial_h")) and given["lengths"] == 0
    assert scope["run"](**given)["w"].tolist() == [3, 3]


def said_in_numpy(graph: Graph, y: Value, arrays: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """What the words for a graph without loops compute."""
    words = Words("np.float64", {axis: str(size) for axis, size in sizes.items()})
    writer = Writer(words, Names(RESERVED))
    writer.by_name = {key: key for key in graph.inputs}
    writer.level(graph.nodes(), [y], {})
    scope: dict[str, Any] = {"np": np, **arrays}
    for snippet in words.used:
        exec(SNIPPETS[snippet], scope)
    exec("if True:\n" + "\n".join(writer.lines or ["    pass"]) + f"\n    result = {writer.array(y).text}", scope)
    return scope["result"]


@pytest.mark.parametrize(("name", "number"), OPS)
def test_every_op_in_numpy(name: str, number: int) -> None:
    attrs, types = TABLE[name].examples[number]
    graph, _, y = op_graph(name, attrs, types)
    if name in UNSAID_IN_NUMPY:
        assert name not in WORDS
        return
    arrays = {key: array_of(t, np.random.default_rng(3)) for key, t in zip(graph.inputs, types, strict=True)}
    got, want = said_in_numpy(graph, y, arrays, SIZES), evaluate(graph, arrays)["y"]
    assert np.shape(got) == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


# --- ONNX ----------------------------------------------------------------------------------------------------------


def session(content: bytes) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def exported(model: Model, weights: Any, wanted: Wanted, operators: bool = False) -> bytes:
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import to_onnx

    return to_onnx(model, weights, wanted, operators)


def run_onnx(content: bytes, model: Model, data: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    made = session(content)
    given = {outside(name, model): array for name, array in data.items()}
    optional = [i.name for i in made.get_overridable_initializers() if i.name in given]
    feed = {name: np.asarray(given[name]) for name in [*(i.name for i in made.get_inputs()), *optional]}
    feed = {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in feed.items()}
    return dict(zip([o.name for o in made.get_outputs()], made.run(None, feed), strict=True))


ONNX_VARIANTS = {
    "dynamic": (Wanted(loss=True, dtype="float64"), False),
    "dynamic padded": (Wanted(lengths=True, loss=True, dtype="float64"), False),
    "static": (Wanted("static", STEPS, loss=True, dtype="float64"), False),
    "static padded": (Wanted("static", STEPS, lengths=True, loss=True, dtype="float64"), False),
    "single": (Wanted(lengths=True, loss=True), False),
    "operators": (Wanted(loss=True), True),
    "operators padded": (Wanted(lengths=True, loss=True), True),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ONNX_VARIANTS)
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_agrees(name: str, variant: str) -> None:
    model, (wanted, operators) = model_named(name), ONNX_VARIANTS[variant]
    weights, data = model.init(1), data_of(model, lengths=wanted.lengths)
    asked = sayable(model, wanted, UNSAID_IN_ONNX)
    if asked is None:
        with pytest.raises(UserError, match="cannot be exported"):
            exported(model, weights, wanted, operators)
        return
    content = exported(model, weights, asked, operators)
    want = expected(name, wanted.dtype, wanted.lengths)
    # a state with exp in it, given at random, is large: differences are counted from its size
    agree(run_onnx(content, model, data, wanted.dtype), want, 1e-9 if wanted.dtype == "float64" else 2e-5)


@pytest.mark.slow
def test_one_dynamic_export_runs_any_batch_and_any_number_of_steps() -> None:
    model = model_named("bidirectional")
    weights = model.init(1)
    content = exported(model, weights, Wanted(dtype="float64"))
    for batch, steps in ((1, 1), (5, 7), (2, 30)):
        data = {"x": np.random.default_rng(0).normal(size=(batch, steps, 3))}
        agree(run_onnx(content, model, data, "float64"), model.compile().run(data, weights), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), OPS)
def test_every_op_in_onnx(name: str, number: int) -> None:
    pytest.importorskip("onnx")
    from onnx import helper

    from rnngraph.exchange.export.onnx.export import rules
    from rnngraph.exchange.export.onnx.scope import Scope, Whole, model_of

    attrs, types = TABLE[name].examples[number]
    graph, _, y = op_graph(name, attrs, types)
    if name in UNSAID_IN_ONNX:
        assert name not in rules()
        return
    top = Scope(Whole("float64", rules()))
    top.whole.sizes = {axis: top.ints(size) for axis, size in SIZES.items()}
    top.names = {value: key for key, value in graph.inputs.items()}
    top.convert(graph.nodes())
    top.nodes.append(helper.make_node("Identity", [top.names[y]], ["y"]))
    infos = [top.info(key, v.type) for key, v in graph.inputs.items()]
    ends = [top.info("y", y.type)]
    made = session(
        model_of(
            helper.make_graph(top.nodes, "op", infos, ends, initializer=top.whole.tensors), "", {}
        ).SerializeToString()
    )
    arrays = {key: array_of(t, np.random.default_rng(3)) for key, t in zip(graph.inputs, types, strict=True)}
    want = evaluate(graph, arrays)["y"]
    (got,) = made.run(None, {i.name: arrays[i.name] for i in made.get_inputs()})
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_every_op_is_said_or_known_to_be_unsaid() -> None:
    named = {name for name, op in TABLE.items() if op.kind not in ("leaf", "loop")}
    assert named - set(WORDS) == UNSAID_IN_NUMPY | {"history"}  # a history is written as statements
    pytest.importorskip("onnx")
    from rnngraph.exchange.export.onnx.export import rules

    assert named - set(rules()) == UNSAID_IN_ONNX


def operators_of(text: str, **wanted: Any) -> list[str]:
    onnx = pytest.importorskip("onnx")
    model = rg.parse(text)
    content = exported(model, model.init(), Wanted(**wanted), operators=True)
    return [n.op_type for n in onnx.load_from_string(content).graph.node if n.op_type in ("LSTM", "GRU", "RNN", "Scan")]


@pytest.mark.parametrize(
    ("cell", "operator"),
    [
        ("RNN(5)", "RNN"), ("RNN(5, relu)", "RNN"), ("GRU(5)", "GRU"), ("GRU(5, reset_after = true)", "GRU"),
        ("LSTM(5)", "LSTM"), ("LSTM(5, peepholes = true, forget_bias = 0)", "LSTM"),
        ("LSTM(5, cell_clip = 1)", "Scan"), ("LSTM(5, projection = 3)", "Scan"), ("LSTM(5) >> RNN(5)", "Scan"),
        ("Residual(GRU(3))", "Scan"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lengths", [False, True])
def test_a_cell_that_is_exactly_an_operator_becomes_it(cell: str, operator: str, lengths: bool) -> None:
    assert operators_of(over(cell), lengths=lengths) == [operator]


def test_a_cell_of_the_user_with_the_same_equations_becomes_the_operator() -> None:
    own = "cell Mine(units) {\n  input x: [n]\n  state h: [units] = 0\n  param kernel: [n + units, units] ~ normal\n"
    own += "  param bias: [units] = 0\n  h' = tanh([x, h] @ kernel + bias)\n  output h'\n}\n"
    assert operators_of(own + over("Mine(4)")) == ["RNN"]
    assert operators_of(own.replace("kernel + bias", "kernel - bias") + over("Mine(4)")) == ["Scan"]


@pytest.mark.parametrize("target", ["onnx", "numpy"])
def test_what_cannot_be_said_is_told_at_the_expression(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = rg.parse("model M {\n  input x: [3]\n  y = exp(x) + 1\n  output y\n}\n")
    if target == "onnx":
        pytest.importorskip("onnx")
        from rnngraph.exchange.export.onnx import rules

        monkeypatch.delitem(rules.RULES, "exp")
    monkeypatch.delitem(WORDS, "exp")
    with pytest.raises(UserError) as error:
        exported(model, {}, Wanted()) if target == "onnx" else to_numpy(model, {}, Wanted())
    (diagnostic,) = error.value.diagnostics
    assert error.value.exit_code == 1 and diagnostic.span is not None
    assert diagnostic.span.text == "exp(x)" and "exp" in diagnostic.message


def test_operators_are_for_loops_alone() -> None:
    pytest.importorskip("onnx")
    model = parsed("rnn")
    with pytest.raises(UserError, match="static"):
        exported(model, model.init(), Wanted("static", 3), operators=True)


def test_a_static_export_needs_its_number_of_steps() -> None:
    model = parsed("rnn")
    with pytest.raises(UserError, match="number of steps"):
        to_numpy(model, model.init(), Wanted("static"))
