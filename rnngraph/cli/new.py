"""`new`: a folder to start from."""

from __future__ import annotations

import click

from rnngraph.cli.arguments import Folder, Verb
from rnngraph.cli.terminal import say
from rnngraph.files.folders import fill

MODEL = """\
# What comes next in a noisy wave: after every step the model says the next number.
# Settings are changed by `--set units=32`; everything else by editing this file.

model Wave(units = 16) {
  input x: seq
  input next: seq

  y, _ = unroll GRU(units) over [x]
  guess = Dense(1)(y)[0]
  output guess

  error = guess - next
  loss mean(error * error)

  train {
    optimizer adam(rate = 0.01)
    batch 16
    epochs 20
    validation 0.2
  }
}
"""
README = """\
# A first model

`model.rnn` is a recurrent network, `data.json` has 64 noisy waves of 24 steps. Three commands, in this folder:

    rnngraph train model.rnn --data data.json --out weights.safetensors
    rnngraph run model.rnn --data data.json --weights weights.safetensors --out results.json
    rnngraph compare model.rnn --steps 10,100

The first learns the weights. The second writes what the model says of each step. The third runs the network unrolled
and as a loop, shows that both give the same bits, and what each costs.

Then change the model: `rnngraph library` lists the cells that could take the place of `GRU`,
`rnngraph check model.rnn` finds mistakes, `rnngraph render model.rnn --out model.svg` draws it.
"""


@click.command(cls=Verb)
@click.argument("folder", type=Folder())
def new(folder: str) -> None:
    """Make FOLDER with a model, a small data file, a recipe to train it, and a README of three commands."""
    fill(folder, {"model.rnn": MODEL.encode(), "data.json": _waves().encode(), "README.md": README.encode()})
    say(f"wrote {folder}: now `cd {folder}`, and the three commands of its README.md")


def _waves() -> str:
    """64 waves of 24 steps, each with its own length and start, and what follows each step."""
    import json

    import numpy as np

    rng = np.random.default_rng(0)
    turn, start = rng.uniform(0.3, 0.9, (64, 1)), rng.uniform(0, 2 * np.pi, (64, 1))
    wave = np.round(np.sin(start + turn * np.arange(25)) + rng.normal(0, 0.05, (64, 25)), 3)
    return json.dumps({"x": wave[:, :-1].tolist(), "next": wave[:, 1:].tolist()})
