"""Loops that are linear in their states, walked in chunks at once on the emulator: the walk's bits, whatever was
guessed; which loops they are; how they are spread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.api import Model, parse
from rnngraph.cli.show import show
from rnngraph.kernels.gpu import chunked_scans
from rnngraph.kernels.gpu.modules import OPTIONS
from rnngraph.kernels.gpu.target import THREADS, h100
from tests.kernels.test_gpu import cell, module_of
from tests.support import stand_in
from tests.support.cuda import assembler
from tests.support.cuda.emulator import AVAILABLE, compiled
from tests.support.in_chunks import WALKED, InChunks, in_chunks, loops
from tests.support.models import parsed

emulated = pytest.mark.skipif(not AVAILABLE, reason="no g++, which compiles kernels for the emulator")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small device: the chunks of a loop are spread over all of its blocks."""
    monkeypatch.setitem(sys.modules, "cupy", module := stand_in.cupy(MultiProcessorCount=2))
    return module


def unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [d.name for d in differences(one, other) if not d.equal]


def looped(states: str, equations: str, units: int = 4) -> Model:
    """A model of one cell."""
    return parse(f"""
cell C {{
  input x: [{units}]
  {states}
  {equations}
}}
model M {{
  input x: seq[{units}]
  y = unroll C() over x
  output y
  loss mean(y * y)
}}
""")


# --- numbers and bits --------------------------------------------------------------------------------------------

CELLS = {
    "two pairs": (
        "state s: [4] = 0.1\n  state r: [4] = 0.3\n  state p: [4] = 0.1\n  state q: [4] = 0.3",
        "s' = sigmoid(x) * s - 0.5 * r + x\n  r' = r * 0.9 + (s - r) * sigmoid(x)\n"
        "  p' = q\n  q' = -0.5 * p + x\n  output tanh(s') * r' + exp(p') * q",
    ),
    "never forgets": (
        "state s: [4] = 0.1\n  state n: [4] = 0\n  state m: [4] = 0.1",
        "s' = where(x > 1.0, 0.0, s + x)\n  n' = (n - s) / 1.5\n  m' = 0.99999 * m + x\n  output s' * n' + m'",
    ),
}
"""States and equations: some walked again in rounds, some in order."""


@emulated
@pytest.mark.parametrize("name", CELLS)
def test_the_bits_of_the_walk(name: str, gpu: Any) -> None:
    """Forward and backward, ragged, with NaN in the padding; the number of steps is no multiple of a chunk's."""
    model = looped(*CELLS[name])
    data, weights = synthetic(model, 67, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    walked = everything(model.compile(backend=InChunks(WALKED), gradient=True), data, weights, None)
    with gpu.record() as launches:
        found = everything(model.compile(backend=InChunks(2), gradient=True), data, weights, None)
    assert max(d.max_abs for d in differences(right, found)) < 1e-12
    assert not unequal(walked, found)
    assert loops(launches)
    assert all(in_chunks(launch) and launch.shape[0] > 1 for launch in loops(launches))


@emulated
@pytest.mark.parametrize(
    ("name", "chunks"),
    [("LRU(4, 3)", [True, True]), ("SRU(3) >> SRU(5)", [False, False, True, True]), ("IndRNN(4)", [False, True])],
)
def test_products_and_sums_beside_a_recurrence_leave_its_loop(name: str, chunks: list[bool], gpu: Any) -> None:
    """Forward, where outputs are products of states, and backward, where a vector's gradient is a sum over rows."""
    model = cell(name, 4)
    data, weights = synthetic(model, 37, 3, 0, padded=True), model.init(0)
    right = everything(model.compile(gradient=True), data, weights, None)
    walked = everything(model.compile(backend=InChunks(WALKED), gradient=True), data, weights, None)
    program = model.compile(backend=InChunks(2), gradient=True)
    found = everything(program, data, weights, None)
    with gpu.record() as launches:
        program.gradients(data, weights)
    assert max(d.max_abs for d in differences(right, found)) < 1e-12
    assert not unequal(walked, found)
    assert [in_chunks(launch) for launch in loops(launches)] == chunks


@emulated
@pytest.mark.usefixtures("gpu")
def test_modes_and_schedules() -> None:
    """A schedule walks pieces of the loop, each in chunks of its own, some again; a run goes on from given states."""
    model = parsed("min gru")
    data, weights = synthetic(model, 44, 3, 0, padded=True), model.init(0)
    walked = everything(model.compile(backend=InChunks(WALKED), gradient=True), data, weights, None)
    for options in ({}, {"unroll": "static", "steps": 44}, {"unroll": "dynamic", "steps": 3}, {"keep": "every:22"}):
        program = model.compile(backend=InChunks(1), gradient=True, **options)  # type: ignore[arg-type]
        assert not unequal(walked, everything(program, data, weights, None)), options
    program, x = model.compile(backend=InChunks(1), states=True), synthetic(model, 44, 3, 0)["x"]
    whole, first = program.run({"x": x}, weights), program.run({"x": x[:, :19]}, weights)
    states = {name: array for name, array in first.items() if name.startswith("final")}
    last = program.run({"x": x[:, 19:], **states}, weights)
    assert not unequal(whole, {**last, "loss": whole["loss"], "y": np.concatenate([first["y"], last["y"]], axis=1)})


@emulated
def test_ragged_rows_without_gradients(gpu: Any) -> None:
    """The loop does not look whether it is over for every row."""
    model = parsed("min gru")
    data, weights = synthetic(model, 40, 3, 0, padded=True), model.init(0)
    with gpu.record() as launches:
        found = model.compile(backend=InChunks(2)).run(data, weights)
    assert [in_chunks(launch) for launch in loops(launches)] == [True]
    assert max(d.max_abs for d in differences(model.compile().run(data, weights), found)) < 1e-12


@emulated
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("steps", "chunk"), [(0, 2), (1, 2), (33, 2), (683, 40)])
def test_odd_numbers_of_steps_in_float32(steps: int, chunk: int) -> None:
    """Some at once, as many again, and a few that are left."""
    model = cell("MinGRU(7)", 7)
    data, weights = {"x": np.random.default_rng(0).normal(size=(2, steps, 7)).astype("float32")}, model.init(0)
    walked, found = (
        everything(model.compile(backend=InChunks(n), dtype="float32", gradient=True), data, weights, None)
        for n in (WALKED, chunk)
    )
    assert not unequal(walked, found)


