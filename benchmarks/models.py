"""Time and memory of whole training steps here and elsewhere: forward, loss, backward, clipping by norm, Adam; float32.

    python benchmarks/models.py [--models "word LM,CTC"] [--rounds 10] [--threads 2] [--json FILE]
    python benchmarks/models.py --task infer --batch 1     # the loss alone, of one row
    python benchmarks/models.py --task generate --models "word LM,character LM" --batch 8     # a text of 20 tokens
    python benchmarks/models.py --task write --models "word LM,character LM"     # the same text in one call
    python benchmarks/models.py --task beam --models "word LM,character LM"     # the same by a beam search of 8 texts
    python benchmarks/models.py --peers torch,compiled,jax,keras --python keras=other/bin/python

Each contestant lives in a process of its own (of another environment, where `--python` says so), and they take turns, a
step at a time, with a pause between in which the threads of the one before come to rest. Medians count. `compiled` is
`torch.compile`, which needs a C++ compiler; `keras` runs on TensorFlow, and has no layers for two of the models. Memory
is what a process takes at most in a step, beside what it had after a model of one row: weights, optimiser, all arrays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "whole")]

import numpy as np  # noqa: E402
from models import CASES  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

PAUSE = 0.25
"""Seconds between turns: for so long PyTorch's threads may still spin."""


class Player:
    """A contestant in its process; `absent` says why it does not take part, if so."""

    def __init__(self, python: str, kind: str, task: str, name: str, data: str, threads: int) -> None:
        code = [python, str(HERE / "whole" / "contestants.py"), kind, task, name, data, str(threads)]
        self.process = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.bytes = 0
        first = self.answer()
        self.absent = "" if first == "ready" else first

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return line.strip() or f"absent: it ended with {self.process.wait()}"

    def turn(self) -> None:
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, taken = self.answer().split()
        self.seconds.append(float(seconds))
        self.bytes = int(taken)

    def end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()


def contest(name: str, pythons: dict[str, str], given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of one step of each contestant, and megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data.npz")
        np.savez(path, **CASES[name].data(given.batch))
        made = {k: Player(python, k, given.task, name, path, given.threads) for k, python in pythons.items()}
        for player in made.values():
            if player.absent:
                print(f"{name}: {player.absent}", file=sys.stderr)
        players = {kind: player for kind, player in made.items() if not player.absent}
        for _ in range(given.rounds):
            for player in players.values():
                player.turn()
        for player in made.values():
            player.end()
    times = {kind: 1e3 * statistics.median(p.seconds) for kind, p in players.items()}
    return {"model": name, "ms": times, "MB": {kind: p.bytes / 1e6 for kind, p in players.items()}}


def best_peer(row: dict[str, Any], what: str) -> float:
    return min(value for kind, value in row[what].items() if kind != "ours")


def told(row: dict[str, Any], kind: str) -> str:
    return f"{row['ms'][kind]:.1f} ms, {row['MB'][kind]:.0f} MB" if kind in row["ms"] else "-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", default=",".join(CASES), help="names with commas between")
    parser.add_argument("--peers", default="torch", help="of torch, compiled, jax, keras, with commas between")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="the Python of a peer")
    parser.add_argument("--task", choices=["train", "infer", "generate", "write", "beam"], default="train")
    parser.add_argument("--batch", type=int, default=0, help="rows, where not each model's own")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    kinds = ["ours", *given.peers.split(",")]
    pythons = dict.fromkeys(kinds, sys.executable) | dict(pair.split("=", 1) for pair in given.python)
    rows = []
    table = Table("model", *kinds, "best peer / ours, time", "memory")
    for name in given.models.split(","):
        row = contest(name, pythons, given)
        row["ahead"], row["smaller"] = (best_peer(row, what) / row[what]["ours"] for what in ("ms", "MB"))
        rows.append(row)
        table.add_row(name, *(told(row, kind) for kind in kinds), f"{row['ahead']:.2f}", f"{row['smaller']:.2f}")
        print(f"{name}: {row}", flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))
    Console(width=max(120, Console().width)).print(table)
    print(f"ahead, geometric mean: {math.exp(statistics.mean(math.log(row['ahead']) for row in rows)):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
