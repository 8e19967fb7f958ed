"""The CuPy backend: on a device where there is one, and everywhere over a stand-in that refuses what CuPy refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnngraph.analysis.compare import compare
from rnngraph.analysis.equality import Asked, differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.runtime.choose_backend import backend_named
from rnngraph.runtime.cupy import CupyBackend
from tests.support import stand_in
from tests.support.in_parts import InParts
from tests.support.models import ALL, parsed
from tests.support.rounded_products import BITS, far, product


def usable() -> bool:
    try:
        CupyBackend()
    except CannotDo:
        return False
    return True


USABLE = usable()
on_a_device = pytest.mark.skipif(not USABLE, reason="no CUDA device works here")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in, with kernels of the array library; `tests/kernels/test_gpu.py` has the generated ones."""
    monkeypatch.setenv("RNNGRAPH_KERNELS", "cupy")
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


@pytest.fixture(params=["stand-in", pytest.param("device", marks=on_a_device)])
def cupy(request: pytest.FixtureRequest) -> Any:
    """The module: the stand-in, and CuPy where it works."""
    if request.param == "stand-in":
        return request.getfixturevalue("fake")
    import cupy

    return cupy


def off(found: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    return max(d.max_abs for d in differences(right, found))


# --- every model -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", ALL)
def test_the_backend_needs_nothing_that_cupy_has_not(name: str) -> None:
    model = parsed(name)
    data, weights = synthetic(model, 4, 3, 0, padded=True), model.init(0)
    results = []
    for backend in ("numpy", "cupy"):
        for unroll, steps in (("static", 4), ("dynamic", None)):
            program = model.compile(unroll, steps, backend, gradient=True, training=True)
            results.append(everything(program, data, weights, None))
    assert all(off(other, results[0]) < 1e-12 for other in results[1:])


@on_a_device
@pytest.mark.parametrize("kind", BITS)
def test_tensor_cores_of_a_device(kind: str) -> None:
    """Products of rounded operands, and the same bits however many blocks share out the units."""
    assert far(product(150, 70), kind, 67) < 1e-5
    model = parsed("lstm everything")
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    few, many = (
        everything(model.compile(backend=InParts(parts, kind), dtype="float32", gradient=True), data, weights, None)
        for parts in (1, 3)
    )
    assert not [d for d in differences(few, many) if not d.equal]


@on_a_device
@pytest.mark.parametrize("kernels", ["native", "cupy"])
@pytest.mark.parametrize("name", ALL)
def test_on_a_device(name: str, kernels: str) -> None:
    model, backend = parsed(name), backend_named("cupy", kernels)
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    static = everything(model.compile("static", 5, backend, gradient=True, training=True), data, weights, None)
    dynamic = everything(model.compile("dynamic", None, backend, gradient=True, training=True), data, weights, None)
    assert not [d for d in differences(static, dynamic) if not d.equal]
    assert off(dynamic, everything(model.compile(gradient=True, training=True), data, weights, None)) < 1e-9


@on_a_device
@pytest.mark.parametrize("told", [(1,), (3,), (2, "", 2)], ids=["blocks", "teams", "clusters"])
@pytest.mark.parametrize("name", ["lstm everything", "stop", "dropout", "stack"])
def test_graphs_of_a_device(name: str, told: Any) -> None:
    """The device takes a graph of each kind of launch, and the bits are those of launches one by one."""
    model, backends = parsed(name), (InParts(*told), InParts(*told))
    backends[0].graphs = None
    apart, together = (model.compile(backend=b, gradient=True, training=True) for b in backends)
    weights = {n: apart.backend.xp.asarray(w) for n, w in model.init(0).items()}
    for turn in range(5):
        data = synthetic(model, 5, 3, turn, padded=True)
        for array in weights.values():
            array *= 0.9
        right, found = (everything(program, data, weights, None) for program in (apart, together))
        assert not [d for d in differences(right, found) if not d.equal], turn
    assert not together.backend.graphs.refused


@on_a_device
def test_a_long_sequence_on_a_device() -> None:
    """Chunks at once have the bits of the walk, which short segments are."""
    model, backend = parsed("min gru"), backend_named("cupy", "native")
    data, weights = synthetic(model, 6000, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True, training=True), data, weights, None)
    at_once, walked = (
        everything(model.compile(backend=backend, gradient=True, training=True, keep=keep), data, weights, None)
        for keep in ("all", "every:512")
    )
    assert not [d for d in differences(walked, at_once) if not d.equal]
    assert off(at_once, right) < 1e-9


