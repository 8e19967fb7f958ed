"""How compiling grows with the number of steps: an LSTM with gradients, unrolled statically and kept as a loop.

    python benchmarks/growth.py [--steps 2,10,1000] [--kernels native] [--fresh] [--json]

The cell, the sizes and the loss are those that TensorFlow 1 was measured with (below), so the two can be read side
by side. With `--fresh` each row is also run in a process of its own, from its start to the first result. Exit code 1
where a limit of ours is passed.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

import rnngraph as rg  # noqa: E402
from rnngraph.ir.text import counts  # noqa: E402

TEXT = """\
model Growth {
  input x: seq[64]
  y, final = unroll LSTM(128) over x
  output y
  loss mean(y * y)
}
"""
BATCH = 32
STEPS = (2, 10, 50, 100, 200, 500, 1000)

TENSORFLOW: Mapping[str, Mapping[int, tuple[int, float, float]]] = {
    "static": {
        2: (134, 0.13, 0.75), 10: (502, 0.30, 3.74), 50: (2_342, 1.16, 19.8), 100: (4_642, 2.51, 41.2),
        200: (9_242, 6.00, 96.8), 500: (23_042, 12.8, 162.0), 1000: (46_042, 35.9, 622.0),
    },
    "dynamic": {
        2: (310, 0.26, 1.54), 10: (310, 0.24, 3.92), 50: (310, 0.28, 16.4), 100: (310, 0.31, 35.7),
        200: (310, 0.48, 90.8), 500: (310, 0.53, 214.0), 1000: (310, 0.86, 503.0),
    },
}  # fmt: skip
"""Graph operations with gradients; seconds from nothing to the first result (building the graph, building the
gradients, first run); milliseconds of later runs. TensorFlow 2.21.0 through `tf.compat.v1` with the V2 behaviour off
(`BasicLSTMCell` under `static_rnn` and `dynamic_rnn`, `tf.gradients(loss, [kernel, bias])`), each row a fresh process,
the better of two, on two shared cores of an AMD EPYC without a GPU: to be read to within a factor of 1.5.
"""

STATIC_LIMIT, DYNAMIC_LIMIT = 0.002, 0.3
"""Seconds from the text to the first result for each of at least 1,000 static steps; seconds to compile a loop."""
MANY = 1000
TURNS = 20


def measured(steps: int, kernels: str, repeats: int) -> dict[str, dict[str, float]]:
    """By mode: nodes with gradients; seconds to compile and to the first result; milliseconds of later runs, for which
    the modes take turns.

    Of several programs and later runs the least disturbed counts.
    """
    x, found, made = data(steps), {}, {}
    for mode in TENSORFLOW:
        compiling, first = [], []
        for _ in range(repeats):
            gc.collect()
            program, weights, seconds = compiled(mode, steps, kernels)
            compiling.append(seconds)
            first.append(seconds + ran(program, x, weights))
        made[mode] = program, weights
        found[mode] = {"nodes": counts(program.graph)[0], "compile": min(compiling), "first": min(first)}
    later = [{mode: ran(program, x, weights) for mode, (program, weights) in made.items()} for _ in range(TURNS)]
    return {mode: {**row, "later": 1e3 * min(turn[mode] for turn in later)} for mode, row in found.items()}


def compiled(mode: str, steps: int, kernels: str) -> tuple[rg.CompiledProgram, dict[str, Any], float]:
    """From the text to the program, with new weights, and the seconds it took."""
    began = time.perf_counter()
    model = rg.parse(TEXT)
    length = steps if mode == "static" else None
    program = model.compile(mode, length, dtype="float32", gradient="weights", kernels=kernels)
    _ = program.compile_seconds  # it is compiled when it is asked for
    return program, model.init(0, "float32"), time.perf_counter() - began


def ran(program: rg.CompiledProgram, x: Any, weights: Mapping[str, Any]) -> float:
    """The seconds of one run with gradients."""
    began = time.perf_counter()
    program.gradients({"x": x}, weights)
    return time.perf_counter() - began


def data(steps: int) -> Any:
    return np.random.default_rng(0).normal(size=(BATCH, steps, 64)).astype("float32")


def fresh(mode: str, steps: int, kernels: str) -> float:
    """Seconds from the start of a new process to its first result."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--steps", str(steps), "--kernels", kernels, "--alone", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        seconds = time.perf_counter() - began
    if not told:
        raise SystemExit(f"the process for {steps} {mode} steps died")
    return seconds


