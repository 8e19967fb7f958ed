"""The verbs `weights` and `export` of the command line: arguments to calls, results to text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Output, Verbs
from rnngraph.cli.options import given_once
from rnngraph.cli.options import read as read_model
from rnngraph.cli.terminal import cell, say, say_json, show_all

if TYPE_CHECKING:
    from rnngraph.exchange.conversion.convert import Converted
    from rnngraph.weights.metadata import About

LAYOUT = click.Choice(["tf1", "keras", "torch", "onnx", "rnngraph"])


@click.group(cls=Verbs)
def weights() -> None:
    """Show weight files, and convert them from and to other tools."""


@weights.command()
@click.argument("file", type=Input())
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def show(file: str, as_json: bool) -> None:
    """Print name, shape, type, bytes and range of every array of FILE, its likely layout, and its model."""
    from rnngraph.exchange.conversion.detect import looks_like
    from rnngraph.exchange.formats.listing import shown
    from rnngraph.exchange.formats.read import read

    found = read(file)
    about = _about(file)
    rows, layout = shown(found), found.layout or looks_like(found.arrays)
    heads = ("name", "shape", "type", "bytes", "min", "mean", "max")
    if as_json:
        told: dict[str, Any] = {"layout": layout, "arrays": [dict(zip(heads, row, strict=True)) for row in rows]}
        told |= {"about": about.as_json()} if about else {}
        say_json(told, indent=2)
        return
    from rich.table import Column, Table

    table = Table(Column("name", overflow="fold"), *heads[1:], box=None)
    for row in rows:
        table.add_row(*(f"{entry:,}" if isinstance(entry, int) else cell(entry) for entry in row))
    show_all(table)
    for line in about.lines() if about else ():
        say(line)
    if layout:
        say(f"the names look like the layout `{layout}`")


@weights.command()
@click.argument("file", type=Input())
@click.option("--from", "source", type=LAYOUT, help="The layout of FILE.  [default: detected from its names]")
@click.option("--to", "target", type=LAYOUT, default="rnngraph", show_default=True, help="The layout to write.")
@click.option("--model", "model_file", type=Input(), required=True, help="The .rnn file that the weights are for.")
@click.option("--name", metavar="NAME", help="Which model, if the file has several.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, such as --set units=64.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS", help="A layer and its module in the other tool.")
@click.option("--assume", multiple=True, metavar="OPTION=VALUE", help="What the file does not contain: forget_bias=0.")
@click.option("--out", type=Output("weights", "safetensors"), required=True, help="The .safetensors file to write.")
def convert(
    file: str,
    source: str | None,
    target: str,
    model_file: str,
    name: str | None,
    settings: Sequence[str],
    pairs: Sequence[str],
    assume: Sequence[str],
    out: str,
) -> None:
    """Write the weights of FILE in another layout. Every layer is checked by running both definitions."""
    from msgspec.structs import replace

    from rnngraph.diagnostics.errors import UserError
    from rnngraph.exchange.conversion.convert import OURS
    from rnngraph.exchange.conversion.convert import convert as converted
    from rnngraph.exchange.conversion.detect import TITLES, looks_like
    from rnngraph.exchange.export.scaling import scaling_note
    from rnngraph.exchange.formats.read import read
    from rnngraph.weights.save_load import Weights, save_weights

    said = [
        given_once([_pair(text) for text in told], what, "E698")
        for told, what in ((pairs, "the layer"), (assume, "the option"))
    ]
    found = read(file)
    layout = source or found.layout or looks_like(found.arrays)
    if source is None and layout and not found.layout:
        say(f"read as {TITLES[layout]}'s, judging by the names; `--from` overrides this")
    model, about = read_model(model_file, name, settings), _about(file)
    if layout is None and not found.arrays.keys() & {w.name for w in model.weights}:
        raise UserError(
            f"the names in `{file}` are neither this model's nor those of a known tool",
            "E690",
            f"name its tool, as in `--from torch`; it has {', '.join(f'`{n}`' for n in list(found.arrays)[:6])}",
        )
    made = converted(model, found, layout or OURS, target, *said)
    # They are weights of this model from now on, whatever they were of; their data mean what they meant.
    known = Weights(made.arrays, replace(model.about, dtype=about.dtype, data=about.data) if about else None)
    save_weights(out, known if target == OURS else made.arrays)
    _tell(made)
    say(f"wrote {out}: {len(made.arrays)} arrays")
    if target != OURS and (scaled := scaling_note(model, known, loss=False)):
        say(scaled)


def _about(file: str) -> About:
    """What a file of ours says of itself."""
    from rnngraph.weights.metadata import About
    from rnngraph.weights.save_load import load_about

    return load_about(file) if file.lower().endswith((".safetensors", ".checkpoint")) else About()


def _tell(made: Converted) -> None:
    """What was made of what, what was assumed, and what was left out: an optimiser's arrays in one line."""
    from rnngraph.exchange.conversion.report import OF_TRAINING

    for line in made.told:
        say(line)
    for line in made.assumed:
        say(f"assumed for {line}", err=True)
    trained = [name for name, why in made.left.items() if why == OF_TRAINING]
    for name, why in made.left.items():
        if why != OF_TRAINING:
            told = f"`{name}` is not in the model and was left out{f' ({why})' if why else ''}"
            say(f"warning: {told}", err=True)
    if trained:
        say(f"warning: left out the state of an optimiser: {len(trained)} arrays as `{trained[0]}`", err=True)


def _pair(text: str) -> tuple[str, str]:
    from rnngraph.diagnostics.errors import UserError

    ours, sign, theirs = text.partition("=")
    if not sign:
        raise UserError(f"`{text}` is not a pair", "E698", "write it as `--map encoder=lstm`, `--assume forget_bias=0`")
    return ours, theirs
