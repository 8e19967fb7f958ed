"""How much the loss of some rows counts beside that of others: by rows, by their real steps, or by a sum that it is
divided by, as of weights, of labels that are not ignored, or of steps before a `stop`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.compilation.schedule_checks import checked_schedule
from rnngraph.compiled import CompiledProgram
from rnngraph.data.lengths import LENGTHS
from rnngraph.ir.graph import INPUT, LOOP, ordered
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.model import Model
from rnngraph.runtime.choose_backend import backend_named
from rnngraph.training import batches
from rnngraph.training.additivity import Kind, of_parts, weight_of
from rnngraph.training.job import Weigh

WEIGHT = "weight"


def by_steps(model: Model, cut: Collection[str]) -> Weigh:
    """By the real steps along the axes over which the loss is a mean, by rows where it is over none; `cut` are the axes
    along which rows are cut into segments."""
    axes = {i.name: i.axes for i in model.inputs if i.axes}
    over = _averaged_over(model) or _averaged_along(model, cut)
    return lambda rows, weights: batches.weight(rows, axes, over)


def _averaged_over(model: Model) -> tuple[str, ...]:
    """The time axes over whose steps the loss is a mean; none where it is one of rows, or a sum of means over different
    axes."""
    nodes = ordered([model.graph.outputs["loss"].node])
    summed = [n.attrs["axes"] for n in nodes if n.op.name == "sum_axes" and BATCH in n.attrs["axes"]]
    axes = {tuple(axis for axis in found if axis != BATCH) for found in summed}
    return axes.pop() if len(axes) == 1 else ()


def _averaged_along(model: Model, cut: Collection[str]) -> tuple[str, ...]:
    """The axis of segments, where the loss is a mean over it in each row, or adds up such means: the last segment may
    be shorter."""
    means = (Kind.MEAN, Kind.SEVERAL)
    return tuple(axis for axis in cut if of_parts(model.for_training.graph, axis).kind in means)


def weigher(model: Model, axes: Collection[str], ragged: bool, dtype: str) -> Weigh | None:
    """By the sum that the loss is divided by, in the same type, where it is one of data, or counts; `axes` are those
    along which rows are cut. With `ragged` all rows have lengths, which may be all that the sum is of."""
    fed = model.states if axes else ()  # of later segments
    if weight_of(model.elaborated(ragged, fed, training=True).graph, axes) is None:
        return None
    elaborate = model.elaborator(dtype, training=True)

    def only(made: Elaborated) -> Elaborated:
        value = weight_of(made.graph, axes)
        assert value is not None, "first states change nothing about what the loss is divided by"
        return replace(made, graph=made.graph.with_outputs({WEIGHT: value}), outputs=(WEIGHT,))

    schedule = checked_schedule("dynamic", None, dtype, False)
    program = CompiledProgram(lambda _, fed: only(elaborate(ragged, fed)), schedule, backend_named("numpy"))
    nodes = program.graph.nodes()
    read = {node.attrs["name"] for node in nodes if node.op is INPUT}
    states = {s.name for s in program.made.states} if any(node.op is LOOP for node in nodes) else set[str]()

    def weigh(rows: Mapping[str, Any], weights: Mapping[str, Any]) -> float:
        told = {name for name in rows if name in program.read or name in states or name + LENGTHS in rows}
        given = {name: array for name, array in rows.items() if name in told or name.removesuffix(LENGTHS) in told}
        return float(program.run(given, {name: array for name, array in weights.items() if name in read})[WEIGHT])

    return weigh
