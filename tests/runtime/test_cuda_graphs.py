"""CUDA graphs of what is launched again: the same bits as one by one, whatever data and weights come, and what is
never captured."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.api import parse
from rnngraph.diagnostics.errors import Warned
from rnngraph.runtime import cuda_graphs
from rnngraph.runtime.array_updates import NumpyArrays
from rnngraph.runtime.cupy import GeneratedBackend
from rnngraph.training.optimisers import OPTIMISERS
from rnngraph.training.updates import start, update
from tests.support import stand_in
from tests.support.cuda.emulator import AVAILABLE
from tests.support.in_parts import InParts
from tests.support.models import parsed
from tests.support.streams import CUDARuntimeError, Graph, Race, Stream

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


def asked(cupy: Any, call: Any) -> int:
    """How often the host asks for something to be launched."""
    before = cupy.asked()
    call()
    return cupy.asked() - before


def compiled(**more: Any) -> Any:
    """The small model's program, compiled: to find how many blocks can be neighbours, launches are tried."""
    program = SMALL.compile(backend="cupy", **more)
    assert program.main.program.code
    return program


SMALL = parse("model M {\n input x: seq[6]\n y, s = unroll GRU(6) over x\n output y, s\n loss mean(y * y)\n}\n")

ASKED = {"lstm everything": (30, 1), "dropout": (26, 1), "stop": (30, 1), "attention": (59, 1)}
"""What a call asks for one by one and as a graph. A ratchet."""


@pytest.mark.parametrize("name", ASKED)
def test_bits_whatever_comes(name: str, cupy: Any) -> None:
    """Other data, lengths, seeds, weights that an optimiser has changed, and weights that are other arrays."""
    model, backends = parsed(name), (InParts(1), InParts(1))
    backends[0].graphs = None
    apart, together = (model.compile("dynamic", None, b, gradient=True, training=True) for b in backends)
    weights = {n: cupy.asarray(w) for n, w in model.init(0).items()}
    for turn in range(7):
        data = synthetic(model, 5, 3, turn, padded=True)
        if turn in (2, 3):
            for array in weights.values():
                array += 0.1 * turn
        if turn == 5:
            weights = {n: cupy.asarray(w) for n, w in model.init(5).items()}
        right = everything(apart, data, weights, None)
        found = everything(together, data, weights, None)
        assert not [d for d in differences(right, found) if not d.equal], turn
    calls = [lambda p=p: p.gradients(data, weights) for p in (apart, together)]
    assert tuple(asked(cupy, call) for call in calls) == ASKED[name]


def test_weights_are_the_same_where_they_lie_at_the_same_place(cupy: Any) -> None:
    """Other libraries' arrays are new objects at each call; arrays elsewhere are others, one by one at first."""
    program, data = compiled(), synthetic(SMALL, 4, 2, 0)
    weights = {n: cupy.asarray(w) for n, w in SMALL.init(0).items()}
    others = {n: array.copy() for n, array in weights.items()}
    counts = [
        asked(cupy, lambda w=w: program.run(data, {n: array[:] for n, array in w.items()}))
        for w in (weights, weights, weights, others, weights, others, others)
    ]
    one_by_one = counts[0]
    assert one_by_one > 3
    assert counts == [one_by_one, 1, 1, one_by_one, one_by_one, one_by_one, 1]


def test_a_schedule_that_computes_steps_again(cupy: Any) -> None:
    """The kernels of a part are the same for all chunks of steps."""
    data, weights, counts = synthetic(SMALL, 12, 2, 0, padded=True), SMALL.init(0), []
    backends = InParts(1), InParts(1)
    backends[0].graphs = None
    programs = [SMALL.compile(backend=b, gradient=True, keep="every:2") for b in backends]
    found = [everything(program, data, weights, None) for program in programs]
    assert not [d for d in differences(*found) if not d.equal]
    counts = [asked(cupy, lambda p=p: p.gradients(data, weights)) for p in programs]
    assert counts == [30, 6]


def test_a_backward_pass_that_comes_later(cupy: Any) -> None:
    """Each way is a graph."""
    program = SMALL.compile(backend="cupy", gradient=True)
    data, weights = synthetic(SMALL, 4, 2, 0), SMALL.init(0)
    cotangents = {"y": np.ones((2, 4, 6))}
    right = SMALL.compile(gradient=True).gradients(data, weights, cotangents)[1]
    for turn in range(3):
        pending = program.begin(data, weights)
        found = {}
        count = asked(cupy, lambda p=pending, f=found: f.update(p.gradients(cotangents)))
        assert max(abs(found[name] - right[name]).max() for name in right) < 1e-12
        assert (count == 1) == (turn > 0)


def test_an_update_is_a_graph_while_all_arrays_stay(cupy: Any) -> None:
    """So is the norm of the gradients. Their values, the rate and the number of updates are those of each call."""
    rng, host, optimiser = np.random.default_rng(0), NumpyArrays(), OPTIMISERS["adam"](rate=0.1)
    device = GeneratedBackend().whole
    weights = {name: rng.normal(size=(5, 3)) for name in "abc"}
    right, kept = {n: w.copy() for n, w in weights.items()}, start(optimiser, weights)
    found, there = ({n: device.own(w) for n, w in some.items()} for some in (weights, kept))
    gradients, counts = {n: device.own(w) for n, w in weights.items()}, list[int]()
    for turn in range(6):
        values = {name: rng.normal(size=(5, 3)) for name in "abc"}
        if turn == 3:
            gradients = {n: array.copy() for n, array in gradients.items()}
        for name, value in values.items():
            gradients[name].set(value)
        before = cupy.asked()
        assert device.norm(list(gradients.values())) == pytest.approx(host.norm(list(values.values())), rel=1e-14)
        there = update(optimiser, found, gradients, {**there, "updates": kept["updates"]}, device, 1 / (1 + turn))
        counts.append(cupy.asked() - before)
        kept = update(optimiser, right, values, kept, host, 1 / (1 + turn))
        assert all(np.array_equal(device.host(found[name]), right[name]) for name in right)
    assert counts == [6, 2, 2, 6, 2, 2]


