"""`import`: the model of another tool as a .rnn file and its weights."""

from __future__ import annotations

from pathlib import Path

import click

from rnngraph.cli.arguments import Input, Output, Verb
from rnngraph.cli.terminal import say, warn


@click.command("import", cls=Verb)
@click.argument("file", type=Input())
@click.option("--out", type=Output("a model", "rnn"), required=True, help="The .rnn file to write.")
@click.option("--weights", type=Output("weights", "safetensors"), required=True, help="The .safetensors file to write.")
def import_(file: str, out: str, weights: str) -> None:
    """Write the model in FILE (.onnx, .keras or .h5) as a .rnn file, with its weights. Nothing in FILE is executed."""
    from rnngraph.diagnostics.errors import UserError
    from rnngraph.exchange.importing.importer import import_model
    from rnngraph.files.atomic_writes import write_aside
    from rnngraph.weights.save_load import save_weights

    for path in (out, weights):  # somebody may have written the one, and trained the other
        if Path(path).is_file():
            raise UserError(f"`{path}` is there already", "E764", "name another file, or delete this one")
    made = import_model(file)
    for note in made.notes:
        warn(note)
    save_weights(weights, made.weights)
    write_aside(out, made.text.encode())
    (warn if made.difference is None else say)(made.checked)
    say(f"wrote {out} and {weights}: {len(made.weights)} arrays")
