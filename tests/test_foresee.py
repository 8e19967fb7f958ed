"""What is told before a run is what the run takes."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import rnngraph as rg
from rnngraph import costs, foresee
from rnngraph.compiled import Signature, Variant
from rnngraph.costs import synthetic
from rnngraph.foresee import cost
from rnngraph.formulas import Formula
from rnngraph.learn.optimisers import optimiser, start
from rnngraph.model import Model
from rnngraph.program.arena import Piece, bound
from rnngraph.program.memory import ALIGN, lifetimes, rounded
from rnngraph.program.timeline import timeline
from rnngraph.runtime.numpy import NumpyBackend, array_bytes
from rnngraph.runtime.unplanned import Unplanned
from tests.models import ALL


def variant_of(
    model: Model, unroll: str, steps: int, gradient: bool | str = True, kernels: str | None = None
) -> Variant:
    given = steps if unroll == "static" else None
    program = model.compile(unroll, given, dtype="float32", gradient=gradient, kernels=kernels)
    return program.variant(Signature(cotangents=("loss",) if gradient else None))


def laws_of(model: Model, unroll: str, steps: int, rows: int) -> dict[str, Formula]:
    given = steps if unroll == "static" else None
    program = model.compile(unroll, given, dtype="float32", gradient="weights", kernels="numpy")
    return foresee.laws(model, program, steps, rows)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_prediction_is_measurement(name: str, unroll: str) -> None:
    model = rg.parse(ALL[name])
    variant = variant_of(model, unroll, 13)
    made = variant.plan(model.sizes(13, 5))
    tracemalloc.start()
    bound = variant.backend.bound(variant.program, made)
    measured = array_bytes()
    tracemalloc.stop()
    taken = sum(arena.nbytes for arena in bound.arenas.values())
    assert measured == sum(made.arenas.values()) == made.total - made.bytes["parameters"] == taken


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_bytes_over_time_are_measurement(name: str, unroll: str) -> None:
    """With every array made when it is first needed and dropped after its last use, the tracer sees what was told
    at every step and in every turn of a loop; and no array was dropped too soon, for the results are the same bits."""
    model, steps, batch = rg.parse(ALL[name]), 4, 3
    variant = variant_of(model, unroll, steps, kernels="numpy")
    program = model.compile("dynamic", dtype="float32", gradient=True, kernels="numpy")
    checked = program.check(synthetic(model, steps, batch, 1))
    inputs = {n: program.input(n, variant, checked, {}) for n in variant.program.inputs}
    made, weights = variant.plan(checked.sizes), model.init(1, "float32")
    told = {m.at: m.total for m in timeline(variant.program, made.sizes, made.slot_bytes)}
    wrong, seen = dict[int, int](), set[int]()

    def watch(place: int) -> None:
        if place in told and (place % 5 == 0 or told[place] == max(told.values())):
            seen.add(place)
            if (measured := array_bytes()) != told[place]:
                wrong[place] = measured

    tracemalloc.start()
    unplanned = Unplanned(variant.program, made, NumpyBackend(), watch)
    with np.errstate(all="ignore"):
        results = unplanned.run(inputs, weights)
        tracemalloc.stop()
        planned = variant.bound(checked.sizes).run(inputs, weights)
    assert not wrong
    assert len(seen) > 3
    assert all(results[key].tobytes() == planned[key].tobytes() for key in planned)


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_the_peak_is_told_with_its_lines(unroll: str) -> None:
    model = rg.parse(ALL["tagger"])
    program = model.compile(unroll, 20, dtype="float32", gradient="weights")
    told = cost(model, program, 20, 16)
    assert sum(line.bytes for line in told.lines) == told.peak.bytes <= told.total
    assert told.peak.bytes == max(moment.total for moment in told.moments)
    assert told.peak.backward and ":" in told.peak.place and told.peak.text
    series = told.to_json()["over_time"]
    heights = [sum(column) for column in zip(*series["bytes"].values(), strict=True)]
    assert max(heights) == told.peak.bytes and len(heights) == len(series["calls"])
    assert series["calls"] == sorted(series["calls"])


def test_a_long_series_keeps_its_peak() -> None:
    model = rg.parse(ALL["lstm"])
    told = cost(model, model.compile("static", 60, dtype="float32", gradient=True, kernels="numpy"), 60, 2)
    series = told.to_json()["over_time"]
    assert len(told.moments) > 1000 >= len(series["calls"])
    assert max(sum(column) for column in zip(*series["bytes"].values(), strict=True)) == told.peak.bytes


GAPS = {("conv lstm", "static", False): 1.05}
"""Where lives overlap such that no order of placing comes nearer to the bound."""


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
@pytest.mark.parametrize("gradient", [True, False])
def test_arenas_are_tight(name: str, unroll: str, gradient: bool) -> None:
    """Within 2 % of the largest sum of sizes alive at once, which no placing can beat."""
    model = rg.parse(ALL[name])
    for steps, batch in ((20, 16), (7, 3), (1, 1), (50, 4)):
        variant = variant_of(model, unroll, steps, gradient)
        made, lives = variant.plan(model.sizes(steps, batch)), lifetimes(variant.program)
        owners = variant.program.categories
        slots = [i for i, (first, _) in enumerate(lives) if first >= 0 and owners[i] != "parameters"]
        least = bound([Piece(*lives[i], rounded(made.slot_bytes[i])) for i in slots])
        assert made.arenas["all"] <= GAPS.get((name, unroll, gradient), 1.02) * least + ALIGN


UNITS = "model M(units = 16) {{ input x: seq[8]\n y, f = unroll {cell} over x\n output y\n loss mean(y * y) }}"


@pytest.mark.parametrize(
    ("cell", "unroll"),
    [*((f"{c}(units)", u) for c in ("LSTM", "GRU", "RNN") for u in ("static", "dynamic")),
     ("LSTM(units) >> GRU(units)", "dynamic")],
)  # fmt: skip
def test_laws_in_steps_rows_and_units_hold_elsewhere(cell: str, unroll: str) -> None:
    """Arenas as they are allocated, at sizes that no law was made from."""
    model = rg.parse(UNITS.format(cell=cell))
    told = laws_of(model, unroll, 80, 32)
    assert all(law.exact for law in told.values())
    for steps, rows, units in ((80, 32, 16), (33, 16, 48), (96, 160, 80)):
        other = rg.parse(UNITS.format(cell=cell), units=units)
        variant = variant_of(other, unroll, steps, "weights", "numpy")
        made = variant.plan(other.sizes(steps, rows))
        for category, law in told.items():
            assert law.at((steps, rows, units)) == made.bytes[category], (category, str(law))
        taken = sum(arena.nbytes for arena in variant.backend.bound(variant.program, made).arenas.values())
        taken += sum(w.nbytes for w in other.init(0, "float32").values())
        assert sum(law.at((steps, rows, units)) for law in told.values()) == taken


def test_an_lstm_keeps_four_gates_and_a_cell() -> None:
    """5 numbers of 4 bytes per step, row and unit beside the outputs, which are there in any case."""
    model = rg.parse(UNITS.format(cell="LSTM(units)"))
    told = laws_of(model, "dynamic", 64, 64)
    assert str(told["saved"]) == "20 T B U + 4 B U + 64"
    assert str(told["outputs"]) == "4 T B U + 4 B U + 64"
    assert str(told["parameters"]) == "16 U² + 144 U"


def test_units_are_those_that_are_written() -> None:
    """A law in units needs no setting: the number that every cell is given will do; several will not."""
    text = "model M {{ input x: seq[8]\n y, f = unroll {} over x\n output y\n loss mean(y * y) }}"
    one, two = (rg.parse(text.format(cell)) for cell in ("LSTM(16) >> GRU(units = 16)", "LSTM(16) >> GRU(32)"))
    assert "U" in str(laws_of(one, "dynamic", 64, 64)["saved"])
    assert "U" not in str(laws_of(two, "dynamic", 64, 64)["saved"])
    assert laws_of(two, "dynamic", 64, 64)["saved"].exact


def test_a_law_that_is_only_near_says_so() -> None:
    """At 3 rows of 5 units every row of numbers is rounded up to the alignment."""
    model = rg.parse(ALL["lstm"])
    told = laws_of(model, "dynamic", 7, 3)["workspace"]
    assert not told.exact and str(told).startswith("about ")


def test_the_optimiser_is_told() -> None:
    text = UNITS.format(cell="LSTM(units)")[:-2].replace("{{", "{")
    for line, name in (("", "adam"), ("optimizer sgd", "sgd"), ("optimizer adamw", "adamw")):
        model = rg.parse(text + (f"\n train {{ {line} }} }}" if line else "}"))
        state = start(optimiser(name), model.init(0, "float32"))
        assert foresee.optimiser_bytes(model, "float32") == sum(array.nbytes for array in state.values())


@pytest.mark.parametrize(("name", "unroll"), [("lstm", "static"), ("attention", "static"), ("tagger", "dynamic")])
def test_graph_and_program_take_less_than_a_kilobyte_a_node(name: str, unroll: str) -> None:
    """The walk over the objects finds what Python's tracer sees, but for what compiled kernels share."""
    model = rg.parse(ALL[name])
    program = model.compile(unroll, 40, dtype="float32", gradient="weights")
    told = cost(model, program, 40, 4).objects
    old = program.variant(Signature(cotangents=("loss",)))
    gc.collect()
    tracemalloc.start()
    fresh = Variant(old.elaborated, old.schedule, old.signature, old.backend)
    _ = fresh.program
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert told.graph + told.program == pytest.approx(traced, rel=0.15)
    assert told.per_node < 1024 or unroll == "dynamic"