# --- where it is launched ------------------------------------------------------------------------------------------


def test_a_graph_is_launched_on_the_stream_of_its_call(cupy: Any) -> None:
    """On no stream of its own: whoever looks at the results from another stream has to wait."""
    program, data = SMALL.compile(backend="cupy", gradient=True), synthetic(SMALL, 4, 2, 0)
    weights = {n: cupy.asarray(w) for n, w in SMALL.init(0).items()}
    stream = cupy.cuda.Stream(non_blocking=True)
    for _ in range(2):
        program.gradients(data, weights)
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        _, found = program.lent_gradients(data, weights)
    with pytest.raises(Race):
        next(iter(found.values())).sum()
    stream.synchronize()
    next(iter(found.values())).sum()


# --- loops that are driven from Python -----------------------------------------------------------------------------


def driven(cupy: Any, monkeypatch: pytest.MonkeyPatch, model: Any, steps: int) -> tuple[list[int], Any]:
    """How often three calls ask, where no loop is one kernel; and the results."""
    monkeypatch.setattr(cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor", lambda *told: 0)
    data, weights, found = synthetic(model, steps, 2, 0), model.init(0), {}
    with pytest.warns(Warned, match="goes step by step"):
        program = model.compile(backend="cupy")
        counts = [asked(cupy, lambda: found.update(program.run(data, weights))) for _ in range(3)]
    right = model.compile().run(data, weights)
    assert max(d.max_abs for d in differences(right, found)) < 1e-9
    return counts, found


def test_all_steps_of_a_loop_that_is_no_kernel_are_one_graph(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, _ = driven(cupy, monkeypatch, SMALL, 9)
    assert counts[0] > 9 * 3 and counts[1:] == [1, 1]


def test_a_graph_does_not_grow_without_bound(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is before and after a loop of too many steps is, where there is more than one launch of it."""
    monkeypatch.setattr(cuda_graphs, "MOST", 20)
    counts, _ = driven(cupy, monkeypatch, SMALL, 9)
    assert 9 * 3 < counts[1] == counts[2] <= counts[0]


def test_where_the_host_looks_nothing_is_captured(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, _ = driven(cupy, monkeypatch, parsed("stop"), 6)
    assert counts[1] == counts[2] > 6


# --- refusals ------------------------------------------------------------------------------------------------------


def refused(*told: Any) -> Any:
    raise CUDARuntimeError("cudaErrorNotSupported: operation not supported")


def test_a_call_on_another_stream_waits_for_the_one_before(cupy: Any) -> None:
    """Both use the same arena, forward and backward; nobody has waited for the results of the first."""
    program, weights = SMALL.compile(backend="cupy", gradient=True), SMALL.init(0)
    data = [synthetic(SMALL, 4, 2, seed) for seed in range(3)]
    found = []
    for one in data:
        with cupy.cuda.Stream(non_blocking=True):
            found.append(program.run(one, weights, device=True))
    for one, results in zip(data, found, strict=True):
        right = SMALL.compile().run(one, weights)
        assert max(np.abs(results[name].get() - right[name]).max() for name in right) < 1e-12


def spoilt(stream: Stream) -> Any:
    stream.kept = None
    raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")


@pytest.mark.parametrize(
    ("of", "name", "instead"),
    [(Stream, "begin_capture", refused), (Stream, "end_capture", spoilt), (Graph, "launch", refused)],
)
def test_a_refusal_is_told_once_and_stops_nothing(
    of: Any, name: str, instead: Any, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of, name, instead)
    program = compiled(gradient=True)
    weights, counts = SMALL.init(0), []
    with pytest.warns(Warned, match="launched one by one, not as a CUDA graph") as warned:
        for turn in range(4):
            data = synthetic(SMALL, 4, 2, turn)
            right = SMALL.compile(gradient=True).gradients(data, weights)[1]
            found: dict[str, Any] = {}
            counts.append(asked(cupy, lambda d=data, f=found: f.update(program.gradients(d, weights)[1])))
            assert max(abs(found[name] - right[name]).max() for name in right) < 1e-12
    assert len(warned) == 1 and "it is refused: cudaError" in str(warned[0].message)
    assert min(counts) == max(counts) > 3


def test_a_call_that_is_interrupted_leaves_no_stream_captured(cupy: Any) -> None:
    """The next one goes on as if nothing had been."""
    program, data, weights = SMALL.compile(backend="cupy"), synthetic(SMALL, 4, 2, 0), SMALL.init(0)
    right = program.run(data, weights)
    launch = stand_in.RawKernel.__call__

    def stopped(*told: Any, **named: Any) -> None:
        stand_in.RawKernel.__call__ = launch  # type: ignore[method-assign]
        raise KeyboardInterrupt

    stand_in.RawKernel.__call__ = stopped  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        program.run(data, weights)
    assert all(stream.kept is None for stream in cupy.cuda.get_current_stream().streams.all)
    assert not [d for d in differences(right, program.run(data, weights)) if not d.equal]
    assert asked(cupy, lambda: program.run(data, weights)) == 1


def test_it_can_be_switched_off(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNGRAPH_CUDA_GRAPHS", "0")
    assert GeneratedBackend().graphs is None
