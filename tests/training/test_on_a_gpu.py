"""Training on a GPU: weights, and what the optimiser keeps, stay there. Shown by the stand-in and the emulator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnngraph.api import Model, parse
from rnngraph.training import optimisers
from tests.support import stand_in
from tests.support.cuda.emulator import AVAILABLE

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


def model() -> Model:
    return parse("""
model M {
  input x: seq[3]
  input label: [2]
  y, s = unroll GRU(4) over x
  out = Dense(2)(s.h)
  loss squared_error(out, label)
  output out
}
""")


def data(rows: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(rows, 5, 3)), "label": rng.normal(size=(rows, 2))}


def fitted(backend: str, **recipe: Any) -> Any:
    made = model()
    options = made.options(backend=backend, dtype="float64")
    return made.fit(data(), weights=made.init(1), options=options, batch=4, epochs=2, **recipe)


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_every_optimiser_takes_the_same_steps(name: str) -> None:
    """With clipping by norm and decay: the weights of a training on the CPU, up to rounding."""
    right, found = (fitted(backend, optimizer=name, clip_norm=0.1, decay=0.01) for backend in ("numpy", "cupy"))
    assert found.weights.keys() == right.weights.keys()
    assert all(isinstance(w, np.ndarray) for w in found.weights.values())
    assert max(abs(found.weights[n] - right.weights[n]).max() for n in right.weights) < 1e-9
    assert abs(found.history[-1]["loss"] - right.history[-1]["loss"]) < 1e-9


@pytest.mark.usefixtures("cupy")
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    made = model()
    told: dict[str, Any] = {
        "options": made.options(backend="cupy", dtype="float64"), "batch": 4, "optimizer": "adam", "validation": 0.25,
    }  # fmt: skip
    whole = made.fit(data(), epochs=3, **told)
    made.fit(data(), epochs=1, checkpoint=tmp_path / "c.checkpoint", **told)
    rest = made.fit(data(), epochs=3, resume=tmp_path / "c.checkpoint", **told)
    assert all((rest.weights[n] == w).all() for n, w in whole.weights.items())


def test_an_update_is_one_launch_for_each_weight(cupy: Any) -> None:
    fitted("cupy", optimizer="adam")
    cupy.launches.clear()
    fitted("cupy", optimizer="adam")
    weights, updates = len(model().init(0)), 6
    assert cupy.launches["update"] == weights * updates
