"""Generated kernels for GPUs, run on the CPU by an emulator: numbers, bits, meetings, races, launches; and what NVRTC
makes of them."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.api import Model, parse
from rnngraph.cli.main import exit_code
from rnngraph.cli.show import show
from rnngraph.diagnostics.errors import CannotDo, Warned
from rnngraph.kernels.gpu.loop_partitioning import Factor, Facts, loop_shape, shapes_at_once
from rnngraph.kernels.gpu.modules import OPTIONS, PART, Module, prelude
from rnngraph.kernels.gpu.persistent_loops import loop_of
from rnngraph.kernels.gpu.target import GpuTarget, cluster_of, h100
from rnngraph.planning import lifetimes
from rnngraph.planning.program import Group, moments_of, repeats_of
from rnngraph.planning.program import Program as Code
from rnngraph.runtime.cupy import GeneratedBackend
from rnngraph.runtime.described_gpu import DescribedGpu
from rnngraph.weights.save_load import load_weights
from tests.support import stand_in
from tests.support.cuda import assembler
from tests.support.cuda.emulator import AVAILABLE, compiled
from tests.support.in_parts import InParts
from tests.support.machine import Program
from tests.support.models import ALL, parsed

emulated = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy())
    return module


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device with so few processors that a block has several rows."""
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy(MultiProcessorCount=2))
    return module


# --- numbers -----------------------------------------------------------------------------------------------------

EVERY = bool(os.environ.get("EVERY"))
CHOSEN = (
    "lstm everything", "gru", "layer norm lstm", "min gru", "stack", "attention", "stop", "ind rnn", "mlstm",
    "loop in a step", "clockwork", "two speeds", "dropout", "conv lstm", "ranking", "single steps",
)  # fmt: skip
"""Loops with sums over rows, without products, nested, of images, driven from Python ...; all models with EVERY=1."""


@emulated
@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("name", ALL if EVERY else CHOSEN)
def test_numbers_and_bits(name: str) -> None:
    """The same bits in both modes and however many blocks share out the units; and NumPy's numbers."""
    model = parsed(name)
    data, weights = synthetic(model, 5, 3, 0, padded=name != "min gru"), model.init(0)
    right = everything(model.compile(gradient=True, training=True), data, weights, None)
    found = [
        everything(model.compile(unroll, steps, InParts(parts), gradient=True, training=True), data, weights, None)
        for unroll, steps, parts in (("dynamic", None, 3), ("dynamic", None, 1), ("static", 5, 1))
    ]
    assert max(d.max_abs for d in differences(right, found[0])) < 1e-9
    assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]


@emulated
@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (0, 2), (3, 9)])
def test_odd_sizes_in_float32(steps: int, batch: int) -> None:
    """Fewer rows than processors, more than a tile has; one step, none. Units are no multiple of anything."""
    model = parse("model M {\n input x: seq[7]\n y, s = unroll GRU(37) over x\n output y, s\n loss mean(y * y)\n}\n")
    weights = model.init(0)
    data = {"x": np.random.default_rng(0).normal(size=(batch, steps, 7)).astype("float32")}
    programs = [model.compile(backend=b, dtype="float32", gradient=True) for b in ("numpy", InParts(5))]
    right, found = (everything(p, data, weights, None) for p in programs)
    assert max(d.max_abs for d in differences(right, found)) < 1e-5


