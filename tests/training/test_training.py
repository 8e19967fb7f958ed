"""Weights, data, optimisers, the training loop and its checkpoints, with a small hand-written program."""

from __future__ import annotations

import json
import math
import os
import pickle
import re

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.data.checks import check_data
from rnngraph.data.read import load
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.files.atomic_writes import refuse_unwritable, write_aside
from rnngraph.ir.graph import graph_input
from rnngraph.ir.identity import Identity as Equations
from rnngraph.ir.types import Type
from rnngraph.kernels.cpu import array_kernels
from rnngraph.kernels.cpu.modules import target
from rnngraph.language.elaboration.elaborated import DataInput, Initial, StateInput, Weight
from rnngraph.runtime.array_updates import NumpyArrays
from rnngraph.runtime.native_updates import NativeArrays
from rnngraph.training import batches, checkpoint, optimisers, updates, validation
from rnngraph.training.checkpoint import Made
from rnngraph.training.clipping import clip_factor
from rnngraph.training.config import FitConfig
from rnngraph.training.evaluation import evaluate
from rnngraph.training.fit import Interrupted, fit
from rnngraph.training.optimisers import SGD, Adam, AdamW, RMSprop
from rnngraph.training.segment_batches import Pieces
from rnngraph.weights.checks import check_weights
from rnngraph.weights.initialisation import DRAWS, init
from rnngraph.weights.save_load import load_weights, save_weights
from tests.support.running import same_bits

HERE = Span(Source("m.rnn", "input x: seq[3]\ninput tag: seq int\n"), 0, 15)


def weight(name, shape, initialiser="glorot_uniform", frozen=False, **arguments):
    return Weight(name, shape, Initial(initialiser, arguments), frozen, HERE)


def told(error):
    return [d.message for d in error.value.diagnostics]


# --- first values ----------------------------------------------------------------------------------------


def test_a_weight_depends_on_seed_and_name_alone():
    a, b = weight("a", (3, 4)), weight("b", (3, 4))
    one, other = init([a, b], 7), init([b, a], 7)
    assert np.array_equal(one["a"], other["a"]) and np.array_equal(one["b"], other["b"])
    assert not np.array_equal(one["a"], one["b"])
    assert not np.array_equal(one["a"], init([a], 8)["a"])
    assert np.array_equal(init([a], 7, "float32")["a"], one["a"].astype("float32"))


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_every_initialiser_fills_a_matrix_with_finite_numbers(name):
    array = init([weight("w", (6, 4), name)], 0)["w"]
    assert array.shape == (6, 4) and array.dtype == np.float64 and np.isfinite(array).all()


@pytest.mark.parametrize(
    "name, variance",
    [
        ("glorot_uniform", 2 / 500),
        ("glorot_normal", 2 / 500),
        ("he_uniform", 2 / 300),
        ("he_normal", 2 / 300),
        ("lecun_uniform", 1 / 300),
        ("lecun_normal", 1 / 300),
        ("normal", 1.0),
        ("uniform", 0.1**2 / 12),
    ],
)
def test_the_variance_is_that_of_the_paper(name, variance):
    array = init([weight("w", (300, 200), name)], 1)["w"]
    assert array.var() == pytest.approx(variance, rel=0.03)
    assert abs(array.mean()) < 4 * np.sqrt(variance / array.size)


def test_uniform_ones_stay_in_their_bounds_and_truncated_ones_in_two_deviations():
    limit = np.sqrt(6 / 500)
    assert np.abs(init([weight("w", (300, 200), "glorot_uniform")], 1)["w"]).max() <= limit
    drawn = init([weight("w", (300, 200), "truncated_normal", mean=5, std=2)], 1)["w"]
    assert 1 <= drawn.min() < 1.1 and 8.9 < drawn.max() <= 9


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)])
def test_orthogonal_ones_are(shape):
    array = init([weight("w", shape, "orthogonal", gain=2)], 0)["w"]
    product = array.T @ array if shape[0] >= shape[1] else array @ array.T
    np.testing.assert_allclose(product, 4 * np.eye(min(shape)), atol=1e-12)


def test_written_values_and_identity():
    given = [
        weight("a", (), "constant", value=-4.0),
        weight("b", (2, 3), "identity"),
        weight("c", (2,), "ones"),
    ]
    made = init(given, 0)
    assert made["a"].shape == () and made["a"] == -4
    assert made["b"].tolist() == [[1, 0, 0], [0, 1, 0]] and made["c"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "bad, words",
    [
        (weight("w", (2,), "orthogonal"), "`orthogonal` is for matrices"),
        (weight("w", (2,), "uniform", low=1, high=0), "from 1 to 0 is empty"),
        (weight("w", (2,), "normal", std=-1), "negative std"),
    ],
)
def test_a_wrong_initialiser_is_told_at_its_place(bad, words):
    with pytest.raises(UserError, match=r"(?s).*") as error:
        init([bad], 0)
    assert words in told(error)[0]
    assert error.value.diagnostics[0].span is HERE


