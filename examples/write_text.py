"""Let a trained character model write: `python examples/write_text.py chars.safetensors --characters 400`.

The model reads one character at a time and is given its own last one next. Its state is handed on from call
to call under the names of the final states.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import rnngraph as rg

FOLDER = Path(__file__).parent


def write(weights: str, characters: int, start: str, temperature: float, seed: int) -> str:
    """`start`, and so many characters after it, drawn from softmax(scores / temperature)."""
    alphabet = sorted(set((FOLDER / "data" / "pride_and_prejudice.txt").read_text(encoding="utf-8")))
    unknown = sorted(set(start) - set(alphabet))
    if unknown or not start:
        raise click.BadParameter(
            f"the text to begin with is empty or has {unknown}, which the model never read"
        )
    program = rg.load(FOLDER / "chars.rnn").compile(unroll="dynamic", dtype="float32", gradient=False)
    given, rng = rg.load_weights(weights), np.random.default_rng(seed)
    text, states, read = start, {}, start
    for _ in range(characters):
        ids = np.array([[alphabet.index(character) for character in read]])
        results = program.run({"text": ids, "following": np.zeros_like(ids), **states}, given)
        states = {name: results[name] for name in ("final.c", "final.h")}
        read = alphabet[drawn(results["scores"][0, -1], temperature, rng)]
        text += read
    return text


def drawn(scores: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """An id, by the scores: adding Gumbel noise and taking the largest draws from the softmax."""
    return int(np.argmax(scores / temperature + rng.gumbel(size=scores.shape)))


@click.command()
@click.argument("weights", type=click.Path(exists=True, dir_okay=False))
@click.option("--characters", default=400, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--start", default="It is a truth", show_default=True, help="The text to begin with.")
@click.option("--temperature", default=0.6, show_default=True, type=click.FloatRange(0.01, 10))
@click.option("--seed", default=0, show_default=True)
def main(weights: str, characters: int, start: str, temperature: float, seed: int) -> None:
    """Write a text with the weights of a trained examples/chars.rnn."""
    click.echo(write(weights, characters, start, temperature, seed))


if __name__ == "__main__":
    main()