# --- the stand-in ------------------------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "a product's output by place": lambda xp, a: xp.matmul(a, a, xp.zeros((3, 3))),
    "an output of another shape": lambda xp, a: xp.add(a, 1.0, xp.zeros((3, 1))),
    "a product's output of another shape": lambda xp, a: xp.matmul(a, a, out=xp.zeros((4, 3))),
    "a sum's output of another shape": lambda xp, a: xp.sum(a, axis=0, out=xp.zeros((3, 3))),
    "an output of another type": lambda xp, a: xp.add(a, 1.0, xp.zeros((3, 3), "int64")),
    "rows taken into another type": lambda xp, a: xp.take(a, xp.arange(3), axis=0, out=xp.zeros((3, 3), "float32")),
    "an operand of the host": lambda xp, a: xp.add(a, np.ones((3, 3)), a),
    "a product with the host": lambda xp, a: xp.matmul(a, np.ones((3, 3)), out=xp.zeros((3, 3))),
    "a copy from the host": lambda xp, a: xp.copyto(a, np.ones((3, 3))),
    "a mask of the host": lambda xp, a: xp.copyto(a, 0.0, where=np.ones((3, 3), bool)),
    "rows of the host put in": lambda xp, a: a.__setitem__(0, np.ones(3)),
    "an array of the host filled in": lambda xp, a: a.fill(np.ones(3)),
    "conversion": lambda xp, a: np.asarray(a),
    "a number where one of another shape is set": lambda xp, a: xp.zeros(()).set(np.ones(1)),
    "another type set": lambda xp, a: a.set(np.ones((3, 3), "float32")),
    "setting what is not contiguous": lambda xp, a: a[:, ::-1].set(np.ones((3, 3))),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cupy_refuses_the_stand_in_refuses(what: str, cupy: Any) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        REFUSED[what](cupy, cupy.zeros((3, 3)))


def second_device(cupy: Any) -> Any:
    """Another device than the current one."""
    if not isinstance(cupy.cuda, SimpleNamespace) and cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device")
    return cupy.cuda.Device(1)


def test_an_array_of_another_device_is_refused(cupy: Any) -> None:
    with second_device(cupy):
        far = cupy.zeros(3)
    with pytest.raises(ValueError, match="device"):
        cupy.add(far, 1.0, cupy.zeros(3))


# --- what it is given --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two speeds", "tagger"])
def test_arrays_of_the_device_are_taken_as_data_lengths_and_weights(name: str, cupy: Any) -> None:
    model = parsed(name)
    program, weights = model.compile(backend="cupy", gradient=True), model.init(0)
    for padded in (True, False):
        data = synthetic(model, 4, 3, 0, padded=padded)
        right = everything(model.compile(gradient=True), data, weights, None)
        there, held = on(cupy, data), on(cupy, weights)
        for _ in range(3):  # the later calls know the form of the data
            assert off(everything(program, there, held, None), right) < 1e-9
        assert off(everything(program, data, held, None), right) < 1e-9
        assert off(everything(program, there, weights, None), right) < 1e-9


def on(cupy: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cupy.asarray(array) for name, array in arrays.items()}


