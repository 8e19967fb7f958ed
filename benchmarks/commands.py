"""How long someone waits for a command that only looks at a model: each in a new process, kernels on disk.

    python benchmarks/commands.py
    python benchmarks/commands.py --beside ../before    # another checkout, in turns

Seconds from the start of Python to its end, and those that it computes; medians.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1]
COMMANDS = (
    ("import rnngraph", ("-c", "import rnngraph")),
    ("check", ("-m", "rnngraph", "check", "{example}")),
    ("summary", ("-m", "rnngraph", "summary", "{example}")),
    ("cost", ("-m", "rnngraph", "cost", "{example}")),
    ("render", ("-m", "rnngraph", "render", "{example}", "--out", "{out}/picture.svg")),
    ("show --gradient", ("-m", "rnngraph", "show", "{example}", "--gradient")),
)


def waited(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Seconds on the clock and of computing."""
    before, began = os.times(), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    computed = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, computed


def rounds(folders: list[Path], arguments: tuple[str, ...], example: str, count: int) -> Iterator[list[float]]:
    """Of each folder the medians, the first time left out: it writes bytecode and kernels."""
    with tempfile.TemporaryDirectory() as out:
        given = [part.format(example=example, out=out) for part in arguments]
        found = [[waited(given, folder) for folder in folders] for _ in range(count + 1)][1:]
    for times in zip(*found, strict=True):
        yield [median(one) for one in zip(*times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", default="examples/digits.rnn")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another checkout")
    asked = parser.parse_args()
    folders = [HERE, *(folder.resolve() for folder in asked.beside)]
    print("| command |" + "".join(f" {folder.name}, s | computing, s |" for folder in folders))
    print("|---|" + "---:|---:|" * len(folders))
    for name, arguments in COMMANDS:
        found = rounds(folders, arguments, asked.example, asked.rounds)
        print(f"| `{name}` |" + "".join(f" {clock:.2f} | {computed:.2f} |" for clock, computed in found), flush=True)


if __name__ == "__main__":
    main()
