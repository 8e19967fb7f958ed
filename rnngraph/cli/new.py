"""`new`: a folder to start from."""

from __future__ import annotations

import click

from rnngraph.cli.arguments import Folder, Verb
from rnngraph.cli.terminal import say
from rnngraph.files.new_folder import fill

MODEL = """\
# The temperature of the next hour, from the temperature and the light of the last day.
# Settings are changed by `--set units=32`; everything else by editing this file.

model Forecast(units = 16) {
  input known: seq[2]  # the temperature first
  input next: [1]

  _, final = unroll GRU(units) over known
  now = last(known)[0:1]
  forecast = now + Dense(1)(final.h)  # what is learned is the change
  output forecast

  loss squared_error(forecast, next)
  metric squared_error(now, next) as unchanged  # the error of saying that nothing changes

  train {
    optimizer adam(rate = 0.005)
    batch 16
    epochs 20
    validation 0.2
    split last
  }
}
"""
TRAIN = (
    "rnngraph train model.rnn --data data.csv --columns known=temperature,light --columns next=temperature"
    " --steps 24 --horizon 1 --order time --standardise --out weights.safetensors"
)
README = f"""\
# A first model

`model.rnn` is a recurrent network, `data.csv` a made-up table: temperature and light, each hour of three weeks. Three
commands, each in one line, in this folder:

    {TRAIN}
    rnngraph predict model.rnn --weights weights.safetensors --data data.csv --out predictions.csv
    rnngraph compare model.rnn --steps 10,100

The first learns the weights from windows of 24 hours; `unchanged` is the error of saying that nothing changes, to
compare the held-back loss with. The second writes a forecast for each hour, in degrees. The third runs the network
unrolled and as a loop, shows that both give the same bits, and what each costs.

Then take a table of your own: `--columns` says which of its columns are read. Or change the model: `rnngraph library`
lists the cells that could take the place of `GRU`, `rnngraph check model.rnn` finds mistakes,
`rnngraph render model.rnn --out model.svg` draws it.
"""


@click.command(cls=Verb)
@click.argument("folder", type=Folder())
def new(folder: str) -> None:
    """Make FOLDER with a model, a small data file, a recipe to train it, and a README of three commands."""
    fill(folder, {"model.rnn": MODEL.encode(), "data.csv": _weather().encode(), "README.md": README.encode()})
    say(f"wrote {folder}: now `cd {folder}`, and the three commands of its README.md")


def _weather() -> str:
    """Temperature and light of each hour of three weeks, by a fixed seed: clouds dim the light, and light warms."""
    import numpy as np

    rng, hours = np.random.default_rng(0), np.arange(21 * 24)
    clouds = np.clip(0.5 + np.cumsum(rng.normal(0, 0.08, len(hours))), 0, 1)
    light = np.maximum(0, np.sin(2 * np.pi * (hours % 24 - 6) / 24)) * (1 - 0.8 * clouds)
    temperature = np.empty(len(hours))
    now = 12.0
    for hour in hours:
        now += 2.5 * light[hour] - 0.12 * (now - 8) + rng.normal(0, 0.1)
        temperature[hour] = now
    times = np.datetime64("2024-05-01T00:00") + hours.astype("timedelta64[h]")
    rows = (f"{t},{x:.2f},{y:.3f}" for t, x, y in zip(times, temperature, light, strict=True))
    return "\n".join(["time,temperature,light", *rows, ""])
