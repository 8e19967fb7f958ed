"""Products on tensor cores (`--products bf16|tf32`), run on the CPU by an emulator of their instructions."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.api import parse
from rnngraph.cli.show import show
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.kernels.gpu import modules
from rnngraph.kernels.gpu.loop_partitioning import loop_shape
from rnngraph.kernels.gpu.modules import OPTIONS
from rnngraph.kernels.gpu.target import cluster_of, h100
from rnngraph.runtime.numpy import NumpyBackend
from tests.kernels.test_gpu import cell, factor, module_of
from tests.support import stand_in
from tests.support.cuda import assembler
from tests.support.cuda.emulator import AVAILABLE
from tests.support.in_parts import InParts
from tests.support.rounded_products import BITS, Rounded, far, in_float32, product, worst

emulated = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")
@pytest.fixture(autouse=True)
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device with so few processors that a block has several rows."""
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy(MultiProcessorCount=2))
    return module


# --- numbers -----------------------------------------------------------------------------------------------------


@emulated
@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize(("terms", "width", "batch"), [(1, 1, 1), (37, 13, 1), (150, 70, 67)])
def test_a_product_is_that_of_rounded_operands(kind: str, terms: int, width: int, batch: int) -> None:
    """Sizes are no multiples of an instruction's 16 by 8 by 16 or 8; the gradients sum over rows, and over columns."""
    assert far(product(terms, width), kind, batch) < 1e-6


@emulated
@pytest.mark.parametrize(
    ("kind", "name"), [("bf16", "LSTM(37)"), ("tf32", "GRU(37)"), ("bf16", "LayerNormLSTM(20)")]
)
def test_loops_have_the_same_bits(kind: str, name: str) -> None:
    """In both modes and however many blocks share out the units, with NaN in the padding; and those of rounded
    operands, but where float32 makes another number of what is rounded."""
    model = parse(f"model M {{\n input x: seq[7]\n y, s = unroll {name} over x\n output y, s\n loss mean(y * y)\n}}\n")
    data, weights = synthetic(model, 3, 9, 0, padded=True), in_float32(model.init(0))
    right = everything(model.compile(backend=Rounded(kind), gradient=True), data, weights, None)
    found = [
        everything(
            model.compile(unroll, steps, InParts(parts, kind), "float32", gradient=True), data, weights, None
        )
        for unroll, steps, parts in (("dynamic", None, 3), ("dynamic", None, 1), ("static", 3, 1))
    ]  # fmt: skip
    assert worst(right, found[0]) < 1e-4
    assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]


@emulated
def test_bits_do_not_depend_on_how_much_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix that is read at each step, and terms that are staged part by part."""
    model, found, said = cell("RNN(100)", 100), [], []
    data, weights = synthetic(model, 3, 9, 0), model.init(0)
    for kilobytes in (227, 43, 34):
        module = stand_in.cupy(MultiProcessorCount=3, MaxSharedMemoryPerBlockOptin=kilobytes << 10)
        monkeypatch.setitem(sys.modules, "cupy", module)
        backend = InParts(3, "tf32")
        found.append(everything(model.compile(backend=backend, dtype="float32", gradient=True), data, weights, None))
        target = backend.target("float32")
        shape = loop_shape(factor(100, 1), 9, target)
        assert shape is not None
        said.append((shape.tiles[0].kept is not None, shape.tiles[0].chunk))
    assert said == [(True, 128), (True, 32), (False, 32)]
    assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]


@emulated
def test_a_row_has_the_same_bits_in_any_batch() -> None:
    model, whole = cell("LSTM(20)", 20), InParts(3, "bf16")
    data, weights = synthetic(model, 3, 13, 0), model.init(0)
    program = model.compile(backend=whole, dtype="float32")
    all_rows, last = (program.run({"x": data["x"][rows]}, weights) for rows in (slice(None), slice(12, 13)))
    assert np.array_equal(all_rows["y"][12:], last["y"])


@emulated
def test_no_two_threads_are_in_each_others_way(cupy: Any) -> None:
    model = cell("GRU(8)", 8)
    data, weights = synthetic(model, 2, 2, 0), model.init(0)
    program = model.compile(backend=InParts(2, "bf16"), dtype="float32", gradient=True)
    with cupy.record() as launches:
        program.gradients(data, weights)
    parts = [launch for launch in launches if "tensor_" in kernel_of(launch)]
    assert {launch.name[:5] for launch in parts} == {"loop0", "loop1", "group"}
    assert not [told for launch in parts if (told := launch.sanitized("thread"))]


def kernel_of(launch: Any) -> str:
    """The text of the kernel that was launched; of a loop its function, which stands before it."""
    text: str = launch.module.text
    function = f"{launch.name}_0("
    return text.partition(function if function in text else f"{launch.name}(")[2].partition('extern "C"')[0]


LANES = ("* STEPS + q + i) * 32 + lane]", "m[(q + i) * 32]", "+ m) * STEPS + step) * 32 + lane]")
"""Where a warp takes operands: rows, columns of a matrix, and those of sums."""


@emulated
@pytest.mark.parametrize("text", LANES)
def test_a_lane_that_has_anothers_operands_is_noticed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests before can fail: one lane of 32 takes what is its neighbour's."""
    written = modules._written

    def wrong(name: str) -> str:
        assert name != "tensor_cores.cuh" or written(name).count(text) == 1
        return written(name).replace(text, text[:-1] + " + (lane == 5)]")

    monkeypatch.setattr(modules, "_written", wrong)
    assert far(product(37, 13), "bf16", 9) > 1e-3


