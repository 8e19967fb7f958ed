"""What the verbs of the command line share: options, reading a model, telling mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rnngraph.cli.arguments import Input, Plot, Verb, Whole
from rnngraph.cli.terminal import say, show_all, tell, warn
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.atomic_writes import refuse_clashes

if TYPE_CHECKING:
    from rnngraph.analysis.results import Profile
    from rnngraph.api import Model
    from rnngraph.run_options import RunOptions
    from rnngraph.weights.metadata import About
    from rnngraph.weights.save_load import Weights

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_group(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


ANY = Whole(-(2**63))
TIMES = Plot("a picture", "svg", "png", "pdf")
FILE = click.argument("file", type=Input())
MODEL = option_group(
    FILE,
    click.option("--model", "name", metavar="NAME", help="Which model, if the file has several."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, such as --set units=64."),
)
UNROLL = click.option(
    "--unroll",
    metavar="static|dynamic|K",
    help="One copy of the cell per step, a while-loop, or K steps per loop iteration."
    "  [default: the `schedule` block's, else dynamic]",
)
BACKEND = click.option("--backend", help="numpy or cupy.  [default: the `schedule` block's, else numpy]")
KERNELS = click.option("--kernels", help="native (compiled) or numpy.  [default: native if available]")
PRODUCTS = click.option(
    "--products",
    metavar="bf16|tf32|float32",
    help="With --backend cupy: round the operands of products, for tensor cores.  [default: as --dtype]",
)
KEEP = click.option(
    "--keep",
    metavar="all|every:K|sqrt|revolve:SLOTS|mixed:PERCENT",
    help="What is kept for the backward pass; the rest is recomputed.  [default: the `schedule` block's, else all]",
)
MEMORY_LIMIT = click.option(
    "--memory-limit", metavar="512MB", help="Use the fastest schedule that fits: what is kept, what is recomputed."
)
SWAP = click.option(
    "--swap",
    metavar="FOLDER|host",
    help="Keep what the backward pass needs in a file in this folder; for a GPU, in the host's memory.",
)
TRUNCATE = click.option(
    "--truncate", metavar="K", help="Stop gradients through states at every K-th step: not the exact gradient."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
LINES = click.option("--lines", type=Whole(), default=12, show_default=True, help="Number of source lines to show.")
PICTURE = click.option("--picture", type=TIMES, help="Draw the times by line: .svg, .png or .pdf.")
SEED = click.option("--seed", type=ANY, default=0, show_default=True, help="Seed of new weights and of random numbers.")


def dtype_option(default: str) -> Decorator:
    """The type of numbers; the default is the verb's own, where neither flag nor `schedule` block says one."""
    return click.option("--dtype", help=f"float32 or float64.  [default: the `schedule` block's, else {default}]")


def read(file: str, name: str | None, settings: Sequence[str], weights: str | None = None) -> Model:
    """The model of a file, with the settings that a weight file tells under those that are given; its warnings are
    told."""
    from rnngraph.api import load

    given = settings_of(settings)
    about = _about(weights)
    try:
        model = load(file, name or about.model or None, **{**about.settings, **given})
    except UserError as error:
        if not about.model or error.exit_code != 2:
            raise
        found = ", ".join(f"{n} = {v}" for n, v in about.settings.items())
        told = f"`{weights}` says that it is of the model `{about.model}`{f' with {found}' if found else ''}"
        raise UserError([*error.diagnostics, Diagnostic("W604", told, severity="warning")]) from None
    tell(model.warnings)
    context = click.get_current_context()
    if isinstance(context.command, Verb):
        imports = {f"what `{file}` imports": [str(path) for path in model.files[1:]]}
        refuse_clashes(imports, context.command.outputs(context.params))
    return model


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """Those of `--set`, by name."""
    return given_once([setting(text) for text in texts], "the setting", "E620")


def _about(weights: str | None) -> About:
    from rnngraph.weights.metadata import About
    from rnngraph.weights.save_load import load_about

    return load_about(weights) if weights is not None else About()


def read_weights(model: Model, path: str | None, seed: int, dtype: str, start: bool = False) -> Weights:
    """The weights of a file, checked against the model, or new ones. Those of another model are refused, but where a
    training starts from them."""
    from rnngraph.exchange.conversion.detect import hint
    from rnngraph.weights.checks import check_weights
    from rnngraph.weights.metadata import differing_settings, other_model, refuse_other
    from rnngraph.weights.save_load import Weights, load_weights

    if path is None:
        return Weights(model.init(seed, dtype))
    given = load_weights(path)
    try:
        fitting = check_weights(model.weights, given, dtype)
    except UserError as error:
        if given.about and differing_settings(given.about, model.about):
            raise other_model(f"`{path}`", given.about, model.about) from None
        told = hint(given)
        if not told:
            raise
        raise UserError([*error.diagnostics, Diagnostic("E546", f"`{path}` has another layout", help=told)]) from None
    if not start:
        refuse_other(f"`{path}`", given.about, model.about)
    return Weights(fitting, given.about)


def read_trained(
    file: str, name: str | None, settings: Sequence[str], weights: str, **flags: str | None
) -> tuple[Model, RunOptions, Weights]:
    """A model as its weights know it, how it is run, and the weights."""
    from rnngraph.run_options import run_options

    model = read(file, name, settings, weights)
    options = run_options(model, **flags, dtype_default="float32")
    return model, options, read_weights(model, weights, 0, options.dtype)


def tell_written(path: str, written: Sequence[str], results: Iterable[str], quiet: bool) -> None:
    """Which results a file holds, and a warning of those that it cannot."""
    say(f"wrote {path}: {', '.join(written)}", err=quiet)
    if left := [name for name in results if name not in written]:
        warn(f"a table cannot hold {', '.join(left)}", help="an .npz, .json or .safetensors file can")


def given_once(pairs: Sequence[tuple[str, Any]], what: str, code: str) -> dict[str, Any]:
    """The pairs by name; UserError where one comes twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UserError(f"{what} `{name}` is given twice", code, "give it once")
        found[name] = value
    return found


def setting(text: str) -> tuple[str, Any]:
    """`units=64` as a name and a number, true or false, or a word."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UserError(f"`{text}` is not a setting", "E620", "write it as --set units=64")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def chance_told(weights: str | None, model: Model) -> None:
    """Warns where the numbers of a run or an export are drawn, and nobody asked for that by `--seed`."""
    source = click.get_current_context().get_parameter_source("seed")
    if weights is None and model.weights and source is not click.core.ParameterSource.COMMANDLINE:
        warn("no `--weights`: the weights are random numbers, by seed 0", "W601", "add `--seed 0` if this is intended")


def refuse_together(**given: object) -> None:
    """UserError where two options are given that say the same thing otherwise; by name, None where one is not."""
    told = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, ())]
    if len(told) > 1:
        raise UserError(f"{' and '.join(told)} exclude each other", "E623", "leave one of them out")


def tell_profiles(profiles: Mapping[str, Profile], picture: str | None, lines: int) -> None:
    """Charts of so many lines at the terminal (of none where that is 0), and a picture where one is asked for."""
    from rnngraph.cli.tables import profile_table
    from rnngraph.viz.profile import write_picture

    for task, profile in profiles.items() if lines else ():
        show_all(profile_table(task, profile, lines))
    if picture is not None:
        write_picture(profiles, picture, max(lines, 12))
        say(f"wrote {picture}", err=not lines)
