"""The verbs `weights` and `export` of the command line: arguments to calls, results to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.arguments import Input, Output, Paths, Verb, Verbs
from rnngraph.options import ANY, chance_told, given_once
from rnngraph.options import read as read_model
from rnngraph.terminal import cell, say, say_json, show_all, warn

if TYPE_CHECKING:
    from rnngraph.exchange.convert import Converted

LAYOUT = click.Choice(["tf1", "keras", "torch", "onnx", "rnngraph"])


@click.group(cls=Verbs)
def weights() -> None:
    """Look at files of weights, and convert them from and to other tools."""


@weights.command()
@click.argument("file", type=Input())
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def show(file: str, as_json: bool) -> None:
    """Print name, shape, type, bytes and extent of every array of FILE, and the layout that it looks like."""
    from rnngraph.exchange.files import read
    from rnngraph.exchange.looks import looks_like
    from rnngraph.exchange.show import shown

    found = read(file)
    rows, layout = shown(found), found.layout or looks_like(found.arrays)
    heads = ("name", "shape", "type", "bytes", "min", "mean", "max")
    if as_json:
        told = {"layout": layout, "arrays": [dict(zip(heads, row, strict=True)) for row in rows]}
        say_json(told, indent=2)
        return
    from rich.table import Column, Table

    table = Table(Column("name", overflow="fold"), *heads[1:], box=None)
    for row in rows:
        table.add_row(*(f"{entry:,}" if isinstance(entry, int) else cell(entry) for entry in row))
    show_all(table)
    if layout:
        say(f"the names look like the layout `{layout}`")


@weights.command()
@click.argument("file", type=Input())
@click.option("--from", "source", type=LAYOUT, help="The layout of FILE; seen from its names without it.")
@click.option("--to", "target", type=LAYOUT, default="rnngraph", show_default=True, help="The layout to write.")
@click.option("--model", "model_file", type=Input(), required=True, help="The .rnn file that the weights are for.")
@click.option("--name", metavar="NAME", help="Which model, where the file has several.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, as --set units=64.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS", help="A layer and its module elsewhere.")
@click.option("--assume", multiple=True, metavar="OPTION=VALUE", help="What the file does not say: forget_bias=0.")
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
    from rnngraph.diagnostics import UserError
    from rnngraph.exchange.convert import OURS
    from rnngraph.exchange.convert import convert as converted
    from rnngraph.exchange.files import read
    from rnngraph.exchange.looks import TITLES, looks_like
    from rnngraph.learn.weights import save_weights

    said = [
        given_once([_pair(text) for text in told], what, "E698")
        for told, what in ((pairs, "the layer"), (assume, "the option"))
    ]
    found = read(file)
    layout = source or found.layout or looks_like(found.arrays)
    if source is None and layout and not found.layout:
        say(f"read as {TITLES[layout]}'s, which the names look like; `--from` says otherwise")
    model = read_model(model_file, name, settings)
    if layout is None and not found.arrays.keys() & {w.name for w in model.weights}:
        raise UserError(
            f"the names in `{file}` are not this model's, nor do they look like those of another tool",
            "E690",
            f"say which tool wrote it, as `--from torch`; it has {', '.join(f'`{n}`' for n in list(found.arrays)[:6])}",
        )
    made = converted(model, found, layout or OURS, target, *said)
    save_weights(out, made.arrays)
    _tell(made)
    say(f"wrote {out}: {len(made.arrays)} arrays")


def _tell(made: Converted) -> None:
    """What was made of what, what was assumed, and what was left out: an optimiser's arrays in one line."""
    from rnngraph.exchange.account import OF_TRAINING

    for line in made.told:
        say(line)
    for line in made.assumed:
        say(f"assumed for {line}", err=True)
    trained = [name for name, why in made.left.items() if why == OF_TRAINING]
    for name, why in made.left.items():
        if why != OF_TRAINING:
            told = f"`{name}` has no place in the model and was left out{f' ({why})' if why else ''}"
            say(f"warning: {told}", err=True)
    if trained:
        say(f"warning: left out what an optimiser keeps: {len(trained)} arrays as `{trained[0]}`", err=True)


