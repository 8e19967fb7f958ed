"""Several processes give the bits of one, tell together what goes wrong on one, and send what was predicted."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis import measured_scaling
from rnngraph.analysis.cost import trained_values
from rnngraph.analysis.predicted_scaling import Link, Made, gradients_by_time, hidden, predicted
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.distributed import all_reduce
from rnngraph.distributed.communication_volume import Volume
from rnngraph.distributed.failures import Failure, Stopped
from rnngraph.distributed.launch_detection import Launched, launched
from rnngraph.distributed.mpi import MpiProcesses
from rnngraph.distributed.processes import ALONE, FoldAlone, Processes, own, owner
from rnngraph.distributed.spawn import mpiexec
from rnngraph.run_options import RunOptions
from rnngraph.system.interrupts import heard
from rnngraph.training.train import train
from tests.distributed.cases import (
    CASES,
    FAULTS,
    FEW,
    LOOKUP,
    MODEL,
    RECIPE,
    RESUMED,
    SHARDS,
    SMALL,
    WORDS,
    fitted,
    on_gpus,
    swept,
    told,
)
from tests.support.cuda import emulator
from tests.support.paths import ROOT
from tests.support.ranks import TRAIN, findings, furnished, together

MPI = importlib.util.find_spec("mpi4py") is not None and mpiexec() is not None
PARTS = ("rank", "size", "agreed", "gathered", "of_first", "free", "close")
needs_mpi = pytest.mark.skipif(not MPI, reason="no mpi4py with an mpiexec")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[dict[str, Any]]]:
    """What each rank of so many found."""

    @cache
    def run(size: int) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp(f"ranks{size}")
        process = together(size, "-m", "tests.distributed.cases", str(folder), folder=ROOT)
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said[-3000:]
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]

    return run


@cache
def alone(name: str) -> list[Any]:
    return told(fitted(name))


# --- bits --------------------------------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize(("size", "names"), [(2, tuple(CASES)), (3, FEW), (4, FEW)])
def test_any_number_of_processes_has_the_bits_of_one(size: int, names: tuple[str, ...], ran: Any) -> None:
    for rank in ran(size):
        assert {name: rank["bits"][name] for name in names} == {name: alone(name) for name in names}


@needs_mpi
@pytest.mark.skipif(not emulator.AVAILABLE, reason="no g++, which compiles kernels for the emulator")
def test_processes_on_gpus_have_the_bits_of_one(ran: Any) -> None:
    """Each has a GPU of its own."""
    *bits, device = on_gpus()
    assert device == 0
    assert [rank["on GPUs"] for rank in ran(2)] == [[*bits, device] for device in (0, 1)]


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_a_checkpoint_of_some_processes_goes_on_with_others(size: int, ran: Any) -> None:
    """Each begins with two processes of three ranks, and goes on with all of them."""
    for rank in ran(size):
        assert rank["resumed"] == {name: alone(name) for name in RESUMED}


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_a_sweep_gives_the_records_of_one_process(size: int, ran: Any) -> None:
    records, told = swept()
    assert "no longer finite" in records[2]["failed"] and records[1]["loss"] == 9.0 and told == [2, 3, 4, 5]
    assert [rank["swept"] for rank in ran(size)] == [[records, told], *[[records, []]] * (size - 1)]


@pytest.mark.parametrize("name", FEW)
def test_another_number_of_shards_is_another_run(name: str) -> None:
    assert alone(name) != told(fitted(name, shards=1))


def test_shards_have_the_gradient_of_their_batch() -> None:
    """Without dropout the weights are those of one shard, but for rounding; rows count by their steps."""
    for name in ("lookup", "steady"):
        one, cut = fitted(name, shards=1).weights, fitted(name).weights
        assert all(abs(one[n] - cut[n]).max() < 1e-5 for n in one)


def test_every_thing_has_one_owner() -> None:
    for count in range(12):
        for size in range(1, 9):
            parts = [own(count, size, rank) for rank in range(size)]
            assert [thing for part in parts for thing in part] == list(range(count))
            assert all(thing in parts[owner(thing, count, size)] for thing in range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


# --- bytes -------------------------------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_what_is_sent_was_predicted(size: int, ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, entries in SMALL.items():
        monkeypatch.setattr(all_reduce, setting, entries)
    for rank, found in enumerate(ran(size)):
        for shards, counted in found["sent"].items():
            predicted = Volume(trained_values(rg.parse(MODEL)), 4, int(shards), size).sent(rank)
            assert counted == predicted


def test_cost_tells_what_processes_send(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: an LSTM(4) over 3 values has 16 * (3 + 4 + 1) entries, a Dense(1) over 4 has 5. Of two processes each
    sends half of its gradient and half of the mean, 4 bytes an entry; before that a byte and three numbers."""
    assert exit_code(["cost", "small.rnn", "--gradient", "--batch", "8", "--processes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["among"]["sent"] == (16 * 8 + 5) * 4 + 1 + 3 * 8 and found["sizes"]["batch"] == 4
    assert exit_code(["cost", "small.rnn", "--processes", "2"]) == 2
    assert exit_code(["cost", "small.rnn", "--gradient", "--alone", "8"]) == 2
    assert exit_code(["cost", "small.rnn", "--gradient", "--batch", "2", "--processes", "3"]) == 2


def test_cost_tells_when_more_processes_do_not_pay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: two processes each compute 4 of 8 rows, half of 8 ms; each gives the other two messages before the
    gradients, one with them and one with the mean, each a millisecond late; and 557 bytes at 1 Mbit/s are 4.456 ms."""
    step = ["cost", "small.rnn", "--gradient", "--batch", "8", "--processes", "2", "--alone", "8"]
    assert exit_code([*step, "--latency", "1000", "--bandwidth", "0.001", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["scaling"]
    times = {took["processes"]: took["seconds"] for took in found["took"]}
    assert list(times) == [1, 2, 4, 8] and found["best"] == 1
    assert times[1] == 0.008 and times[2] == pytest.approx(0.004 + 0.004 + 0.004456)
    assert exit_code([*step, "--latency", "0", "--bandwidth", "1000"]) == 0
    assert "8 processes are the fastest; more would have no rows" in capsys.readouterr().out


def test_what_is_sent_while_a_process_computes_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: of two buckets one is there at 5 of 10 seconds, and away a second later; the other leaves at 10. Where
    each process has two shards, those of the first are away before the second is computed: 5 seconds each, so that
    buckets leave at 2.5, 5, 7.5 and 10."""
    for setting, entries in {"BUCKET": 10, "PART": 1}.items():
        monkeypatch.setattr(all_reduce, setting, entries)
    made, link = [Made(4, 0.8), Made(6, 0.5), Made(10, 0.0)], Link(latency=1.0, bandwidth=1e30)
    assert hidden(Volume(20, 4, 2, 2), 10.0, link, made) == pytest.approx(1.0)
    assert hidden(Volume(20, 4, 4, 2), 10.0, link, made) == pytest.approx(3.0)


def test_the_gradients_of_the_last_layer_are_there_first() -> None:
    """By hand, in products for each row and step: 28 of the cell and 28 behind it; back 28 for each kernel, 28 from the
    output to the state and 16 from state to state. The last three are made behind the gradient of the output layer."""
    model = rg.parse("model M { input x: seq[3]\n input y: seq[7]\n h, s = unroll RNN(4) over x\n"
                     " loss squared_error(Dense(7)(h), y) }")  # fmt: skip
    program = model.compile(kernels="numpy", **model.training_step)
    made = gradients_by_time(model, program.main, {"batch": 2, "time": 5})
    assert made == [Made(28, 72 / 156), Made(7, 72 / 156), Made(28, 0.0), Made(4, 0.0)]


@needs_mpi
def test_compare_measures_processes_that_have_a_core_and_simulates_others(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_scaling, "cores_given", lambda: 2)
    command = ["compare", "small.rnn", "--steps", "2", "--repeats", "1", "--kernels", "numpy", "--batch", "4"]
    assert exit_code([*command, "--processes", "2,4", "--json"]) == 0
    took = json.loads(capsys.readouterr().out)["over_processes"]["took"]
    assert [(one["processes"], one["measured"]) for one in took] == [(1, True), (2, True), (4, False)]
    model = rg.load("small.rnn")
    assert took[2]["seconds"] == predicted(model, "float32", 4, 4, None, took[0]["seconds"], Link()).seconds
    assert exit_code([*command, "--processes", "5"]) == 2


def test_processes_that_could_not_be_measured_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess((), 1, "", "no room\n")
    monkeypatch.setattr(measured_scaling, "started", lambda *_, **__: failed)
    model = rg.load("small.rnn")
    with pytest.raises(CannotDo, match="could not be measured: no room"):
        measured_scaling.over_processes(model, ("small.rnn", None, {}), RunOptions(), 2, 4, 1, [1], Link())


# --- what travels while something is added up --------------------------------------------------------------------


class Slow:
    """A communicator of two over a line that takes a second for a message, in each direction one behind the other."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self.now, self.free = 0, {"in": 0, "out": 0}

    def arrives(self, direction: str) -> Any:
        at = self.free[direction] = max(self.now, self.free[direction]) + 1

        def wait() -> None:
            self.now = max(self.now, at)

        return SimpleNamespace(Wait=wait)

    def allgather(self, told: Any) -> list[Any]:
        return [told, told]

    def Allgatherv(self, ours: Any, everyone: Any) -> None:
        everyone[0][:] = ours

    def Ialltoallv(self, given: Any, got: Any) -> Any:
        got[0][:] = 0
        return self.arrives("in")

    def Iallgatherv(self, mean: Any, whole: Any) -> Any:
        return self.arrives("out")


def test_a_bucket_comes_in_while_another_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight takes a second to come, to be added up and to go out: 24 in turn, 10 where each begins when the
    line is free. By hand: the first comes until 1, is added up until 2, the last of the others until 9, out at 10."""
    for setting, entries in {"BUCKET": 10, "PART": 1}.items():
        monkeypatch.setattr(all_reduce, setting, entries)
    line = Slow()

    def added(*_: Any) -> None:
        line.now += 1

    monkeypatch.setattr(all_reduce, "mean_with", added)
    exchange = MpiProcesses(line, line).fold(2)
    exchange.begin()
    exchange.put(0, {"w": np.ones(80, "f4")}, 1)
    exchange.mean(np.array([[1.0, 1.0, 0.0]]))
    assert line.now == 10


def test_gradients_travel_while_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight takes a second to come. By hand: four leave at once and are there when 4 seconds are computed, the
    other four 4 seconds later; were none sent before all are made, it would be 12."""
    for setting, entries in {"BUCKET": 10, "PART": 1}.items():
        monkeypatch.setattr(all_reduce, setting, entries)
    line, first = Slow(), {"low": np.ones(40, "f4"), "high": np.ones(40, "f4")}
    exchange = MpiProcesses(line, line).fold(2)
    exchange.put_some(0, {"high": first["high"]})
    exchange.put(0, first, 1)
    exchange.mean(np.array([[1.0, 1.0, 0.0]]))
    line.now, line.free = 0, {"in": 0, "out": 0}
    exchange.begin()
    exchange.put_some(0, {"high": first["high"]})
    line.now += 4
    exchange.put(0, first, 1)
    assert line.free["in"] == 8


class Watching(FoldAlone):
    """The fold of a process alone, which has a use for what is there early."""

    travels = True

    def __init__(self) -> None:
        super().__init__(1)
        self.told: list[tuple[str, ...]] = []

    def put_some(self, shard: int, gradients: Any) -> None:
        self.told.append(tuple(gradients))


@pytest.mark.parametrize("recipe", [{}, {"accumulate": 2}, {"segment": 3}])
def test_training_tells_gradients_when_they_are_made(recipe: dict[str, Any]) -> None:
    """Those of the output layer before the loop is gone back through; with the weights of a run that tells nothing."""
    model, fold = rg.parse(LOOKUP), Watching()
    processes = cast(Processes, SimpleNamespace(**{n: getattr(ALONE, n) for n in PARTS}, fold=lambda shards: fold))
    settings = {**RECIPE, "shards": None, "batch": 22, **recipe}
    quiet, told = (
        train(model, WORDS, None, settings, options=model.options(kernels="numpy"), processes=those)
        for those in (ALONE, processes)
    )
    assert [n for names in fold.told[:2] for n in names] == ["dense.kernel", "dense.bias"] and len(fold.told) > 2
    assert all(np.array_equal(quiet.weights[n], told.weights[n]) for n in quiet.weights)


# --- faults ------------------------------------------------------------------------------------------------------

SAID = {
    "nan": (1, "rank 1: the loss was no longer finite in epoch 1, batch 1"),
    "nan later": (1, "rank 2: the loss was no longer finite in epoch 1, batch 2"),
    "checked": (2, "rank 2: `x` holds nan at row 20, step 0, value 0"),
    "rows": (2, "the shape of the data differs between ranks: `x` (20, 6, 2)"),
    "numbers": (2, "what is in the data differs between ranks"),
    "model": (2, "the model differs between ranks"),
    "recipe": (2, "`optimizer` differs between ranks"),
    "missing": (2, "the shape of the data differs between ranks"),
    "few shards": (2, "there are 2 shards for 3 processes: 1 would do nothing"),
    "small batch": (2, "a batch of 3 rows cannot be cut into 4 shards"),
    "progress": (1, "rank 0: rnngraph itself failed: RuntimeError: the user's own"),
    "full disk": (1, "rank 0: cannot write"),
    "no checkpoint": (1, "rank 0: cannot read"),
    "interrupted": (130, "training was interrupted on rank 1 in epoch"),
}


@needs_mpi
@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_on_one_rank_is_told_by_all(name: str, ran: Any) -> None:
    code, words = SAID[name]
    for rank in ran(3):
        _, found, messages = rank["faults"][name]
        assert found == code and len(messages) == 1 and words in messages[0]


class Failing:
    """A communicator of two, by which this process hears at each question that the other was interrupted."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self.questions = 0

    def Allgather(self, ours: Any, states: Any) -> None:
        self.questions += 1
        states[:] = [ours[0], 1]

    def allgather(self, told: tuple[Failure | None, int]) -> list[tuple[Failure | None, int]]:
        return [told, (Failure((), 130, ""), 0)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_behind_a_failure_that_all_know_asks_nobody_again(number: signal.Signals) -> None:
    """The launcher sends it to all; one may hear of it from another before it comes. Others would have left already."""
    comm = Failing()
    processes = MpiProcesses(comm, comm)

    def work() -> None:
        try:
            processes.agreed(lambda: None)
        finally:
            signal.raise_signal(number)

    with heard(), pytest.raises(Stopped):
        processes.agreed(work)
    assert comm.questions == 1


@needs_mpi
def test_a_process_that_is_killed_ends_all_and_leaves_a_checkpoint_that_goes_on() -> None:
    """Others, and any number, are run by `tests.support.ranks`."""
    assert findings(0, "kill") == []


# --- the command -------------------------------------------------------------------------------------------------


@needs_mpi
def test_the_command_writes_once_the_same_bytes(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    furnished(tmp_path)
    short = [*TRAIN[2:], "--epochs", "2"]
    process = together(2, "-m", "rnngraph", *short, folder=tmp_path)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0 and out.count("wrote o.safetensors") == 1 and said.count("epoch 2/2") == 1
    shared = (tmp_path / "o.safetensors").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert exit_code(short) == 0 and (tmp_path / "o.safetensors").read_bytes() == shared


@needs_mpi
def test_a_wrong_command_is_told_once(tmp_path: Path) -> None:
    furnished(tmp_path)
    process = together(2, "-m", "rnngraph", "train", "small.rnn", "--data", "none.npz", folder=tmp_path)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and said.count("none.npz") == 1


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, Launched(0, 1)),
        ({"PMI_RANK": "1", "PMI_SIZE": "3"}, Launched(1, 3)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, Launched(2, 4)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, Launched(1, 2)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "PMI_RANK": "5", "PMI_SIZE": "8"}, Launched(5, 8)),
    ],
)
def test_a_launcher_is_known_by_its_variables(variables: dict[str, str], found: Launched) -> None:
    assert launched(variables) == found


