"""The story, one function per verb: what `cli` calls with its arguments read, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnngraph.analysis.compare import compare as compare_costs
from rnngraph.analysis.cost import Cost
from rnngraph.analysis.equality import Asked
from rnngraph.analysis.results import Comparison, Profile
from rnngraph.compilation.variant import Signature
from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.data.shapes import LENGTHS
from rnngraph.debugging.nan_finder import explain, unusual
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.results import Rows, write_results
from rnngraph.ir.graph import Graph
from rnngraph.ir.identity import identity_of
from rnngraph.ir.types import BATCH
from rnngraph.model import LARGE_UNROLLING, Model, checked_memory, checked_schedule, load
from rnngraph.passes.pipeline import STAGES
from rnngraph.runtime.backends import backend_named
from rnngraph.texts import over_defaults
from rnngraph.training.checkpoint import Made
from rnngraph.training.config import FitConfig
from rnngraph.training.fit import EVALUATED, Fitted, Progress, evaluate, fit
from rnngraph.weights.checks import check_weights
from rnngraph.weights.files import load_weights, save_weights

if TYPE_CHECKING:
    from rnngraph.analysis.bench import Bench

# --- graphs ----------------------------------------------------------------------------------------------------------


def show(model: Model, after: str, unroll: str, steps: int | None, gradient: bool, padded: bool) -> str:
    """The text of the graph after a stage."""
    from rnngraph.ir.text import show as graph_text

    return graph_text(stage(model, after, unroll, steps, gradient, padded))


def kernels(model: Model, how: How, steps: int | None, gradient: bool, padded: bool) -> list[Any]:
    """The compiled kernels of a model's program (`runtime.native.listing.Listed`), and what is left to NumPy."""
    from rnngraph.kernels.listing import listed

    program = replace(how, kernels="native").compiled(model, steps, gradient=gradient)
    signature = Signature(padded, cotangents=model.differentiated if gradient else None)
    return listed(program.variant(signature).program.code)


def stage(
    model: Model, after: str, unroll: str, steps: int | None, gradient: bool, padded: bool = False
) -> Graph:
    """The graph after a stage of the pipeline; with `gradient`, of the loss (or of every float output); `padded` for
    data whose rows have lengths of their own."""
    if after not in STAGES:
        raise UserError(
            f"there is no stage `{after}`", "E610", did_you_mean(after, STAGES) or f"the stages are {', '.join(STAGES)}"
        )
    schedule = checked_schedule(unroll, steps, "float64", gradient)
    model.refuse_too_long(schedule)
    signature = Signature(padded, cotangents=model.differentiated if gradient else None)
    for name, graph in model.stages(schedule, signature):
        if name == after:
            return graph
    raise AssertionError("the pipeline has every stage")


@dataclass(frozen=True)
class How:
    """How to run a model: what `Model.compile` is told of it."""

    unroll: str = "dynamic"
    backend: str = "numpy"
    dtype: str = "float64"
    kernels: str = ""
    keep: str = "all"
    memory_limit: str = ""
    truncate: str = ""
    swap: str = ""

    def compiled(self, model: Model, steps: int | Mapping[str, int] | None = None, **more: Any) -> CompiledProgram:
        """The model compiled so; `steps` are those of a static program."""
        steps = steps if self.unroll == "static" else None
        settings = {
            "kernels": self.kernels or None,
            "keep": self.keep,
            "memory_limit": self.memory_limit or None,
            "truncate": self.truncate or None,
            "swap": self.swap,
        }
        return model.compile(self.unroll, steps, self.backend, self.dtype, **{**settings, **more})

    def training_step(self, model: Model, steps: int | Mapping[str, int] | None = None) -> CompiledProgram:
        """What a step of training runs."""
        return self.compiled(model, steps, **model.training_step)


def scheduled(model: Model, **flags: str | None) -> How:
    """How to run: flags over the model's `schedule` block over the defaults; `x_default` is a verb's own of `x`."""
    return How(**over_defaults(model.made.schedule, **flags))


# --- running -----------------------------------------------------------------------------------------------------


