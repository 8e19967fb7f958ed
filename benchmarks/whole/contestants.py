"""A training step here and in PyTorch: forward, loss, backward, clipping by norm, Adam; or the loss alone.

    python contestants.py ours|torch|compiled train|infer CASE DATA THREADS

A process for each: it says `ready`, then answers each line of its input with the seconds that a step took.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import numpy as np  # noqa: E402
from models import CASES, Case  # noqa: E402

RATE, NORM = 1e-3, 1.0


def ours(case: Case, data: dict[str, Any], infer: bool) -> Callable[[], object]:
    import rnngraph as rg
    from rnngraph.training import optimisers

    model = rg.parse(case.text, **case.settings)
    if infer:
        forward, known = model.compile(dtype="float32", outputs=("loss",)), model.init(0, "float32")
        return lambda: forward.run(data, known)["loss"]
    program = model.compile(dtype="float32", **model.training_step)
    weights, adam, arrays = model.init(0, "float32"), optimisers.Adam(RATE), program.backend.whole
    state, seed = optimisers.start(adam, weights), 0

    def step() -> float:
        nonlocal state, seed
        loss, gradients = program.lent_gradients({**data, "seed": np.int64(seed)}, weights)
        shorten = optimisers.shortening(arrays.norm(list(gradients.values())), NORM)
        state = optimisers.update(adam, weights, gradients, state, arrays, shorten)
        seed += 1
        return loss

    return step


def torch_step(case: Case, data: dict[str, Any], infer: bool, threads: int, compiled: bool) -> Callable[[], object]:
    import peers
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = eval(case.peer, vars(peers))
    forward = torch.compile(model) if compiled else model
    a, b = torch.tensor(data["a"]), torch.tensor(data["b"])
    if infer:
        model.eval()

        def run() -> float:
            with torch.inference_mode():
                return float(forward(a, b))

        return run
    adam = torch.optim.Adam(model.parameters(), RATE)

    def step() -> float:
        adam.zero_grad(set_to_none=True)
        loss = forward(a, b)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        adam.step()
        return float(loss.detach())

    return step


def main() -> None:
    kind, task, name, path, threads = sys.argv[1:]
    os.environ["RNNGRAPH_THREADS"] = threads
    with np.load(path) as file:
        data = dict(file)
    case = CASES[name]
    infer = task == "infer"
    if kind == "ours":
        step = ours(case, data, infer)
    else:
        step = torch_step(case, data, infer, int(threads), kind == "compiled")
    for _ in range(3):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