def _beside(given: Mapping[str, Any]) -> Paths:
    """Large weights stand in a file of their own, beside the one in Python."""
    from rnngraph.exchange.numpy_export import beside

    return {"--out": [given["out"], str(beside(given["out"]))]} if given["target"] == "numpy" else {}


@click.command(cls=Verb, also=_beside)
@click.argument("file", type=Input())
@click.option("--model", "name", metavar="NAME", help="Which model, where the file has several.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, as --set units=64.")
@click.option("--to", "target", type=click.Choice(["onnx", "numpy"]), required=True, help="The format to write.")
@click.option("--weights", "path", type=Input(), help="A .safetensors file; new weights by --seed without it.")
@click.option("--seed", type=ANY, default=0, show_default=True, help="Seed of new weights.")
@click.option(
    "--unroll",
    type=click.Choice(["dynamic", "static"]),
    default="dynamic",
    show_default=True,
    help="A loop over any number of steps, or --steps steps one after the other.",
)
@click.option("--steps", metavar="N|AXIS=N,...", help="Steps of a static export: of every axis, or of each.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="[default: float32 for onnx, else float64]")
@click.option("--lengths/--no-lengths", default=None, help="Real lengths as inputs.  [default: for numpy]")
@click.option("--states/--no-states", default=True, show_default=True, help="Initial states as inputs.")
@click.option("--loss", is_flag=True, help="The loss and the metrics as outputs too.")
@click.option("--operators", is_flag=True, help="ONNX: library cells as its operators LSTM, GRU and RNN.")
@click.option("--out", type=Output("a model", "onnx", "py"), required=True, help="The .onnx or .py file to write.")
def export(
    file: str,
    name: str | None,
    settings: Sequence[str],
    target: str,
    path: str | None,
    seed: int,
    unroll: str,
    steps: str | None,
    dtype: str | None,
    lengths: bool | None,
    states: bool,
    loss: bool,
    operators: bool,
    out: str,
) -> None:
    """Write the model with its weights as an ONNX file, or as a Python file with nothing but NumPy in it."""
    from rnngraph.exchange.chosen import Wanted
    from rnngraph.exchange.flags import refuse_idle, steps_in
    from rnngraph.files.outputs import form_of, write_aside

    form_of(out, ["onnx" if target == "onnx" else "py"], f"a model in {'ONNX' if target == 'onnx' else 'NumPy'}")
    model = read_model(file, name, settings)
    chance_told(path, model)
    refuse_idle(model, _written(click.get_current_context()))
    asked = dtype or ("float32" if target == "onnx" else "float64")
    padded = target == "numpy" if lengths is None else lengths
    random = path is None and model.weights
    note = f"Its weights are random numbers by seed {seed}; it is not trained." if random else ""
    wanted = Wanted(unroll, steps_in(steps), padded, states, loss, asked, note)
    given = _weights(path, model, seed)
    if target == "onnx":
        from rnngraph.exchange.onnx_export import operators_in, to_onnx

        file_content = to_onnx(model, given, wanted, operators)
        if operators and not operators_in(file_content):
            warn("no cell of the model is exactly an operator of ONNX, so none was written")
        write_aside(out, file_content)
        say(f"wrote {out}")
        return
    from rnngraph.exchange.numpy_export import beside, to_numpy

    written = to_numpy(model, given, wanted)
    if written.arrays is not None:
        from rnngraph.files.archives import write_npz

        write_npz(beside(out), written.arrays)
        say(f"wrote {beside(out)}")
    write_aside(out, written.text.encode())
    say(f"wrote {out}")


def _written(context: click.Context) -> dict[str, Any]:
    """The parameters that stand on the command line."""
    source = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in context.params.items() if context.get_parameter_source(name) is source}


def _weights(path: str | None, model: Any, seed: int) -> Any:
    from rnngraph.learn.weights import load_weights

    return model.init(seed) if path is None else load_weights(path)


def _pair(text: str) -> tuple[str, str]:
    from rnngraph.diagnostics import UserError

    ours, sign, theirs = text.partition("=")
    if not sign:
        raise UserError(f"`{text}` is no pair", "E698", "write it as `--map encoder=lstm` or `--assume forget_bias=0`")
    return ours, theirs
