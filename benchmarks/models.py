"""The time of whole training steps here and in PyTorch: forward, loss, backward, clipping by norm, Adam; float32.

    python benchmarks/models.py [--models "word LM,CTC"] [--rounds 10] [--threads 2] [--compiled] [--json FILE]
    python benchmarks/models.py --task infer --batch 1     # the loss alone, of one row

Each contestant lives in a process of its own, and they take turns, a step at a time, with a pause between in which the
threads of the one before come to rest. Medians count. `--compiled` adds `torch.compile`, which needs a C++ compiler.
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
    """A contestant in its process."""

    def __init__(self, kind: str, task: str, name: str, data: str, threads: int) -> None:
        code = [sys.executable, str(HERE / "whole" / "contestants.py"), kind, task, name, data, str(threads)]
        self.process = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []
        self.answer()

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contestant ended with {self.process.wait()}")
        return line

    def turn(self) -> None:
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds.append(float(self.answer()))

    def end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()


def contest(name: str, kinds: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of one step of each contestant."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data.npz")
        np.savez(path, **CASES[name].data(given.batch))
        players = {kind: Player(kind, given.task, name, path, given.threads) for kind in kinds}
        for _ in range(given.rounds):
            for player in players.values():
                player.turn()
        for player in players.values():
            player.end()
    return {"model": name, **{kind: 1e3 * statistics.median(p.seconds) for kind, p in players.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", default=",".join(CASES), help="names with commas between")
    parser.add_argument("--task", choices=["train", "infer"], default="train")
    parser.add_argument("--batch", type=int, default=0, help="rows, where not each model's own")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    kinds = ["ours", "torch", *(["compiled"] if given.compiled else [])]
    rows = []
    table = Table("model", *(f"{kind}, ms" for kind in kinds), "best peer / ours")
    for name in given.models.split(","):
        row = contest(name, kinds, given)
        row["ahead"] = min(row[kind] for kind in kinds[1:]) / row["ours"]
        rows.append(row)
        table.add_row(name, *(f"{row[kind]:.1f}" for kind in kinds), f"{row['ahead']:.2f}")
        print(f"{name}: {row}", flush=True)
    Console().print(table)
    print(f"geometric mean {math.exp(statistics.mean(math.log(row['ahead']) for row in rows)):.2f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