@emulated
@pytest.mark.parametrize(
    ("rows", "units", "steps", "batch", "processors"),
    [
        (7, 3, 5, 3, 132), (300, 40, 50, 3, 2), (11, 70, 9, 40, 2), (5, 300, 3, 2, 132), (1, 129, 700, 2, 2),
        (3, 3, 0, 2, 2),
    ],
)  # fmt: skip
def test_rows_are_added_to_chosen_ones_in_order(
    rows: int, units: int, steps: int, batch: int, processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of NumPy, which adds them one by one, however many blocks share out the rows of the table."""
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy(MultiProcessorCount=processors))
    model = parse(f"model M {{\n input w: seq int\n y = Embedding({rows}, {units})(w)\n output y\n}}\n")
    rng, weights = np.random.default_rng(0), model.init(0, "float32")
    data = {"w": rng.integers(0, rows, (batch, steps))}
    cotangents = {"y": rng.normal(size=(batch, steps, units)).astype("float32")}
    right, found = (
        model.compile(backend=backend, kernels=kernels, dtype="float32", gradient=True).gradients(
            data, weights, cotangents
        )[1]
        for backend, kernels in (("numpy", "numpy"), ("cupy", None))
    )
    assert not [d for d in differences(right, found) if not d.equal]
    assert module.launches["group1"] == 1


@emulated
@pytest.mark.parametrize(
    ("more", "steps", "labels", "batch", "classes"),
    [
        ("", 9, 3, 5, 6), (", collapse = true", 9, 4, 5, 4), ("", 300, 270, 2, 40),
        (", merge = false", 30, 7, 9, 6),
        (", ignore_longer = true", 6, 8, 5, 4),
        (", zero_infinity = true, merge = false", 4, 6, 4, 70), (", blank = 0", 1, 1, 2, 6), ("", 6, 0, 3, 6),
    ],
)  # fmt: skip
def test_labels_without_times(more: str, steps: int, labels: int, batch: int, classes: int, cupy: Any) -> None:
    """The loss and its gradient, for rows with lengths, equal neighbours, blanks among the labels, and too many of
    these; more labels than a block has threads."""
    model = parse(
        f"model M {{\n input x: seq@time[{classes}]\n input y: seq@label int\n"
        f" loss mean(ctc_loss(x, y{more}))\n}}\n"
    )
    rng, refused = np.random.default_rng(0), "longer" not in more and "zero" not in more
    most = np.minimum(labels, steps // 2 if refused and steps < 100 else labels)
    data = {
        "x": 3 * rng.normal(size=(batch, steps, classes)),
        "y": rng.integers(1, classes - 1, (batch, labels)),
        "x.lengths": np.maximum(steps - rng.integers(0, 3, batch), min(steps, 2 * labels)),
        "y.lengths": np.maximum(most - rng.integers(0, 2, batch), 0),
    }
    right, found = (
        model.compile(backend=backend, kernels=kernels, gradient=True).gradients(data, {})
        for backend, kernels in (("numpy", "numpy"), ("cupy", None))
    )
    assert found[0] == pytest.approx(right[0], rel=1e-12)
    assert np.allclose(found[1]["x"], right[1]["x"], rtol=1e-9, atol=1e-13)
    assert not cupy.launches["logaddexp"]  # nothing of it is CuPy's


@emulated
def test_threads_of_a_row_are_not_in_each_others_way(small: Any) -> None:
    model = parse("model M {\n input x: seq@time[5]\n input y: seq@label int\n loss mean(ctc_loss(x, y))\n}\n")
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(2, 5, 5)), "y": np.array([[1, 1], [2, 4]])}
    with small.record() as launches:
        model.compile(backend="cupy", gradient=True).gradients(data, {})
    found = [launch for launch in launches if "Ctc<" in launch.module.text]
    assert found and not [told for launch in found if (told := launch.sanitized("thread"))]


ROW = """
cell C {
  input x: [3]
  param w: [3, 3]
  state s: [3] = 0
  s' = tanh(s + x @ w)
  s'[-1] = max(x)
  output s'
}

model M {
  input x: seq[3]
  y, s = unroll C() over x
  output y, s
}
"""


@emulated
@pytest.mark.usefixtures("cupy")
def test_a_number_that_every_block_computes_is_not_taken_for_the_others_of_its_row() -> None:
    model = parse(ROW)
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    for parts in (1, 3):
        found = model.compile(backend=InParts(parts)).run(data, weights)
        assert max(d.max_abs for d in differences(model.compile().run(data, weights), found)) < 1e-9


@emulated
@pytest.mark.parametrize("seed", range(100) if EVERY else (28, 50))
def test_random_programs(seed: int, small: Any) -> None:
    """Kernels of a GPU give the CPU's numbers, and the same bits in a schedule that computes steps again."""
    with np.errstate(all="ignore"):
        program = Program(seed)
        model, data, weights = program.model, program.data, program.weights
        right = everything(model.compile(gradient=True), data, weights, None)
        found = everything(model.compile(backend=InParts(3), gradient=True), data, weights, None)
        assert not [
            d for d in differences(right, found)
            if not d.max_abs <= 1e-9 * (1 + np.abs(right[d.name]).max(initial=0))
        ]  # fmt: skip
        again = program.everything("dynamic", "", {"keep": "every:2", "backend": InParts(3)})
        assert again is None or not [d for d in differences(found, again) if not d.equal]


# --- meetings ----------------------------------------------------------------------------------------------------


def module_of(
    model: Model, gradient: bool = True, target: GpuTarget | None = None, batch: int = 32, steps: int = 100
) -> Module:
    target = target or h100("float32")
    backend = DescribedGpu("native", "")
    backend.target = lambda dtype: target  # type: ignore[method-assign]
    program = model.compile(backend=backend, gradient=gradient, dtype=target.dtype).main.program
    return Module(program, dict.fromkeys(program.axes, steps) | {"batch": batch}, target)


def cell(name: str, units: int = 64) -> Model:
    return parse(
        f"model M {{\n input x: seq[{units}]\n y, s = unroll {name} over x\n output y, s\n loss mean(y * y)\n}}\n"
    )


def test_a_beam_alone_is_left_to_cupy() -> None:
    """Of all models with their gradients."""
    left = set()
    for name in ALL:
        backend = DescribedGpu("native", "")
        program = parsed(name).compile(backend=backend, gradient=True, dtype="float32").main.program
        left |= {moment.node.op.name for moment in moments_of(program.code) if not isinstance(moment, Group)}
    assert left == {"ctc_beam"}


MEETINGS = {
    "RNN(64)": (1, 1), "LSTM(64)": (1, 1), "LSTM(64, peepholes = true)": (1, 1), "GRU(64, reset_after = true)": (1, 2),
    "GRU(64)": (2, 2), "MGU(64)": (2, 2), "LayerNormLSTM(64)": (5, 5),
}  # fmt: skip
"""How often the blocks of a team meet in a step, forward and backward: a ratchet."""


@pytest.mark.parametrize("name", MEETINGS)
def test_how_often_blocks_meet(name: str) -> None:
    module = module_of(cell(name))
    loops = [loop_of(repeat, module.program.slots) for repeat in repeats_of(module.program.code)]
    assert tuple(len(loop.meetings.blocks) for loop in loops) == MEETINGS[name]


@emulated
@pytest.mark.parametrize(
    ("name", "cluster"), [("GRU(8)", 0), ("LayerNormLSTM(8)", 0), ("MinGRU(8)", 0), ("GRU(8)", 2)]
)
def test_no_two_threads_are_in_each_others_way(name: str, cluster: int, small: Any) -> None:
    model = cell(name, 8)
    data, weights = synthetic(model, 2, 2, 0), model.init(0)
    program = model.compile(backend=InParts(2, cluster=cluster), gradient=True)
    with small.record() as launches:
        program.gradients(data, weights)
    loops = [launch for launch in launches if launch.name.startswith("loop")]
    assert len(loops) == 2
    assert not [told for launch in loops if (told := launch.sanitized("thread"))]


SHARED_OUT = """
cell Inner {
  input x: [4]
  param w: [8, 4]
  state h: [4] = 0.5
  h' = tanh(0.5 * [x, h] @ w)
  output h'
}

cell Outer {
  input x: [4]
  param b: [4]
  state s: [4] = 0.5
  state r: [4] = 0
  _, e = unroll Inner() with x = s for 2
  s' = tanh(b + s + e.h + x)
  r' = tanh(b + 0.5 * r)
  output s' + r'
}

model M {
  input x: seq[4]
  y, _ = unroll Outer() over x
  output y
  loss mean(y * y)
}
"""
"""In a step backward the sum for `w`, which one block makes, stands between what is made for `b` and its sum."""


@emulated
def test_threads_of_a_block_that_has_no_part_of_a_sum_wait_for_each_other(small: Any) -> None:
    model = parse(SHARED_OUT)
    with small.record() as launches:
        model.compile(backend=InParts(2), gradient=True).gradients(synthetic(model, 2, 2, 0), model.init(0))
    (loop,) = [launch for launch in launches if launch.name == "loop1"]
    assert " sums<8, 4>" in loop.module.text and not loop.sanitized("thread")


OVER_A_MEMORY = """
cell Outer {
  input z: [4]
  input memory: seq@source[4]
  param w: [8, 4]
  param v: [4, 4]
  state h: [4] = 0.1
  _, e = unroll Inner() over memory with k = h
  h' = tanh(tanh([z, h] @ w) @ v + e.c)
  output h'
}

cell Inner {
  input m: [4]
  input k: [4]
  param w: [8, 4]
  state c: [4] = 0.5
  c' = tanh([m, c] @ w + k)
  output c'
}

model M {
  input x: seq@source[4]
  input z: seq@time[4]
  y, _ = unroll Outer() over z with memory = x
  output y
  loss sum(y * y)
}
"""


@emulated
@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("told", [(2,), (2, "", 2)])
def test_blocks_meet_where_a_loop_in_a_step_has_no_steps(told: Any) -> None:
    """What is behind such a loop counts on the meetings in it."""
    model, rng = parse(OVER_A_MEMORY), np.random.default_rng(0)
    data, weights = {"x": np.zeros((3, 0, 4)), "z": rng.normal(size=(3, 5, 4))}, model.init(0)
    program, h = model.compile(backend=InParts(*told), gradient=True), np.full((3, 4), 0.1)
    found = program.run(data, weights)["y"]
    for t in range(5):
        inside = np.tanh(np.concatenate([data["z"][:, t], h], 1) @ weights["outer.w"])
        h = np.tanh(inside @ weights["outer.v"] + 0.5)
        assert np.abs(found[:, t] - h).max() < 1e-12
    right = everything(model.compile(gradient=True), data, weights, None)
    assert max(d.max_abs for d in differences(right, everything(program, data, weights, None))) < 1e-12


@emulated
def test_blocks_meet_behind_a_loop_in_a_step_of_which_each_step_is_left_out(small: Any) -> None:
    """A count of turns that is 0 for all rows, now and then."""
    model = parsed("counted")
    data = {"n": np.array([1]), "k": np.array([[0, 2, 0]]), "x": np.ones((1, 3, 2))}
    with small.record() as launches:
        model.compile(backend=InParts(2), gradient=True).gradients(data, model.init(0))
    loops = [launch for launch in launches if launch.name.startswith("loop")]
    assert loops and not [told for launch in loops if (told := launch.sanitized("thread"))]


@emulated
@pytest.mark.parametrize(("cluster", "meet"), [(0, "meet(team);"), (2, "cluster_barrier();")])
@pytest.mark.parametrize("which", [0, 1])
def test_a_meeting_that_is_left_out_is_found(which: int, cluster: int, meet: str, small: Any) -> None:
    """So the test before can fail: without a meeting one block reads what another has not written yet."""
    model = cell("GRU(8)", 8)
    data, weights = synthetic(model, 2, 2, 0), model.init(0)
    with small.record() as launches:
        model.compile(backend=InParts(2, cluster=cluster)).run(data, weights)
    (loop,) = [launch for launch in launches if launch.name.startswith("loop")]
    before, *parts = loop.module.text.split(f"{meet}\n      {{")
    assert len(parts) == 2
    parts[which] = "__syncthreads();\n      {" + parts[which]
    parts[1 - which] = f"{meet}\n      {{{parts[1 - which]}"
    wrong = replace(loop, module=compiled(before + "".join(parts), OPTIONS))
    assert "race" in wrong.sanitized("thread")


@emulated
@pytest.mark.parametrize(
    ("name", "parts", "rounding"),
    [(name, 2, "") for name in (ALL if EVERY else ("layer norm lstm", "stop", "lstm everything", "clockwork"))]
    + [("GRU(16)", 16, ""), ("LSTM(20)", 4, "bf16")],
)
def test_a_team_that_is_a_cluster(name: str, parts: int, rounding: str, cupy: Any) -> None:
    """What blocks hand over in shared memory has the bits that one block alone makes, and those of far memory; nothing
    waits there."""
    model = parsed(name) if name in ALL else cell(name, 16 if "16" in name else 20)
    data, weights = synthetic(model, 5, 3, 0, padded=name != "min gru"), model.init(0)
    dtype, found = "float32" if rounding else "float64", []
    for told in ((1, rounding), (parts, rounding), (parts, rounding, parts)):
        for mode in (("dynamic", None), ("static", 5))[: 2 if len(told) > 2 else 1]:
            program = model.compile(*mode, InParts(*told), gradient=True, dtype=dtype)
            with cupy.record() as launches:
                found.append(everything(program, data, weights, None))
    assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]
    assert not any(launch.cooperative for launch in launches)
    if not EVERY:
        assert any(")handed + rows_each" in launch.module.text for launch in launches)


