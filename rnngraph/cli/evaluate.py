"""`evaluate`: the loss and the metrics of a trained model on data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rnngraph.cli.arguments import Input, Verb
from rnngraph.cli.data_options import DATA_OPTIONS, read_data
from rnngraph.cli.options import BACKEND, JSON, KERNELS, MODEL, PRODUCTS, dtype_option, read_trained
from rnngraph.cli.terminal import say, say_json
from rnngraph.distributed.processes import ALONE, Processes


@click.command(cls=Verb)
@MODEL
@click.option("--weights", required=True, type=Input(), help="The weights of a trained model.")
@DATA_OPTIONS
@BACKEND
@KERNELS
@PRODUCTS
@dtype_option("float32")
@JSON
@click.pass_obj
def evaluate(
    among: Processes | None,
    /,
    file: str,
    name: str | None,
    settings: Sequence[str],
    weights: str,
    paths: Sequence[str],
    backend: str | None,
    kernels: str | None,
    products: str | None,
    dtype: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Print the loss and the metrics of a trained model on data."""
    from rnngraph.cli.printing import metrics_text
    from rnngraph.training.train import tester

    flags = {"backend": backend, "kernels": kernels, "products": products, "dtype": dtype}
    model, options, given = read_trained(file, name, settings, weights, **flags)
    data = read_data(model, paths, asked, given.about.data)
    found = tester(model, data, options, among or ALONE)(model.own(given, data))
    if as_json:
        say_json(found)
    else:
        say(metrics_text(found))
