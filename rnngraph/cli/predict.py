"""`predict`: what a trained model says of new data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rnngraph.cli.arguments import Input, Output, Verb
from rnngraph.cli.data_options import DATA_OPTIONS, read_data
from rnngraph.cli.options import BACKEND, JSON, KERNELS, MODEL, PRODUCTS, dtype_option, read_trained, tell_written
from rnngraph.cli.terminal import say, say_json, show_all, warn

PREDICTIONS = Output("predictions", "csv", "npz", "json", "safetensors")
SHOWN = 20
"""Rows at the terminal."""


@click.command(cls=Verb)
@MODEL
@click.option("--weights", required=True, type=Input(), help="The weights of a trained model.")
@DATA_OPTIONS
@click.option("--out", type=PREDICTIONS, help="Write them here: .csv with ids or dates beside, .npz, .json.")
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@JSON
def predict(
    file: str,
    name: str | None,
    settings: Sequence[str],
    weights: str,
    paths: Sequence[str],
    out: str | None,
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Give a trained model's outputs for data, in the units of the table that it was trained on."""
    from rnngraph.cli.printing import results_json, results_text, rows_table

    flags = {"backend": backend, "kernels": kernels, "products": products, "dtype": dtype}
    model, options, given = read_trained(file, name, settings, weights, **flags)
    known = [i.name for i in model.inputs if i.name not in model.roles.targets]
    found = model.predict(read_data(model, paths, asked, given.about.data, only=known), given, options)
    if found.scaled:
        few = ", ".join(f"`{n}`" for n in found.scaled)
        warn(f"{few}: still scaled, since the loss does not compare it, as a whole, with a standardised column")
    if out:
        tell_written(out, found.save(out), found, as_json)
    if as_json:
        say_json(results_json(found, whole=not out))
    elif not out and found.rows.names:
        show_all(*rows_table(found.arrays, found.rows, SHOWN))
    elif not out:
        say(results_text(found))
