"""A model trained on data: its programs, the loop, its checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.data.dataset import made_of
from rnngraph.data.lengths import lengths_of
from rnngraph.data.preprocessing import refuse_made_otherwise
from rnngraph.data.shape_checks import steps_of
from rnngraph.debugging.nan_finder import explain
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError, Warned
from rnngraph.distributed.processes import ALONE, Processes
from rnngraph.ir.identity import identity_of
from rnngraph.language.elaboration.streamable import obstacles
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.runtime.choose_backend import rounding_of
from rnngraph.training.additivity import refused_by_segments, warnings_of
from rnngraph.training.batches import row_count
from rnngraph.training.checkpoint import Made
from rnngraph.training.config import FitConfig
from rnngraph.training.evaluation import EVALUATED, evaluate
from rnngraph.training.fit import Fitted, fit
from rnngraph.training.gradient_norms import GradientNorms
from rnngraph.training.job import Progress
from rnngraph.training.loss_weighting import by_steps, weigher
from rnngraph.training.metric_accumulation import Evaluator
from rnngraph.training.sharding import check_part, refuse_others, with_shards
from rnngraph.training.updates import refuse_unheld
from rnngraph.weights.checks import check_weights
from rnngraph.weights.save_load import Weights


def train(
    model: Model,
    data: Mapping[str, Any],
    validation: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    *,
    options: RunOptions,
    weights: Mapping[str, Any] | None = None,
    checkpoint: str | None = None,
    resume: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    processes: Processes = ALONE,
    log_gradients: bool = False,
) -> Fitted:
    """Trains on data, by the model's `train` block and what overrides it; from new weights where none are given.

    Several `processes` call it together, with the same arguments, and have the same weights at its end. What fails on
    one of them is raised on all. With `log_gradients` the record of each epoch has the norms of the gradient, by weight
    and by steps back in time.

    UserError where the model has no loss, or the data do not fit it.
    """
    return processes.agreed(
        lambda: _trained(
            model, data, validation, overrides, options, weights, checkpoint, resume, progress, processes,
            log_gradients,
        )
    )  # fmt: skip


def _trained(
    model: Model,
    data: Mapping[str, Any],
    validation: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    options: RunOptions,
    weights: Mapping[str, Any] | None,
    checkpoint: str | None,
    resume: str | None,
    progress: Callable[[Progress], None] | None,
    processes: Processes,
    log_gradients: bool,
) -> Fitted:
    if "loss" not in model.graph.outputs:
        raise UserError("the model has no loss to train on", "E611", "add `loss cross_entropy(scores, label)` to it")
    if resume is not None and weights is not None:
        raise UserError("`resume` and `weights` exclude each other", "E623", "leave one of them out")
    if validation is not None:
        refuse_made_otherwise(made_of(validation), made_of(data), "the validation data", "the data")
    refuse_made_otherwise(made_of(data), _known(weights), "the data", "those that the weights were trained on")
    config = with_shards(FitConfig.from_recipe(model.recipe, **overrides), processes, resume)
    refuse_unheld(config.optimizer, options.dtype)
    made = identity(model, options)
    refuse_others(processes, made, config, data)
    first = None if weights is None else check_weights(model.weights, weights, options.dtype)
    steps: Mapping[str, int] = steps_of(model.inputs, data)
    states = tuple(s.name for s in model.states)
    if config.segment:
        steps = _cut(model, data, config, options, steps)
    cut = _axes_of(model, data) if config.segment else []
    ragged = bool(lengths_of(model.inputs, data))
    weigh = weigher(model, cut, ragged, options.dtype)
    if weigh is None and processes.rank == 0:
        for told in warnings_of(model.for_training.graph, config, cut, ragged):
            warnings.warn(Warned(told), stacklevel=2)
    program = options.training_step(model, steps, states=bool(config.segment))
    evaluator = Evaluator(model, options)
    whole = replace(options, unroll="dynamic").training_step(model) if config.segment else program
    check_part(whole.check, data, processes)
    if validation is not None:
        check_part(replace(options, unroll="dynamic").compiled(model).check, validation, processes)
    return fit(
        program,
        first or model.init(config.seed, options.dtype),
        data,
        config,
        validation=validation,
        evaluator=evaluator,
        metrics=evaluator.metrics,
        frozen=[w.name for w in model.weights if w.frozen],
        axes={i.name: i.axes for i in model.inputs if i.axes},
        weigh=weigh or by_steps(model, cut),
        states=states,
        trims=options.unroll != "static",
        path=checkpoint,
        resume=resume,
        model=made,
        about=replace(model.about, dtype=options.dtype, data={**_known(weights), **made_of(data)}),
        progress=progress,
        explain=lambda rows, now: explain(program, rows, now, gradient=True),
        norms=_norms(model, options) if log_gradients else None,
        together=lambda held, rows: _together(evaluator, held, rows, options, config),
        arrays=program.backend.whole,
        processes=processes,
    )


def _norms(model: Model, options: RunOptions) -> GradientNorms:
    """Of the loss, by a loop whatever the mode, without what is random in training."""
    return GradientNorms(replace(options, unroll="dynamic").compiled(model, gradient=True, outputs=("loss",)))


def _known(weights: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the weights that a training starts from tell of their data."""
    return weights.about.data if isinstance(weights, Weights) else {}


