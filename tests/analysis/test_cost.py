"""What is told before a run is what the run takes."""

from __future__ import annotations

import gc
import time
import tracemalloc
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import rnngraph as rg
from rnngraph.analysis.cost import cost, optimiser_bytes
from rnngraph.analysis.ledger import ledger
from rnngraph.analysis.memory_formulas import Formula, formulas
from rnngraph.analysis.memory_growth import Compiled, Growth
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.model import Model
from rnngraph.planning.arena import Piece, bound
from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.plan import ALIGN, rounded
from rnngraph.planning.timeline import timeline
from rnngraph.run_options import RunOptions
from rnngraph.runtime.numpy import NumpyBackend, array_bytes
from rnngraph.runtime.unplanned import Unplanned
from rnngraph.system.garbage import only_new
from rnngraph.training import train as training
from rnngraph.training.optimisers import optimiser
from rnngraph.training.updates import start
from tests.support.models import ALL, parsed


@lru_cache(maxsize=8)  # several tests ask the same of one model, and one model follows the other
def variant_of(
    model: Model, unroll: str, steps: int, gradient: bool | str = True, kernels: str | None = None
) -> Variant:
    given = steps if unroll == "static" else None
    program = model.compile(unroll, given, dtype="float32", gradient=gradient, kernels=kernels)
    return program.variant(Signature(cotangents=("loss",) if gradient else None))


def compiled(unroll: str = "dynamic", **more: Any) -> Compiled:
    """A step of training that keeps its outputs, for any model and number of steps."""
    how = {"dtype": "float32", "gradient": "weights", "kernels": "numpy", **more}
    return lambda model, steps: model.compile(unroll, steps if unroll == "static" else None, **how)


def laws_of(model: Model, unroll: str, steps: int, rows: int) -> dict[str, Formula]:
    return Growth(model, compiled(unroll), steps, rows).laws()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_prediction_is_measurement(name: str, unroll: str) -> None:
    model = parsed(name)
    variant = variant_of(model, unroll, 7)
    made = variant.plan(model.sizes(7, 5))
    tracemalloc.start()
    bound = variant.backend.bound(variant.program, made)
    measured = array_bytes()
    tracemalloc.stop()
    taken = sum(arena.nbytes for arena in bound.arenas.values())
    assert measured == sum(made.arenas.values()) == made.total - made.bytes["parameters"] == taken


@pytest.mark.parametrize("name", [n for n in ALL if n != "sizes of 0"])  # NumPy takes a byte for an array of none
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_bytes_over_time_are_measurement(name: str, unroll: str) -> None:
    """With every array made when it is first needed and dropped after its last use, the tracer sees what was told
    at every step and in every turn of a loop; and no array was dropped too soon, for the results are the same bits."""
    model, steps, batch = parsed(name), 4, 3
    variant = variant_of(model, unroll, steps, kernels="numpy")
    program = model.compile("dynamic", dtype="float32", gradient=True, kernels="numpy")
    checked = program.check(synthetic(model, steps, batch, 1))
    inputs = {n: program.input(n, variant, checked, {}) for n in variant.program.inputs}
    made, weights = variant.plan(checked.sizes), model.init(1, "float32")
    told = {m.at: m.total for m in timeline(variant.program, made.sizes, made.slot_bytes)}
    wrong, seen = dict[int, int](), set[int]()

    def watch(place: int) -> None:
        if place in told and (place % 11 == 0 or told[place] == max(told.values())):
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
    assert len(seen) > 1
    assert all(results[key].tobytes() == planned[key].tobytes() for key in planned)


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_the_peak_is_told_with_its_lines(unroll: str) -> None:
    model = parsed("tagger")
    told = cost(model, compiled(unroll, kernels=None), 20, 16)
    assert sum(line.bytes for line in told.lines) == told.peak.bytes <= told.total
    assert told.peak.bytes == max(moment.total for moment in told.moments)
    assert told.peak.backward and ":" in told.peak.place and told.peak.text
    series = told.to_json()["over_time"]
    heights = [sum(column) for column in zip(*series["bytes"].values(), strict=True)]
    assert max(heights) == told.peak.bytes and len(heights) == len(series["calls"])
    assert series["calls"] == sorted(series["calls"])


SPEECH = """
model Speech(units = 4) {
  input a: seq@time[6]
  input b: seq@label int
  y = unroll LSTM(units) over a
  loss ctc_loss(Dense(5)(y), b)
}
"""


