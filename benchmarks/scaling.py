"""Training over the cores of one machine: as threads of one process, as processes over MPI, and as processes of
PyTorch's DistributedDataParallel over gloo.

    python benchmarks/scaling.py [--sizes 64,50,64,128 ...] [--rounds 5] [--processes 2]

A size is batch, steps, inputs, units of an LSTM with an output at each step, float32, Adam. _Strong_: all have the
same batch. _Weak_: one thread has a batch of its own, P of them have P times as many rows. Each contestant is started
anew in each round, in turns; what counts is the median time of its updates behind the first ones, then the median over
rounds. All are told as ratios to one thread of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
UPDATES, FIRST = 30, 6
"""Updates of a round, and those of them that are not counted."""
MODEL = """
model Layer(inputs, units) {
  input x: seq[inputs]
  y, _ = unroll LSTM(units) over x
  output y
  loss mean(y * y)
}
"""


def rows(batch: int, steps: int, inputs: int, seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).normal(size=(batch, steps, inputs)).astype("float32")


def ours(batch: int, steps: int, inputs: int, units: int) -> list[float]:
    import rnngraph as rg

    comm = None
    if int(os.environ.get("PMI_SIZE", "1")) > 1:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    told: list[float] = []
    model = rg.parse(MODEL, inputs=inputs, units=units)
    data = {"x": rows(batch, steps, inputs, 0)}
    model.fit(data, comm=comm, batch=batch, epochs=UPDATES, progress=lambda now: told.append(time.perf_counter()))
    return told


def ddp(batch: int, steps: int, inputs: int, units: int) -> list[float]:
    import torch
    from torch.nn.parallel import DistributedDataParallel

    rank, size = int(os.environ["PMI_RANK"]), int(os.environ["PMI_SIZE"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:29517", rank=rank, world_size=size)
    net = DistributedDataParallel(torch.nn.LSTM(inputs, units, batch_first=True))
    optimiser = torch.optim.Adam(net.parameters())
    x, told = torch.from_numpy(rows(batch // size, steps, inputs, rank)), [time.perf_counter()]
    for _ in range(UPDATES):
        optimiser.zero_grad()
        (net(x)[0] ** 2).mean().backward()
        optimiser.step()
        told.append(time.perf_counter())
    torch.distributed.destroy_process_group()
    return told if rank == 0 else []


WORKERS: dict[str, Callable[..., list[float]]] = {"ours": ours, "ddp": ddp}


def seconds(worker: str, size: tuple[int, ...], processes: int, threads: int) -> float:
    """The median time of an update of processes that are started for it."""
    launcher = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    start = [str(launcher), "-n", str(processes)] if processes > 1 else []
    command = [*start, sys.executable, __file__, "--worker", worker, *map(str, size)]
    environment = {**os.environ, "RNNGRAPH_THREADS": str(threads), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return statistics.median(after - before for before, after in list(pairwise(told))[FIRST:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["64,50,64,128", "128,100,128,256"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    count = asked.processes
    print("| batch, steps, inputs, units | scaling | one thread | threads | processes | DDP over gloo |")
    print("|---|---|---:|---:|---:|---:|")
    for text in asked.sizes:
        batch, *rest = map(int, text.split(","))
        for kind, many in (("strong", batch), ("weak", batch * count)):
            contest = {
                "one": ("ours", (batch, *rest), 1, 1),
                "threads": ("ours", (many, *rest), 1, count),
                "processes": ("ours", (many, *rest), count, 1),
                "ddp": ("ddp", (many, *rest), count, 1),
            }
            times: dict[str, list[float]] = {name: [] for name in contest}
            for _ in range(asked.rounds):
                for name, what in contest.items():
                    times[name].append(seconds(*what))
            median = {name: statistics.median(some) for name, some in times.items()}
            ratios = " | ".join(f"{median[name] / median['one']:.2f}" for name in ("threads", "processes", "ddp"))
            print(f"| {text} | {kind} | {1e3 * median['one']:.1f} ms | {ratios} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        found = WORKERS[sys.argv[2]](*map(int, sys.argv[3:]))
        if found:
            print(json.dumps([moment - found[0] for moment in found]))
    else:
        main()