def test_weights_may_be_strided_or_of_another_type(cupy: Any) -> None:
    model = parsed("lstm")
    program, weights, data = model.compile(backend="cupy"), model.init(0, "float32"), synthetic(model, 4, 3, 0)
    right = model.compile().run(data, weights)
    assert off(program.run(data, on(cupy, weights)), right) < 1e-9
    turned = {name: cupy.asarray(np.ascontiguousarray(w.T.astype(float))).T for name, w in weights.items()}
    assert any(not w.flags.c_contiguous for w in turned.values())
    assert off(program.run(data, turned), right) < 1e-9


def test_cotangents_may_be_on_the_device(cupy: Any) -> None:
    model = parsed("gru")
    data, weights = synthetic(model, 4, 3, 0), model.init(0)
    cotangents = {"y": np.random.default_rng(1).normal(size=(3, 4, 5))}
    loss, right = model.compile(gradient=True).gradients(data, weights, cotangents)
    program = model.compile(backend="cupy", gradient=True)
    for _ in range(2):
        found, gradients = program.gradients(on(cupy, data), on(cupy, weights), on(cupy, cotangents))
        assert abs(found - loss) < 1e-9 and off(gradients, right) < 1e-9


def test_results_may_stay_on_the_device(cupy: Any) -> None:
    """And go in again: a sequence in two pieces, whose states never leave it."""
    model = parsed("gru")
    data, weights = synthetic(model, 4, 3, 0), model.init(0)
    right = model.compile(states=True).run(data, weights)
    program, held = model.compile(backend="cupy", states=True), on(cupy, weights)
    first = program.run(on(cupy, {"x": data["x"][:, :2]}), held, device=True)
    assert all(isinstance(array, cupy.ndarray) for array in first.values())
    states = {name: array for name, array in first.items() if name.startswith("final")}
    last = program.run({**on(cupy, {"x": data["x"][:, 2:]}), **states}, held, device=True)
    assert abs(last["y"].get() - right["y"][:, 2:]).max() < 1e-9
    gradients = model.compile(backend="cupy", gradient=True).gradients(
        data, weights, {"y": np.ones((3, 4, 5))}, device=True
    )[1]
    assert all(isinstance(array, cupy.ndarray) for array in gradients.values())


def test_nan_in_data_of_the_device_is_told(cupy: Any) -> None:
    model = parsed("gru")
    program, weights, data = model.compile(backend="cupy"), model.init(0), synthetic(model, 4, 3, 0)
    program.run(on(cupy, data), weights)
    data["x"][1, 2, 0] = np.nan
    with pytest.raises(UserError, match="nan"):
        program.run(on(cupy, data), weights)


def test_a_program_stays_on_its_device_whichever_is_current(cupy: Any) -> None:
    model = parsed("two speeds")
    data, weights = synthetic(model, 4, 3, 0), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    program = model.compile(backend="cupy", gradient=True)
    here = on(cupy, data), on(cupy, weights)
    with second_device(cupy):
        far = on(cupy, data), on(cupy, weights)
        for given in ((data, weights), here, far, far):
            assert off(everything(program, *given, None), right) < 1e-9
    assert off(everything(program, *far, None), right) < 1e-9


@pytest.mark.usefixtures("fake")
def test_a_number_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, device in (("1", 1), ("0", 0), ("5", 1)):
        monkeypatch.setenv("RNNGRAPH_DEVICE", told)
        assert CupyBackend().device == device
    monkeypatch.setenv("RNNGRAPH_DEVICE", "second")
    with pytest.raises(CannotDo, match="is the number of a GPU, got `second`"):
        CupyBackend()


