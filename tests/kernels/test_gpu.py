"""Generated kernels for GPUs, run on the CPU by an emulator: numbers, bits, meetings, races, launches."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from rnngraph.analysis.equality import differences, everything, synthetic
from rnngraph.kernels.gpu.target import GpuTarget
from rnngraph.runtime.cupy import GeneratedBackend
from tests.support import stand_in
from tests.support.cuda.emulator import AVAILABLE
from tests.support.models import ALL, parsed

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")


class InParts(GeneratedBackend):
    """A device whose teams have a given number of blocks."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def target(self, dtype: str) -> GpuTarget:
        return replace(super().target(dtype), parts=self.parts)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_numbers_and_bits(name: str, parts: int) -> None:
    """In both modes the same bits, whatever number of blocks shares out the units; and NumPy's numbers."""
    model, backend = parsed(name), InParts(parts)
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True, training=True), data, weights, None)
    found = [
        everything(model.compile(unroll, steps, backend, gradient=True, training=True), data, weights, None)
        for unroll, steps in (("dynamic", None), ("static", 5))
    ]
    assert max(d.max_abs for d in differences(right, found[0])) < 1e-9
    assert not [d for d in differences(*found) if not d.equal]
