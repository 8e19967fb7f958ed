"""Schedules over time: whatever is kept or computed again, the bits are the same, and the bytes are those predicted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.checkpointing import revolve, states_and_tapes
from rnngraph.checkpointing.actions import (
    HERE,
    Action,
    Advance,
    Back,
    Load,
    Save,
    Visit,
    counted,
    from_each,
    from_tapes,
)
from rnngraph.compilation.variant import Signature
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.model import Model
from rnngraph.runtime.numpy import array_bytes
from tests.support.models import ALL, parsed
from tests.support.programs import program

WITHOUT_LOOPS = ("shifts", "lines", "bags", "ranking")
LOOPS = [name for name in ALL if name not in WITHOUT_LOOPS]


def compiled(model: Model, unroll: str, steps: int, keep: str, **more: Any) -> CompiledProgram:
    return model.compile(unroll, steps if unroll == "static" else None, gradient=True, keep=keep, **more)


def unequal(model: Model, steps: int, batch: int, padded: bool, *programs: CompiledProgram) -> list[str]:
    """The results and gradients in which programs differ from the first of them."""
    data, weights = synthetic(model, steps, batch, 0, padded), model.init(0)
    cotangents = cotangents_for(model, steps, batch)
    first, *others = (everything(program, data, weights, cotangents) for program in programs)
    return [d.name for other in others for d in differences(first, other) if not d.equal]


@pytest.mark.parametrize("name", LOOPS)
def test_the_same_bits(name: str) -> None:
    """Units of 16 steps at batch 2, of one step at batch 40; a last chunk that is shorter; lengths within a chunk."""
    model = parsed(name)
    everything_kept = compiled(model, "dynamic", 0, "all")
    assert not unequal(model, 40, 2, False, everything_kept, compiled(model, "dynamic", 0, "every:16"))
    assert not unequal(model, 9, 40, True, everything_kept, compiled(model, "dynamic", 0, "every:2"))
    assert not unequal(model, 6, 40, True, everything_kept, compiled(model, "static", 6, "sqrt"))


@pytest.mark.parametrize("reverse", ["", "reversed"])
@pytest.mark.parametrize("loss", ["y * last(y)", "y * sum(y, axis = time)", "y * max(y, axis = time)", "x * last(y)"])
def test_what_the_way_there_makes_of_all_steps_is_read_on_the_way_back(loss: str, reverse: str) -> None:
    model = rg.parse(f"""
    model M {{
      input x: seq[2]
      y, final = unroll GRU(2) over x {reverse}
      output y
      loss mean(sum({loss}))
    }}""")
    programs = [compiled(model, "dynamic", 35, keep) for keep in ("all", "every:8")]
    for padded in (False, True):
        assert not unequal(model, 35, 2, padded, *programs)


@pytest.mark.parametrize("name", ["stack", "tagger", "bidirectional", "pooling", "depth"])
@pytest.mark.parametrize(
    ("unroll", "kernels", "keep"),
    [
        *(("static", "numpy", keep) for keep in ("every:1", "every:48", "sqrt")),
        *(("dynamic", "numpy", keep) for keep in ("every:1", "every:48", "sqrt", "revolve:3", "mixed:30")),
        *(("dynamic", "native", keep) for keep in ("every:48", "revolve:3", "mixed:30")),
    ],
)
def test_told_bytes_are_taken(name: str, unroll: str, kernels: str, keep: str) -> None:
    import tracemalloc

    model, steps, batch = parsed(name), 100, 3
    program = compiled(model, unroll, steps, keep, dtype="float32", kernels=kernels)
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
    model = parsed(name)
    sizes = model.sizes(100, 3)
    totals = [compiled(model, unroll, 100, keep, kernels="numpy").main.plan(sizes).total for keep in ("all", "sqrt")]
    assert totals[1] < 0.8 * totals[0]


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
    model = parsed("stack")
    starts = {s.name: np.full((2, *s.type.shape), 0.25) for s in model.states}
    data, weights = {"x": np.zeros((2, 0, 3)), **starts}, model.init(0)
    results = [everything(compiled(model, unroll, 0, keep), data, weights, None) for keep in ("all", "every:4")]
    assert all(d.equal for d in differences(*results))


def test_a_program_is_run_again_with_other_weights_and_sizes() -> None:
    model = parsed("lstm")
    plain, program = model.compile(gradient=True), model.compile(gradient=True, keep="sqrt")
    for seed, steps, batch in ((0, 50, 3), (1, 50, 3), (2, 90, 1), (3, 50, 3)):
        data, weights = synthetic(model, steps, batch, seed), model.init(seed)
        results = [everything(p, data, weights, None) for p in (plain, program)]
        assert all(d.equal for d in differences(*results))


@pytest.mark.parametrize("text", ["none", "every", "every:0", "every:x", "sqrt:3", ""])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(UserError, match="E613"):
        parsed("lstm").compile(gradient=True, keep=text)


@pytest.mark.parametrize("name", WITHOUT_LOOPS)
def test_what_cannot_be_computed_again_is_refused(name: str) -> None:
    with pytest.raises(CannotDo, match="E614"):
        parsed(name).compile(gradient=True, keep="sqrt")


# --- schedules as data ---------------------------------------------------------------------------------------------


def played(actions: Iterable[Action], chunks: int, tape: int = 1) -> tuple[int, int]:
    """Runs actions on a machine that only counts: how many chunks it computes, and how many places it needs."""
    state, seen, behind, computed, places = 0, 0, chunks, 0, 0
    states: dict[int, int] = {}
    tapes: dict[int, int] = {}
    for action in actions:
        match action:
            case Save(place):
                states[place], places = state, max(places, place + 1)
            case Load(place):
                state = states[place]
            case Visit(chunk, at) | Advance(chunk, at):
                assert state == chunk and (chunk == seen if isinstance(action, Visit) else chunk < seen)
                state, seen, computed = chunk + 1, max(seen, chunk + 1), computed + 1
                tapes.pop(HERE, None)
                if at is not None:
                    tapes[at] = chunk
                    if at != HERE:
                        states[at + tape - 1], places = state, max(places, at + tape)
            case Back(chunk, at):
                assert seen == chunks and chunk == behind - 1
                assert tapes[at] == chunk if at is not None else state == chunk
                behind, computed, state = chunk, computed + (at is None), -1
    assert behind == 0
    return computed, places


@cache
def fewest(chunks: int, slots: int) -> int:
    """The least number of chunks to advance over, by trying every place for the next state."""
    if chunks < 2:
        return 0
    if slots == 1:
        return chunks * (chunks - 1) // 2
    return min(m + fewest(chunks - m, slots - 1) + fewest(m, slots) for m in range(1, chunks))


@pytest.mark.parametrize("slots", range(1, 7))
def test_revolve_is_the_optimum(slots: int) -> None:
    for chunks in range(50):
        computed, places = played(revolve.revolve(chunks, slots), chunks)
        assert computed == chunks + fewest(chunks, slots) == chunks + revolve.advances(chunks, slots)
        assert places <= slots


def test_what_revolve_comes_to_is_known_without_its_actions() -> None:
    for chunks in range(1, 40):
        for slots in range(1, 9):
            for apart in (0, chunks - 1):
                told, found = revolve.counts(chunks, slots, apart), counted(revolve.revolve(chunks, slots), apart, 1)
                assert (told.places, dict(told.times)) == (found.places, dict(found.times)), (chunks, slots, apart)


def test_the_figures_of_the_papers() -> None:
    """Griewank and Walther (2000): 1,000 steps from 10 and 50 states. Gruslys et al. (2016): from 5 % of the memory."""
    for slots, told in ((10, 4.64), (50, 2.95)):
        assert played(revolve.revolve(1000, slots), 1000)[0] / 1000 == pytest.approx(told, abs=0.005)
    computed, places = played(states_and_tapes.mixed(1000, 200, 4), 1000, 4)
    assert computed <= 1950 and places <= 0.05 * 1000 * 4


@cache
def fewest_mixed(chunks: int, memory: int, tape: int, kept: bool) -> float:
    """The least number of chunks to compute where the state before them is kept, or only there now."""
    if chunks < 2:
        return chunks
    found = [float("inf")]
    if memory >= tape:
        found.append(1 + fewest_mixed(chunks - 1, memory - tape, tape, True))
    if kept:
        found += [
            m + fewest_mixed(chunks - m, memory, tape, False) + fewest_mixed(m, memory, tape, True)
            for m in range(1, chunks)
        ]
    elif memory:
        found.append(fewest_mixed(chunks, memory - 1, tape, True))
    return min(found)


@pytest.mark.parametrize("tape", [2, 3, 5])
def test_states_and_tapes_are_mixed_at_best(tape: int) -> None:
    for memory in (1, 2, 4, 9, 14):
        for chunks in range(16):
            computed, places = played(states_and_tapes.mixed(chunks, memory, tape), chunks, tape)
            assert computed == states_and_tapes.work(chunks, memory, tape) == fewest_mixed(chunks, memory, tape, False)
            assert places <= memory


def test_a_state_for_each_chunk_or_a_tape() -> None:
    for chunks in range(6):
        assert played(from_each(chunks), chunks) == (max(0, 2 * chunks - 1), max(0, chunks - 1))
        assert played(from_tapes(chunks, 3), chunks, 3)[0] == chunks


# --- a limit to memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "tagger", "bidirectional"])
@pytest.mark.parametrize("batch", [2, 40])
def test_more_memory_is_never_slower(name: str, batch: int) -> None:
    model = parsed(name)
    sizes, plain = model.sizes(300, batch), model.compile(gradient=True)
    everything, before = plain.main.plan(sizes).total, float("inf")
    accepted = False
    for limit in range(everything // 10, everything + everything // 10, everything // 10):
        program = model.compile(gradient=True, memory_limit=limit)
        try:
            told = program.main.plan(sizes)
        except CannotDo:
            assert not accepted
            continue
        accepted = True
        assert told.total <= limit
        work = program.main.evaluations(sizes)
        assert work <= before + 1e-9
        before = work
    assert before == 1


def test_the_bits_do_not_depend_on_the_limit() -> None:
    model = parsed("tagger")
    data, weights = synthetic(model, 200, 3, 0, True), model.init(0)
    whole = everything(model.compile(gradient=True), data, weights, None)
    for part in (0.3, 0.5, 0.8):
        limit = int(part * model.compile(gradient=True).main.plan(model.sizes(200, 3)).total)
        found = everything(model.compile(gradient=True, memory_limit=limit), data, weights, None)
        assert all(d.equal for d in differences(whole, found))


@pytest.mark.parametrize(("steps", "batch"), [(500, 4), (12, 4), (5, 2), (1, 1), (0, 3)])
@pytest.mark.parametrize("name", ["lstm", "bidirectional", "mlstm", "three deep"])
def test_a_limit_that_is_too_small_names_what_would_do(name: str, steps: int, batch: int) -> None:
    """Also where all steps are computed in one go whatever is kept."""
    model = parsed(name)
    sizes = model.sizes(steps, batch)
    with pytest.raises(CannotDo, match="E616") as raised:
        model.compile(gradient=True, memory_limit=900).main.plan(sizes)
    least = int(re.search(r"at least ([\d,]+)", str(raised.value)).group(1).replace(",", ""))  # type: ignore[union-attr]
    assert model.compile(gradient=True, memory_limit=least).main.plan(sizes).total <= least
    with pytest.raises(CannotDo, match="E616"):
        model.compile(gradient=True, memory_limit=least - 1).main.plan(sizes)


@pytest.mark.parametrize("text", ["much", "-3MB", "0", "12 parsecs", " "])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UserError, match="E615"):
        parsed("lstm").compile(gradient=True, memory_limit=text)


def test_an_output_may_have_the_name_of_an_input() -> None:
    model = rg.parse("""
    model M {
      input x: seq[3]
      input end: [3]
      y, final = unroll GRU(3) over x
      output last(y) as end, y
      loss mean(square(y - end))
    }""")
    data, weights = synthetic(model, 12, 32, 0), model.init(0)
    found = [everything(model.compile(gradient=True, keep=keep), data, weights, None) for keep in ("all", "every:3")]
    assert all(d.equal for d in differences(*found))


def test_a_sum_whose_terms_lie_in_lanes_goes_on_from_chunk_to_chunk() -> None:
    """The gradient of a left factor is summed over columns too, which a vector of the processor holds side by side."""
    model = rg.parse("""
    cell C {
      input x: [2]
      state s: [5] = 0.2
      param w: [3, 2]
      param v: [3, 5]
      s' = tanh(0.5 * s + sum(v * (w @ outer(x, s)), axis = 0))
      output s'
    }
    model M {
      input x: seq[2]
      y = unroll C() over x
      output y
      loss mean(square(y))
    }""")
    data, weights = synthetic(model, 9, 17, 0), model.init(1)
    whole, *chunked = (
        everything(model.compile(gradient=True, kernels="native", keep=keep), data, weights, None)
        for keep in ("all", "every:2", "every:4", "revolve:2")
    )
    assert all(d.equal for found in chunked for d in differences(whole, found))
    plain = everything(model.compile(gradient=True, kernels="numpy"), data, weights, None)
    assert all(np.allclose(whole[name], array, rtol=1e-9) for name, array in plain.items())


# --- truncation ----------------------------------------------------------------------------------------------------


def test_a_gradient_is_cut_off_at_borders() -> None:
    """The first state's gradient is that of the first steps alone; weights get the sum of the pieces' gradients."""
    model = parsed("lstm")
    data, weights = synthetic(model, 12, 2, 0), model.init(0)
    states = {s.name: np.zeros((2, *s.type.shape)) for s in model.states}
    _, cut = model.compile(gradient=True, truncate=4).gradients({**data, **states}, weights)
    pieces = []
    for i in range(0, 12, 4):
        piece = {"x": data["x"][:, i : i + 4], **states}
        program = model.compile(gradient=True, states=True)
        pieces.append(program.gradients(piece, weights)[1])
        results = program.run(piece, weights)
        states = {s.name: results[s.name] for s in model.states}
    for name in weights:
        assert np.allclose(cut[name], sum(p[name] for p in pieces) / 3, rtol=1e-10)
    assert np.allclose(cut["final.c"], pieces[0]["final.c"] / 3, rtol=1e-10)


def test_a_cut_behind_the_end_cuts_nothing() -> None:
    model = parsed("lstm")
    data, weights = synthetic(model, 40, 2, 0), model.init(0)
    found = [everything(model.compile(gradient=True, truncate=k), data, weights, None) for k in (None, 64)]
    assert all(d.equal for d in differences(*found))


HALVING = """
cell Halving {
  input x: []
  state h: [] = 0
  h' = 0.5 * h + x
  output h'
}
"""


def halved(lengths: tuple[int, ...], every: int, steps: int, last: bool) -> Any:
    """The slope of a state after all steps of each row with respect to its steps, cut off at borders; or, where not
    `last`, of the sum of all states."""
    found = np.zeros((len(lengths), steps))
    for row, length in enumerate(lengths):
        for to in range(max(0, length - 1) if last else 0, length):
            for step in range(to // every * every, to + 1):
                found[row, step] += 0.5 ** (to - step)
    return found


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_every_loop_is_cut_off(unroll: str) -> None:
    """Whichever axis is walked along: of both directions each, and an encoder beside a decoder of any lengths."""
    both = rg.parse(HALVING + """
    model Both {
      input x, z: seq
      a = unroll Halving over x
      b = unroll Halving over z reversed
      c = unroll Halving over (x - mean(a, axis = time))
      output sum(a, axis = time) + sum(b, axis = time) + 0 * sum(c, axis = time) as y
    }""")
    data = {"x": np.ones((1, 7)), "z": np.ones((1, 7))}
    made = both.compile(unroll, 7, gradient=True, truncate=3)
    _, found = made.gradients(data, {}, {"y": np.ones(1)})
    assert np.allclose(found["x"], halved((7,), 3, 7, False))
    backwards = [sum(0.5 ** (step - to) for to in range(step // 3 * 3, step + 1)) for step in range(7)]
    assert np.allclose(found["z"][0], backwards)
    pair = rg.parse(HALVING + """
    model Pair {
      input x: seq@source
      input z: seq@target
      _, thought = unroll Halving over x
      a = unroll Halving over z from thought
      output sum(a, axis = target) as y
    }""")
    for source, target in ((8, 3), (3, 8)):
        data = {"x": np.ones((1, source)), "z": np.ones((1, target))}
        made = pair.compile(unroll, {"source": source, "target": target}, gradient=True, truncate=2)
        _, found = made.gradients(data, {}, {"y": np.ones(1)})
        assert np.allclose(found["z"], halved((target,), 2, target, False))
        assert np.allclose(found["x"], (0.5 + 0.25) * halved((source,), 2, source, True))


@pytest.mark.parametrize("order", ["", "reversed"])
def test_a_row_is_cut_off_between_its_own_steps(order: str) -> None:
    """Padding adds no border: the gradient is that of the row alone."""
    model = rg.parse(HALVING + f"""
    model Last {{
      input x: seq
      _, final = unroll Halving over x {order}
      output final.h as y, final
    }}""")
    lengths = np.array([3, 9, 0, 8, 4])
    data = {"x": np.ones((5, 9)), "x.lengths": lengths, "final.h": np.ones(5)}
    made = model.compile(gradient=True, truncate=4)
    _, found = made.gradients(data, {}, {"y": np.ones(5)})
    expected = halved(tuple(lengths), 4, 9, True)
    first = [0.5**n if n <= 4 else 0 for n in lengths]
    if order:
        expected = np.array([[0.5**step if step < min(n, 4) else 0.0 for step in range(9)] for n in lengths])
    assert np.allclose(found["x"], expected)
    assert np.allclose(found["final.h"], first)


def test_a_stop_adds_no_border() -> None:
    model = rg.parse(HALVING.replace("output h'", "output h'  stop x < 0") + """
    model Last {
      input x: seq
      _, final = unroll Halving over x
      output final.h as y
    }""")
    x = np.ones((3, 9))
    x[0, 2] = x[1, 5] = x[2, 8] = -1
    _, found = model.compile(gradient=True, truncate=4).gradients({"x": x}, {}, {"y": np.ones(3)})
    assert np.allclose(found["x"], halved((3, 6, 9), 4, 9, True))


def test_outputs_are_the_same_however_gradients_are_cut_off() -> None:
    """A `gradient` of the text is a value: that is not cut off."""
    model = rg.parse(HALVING + """
    model Slopes {
      input x: seq
      y = unroll Halving over x
      output gradient(last(y) ** 2, x) as slope
    }""")
    data = {"x": np.arange(14.0).reshape(2, 7)}
    whole, cut = (model.compile(gradient=True, truncate=k).run(data, {}) for k in (None, 2))
    assert np.array_equal(whole["slope"], cut["slope"])


def test_second_derivatives_are_not_cut_off() -> None:
    model = parsed("lstm")
    data, weights = synthetic(model, 7, 2, 0), model.init(0)
    along = {name: np.ones_like(array) for name, array in weights.items()}
    whole, cut = (model.compile(gradient=True, truncate=k).hvp(data, weights, along) for k in (None, 2))
    assert all(np.array_equal(whole[name], cut[name]) for name in weights)


def test_one_way_to_save_memory_at_a_time() -> None:
    for more in ({"keep": "sqrt", "truncate": 5}, {"keep": "sqrt", "swap": "/tmp"}, {"truncate": 5, "swap": "/tmp"}):
        with pytest.raises(UserError, match="E618"):
            parsed("lstm").compile(gradient=True, **more)  # type: ignore[arg-type]


# --- random models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_models(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keep = str(rng.choice(["every:5", "sqrt", "revolve:2", "mixed:25"]))
    steps, batch, padded = int(rng.integers(0, 71)), int(rng.choice([1, 2, 33])), bool(rng.integers(2))
    model = rg.parse(program(seed))
    try:
        programs = [compiled(model, "dynamic", steps, k) for k in ("all", keep)]
        assert not unequal(model, steps, batch, padded, *programs)
    except CannotDo as error:
        assert error.diagnostics[0].code == "E614"  # a loop that cannot be walked



def test_what_leads_only_to_what_a_loop_leaves_out_is_not_built() -> None:
    """In a part of this program a product stands behind a result that nobody reads, and before one."""
    model = rg.parse(program(50107))
    for keep in ("every:1", "revolve:2"):
        assert model.compile(gradient=True, kernels="numpy", keep=keep).schedule.keep.kind == keep.split(":")[0]