def read_weights(model: Model, path: str | None, seed: int, dtype: str) -> Arrays:
    """The weights of a file, checked against the model, or new ones."""
    if path is None:
        return model.init(seed, dtype)
    given = load_weights(path)
    try:
        return check_weights(model.weights, given, dtype)
    except UserError as error:
        from rnngraph.exchange.conversion.detect import hint

        told = hint(given)
        if not told:
            raise
        raise UserError([*error.diagnostics, Diagnostic("E546", f"`{path}` is of another layout", help=told)]) from None


def steps_of(model: Model, data: Mapping[str, Any]) -> dict[str, int]:
    """The number of steps of each time axis, from the data."""
    found: dict[str, int] = {}
    for item in model.inputs:
        array = data.get(item.name)
        if item.axis and array is not None and np.ndim(array) >= 2:
            found.setdefault(item.axis, np.shape(array)[1])
    return found


def run(
    model: Model, data: Arrays, weights: str | None, seed: int, how: How, watch: tuple[str, ...]
) -> tuple[Arrays, Diagnostic | None]:
    """Every result of a model on data; where one holds a nan, what is to be said of it."""
    data = without_alphabet(data)
    program = how.compiled(model, steps_of(model, data), watch=watch)
    given, numbers = {"seed": np.int64(seed), **data}, read_weights(model, weights, seed, how.dtype)
    results = program.run(given, numbers)
    bad = unusual(results)
    if not bad:
        return results, None
    return results, explain(program, given, numbers) or Diagnostic("E532", f"`{bad[0]}` holds a nan")


def profiled(model: Model, data: Arrays, weights: str | None, seed: int, how: How) -> Profile:
    """Where the time of a run on data goes."""
    from rnngraph.analysis import bench

    data = without_alphabet(data)
    program = how.compiled(model, steps_of(model, data))
    return bench.profiled(program, {"seed": np.int64(seed), **data}, read_weights(model, weights, seed, how.dtype))


