"""What a ragged batch costs beside a full one: rows of all lengths from 1 on, half of the longest in the mean.

    python benchmarks/ragged.py [--cells lstm,gru] [--sizes 32,200,128,256 ...] [--rounds 7]

Ours, and beside it PyTorch's own layer where it is installed, given the rows packed (`pack_padded_sequence`), which is
its way to leave out what is past the end. Full and ragged calls of all take turns; medians over the rounds count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))

import numpy as np  # noqa: E402
from contest.cells import CELLS  # noqa: E402
from contest.ours import compiled  # noqa: E402
from contest.problem import TASKS, Problem, Size, problem  # noqa: E402
from cpu import PAUSE  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

SIZES = ("32,50,64,128", "32,200,128,256", "64,100,512,512", "32,1000,64,128")
Call = Callable[[], Any]


def torch_layer(p: Problem, cell: str, task: str, lengths: Any) -> Call | None:
    try:
        import torch
        from contest.in_torch import LAYERS
    except ImportError:
        return None
    if cell not in LAYERS:
        return None
    net = LAYERS[cell](p.size.inputs, p.size.units, p.cell.layers)
    x, cotangent = (torch.from_numpy(a).transpose(0, 1).contiguous() for a in (p.x, p.cotangent))
    x.requires_grad_(task == "train")
    full = bool((lengths == p.size.steps).all())

    def forward() -> Any:
        if full:
            return net(x)[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(lengths), enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(net(packed)[0], total_length=p.size.steps)[0]

    def infer() -> Any:
        with torch.no_grad():
            return forward()

    def train() -> Any:
        for array in (x, *net.parameters()):
            array.grad = None
        (forward() * cotangent).sum().backward()

    return infer if task == "infer" else train


def contest(p: Problem, cell: str, task: str, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Of each contestant the seconds for the full and for the ragged batch."""
    full = np.full(p.size.batch, p.size.steps)
    ragged = np.random.default_rng(0).permutation(np.linspace(1, p.size.steps, p.size.batch).round().astype(int))
    calls = {
        "ours": [compiled(p, task, lengths)[0] for lengths in (full, ragged)],
        "ours static": [compiled(p, task, lengths, unroll="static")[0] for lengths in (full, ragged)],
        "PyTorch layer": [torch_layer(p, cell, task, lengths) for lengths in (full, ragged)],
    }
    times: dict[str, list[list[float]]] = {name: [[], []] for name, pair in calls.items() if None not in pair}
    for _ in range(rounds):
        for name, kept in times.items():
            time.sleep(PAUSE)
            for call, seconds in zip(calls[name], kept, strict=True):
                assert call is not None
                call()
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
    for name, (whole, part) in times.items():
        yield name, statistics.median(whole), statistics.median(part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="lstm,gru")
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    table = Table("cell", "batch, steps, inputs, units", "task", "who", "full, ms", "ragged, ms", "ratio", box=None)
    for name in asked.cells.split(","):
        for size in asked.sizes:
            p = problem(CELLS[name], Size(*map(int, size.split(","))))
            for task in TASKS:
                for who, whole, part in contest(p, name, task, asked.rounds):
                    table.add_row(
                        name, size, task, who, f"{1e3 * whole:.3g}", f"{1e3 * part:.3g}", f"{part / whole:.2f}"
                    )
    Console().print(table)


if __name__ == "__main__":
    main()
