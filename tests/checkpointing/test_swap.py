"""Tapes outside of the memory that a run computes in: in a file, or beside a GPU."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.ledger import ledger
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.runtime.pinned_memory import PinnedMemory
from tests.support import stand_in
from tests.support.cuda.emulator import AVAILABLE
from tests.support.models import parsed
from tests.support.streams import Race

# --- in a file -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["tagger", "bidirectional", "depth"])
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_tapes_in_a_file(name: str, unroll: str, tmp_path: Path) -> None:
    """The same bits in less memory, and nothing is left behind, also while it runs."""
    model = parsed(name)
    data, weights = synthetic(model, 100, 2, 0, True), model.init(0)
    steps = 100 if unroll == "static" else None
    whole = everything(model.compile(unroll, steps, gradient=True), data, weights, None)
    program = model.compile(unroll, steps, gradient=True, swap=str(tmp_path))
    for _ in range(2):
        assert all(d.equal for d in differences(whole, everything(program, data, weights, None)))
    assert not list(tmp_path.iterdir())
    assert program.main.evaluations(model.sizes(100, 2)) == 1


def test_a_disk_without_room_is_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = parsed("lstm")
    data, weights = synthetic(model, 200, 2, 0), model.init(0)
    with pytest.raises(CannotDo, match="E619"):
        model.compile(gradient=True, swap=str(tmp_path / "nowhere")).gradients(data, weights)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(CannotDo, match="100 are free"):
        model.compile(gradient=True, swap=str(tmp_path)).gradients(data, weights)


def test_a_disk_that_fills_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*ignored: Any) -> int:
        raise OSError(28, "No space left on device")

    model = parsed("lstm")
    data, weights = synthetic(model, 200, 2, 0), model.init(0)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CannotDo, match="No space left"):
        model.compile(gradient=True, swap=str(tmp_path)).gradients(data, weights)
    assert not list(tmp_path.iterdir())


# --- in memory of the host, beside a GPU ---------------------------------------------------------------------------


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


def swapping(name: str, kernels: str = "cupy", swap: str = "host", **more: Any) -> CompiledProgram:
    return parsed(name).compile(backend="cupy", kernels=kernels, swap=swap, **{"gradient": True, **more})


@pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")
@pytest.mark.usefixtures("cupy")
def test_tapes_in_memory_of_the_host(name: str = "lstm everything") -> None:
    """The same bits in less memory of the device, as predicted, and no copy that may meet a kernel at its bytes."""
    model = parsed(name)
    data, weights, sizes = synthetic(model, 100, 2, 0, True), model.init(0), model.sizes(100, 2)
    whole, program = swapping(name, "native", ""), swapping(name, "native")
    right = everything(whole, data, weights, None)
    for _ in range(2):
        assert all(d.equal for d in differences(right, everything(program, data, weights, None)))
    assert program.main.evaluations(sizes) == 1
    kept, swapped = (ledger(one.main, sizes, weights) for one in (whole, program))
    assert all(0 <= entry.measured - entry.predicted < 512 for entry in swapped if entry.category != "parameters")
    assert sum(entry.measured for entry in swapped) < 0.6 * sum(entry.measured for entry in kept)


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("left_out", ["a copy waits for kernels", "kernels wait for a copy"])
def test_each_wait_of_a_copy_is_needed(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered = PinnedMemory.ordered

    def without(self: PinnedMemory, first: Any, then: Any) -> None:
        if (then is self.copies) != (left_out == "a copy waits for kernels"):
            ordered(self, first, then)

    model, program = parsed("lstm"), swapping("lstm")
    data, weights = synthetic(model, 100, 2, 0), model.init(0)
    everything(program, data, weights, None)
    monkeypatch.setattr(PinnedMemory, "ordered", without)
    with pytest.raises(Race):
        everything(program, data, weights, None)


def test_what_is_swapped_is_known_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parsed("lstm")
    monkeypatch.setitem(sys.modules, "cupy", None)
    asked = {"backend": "cupy", "swap": "host", "kernels": "cupy", "dtype": "float64"}
    told = model.cost(200, 2, gradient=True, options=asked)
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    program = swapping("lstm", **model.training_step)
    program.gradients(synthetic(model, 200, 2, 0), model.init(0))
    assert told.bytes == program.main.plan(model.sizes(200, 2)).bytes
    assert told.swapped == sum(module.cuda.get_current_stream().streams.pinned.values()) > 0


def test_memory_that_cannot_be_pinned_is_told(cupy: Any) -> None:
    model = parsed("lstm")
    cupy.cuda.get_current_stream().streams.room = 1000
    with pytest.raises(CannotDo, match="bytes of the host's memory cannot be pinned: cudaErrorMemoryAllocation"):
        swapping("lstm").gradients(synthetic(model, 100, 2, 0), model.init(0))


@pytest.mark.usefixtures("cupy")
def test_each_backend_says_where_it_swaps_to() -> None:
    for backend, swap, help in (("numpy", "host", "--swap ."), ("cupy", ".", "--swap host")):
        with pytest.raises(UserError, match=f"E619[^$]*{help}"):
            parsed("lstm").compile(backend=backend, gradient=True, swap=swap)