@pytest.mark.parametrize(
    "variables",
    [
        {"PMI_RANK": "3", "PMI_SIZE": "3"},
        {"PMI_RANK": "0", "PMI_SIZE": "many"},
        {"PMI_RANK": "0", "PMI_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3"},
    ],
)
def test_variables_that_contradict_each_other_are_told(variables: dict[str, str]) -> None:
    with pytest.raises(UserError, match="contradict each other"):
        launched(variables)


@needs_mpi
def test_an_mpi_that_sees_other_processes_than_were_started(tmp_path: Path) -> None:
    """What happens where `mpiexec` is of another MPI than mpi4py: each process would train alone."""
    import os
    import sys

    furnished(tmp_path)
    variables = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3", "PYTHONPATH": str(ROOT)}
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PMI")} | variables
    command = [sys.executable, *TRAIN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "started 3 processes, but the MPI of mpi4py" in done.stderr


def test_what_is_no_communicator_is_told() -> None:
    if not MPI:
        pytest.skip("no mpi4py")
    with pytest.raises(UserError, match="`comm` should be a communicator of mpi4py"):
        fitted("sgd", comm=3)


def test_more_shards_than_rows_of_a_batch() -> None:
    with pytest.raises(UserError, match=f"cannot be cut into {SHARDS} shards"):
        fitted("sgd", batch=2)
