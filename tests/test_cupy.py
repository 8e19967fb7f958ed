"""The CuPy backend: on a device where there is one; without one, its logic over an array module that has only what
CuPy has, with CuPy's signatures (of 14.x), so that a kernel that asks for more fails here."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli import exit_code
from rnngraph.costs import differences, everything, synthetic
from rnngraph.diagnostics import CannotDo
from rnngraph.runtime.cupy import CupyBackend
from tests.models import ALL

UFUNCS = (  # noqa: SIM905  # a list of names reads better as one text
    "add subtract multiply divide power mod maximum minimum negative absolute sign floor exp log sqrt "
    "square reciprocal sin cos tanh logaddexp less less_equal greater greater_equal equal not_equal "
    "logical_and logical_or logical_not bitwise_xor right_shift floor_divide matmul "
).split()


class Device(np.ndarray):
    """An array that pretends to be on a device: it crosses over by `get` and `set` alone."""

    def get(self) -> Any:
        return np.array(self)

    def set(self, array: Any) -> None:
        assert type(array) is np.ndarray and array.flags.c_contiguous and array.dtype == self.dtype
        np.copyto(self, array)


def stub() -> Any:
    """A module named cupy made of NumPy, holding only what the real one has."""
    cupy: Any = ModuleType("cupy")
    for name in UFUNCS:
        setattr(cupy, name, getattr(np, name))
    cupy.ndarray, cupy.uint64, cupy.int64 = Device, np.uint64, np.int64
    cupy.empty = lambda shape, dtype=float: np.empty(shape, dtype).view(Device)
    cupy.zeros = lambda shape, dtype=float: np.zeros(shape, dtype).view(Device)
    cupy.arange = lambda start, stop=None, step=1, dtype=None: np.arange(start).view(Device)
    cupy.argmax = lambda a, axis=None, dtype=None, out=None, keepdims=False: np.argmax(a, axis, out)
    cupy.sum = lambda a, axis=None, dtype=None, out=None, keepdims=False: np.sum(a, axis, dtype, out, keepdims)
    cupy.amax = lambda a, axis=None, out=None, keepdims=False: np.amax(a, axis, out, keepdims)
    cupy.any = lambda a, axis=None, out=None, keepdims=False: np.any(a, axis, out, keepdims)
    cupy.cumsum = lambda a, axis=None, dtype=None, out=None: np.cumsum(a, axis, dtype, out)
    cupy.take = lambda a, indices, axis=None, out=None: np.take(a, indices, axis, out)
    cupy.clip = lambda a, a_min, a_max, out=None: np.clip(a, a_min, a_max, out)
    cupy.copyto = lambda dst, src, casting="same_kind", where=None: np.copyto(
        dst, src, casting, **({} if where is None else {"where": where})
    )
    cupy.broadcast_to = lambda array, shape: np.broadcast_to(array, shape)
    cupy.einsum = lambda *operands: np.einsum(*operands)
    cupy.ascontiguousarray = lambda a, dtype=None: np.ascontiguousarray(a, dtype).view(Device)
    cupy.ElementwiseKernel = lambda *told: scatter
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_bytes=lambda: 0)
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(memGetInfo=lambda: (10**12, 10**12)),
        get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    )
    return cupy


def scatter(ids: Any, rows: Any, count: int, width: int, out: Any, size: int) -> None:
    """What the backend's kernel does, one thread per column."""
    flat, given = out.reshape(-1), rows.reshape(-1)
    for i in range(size):
        for k in range(count):
            flat[ids[k] * width + i] += given[k * width + i]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", stub())


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", ALL)
def test_the_backend_needs_nothing_that_cupy_has_not(name: str) -> None:
    model = rg.parse(ALL[name])
    data, weights = synthetic(model, 4, 3, 0, padded=True), model.init(0)
    results = []
    for backend in ("numpy", "cupy"):
        for unroll, steps in (("static", 4), ("dynamic", None)):
            program = model.compile(unroll, steps, backend, gradient=True, training=True)
            results.append(everything(program, data, weights, None))
    for other in results[1:]:
        assert all(d.max_abs < 1e-12 for d in differences(results[0], other))


def test_importing_rnngraph_does_not_import_cupy() -> None:
    assert "cupy" not in sys.modules


def usable() -> bool:
    try:
        CupyBackend()
    except CannotDo:
        return False
    return True


@pytest.mark.skipif(usable(), reason="a device works here")
def test_without_a_device_the_message_is_clear(capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code(["run", "examples/textbook.rnn", "--data", "examples/data/textbook.npz", "--backend", "cupy"])
    told = capsys.readouterr().err
    assert code == 1
    assert told.startswith("error: CuPy") and "--backend numpy" in told


@pytest.mark.skipif(not usable(), reason="no CUDA device works here")
@pytest.mark.parametrize("name", ALL)
def test_on_a_device(name: str) -> None:
    model = rg.parse(ALL[name])
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    static = everything(model.compile("static", 5, "cupy", gradient=True), data, weights, None)
    dynamic = everything(model.compile("dynamic", None, "cupy", gradient=True), data, weights, None)
    assert not [d for d in differences(static, dynamic) if not d.equal]
    host = everything(model.compile(gradient=True), data, weights, None)
    assert all(d.max_abs < 1e-9 for d in differences(host, dynamic))