def alone(mode: str, steps: int, kernels: str) -> None:
    """What such a process does: it says when it has a result."""
    program, weights, _ = compiled(mode, steps, kernels)
    ran(program, data(steps), weights)
    print("done", flush=True)


def rows(steps: Sequence[int], kernels: str, repeats: int, also_fresh: bool) -> list[dict[str, Any]]:
    compiled("dynamic", 2, kernels)  # the grammar and the library are read once
    at = {n: measured(n, kernels, repeats) for n in steps}
    found: list[dict[str, Any]] = [{"mode": mode, "steps": n, **at[n][mode]} for mode in TENSORFLOW for n in steps]
    for row in found if also_fresh else ():
        row["fresh"] = min(fresh(row["mode"], row["steps"], kernels) for _ in range(repeats))
    return found


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown: ours, then TensorFlow's."""
    lines = [
        "| mode | steps | nodes | compile | first result | in a new process | later runs "
        "| TF 1 operations | TF 1 first result | TF 1 later runs |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in found:
        theirs = TENSORFLOW[row["mode"]].get(row["steps"])
        other = f"{theirs[0]:,} | {theirs[1]:.2f} s | {theirs[2]:,.3g} ms" if theirs else "| |"
        process = f"{row['fresh']:.2f} s" if "fresh" in row else ""
        later = f"{row['later']:,.3g}" if row["later"] < 1000 else f"{row['later']:,.0f}"
        lines.append(
            f"| {row['mode']} | {row['steps']:,} | {row['nodes']:,} | {row['compile']:.3f} s "
            f"| {row['first']:.2f} s | {process} | {later} ms | {other} |"
        )
    return "\n".join(lines)


def verdicts(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """What is claimed of these rows, and whether it holds."""
    static = [row for row in found if row["mode"] == "static"]
    dynamic = [row for row in found if row["mode"] == "dynamic"]
    said = [(f"a loop compiles in under {DYNAMIC_LIMIT} s", all(r["compile"] < DYNAMIC_LIMIT for r in dynamic))]
    said.append(("the graph of a loop is the same for any number of steps", len({r["nodes"] for r in dynamic}) == 1))
    for row in static:
        if row["steps"] >= MANY:
            limit = STATIC_LIMIT * row["steps"]
            text = f"{row['steps']:,} static steps have a result in under {limit:g} s"
            said.append((text, row.get("fresh", row["first"]) < limit))
    if len(static) > 2:
        slopes = [(b["nodes"] - a["nodes"]) / (b["steps"] - a["steps"]) for a, b in pairwise(static[-3:])]
        said.append((f"every static step adds {slopes[-1]:g} nodes", slopes[0] == slopes[1]))
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile time and graph size of an LSTM against the number of steps.")
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="numbers of steps, with commas between")
    parser.add_argument("--repeats", type=int, default=3, help="compilations of each, of which the fastest counts")
    parser.add_argument("--kernels", default="native", choices=("native", "numpy"), help="native unless told")
    parser.add_argument("--fresh", action="store_true", help="run each also in a process of its own")
    parser.add_argument("--alone", choices=tuple(TENSORFLOW), help="run once, in this mode, and say so")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    steps = [int(n) for n in arguments.steps.split(",")]
    if arguments.alone:
        alone(arguments.alone, steps[0], arguments.kernels)
        return 0
    found = rows(steps, arguments.kernels, arguments.repeats, arguments.fresh)
    said = verdicts(found)
    if arguments.json:
        print(json.dumps({"rows": found, "verdicts": dict(said)}, indent=2))
    else:
        print(table(found), "", *(f"{'holds' if holds else 'FAILS'}: {text}" for text, holds in said), sep="\n")
    return 0 if all(holds for _, holds in said) else 1


if __name__ == "__main__":
    sys.exit(main())