def test_a_written_value_is_broadcast_to_its_parameter():
    text = """model M { input x: [3] output a @ x + b @ x as y
      param a: [2, 3] = 2 * range(3) param b: [2, 3] = range(2)[:, None] }"""
    made = rg.parse(text).init(0)
    assert made["a"].tolist() == [[0, 2, 4]] * 2 and made["b"].tolist() == [[0] * 3, [1] * 3]
    for shape in ("[3]", "[2, 4]", "[1, 3]"):
        with pytest.raises(UserError, match="has 2 x 3 values"):
            rg.parse(text.replace("a: [2, 3] = 2 * range(3)", f"a: {shape} = ones([2, 3])"))


def test_formulas_over_what_is_drawn():
    """Each initialiser in a formula draws an array of its own, of the parameter's shape or a block of it."""
    text = """
model Drawn(T = 16) {
  input x: [4]
  param b: [4] ~ log(uniform(1, T))
  param w: [4, 8] ~ 3 * orthogonal
  param g: [4, 8] ~ glorot_uniform(gain = 3)
  param d: [4, 6] ~ block_diagonal(2, orthogonal)
  param e: [4, 4] ~ identity + block_diagonal(2, normal(5, 0))
  param p, q: [4] ~ 0 - uniform(0, 1)
  output x @ w, x @ d, x @ e, x @ g, x * b * p * q
}
"""
    made = rg.parse(text).init(3)
    assert np.all((made["b"] >= 0) & (made["b"] <= np.log(16))) and len(set(made["b"])) == 4
    assert np.allclose(made["w"] @ made["w"].T, 9 * np.eye(4))
    assert 1 < np.abs(made["g"]).max() / np.sqrt(6 / 12) <= 3
    upper, lower = made["d"][:2, :3], made["d"][2:, 3:]
    assert np.allclose(upper @ upper.T, np.eye(2)) and np.allclose(lower @ lower.T, np.eye(2))
    assert not np.allclose(upper, lower) and not made["d"][2:, :3].any() and not made["d"][:2, 3:].any()
    assert made["e"].tolist() == [[6, 5, 0, 0], [5, 6, 0, 0], [0, 0, 6, 5], [0, 0, 5, 6]]
    assert np.all(made["p"] <= 0) and not np.allclose(made["p"], made["q"])
    assert np.array_equal(made["w"], rg.parse(text.replace("(1, T)", "(2, T)")).init(3)["w"])


@pytest.mark.parametrize(
    "written, said",
    [
        ("log(unifrom(1, 2))", "there is no initialiser `log`"),
        ("2 * unifrom(1, 2) + normal", "there is no `unifrom` here"),
        ("block_diagonal(2)", "write `~ block_diagonal(4, orthogonal)`"),
        ("block_diagonal(3, orthogonal)", "cannot be divided into 3 blocks"),
        ("normal(x, 1) * 2", "must be a number known while compiling"),
        ("normal * x", "is initialised before any data"),
    ],
)
def test_what_is_said_of_formulas(written, said):
    with pytest.raises(UserError) as error:
        rg.parse(f"model Drawn {{\n  input x: [4]\n  param w: [4, 4] ~ {written}\n  output x @ w\n}}")
    assert said in str(error.value)


# --- weight files ----------------------------------------------------------------------------------------


def test_weights_come_back_as_they_were_saved(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "a.b": rng.normal(size=(3, 4)).T,
        "scalar": np.array(2.5, "float32"),
        "strided": np.arange(10.0)[::2],
    }
    save_weights(tmp_path / "w.safetensors", weights)
    back = load_weights(tmp_path / "w.safetensors")
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert np.array_equal(back[name], array)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 60, -1])
def test_a_truncated_weight_file_is_refused(tmp_path, kept):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": np.ones((20, 20))})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError) as error:
        load_weights(path)
    assert "cannot be read as a safetensors file" in told(error)[0] and error.value.exit_code == 2


def test_other_files_and_absent_ones_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello, this is no tensor " * 9)
    with pytest.raises(UserError, match="cannot be read as a safetensors file"):
        load_weights(tmp_path / "text")
    with pytest.raises(CannotDo, match="cannot read"):
        load_weights(tmp_path / "absent")
    with pytest.raises(CannotDo, match="cannot read"):
        load_weights(tmp_path)