SENT = {"LSTM(64)": (64, 256), "GRU(64)": (128, 192), "LayerNormLSTM(64)": (704, 896)}
"""Numbers of a row that the blocks of a cluster send to each other in a step, forward and backward: a ratchet."""


@pytest.mark.parametrize("name", SENT)
def test_what_blocks_hand_over(name: str) -> None:
    """No meeting is needed for it that was not there."""
    module = module_of(cell(name))
    loops = [loop_of(repeat, module.program.slots) for repeat in repeats_of(module.program.code)]
    assert tuple(loop.handovers.moved for loop in loops if loop.meetings.blocks) == SENT[name]


@emulated
@pytest.mark.parametrize(("way", "which", "told"), [(1, 0, "has not begun"), (0, -1, "has ended")])
def test_a_block_sends_to_no_other_before_all_have_begun_nor_ends_before_all_have_sent(
    way: int, which: int, told: str, cupy: Any
) -> None:
    """The backward loop sends before its first meeting, the forward one behind its last."""
    model = cell("LSTM(8)", 8)
    data, weights = synthetic(model, 1, 1, 0), model.init(0)
    with cupy.record() as launches:
        model.compile(backend=InParts(2, cluster=2), gradient=True).gradients(data, weights)
    loop = [launch for launch in launches if launch.name.startswith("loop")][way]
    head, name, function = loop.module.text.partition(f"void {loop.name}_0(")
    function, end, rest = function.partition('extern "C"')
    parts = function.split("cluster_barrier();")
    assert len(parts) == 4
    joints = ["cluster_barrier();"] * 3
    joints[which] = "__syncthreads();"
    changed = parts[0] + "".join(joint + text for joint, text in zip(joints, parts[1:], strict=True))
    wrong = replace(loop, module=compiled(head + name + changed + end + rest, OPTIONS))
    assert told in wrong.sanitized("thread")