class Foreign:
    """An array of another library in the memory of the device."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.__cuda_array_interface__ = array.__cuda_array_interface__


def test_arrays_of_other_libraries_are_read_on_the_device(cupy: Any) -> None:
    model = parsed("lstm")
    program, weights, data = model.compile(backend="cupy"), model.init(0), synthetic(model, 4, 3, 0)
    right = model.compile().run(data, weights)
    theirs = [{name: Foreign(array) for name, array in on(cupy, given).items()} for given in (data, weights)]
    for _ in range(2):
        assert off(program.run(*theirs), right) < 1e-9


@pytest.mark.parametrize("name", ["bidirectional", "tagger"])
def test_a_gradient_is_walked_on_the_device(name: str, cupy: Any) -> None:
    model = parsed(name)
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    program = model.compile(backend="cupy", gradient=True, keep="every:2")
    for given in ((data, weights), (on(cupy, data), on(cupy, weights))):
        assert off(everything(program, *given, None), right) < 1e-9


@pytest.mark.parametrize("kernels", ["native", "numpy"])
def test_the_numpy_backend_says_that_it_reads_no_device(kernels: str, cupy: Any) -> None:
    model = parsed("gru")
    program, data, weights = model.compile(kernels=kernels), synthetic(model, 4, 3, 0), model.init(0)
    for given in ((on(cupy, data), weights), (data, on(cupy, weights))):
        with pytest.raises(UserError, match="backend numpy cannot read"):
            program.run(*given)


def test_ids_outside_go_to_the_nearest_row(cupy: Any) -> None:
    around = cupy.zeros((6, 2))
    ids, rows = cupy.asarray(np.array([-7, 0, 3, 10**12])), cupy.asarray(np.arange(8.0).reshape(4, 2))
    CupyBackend().scatter_rows(ids, rows, around[1:5])
    assert around.get().tolist() == [[0, 0], [2, 4], [0, 0], [0, 0], [10, 12], [0, 0]]


# --- what it tells -----------------------------------------------------------------------------------------------


def test_compare_measures_what_the_pool_hands_out(cupy: Any) -> None:
    model = parsed("lstm")
    found = compare(model, CupyBackend(), Asked(steps=(3, 6), batch=4, repeats=1))
    assert found.equal and "512 bytes" in found.notes[0] and "CuPy" in found.machine
    for row in found.rows:
        arena = [entry for entry in row.ledger if entry.category != "parameters"]
        told, measured = (sum(getattr(e, kind) for e in arena) for kind in ("predicted", "measured"))
        assert told <= measured < told + 512
        assert row.measured("parameters") == sum(-(-w.nbytes // 512) * 512 for w in model.init(0, "float32").values())


def test_importing_rnngraph_does_not_import_cupy() -> None:
    subprocess.run([sys.executable, "-c", "import sys, rnngraph.cli; assert 'cupy' not in sys.modules"], check=True)


RUN = ("run", "examples/textbook.rnn", "--data", "examples/data/textbook.npz", "--backend", "cupy", "--seed", "0")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code([*RUN]) == 1
    return capsys.readouterr().err


@pytest.mark.skipif(USABLE, reason="a device works here")
def test_without_a_device_the_message_is_clear(capsys: pytest.CaptureFixture[str]) -> None:
    message = told(capsys)
    assert message.startswith("error: CuPy") and "--backend numpy" in message


def test_without_cupy_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    message = told(capsys)
    assert message.startswith("error: CuPy is not installed") and "rnngraph[cupy]" in message


def test_each_missing_library_is_named(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*given: Any) -> Any:
        raise RuntimeError("libnothing.so: no such file\nand a page more")

    class WithoutCublas(stand_in.Device):
        cublas_handle = property(fails)  # type: ignore[assignment]

    whole = dict(vars(fake.cuda))
    for missing, word in (
        ({"Device": fails}, "no device"),
        ({"nvrtc": SimpleNamespace(getVersion=fails)}, "NVRTC"),
        ({"Device": lambda: WithoutCublas(stand_in.Gpus())}, "cuBLAS"),
    ):
        fake.cuda = SimpleNamespace(**{**whole, **missing})
        message = told(capsys)
        assert word in message and "libnothing.so: no such file" in message and "a page more" not in message
        assert "--backend numpy" in message
