"""Trainings whose bits must not depend on the number of processes, and what goes wrong on one of them.

`mpiexec -n 3 python -m tests.distributed.cases FOLDER` writes what each rank found as FOLDER/RANK.json.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.distributed import all_reduce
from rnngraph.training.optimisers import OPTIMISERS
from tests.support import stand_in
from tests.support.cuda import emulator

MODEL = """\
model M {
  input x: seq[2]
  input y: seq[1]
  h, final = unroll LSTM(3) over x
  guess = Dense(1)(Dropout(0.3)(h))
  output guess, final
  loss squared_error(guess, y)
  metric max(guess) as largest
}
"""
LOOKUP = """\
model Words {
  input word: seq int
  input next: seq int
  h, final = unroll GRU(4) over Embedding(7, 3)(word)
  loss cross_entropy(Dense(7)(h), next)
  output final
}
"""
SHARDS = 4
SMALL = {"BUCKET": 40, "PART": 12}
"""Entries of a bucket, so that the gradients of these models travel as several."""
RNG = np.random.default_rng(0)
DATA = {"x": RNG.normal(size=(22, 6, 2)), "y": RNG.normal(size=(22, 6, 1))}
RAGGED = {**DATA, "x.lengths": RNG.integers(0, 7, 22)}
SHORT = {**DATA, "x.lengths": np.where(np.arange(22) % 5, 2, 6)}
WORDS = {"word": RNG.integers(0, 7, (22, 6)), "next": RNG.integers(0, 7, (22, 6))}
KERNELS = {"kernels": "numpy"}
RECIPE = {"batch": 9, "epochs": 2, "shards": SHARDS, "seed": 5}

Case = tuple[str, Mapping[str, Any], dict[str, Any]]
CASES: dict[str, Case] = {
    **{name: (MODEL, DATA, {"optimizer": name}) for name in OPTIMISERS},
    "ragged": (MODEL, RAGGED, {"clip_norm": 0.1}),
    "similar lengths": (MODEL, RAGGED, {"similar_lengths": True}),
    "accumulation": (MODEL, RAGGED, {"accumulate": 2, "decay": 0.1}),
    "segments": (MODEL, SHORT, {"segment": 2}),
    "segments of one update": (MODEL, SHORT, {"segment": 2, "accumulate": 2}),
    "held back": (MODEL, RAGGED, {"validation": 0.3, "patience": 1, "rate_schedule": "plateau", "warmup": 3}),
    "one row for each shard": (MODEL, DATA, {"batch": SHARDS}),
    "steady": (MODEL.replace("Dropout(0.3)(h)", "h"), RAGGED, {"accumulate": 2}),
    "lookup": (LOOKUP, WORDS, {"rate": 0.1}),
}


FEW = ("adam", "ragged", "segments of one update", "held back")
RESUMED = FEW[1:3]
"""Of these a run is stopped behind some updates, and goes on with another number of processes."""


@cache
def model_of(text: str) -> Any:
    return rg.parse(text)


def fitted(name: str, comm: Any = None, **more: Any) -> Any:
    text, data, recipe = CASES[name]
    model = model_of(text)
    return model.fit(data, options=KERNELS, comm=comm, **{**RECIPE, **recipe, **more})


def told(found: Any) -> list[Any]:
    """The bits of all weights, and the history."""
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in found.weights.values()))
    return [digest.hexdigest(), [dict(record) for record in found.history]]


# --- what goes wrong on one rank -------------------------------------------------------------------------------------


def interrupted(at: int) -> Callable[[Any], None]:
    """Progress that stops the training behind so many updates; only the first rank is told any."""
    seen = []

    def progress(now: Any) -> None:
        seen.append(now)
        if len(seen) == at:
            raise KeyboardInterrupt

    return progress


def with_nan(array: Any, row: int = 20) -> Any:
    return np.where(np.arange(len(array))[:, None, None] == row, np.nan, array)


def data_of(rank: int, **changes: Any) -> dict[str, Any]:
    return {**DATA, **changes} if rank == 1 else dict(DATA)


def _fit(comm: Any, data: Mapping[str, Any] = DATA, text: str = MODEL, **recipe: Any) -> Any:
    return model_of(text).fit(data, options=KERNELS, comm=comm, **{**RECIPE, **recipe})


def _broken_progress(now: Any) -> None:
    raise RuntimeError("the user's own")


def _full_disk(comm: Any, folder: Path) -> Any:
    """No room on the first rank from the second epoch on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def progress(now: Any) -> None:
        if now.record:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    try:
        return _fit(comm, checkpoint=folder / "full.checkpoint", progress=progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _interrupted_here(comm: Any, folder: Path) -> Any:
    """Ctrl-C that only the second rank gets, while it computes."""
    import signal
    import threading

    if comm.rank == 1:
        threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
    return _fit(comm, epochs=100_000, checkpoint=folder / "interrupted.checkpoint")


HUGE = np.where(np.arange(22)[:, None, None] == 3, 1e30, DATA["y"])
FAULTS: dict[str, Callable[[Any, Path], Any]] = {
    "nan": lambda comm, folder: _fit(comm, {**DATA, "y": HUGE}, batch=22),
    "nan later": lambda comm, folder: _fit(comm, {**DATA, "y": HUGE}, batch=6),
    "checked": lambda comm, folder: _fit(comm, {**DATA, "x": with_nan(DATA["x"])}),
    "rows": lambda comm, folder: _fit(comm, {n: a[: 20 + 2 * (comm.rank != 1)] for n, a in DATA.items()}),
    "numbers": lambda comm, folder: _fit(comm, data_of(comm.rank, x=DATA["x"] + 1)),
    "model": lambda comm, folder: _fit(comm, text=MODEL.replace("LSTM(3)", f"LSTM({3 + comm.rank // 2})")),
    "recipe": lambda comm, folder: _fit(comm, rate=0.1 if comm.rank == 1 else 0.2),
    "missing": lambda comm, folder: _fit(comm, DATA if comm.rank != 1 else {"x": DATA["x"]}),
    "few shards": lambda comm, folder: _fit(comm, shards=2),
    "small batch": lambda comm, folder: _fit(comm, batch=3),
    "progress": lambda comm, folder: _fit(comm, progress=_broken_progress),
    "full disk": _full_disk,
    "no checkpoint": lambda comm, folder: _fit(comm, resume=folder / "none.checkpoint"),
    "interrupted": _interrupted_here,
}


def outcome(work: Callable[[], Any]) -> list[Any]:
    """How it ended: the name of the error, its exit code, and what it says."""
    try:
        return ["", 0, told(work())[0]]
    except UserError as error:
        return [type(error).__name__, error.exit_code, [d.message for d in error.diagnostics]]
    except BaseException as error:
        return [type(error).__name__, 1, [str(error)]]


def on_gpus(comm: Any = None) -> list[Any]:
    """What a training on GPUs finds, and which GPU this process has: of a stand-in whose kernels an emulator runs."""
    sys.modules["cupy"] = cupy = stand_in.cupy()
    try:
        options = {"backend": "cupy", "dtype": "float64"}
        found = told(model_of(LOOKUP).fit(WORDS, options=options, comm=comm, clip_norm=0.5, **RECIPE))
        return [*found, cupy.cuda.Device().id]
    finally:
        del sys.modules["cupy"]


def main(folder: Path) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    for setting, entries in SMALL.items():
        setattr(all_reduce, setting, entries)
    found: dict[str, Any] = {"bits": {}, "resumed": {}}
    for name in CASES if comm.size == 2 else FEW:
        found["bits"][name] = told(fitted(name, comm))
    for name in RESUMED if comm.size < 4 else ():
        found["resumed"][name] = told(resumed(name, comm, folder / f"{name}.checkpoint"))
    if comm.size < 4:
        found["sent"] = {shards: sent(comm, shards) for shards in (comm.size, SHARDS)}
    if comm.size == 2 and emulator.AVAILABLE:
        found["on GPUs"] = on_gpus(comm)
    if comm.size < 4:
        found["swept"] = swept(comm)
    if comm.size == 3:
        found["faults"] = {name: outcome(lambda fault=fault: fault(comm, folder)) for name, fault in FAULTS.items()}
    (folder / f"{comm.rank}.json").write_text(json.dumps(found))


def resumed(name: str, comm: Any, path: Path) -> Any:
    """Begun by all but the last rank, and stopped; gone on with by all."""
    fewer = comm.Split(int(comm.rank == comm.size - 1))
    if comm.rank < comm.size - 1:
        outcome(lambda: fitted(name, fewer, checkpoint=path, progress=interrupted(4)))
    comm.barrier()
    return fitted(name, comm, resume=path, shards=None)


def swept(comm: Any = None) -> list[Any]:
    """Of five runs one is known to the first process alone, and one fails; and how often the first one is told."""
    told: list[int] = []
    known = {("0.2", "0"): {"loss": 9.0}} if comm is None or comm.rank == 0 else {}
    found = model_of(MODEL).sweep(
        DATA, {"rate": [0.1, 0.2, 1e30, 0.3, 0.4]}, options=KERNELS, comm=comm, known=known,
        progress=lambda records: told.append(len(records)), optimizer="sgd", epochs=2,
    )  # fmt: skip
    return [[dict(record) for record in found.records], told]


def sent(comm: Any, shards: int) -> int:
    """The bytes that this rank sends in an update: what a run of four sends more than one of two."""
    from rnngraph.distributed.mpi import of
    from rnngraph.training.train import train

    counts = []
    for batch in (11, 6):
        processes = of(comm)
        recipe = {**RECIPE, "epochs": 1, "batch": batch, "shards": shards}
        train(model_of(MODEL), DATA, None, recipe, options=model_of(MODEL).options(**KERNELS), processes=processes)
        counts.append(processes.sent)
    return (counts[1] - counts[0]) // 2  # updates: 22 rows are 4 batches of 6, and 2 of 11


if __name__ == "__main__":
    main(Path(sys.argv[1]))