def test_an_unwritable_place_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": np.ones(2)})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotDo, match="No space left on device"):
        save_weights(path, {"w": np.zeros(2)})
    assert load_weights(path)["w"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    with pytest.raises(CannotDo, match="cannot write"):
        save_weights(tmp_path / "no" / "folder.safetensors", {})


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real")
    save_weights(tmp_path / "link.safetensors", {"w": np.ones(2)})
    assert (tmp_path / "link.safetensors").is_symlink() and load_weights(tmp_path / "real")["w"].tolist() == [1, 1]
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    refuse_unwritable(tmp_path / "pipe")
    write_aside(tmp_path / "pipe", b"bytes")
    assert os.read(reader, 9) == b"bytes" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_every_weight_that_does_not_fit_is_told_at_once():
    declared = [
        weight("lstm.kernel", (2, 3)),
        weight("lstm.bias", (3,)),
        weight("dense.kernel", (3, 1)),
        weight("dense.bias", (1,)),
    ]
    given = {
        "lstm.kernal": np.ones((2, 3)),
        "lstm.bias": np.ones(4),
        "dense.kernel": np.full((3, 1), np.nan),
        "dense.bias": np.array(["x"]),
    }
    with pytest.raises(UserError) as error:
        check_weights(declared, given)
    assert told(error) == [
        "the model has no weight `lstm.kernal`",
        "no value is given for the weight `lstm.kernel`",
        "the weight `lstm.bias` should be (3,), got (4,)",
        "the weight `dense.kernel` holds nan at (0, 0)",
        "the weight `dense.bias` should hold numbers, got <U1",
    ]
    assert error.value.diagnostics[0].help == "did you mean `lstm.kernel`?"


def test_weights_that_fit_are_cast_and_ordered():
    declared = [weight("b", ()), weight("a", (2,))]
    checked = check_weights(declared, {"a": [1, 2], "b": 3}, "float32")
    assert list(checked) == ["b", "a"] and checked["a"].dtype == np.float32 and checked["b"].shape == ()


# --- data files ------------------------------------------------------------------------------------------


def test_data_of_several_files_is_merged(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 3)), **{"x.lengths": np.array([1, 3])})
    np.save(tmp_path / "y.npy", np.arange(4))
    (tmp_path / "c.csv").write_text("year, spots\n1700, 5.5\n1701,11\n\n")
    (tmp_path / "d.json").write_text(json.dumps({"z": [[1, 2], [3, 4]], "flag": [True, False]}))
    data = load([tmp_path / n for n in ("a.npz", "y.npy", "c.csv", "d.json")])
    assert set(data) == {"x", "x.lengths", "y", "year", "spots", "z", "flag"}
    assert data["year"].tolist() == [1700, 1701] and data["year"].dtype.kind == "i"
    assert data["spots"].tolist() == [5.5, 11] and data["z"].shape == (2, 2) and data["flag"].dtype == bool


class Trap:
    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_pickled_arrays_are_refused_unread(tmp_path, ending):
    trap = Trap()
    trap.path = str(tmp_path / "sprung")
    path = tmp_path / f"x.{ending}"
    (np.savez if ending == "npz" else np.save)(path, np.array([trap, trap], dtype=object))
    with pytest.raises(UserError, match="pickled Python objects"):
        load([path])
    path.write_bytes(pickle.dumps(trap))
    with pytest.raises(UserError):
        load([path])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.npz", b"PK\x03\x04 nothing", "cannot be read as .npz data"),
        ("a.npy", b"\x93NUMPY\x01\x00", "cannot be read as .npy data"),
        ("a.npy", b"", "cannot be read as .npy data"),
        ("a.csv", b"a,b\n1,2\n3\n", "row 2 has 1 values for 2 columns"),
        ("a.csv", b"a,b\n1,x\n", "row 1, column `b`: `x` is not a number"),
        ("a.csv", b"1,2\n3,4\n", "its first line should name the columns"),
        ("a.csv", b"a\n", "at least one line of numbers"),
        ("a.csv", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.json", b"[1]", "an object of named lists"),
        ("a.json", b'{"x": [[[1], [1, 2]]]}', "the lists of `x` differ in length"),
        ("a.json", b'{"x": "words"}', "`x` holds something other than numbers"),
        ("a.json", b"{", "cannot be read as .json data"),
        ("a.json", b"[" * 100_000, "cannot be read as .json data"),
        ("a.txt", b"1", "is of an unknown kind"),
    ],
)
def test_broken_data_files_are_told(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load([tmp_path / name])
    assert words in told(error)[0]


def test_the_same_name_in_two_files_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(1))
    np.savez(tmp_path / "b.npz", x=np.ones(1))
    with pytest.raises(UserError, match="`x` is in two files"):
        load([tmp_path / "a.npz", tmp_path / "b.npz"])
    with pytest.raises(CannotDo, match="cannot read"):
        load([tmp_path / "absent.npz"])


# --- data against declarations ---------------------------------------------------------------------------

X = DataInput("x", Type(("time", "batch"), (3,)), ("time",), HERE)
TAG = DataInput("tag", Type(("time", "batch"), (), "int"), ("time",), HERE)
LABEL = DataInput("label", Type(("batch",), (), "int"), (), HERE)
GATE = DataInput("gate", Type(("batch",), (2,)), (), HERE, default=0.5)
_STATE = Type(("batch",), (4,))
_FIRST = graph_input("final.h", "state", _STATE)
FINAL = StateInput("final.h", _STATE, _FIRST, HERE, _FIRST, "time", HERE)
GOOD = {"x": np.ones((2, 5, 3)), "tag": np.zeros((2, 5), int), "label": np.array([0, 1], "uint8")}


def check(data, **options):
    return check_data([X, TAG, LABEL, GATE], [FINAL], data, **options)