COUNTED = """
extern "C" __global__ void often(unsigned* counts, Int* numbers, Int* found) {
  Team team{counts, 2, 0x7ffffffeu};
  for (Int step = 0; step < 4; ++step) {
    for (int i = 0; blockIdx.x == 1 && threadIdx.x == 0 && i < 9; ++i) load_acquire(counts + 1);
    if (threadIdx.x == 0) numbers[2 * step + blockIdx.x] = step + 1;
    meet(team);
    if (threadIdx.x == 0) found[2 * step + blockIdx.x] = numbers[2 * step + 1 - blockIdx.x];
  }
}
"""


@emulated
def test_meetings_are_counted_beyond_the_largest_number() -> None:
    """Two blocks, of which one is late, have met 2^31 - 2 times: at their second meeting the count begins anew."""
    counts, numbers, found = np.array([2**32 - 4, 0], "uint32"), np.zeros(8, "int64"), np.zeros(8, "int64")
    compiled(prelude() + COUNTED, OPTIONS).launch("often", 2, 256, (counts, numbers, found), cooperative=True)
    assert found.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


# --- launches ----------------------------------------------------------------------------------------------------


@emulated
def test_a_loop_is_one_launch_however_many_steps_there_are(cupy: Any) -> None:
    model = cell("LSTM(6) >> LayerNorm(6) >> GRU(6)", 6)
    counts = []
    for steps in (2, 9):
        data, weights = synthetic(model, steps, 2, 0), model.init(0)
        program = model.compile(backend="cupy", gradient=True)
        program.gradients(data, weights)  # the first call compiles
        cupy.launches.clear()
        program.gradients(data, weights)
        counts.append(dict(cupy.launches))
    assert counts[0] == counts[1]
    layers, ways = 2, 2
    assert sum(n for name, n in counts[0].items() if name.startswith("loop")) == layers * ways


@emulated
def test_weights_may_be_other_arrays_at_each_call(cupy: Any) -> None:
    model = cell("GRU(6)", 6)
    data, program = synthetic(model, 3, 2, 0), model.compile(backend="cupy", gradient=True)
    for seed in (0, 1):
        weights = model.init(seed)
        right = model.compile(gradient=True).gradients(data, weights)[1]
        found = program.gradients(data, {name: cupy.asarray(array) for name, array in weights.items()})[1]
        assert max(abs(found[name] - right[name]).max() for name in right) < 1e-12


