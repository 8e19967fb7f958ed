"""The time of recurrent layers here and elsewhere, side by side on the same numbers.

    python benchmarks/cpu.py [--cells lstm,gru,rnn] [--sizes 32,50,64,128 ...] [--seconds 5] [--threads 2] [--json FILE]

Ours, PyTorch, JAX, onnxruntime, TensorFlow through its version-1 interface and Keras 3, as far as they are installed
(`pip install .[peers]`). Each lives in a process of its own. Before anything is timed, every result is compared with
one in float64; then the contestants take turns, and the medians over the rounds count, so that other work on the
machine meets all alike. Exit code 1 where a result is wrong.

The limit is the time of the products by weights at the rate of one large square product, which takes its turn too.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
from contest.cells import CELLS  # noqa: E402
from contest.contestants import CONTESTANTS, EDGES, REFERENCE  # noqa: E402
from contest.problem import TASKS, Size, problem  # noqa: E402
from rich.console import Console  # noqa: E402

SIZES = (
    "4,2,3,5", "1,100,64,64", "32,50,64,128", "32,200,128,256", "64,100,512,512", "64,100,1024,1024", "1,1000,128,128",
    "32,1000,64,128",
)  # fmt: skip
"""Batch, steps, inputs, units."""
OURS, PEER = "ours", "PyTorch"
TURN, PAUSE = 0.15, 0.15
"""Seconds of calls in one turn, and between turns: for so long threads of the one before may still spin."""
WRONG = 1e-3
"""An error, relative to the largest entry of a result, that no rounding explains."""


# --- one contestant ----------------------------------------------------------------------------------------------


@dataclass
class Player:
    """A contestant and its process, which lives for all contests; of the contest that is on: what it said when it was
    ready, how far its results are off, and the seconds per call of each of its turns."""

    name: str
    threads: int
    process: subprocess.Popen[str] | None = None
    ready: Mapping[str, Any] = field(default_factory=dict)
    error: float = math.nan
    turns: list[float] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        counts = {f"{library}_NUM_THREADS": str(self.threads) for library in ("OMP", "OPENBLAS", "MKL")}
        quiet = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        path = {"PYTHONPATH": os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])}
        return subprocess.Popen(
            [sys.executable, "-m", "contest.worker", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **counts, **quiet, **path},
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        """Its answer; a process that died is started anew when it is asked again."""
        self.process = self.process or self.start()
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(what), file=self.process.stdin, flush=True)
            if line := self.process.stdout.readline():
                return dict(json.loads(line))
        self.stop()
        return {"absent": "its process died"}

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def enter(self, which: Sequence[str], folder: Path, right: Mapping[str, Any]) -> None:
        self.turns, results = [], folder / f"{self.name}.npz"
        self.ready = self.ask(contest=which, results=str(results))
        self.error = math.nan if "absent" in self.ready else apart(results, right)

    def turn(self, seconds: float) -> None:
        time.sleep(min(PAUSE, seconds))
        self.turns.append(self.ask(calls=min(2000, max(1, round(seconds / self.ready["once"]))))["seconds"])

    @property
    def ms(self) -> float:
        return 1e3 * statistics.median(self.turns)


# --- one contest -------------------------------------------------------------------------------------------------


def contest(cell: str, task: str, size: Size, players: Mapping[str, Player], seconds: float) -> dict[str, Any]:
    """What everyone took, and why some took no part."""
    which = (cell, task, str(size))
    with tempfile.TemporaryDirectory() as folder:
        right = reference(players[REFERENCE], which, Path(folder))
        for player in players.values():
            player.enter(which, Path(folder), right)
    wrong = {p.name: p.error for p in players.values() if p.error > WRONG}
    *racing, yardstick = [p for p in players.values() if p.error <= WRONG and p.name != REFERENCE]
    take_turns([*racing, yardstick], seconds)
    return {
        "cell": cell,
        "task": task,
        "size": str(size),
        "multiply_adds": problem(CELLS[cell], size).multiply_adds(task),
        "gflops": 2 * EDGES[yardstick.name] ** 3 / yardstick.ms / 1e6,
        "ms": {p.name: p.ms for p in racing},
        "turns": {p.name: p.turns for p in racing},
        "first": {p.name: p.ready["first"] for p in racing},
        "errors": {p.name: p.error for p in racing},
        "absent": {p.name: p.ready["absent"] for p in players.values() if "absent" in p.ready},
        "wrong": wrong,
    }


def reference(player: Player, which: Sequence[str], folder: Path) -> dict[str, Any]:
    """The results in float64."""
    said = player.ask(contest=which, results=str(folder / "right.npz"))
    if "absent" in said:
        raise SystemExit(f"{' '.join(which)}: the reference could not be computed: {said['absent']}")
    with np.load(folder / "right.npz") as found:
        return dict(found)


def apart(results: Path, right: Mapping[str, Any]) -> float:
    """The largest error of any result, relative to the largest entry of that result."""
    with np.load(results) as found:
        return max((float(np.abs(a - right[n]).max() / np.abs(right[n]).max()) for n, a in found.items()), default=0.0)


def take_turns(players: Sequence[Player], seconds: float) -> None:
    """Rounds, every other one backwards, for so many seconds but three at least; of no seconds, one call each."""
    end, least, turn = time.perf_counter() + seconds, 3 if seconds else 1, min(TURN, seconds)
    while time.perf_counter() < end or len(players[0].turns) < least:
        for player in players if len(players[0].turns) % 2 == 0 else players[::-1]:
            player.turn(turn)


# --- what is told ------------------------------------------------------------------------------------------------


def best_peer(row: Mapping[str, Any]) -> str:
    """The fastest that is not ours; empty where there is none."""
    others = [name for name in row["ms"] if not name.startswith(OURS)]
    return min(others, key=lambda name: row["ms"][name], default="")


def ahead(row: Mapping[str, Any]) -> float:
    """How many times as fast as the best peer ours is."""
    best = best_peer(row)
    return float(row["ms"][best] / row["ms"][OURS]) if best and OURS in row["ms"] else math.nan


def limit(row: Mapping[str, Any], gflops: float) -> float:
    """Milliseconds of the products by weights alone, at this rate."""
    return float(2 * row["multiply_adds"] / gflops / 1e6)


def table(rows: Sequence[Mapping[str, Any]], title: str, gflops: float) -> Any:
    """Milliseconds of one cell and task, a row for each size, as Markdown that can be pasted."""
    from rich.box import MARKDOWN
    from rich.table import Table

    names = [name for name in CONTESTANTS if any(name in row["ms"] for row in rows)]
    told = Table("size", box=MARKDOWN, title=title, title_justify="left")
    for name in (*names, "limit", "best peer / ours", "limit / ours", "error of ours", f"error of {PEER}"):
        told.add_column(name, justify="right")
    for row in rows:
        own = row["ms"].get(OURS, math.nan)
        theirs = [error for name, error in row["errors"].items() if name.startswith(PEER)]
        told.add_row(
            row["size"],
            *(figure(row["ms"].get(name)) for name in names),
            figure(limit(row, gflops)),
            f"{ahead(row):.2f}",
            f"{limit(row, gflops) / own:.2f}",
            f"{row['errors'].get(OURS, math.nan):.0e}",
            f"{theirs[0]:.0e}" if theirs else "",
        )
    return told


def figure(ms: float | None) -> str:
    return "" if ms is None else f"{ms:.3g}" if ms < 100 else f"{ms:,.0f}"


def geometric(values: Sequence[float]) -> float:
    real = [v for v in values if v == v]
    return math.exp(statistics.fmean(map(math.log, real))) if real else math.nan


def means(rows: Sequence[Mapping[str, Any]], gflops: float) -> Any:
    """Geometric means over the sizes: of cells against the best peer, the limit, and our own LSTM per multiply-add."""
    from rich.box import MARKDOWN
    from rich.table import Table

    told = Table("cell", "task", box=MARKDOWN, title="geometric means", title_justify="left")
    for name in ("best peer / ours", "worst of them", "limit / ours", "time per multiply-add / that of our LSTM"):
        told.add_column(name, justify="right")
    lstm = {(row["task"], row["size"]): per_product(row) for row in rows if row["cell"] == "lstm"}
    for (cell, task), group in grouped(rows).items():
        ratios = [ahead(row) for row in group]
        limits = [limit(row, gflops) / row["ms"].get(OURS, math.nan) for row in group]
        beside = [per_product(row) / lstm.get((task, row["size"]), math.nan) for row in group]
        figures = (geometric(ratios), min(ratios), geometric(limits), geometric(beside))
        told.add_row(cell, task, *(f"{value:.2f}" for value in figures))
    return told


def per_product(row: Mapping[str, Any]) -> float:
    """Milliseconds of ours for one multiply-add."""
    return float(row["ms"].get(OURS, math.nan) / row["multiply_adds"])


def grouped(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["cell"], row["task"]), []).append(row)
    return found


# --- the command -------------------------------------------------------------------------------------------------


def chosen(text: str, known: Sequence[str], flag: str) -> list[str]:
    """The names of a list with commas; the program ends where one is not known."""
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise SystemExit(f"{flag}: there is no `{name}`; there are {', '.join(known)}")
    return names


def size_of(text: str) -> Size:
    try:
        size = Size(*map(int, text.split(",")))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"`{text}` is not of the form batch,steps,inputs,units") from None
    if min(size) < 1:
        raise argparse.ArgumentTypeError(f"`{text}`: every number must be 1 or more")
    return size


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The time of recurrent layers here and elsewhere.")
    parser.add_argument("--cells", default="lstm,gru,rnn", help=f"of {', '.join(CELLS)}; or all")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--sizes", nargs="*", type=size_of, default=[size_of(s) for s in SIZES], metavar="B,T,I,H")
    parser.add_argument("--only", help="contestants, with commas between")
    parser.add_argument("--threads", type=int, default=2, help="for everyone")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each contest; 0 for a single call of each")
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    cells = list(CELLS) if asked.cells == "all" else chosen(asked.cells, list(CELLS), "--cells")
    everyone = [name for name in CONTESTANTS if name not in (*EDGES, REFERENCE)]
    names = chosen(asked.only, everyone, "--only") if asked.only else everyone
    large, small = EDGES
    yardstick = large if asked.seconds else small
    players = {name: Player(name, asked.threads) for name in (REFERENCE, *names, yardstick)}
    rows: list[dict[str, Any]] = []
    try:
        for cell, task, size in product(cells, chosen(asked.tasks, TASKS, "--tasks"), asked.sizes):
            rows.append(contest(cell, task, size, players, asked.seconds))
            tell(rows[-1])
            if asked.json:
                Path(asked.json).write_text(json.dumps(rows, indent=1))
    finally:
        for player in players.values():
            player.stop()
    report(rows, asked.threads, EDGES[yardstick])
    return 1 if any(row["wrong"] for row in rows) else 0


def report(rows: Sequence[Mapping[str, Any]], threads: int, edge: int) -> None:
    console = Console(width=250)
    gflops = statistics.median(row["gflops"] for row in rows)
    console.print(f"{threads} threads; the limit is at {gflops:.0f} GFLOP/s, the rate of a {edge}^3 product\n")
    for (cell, task), group in grouped(rows).items():
        console.print(table(group, f"{cell}, {task}: milliseconds", gflops))
    console.print(means(rows, gflops))
    for name, reason in sorted({pair for row in rows for pair in row["absent"].items()}):
        console.print(f"{name} did not always take part: {reason}")


def tell(row: Mapping[str, Any]) -> None:
    """One contest in a line, as soon as it is over, to standard error."""
    known = "  ".join(f"{name} {figure(ms)}" for name, ms in row["ms"].items())
    print(f"{row['cell']} {row['task']} {row['size']}: {known}", file=sys.stderr)
    for name, error in row["wrong"].items():
        print(f"  WRONG: {name} is off by {error:.1e}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
