"""`export`: a model with its weights for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from rnngraph.cli.arguments import Input, Output, Paths, Steps, Verb
from rnngraph.cli.options import ANY, chance_told, read_weights
from rnngraph.cli.options import read as read_model
from rnngraph.cli.terminal import say, warn
from rnngraph.diagnostics.errors import UserError


def _beside(given: Mapping[str, Any]) -> Paths:
    """Large weights stand in a file of their own, beside the one in Python."""
    from rnngraph.exchange.export.numpy.export import beside

    out = given["out"]
    return {"--out": [out, str(beside(out))]} if _target(given["target"], out) == "numpy" else {}


def _target(told: str | None, out: str) -> str:
    """The format to write: the one that is told, else that of the file's ending."""
    return told or ("onnx" if out.lower().endswith(".onnx") else "numpy")


@click.command(cls=Verb, also=_beside)
@click.argument("file", type=Input())
@click.option("--model", "name", metavar="NAME", help="Which model, if the file has several.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, such as --set units=64.")
@click.option(
    "--to", "target", type=click.Choice(["onnx", "numpy"]), help="The format.  [default: by the ending of --out]"
)
@click.option("--weights", "path", type=Input(), help="A .safetensors file; without it, new weights by --seed.")
@click.option("--seed", type=ANY, default=0, show_default=True, help="Seed of new weights.")
@click.option(
    "--unroll",
    type=click.Choice(["dynamic", "static"]),
    default="dynamic",
    show_default=True,
    help="A loop over any number of steps, or --steps unrolled steps.",
)
@click.option("--steps", type=Steps(), help="Steps of a static export: for all axes, or for each.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="[default: float32 for onnx, else float64]")
@click.option("--lengths/--no-lengths", default=None, help="Real lengths as inputs.  [default: for numpy]")
@click.option("--states/--no-states", default=True, show_default=True, help="Initial states as inputs.")
@click.option("--loss", is_flag=True, help="The loss and the metrics as outputs too.")
@click.option("--operators", is_flag=True, help="ONNX: library cells as the operators LSTM, GRU and RNN.")
@click.option("--out", type=Output("a model", "onnx", "py"), required=True, help="The .onnx or .py file to write.")
def export(
    file: str,
    name: str | None,
    settings: Sequence[str],
    target: str | None,
    path: str | None,
    seed: int,
    unroll: str,
    steps: int | dict[str, int] | None,
    dtype: str | None,
    lengths: bool | None,
    states: bool,
    loss: bool,
    operators: bool,
    out: str,
) -> None:
    """Write the model with its weights as an ONNX file, or as a Python file that needs only NumPy."""
    from rnngraph.exchange.export.files import write_numpy, write_onnx
    from rnngraph.exchange.export.flags import refuse_idle
    from rnngraph.exchange.export.request import Wanted
    from rnngraph.exchange.export.scaling import scaling_note
    from rnngraph.files.atomic_writes import form_of

    target = _target(target, out)
    form_of(out, ["onnx" if target == "onnx" else "py"], f"a model in {'ONNX' if target == 'onnx' else 'NumPy'}")
    written = _written(click.get_current_context())
    if "seed" in written and path is not None:
        told = "`--seed` is for new weights, and `--weights` gives them"
        raise UserError(told, "E623", "leave out one of the two flags")
    model = read_model(file, name, settings, path)
    chance_told(path, model)
    refuse_idle(model, {**written, "target": target})
    asked = dtype or ("float32" if target == "onnx" else "float64")
    padded = target == "numpy" if lengths is None else lengths
    random = path is None and model.weights
    given = read_weights(model, path, seed, "float64")
    scaled = scaling_note(model, given, loss)
    note = f"Its weights are random numbers by seed {seed}; it is not trained." if random else scaled
    wanted = Wanted(unroll, steps, padded, states, loss, asked, note)
    if target == "onnx":
        if not write_onnx(out, model, given, wanted, operators) and operators:
            warn("no cell of the model is exactly an ONNX operator, so none was written")
        say(f"wrote {out}")
    else:
        for file_written in write_numpy(out, model, given, wanted):
            say(f"wrote {file_written}")
    if scaled:
        say(scaled)


def _written(context: click.Context) -> dict[str, Any]:
    """The parameters that stand on the command line."""
    source = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in context.params.items() if context.get_parameter_source(name) is source}
