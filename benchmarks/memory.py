"""The memory of a training step of an LSTM layer here and elsewhere.

    python benchmarks/memory.py [--steps 100,1000,10000] [--only NAME] [--json]

An LSTM of 128 units over 64 inputs, batch 32, float32: outputs, the mean of their squares, and the gradients of every
weight. Each contestant runs in a process of its own on one thread, first once at 10 steps (so that what its libraries
load is there), then twice at the size that is measured. Told is the highest resident memory of the process above what
it was after importing; for ours, also the bytes of arrays that were predicted and those that were allocated, and what
graph and program take. Beside them stand figures of TensorFlow 1, measured with the same cell, sizes and loss. Exit
code 1 where a promise is broken: predicted bytes that are not the allocated ones, or a graph and program of a kilobyte
or more a node.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

BATCH, INPUTS, UNITS = 32, 64, 128
STEPS = (100, 1000, 10_000)
WARM = 10
"""Steps of the run before the one that is measured."""
PART = 32
"""Steps between the states that a checkpointed contestant keeps: about the root of 1,000."""
SECONDS = 600
"""After which a contestant is given up."""

TEXT = f"""\
model Memory {{
  input x: seq[{INPUTS}]
  y, final = unroll LSTM({UNITS}) over x
  output y
  loss mean(y * y)
}}
"""

TENSORFLOW: Mapping[str, Mapping[int, int]] = {
    "TensorFlow 1 static_rnn": {100: 697 - 536, 1000: 1905 - 536},
    "TensorFlow 1 dynamic_rnn": {100: 614 - 536, 1000: 842 - 536},
}
"""MiB above import: TensorFlow 2.21.0 through `tf.compat.v1`, V2 behaviour off, each in a fresh process."""

Run = Callable[[], None]
"""One training step: forward, loss, gradients of the weights."""


# --- resident memory ---------------------------------------------------------------------------------------------


def resident(field: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at most since `forget_highest`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell the memory of a process in /proc/self/status")


def forget_highest() -> None:
    """From here on VmHWM counts afresh."""
    Path("/proc/self/clear_refs").write_text("5")


# --- ours --------------------------------------------------------------------------------------------------------


def ours(mode: str) -> Callable[[int], tuple[Run, Callable[[], dict[str, Any]]]]:
    def prepare(steps: int) -> tuple[Run, Callable[[], dict[str, Any]]]:
        import numpy as np

        import rnngraph as rg
        from rnngraph.compilation.variant import Signature

        model = rg.parse(TEXT)
        program = model.compile(mode, steps, dtype="float32", gradient="weights")
        variant = program.variant(Signature(cotangents=("loss",)))
        sizes = model.sizes(steps, BATCH)
        data = {"x": np.random.default_rng(0).normal(size=(BATCH, steps, INPUTS)).astype("float32")}
        weights = model.init(0, "float32")

        def told() -> dict[str, Any]:
            from rnngraph.ir.text import counts
            from rnngraph.planning.object_sizes import object_bytes

            bound = variant.bound(sizes)
            made, seen = variant.plan(sizes), set[int]()
            object_bytes(variant.elaborated, seen)
            taken = sum(arena.nbytes for arena in bound.arenas.values())
            objects = object_bytes(variant.graph, seen) + object_bytes(variant.program, seen)
            return {
                "predicted": made.total,
                "allocated": taken + sum(array.nbytes for array in weights.values()),
                "saved": made.bytes["saved"],
                "nodes": counts(variant.graph)[0],
                "objects": objects,
            }

        return lambda: program.gradients(data, weights) and None, told

    return prepare


# --- others ------------------------------------------------------------------------------------------------------


def nothing() -> dict[str, Any]:
    return {}


def torch_layer(steps: int) -> tuple[Run, Callable[[], dict[str, Any]]]:
    import torch

    torch.manual_seed(0)
    layer, x = torch.nn.LSTM(INPUTS, UNITS), torch.randn(steps, BATCH, INPUTS)

    def run() -> None:
        layer.zero_grad()
        layer(x)[0].square().mean().backward()

    return run, nothing


def torch_loop(checkpointed: bool) -> Callable[[int], tuple[Run, Callable[[], dict[str, Any]]]]:
    """A Python loop over the steps of a cell; with checkpoints, only the states between parts are kept."""

    def prepare(steps: int) -> tuple[Run, Callable[[], dict[str, Any]]]:
        import torch
        from torch.utils.checkpoint import checkpoint

        torch.manual_seed(0)
        cell, x = torch.nn.LSTMCell(INPUTS, UNITS), torch.randn(steps, BATCH, INPUTS)

        def part(rows: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
            found = []
            for row in rows:
                h, c = cell(row, (h, c))
                found.append(h)
            return torch.stack(found), h, c

        def run() -> None:
            cell.zero_grad()
            h = c = torch.zeros(BATCH, UNITS)
            ys = []
            for rows in x.split(PART if checkpointed else steps):
                if checkpointed:
                    y, h, c = checkpoint(part, rows, h, c, use_reentrant=False)
                else:
                    y, h, c = part(rows, h, c)
                ys.append(y)
            torch.cat(ys).square().mean().backward()

        return run, nothing

    return prepare


def jax_scan(checkpointed: bool) -> Callable[[int], tuple[Run, Callable[[], dict[str, Any]]]]:
    """`lax.scan` over steps; with checkpoints, over parts, each recomputed in the backward pass."""

    def prepare(steps: int) -> tuple[Run, Callable[[], dict[str, Any]]]:
        import jax
        import jax.numpy as jnp

        keys = jax.random.split(jax.random.PRNGKey(0), 2)
        x = jax.random.normal(keys[0], (steps, BATCH, INPUTS))
        weights = 0.1 * jax.random.normal(keys[1], (INPUTS + UNITS, 4 * UNITS)), jnp.zeros(4 * UNITS)
        length = next(n for n in range(PART, 0, -1) if steps % n == 0)

        def step(weights: Any, state: Any, row: Any) -> Any:
            c, h = state
            i, j, f, o = jnp.split(jnp.concatenate([row, h], 1) @ weights[0] + weights[1], 4, axis=1)
            c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(j)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h

        def loss(weights: Any, x: Any) -> Any:
            def part(state: Any, rows: Any) -> Any:
                return jax.lax.scan(lambda s, row: step(weights, s, row), state, rows)

            zero = jnp.zeros((BATCH, UNITS))
            if not checkpointed:
                return jnp.mean(jnp.square(part((zero, zero), x)[1]))
            parts = x.reshape(-1, length, BATCH, INPUTS)
            return jnp.mean(jnp.square(jax.lax.scan(jax.checkpoint(part), (zero, zero), parts)[1]))

        gradients = jax.jit(jax.grad(loss))
        return lambda: jax.block_until_ready(gradients(weights, x)) and None, nothing

    return prepare


CONTESTANTS: Mapping[str, tuple[str, Callable[[int], tuple[Run, Callable[[], dict[str, Any]]]]]] = {
    "rnngraph static": ("rnngraph", ours("static")),
    "rnngraph dynamic": ("rnngraph", ours("dynamic")),
    "PyTorch nn.LSTM": ("torch", torch_layer),
    "PyTorch loop": ("torch", torch_loop(False)),
    "PyTorch loop, checkpoint": ("torch", torch_loop(True)),
    "JAX scan": ("jax", jax_scan(False)),
    "JAX scan, checkpoint": ("jax", jax_scan(True)),
}
"""Name -> the library that it imports, and what prepares its run."""


# --- the contest -------------------------------------------------------------------------------------------------


def measured(name: str, steps: int) -> dict[str, Any]:
    """In this process: MiB above import and above a short run, seconds of the second run, and what is told beside."""
    library, prepare = CONTESTANTS[name]
    __import__(library)
    if library == "rnngraph":
        import numpy  # noqa: F401 - `import rnngraph` alone is lazy
    imported = resident("VmRSS")
    prepare(WARM)[0]()
    gc.collect()
    warm = resident("VmRSS")
    forget_highest()
    run, told = prepare(steps)
    run()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    highest = resident("VmHWM")
    return {"above_import": highest - imported, "above_warm": highest - warm, "seconds": seconds, **told()}


def contest(name: str, steps: int) -> dict[str, Any]:
    """One contestant at one size in a process of its own; `problem` says why there is no figure."""
    command = [sys.executable, __file__, "--one", name, "--steps", str(steps)]
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    row: dict[str, Any] = {"name": name, "steps": steps}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=os.environ | threads)
    except subprocess.TimeoutExpired:
        return {**row, "problem": f"over {SECONDS} s"}
    if done.returncode:
        missing = "ModuleNotFoundError" in done.stderr
        return {**row, "problem": "not installed" if missing else done.stderr.strip().splitlines()[-1]}
    return {**row, **json.loads(done.stdout)}


def table(rows: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> str:
    """MiB above import as Markdown, and the seconds of a training step in brackets."""
    lines = [f"| MiB above import | {' | '.join(f'T = {n:,}' for n in steps)} |", f"|---|{'---:|' * len(steps)}"]
    known = {(row["name"], row["steps"]): row for row in rows}
    for name in dict.fromkeys(row["name"] for row in rows):
        lines.append(f"| {name} | {' | '.join(_cell(known.get((name, n))) for n in steps)} |")
    for name, figures in TENSORFLOW.items():
        lines.append(f"| {name} | {' | '.join(f'{figures[n]:,}' if n in figures else '' for n in steps)} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or "problem" in row:
        return row["problem"] if row else ""
    return f"{row['above_import']:,.0f} ({row['seconds']:.3g} s)"


def own_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was predicted of ours, as Markdown."""
    lines = [
        "| ours | steps | predicted MB | allocated MB | saved MB | nodes | graph and program MB | bytes a node |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "predicted" in row:
            mb = [f"{row[key] / 1e6:,.3f}" for key in ("predicted", "allocated", "saved")]
            objects = f"{row['objects'] / 1e6:,.2f} | {row['objects'] / row['nodes']:,.0f}"
            lines.append(
                f"| {row['name'].split()[-1]} | {row['steps']:,} | {' | '.join(mb)} | {row['nodes']:,} | {objects} |"
            )
    return "\n".join(lines)


def broken(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The promises that do not hold."""
    own = [row for row in rows if "predicted" in row]
    found = [
        f"{r['name']}, {r['steps']:,} steps: not the bytes predicted" for r in own if r["predicted"] != r["allocated"]
    ]
    large = [r for r in own if "static" in r["name"] and r["objects"] >= 1024 * r["nodes"]]
    return found + [f"{r['name']}, {r['steps']:,} steps: a kilobyte a node or more" for r in large]


def main() -> int:
    parser = argparse.ArgumentParser(description="The memory of a training step of an LSTM layer here and elsewhere.")
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="numbers of steps, with commas")
    parser.add_argument("--only", help="contestants with this in their name")
    parser.add_argument("--one", help="measure one contestant in this process and print JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    steps = [int(n) for n in arguments.steps.split(",")]
    if arguments.one:
        print(json.dumps(measured(arguments.one, steps[0])))
        return 0
    names = [name for name in CONTESTANTS if not arguments.only or arguments.only in name]
    rows = []
    for name in names:
        for n in steps:
            print(f"{name}, {n:,} steps", file=sys.stderr)
            rows.append(contest(name, n))
    print(json.dumps(rows, indent=2) if arguments.json else f"{table(rows, steps)}\n\n{own_table(rows)}")
    problems = broken(rows)
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
