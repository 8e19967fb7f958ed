"""The flags of `export`: whether each has something to act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rnngraph.diagnostics.errors import UserError
from rnngraph.model import Model


def axes_of_data(model: Model) -> set[str]:
    """The axes whose number of steps the data bring."""
    return {axis for i in model.inputs for axis in i.axes}


def refuse_idle(model: Model, flags: Mapping[str, Any]) -> None:
    """UserError for a flag that was written and would change nothing. `flags` are those written, by parameter."""
    for message, help in _idle(model, flags):
        raise UserError(message, "E681", help)


def _idle(model: Model, flags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name, static = model.block.name, flags.get("unroll") == "static"
    if "operators" in flags and flags["target"] != "onnx":
        yield "`--operators` is for `--to onnx`", ""
    if "steps" in flags and not static:
        yield "`--steps` is for a static export", "write `--unroll static` beside it; a dynamic one runs any number"
    if static and not model.nodes_per_step and not axes_of_data(model):
        yield f"`{name}` has no steps to unroll", "leave the flag out"
    if static and "steps" in flags and not axes_of_data(model):
        yield f"`{name}` fixes its own number of steps", "leave out `--steps`"
    if "loss" in flags and not any(n == "loss" or n.startswith("metric.") for n in model.graph.outputs):
        yield f"`{name}` has neither a loss nor a metric", "leave out `--loss`"
    if flags.get("lengths") and not axes_of_data(model):
        yield f"`{name}` takes no sequence, so it has no lengths", "leave out `--lengths`"
    if flags.get("states") and not model.states:
        yield f"`{name}` has no state that can be an input", "name the final states: `y, final = unroll ...`"