def test_good_data_is_cast_and_measured():
    checked = check(
        {**GOOD, "x.lengths": [5, 2], "final.h": np.zeros((2, 4)), "seed": 3}, dtype="float32", steps=5
    )
    assert checked.sizes == {"batch": 2, "time": 5} and checked.seed == 3
    assert checked.arrays["x"].dtype == np.float32 and checked.arrays["label"].dtype == np.int64
    assert checked.arrays["gate"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert checked.lengths["time"].tolist() == [5, 2] and checked.states["final.h"].shape == (2, 4)


def long(array, row, step, value):
    changed = np.array(array, copy=True)
    changed[row, step] = value
    return changed


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"x": None}, "the data has no `x`"),
        ({"y": np.ones(2)}, "the model has no input `y`"),
        ({"x": np.ones((2, 3))}, "`x` should be (batch, time, 3), got (2, 3)"),
        ({"x": np.ones((2, 5, 4))}, "`x` has 4 values on axis 2, expected 3: it should be (batch, time, 3)"),
        ({"x": [[[1, 2, 3]], [[1, 2]]]}, "`x` is not an array: its rows differ in length"),
        ({"x": np.ones((2, 5, 3), complex)}, "`x` should hold floats, got complex128"),
        ({"tag": np.zeros((2, 5))}, "`tag` should hold integers, got float64"),
        ({"tag": np.zeros((2, 6), int)}, "`tag` has 6 steps (time), but `x` has 5"),
        ({"label": np.array([0, 1, 1])}, "`label` has 3 rows (batch), but `x` has 2"),
        ({"x": np.ones((0, 5, 3))}, "`x` is empty: it has no rows"),
        ({"x": long(GOOD["x"], 1, 4, np.nan)}, "`x` holds nan at row 1, step 4, value 0, which is no"),
        ({"x": long(GOOD["x"], 0, 2, -np.inf)}, "`x` holds -inf at row 0, step 2, value 0"),
        ({"tag": long(GOOD["tag"], 1, 3, 17)}, "`tag` holds 17 at row 1, step 3, expected 0 to 16"),
        ({"tag": long(GOOD["tag"], 0, 0, -1)}, "`tag` holds -1 at row 0, step 0, expected 0 to 16"),
        ({"final.h": np.full((2, 4), np.inf)}, "`final.h` holds inf at row 0, value 0"),
        ({"final.h": np.ones((2, 5))}, "`final.h` has 5 values on axis 1, expected 4"),
        ({"x.lengths": [1]}, "`x.lengths` should be (2,), one for each row, got (1,)"),
        ({"x.lengths": [1.0, 2.0]}, "`x.lengths` should hold integers, got float64"),
        ({"x.lengths": [2, -1]}, "`x.lengths` says -1 for row 1, expected 0 to 5 (its steps)"),
        ({"x.lengths": [6, 1]}, "`x.lengths` says 6 for row 0, expected 0 to 5"),
        ({"x.lengths": [5, 1], "tag.lengths": [5, 2]}, "and `x.lengths` disagree at row 1: 2 and 1"),
        ({"seed": "now"}, "the model has no input `seed`"),
    ],
)
def test_each_mistake_in_the_data_is_told(changes, words):
    data = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(UserError) as error:
        check(data, bounds={"tag": 17})
    assert any(words in message for message in told(error)), told(error)


def test_all_mistakes_come_in_one_go_with_hints():
    with pytest.raises(UserError) as error:
        check({"label_": 1, "x": np.ones((2, 3)), "tag": np.zeros((2, 5))})
    assert len(told(error)) == 4
    helps = {d.help for d in error.value.diagnostics}
    assert helps == {
        "did you mean `label`?",
        "",
        "`tag.astype(int)` converts whole numbers to integers",
        "give an array (batch,) under this name",
    }
    assert [d.span for d in error.value.diagnostics].count(HERE) == 3


def test_padding_may_hold_anything():
    data = {
        **GOOD,
        "x": long(GOOD["x"], 1, 4, np.nan),
        "tag": long(GOOD["tag"], 1, 3, -1),
        "x.lengths": [5, 3],
    }
    assert check(data, bounds={"tag": 17}).lengths["time"].tolist() == [5, 3]


def test_numbers_beyond_float32_are_found_only_there():
    data = {**GOOD, "x": long(GOOD["x"], 0, 1, 1e300)}
    assert check(data).arrays["x"][0, 1, 0] == 1e300
    with pytest.raises(UserError, match=r"`x` holds 1e\+300 at row 0, step 1, value 0, which is infinite in float32"):
        check(data, dtype="float32")


@pytest.mark.parametrize("setting, value, become", [("rate", 1e39, "infinite"), ("epsilon", 1e-60, "0")])
def test_a_setting_of_an_optimiser_that_float32_does_not_hold(setting, value, become):
    text = "model m {{\n  input x: [2]\n  param w: [2] = 1\n  loss mean(square(w * x))\n  schedule {{ dtype {} }}\n}}\n"
    single, double = (rg.parse(text.format(dtype)) for dtype in ("float32", "float64"))
    settings = {"data": {"x": np.ones((2, 2))}, "epochs": 1, "optimizer": Adam(**{setting: value})}
    with pytest.raises(UserError, match=re.escape(f"`{setting}` is {value:g}, which is {become} in float32")):
        single.fit(**settings)
    assert len(double.fit(**settings).history) == 1


def test_a_static_program_takes_its_own_number_of_steps():
    assert check(GOOD, steps={"time": 5}).sizes["time"] == 5
    with pytest.raises(UserError) as error:
        check(GOOD, steps=50)
    assert told(error) == ["`x` has 5 steps, but the program was compiled for 50"]
    assert "--unroll dynamic" in error.value.diagnostics[0].help


def test_only_what_is_needed_must_be_there():
    assert "label" not in check({"x": GOOD["x"]}, need={"x"}).arrays
    with pytest.raises(UserError, match=r"`x\.lengths` but no `x`"):
        check({"x.lengths": [1], "tag": GOOD["tag"]}, need=())