def test_what_an_lstm_and_a_plain_network_keep() -> None:
    """Per step, row and unit: an LSTM four gates and the cell beside its output; a plain network nothing beside it."""
    for text, numbers in (("LSTM(16)", 5), ("RNN(16)", 0)):
        model = rg.parse(f"model M {{ input x: seq[3]\n y, f = unroll {text} over x\n output y\n loss mean(y * y) }}")
        program = model.compile(dtype="float32", gradient="weights")
        variant = program.variant(Signature(cotangents=("loss",)))
        few, many = (variant.plan(model.sizes(steps, 64)).bytes["saved"] for steps in (64, 128))
        assert (many - few) / (64 * 64 * 16 * 4) == pytest.approx(numbers, abs=0.3)


def test_a_law_is_called_about_where_a_run_lies_beside_it() -> None:
    fitted = (16, 32, 64), (1024, 1536, 2560)
    assert costs.law(*fitted, {}) == costs.law(*fitted, {10: 832}) == "512 B + 32 B per step"
    assert costs.law(*fitted, {10: 832, 11: 896}) == "about 512 B + 32 B per step"
    assert costs.law((16, 32, 64), (64, 64, 64), {10: 64}) == "64 B"
    assert costs.law((16, 32, 64), (64, 128, 256), {}) == "4 B per step"
