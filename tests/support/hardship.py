"""Commands that are stopped at any moment, or get no memory or no disk.

`python -m tests.support.hardship FIRST LAST [KIND]` tries a range of seeds.

A seed is a verb, a kind of hardship and a moment. Whatever comes: no input changes, an output is the old file or the
new one, a message is one of ours, and a training goes on to the bits of one that was never stopped.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import rnngraph as rg
from rnngraph.files.archives import read_npz
from rnngraph.files.atomic_writes import PREFIX
from tests.support.paths import ROOT
from tests.support.seeds import main
from tests.support.verbs import VERBS, flags, furnish, sums, value_of

KINDS = ("kill", "interrupt", "end", "memory", "disk")
SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "end": signal.SIGTERM}
CODES = {"kill": (0, -9), "interrupt": (0, 130, -2), "end": (0, 143, -15), "memory": (0, 1), "disk": (0, 1)}
"""How a command may end; a negative number where the signal came before our first line."""
VERBOSE = ("Traceback", "E999", "Exception ignored", "Fatal Python", "terminate called", "LLVM ERROR")
WRITERS = ["run", "train", "render", "compare", "export", "weights convert", "fmt", "bench"]
TRAINED = ["--epochs", "60"]
OLD = b"what stood there before"


class Undisturbed(NamedTuple):
    """What a command makes of the furnished folder, and how long it takes."""

    files: dict[str, str]
    seconds: float


def command(verb: str) -> list[str]:
    return [sys.executable, "-m", "rnngraph", *verb.split(), *VERBS[verb], *(TRAINED if verb == "train" else [])]


def started(verb: str, folder: Path, limits: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    environment["RNNGRAPH_CACHE"] = str(folder / "cache")

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # also where these tests are run deaf to Ctrl-C
        if limits is not None:
            limits()

    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(verb), cwd=folder, env=environment, preexec_fn=begin, text=True, stdout=subprocess.DEVNULL, stderr=pipe
    )


def prepared(folder: Path, verb: str) -> dict[str, str]:
    """The folder with all inputs, and with old files where outputs will be; what its files hold."""
    furnish(folder)
    if verb == "fmt":
        (folder / "small.rnn").write_text((folder / "small.rnn").read_text().replace("  input", "    input"))
    for name in outputs(verb):
        (folder / name).write_bytes(OLD)
    return sums(folder)


def outputs(verb: str) -> list[str]:
    from rnngraph.cli.arguments import Output

    return [value_of(VERBS[verb], flag) for flag in flags(verb, Output) if flag in VERBS[verb]]


@cache
def undisturbed(verb: str) -> Undisturbed:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepared(folder, verb)
        begin = time.monotonic()
        process = started(verb, folder)
        said = process.communicate()[1]
        assert process.returncode == 0, said
        return Undisturbed(sums(folder), time.monotonic() - begin)


def findings(seed: int, kind: str = "") -> list[str]:
    """What is wrong after the hardship of a seed; nothing where all is well."""
    chance = random.Random(seed)
    kind, verb = kind or KINDS[seed % len(KINDS)], chance.choice(WRITERS)
    whole = undisturbed(verb)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        before = prepared(folder, verb)
        process = started(verb, folder, _limits(kind, chance))
        if kind in SIGNALS:
            _wait(process, chance.uniform(0.0, 1.1) * whole.seconds)
            process.send_signal(SIGNALS[kind])
        said = process.communicate()[1]
        told = f"{kind} {verb}, code {process.returncode}: "
        after = {**sums(folder), **{n: whole.files[n] for n in outputs(verb) if _timed(folder / n, verb, kind)}}
        wrong = [told + w for w in _judged(verb, kind, process.returncode, said, before, after, whole.files)]
        if verb == "train" and not wrong and kind != "memory":
            wrong += [told + w for w in _gone_on(folder, whole)]
        return wrong


def _timed(path: Path, verb: str, kind: str) -> bool:
    """Whether a file is whole of which no two runs make the same bytes: it tells times, or LLVM had no memory, so that
    NumPy's kernels ran."""
    if not path.exists():
        return False
    content = path.read_bytes()
    if verb in ("compare", "bench"):
        return content.rstrip().endswith((b"</html>", b"</svg>"))
    if kind != "memory" or content == OLD or verb not in ("train", "run"):
        return False
    return bool(read_npz(path, "E544") if verb == "run" else rg.load_weights(path))


def _limits(kind: str, chance: random.Random) -> Callable[[], None] | None:
    if kind == "memory":
        bytes = chance.randrange(120, 700) << 20
        return partial(resource.setrlimit, resource.RLIMIT_AS, (bytes, bytes))
    if kind == "disk":
        bytes = int(10 ** chance.uniform(0, 5))
        return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (bytes, bytes))
    return None


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _judged(
    verb: str, kind: str, code: int, said: str, before: dict[str, str], after: dict[str, str], whole: dict[str, str]
) -> list[str]:
    wrong = [] if code in CODES[kind] else [f"ended with {code}: {said[-600:]}"]
    wrong += [f"said {word}: {said[-1500:]}" for word in VERBOSE if word in said]
    wrong += [] if code <= 0 or said.strip() else ["ended without a word"]
    free = {*outputs(verb), *(["small.rnn"] if verb == "fmt" else [])}
    wrong += [f"changed `{name}`" for name in before if name not in free and after.get(name) != before[name]]
    for name in sorted(free & before.keys()):
        if verb == "train" and name.endswith(".checkpoint"):
            continue  # it holds whatever epoch was last
        if after.get(name) not in (before[name], whole.get(name)):
            wrong.append(f"left `{name}` neither old nor new")
    own = {name for name in after if not name.startswith("cache/")}
    left = [n for n in own - before.keys() - whole.keys() if not (kind == "kill" and (PREFIX in n or ".lock" in n))]
    return wrong + [f"left {left}"] * bool(left)


def _gone_on(folder: Path, whole: Undisturbed) -> list[str]:
    """A training that is taken up where it stood ends with the bits of one that was never stopped."""
    if (folder / "c.checkpoint").read_bytes() == OLD:
        return []
    words = [w for w in VERBS["train"] if w not in ("--weights", "w.safetensors")]
    arguments = ["train", *words, *TRAINED, "--resume", "c.checkpoint"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "rnngraph", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        return [f"does not go on: {done.stderr[-600:]}"]
    return [] if sums(folder)["o.safetensors"] == whole.files["o.safetensors"] else ["goes on to other bits"]


if __name__ == "__main__":
    sys.exit(main("hardships", findings))