# --- loops at once -------------------------------------------------------------------------------------------------

BOTH = """
model M {
  input x: seq[3]
  y = Bidirectional(GRU(8), GRU(8))(x)
  output y
  loss mean(y * y)
}
"""
TOWERS = """
model M {
  input a: seq@one[2]
  input b: seq@two[2]
  input c: seq@three[2]
  p, _ = unroll GRU(6) over a
  q, _ = unroll LSTM(4) over tanh(b)
  r, _ = unroll LayerNormLSTM(3) over c
  y = [2 * last(p), last(q), last(r)]
  output y
  loss mean(y * y)
}
"""


class OneAfterAnother(InParts):
    def adapted(self, program: Code, dtype: str) -> Code:
        return replace(super().adapted(program, dtype), forks=())


@emulated
@pytest.mark.parametrize(
    ("text", "loops", "told"),
    [
        (BOTH, 2, (1,)), (BOTH, 2, (2,)), (BOTH, 2, (2, "", 2)), (TOWERS, 3, (2, "", 2)),
        (BOTH.replace("GRU", "MinGRU"), 2, (1,)),
    ],
    ids=["blocks", "teams", "clusters", "towers", "walks"],
)  # fmt: skip
def test_loops_that_need_nothing_of_each_other_are_one_launch(text: str, loops: int, told: Any, cupy: Any) -> None:
    """Forward and backward, with the bits that they have one after another."""
    model, found, counts = parse(text), [], []
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    right = model.compile(gradient=True).gradients(data, weights)[1]
    for backend in (OneAfterAnother(*told), InParts(*told)):
        program = model.compile(backend=backend, gradient=True)
        cupy.launches.clear()
        found.append(program.gradients(data, weights)[1])
        counts.append(sum(n for name, n in cupy.launches.items() if name.startswith("loop")))
    assert counts == [2 * loops, 2]
    assert not [d for d in differences(*found) if not d.equal]
    assert max(d.max_abs for d in differences(right, found[1])) < 1e-9