@emulated
def test_training_ends_where_float32_does() -> None:
    text = """
model M {
  input x: seq[1]
  input y: seq[1]
  param w: [8, 1]
  h = unroll GRU(8) over x
  p = h @ w
  output p
  loss mean((p - y) * (p - y))
  train { optimizer adam(rate = 0.02)  epochs 12  batch 16 }
}
"""
    model, random = parse(text), np.random.default_rng(0)
    x = random.normal(size=(32, 6, 1)).astype("float32")
    data = {"x": x, "y": np.cumsum(x, 1) * np.float32(0.3)}
    losses = {}
    for kind in ("float32", "bf16"):
        fitted = model.fit(data, options={"backend": "cupy", "products": kind})
        losses[kind] = [record["loss"] for record in fitted.history]
    first, last = losses["float32"][0], losses["float32"][-1]
    assert last < first / 2
    assert losses["bf16"] != losses["float32"]
    assert abs(losses["bf16"][-1] - last) < 0.02 * last


# --- how a loop is spread ----------------------------------------------------------------------------------------


def test_a_matrix_in_bf16_takes_half_of_the_room() -> None:
    near = {}
    for kind in ("", "tf32", "bf16"):
        target = replace(h100("float32", kind), parts=32)
        shape = loop_shape(factor(512), 32, target)
        assert shape is not None
        near[kind] = shape.tiles[0].room * 4
        assert shape.tiles[0].kept == 0
    assert near == {"": 133_120, "tf32": 131_072, "bf16": 65_536}


@pytest.mark.parametrize(("units", "batch"), [(128, 1), (1024, 64), (4096, 8), (37, 1000)])
def test_a_shape_fits_the_device(units: int, batch: int) -> None:
    target = h100("float32", "bf16")
    shape = loop_shape(factor(units), batch, target)
    assert shape is not None
    assert shape.bytes <= target.shared
    assert (shape.teams - 1) * shape.rows_each < batch <= shape.teams * shape.rows_each


def test_the_command_tells_what_they_take(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.rnn").write_text("model M {\n input x: seq[512]\n y = unroll LSTM(512) over x\n output y\n}\n")
    monkeypatch.setitem(sys.modules, "cupy", stand_in.cupy())
    flags = ["--kernels", "--backend", "cupy", "--products", "bf16"]
    told = CliRunner().invoke(show, [str(tmp_path / "m.rnn"), *flags, "--dtype", "float32"])
    assert "131,072 bytes of matrices near" in " ".join(told.output.split())
    refused = CliRunner().invoke(show, [str(tmp_path / "m.rnn"), *flags, "--dtype", "float64"])
    assert isinstance(refused.exception, UserError)


@pytest.mark.skipif(not assembler.available(), reason="NVRTC is not installed")
@pytest.mark.parametrize(("kind", "arch"), [("bf16", "80"), ("tf32", "90")])
def test_registers_suffice(kind: str, arch: str) -> None:
    target = replace(h100("float32", kind), cluster=cluster_of(arch))
    module = module_of(cell("LSTM(512)", 512), target=target)
    for _, names in module.parts(1):
        for name, used in assembler.assembled(module.text_of(names), arch, OPTIONS).items():
            assert not used.spilled, name


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"products": "bf16", "dtype": "float64"}, "products in bf16 are of numbers in float32, .* are in float64"),
        ({"products": "bf16", "backend": "numpy"}, "products in bf16 are made on a GPU, by generated kernels"),
        ({"products": "tf32", "kernels": "cupy"}, "products in tf32 are made on a GPU, by generated kernels"),
        ({"products": "fp8"}, "there are no products in `fp8`"),
        ({"products": "bf16", "backend": NumpyBackend()}, "`products` is for a backend that is told by its name"),
        ({"products": 16}, "`products` should be a text, got `16`"),
    ],
)  # fmt: skip
def test_products_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        product(3, 3).compile(**{"backend": "cupy", "dtype": "float32", **options})


def test_a_device_without_them_is_named(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in.Device, "compute_capability", "75")
    with pytest.raises(CannotDo, match=r"products in bf16 need compute capability 8\.0, .*a stand-in has 7\.5"):
        product(3, 3).compile(backend="cupy", dtype="float32", products="bf16")
    assert product(3, 3).compile(backend="cupy", dtype="float32", products="float32")
