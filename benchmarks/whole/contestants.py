"""A training step here and elsewhere: forward, loss, backward, clipping by norm, Adam; or the loss alone; or some
tokens of a text, one after the other, in one call, or by a beam search.

    python contestants.py ours|torch|compiled|jax|keras train|infer|generate|write|beam CASE DATA THREADS

A process for each: it says `ready`, then answers each line of its input with the seconds that a step took and the bytes
that it took at most beside what a small model left in memory. One that cannot take part says why instead.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import numpy as np  # noqa: E402
from models import BEAM, CASES, TOKENS, Case  # noqa: E402

RATE, NORM = 1e-3, 1.0


def ours(case: Case, data: dict[str, Any], infer: bool) -> Callable[[], object]:
    import rnngraph as rg
    from rnngraph.training import optimisers, updates
    from rnngraph.training.clipping import clip_factor

    model = rg.parse(case.text, **case.settings)
    if infer:
        forward, known = model.compile(dtype="float32", outputs=("loss",)), model.init(0, "float32")
        return lambda: forward.run(data, known)["loss"]
    program = model.compile(dtype="float32", **model.training_step)
    weights, adam, arrays = model.init(0, "float32"), optimisers.Adam(RATE), program.backend.whole
    state, seed = updates.start(adam, weights), 0

    def step() -> float:
        nonlocal state, seed
        loss, gradients = program.lent_gradients({**data, "seed": np.int64(seed)}, weights)
        factor = clip_factor(arrays.norm(list(gradients.values())), NORM)
        state = updates.update(adam, weights, gradients, state, arrays, factor)
        seed += 1
        return loss

    return step


def generating(case: Case, data: dict[str, Any]) -> Callable[[], object]:
    import rnngraph as rg

    model = rg.parse(case.generating, **case.settings)
    program, weights = model.compile(dtype="float32", states=True), model.init(0, "float32")

    def run() -> Any:
        token, states = data["a"][:, 0], None
        for _ in range(TOKENS):
            outputs, states = program.step({"a": token}, weights, states)
            token = outputs["scores"].argmax(-1)
        return token

    return run


def writing(case: Case, data: dict[str, Any]) -> Callable[[], object]:
    """The same text in one call."""
    import rnngraph as rg

    model = rg.parse(case.writing, **case.settings)
    program, weights = model.compile(dtype="float32"), model.init(0, "float32")
    return lambda: program.run({"a": data["a"][:, 0]}, weights)["text"]


def searching(case: Case, data: dict[str, Any]) -> Callable[[], object]:
    """The likeliest text that a beam finds behind the first token of the first row."""
    import rnngraph as rg
    from rnngraph.generation.generate import written
    from rnngraph.generation.sampling import Style
    from rnngraph.generation.scorer import reader, scorer

    model = rg.parse(case.generating, **case.settings)
    use, weights, prompt = reader(model), model.init(0, "float32"), data["a"][0, :1].tolist()
    return lambda: written(scorer(model, use, weights, {}, "float32"), prompt, Style(TOKENS, beam=BEAM))


WRITE = {"generate": generating, "write": writing, "beam": searching}
"""The tasks of a model of a language."""


def torch_step(case: Case, data: dict[str, Any], task: str, threads: int, compiled: bool) -> Callable[[], object]:
    import peers
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = eval(case.peer, vars(peers))
    forward = torch.compile(model) if compiled else model
    a, b = torch.tensor(data["a"]), torch.tensor(data["b"])
    if task != "train":
        model.eval()

        tasks: dict[str, Callable[[], Any]] = {
            "infer": lambda: float(forward(a, b)),
            "generate": lambda: model.generate(a[:, :1], TOKENS).numpy(),
            "write": lambda: model.generate(a[:, :1], TOKENS).numpy(),
            "beam": lambda: model.search(a[:1, :1], TOKENS, BEAM).tolist(),
        }
        return torch.inference_mode()(tasks[task])
    adam = torch.optim.Adam(model.parameters(), RATE)

    def step() -> float:
        adam.zero_grad(set_to_none=True)
        loss = forward(a, b)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM)
        adam.step()
        return float(loss.detach())

    return step


class Absent(Exception):
    """Why a contestant does not take part."""


def prepared(kind: str, task: str, name: str, data: dict[str, Any], threads: int) -> Callable[[], object]:
    """What a contestant does in its turn."""
    case, infer, writes = CASES[name], task == "infer", task in WRITE
    if writes and (kind in ("compiled", "keras") or not case.generating):
        raise Absent(f"{kind} does not generate with {name}")
    if kind == "ours" and writes:
        return WRITE[task](case, data)
    if kind == "ours":
        return ours(case, data, infer)
    if kind == "jax":
        import in_jax

        if writes:
            return in_jax.generating(name, data, TOKENS, task, BEAM)
        return in_jax.step_of(name, data, infer, RATE, NORM)
    if kind == "keras":
        import in_keras

        if name not in in_keras.MODELS:
            raise Absent(f"keras has no layers for {name}")
        return in_keras.step_of(name, data, infer, RATE, NORM, threads)
    return torch_step(case, data, task, threads, kind == "compiled")


def small(data: dict[str, Any]) -> dict[str, Any]:
    """A row of a few steps."""
    shortest = min(array.shape[1] for array in data.values())
    return {name: array[:1, : 4 if array.shape[1] > shortest else 2] for name, array in data.items()}


def tidied() -> None:
    """Gives back what is free, and forgets the most memory so far: what was needed to compile is not asked for."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def memory(line: str) -> int:
    """Bytes of this process, by Linux: VmRSS those that it has in memory, VmHWM the most since it was last asked to
    forget it."""
    [kilobytes] = [row.split()[1] for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line)]
    return 1024 * int(kilobytes)


def main() -> None:
    kind, task, name, path, threads = sys.argv[1:]
    os.environ["RNNGRAPH_THREADS"] = threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])  # there is no other way to tell JAX
    with np.load(path) as file:
        data = dict(file)
    try:
        # Libraries and compilers come into memory with a small model; what is told is what the real one adds.
        first = prepared(kind, task, name, small(data), int(threads))
        for _ in range(2):
            first()
    except (Absent, ImportError) as error:
        print(f"absent: {error}", flush=True)
        return
    tidied()
    before = memory("VmRSS")
    step = prepared(kind, task, name, data, int(threads))
    for _ in range(3):
        step()
    tidied()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, memory("VmHWM") - before, flush=True)


if __name__ == "__main__":
    main()
