"""`generate`: text from a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rnngraph.cli.arguments import EmptyText, Input, Real, Verb, Whole
from rnngraph.cli.options import MODEL, SEED, dtype_option, read, read_weights
from rnngraph.cli.terminal import console, write_out


@click.command(cls=Verb)
@MODEL
@click.option("--weights", required=True, type=Input(), help="The weights of a trained model.")
@click.option(
    "--prompt",
    type=EmptyText(),
    default="",
    help="The initial text; comma-separated token ids if there is no alphabet.",
)
@click.option("--length", type=Whole(0), default=400, show_default=True, help="Maximum number of tokens.")
@click.option(
    "--temperature", type=Real(0), default=1.0, show_default=True, help="Below 1: more likely text; 0: the most likely."
)
@click.option(
    "--top-k", type=Whole(0), default=0, show_default=True, help="Draw from the K most likely tokens; 0: all."
)
@click.option(
    "--top-p",
    type=Real(),
    default=1.0,
    show_default=True,
    help="Draw from the likeliest with this share of the probability (of the K tokens).",
)
@click.option("--beam", type=Whole(0), default=0, show_default=True, help="Width of a beam search; 0: sampling.")
@click.option(
    "--length-penalty",
    type=Real(),
    metavar="A",
    help="With a beam: texts of n tokens are compared by log probability / ((5 + n) / 6) ** A (Wu and others 2016); "
    "0: by log probability.  [default: by the mean per token]",
)
@click.option("--end", help="The character (or token id) that ends the text.")
@click.option("--alphabet", type=Input(), help="A text with every character once, in the order of their ids.")
@click.option("--tokens", help="The input that takes the text, if ambiguous.")
@click.option("--scores", help="The output that scores the next token, if ambiguous.")
@click.option("--data", "paths", multiple=True, type=Input(), help="Other inputs, such as a source to translate.")
@dtype_option("float32")
@SEED
def generate(
    file: str,
    name: str | None,
    settings: Sequence[str],
    weights: str,
    prompt: str,
    alphabet: str | None,
    paths: Sequence[str],
    dtype: str | None,
    **style: Any,
) -> None:
    """Write text with a trained model that scores the next token at each step."""
    from rnngraph.data.read import load
    from rnngraph.data.vocabulary import alphabet_in, characters
    from rnngraph.generation.generate import generated
    from rnngraph.language.syntax.parser import read_source
    from rnngraph.run_options import run_options

    model = read(file, name, settings, weights)
    dtype = run_options(model, dtype=dtype, dtype_default="float32").dtype
    data, given = load(paths), read_weights(model, weights, 0, dtype)
    known = characters(read_source(Path(alphabet)).text) if alphabet else alphabet_in(given.about.data)
    with console(stderr=True).status("") as status:
        style |= {"alphabet": known, "spare": not alphabet, "dtype": dtype, "progress": status.update}
        text = generated(model, given, prompt, data, **style)
    write_out(text)