def save_results(path: str, model: Model, data: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[str, ...]:
    """Writes results in the form that the name of the file says; the names of those that are in it."""
    return write_results(path, results, table_rows(model, data, results))


def table_rows(model: Model, data: Mapping[str, Any], results: Mapping[str, Any]) -> Rows:
    """What one table has: every result with a value for each step of the same axis as the first that has steps; else
    every one with a value for each row."""
    axes = {n: model.graph.outputs[n].type.axes for n in results if n in model.graph.outputs}
    stepped = next((a for a in axes.values() if len(a) == 2 and a[-1] == BATCH), None)
    wanted = stepped or (BATCH,)
    names = tuple(n for n, found in axes.items() if found == wanted)
    given = [data[f"{i.name}{LENGTHS}"] for i in model.inputs if stepped and i.axis == stepped[0]
             and f"{i.name}{LENGTHS}" in data]  # fmt: skip
    return Rows(names, stepped is not None, np.asarray(given[0]) if given else None)


def unrolling_warning(model: Model, unroll: str, steps: Mapping[str, int] | int | None, gradient: bool) -> str:
    """What to say of a static graph that will be very large, or nothing."""
    if unroll != "static" or not steps:
        return ""
    nodes = model.static_nodes(checked_schedule("static", steps, "float64", gradient))
    if nodes < LARGE_UNROLLING:
        return ""
    return f"static unrolling makes about {nodes:,} nodes here; `--unroll dynamic` keeps one copy of the cell"


# --- training ----------------------------------------------------------------------------------------------------


def train(
    model: Model,
    data: Arrays,
    validation: Arrays | None,
    overrides: Mapping[str, Any],
    *,
    how: How,
    weights: str | None,
    checkpoint: str | None,
    resume: str | None,
    progress: Callable[[Progress], None] | None,
) -> Fitted:
    """Trains on data, by the model's `train` block and what overrides it."""
    if "loss" not in model.graph.outputs:
        raise UserError("the model has no loss to train on", "E611", "add `loss cross_entropy(scores, label)` to it")
    config = FitConfig.from_recipe(model.recipe, **overrides)
    data = without_alphabet(data)
    validation = None if validation is None else without_alphabet(validation)
    metrics = tuple(f"metric.{name}" for name in metric_names(model))
    steps = steps_of(model, data)
    program = how.training_step(model, steps)
    evaluator = how.compiled(model, steps, outputs=("loss", *metrics))
    program.check(data)
    if validation is not None:
        replace(how, unroll="dynamic").compiled(model).check(validation)
    sequences = {i.name: i.axis for i in model.inputs if i.axis} if how.unroll != "static" else {}
    return fit(
        program,
        read_weights(model, weights, config.seed, how.dtype),
        data,
        config,
        validation=validation,
        evaluator=evaluator,
        metrics=metric_names(model),
        frozen=[w.name for w in model.weights if w.frozen],
        sequences=sequences,
        path=checkpoint,
        resume=resume,
        model=made(model, how),
        progress=progress,
        explain=lambda rows, now: explain(program, rows, now, gradient=True),
        together=_together(how, config),
    )


def own_checkpoint(file: str, out: str | None) -> str:
    """Where training keeps its state while it runs, where the user names no place."""
    return f"{out or Path(file).stem}.checkpoint"


def chosen_optimiser(model: Model, name: str | None, arguments: Mapping[str, float | None]) -> Any:
    """The optimiser's name and settings: the flags over those of the `train` block, which another name discards."""
    given = {key: value for key, value in arguments.items() if value is not None}
    recipe = model.recipe.get("optimizer")
    known, settings = recipe if isinstance(recipe, tuple) else (recipe, {})
    if name is None and not given:
        return None
    return (name, given) if name and name != known else (known or "adam", {**settings, **given})


def metric_names(model: Model) -> list[str]:
    return [n.removeprefix("metric.") for n in model.graph.outputs if n.startswith("metric.")]


def made(model: Model, how: How) -> Made:
    """What makes a checkpoint this model's: all that its loss is computed by, and what else its gradients depend on."""
    graph = model.for_training.with_outputs({"loss": model.for_training.outputs["loss"]})
    frozen = [w.name for w in model.weights if w.frozen]
    settings = {"dtype": how.dtype, "truncate": how.truncate or None, "frozen": frozen or None}
    return Made(model.block.definition, identity_of(graph), settings)


def tester(model: Model, data: Arrays, how: How) -> Callable[[Arrays], dict[str, float]]:
    """Gives the loss and metrics on held-back data, by weights; the data are checked at once."""
    metrics = tuple(f"metric.{name}" for name in metric_names(model))
    program = replace(how, unroll="dynamic").compiled(model, outputs=("loss", *metrics))
    data = without_alphabet(data)
    program.check(data)
    together = _together(how, FitConfig.from_recipe(model.recipe))
    return lambda weights: dict(evaluate(program, data, weights, metric_names(model), together))


def _together(how: How, config: FitConfig) -> int:
    """How many rows are evaluated at once: within a limit no more than are trained on."""
    return config.batch if how.memory_limit else EVALUATED


# --- writing and streaming ---------------------------------------------------------------------------------------

ALPHABET = "alphabet"
"""The name, in data and in the notes of a weight file, of the characters that ids stand for."""


def without_alphabet(data: Mapping[str, Any]) -> Arrays:
    """The data without what is told of it."""
    return {name: array for name, array in data.items() if name != ALPHABET}


def keep_weights(path: str, weights: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Writes weights, with the alphabet of the data that they were trained on, where it has one."""
    notes = {ALPHABET: json.dumps([str(c) for c in np.asarray(data[ALPHABET]).tolist()])} if ALPHABET in data else {}
    save_weights(path, dict(weights), notes)


def alphabet_of(weights: str, path: str | None) -> list[str]:
    """The characters of a file, or those that stand in the weight file; none where there are none."""
    from rnngraph.files.tensors import read_tensors
    from rnngraph.language.syntax.parser import read_source

    if path is not None:
        return list(dict.fromkeys(read_source(Path(path)).text))
    _, notes = read_tensors(weights)
    return list(json.loads(notes.get(ALPHABET, "[]")))


def generated(
    model: Model,
    weights: str,
    prompt: str,
    data: Arrays,
    *,
    alphabet: str | None,
    end: str | None,
    tokens: str | None,
    scores: str | None,
    dtype: str,
    **style: Any,
) -> str:
    """The prompt and what the model writes after it, as text; as ids where there is no alphabet."""
    from rnngraph.generation import generate

    data = without_alphabet(data)
    use = generate.reader(model, tokens, scores, tuple(data))
    known = alphabet_of(weights, alphabet)
    if known:
        generate.check_vocabulary(use, known)
    begin = generate.encoded(prompt, known) if known else generate.ids(prompt, use)
    chosen = generate.Style(end=generate.end_token(end, known, use), **style)
    score = generate.scorer(model, use, read_weights(model, weights, 0, dtype), data, dtype, chosen.seed)
    found = begin + generate.written(score, begin, chosen, use.behind)
    return "".join(known[i] for i in found) if known else ",".join(map(str, found))


def streamed(
    model: Model, data: Arrays, weights: str | None, seed: int, dtype: str, lines: Iterable[str]
) -> Iterator[str]:
    """For each line of numbers one line of results; `data` may hold first states."""
    from rnngraph.generation.streaming import stream

    return stream(model, read_weights(model, weights, seed, dtype), lines, dtype, data)


# --- pictures and costs --------------------------------------------------------------------------------------------


BOXES, GRADIENT_BOXES = 400, 60
"""Boxes from which on instances are drawn closed; a backward pass crosses the whole picture, so it gets fewer."""


def render(
    model: Model, out: str, unroll: str, steps: int | None, opened: bool, fold: int, gradient: bool, detail: bool
) -> None:
    """Draws the model to a file whose ending says how."""
    from rnngraph.viz.files import write
    from rnngraph.viz.picture import picture

    graph = stage(model, "late cse" if gradient else "elaborate", "dynamic", None, gradient)
    drawn = picture(
        graph,
        model.block,
        unrolled=unroll == "static",
        steps=steps or 50,
        opened=opened,
        fold=fold,
        backward=gradient,
        budget=GRADIENT_BOXES if gradient and not detail else BOXES,
        detail=detail,
    )
    write(drawn, out)


def cost(model: Model, how: How, steps: int, batch: int, gradient: bool, padded: bool = False) -> Cost:
    """The bytes of a run, or of a training step, foretold; `padded` for data whose rows have lengths of their own."""
    from rnngraph.analysis import cost

    return cost.cost(model, how.training_step if gradient else how.compiled, steps, batch, padded)


def bench(model: Model, how: How, steps: int, batch: int, seconds: float, tell: Callable[[str], None]) -> Bench:
    """How fast the model is on this machine."""
    from rnngraph.analysis import bench

    compiled = {"infer": partial(how.compiled, model, steps), "train": partial(how.training_step, model, steps)}
    return bench.bench(model, how.dtype, compiled, steps, batch, seconds, tell)


def schedules(keep: str, memory_limit: str, truncate: str) -> tuple[str, ...]:
    """The rows asked for by lists such as `every:100,sqrt`; UserError for what is no schedule."""
    lists = {"keep": ("", keep), "memory_limit": ("within ", memory_limit), "truncate": ("truncate ", truncate)}
    named = [(o, word, v.strip()) for o, (word, text) in lists.items() for v in text.split(",") if v.strip()]
    for option, _, value in named:
        checked_memory(**{option: value})
    return tuple(word + value for _, word, value in named)


def compare(model: Model, how: How, asked: Asked, tell: Callable[[str], None]) -> Comparison:
    """Proof of equality and table of costs."""
    for mode in asked.modes:
        checked_schedule(mode, asked.steps[0], asked.dtype, True)
    return compare_costs(model, backend_named(how.backend, how.kernels or None), replace(asked), tell)


def draw_memory(model: Model, asked: Asked, path: str) -> None:
    """Draws what each mode holds in memory over the longest run."""
    from rnngraph.analysis.memory_timeline import panels
    from rnngraph.viz.memory import picture

    steps = max(asked.steps)
    heading = f"{model.block.definition}: bytes alive, {steps:,} steps, batch {asked.batch:,}, {asked.dtype}"
    picture(list(panels(model, asked)), heading, path)


__all__ = ["load", "save_weights"]
