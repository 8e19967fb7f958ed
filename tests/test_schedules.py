"""Schedules over time: whatever is kept or computed again, the bits are the same, and the bytes are those foretold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.compiled import CompiledProgram, Signature
from rnngraph.costs import array_bytes, cotangents_for, differences, everything, synthetic
from rnngraph.diagnostics import CannotDo, UserError
from rnngraph.model import Model
from tests.models import ALL

WITHOUT_LOOPS = ("shifts", "lines", "bags", "ranking")
LOOPS = [name for name in ALL if name not in WITHOUT_LOOPS]


def compiled(model: Model, unroll: str, steps: int, keep: str, **more: Any) -> CompiledProgram:
    return model.compile(unroll, steps if unroll == "static" else None, gradient=True, keep=keep, **more)


def unequal(model: Model, unroll: str, steps: int, batch: int, keep: str, padded: bool) -> list[str]:
    """The results and gradients that differ from those of keeping everything."""
    data, weights = synthetic(model, steps, batch, 0, padded), model.init(0)
    cotangents = cotangents_for(model, steps, batch)
    results = [everything(compiled(model, unroll, steps, k), data, weights, cotangents) for k in ("all", keep)]
    return [d.name for d in differences(*results) if not d.equal]


@pytest.mark.parametrize("name", LOOPS)
def test_the_same_bits(name: str) -> None:
    """Units of 16 steps at batch 2, of one step at batch 40; a last chunk that is shorter; lengths within a chunk."""
    model = rg.parse(ALL[name])
    assert not unequal(model, "dynamic", 70, 2, "every:32", False)
    assert not unequal(model, "dynamic", 9, 40, "every:2", True)
    assert not unequal(model, "static", 37, 2, "sqrt", True)


@pytest.mark.parametrize("name", ["stack", "tagger", "bidirectional", "pooling", "depth"])
@pytest.mark.parametrize("keep", ["every:1", "every:48", "sqrt"])
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_told_bytes_are_taken(name: str, keep: str, unroll: str) -> None:
    import tracemalloc

    model, steps, batch = rg.parse(ALL[name]), 100, 3
    program = compiled(model, unroll, steps, keep, dtype="float32", kernels="numpy")
    variant = program.variant(Signature(cotangents=("loss",)))
    told = variant.plan(model.sizes(steps, batch))
    tracemalloc.start()
    held = variant.with_arrays(told)
    measured = array_bytes()
    tracemalloc.stop()
    assert held is not None
    assert measured == told.total - told.bytes["parameters"]


@pytest.mark.parametrize("name", ["stack", "tagger", "depth"])
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_less_is_kept(name: str, unroll: str) -> None:
    model = rg.parse(ALL[name])
    sizes = model.sizes(100, 3)
    totals = [compiled(model, unroll, 100, keep, kernels="numpy").main.plan(sizes).total for keep in ("all", "sqrt")]
    assert totals[1] < 0.65 * totals[0]


def test_a_step_of_training_takes_what_it_was_told_to() -> None:
    """While it runs, too: what is made beside the plan is far less than the least of the large arrays."""
    import tracemalloc

    model = rg.parse(ALL["tagger"].replace("vocab = 11", "vocab = 300").replace("units = 4", "units = 512"))
    data, weights = synthetic(model, 60, 64, 0), model.init(0)
    program = model.compile(gradient="weights", keep="every:10")
    variant = program.variant(Signature(cotangents=("loss",)))
    checked = program.check(data)
    walker = variant.bound(checked.sizes)
    inputs = {n: program.input(n, variant, checked, {}) for n in variant.inputs}
    walker.run(inputs, weights)
    tracemalloc.start()
    walker.run(inputs, weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250_000 < 64 * 512 * 8


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_no_steps_at_all(unroll: str) -> None:
    model = rg.parse(ALL["stack"])
    data, weights = {"x": np.zeros((2, 0, 3)), "final.2.h": np.full((2, 5), 0.25)}, model.init(0)
    results = [everything(compiled(model, unroll, 0, keep), data, weights, None) for keep in ("all", "every:4")]
    assert all(d.equal for d in differences(*results))


def test_a_program_is_run_again_with_other_weights_and_sizes() -> None:
    model = rg.parse(ALL["lstm"])
    plain, program = model.compile(gradient=True), model.compile(gradient=True, keep="sqrt")
    for seed, steps, batch in ((0, 50, 3), (1, 50, 3), (2, 90, 1), (3, 50, 3)):
        data, weights = synthetic(model, steps, batch, seed), model.init(seed)
        results = [everything(p, data, weights, None) for p in (plain, program)]
        assert all(d.equal for d in differences(*results))


@pytest.mark.parametrize("text", ["none", "every", "every:0", "every:x", "sqrt:3", ""])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(UserError, match="E613"):
        rg.parse(ALL["lstm"]).compile(gradient=True, keep=text)


@pytest.mark.parametrize("name", WITHOUT_LOOPS)
def test_what_cannot_be_computed_again_is_refused(name: str) -> None:
    with pytest.raises(CannotDo, match="E614"):
        rg.parse(ALL[name]).compile(gradient=True, keep="sqrt")
