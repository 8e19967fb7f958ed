"""Trainings over processes of which some are stopped at a random moment.

`python -m tests.support.ranks FIRST LAST [KIND]` tries a range of seeds. Whatever comes: all processes end within
seconds, at most one message of ours is said, and the checkpoint is whole and goes on, with one process, to the bits of
a run that was never stopped.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import rnngraph as rg
from rnngraph.distributed.spawn import mpiexec
from rnngraph.files.safetensors import read_tensors
from tests.support.cores import on_all
from tests.support.paths import ROOT
from tests.support.running import same_bits
from tests.support.seeds import main
from tests.support.verbs import MODEL

KINDS = ("kill", "interrupt one", "interrupt all", "end all")
SECONDS = 15.0
"""In which all processes have to end."""
RECIPE = {"epochs": 60, "validation": 0.2, "shards": 3}


def together(size: int, *command: str, folder: Path) -> subprocess.Popen[str]:
    """So many processes of a Python command, in a folder; on all cores, for who waits for another is not idle."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    whole = [str(mpiexec()), "-n", str(size), sys.executable, *command]
    with on_all():
        return subprocess.Popen(whole, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


def furnished(folder: Path) -> dict[str, Any]:
    (folder / "small.rnn").write_text(MODEL)
    x = np.random.default_rng(1).normal(size=(20, 6, 3))
    np.savez(folder / "d.npz", x=x, size=x.sum(-1))
    return {"x": x, "size": x.sum(-1)}


TRAIN = [
    *("-m", "rnngraph", "train", "small.rnn", "--data", "d.npz", "--kernels", "numpy"),
    *("--checkpoint", "c.checkpoint", "--out", "o.safetensors"),
    *(word for name, value in RECIPE.items() for word in (f"--{name}", str(value))),
]


@cache
def undisturbed() -> tuple[Any, float]:
    """The weights of one process, and the seconds that two take for all."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        furnished(folder)
        began = time.monotonic()
        process = together(2, *TRAIN, folder=folder)
        said = process.communicate()[1]
        assert process.returncode == 0, said
        return rg.load_weights(folder / "o.safetensors"), time.monotonic() - began


def findings(seed: int, kind: str = "") -> list[str]:
    """What is wrong after the processes of a seed were stopped; nothing where all is well."""
    chance = random.Random(seed)
    kind, size = kind or KINDS[seed % len(KINDS)], chance.choice((2, 3))
    whole, seconds = undisturbed()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = furnished(folder)
        process = together(size, *TRAIN, folder=folder)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.2, 1.0) * seconds)
        ranks = _ranks(process)
        _stop(kind, process, ranks, chance)
        try:
            said = process.communicate(timeout=SECONDS)[1]
        except subprocess.TimeoutExpired:
            _end(process, ranks)
            return [f"{kind}: {size} processes did not end"]
        wrong = [f"{word}: {said[-800:]}" for word in ("Traceback", "E999", "E735") if word in said]
        wrong += [f"{said.count('error:')} messages: {said[-800:]}"] if said.count("error:") > 1 else []
        wrong += ["a process is left"] if any(rank.is_running() for rank in ranks) else []
        wrong += ["ended well"] if not (folder / "o.safetensors").exists() and process.returncode == 0 else []
        return [f"{kind} of {size}: {text}" for text in [*wrong, *_gone_on(folder, data, whole)]]


def _ranks(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train, without those of the launcher."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "python" in child.name()]
    return []


def _stop(kind: str, process: subprocess.Popen[str], ranks: list[psutil.Process], chance: random.Random) -> None:
    with suppress(psutil.NoSuchProcess):
        if kind in ("kill", "interrupt one") and ranks:
            chance.choice(ranks).send_signal(signal.SIGKILL if kind == "kill" else signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM if kind == "end all" else signal.SIGINT)


def _end(process: subprocess.Popen[str], ranks: list[psutil.Process]) -> None:
    for one in ranks:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.kill()
    process.communicate()


def _gone_on(folder: Path, data: dict[str, Any], whole: Any) -> list[str]:
    path = folder / "c.checkpoint"
    if not path.exists():
        return []
    read_tensors(path, checked=lambda texts: True)
    model = rg.load(folder / "small.rnn")
    found = model.fit(data, resume=path, options={"kernels": "numpy"}, **RECIPE)
    return [] if same_bits(found.weights, whole) else ["goes on to other bits"]


if __name__ == "__main__":
    sys.exit(main("trainings", findings))
