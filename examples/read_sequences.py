"""Let a trained sequence model read what it never saw: `python examples/read_sequences.py dates dates.safetensors`.

Prints some held-back rows as the model reads them, and figures over all of them that `rnngraph train` does not
print: whole words, dates as the model writes them by itself, mistakes for each digit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from make_sequences import SIGNS, WORDS
from sequence_baselines import cut_rows, found, lines, read, readings, vocabulary

import rnngraph as rg

FOLDER = Path(__file__).parent

Rows = dict[str, Any]


def word_ends(rows: Rows, results: Rows) -> tuple[str, list[str]]:
    """Letters that are rightly said to end a word or not, words (F1) with both ends right, new words."""
    ours = lines(rows, results["found"])
    score = found(ours, lines(rows), vocabulary(lines(read("word_ends-train"))))
    return str(score), [" ".join(row) for row in ours]


def dates(rows: Rows, results: Rows) -> tuple[str, list[str]]:
    """Dates written without a mistake when each sign is read from the model's own last one."""
    said = [" ".join(WORDS[i] for i in row) for row in cut_rows(rows, "words")]
    ours, theirs = [[date(row) for row in array] for array in (results["written"], rows["digits"])]
    exact = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)
    return f"{exact:.4f} of the dates", [f"{a}: {b}" for a, b in zip(said, ours, strict=True)]


def date(signs: Any) -> str:
    """The signs up to the first 0, which ends a date."""
    ids = [*signs.tolist(), 0]
    return "".join(SIGNS[i] for i in ids[: ids.index(0)])


def strips(rows: Rows, results: Rows) -> tuple[str, list[str]]:
    """Strips without a mistake, and mistakes for each digit."""
    ours = [[label - 1 for label in row[:n]] for row, n in zip(results["read"], results["count"], strict=True)]
    theirs = [row.tolist() for row in cut_rows(rows, "digits")]
    score = readings(ours, theirs)
    shown = [f"{_number(a)} (written: {_number(b)})" for a, b in zip(ours, theirs, strict=True)]
    return f"{score.exact:.4f} of the strips, {score.mistakes:.4f} mistakes a digit", shown


def _number(digits: list[int]) -> str:
    return "".join(map(str, digits))


TASKS = {"word_ends": word_ends, "dates": dates, "strips": strips}


def judged(name: str, weights: Rows, rows: Rows, **settings: Any) -> tuple[str, list[str]]:
    """The figures of some rows, as a line, and each row as it was read."""
    program = rg.load(FOLDER / f"{name}.rnn", **settings).compile(dtype="float32")
    return TASKS[name](rows, program.run(rows, weights))


@click.command()
@click.argument("name", type=click.Choice(list(TASKS)))
@click.argument("weights", type=click.Path(exists=True, dir_okay=False))
@click.option("--show", default=5, show_default=True, type=click.IntRange(0, 1000), help="Rows to print.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting that it was trained with.")
def main(name: str, weights: str, show: int, settings: tuple[str, ...]) -> None:
    """Read the held-back rows of a sequence example with trained weights."""
    given = {key: json.loads(value) for key, _, value in (text.partition("=") for text in settings)}
    figures, shown = judged(name, rg.load_weights(weights), read(f"{name}-test"), **given)
    for line in shown[:show]:
        click.echo(line)
    click.echo(figures)


if __name__ == "__main__":
    main()
