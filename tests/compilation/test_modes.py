"""One text, three lowerings, the same bits: results and all gradients, at awkward sizes, with padding too."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import Asked, differences, everything
from rnngraph.analysis.synthetic_data import cotangents_for, synthetic
from rnngraph.compilation.variant import Signature
from rnngraph.data.lengths import as_given
from rnngraph.ir.verify import verify
from rnngraph.model import Model
from rnngraph.passes.pipeline import STAGES
from rnngraph.runtime.numpy import NumpyBackend
from tests.support.models import ALL, EXAMPLES, loaded, parsed

MODELS = {**{n: (lambda n=n: parsed(n)) for n in ALL},
          **{p.stem: (lambda path=p: loaded(path)) for p in EXAMPLES}}  # fmt: skip


def programs(model: Model, steps: int, **more: Any) -> list[Any]:
    ways = (("static", steps), ("dynamic", None), (3, None))
    return [model.compile(unroll, n, gradient=True, **more) for unroll, n in ways]


def assert_same(model: Model, data: Any, weights: Any, steps: int, batch: int, **more: Any) -> dict[str, Any]:
    return agree(programs(model, steps, **more), model, data, weights, steps, batch)


def agree(programs: list[Any], model: Model, data: Any, weights: Any, steps: int, batch: int) -> dict[str, Any]:
    """What all of the programs give, to the same bits."""
    cotangents = cotangents_for(model, steps, batch) or None
    found = [everything(p, data, weights, cotangents) for p in programs]
    for other in found[1:]:
        unequal = [d for d in differences(found[0], other) if not d.equal]
        assert not unequal
    return found[0]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "kernels"), [("float64", "numpy"), ("float32", "native")])
def test_same_bits(name: str, dtype: str, kernels: str) -> None:
    model = MODELS[name]()
    weights = model.init(1, dtype)
    how: dict[str, Any] = {"gradient": True, "dtype": dtype, "kernels": kernels}
    loops = [model.compile(unroll, **how) for unroll in ("dynamic", 3)]
    for steps, batch in ((1, 1), (4, 1), (8, 3)):
        static = model.compile("static", steps, **how)
        agree([static, *loops], model, synthetic(model, steps, batch, 1), weights, steps, batch)


@pytest.mark.parametrize("name", MODELS)
def test_same_bits_while_training(name: str) -> None:
    model = MODELS[name]()
    if "loss" in model.graph.outputs:
        assert_same(model, synthetic(model, 5, 3, 1), model.init(1), 5, 3, training=True)


@pytest.mark.parametrize("kernels", ["numpy", "native"])
@pytest.mark.parametrize("next", ["s + x[0]", "tanh(mean(s) * k)[:, 1:]", "(tanh(mean(s) * k).T + x[0])[1:].T"])
@pytest.mark.parametrize("out", ["sum(s)", "s @ v", "softmax(s)"])
def test_a_part_of_a_matrix_is_summed_alike_as_a_state(next: str, out: str, kernels: str) -> None:
    """A loop keeps a state in order, a static program has steps that read it where its entries lie between others."""
    model = rg.parse(f"""
    cell C {{
      input x: [2]
      state s: [17, 5]
      param k: [17, 6]
      param v: [5]
      s' = {next}
      output {out}
    }}
    model M {{
      input x: seq[2]
      input x0: [17, 6]
      y, final = unroll C() over x from record(s = (0.3 * x0)[:, 1:])
      output y, final
      loss mean(sum(y)) + 0.1 * sum(final.s)
    }}""")
    data, weights = synthetic(model, 4, 3, 1), model.init(1)
    weights |= {"c.v": np.linspace(-1.0, 1.3, 5)}
    modes = [("dynamic", None), ("static", 4), (3, None)]
    first, *others = (
        everything(model.compile(unroll, steps, gradient=True, kernels=kernels), data, weights, None)
        for unroll, steps in modes
    )
    assert all(d.equal for other in others for d in differences(first, other))


@pytest.mark.parametrize("name", ALL)
def test_padding_never_matters(name: str) -> None:
    """NaN in the padding changes nothing; rows of length 0 are fine; each row gets what it would get alone."""
    model, steps = parsed(name), 5
    weights = model.init(2)
    data = synthetic(model, steps, 4, 3)
    sequences = [i for i in model.inputs if i.axes]
    axes = dict.fromkeys(axis for i in sequences for axis in i.axes)
    lengths = dict(zip(axes, cycle(np.array([[5, 0, 2, 4], [3, 0, 5, 1]])), strict=False))
    data |= {f"{i.name}.lengths": as_given(i.axes, lengths) for i in sequences}
    dirty = {k: np.array(v, copy=True) for k, v in data.items()}
    for item in sequences:
        for row in range(4):
            whole = np.full_like(dirty[item.name][row], np.nan if item.type.dtype == "float" else 0)
            own = tuple(slice(lengths[axis][row]) for axis in item.axes)
            whole[own] = dirty[item.name][row][own]
            dirty[item.name][row] = whole
    ways = programs(model, steps)
    clean, spoilt = (agree(ways, model, given, weights, steps, 4) for given in (data, dirty))
    assert not [d for d in differences(clean, spoilt) if not d.equal]
    assert all(np.isfinite(v).all() for v in clean.values())
    program = model.compile()
    together = program.run(data, weights)
    for row in (0, 2, 3):
        own = {i.name: tuple(slice(lengths[axis][row]) for axis in i.axes) for i in model.inputs}
        alone = {name: data[name][(slice(row, row + 1), *steps)] for name, steps in own.items()}
        for key, value in program.run(alone, weights).items():
            if value.ndim > 1 and model.graph.outputs[key].type.axes[:1] not in ((), ("batch",)):
                inside = np.zeros(together[key].shape[1:], bool)  # lengths, or of every second step, or a fixed number
                inside[tuple(map(slice, value.shape[1:]))] = True
                assert np.allclose(together[key][row][inside], value[0].ravel(), rtol=1e-12, atol=1e-13)
                assert not np.any(together[key][row][~inside])
            elif value.ndim and key in model.graph.outputs and value.shape[0] == 1:
                assert np.allclose(together[key][row], value[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    model = parsed(name)
    weights, data = model.init(3), synthetic(model, 4, 2, 5)
    rng = np.random.default_rng(0)
    weights = {k: w + 0.1 * rng.normal(size=w.shape) for k, w in weights.items()}
    program = model.compile(gradient=True, training=True)
    for s in program.made.states:
        first = rng.normal(size=(2, *s.type.shape)) * 0.3
        data[s.name] = first if s.type.dtype == "float" else np.zeros_like(first, s.type.dtype)
    _, grads = program.gradients(data, weights)

    def loss(name: str, array: Any) -> float:
        if name in weights:
            return program.gradients(data, {**weights, name: array})[0]
        return program.gradients({**data, name: array}, weights)[0]

    step = 1e-6
    for key, grad in grads.items():
        array = np.asarray(weights.get(key, data.get(key)), float)
        for place in rng.choice(array.size, size=min(4, array.size), replace=False):
            shifted = []
            for sign in (1, -1):
                moved = array.copy()
                moved.reshape(-1)[place] += sign * step
                shifted.append(loss(key, moved))
            expected = (shifted[0] - shifted[1]) / (2 * step)
            assert grad.reshape(-1)[place] == pytest.approx(expected, rel=2e-5, abs=2e-8), key


@pytest.mark.parametrize("name", MODELS)
def test_every_stage_keeps_the_law(name: str) -> None:
    model = MODELS[name]()
    from rnngraph.compilation.schedule_checks import checked_schedule

    for padded in (False, True):
        outputs = [n for n in model.outputs if model.graph.outputs[n].type.dtype == "float"]
        cotangents = ("loss",) if "loss" in model.graph.outputs else tuple(outputs)
        seen = []
        for unroll, steps in (("static", 3), ("dynamic", None)):
            schedule = checked_schedule(unroll, steps, "float64", True)
            for stage, graph in model.stages(schedule, Signature(padded, cotangents=cotangents)):
                verify(graph, "static" if stage == "unroll" and unroll == "static" else "")
                seen.append(stage)
        assert tuple(seen) == STAGES * 2


@pytest.mark.parametrize("unroll", ["static", "dynamic"])
def test_no_steps_at_all(unroll: str) -> None:
    model = parsed("stack")
    program = model.compile(unroll, 0 if unroll == "static" else None, gradient=True)
    weights = model.init(0)
    starts = {s.name: np.full((2, *s.type.shape), 0.25) for s in model.states}
    results = program.run({"x": np.zeros((2, 0, 3)), **starts}, weights)
    assert results["y"].shape == (2, 0, 5)
    assert all(np.array_equal(results[name], start) for name, start in starts.items())
    _, grads = program.gradients({"x": np.zeros((2, 0, 3))}, weights)
    assert all(not g.any() for g in grads.values())


def test_a_dynamic_program_runs_any_size() -> None:
    model = parsed("lstm")
    program, weights = model.compile(), model.init(0)
    for batch, steps in ((2, 3), (1, 9), (5, 1), (2, 3)):
        data = synthetic(model, steps, batch, 0)
        fresh = model.compile("static", steps).run(data, weights)
        assert not [d for d in differences(program.run(data, weights), fresh) if not d.equal]


def test_final_states_go_on_where_they_stopped() -> None:
    model = parsed("stack")
    program, weights = model.compile(), model.init(0)
    x = synthetic(model, 6, 2, 0)["x"]
    whole = program.run({"x": x}, weights)
    first = program.run({"x": x[:, :4]}, weights)
    states = {k: v for k, v in first.items() if k.startswith("final.")}
    second = program.run({"x": x[:, 4:], **states}, weights)
    assert np.allclose(second["y"], whole["y"][:, 4:], rtol=1e-13)
    assert np.allclose(second["final.0.c"], whole["final.0.c"], rtol=1e-13)


def test_initial_weights_depend_on_seed_and_name_alone() -> None:
    one = parsed("stack").init(4)
    again = rg.parse(ALL["stack"] + ALL["tagger"].replace("Tagger", "Other"), "Walk").init(4)
    assert all(np.array_equal(one[k], again[k]) for k in one)
    assert not np.array_equal(parsed("stack").init(5)["net.0.kernel"], one["net.0.kernel"])


@pytest.mark.parametrize("name", ["lstm", "bidirectional", "tagger", "stop"])
def test_the_ledger_is_exact(name: str) -> None:
    from rnngraph.analysis.compare import compare

    asked = Asked(steps=(3, 9), batch=5, repeats=1)
    found = compare(parsed(name), NumpyBackend(), asked)
    assert found.equal
    for row in found.rows:
        for entry in row.ledger:
            assert entry.predicted == entry.measured, (row.mode, row.steps, entry)
    saved = {(r.mode, r.steps): {e.category: e.predicted for e in r.ledger}["saved"] for r in found.rows}
    assert saved["static", 9] == saved["dynamic", 9]


def test_kernels_allocate_nothing() -> None:
    """A run makes no array beside those of the plan.

    What the tracer sees beside it, NumPy's own buffers of 8,192 numbers, is far under the smallest large array.
    """
    import tracemalloc

    model = rg.parse(ALL["tagger"].replace("vocab = 11", "vocab = 300").replace("units = 4", "units = 1024"))
    for unroll in ("static", "dynamic"):
        data = synthetic(model, 5, 64, 0)
        program = model.compile(unroll, 5 if unroll == "static" else None, gradient="weights")
        weights = model.init(0)
        variant = program.variant(Signature(cotangents=("loss",)))
        checked = program.check(data)
        bound = variant.bound(checked.sizes)
        inputs = {n: program.input(n, variant, checked, {}) for n in variant.program.inputs}
        bound.run(inputs, weights)
        tracemalloc.start()
        bound.run(inputs, weights)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 250_000 < 64 * 1024 * 8