@emulated
@pytest.mark.parametrize("planned", [True, False])
def test_what_loops_at_once_use_is_alive_at_once(planned: bool, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned as if they ran one after another, one writes where the other reads."""
    if not planned:
        monkeypatch.setattr(lifetimes, "_at_once", lambda *told: None)
    model = parse(BOTH)
    data, weights = synthetic(model, 2, 2, 0), model.init(0)
    with small.record() as launches:
        model.compile(backend=InParts(2)).run(data, weights)
    (both,) = [launch for launch in launches if launch.name.startswith("loop")]
    assert ("race" in both.sanitized("thread")) != planned


# --- layers as a wavefront -----------------------------------------------------------------------------------------


def stack(layers: str, units: int) -> Model:
    return parse(
        f"model M {{\n input x: seq[{units}]\n y = unroll {layers} over x\n output y\n loss mean(y * y)\n}}\n"
    )


@emulated
@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ("LSTM(8) >> LSTM(8)", (2,)), ("GRU(8) >> GRU(16) >> LSTM(4)", (2, "", 2)), ("RNN(8) >> RNN(8) >> RNN(8)", (3,))
    ],
)  # fmt: skip
def test_layers_of_a_stack_are_a_wavefront(layers: str, told: Any, cupy: Any) -> None:
    """One launch forward and one backward, with the bits that they have one after another, in both modes."""
    model, found, counts = stack(layers, 8), [], []
    data, weights = synthetic(model, 6, 3, 0), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    apart, together = OneAfterAnother(*told), InParts(*told)
    for backend, mode in ((apart, ("dynamic", None)), (together, ("dynamic", None)), (together, ("static", 6))):
        program = model.compile(*mode, backend=backend, gradient=True)
        cupy.launches.clear()
        program.gradients(data, weights)
        counts.append(sum(n for name, n in cupy.launches.items() if name.startswith("loop")))
        found.append(everything(program, data, weights, None))
    assert counts == [2 * (1 + layers.count(">>")), 2, 2]
    assert not [d for other in found[1:] for d in differences(found[0], other) if not d.equal]
    assert max(d.max_abs for d in differences(right, found[1])) < 1e-9


@emulated
def test_how_many_waves_there_are(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a team count their meetings: steps and layers, less one, instead of steps times layers."""
    model, counts, zeros = stack("RNN(8) >> RNN(8) >> RNN(8)", 8), [], cupy.zeros

    def kept(shape: Any, dtype: Any = float) -> Any:
        counts.append(made := zeros(shape, dtype))
        return made

    monkeypatch.setattr(cupy, "zeros", kept)
    data, weights, teams = synthetic(model, 7, 1, 0), model.init(0), 2
    for backend, waves in ((InParts(teams), 7 + 3 - 1), (OneAfterAnother(teams), 7)):  # of the last loop alone
        model.compile(backend=backend).run(data, weights)
        assert int(counts[-1].get()[0]) == waves * teams


@emulated
@pytest.mark.parametrize(("planned", "cluster"), [(True, 0), (True, 2), (False, 0)])
def test_layers_are_in_nobodys_way(planned: bool, cluster: int, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned as if they ran one after another, one writes where the other still reads."""
    if not planned:
        monkeypatch.setattr(lifetimes, "_at_once", lambda *told: None)
    model = stack("RNN(8) >> RNN(8) >> RNN(8)", 8)
    data, weights = synthetic(model, 4, 2, 0), model.init(0)
    with small.record() as launches:
        model.compile(backend=InParts(2, cluster=cluster)).run(data, weights)
    (wave,) = [launch for launch in launches if launch.name.startswith("loop")]
    assert ("race" in wave.sanitized("thread")) != planned


def test_for_a_few_rows_it_is_told_what_is_a_wavefront() -> None:
    """As many layers as take the least time, four at most."""
    for units, layers, batch, more in ((128, 8, 4, [1, 3]), (128, 4, 17, []), (1024, 4, 8, [])):
        told = module_of(stack(" >> ".join([f"LSTM({units})"] * layers), units), batch=batch).spread_out.values()
        waves = [re.findall(r"in waves with (\d) more", shape) for shape in told]
        assert [int(n) for (n,) in filter(None, waves)] == [n for n in more for _ in range(layers)]


@emulated
def test_a_wavefront_that_is_refused(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stack("GRU(6) >> GRU(6)", 6)
    data, weights = synthetic(model, 6, 3, 0), model.init(0)
    right = model.compile(backend=InParts(2)).run(data, weights)
    refuse_text(small, monkeypatch, "loop2(")
    with pytest.warns(Warned, match="(?s)run one after another.*NVRTC does not compile it") as told:
        found = model.compile(backend=InParts(2)).run(data, weights)
    assert len(told) == 1 and not [d for d in differences(right, found) if not d.equal]


# --- how loops share a device --------------------------------------------------------------------------------------


def test_loops_share_the_processors() -> None:
    """Each begins with a cluster; those whose matrices have no room near in a part of the device go one by one."""
    target, steps = h100("float32"), [100, 100]
    for units, batch in ((128, 4), (512, 8), (512, 16)):
        shapes = shapes_at_once([factor(units)] * 2, steps, batch, target)
        assert shapes is not None
        alone = loop_shape(factor(units), batch, target)
        assert alone is not None
        assert shapes[0] == shapes[1] and shapes[0].clocks < 2 * alone.clocks
        assert sum(shape.blocks for shape in shapes) <= target.processors
    unequal = shapes_at_once([factor(64), factor(128)], steps, 3, target)
    assert unequal is not None
    assert [(shape.parts, shape.cluster, shape.blocks) for shape in unequal] == [(1, 1, 16), (16, 16, 48)]
    assert shapes_at_once([factor(1024)] * 2, steps, 8, target) is None


def test_for_a_few_rows_it_is_told_what_runs_at_once() -> None:
    for text in (BOTH, BOTH.replace("GRU", "MinGRU")):
        for batch, told in ((16, True), (17, False)):
            shapes = list(module_of(parse(text), batch=batch).spread_out.values())
            assert len(shapes) == 4 and all(("at once with 1 more" in shape) == told for shape in shapes)


@emulated
def test_loops_at_once_that_are_refused(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = parse(BOTH)
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    right = model.compile(backend=InParts(2)).run(data, weights)
    refuse_text(small, monkeypatch, "loop2(")
    with pytest.warns(Warned, match="(?s)run one after another.*over x.*NVRTC does not compile it") as told:
        found = model.compile(backend=InParts(2)).run(data, weights)
    assert len(told) == 1 and not [d for d in differences(right, found) if not d.equal]


# --- compiling ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 16])
def test_kernels_are_compiled_in_parts_of_about_the_same_size(most: int) -> None:
    """Each kernel in one part, those whose blocks wait for each other apart; no part where little is to compile."""
    module = module_of(cell("LayerNormLSTM(256)", 512), batch=64)
    parts = module.parts(most)
    names = [name for _, part in parts for name in part]
    assert sorted(names) == sorted({launch.name for launch in module.launches.values()})
    waiting = {launch.name for launch in module.launches.values() if launch.waits}
    assert all(set(part) <= waiting if together else not waiting & set(part) for together, part in parts)
    for together in {True, False} & {one for one, _ in parts}:
        sizes = [sum(len(module.known[n]) for n in part) for one, part in parts if one is together]
        assert min(sizes) > 0 and len(sizes) <= max(1, min(most, sum(sizes) // PART))


# --- kernels that are refused --------------------------------------------------------------------------------------


def refuse_text(cupy: Any, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """NVRTC takes no text that has this word."""
    made = cupy.RawModule

    def module(code: str, **told: Any) -> Any:
        return made(code=code + "\n#error planted\n" * (word in code), **told)

    monkeypatch.setattr(cupy, "RawModule", module)


def refuse_loading(cupy: Any, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The driver takes no kernel whose name has this word."""
    function = stand_in.RawModule.get_function

    def refused(module: Any, name: str) -> Any:
        if word in name:
            raise cupy.cuda.driver.CUDADriverError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image")
        return function(module, name)

    monkeypatch.setattr(stand_in.RawModule, "get_function", refused)


def refuse_room(cupy: Any, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The device has no room for blocks that wait for each other."""
    monkeypatch.setattr(cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor", lambda *told: 0)


STEP_BY_STEP = "this loop is not one kernel, and goes step by step.*unroll GRU.*"
OP_BY_OP = "there is no kernel for this, and all goes op by op with those of CuPy.*"
REFUSALS = [
    (refuse_text, "loop0(", f"{STEP_BY_STEP}NVRTC does not compile it: kernel.cu.* error: .*planted"),
    (refuse_loading, "loop0", f"{STEP_BY_STEP}the driver does not load it: CUDA_ERROR_NO_BINARY_FOR_GPU"),
    (refuse_room, "", f"{STEP_BY_STEP}its 3 blocks of 256 threads are too many at once"),
    (refuse_text, "group0(", f"{OP_BY_OP}NVRTC does not compile it"),
    (refuse_text, "", f"{OP_BY_OP}NVRTC does not compile it"),
]


@emulated
@pytest.mark.parametrize(("refuse", "word", "message"), REFUSALS)
def test_a_kernel_that_is_refused(
    refuse: Any, word: str, message: str, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop then goes step by step, with the same bits, or all goes op by op; one warning says why."""
    model = cell("GRU(6)", 6)
    data, weights = synthetic(model, 4, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(backend=InParts(3), gradient=True), data, weights, None)
    refuse(small, monkeypatch, word)
    for unroll, steps in (("dynamic", None), ("static", 4)):
        program = model.compile(unroll, steps, InParts(3), gradient=True)
        with pytest.warns(Warned, match=f"(?s){message}"):
            found = everything(program, data, weights, None)
        apart = list(differences(right, found))
        assert max(d.max_abs for d in apart) < 1e-12
        assert all(d.equal for d in apart) or message.startswith(OP_BY_OP)


@emulated
def test_a_kernel_that_takes_near_memory_by_itself_asks_for_what_it_is_given(small: Any) -> None:
    """It has 48 KiB without asking, and tiles of sums are among them: matrices take 33 to 48 KiB here."""
    model = parse(SHARED_OUT.replace("[4]", "[68]").replace("[8, 4]", "[136, 68]"))
    data, weights = synthetic(model, 2, 2, 0), model.init(0, "float32")
    with small.record() as launches:
        model.compile(backend=InParts(1), gradient=True, dtype="float32").gradients(data, weights)
    (loop,) = [launch for launch in launches if launch.name == "loop1"]
    assert " sums<" in loop.module.text and 32 << 10 < loop.shared <= 48 << 10


@emulated
def test_a_loop_in_a_loop_that_is_refused(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner one can still be one kernel."""
    model = parsed("loop in a step")
    data, weights = synthetic(model, 5, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    refuse_text(cupy, monkeypatch, "loop0(")
    with pytest.warns(Warned, match="not one kernel"):
        found = everything(model.compile(backend="cupy", gradient=True), data, weights, None)
    assert max(d.max_abs for d in differences(right, found)) < 1e-9


@emulated
def test_the_command_goes_on_after_a_refusal(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training too, where no kernel at all is taken: NumPy updates the weights then."""
    (tmp_path / "m.rnn").write_text(
        "model M {\n  input x: seq[3]\n  y = unroll GRU(3) over x\n  output y\n  loss mean(y * y)\n"
        "  train { optimizer adam(rate = 0.02)  epochs 2  batch 2  clip_norm 1 }\n}\n"
    )
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(4, 5, 3)))
    given = [str(tmp_path / "m.rnn"), "--data", str(tmp_path / "d.npz"), "--seed", "0"]
    train = ["train", *given, "--json", "--out"]
    assert exit_code([*train, str(tmp_path / "right.safetensors")]) == 0
    refuse_text(cupy, monkeypatch, "")
    assert exit_code([*train, str(tmp_path / "w.safetensors"), "--backend", "cupy"]) == 0
    said = capsys.readouterr().err
    assert said.count(" planted") == 2
    assert said.count("all goes op by op") == said.count("NumPy updates the weights") == 1
    right, found = (load_weights(str(tmp_path / name)) for name in ("right.safetensors", "w.safetensors"))
    assert max(np.abs(found[name] - right[name]).max() for name in right) < 1e-6


@emulated
def test_in_given_arenas_a_refusal_is_told(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule's parts share their memory, and op by op they need more of it."""
    model = cell("GRU(6)", 6)
    refuse_text(cupy, monkeypatch, "group0(")
    program = model.compile(backend="cupy", gradient=True, keep="every:2")
    with pytest.raises(CannotDo, match="there is no kernel for this: NVRTC does not compile it") as caught:
        program.gradients(synthetic(model, 5, 2, 0), model.init(0))
    assert caught.value.diagnostics[0].help == "use `--kernels cupy`"


# --- how a loop is spread ----------------------------------------------------------------------------------------


def factor(units: int, gates: int = 4) -> Facts:
    return Facts((Factor(0, units, units, gates, True),), 50 * units, 1, units)


@emulated
@pytest.mark.parametrize(("largest", "found"), [(16, 16), (8, 8), (7, 4), (1, 0)])
def test_a_cluster_is_as_large_as_the_device_launches(
    largest: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On cards of one capability different numbers of neighbouring processors are there."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in.cupy(LargestCluster=largest))
    assert GeneratedBackend().target("float32").cluster == found


def test_a_small_network_has_one_block_for_its_rows() -> None:
    shape = loop_shape(factor(32), 16, h100("float32"))
    assert shape is not None
    assert (shape.parts, shape.teams, shape.rows_each) == (1, 16, 1)


@pytest.mark.parametrize(("units", "batch"), [(128, 1), (512, 32), (1024, 64), (4096, 8), (37, 1000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shape_fits_the_device(units: int, batch: int, dtype: str) -> None:
    target = h100(dtype)
    shape = loop_shape(factor(units), batch, target)
    assert shape is not None
    assert shape.blocks <= target.processors
    assert shape.bytes <= target.shared
    assert (shape.teams - 1) * shape.rows_each < batch <= shape.teams * shape.rows_each
    kept = shape.tiles[0].kept is not None
    assert kept or units == 4096 or (units, dtype) == (1024, "float64")


@emulated
@pytest.mark.parametrize(("rows", "copied"), [(3, True), (60, False)])
def test_blocks_compute_for_themselves_what_they_have_room_for(
    rows: int, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the numbers of all rows have no room near, each is one block's, and the loop is one kernel all the same."""
    monkeypatch.setitem(
        sys.modules, "cupy", device := stand_in.cupy(MultiProcessorCount=2, MaxSharedMemoryPerBlockOptin=34 << 10)
    )
    model = cell("LayerNormLSTM(4)", 4)
    data, weights = synthetic(model, 3, rows, 0, padded=True), model.init(0)
    with device.record() as launches:
        found = everything(model.compile(backend=InParts(2), gradient=True), data, weights, None)
    right = everything(model.compile(gradient=True), data, weights, None)
    assert max(d.max_abs for d in differences(right, found)) < 1e-9
    backward = next(launch for launch in launches if launch.name == "loop1")
    text = backward.module.text.partition("void loop1_0(")[2].partition("void loop0_0(")[0]
    assert ("(copies +" in text) == copied


def test_clusters_lie_among_neighbours() -> None:
    """No more of them than have their 16 processors; and none of a number that is no power of two."""
    for parts, at_once in ((2, 64), (4, 32), (8, 16), (16, 8)):
        shape = loop_shape(factor(128), 1024, replace(h100("float32"), parts=parts))
        assert shape is not None
        assert shape.clustered and shape.blocks == parts * at_once
    for parts in (1, 3, 32):
        shape = loop_shape(factor(128), 1024, replace(h100("float32"), parts=parts))
        assert shape is not None
        assert not shape.clustered


@pytest.mark.parametrize(
    ("facts", "batch", "target", "told"),
    [
        (replace(factor(128), near=256, moved=128), 4, h100("float32"), "in 1,024 bytes of each block's shared memory"),
        (replace(factor(128), near=256, moved=128), 4, h100("float64"), "in 2,048 bytes of each block's shared memory"),
        (replace(factor(128), near=256, moved=128), 4, replace(h100("float32"), cluster=0), "device has no clusters"),
        (replace(factor(128), near=60_000, moved=128), 4, h100("float32"), "no room for it in shared memory"),
        (factor(128), 4, h100("float32"), "nothing of it can be in shared memory"),
        (replace(factor(512), near=1024, moved=512), 32, h100("float32"), "far memory: 32 blocks are no cluster"),
        (replace(factor(128), near=8192, moved=8192), 4, h100("float32"), "for so much that is sooner"),
    ],
)
def test_which_way_blocks_hand_over(facts: Facts, batch: int, target: GpuTarget, told: str) -> None:
    shape = loop_shape(facts, batch, target)
    assert shape is not None
    assert told in shape.told(facts, target)
    assert shape.bytes <= target.shared and (shape.handed is not None) == (not shape.why_far)
    assert shape.handed is None or shape.handed + facts.near * shape.rows_each * target.itemsize <= shape.bytes


def test_loops_at_once_with_clusters_of_two_sizes_hand_over_in_far_memory() -> None:
    shapes = shapes_at_once([factor(128), replace(factor(24), alone=True)], [100, 100], 16, h100("float32"))
    assert shapes is None or all(shape.handed is None for shape in shapes if not shape.clustered)


def test_what_is_summed_over_rows_has_one_team() -> None:
    shape = loop_shape(replace(factor(64), alone=True), 32, h100("float32"))
    assert shape is not None
    assert (shape.teams, shape.rows_each) == (1, 32)


def test_the_command_tells_how_loops_are_spread(tmp_path: Any) -> None:
    (tmp_path / "m.rnn").write_text("model M {\n input x: seq[512]\n y = unroll LSTM(512) over x\n output y\n}\n")
    told = CliRunner().invoke(show, [str(tmp_path / "m.rnn"), "--kernels", "--backend", "cupy"])
    text = " ".join(told.output.split())
    assert "loop over time: one kernel" in text
    assert "1 meeting a step" in text
    assert "handed over in" in text
    assert "nothing is left to CuPy" in text


# --- what NVRTC says ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not assembler.available(), reason="NVRTC is not installed")
@pytest.mark.parametrize("arch", assembler.ARCHITECTURES)
def test_registers_suffice(arch: str) -> None:
    """Nothing is spilled: what a thread works on stays in registers."""
    target = replace(h100("float32"), cluster=cluster_of(arch))
    for name, batch in (("LSTM(512)", 32), ("GRU(512)", 32), ("LSTM(128)", 4), ("LayerNormLSTM(256)", 8)):
        module = module_of(cell(name, 512), target=target, batch=batch)
        for _, names in module.parts(1):
            for kernel, used in assembler.assembled(module.text_of(names), arch, OPTIONS).items():
                assert not used.spilled, (name, kernel)