@emulated
@pytest.mark.usefixtures("gpu")
def test_a_guess_that_overflows_harms_nothing() -> None:
    """Factors of 1e60 leave a state of 0 as it is, though a chunk's slope is infinite; behind the step at which it
    becomes 1 it is infinite in the walk as well."""
    model = looped("state s: [4] = 0", "s' = 1e60 * s + where(x > 0.5, 1.0, 0.0)\n  output s'")
    x = np.zeros((1, 400, 4))
    x[0, 390, 0] = 1
    found = model.compile(backend=InChunks(20)).run({"x": x}, model.init(0))["y"][0]
    assert not found[:, 1:].any()
    assert not found[:390, 0].any()
    assert [*found[390:397, 0]] == [1, 1e60, 1e60**2, 1e60**2 * 1e60, 1e60**2 * 1e60 * 1e60, *found[395:396, 0], np.inf]


@emulated
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "wrong", [lambda text: "", lambda text: text.replace("c = last ? 0 :", "c = last ? chunks :")],
    ids=["guesses alone", "nothing in order"],
)  # fmt: skip
def test_a_chunk_that_is_not_walked_again_is_found(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests before can fail; and guesses are near."""
    model = looped(*CELLS["never forgets"])
    data, weights = synthetic(model, 67, 3, 0), model.init(0)
    walked = model.compile(backend=InChunks(WALKED)).run(data, weights)
    again = chunked_scans.Kernel.walking_again
    monkeypatch.setattr(chunked_scans.Kernel, "walking_again", lambda self: wrong(again(self)))
    guessed = model.compile(backend=InChunks(2)).run(data, weights)
    assert 0 < max(d.max_abs for d in differences(walked, guessed)) < 1e-12


# --- threads -----------------------------------------------------------------------------------------------------


@emulated
def test_no_two_threads_are_in_each_others_way(gpu: Any) -> None:
    """And each of the meetings is needed."""
    model = cell("MinGRU(20)", 20)
    data, weights = synthetic(model, 34, 1, 0), model.init(0)
    with gpu.record() as launches:
        model.compile(backend=InChunks(2)).run(data, weights)
    (loop,) = loops(launches)
    assert not loop.sanitized("thread")
    before, *parts = loop.module.text.split("meet(team);\n")
    assert len(parts) == 3
    for left_out in range(3):
        meets = ["__syncthreads();\n" if n == left_out else "meet(team);\n" for n in range(3)]
        text = before + "".join(meet + part for meet, part in zip(meets, parts, strict=True))
        assert "race" in replace(loop, module=compiled(text, OPTIONS)).sanitized("thread")


# --- which loops, and how they are spread ------------------------------------------------------------------------


def test_a_long_sequence_of_one_row_fills_the_device() -> None:
    target = h100("float32")
    scan = chunked_scans.scan_shape(512, 100_000, target)
    assert scan is not None
    assert scan.blocks <= chunked_scans.RESIDENT * target.processors
    assert scan.chunks * 512 > 0.95 * chunked_scans.RESIDENT * target.processors * THREADS
    assert (scan.chunks - 1) * scan.steps < 100_000 <= scan.chunks * scan.steps


@pytest.mark.parametrize(("entries", "steps"), [(512, 1_000), (16_384, 100_000), (0, 100_000), (512, 0)])
def test_few_steps_and_many_rows_are_walked(entries: int, steps: int) -> None:
    assert chunked_scans.scan_shape(entries, steps, h100("float32")) is None


@emulated
def test_as_many_launches_however_many_steps_there_are(gpu: Any) -> None:
    model = cell("MinGRU(5)", 5)
    counts = []
    for steps in (32, 50):
        data, weights, program = synthetic(model, steps, 2, 0), model.init(0), model.compile(backend=InChunks(2))
        program.run(data, weights)
        gpu.launches.clear()
        program.run(data, weights)
        counts.append(dict(gpu.launches))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("MinGRU(512)", "67,072 threads, each of an entry of a row in one of 131 chunks of 768 steps"),
        ("IndRNN(512)", "512 threads, each of an entry of a row; `relu` of a state is not linear"),
    ],
)
def test_the_command_tells_which_loops(cell: str, told: str, tmp_path: Any) -> None:
    (tmp_path / "m.rnn").write_text(f"model M {{\n input x: seq[512]\n y = unroll {cell} over x\n output y\n}}\n")
    options = ["--kernels", "--backend", "cupy", "--batch", "1", "--steps", "100000"]
    assert told in " ".join(CliRunner().invoke(show, [str(tmp_path / "m.rnn"), *options]).output.split())


@pytest.mark.skipif(not assembler.available(), reason="NVRTC is not installed")
@pytest.mark.parametrize("arch", assembler.ARCHITECTURES)
def test_registers_suffice(arch: str) -> None:
    module = module_of(cell("MinGRU(512)", 512), batch=1, steps=100_000)
    used = assembler.assembled(module.text_of(dict(module.parts(1))[True]), arch, OPTIONS)
    assert len(used) == 2
    assert not any(one.spilled for one in used.values())
