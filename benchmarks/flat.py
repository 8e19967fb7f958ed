"""Whether a loop takes the same time for each step, however many there are.

    python benchmarks/flat.py [--sizes 1,64,128 ...] [--steps 10,100,1000,10000,100000] [--rounds 9]

An LSTM (batch, inputs, units), float32, dynamic; forward its outputs, and with gradients of all weights for the loss
of its last state. Numbers of steps take turns, short ones several times in a turn; medians over the rounds count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import rnngraph as rg  # noqa: E402

TEXT = """\
model Flat {{
  input x: seq[{inputs}]
  y, final = unroll LSTM({units}) over x
  output y
  loss mean(final.h * final.h)
}}
"""
TURN = 2000
"""Steps of a turn at least."""


def calls(batch: int, inputs: int, units: int, steps: int) -> dict[str, Callable[[], Any]]:
    model = rg.parse(TEXT.format(inputs=inputs, units=units))
    weights = model.init(0, "float32")
    data = {"x": np.random.default_rng(0).normal(size=(batch, steps, inputs)).astype("float32")}
    infer, train = (model.compile(dtype="float32", gradient=gradient) for gradient in (False, "weights"))
    return {"infer": lambda: infer.run(data, weights), "train": lambda: train.gradients(data, weights)}


def per_step(call: Callable[[], Any], steps: int) -> float:
    times = max(1, TURN // steps)
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["1,64,128", "8,64,128"], metavar="BATCH,INPUTS,UNITS")
    parser.add_argument("--steps", default="10,100,1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    lengths = [int(n) for n in asked.steps.split(",")]
    table = Table("batch, inputs, units", "task", *(f"{n:,}" for n in lengths), "last / first", box=None)
    for size in asked.sizes:
        contests = {n: calls(*map(int, size.split(",")), n) for n in lengths}
        for task in ("infer", "train"):
            found: dict[int, list[float]] = {n: [] for n in lengths}
            for n in (*lengths, *lengths * asked.rounds):
                found[n].append(per_step(contests[n][task], n))
            times = [1e6 * statistics.median(found[n][1:]) for n in lengths]
            table.add_row(size, task, *(f"{t:.3g}" for t in times), f"{times[-1] / times[0]:.2f}")
    table.caption = "microseconds a step"
    Console().print(table)


if __name__ == "__main__":
    main()