# --- optimisers ------------------------------------------------------------------------------------------


def steps_of(optimiser, gradients, start=1.0):
    weights, path = {"w": np.array([start])}, []
    state = updates.start(optimiser, weights)
    for gradient in gradients:
        state = updates.update(optimiser, weights, {"w": np.array([gradient])}, state, NumpyArrays())
        path.append(float(weights["w"][0]))
    return path


ADAM_STEP = 0.1 * (0.08 / 0.19) / np.sqrt(0.004996 / 0.001999)
"""Its second step for the gradients 2 and -1: m = 0.9 * 0.2 - 0.1, v = 0.999 * 0.004 + 0.001, unbiased."""


@pytest.mark.parametrize(
    "optimiser, path",
    [
        (SGD(0.1), [0.8, 0.9]),
        (SGD(0.1, momentum=0.5), [0.8, 0.8]),  # v = 2, then 0.5 * 2 - 1 = 0
        (SGD(0.1, momentum=0.5, nesterov=True), [0.7, 0.8]),  # 2 + 0.5 * 2, then -1 + 0
        (Adam(0.1, epsilon=0.0), [0.9, 0.9 - ADAM_STEP]),
        (AdamW(0.1, epsilon=0.0, decay=0.5), [0.85, 0.85 - ADAM_STEP - 0.0425]),
        (
            RMSprop(0.1, rho=0.5, epsilon=0.0),
            [1 - 0.1 * np.sqrt(2), 1 - 0.2 / np.sqrt(2) + 0.1 / np.sqrt(1.5)],
        ),
    ],
)
def test_two_updates_by_hand(optimiser, path):
    np.testing.assert_allclose(steps_of(optimiser, [2.0, -1.0]), path, rtol=1e-12)


@pytest.mark.parametrize("optimiser", [SGD, RMSprop])
def test_what_is_multiplied_by_no_momentum_is_not_kept(optimiser):
    kept = [set(updates.start(optimiser(0.1, momentum=m), {"w": np.ones(3)})) for m in (0.5, 0.0)]
    assert kept[0] - kept[1] == {"velocity/w"}


@pytest.mark.parametrize("optimiser", [SGD(0.1, momentum=0.9), Adam(0.1), AdamW(0.1), RMSprop(0.01)])
def test_every_optimiser_finds_the_bottom_of_a_bowl(optimiser):
    goal = np.array([3.0, -1.0], "float32")
    weights = {"w": np.zeros(2, "float32"), "kept": np.ones(1, "float32")}
    state = updates.start(optimiser, {"w": weights["w"]})
    for _ in range(600):
        state = updates.update(optimiser, weights, {"w": weights["w"] - goal}, state, NumpyArrays())
    np.testing.assert_allclose(weights["w"], goal, atol=0.05)
    assert weights["kept"].tolist() == [1] and weights["w"].dtype == np.float32


def test_gradients_are_clipped_together():
    gradients = {"a": np.array([3.0]), "b": np.array([[4.0]], "float32")}
    norm = NumpyArrays().norm(list(gradients.values()))
    assert norm == 5 and clip_factor(norm, 1.0) == 0.2 and clip_factor(norm, 6.0) == 1.0
    weights = {"a": np.zeros(1), "b": np.zeros((1, 1), "float32")}
    updates.update(SGD(1.0), weights, gradients, updates.start(SGD(), weights), NumpyArrays(), 0.2)
    assert weights["a"] == pytest.approx(-0.6) and weights["b"] == pytest.approx(-0.8)


