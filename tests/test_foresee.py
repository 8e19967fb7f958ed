"""What is told before a run is what the run takes."""

from __future__ import annotations

import re
import tracemalloc

import pytest

import rnngraph as rg
from rnngraph import costs
from rnngraph.compiled import Signature
from rnngraph.costs import array_bytes
from rnngraph.foresee import cost
from rnngraph.program.arena import Piece, bound
from rnngraph.program.memory import ALIGN, PLANNED, lifetimes, rounded
from rnngraph.runtime.execute import Bound
from rnngraph.runtime.numpy import NumpyBackend
from tests.models import ALL


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_prediction_is_measurement(name: str, unroll: str) -> None:
    model, steps, batch = rg.parse(ALL[name]), 13, 5
    program = model.compile(unroll, steps if unroll == "static" else None, dtype="float32", gradient=True)
    told = cost(model, program, steps, batch)
    variant = program.variant(Signature(cotangents=("loss",)))
    made = variant.plan(told.sizes)
    tracemalloc.start()
    bound = Bound(variant.program, made, NumpyBackend())
    measured = array_bytes()
    tracemalloc.stop()
    assert measured == told.total - told.bytes["parameters"]
    assert set(bound.arenas) <= set(PLANNED)
    assert sum(line.bytes for line in told.lines) == told.peak <= told.total


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
@pytest.mark.parametrize("gradient", [True, False])
def test_arenas_are_tight(name: str, unroll: str, gradient: bool) -> None:
    """Each within 2 % of the largest sum of sizes alive at once, which no placing can beat."""
    model = rg.parse(ALL[name])
    for steps, batch in ((20, 16), (7, 3), (1, 1), (50, 4)):
        program = model.compile(unroll, steps if unroll == "static" else None, gradient=gradient)
        variant = program.variant(Signature(cotangents=("loss",) if gradient else None))
        made, lives = variant.plan(model.sizes(steps, batch)), lifetimes(variant.program)
        for category in PLANNED:
            slots = [i for i, owner in enumerate(variant.program.categories) if owner == category and lives[i][0] >= 0]
            least = bound([Piece(*lives[i], rounded(made.slot_bytes[i])) for i in slots])
            assert made.bytes[category] <= 1.02 * least + ALIGN, category


def test_laws_are_formulas_in_steps_and_rows() -> None:
    model = rg.parse(ALL["lstm"])
    program = model.compile(dtype="float32", gradient=True)
    told = cost(model, program, 128, 64)
    for category, law in told.laws.items():
        terms = dict.fromkeys(("", " T", " B", " T B"), 0)
        for number, unit in re.findall(r"([\d,]+)( T B| T| B|)", law):
            terms[unit] = int(number.replace(",", ""))
        value = terms[""] + terms[" T"] * 128 + terms[" B"] * 64 + terms[" T B"] * 128 * 64
        assert value == told.bytes[category], law


def test_what_an_lstm_and_a_plain_network_keep() -> None:
    """Per step, row and unit: an LSTM four gates and the cell beside its output; a plain network nothing beside it."""
    for text, numbers in (("LSTM(16)", 5), ("RNN(16)", 0)):
        model = rg.parse(f"model M {{ input x: seq[3]\n y, f = unroll {text} over x\n output y\n loss mean(y * y) }}")
        program = model.compile(dtype="float32", gradient="weights")
        few, many = (cost(model, program, steps, 64).bytes["saved"] for steps in (64, 128))
        assert (many - few) / (64 * 64 * 16 * 4) == pytest.approx(numbers, abs=0.3)


def test_a_law_is_called_about_where_a_run_lies_beside_it() -> None:
    fitted = (16, 32, 64), (1024, 1536, 2560)
    assert costs.law(*fitted, {}) == costs.law(*fitted, {10: 832}) == "512 B + 32 B per step"
    assert costs.law(*fitted, {10: 832, 11: 896}) == "about 512 B + 32 B per step"
    assert costs.law((16, 32, 64), (64, 64, 64), {10: 64}) == "64 B"
    assert costs.law((16, 32, 64), (64, 128, 256), {}) == "4 B per step"
