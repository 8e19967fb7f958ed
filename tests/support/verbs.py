"""Every verb of the command line with files that it reads and writes, for the tests that walk them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import rnngraph as rg
from rnngraph.cli.help import verbs
from rnngraph.cli.main import cli
from rnngraph.exchange.export.onnx.export import to_onnx
from rnngraph.exchange.export.request import Wanted

MODEL = """\
model Small(units = 4) {
  input x: seq[3]
  input size: seq[]
  y, final = unroll LSTM(units) over x
  guess = Dense(1)(y)
  output guess, final
  loss mean((guess[0] - size) * (guess[0] - size))
  train {
    optimizer adam(rate = 0.01)
    batch 8
    epochs 2
  }
}
"""
WRITER = """\
model Writer {
  input token: seq int
  y, final = unroll LSTM(4) over Embedding(5, 3)(token)
  scores = Dense(5)(y)
  output scores, final
}
"""

_TABLE = """
new fresh
examples stack --copy fresh
library LSTM
doctor
check small.rnn
fmt small.rnn
lsp
show small.rnn
summary small.rnn
run small.rnn --data d.npz --weights w.safetensors --out out.npz
train small.rnn --data d.npz --validation-data v.npz --test t.npz --weights w.safetensors --out o.safetensors \
  --checkpoint c.checkpoint --log log.csv --curves curves.svg
sweep small.rnn --data d.npz --vary epochs=1 --validation-data v.npz --test t.npz --out out.csv --picture out.svg
evaluate small.rnn --data d.npz --weights w.safetensors
predict small.rnn --data d.npz --weights w.safetensors --out out.npz
render small.rnn --out out.svg
explore small.rnn --data d.npz --weights w.safetensors --out out.html
compare small.rnn --steps 2 --batch 2 --repeats 1 --page out.html --plots plots --memory out.svg
bench small.rnn --steps 2 --batch 2 --seconds 0 --picture out.svg
cost small.rnn
generate writer.rnn --weights g.safetensors --alphabet a.txt --length 3 --prompt a
weights show w.safetensors
weights convert w.safetensors --model small.rnn --out out.safetensors
export small.rnn --to numpy --weights w.safetensors --out out.py
import small.onnx --out out.rnn --weights out.safetensors
"""


def _verbs(table: str) -> Iterator[tuple[str, list[str]]]:
    for line in table.replace("\\\n", "").split("\n"):
        words = line.split()
        if words:
            count = 2 if words[0] == "weights" else 1
            yield " ".join(words[:count]), words[count:]


VERBS = dict(_verbs(_TABLE))
"""Every verb, with every file that it may read or write."""


COMMANDS = dict(verbs(cli))


def flags(verb: str, kind: type) -> list[str]:
    """The options of a verb whose value is of a kind."""
    found = [p for p in COMMANDS[verb].params if isinstance(p.type, kind)]
    return [p.opts[0] for p in found if isinstance(p, click.Option)]


def furnish(folder: Path) -> None:
    """Puts the files that the table names into a folder."""
    for name, content in _files().items():
        (folder / name).write_bytes(content)


@cache
def _files() -> dict[str, bytes]:
    with TemporaryDirectory() as place:
        _make_files(Path(place))
        return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def _make_files(folder: Path) -> None:
    (folder / "small.rnn").write_text(MODEL)
    (folder / "writer.rnn").write_text(WRITER)
    (folder / "a.txt").write_text("abcde")
    for name in ("d", "v", "t"):
        x = np.random.default_rng(len(name)).normal(size=(16, 6, 3))
        np.savez(folder / f"{name}.npz", x=x, size=x.sum(-1))
    small = rg.load(folder / "small.rnn")
    rg.save_weights(folder / "w.safetensors", small.init(0))
    (folder / "small.onnx").write_bytes(to_onnx(small, small.init(0), Wanted(), True))
    rg.save_weights(folder / "g.safetensors", rg.load(folder / "writer.rnn").init(0))


def sums(folder: Path | None = None) -> dict[str, str]:
    """What every file of a folder (the present one) holds."""
    top = folder or Path()
    files = (p for p in top.rglob("*") if p.is_file())
    return {str(p.relative_to(top)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def value_of(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def with_value(arguments: list[str], flag: str, value: str) -> list[str]:
    at = arguments.index(flag) + 1
    return [*arguments[:at], value, *arguments[at + 1 :]]
