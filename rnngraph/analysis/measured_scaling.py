"""The time of a training step over several processes: measured where this machine has a core for each, else predicted
from that of one (`predicted_scaling`)."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct, to_builtins

from rnngraph.analysis.predicted_scaling import Link, predicted
from rnngraph.analysis.synthetic_data import Steps, synthetic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.distributed.launch_detection import connected, launched
from rnngraph.distributed.processes import Processes, own
from rnngraph.distributed.spawn import mpiexec, started
from rnngraph.ir.types import BATCH
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.system.cores import cores_given

FIRST = 2
"""Steps that are not counted: arrays are made, and shapes told."""
WORKER = """
import json, sys, rnngraph
from rnngraph.analysis.measured_scaling import worker
worker(rnngraph.load, **json.loads(sys.argv[1]))
"""


class Over(Struct, frozen=True):
    """The seconds of a step over so many processes of one thread each."""

    processes: int
    seconds: float
    measured: bool


class OverProcesses(Struct, frozen=True):
    """Steps over several numbers of processes; `link` is what those that were not measured were predicted with."""

    batch: int
    steps: int
    link: Link
    took: tuple[Over, ...]

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(self)
        return told


def refuse_unshared(model: Model, batch: int, counts: Sequence[int]) -> None:
    """UserError where the model has no loss, or a process would have no rows."""
    if "loss" not in model.graph.outputs:
        raise UserError("several processes share a training step, and the model has no loss", "E611", "add a `loss`")
    if max(counts) > batch:
        raise UserError(f"{batch} rows are not for {max(counts)} processes", "E732", "a process has one row at least")


def over_processes(
    model: Model,
    read: tuple[str, str | None, Mapping[str, Any]],
    options: RunOptions,
    steps: Steps,
    batch: int,
    repeats: int,
    counts: Sequence[int],
    link: Link,
    tell: Callable[[str], None] = lambda text: None,
) -> OverProcesses:
    """Steps of one batch over these numbers of processes, and over one. `read` is the file, the name and the settings
    that the model was read with, for the processes that read it again.

    CannotDo where a process fails.
    """
    file, name, settings = read
    task: dict[str, Any] = {"file": file, "name": name, "settings": settings, "options": to_builtins(options)}
    task |= {"steps": steps, "batch": batch, "repeats": repeats}
    able = cores_given() if mpiexec() else 1
    found: list[Over] = []
    for count in sorted({1, *counts}):
        tell(f"{count} processes")
        if count <= able:
            found.append(Over(count, _measured(count, task), True))
        else:
            seconds = predicted(model, options.dtype, batch, count, None, found[0].seconds, link).seconds
            found.append(Over(count, seconds, False))
    longest = steps if isinstance(steps, int) else max(steps.values())
    return OverProcesses(batch, longest, link, tuple(found))


def _measured(count: int, task: Mapping[str, Any]) -> float:
    """The median time of a step of processes that are started for it."""
    done = started(count, WORKER, json.dumps(task), RNNGRAPH_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        why = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        told = f"a step over processes ({count}) could not be measured: {why}"
        raise CannotDo(told, "E738", "`rnngraph doctor` looks at MPI")
    return float(lines[-1])


# --- in each of the processes ----------------------------------------------------------------------------------------


def worker(load: Callable[..., Model], file: str, name: str | None, settings: Mapping[str, Any], **task: Any) -> None:
    """One of the processes; the first one prints the seconds of a step."""
    processes = connected(launched())
    seconds = processes.agreed(lambda: _timed(processes, load(file, name, **settings), **task))
    if processes.rank == 0:
        print(seconds)
    sys.stdout.flush()
    processes.close()


def _timed(
    processes: Processes, model: Model, options: Mapping[str, Any], steps: Steps, batch: int, repeats: int
) -> float:
    """The median time of the gradients of our rows and of their exchange."""
    chosen, mine = RunOptions(**options), own(batch, processes.size, processes.rank)
    whole = synthetic(model, steps, batch, 0)
    shared = {i.name for i in model.inputs if BATCH in i.type.axes}
    rows = {name: array[mine.start : mine.stop] if name in shared else array for name, array in whole.items()}
    weights = model.init(0, chosen.dtype)
    trained = {w.name for w in model.weights if not w.frozen}
    program, fold = chosen.training_step(model, steps), processes.fold(processes.size)
    program.made_up = True
    moments = []

    def ready(made: Mapping[str, Any]) -> None:
        fold.put_some(processes.rank, {n: g for n, g in made.items() if n in trained})

    for _ in range(FIRST + repeats + 1):
        moments.append(time.perf_counter())
        fold.begin()
        loss, gradients = program.lent_gradients(rows, weights, ready if fold.travels else None)
        fold.put(processes.rank, {n: g for n, g in gradients.items() if n in trained}, len(mine))
        fold.mean(np.array([[1.0, len(mine), loss]]))
    return statistics.median(after - before for before, after in list(pairwise(moments))[FIRST:])
