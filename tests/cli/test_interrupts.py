"""Commands that are interrupted, killed, or get no memory and no disk; the many are run by `tests.support.hardship`."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnngraph.system.interrupts import heard, held
from tests.support.hardship import findings
from tests.support.paths import ROOT
from tests.support.verbs import VERBS, furnish

SEEDS = (0, 1, 2, 3, 5, 6, 7, 9, 19, 43)
"""Each kind of hardship twice, each verb at least once; `compare`, which takes as long as five others, just once."""


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(seed: int) -> None:
    assert findings(seed) == []


# --- signals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_heard_and_told_by_its_code(number: int, code: int) -> None:
    with pytest.raises(KeyboardInterrupt), heard() as asked:
        assert not asked.came
        signal.raise_signal(number)
    assert asked.came and asked.code == code


def test_a_signal_inside_of_a_destructor_is_raised_again() -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), heard():
        Dying()
        time.sleep(5)


def test_a_signal_that_comes_while_something_must_be_whole_is_raised_behind() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), heard():
        with held():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("behind")
    assert done == ["whole"]


def test_a_second_signal_close_behind_is_one_with_the_first() -> None:
    with heard() as asked:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert asked.code == 130
        time.sleep(0.6)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard() as asked, held():
            signal.raise_signal(signal.SIGINT)
        assert not asked.came and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_errors_of_destructors_are_told_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("told")

    with heard():
        hook = sys.unraisablehook
    assert hook is not sys.unraisablehook


def run(arguments: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*filter(None, [more.pop("first", "")]), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **more}
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    command = [sys.executable, "-m", "rnngraph", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **listening)


@pytest.mark.parametrize("module", ["click", "numpy", "lark"])
def test_an_interrupt_while_importing_prints_no_traceback(tmp_path: Path, module: str) -> None:
    """A module of that name stands first, and is interrupted while it is imported."""
    furnish(tmp_path)
    stub = tmp_path / "stubs"
    stub.mkdir()
    (stub / f"{module}.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    done = run(["run", *VERBS["run"]], tmp_path, first=str(stub))
    assert done.returncode == 130 and done.stderr.strip() == "interrupted"


def test_an_interrupt_that_a_library_makes_an_error_of_is_one(tmp_path: Path) -> None:
    furnish(tmp_path)
    stub = tmp_path / "stubs"
    stub.mkdir()
    come = "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\n"
    (stub / "lark.py").write_text(f"{come}except BaseException:\n    raise ImportError('no')\n")
    done = run(["run", *VERBS["run"]], tmp_path, first=str(stub))
    assert done.returncode == 130 and done.stderr.strip() == "interrupted"


# --- memory ------------------------------------------------------------------------------------------------------


def limited(megabytes: int, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    return subprocess.run(
        [sys.executable, "-m", "rnngraph", *arguments],
        cwd=folder,
        env=environment,
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )


def test_what_an_address_space_leaves_is_what_is_free(tmp_path: Path) -> None:
    """A training that does not fit is refused before it begins, with what was asked for and what would fit."""
    import numpy as np

    furnish(tmp_path)
    x = np.zeros((512, 400, 3), "f4")
    np.savez(tmp_path / "d.npz", x=x, size=x.sum(-1))
    arguments = ["train", "small.rnn", "--data", "d.npz", "--set", "units=128", "--batch", "512", "--epochs", "1"]
    done = limited(1200, arguments, tmp_path)
    assert done.returncode == 1 and "[E502]" in done.stderr, done.stderr
    assert "this run takes" in done.stderr and "are free" in done.stderr and "would fit" in done.stderr


def test_weights_that_no_memory_is_left_for_are_told(tmp_path: Path) -> None:
    furnish(tmp_path)
    arguments = ["run", "small.rnn", "--data", "d.npz", "--seed", "0", "--set", "units=4000"]
    done = limited(500, arguments, tmp_path)
    assert done.returncode == 1 and "[E50" in done.stderr and "free" in done.stderr, done.stderr


def test_what_a_container_leaves_is_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnngraph.system import memory

    before = memory.free_bytes()
    for version, names in {
        "2": ("memory.max", "memory.current", "inactive_file"),
        "1": ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    }.items():
        top = tmp_path / version
        (top / "memory").mkdir(parents=True)
        (top / names[0]).write_text("9000\n")
        (top / names[1]).write_text("7000\n")
        (top / names[0]).with_name("memory.stat").write_text(f"anon 1\n{names[2]} 500\n")
        monkeypatch.setattr(memory, "CGROUP", top)
        assert memory.free_bytes() == 2500
    (tmp_path / "2" / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "2")
    assert memory.free_bytes() > before / 2