@pytest.mark.parametrize("more", [{}, {"keep": "every:10"}, {"keep": "sqrt"}, {"truncate": 20}], ids=str)
def test_each_axis_has_a_number_of_steps_of_its_own(more: dict[str, Any]) -> None:
    """What is told is what a run with such data takes; formulas are in the steps of the first axis."""
    model, steps = rg.parse(SPEECH), {"label": 3, "time": 40}
    told = cost(model, compiled(kernels=None, **more), steps, 5)
    variant = Growth(model, compiled(kernels=None, **more), steps, 5).variant
    taken = {one.category: one.measured for one in ledger(variant, told.sizes, model.init(0, "float32"))}
    assert told.sizes == {"batch": 5, "time": 40, "label": 3} and told.axis == "time"
    assert taken == told.bytes
    laws = cost(rg.parse(SPEECH, units=64), compiled(kernels=None, **more), {"time": 100, "label": 16}, 64).laws
    assert laws["saved"].exact and laws["inputs"].exact


def test_a_long_series_keeps_its_peak() -> None:
    model = parsed("lstm")
    told = cost(model, compiled("static", gradient=True), 60, 2)
    series = told.to_json()["over_time"]
    assert len(told.moments) > 1000 >= len(series["calls"])
    assert max(sum(column) for column in zip(*series["bytes"].values(), strict=True)) == told.peak.bytes


GAPS = {
    ("conv lstm", "static", False): 1.05,
    ("attention general", "static", False): 1.03,
    ("images", "static", True): 1.03,
}
"""Where lives overlap such that no order of placing comes nearer to the bound."""


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unroll", ["static", "dynamic"])
@pytest.mark.parametrize("gradient", [True, False])
def test_arenas_are_tight(name: str, unroll: str, gradient: bool) -> None:
    """Within 2 % of the largest sum of sizes alive at once, which no placing can beat."""
    model = parsed(name)
    loop = variant_of(model, unroll, 0, gradient) if unroll == "dynamic" else None
    for steps, batch in ((7, 3), (1, 1), (40, 16), (40, 4)):
        variant = loop or variant_of(model, unroll, steps, gradient)
        made = variant.plan(model.sizes(steps, batch))
        lives = lifetimes(variant.program, made.sizes)
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
    model = parsed("lstm")
    told = laws_of(model, "dynamic", 7, 3)["workspace"]
    assert not told.exact and str(told).startswith("about ")


def test_the_optimiser_is_told() -> None:
    text = UNITS.format(cell="LSTM(units)")[:-2].replace("{{", "{")
    for line, name in (("", "adam"), ("optimizer sgd", "sgd"), ("optimizer adamw", "adamw")):
        model = rg.parse(text + (f"\n train {{ {line} }} }}" if line else "}"))
        state = start(optimiser(name), model.init(0, "float32"))
        assert optimiser_bytes(model, "float32") == sum(array.nbytes for array in state.values())


@pytest.mark.parametrize(("name", "unroll"), [("lstm", "static"), ("attention", "static"), ("tagger", "dynamic")])
def test_graph_and_program_take_less_than_a_kilobyte_a_node(name: str, unroll: str) -> None:
    """The walk over the objects finds what Python's tracer sees, but for what compiled kernels share."""
    model = parsed(name)
    made = compiled(unroll, kernels=None)
    told = cost(model, made, 20, 4).objects
    old = made(model, 20).variant(Signature(cotangents=("loss",)))
    with only_new():
        gc.collect()
        tracemalloc.start()
        fresh = Variant(replace(old.elaborated), old.schedule, old.signature, old.backend)
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
    def law(bytes: Any, tried: tuple[int, ...], root: bool = False) -> str:
        points = (16, 36, 64) if root else (16, 32, 48)
        found = formulas(lambda s: {"all": bytes(s[0])}, points, (1,), (1,), [(t, 1, 1) for t in tried], root)
        return str(found["all"])

    assert law(lambda t: 32 * t + 512, (10,)) == "32 T + 512"
    assert law(lambda t: 32 * t + 512 + (t == 11), (10, 11)) == "about 32 T + 512"
    assert law(lambda t: 64, (10,)) == "64" and law(lambda t: 0, (10,)) == "0"
    assert law(lambda t: t // 4 + 3, (8,)) == "0.25 T + 3" and law(lambda t: t // 4 + 3, (9,)) == "about 0.25 T + 3"
    assert law(lambda t: 8 * t + 2 * t**0.5, (81,), True) == "8 T + 2 √T"


# --- of a schedule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "steps", "others", "exact"),
    [
        ({"keep": "every:10"}, 80, (40, 130), True),
        ({"keep": "every:10"}, 7, (3, 9), True),
        ({"keep": "sqrt"}, 400, (144, 900), True),
        ({"keep": "revolve:5"}, 50, (30, 777), True),
        ({"keep": "revolve:5"}, 1_000_000, (30, 500_000), True),
        ({"truncate": 10}, 200, (50, 90), True),
        ({"keep": "mixed:10"}, 300, (500, 800), False),
        ({"swap": "/tmp"}, 320, (640, 960), False),
    ],
)
def test_laws_are_those_of_the_schedule(more: dict[str, Any], steps: int, others: tuple[int, ...], exact: bool) -> None:
    """At numbers of steps, rows and units that no law was made from, against plans by the same schedule."""
    model, rows = rg.parse(UNITS.format(cell="LSTM(units)")), 32
    told = Growth(model, compiled(**more), steps, rows).laws()
    for other in (steps, *others):
        found = compiled(**more)(model, other).main.plan(model.sizes(other, rows)).bytes
        for category, law in told.items():
            assert float(law.at((other, rows, 16))) == pytest.approx(found[category], rel=1e-12 if exact else 0.1), (
                category,
                str(law),
            )
            assert law.exact or not exact, (category, str(law))


