"""A model trained on data: its programs, the loop, its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rnngraph.compiled import Arrays
from rnngraph.data.alphabet import without_alphabet
from rnngraph.data.shapes import steps_of
from rnngraph.debugging.nan_finder import explain
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.identity import identity_of
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.training.checkpoint import Made
from rnngraph.training.config import FitConfig
from rnngraph.training.fit import EVALUATED, Fitted, Progress, evaluate, fit


def train(
    model: Model,
    data: Arrays,
    validation: Arrays | None,
    overrides: Mapping[str, Any],
    *,
    options: RunOptions,
    weights: Arrays | None = None,
    checkpoint: str | None = None,
    resume: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Trains on data, by the model's `train` block and what overrides it; from new weights where none are given.

    UserError where the model has no loss, or the data do not fit it.
    """
    if "loss" not in model.graph.outputs:
        raise UserError("the model has no loss to train on", "E611", "add `loss cross_entropy(scores, label)` to it")
    config = FitConfig.from_recipe(model.recipe, **overrides)
    data = without_alphabet(data)
    validation = None if validation is None else without_alphabet(validation)
    metrics = tuple(f"metric.{name}" for name in metric_names(model))
    steps = steps_of(model.inputs, data)
    program = options.training_step(model, steps)
    evaluator = options.compiled(model, steps, outputs=("loss", *metrics))
    program.check(data)
    if validation is not None:
        replace(options, unroll="dynamic").compiled(model).check(validation)
    sequences = {i.name: i.axis for i in model.inputs if i.axis} if options.unroll != "static" else {}
    return fit(
        program,
        model.init(config.seed, options.dtype) if weights is None else weights,
        data,
        config,
        validation=validation,
        evaluator=evaluator,
        metrics=metric_names(model),
        frozen=[w.name for w in model.weights if w.frozen],
        sequences=sequences,
        path=checkpoint,
        resume=resume,
        model=identity(model, options),
        progress=progress,
        explain=lambda rows, now: explain(program, rows, now, gradient=True),
        together=_together(options, config),
        arrays=program.backend.whole,
    )


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


def identity(model: Model, options: RunOptions) -> Made:
    """What makes a checkpoint this model's: all that its loss is computed by, and what else its gradients depend on."""
    graph = model.for_training.with_outputs({"loss": model.for_training.outputs["loss"]})
    frozen = [w.name for w in model.weights if w.frozen]
    settings = {"dtype": options.dtype, "truncate": options.truncate or None, "frozen": frozen or None}
    return Made(model.block.definition, identity_of(graph), settings)


def tester(model: Model, data: Arrays, options: RunOptions) -> Callable[[Arrays], dict[str, float]]:
    """Gives the loss and metrics on held-back data, by weights; the data are checked at once."""
    metrics = tuple(f"metric.{name}" for name in metric_names(model))
    program = replace(options, unroll="dynamic").compiled(model, outputs=("loss", *metrics))
    data = without_alphabet(data)
    program.check(data)
    together = _together(options, FitConfig.from_recipe(model.recipe))
    return lambda weights: dict(evaluate(program, data, weights, metric_names(model), together))


def _together(options: RunOptions, config: FitConfig) -> int:
    """How many rows are evaluated at once: within a limit no more than are trained on."""
    return config.batch if options.memory_limit else EVALUATED