def _cut(
    model: Model, data: Mapping[str, Any], config: FitConfig, options: RunOptions, steps: Mapping[str, int]
) -> Mapping[str, int]:
    """The steps of a program for segments. UserError where a model cannot be run segment by segment."""
    axes, made = _axes_of(model, data), model.for_training
    graph = made.graph.with_outputs({"loss": made.graph.outputs["loss"]})
    found = [d for axis in axes for d in obstacles(graph, axis, {s.value for s in made.states}, True)]
    found += [d for axis in axes if (d := refused_by_segments(graph, axis))]
    whole = [i for i in model.inputs if not i.axes and i.name in model.roles.targets and i.name in data]
    found += [
        Diagnostic("E713", f"`{i.name}` has no steps, so it cannot be cut into segments", i.span) for i in whole
    ]
    if found:
        told = "this model cannot be trained segment by segment"
        raise UserError(replace(d, message=f"{told}: {d.message}") for d in found)
    size = int(config.segment or 0)
    if options.unroll == "static" and any(n % size for n in steps.values()):
        raise UserError(
            f"a static program is for one number of steps, and segments of {size} do not divide {steps}", "E713"
        )
    return dict.fromkeys(steps, size)


def _axes_of(model: Model, data: Mapping[str, Any]) -> list[str]:
    return sorted({axis for i in model.inputs if i.name in data for axis in i.axes})


ARGUMENTS = ("rate", "momentum", "decay")
"""Settings of an optimiser that stand in a recipe by themselves."""


def with_optimiser(model: Model, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe over the model's `train` block in which `ARGUMENTS` are settings of the optimiser that it names, else of
    the block's. UserError where they stand beside an optimiser that has its settings."""
    given = {name: recipe[name] for name in ARGUMENTS if recipe.get(name) is not None}
    chosen = recipe.get("optimizer")
    if isinstance(chosen, str | None):
        chosen = _optimiser(model, chosen, given)
    elif given:
        told = f"the optimizer has its settings, and `{min(given)}` is given beside it"
        raise UserError(told, "E702", "give it there")
    return {**{name: value for name, value in recipe.items() if name not in ARGUMENTS}, "optimizer": chosen}


def _optimiser(model: Model, name: str | None, given: Mapping[str, float]) -> Any:
    """Its name and settings: what is given over those of the `train` block, which another name discards."""
    recipe = model.recipe.get("optimizer")
    known, settings = recipe if isinstance(recipe, tuple) else (recipe, {})
    if name is None and not given:
        return None
    return (name, given) if name and name != known else (known or "adam", {**settings, **given})


def identity(model: Model, options: RunOptions) -> Made:
    """What makes a checkpoint this model's: all that its loss is computed by, and what else its gradients depend on."""
    whole = model.for_training.graph
    graph = whole.with_outputs({"loss": whole.outputs["loss"]})
    return Made(model.block.definition, identity_of(graph), beside_equations(model, options))


def beside_equations(model: Model, options: RunOptions) -> dict[str, Any]:
    """What the numbers of a training depend on beside equations, recipe and data."""
    frozen = [w.name for w in model.weights if w.frozen]
    settings = {"dtype": options.dtype, "truncate": options.truncate or None, "frozen": frozen or None}
    return {**settings, "products": rounding_of(options.products) or None}


def tester(
    model: Model,
    data: Mapping[str, Any],
    options: RunOptions,
    processes: Processes = ALONE,
    overrides: Mapping[str, Any] | None = None,
) -> Callable[[Mapping[str, Any]], dict[str, float]]:
    """Gives the loss and metrics on held-back data, by weights; the data are checked at once, by each of `processes`
    a part of them. `overrides` are those of the training that they come behind."""
    if "loss" not in model.graph.outputs:
        raise UserError("the model has no loss to evaluate", "E611", "add `loss cross_entropy(scores, label)` to it")
    evaluator = Evaluator(model, options)
    check_part(evaluator.check, data, processes)
    config = FitConfig.from_recipe(model.recipe, **(overrides or {}))
    together = _together(evaluator, data, row_count(data), options, replace(config, shards=1))
    return lambda weights: evaluate(evaluator, data, weights, evaluator.metrics, together, processes=processes)


def _together(
    evaluator: Evaluator, data: Mapping[str, Any], rows: int, options: RunOptions, config: FitConfig
) -> int:
    """How many rows are evaluated at once: within a limit no more than are trained on. CannotDo where there is no
    memory for that: nobody is to learn of it after an epoch."""
    most = config.batch if options.memory_limit else EVALUATED
    return evaluator.together(data, rows, min(most, -(-rows // (config.shards or 1))))