RULES = [SGD(0.1), SGD(0.1, momentum=0.9, nesterov=True), Adam(0.1), AdamW(0.1), RMSprop(0.01, momentum=0.5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimiser", RULES)
def test_compiled_updates_have_the_bits_of_numpy_on_any_number_of_threads(optimiser, dtype, monkeypatch):
    monkeypatch.setattr(array_kernels, "WORTH", 0)
    random = np.random.default_rng(0)
    shapes = {"a": (3, 5), "b": (), "c": (70, 61), "none": (0, 4), "long": (9001,)}
    gradients = {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    found = []
    for arrays in [NumpyArrays(), *(NativeArrays(lambda d, n=n: replace(target(d), threads=n)) for n in (1, 2, 3))]:
        weights = {name: np.full(shape, 0.5, dtype) for name, shape in shapes.items()}
        weights["turned"] = np.ones((4, 3), dtype).T  # lies in another order: NumPy takes it
        state, given = updates.start(optimiser, weights), {**gradients, "turned": gradients["c"][:3, :4]}
        for _ in range(3):
            state = updates.update(optimiser, weights, given, state, arrays, 0.7)
        found.append({**weights, **state})
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in found[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_is_the_same_on_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(array_kernels, "WORTH", 0)
    arrays = [np.random.default_rng(n).normal(size=n).astype(dtype) for n in (1, 17, 4096, 4097, 20_001)]
    exact = math.sqrt(math.fsum(float(x) ** 2 for a in arrays for x in a))
    norms = {NativeArrays(lambda d, n=n: replace(target(d), threads=n)).norm(arrays) for n in (1, 2, 3)}
    assert len(norms) == 1 and norms.pop() == pytest.approx(exact, rel=1e-14)
    assert NativeArrays(target).norm([*arrays, np.array([np.inf], dtype)]) == math.inf


def test_optimisers_by_name():
    assert optimisers.optimiser("sgd", {"rate": 0.1, "momentum": 0.9}) == SGD(0.1, 0.9)
    with pytest.raises(UserError, match="did you mean `adam`"):
        optimisers.optimiser("adma")
    with pytest.raises(UserError) as error:
        optimisers.optimiser("adam", {"momentum": 0.9, "rate": -1, "beta1": 1.0})
    assert told(error) == [
        "`adam` has no setting `momentum`",
        "`rate` should be at least 0, got -1",
        "`beta1` should be at least 0 and below 1, got 1",
    ]


def test_a_recipe_is_overridden_by_flags():
    recipe = {"optimizer": ("sgd", {"rate": 0.5}), "batch": 8, "clip_norm": 5}
    config = FitConfig.from_recipe(recipe, batch=16, epochs=None, split="last")
    assert (config.optimizer, config.batch, config.epochs, config.clip_norm) == (SGD(0.5), 16, 10, 5.0)
    assert FitConfig.from_recipe({}) == FitConfig()
    assert FitConfig.from_recipe({"optimizer": "rmsprop"}).optimizer == RMSprop()
    with pytest.raises(UserError) as error:
        FitConfig.from_recipe({"bacth": 3, "batch": 0.5, "epochs": "many", "optimizer": ("sgdd", {})})
    assert len(told(error)) == 4 and error.value.diagnostics[0].help == "did you mean `batch`?"


# --- batches ---------------------------------------------------------------------------------------------


def test_an_epoch_has_every_row_once_in_an_order_of_its_own():
    data = {"x": np.arange(10), "x.lengths": np.arange(10), "factor": np.array(2)}
    pieces = Pieces(data, np.arange(10), FitConfig(batch=4, seed=5))
    cut = [[pieces.piece(epoch, i, {}) for i in range(3)] for epoch in (0, 1)]
    for parts in cut:
        assert sorted(np.concatenate([p["x"] for p in parts])) == list(range(10))
        assert all(np.array_equal(p["x"], p["x.lengths"]) and p["factor"] == 2 for p in parts)
        assert len({int(p["seed"]) for p in parts}) == 3
    assert not np.array_equal(cut[0][0]["x"], cut[1][0]["x"])
    assert np.array_equal(pieces.piece(1, 2, {})["x"], cut[1][2]["x"])


def test_rows_are_held_back_once():
    kept, held = validation.parted(10, 0.3, "last", 0)
    assert kept.tolist() == list(range(7)) and held.tolist() == [7, 8, 9]
    kept, held = validation.parted(10, 0.3, "random", 0)
    assert sorted([*kept, *held]) == list(range(10)) and held.tolist() != [7, 8, 9]
    with pytest.raises(UserError, match="cannot be split"):
        validation.parted(1, 0.5, "last", 0)
    with pytest.raises(UserError, match="has different numbers of rows"):
        batches.row_count({"x": np.arange(2), "y": np.arange(3)})
    with pytest.raises(UserError, match="no rows"):
        batches.row_count({"x": np.ones((0, 3))})


def test_padding_in_every_row_is_cut_off():
    rows = {
        "x": np.ones((2, 9, 3)),
        "tag": np.ones((2, 9)),
        "x.lengths": np.array([2, 4]),
        "other": np.ones((2, 9)),
    }
    cut = batches.trim(rows, {"x": ("time",), "tag": ("time",)})
    assert cut["x"].shape == (2, 4, 3) and cut["tag"].shape == (2, 4) and cut["other"].shape == (2, 9)
    assert batches.trim({"x": np.ones((2, 9))}, {"x": ("time",)})["x"].shape == (2, 9)
    empty = batches.trim({**rows, "x.lengths": np.array([0, 0])}, {"x": ("time",)})
    assert empty["x"].shape == (2, 1, 3)


def test_images_are_cut_to_the_largest_of_a_batch_and_count_by_their_area():
    over = {"x": ("row", "column"), "mark": ("column",), "s": ("time",)}
    rows = {
        "x": np.ones((2, 9, 7, 3)),
        "mark": np.ones((2, 7)),
        "s": np.ones((2, 6)),
        "x.lengths": np.array([[2, 5], [4, 1]]),
    }
    cut = batches.trim(rows, over)
    assert {name: array.shape for name, array in cut.items() if "." not in name} == {
        "x": (2, 4, 5, 3), "mark": (2, 5), "s": (2, 6),
    }  # fmt: skip
    assert batches.weight(cut, over, ("column", "row")) == 2 * 5 + 4 * 1
    assert batches.weight(cut, over, ("column",)) == 5 + 1 and batches.weight(cut, over, ()) == 2
    assert batches.weight(cut, over, ("time",)) == 2 * 6


def test_the_loss_of_images_of_several_sizes_is_the_mean_over_all_their_points():
    """Of data that are evaluated in parts, too; trained on cut batches as on whole ones."""
    text = """
    model M {
      input x: seq@row@column[2]
      input target: seq@row@column
      loss squared_error(Dense(1)(x)[0], target)
      train { epochs 2  batch 3  optimizer sgd(rate = 0.1) }
    }
    """
    model = rg.parse(text)
    rng, sides = np.random.default_rng(0), np.random.default_rng(1).integers(0, 6, (300, 2))
    data = {"x": rng.normal(size=(300, 5, 5, 2)), "target": rng.normal(size=(300, 5, 5)), "x.lengths": sides}
    weights = model.init(1)
    told = (data["x"] @ weights["dense.kernel"])[..., 0] + weights["dense.bias"] - data["target"]
    real = [told[i, :h, :w].ravel() for i, (h, w) in enumerate(sides)]
    assert model.evaluate(data, weights)["loss"] == pytest.approx(np.mean(np.square(np.concatenate(real))), rel=1e-6)
    ways = (text, text + "schedule { unroll static }")
    one, other = (rg.parse(way).fit(data, weights=weights).weights for way in ways)
    assert all(np.allclose(one[name], other[name], rtol=1e-5) for name in one)


# --- training --------------------------------------------------------------------------------------------


class Line:
    """y = x w + b with a squared error; what `stop` says happens at its gradient number `at`."""

    def __init__(self, at=None, stop=KeyboardInterrupt):
        self.calls, self.at, self.stop = 0, at, stop

    def lent_gradients(self, data, weights, ready=None):
        self.calls += 1
        if self.calls == self.at:
            if self.stop is not None:
                raise self.stop
            return float("nan"), {name: np.zeros_like(w) for name, w in weights.items()}
        noise = np.random.default_rng(int(data["seed"])).normal(0, 0.01, len(data["x"]))
        error = data["x"] @ weights["w"] + weights["b"] - data["y"] + noise
        return float((error**2).mean()), {
            "w": 2 * data["x"].T @ error / len(error),
            "b": 2 * error.mean(),
            "x": error,
        }

    def run(self, data, weights):
        return self.of_all([self.run_part(data, weights)])

    def in_parts(self, data):
        return self

    def run_part(self, data, weights):
        return {"error": data["x"] @ weights["w"] + weights["b"] - data["y"]}

    def of_all(self, parts):
        error = np.concatenate([part["error"] for part in parts])
        return {"loss": np.array((error**2).mean()), "largest": np.abs(error).max()}


RNG = np.random.default_rng(3)
ROWS = {"x": RNG.normal(size=(50, 2))}
ROWS["y"] = ROWS["x"] @ np.array([2.0, -1.0]) + 0.5
START = {"w": np.zeros(2), "b": np.array(0.0)}
CONFIG = FitConfig(Adam(0.05), batch=8, epochs=12, clip_norm=1.0, rate_decay=0.95, validation=0.2, seed=4)


LINE = Made("line", Equations("a", {"net.h": "1"}), {"dtype": "float32"})


def trained(program=None, config=CONFIG, **options):
    return fit(
        program or Line(), START, ROWS, config, evaluator=Line(), metrics=["largest"], model=LINE, **options
    )


def test_training_learns_and_tells():
    told = []
    config = replace(CONFIG, epochs=100, rate_decay=0.98)
    fitted = trained(config=config, progress=told.append)
    np.testing.assert_allclose(fitted.weights["w"], [2, -1], atol=0.05)
    assert fitted.weights["b"] == pytest.approx(0.5, abs=0.05)
    assert fitted.history[-1].keys() == {"epoch", "loss", "validation.loss", "validation.largest"}
    assert len(told) == 100 * 5 and [p.record for p in told if p.record] == list(fitted.history)
    best = min(fitted.history, key=lambda r: r["validation.loss"])
    assert fitted.best_epoch == best["epoch"]
    _, held = validation.parted(batches.row_count(ROWS), 0.2, "random", 4)
    assert evaluate(Line(), batches.take(ROWS, held), fitted.weights)["loss"] == best["validation.loss"]


def test_training_leaves_the_first_weights_and_the_frozen_ones():
    fitted = trained(frozen={"b"})
    assert not any(np.shares_memory(fitted.weights[name], START[name]) for name in START)
    assert fitted.weights["b"] == 0 and START["w"].tolist() == [0, 0]


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    assert same_bits(trained().weights, trained().weights)
    assert not same_bits(trained().weights, trained(config=replace(CONFIG, seed=5)).weights)


def test_patience_ends_training_and_restores_the_best():
    config = replace(CONFIG, optimizer=SGD(1.5), clip_norm=None, epochs=60, patience=3, rate_decay=1.0)
    fitted = trained(config=config)
    assert fitted.stopped_early and len(fitted.history) == fitted.best_epoch + 3
    assert fitted.history[-1]["validation.loss"] > fitted.history[fitted.best_epoch - 1]["validation.loss"]
    with pytest.raises(UserError, match="`patience` needs validation rows"):
        trained(config=replace(config, validation=0.0))


def test_a_held_back_loss_that_is_no_number_is_worse_than_any():
    class Blind(Line):
        """Does not see the held-back rows in the first epochs."""

        def __init__(self, epochs):
            super().__init__()
            self.left = epochs

        def run(self, data, weights):
            self.left -= 1
            found = super().run(data, weights)
            return {**found, "loss": np.array(np.nan)} if self.left >= 0 else found

    config = replace(CONFIG, epochs=4)
    fitted = fit(Line(), START, ROWS, config, evaluator=Blind(2), model=LINE)
    assert fitted.best_epoch == 4 and same_bits(fitted.weights, trained(config=config).weights)
    never = fit(Line(), START, ROWS, replace(config, patience=3), evaluator=Blind(4), model=LINE)
    assert never.best_epoch is None and never.stopped_early and len(never.history) == 3


def test_evaluation_in_parts_is_that_of_all_rows():
    whole = evaluate(Line(), ROWS, START)["loss"]
    assert evaluate(Line(), ROWS, START, size=7)["loss"] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("at", [1, 3, 5, 6, 23, 60])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, at):
    whole, path = trained(), tmp_path / "run.safetensors"
    with pytest.raises(Interrupted) as stopped:
        trained(Line(at), path=path)
    assert stopped.value.path == path and str(path) in str(stopped.value) and stopped.value.exit_code == 130
    resumed = trained(path=path, resume=path)
    assert same_bits(resumed.weights, whole.weights) and resumed.history == whole.history
    assert same_bits(load_weights(path), whole.weights)


def test_an_interruption_while_validating_goes_on_to_the_same_bits(tmp_path):
    class Interrupting(Line):
        def run(self, data, weights):
            raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    with pytest.raises(Interrupted):
        fit(
            Line(),
            START,
            ROWS,
            CONFIG,
            evaluator=Interrupting(),
            metrics=["largest"],
            model=LINE,
            path=path,
        )
    assert trained(resume=path).history == trained().history


def test_a_killed_run_leaves_the_checkpoint_of_its_last_epoch(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(SystemExit):
        trained(Line(13, SystemExit), path=path)
    assert same_bits(trained(resume=path).weights, trained().weights)


def test_longer_training_goes_on_from_a_finished_run(tmp_path):
    path = tmp_path / "run.safetensors"
    trained(config=replace(CONFIG, epochs=5), path=path)
    assert trained(resume=path).history == trained().history


def test_an_interruption_without_a_checkpoint_says_so():
    with pytest.raises(Interrupted, match="nothing is saved") as stopped:
        trained(Line(3))
    assert stopped.value.path is None


def test_a_loss_that_is_no_number_is_told_with_its_place(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(CannotDo) as error:
        trained(Line(8, None), path=path)
    assert told(error) == [
        f"the loss was no longer finite in epoch 2, batch 3; `{path}` holds the end of epoch 1"
    ]
    assert np.isfinite(load_weights(path)["w"]).all()


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"config": replace(CONFIG, batch=9, seed=1)},
            "other settings: batch was 8, now 9; seed was 4, now 1",
        ),
        ({"config": replace(CONFIG, optimizer=SGD(0.1))}, "optimizer was adam("),
        (
            {"weights": {"w": np.zeros(3), "b": np.array(0.0)}},
            "another model: `w` is (2,) there and (3,) here",
        ),
        ({"weights": {"w": np.zeros(2)}}, "another model: `b` is () there and missing here"),
        ({"model": Made("curve")}, "another model: its equations or settings have changed"),
        ({"model": Made("line", Equations("b", {"net.h": "2"}))}, "have changed since: `net.h` is computed otherwise"),
        ({"model": replace(LINE, settings={"dtype": "float64"})}, "dtype was float32, now float64"),
        ({"data": {**ROWS, "x": np.nextafter(ROWS["x"], 9)}}, "made with other data: `x` is not the same"),
        ({"data": {"x": ROWS["x"][:40], "y": ROWS["y"][:40]}}, "made with 40 rows of data, now there are 32"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, changes, words):
    path = tmp_path / "run.safetensors"
    trained(config=replace(CONFIG, epochs=1), path=path)
    now = {"weights": START, "data": ROWS, "config": CONFIG, "model": LINE, **changes}
    with pytest.raises(UserError) as error:
        fit(
            Line(),
            now["weights"],
            now["data"],
            now["config"],
            evaluator=Line(),
            resume=path,
            model=now["model"],
        )
    assert words in told(error)[0]


def test_a_file_of_weights_or_a_part_is_no_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    save_weights(path, START)
    with pytest.raises(UserError, match="is not a checkpoint"):
        trained(resume=path)
    trained(config=replace(CONFIG, epochs=1), path=path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="cannot be read as a safetensors file"):
        trained(resume=path)


def test_a_checkpoint_holds_all_of_a_run(tmp_path):
    path = tmp_path / "run.safetensors"
    identity = checkpoint.Identity(LINE, CONFIG, 50, {"x": "1"})
    run = checkpoint.Training(
        {"w": np.array([1.0, 2.0])},
        {"m/w": np.ones(2), "updates": np.array(7)},
        3,
        2,
        0.1 + 0.2,
        16,
        {"w": np.zeros(2)},
        1e-300,
        2,
        ({"epoch": 1, "loss": 1 / 3},),
    )
    checkpoint.save(path, run, identity)
    back = checkpoint.resume(path, identity, run)
    assert same_bits(back.weights, run.weights) and same_bits(back.state, run.state) and same_bits(back.best, run.best)
    empty = {"weights": {}, "state": {}, "best": {}}
    assert replace(back, **empty) == replace(run, **empty)