def test_the_law_of_a_limit_is_that_of_the_way_that_was_found() -> None:
    """Pieces as long and as many states, at every number of steps."""
    model, rows = rg.parse(UNITS.format(cell="LSTM(units)")), 32

    def growth(limit: str) -> Growth:
        return Growth(model, RunOptions(dtype="float32", kernels="numpy", memory_limit=limit).training_step, 400, rows)

    found = growth("150kB")
    told, course = found.laws(), found.made.course
    assert found.made.total <= 150_000 and course.chunks > course.places
    for steps in (400, 1200, 5000):
        made = found.variant.walked(course, model.sizes(steps, rows))
        assert made.course.chunk == course.chunk and made.course.places == course.places
        assert {c: law.at((steps, rows, 16)) for c, law in told.items()} == made.bytes
    assert growth("1GB").laws() == growth("").laws() != told


CHARS = """
model Chars(units = 16) {
  input text: seq int
  input following: seq int
  y, final = unroll LSTM(units) over Dropout(0.1)(Embedding(9, 8)(text))
  scores = Dense(9)(y)
  output scores, softmax(scores) as likely
  loss cross_entropy(scores, following)
  metric accuracy(scores, following)
}
"""


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("flags", [{}, {"keep": "every:16"}, {"memory_limit": "250kB"}, {"truncate": "8"}])
def test_cost_tells_what_a_step_of_training_takes(
    flags: dict[str, str], padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that `train` hands to the training loop, with its arrays."""
    model, options = rg.parse(CHARS), RunOptions(dtype="float32", kernels="numpy", **flags)
    data = synthetic(model, 60, 32, 0, padded)
    if padded:
        data |= {name: np.full(32, 60) for name in data if name.endswith(".lengths")}
    told, seen = cost(model, options.training_step, 60, 32, padded), list[int]()

    def watched(program: Any, weights: Any, rows: Any, *rest: Any, **more: Any) -> None:
        tracemalloc.start()
        program.gradients(rows, weights)
        seen.append(array_bytes())
        tracemalloc.stop()
        (variant,) = [v for v in program._variants.values() if v.arrays]
        seen.append(variant.plan(program.check(rows).sizes).total)

    monkeypatch.setattr(training, "fit", watched)
    training.train(model, data, None, {}, options=options)
    assert told.total == seen[1]
    arrays = told.total - told.bytes["parameters"]
    assert arrays <= seen[0] < arrays + told.bytes["parameters"] + 20_000


@pytest.mark.parametrize("verb", ["cost", "bench", "compare"])
def test_there_are_no_fewer_than_no_steps(verb: str) -> None:
    model = rg.parse("model M { input x: seq[2]\n h = unroll RNN(2) over x\n loss mean(h) }")
    ask = getattr(model, verb)
    for steps in (-1, 2**63, {"time": -1}):
        with pytest.raises(rg.UserError, match=r"is not a number of steps"):
            ask([steps] if verb == "compare" and isinstance(steps, int) else steps)
    for batch in (0, -3):
        with pytest.raises(rg.UserError, match=f"{batch} is not a number of rows"):
            ask([2] if verb == "compare" else 2, batch)


def test_bytes_of_what_no_machine_holds_are_told() -> None:
    """Ten to the 22 steps, each of four numbers of four bytes."""
    model = rg.parse("model M { input x: seq[4]\n output x }")
    assert model.cost(10**12, 10**10).bytes["inputs"] == 4 * 4 * 10**22


def test_the_cost_of_a_million_steps_is_told_at_once() -> None:
    """The actions of such a schedule are more than ten million; what they come to is known without them."""
    model = rg.parse(UNITS.format(cell="LSTM(units)"))
    began = time.process_time()
    told = cost(model, compiled(keep="revolve:10"), 1_000_000, 32)
    assert time.process_time() - began < 10
    assert told.evaluations == pytest.approx(12.648, abs=0.001)
