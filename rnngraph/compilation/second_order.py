"""Models made of a model: its slope along a direction, whose gradient is the Hessian times that direction; its outputs,
differentiated along one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from rnngraph.ir.graph import Graph, Value, graph_input
from rnngraph.language.elaboration.elaborated import Elaborated, Initial, Weight
from rnngraph.ops import call, const, zeros
from rnngraph.passes.nested_gradients import slopes
from rnngraph.passes.truncation import truncated

ALONG = "along:"
"""What the name of a direction begins with, before that of a weight or an input."""


def slope_along(made: Elaborated) -> Elaborated:
    """The model whose loss is how the loss changes along a direction of all trained weights, `along:NAME` each, however
    gradients are truncated otherwise."""
    graph = truncated(made.graph, differentiated=False)
    made = replace(made, graph=graph)
    wrt = {w.name: graph.inputs[w.name] for w in made.weights if not w.frozen and w.name in graph.inputs}
    found = slopes([(graph.outputs["loss"], const(1.0))], wrt)
    return _with_directions(made, wrt, lambda along: {"loss": _along(found, along)})


def outputs_along(made: Elaborated) -> Elaborated:
    """The model whose outputs, and loss, are how those of this one change along a direction of weights and inputs.

    The reverse pass is linear in the cotangents, so its derivative with respect to them is the forward derivative
    (J. Townsend 2017, "A new trick for calculating Jacobian vector products").
    """
    graph = made.graph
    wrt = {n: v for n, v in graph.inputs.items() if v.type.dtype == "float" and _kind(v) in ("weight", "data")}
    shown = {n: v for n, v in graph.outputs.items() if v.type.dtype == "float" and not n.startswith("metric.")}
    return _with_directions(made, wrt, lambda along: {n: _output_along(v, wrt, along) for n, v in shown.items()})


def _kind(value: Value) -> str:
    kind: str = value.node.attrs["kind"]
    return kind


def _with_directions(
    made: Elaborated, wrt: Mapping[str, Value], outputs: Callable[[Mapping[str, Value]], dict[str, Value]]
) -> Elaborated:
    """The model with a direction for each of some weights and inputs; of inputs it is 0 where it is not given."""
    along = {n: graph_input(ALONG + n, _kind(v), v.type, v.node.origin) for n, v in wrt.items()}
    weights = [
        Weight(ALONG + w.name, w.shape, Initial("zeros"), True, w.span) for w in made.weights if w.name in wrt
    ]
    inputs = [replace(i, name=ALONG + i.name, default=0.0) for i in made.inputs if i.name in wrt]
    named = {ALONG + n: v for n, v in along.items()}
    return replace(
        made,
        graph=Graph({**made.graph.inputs, **named}, outputs(along)),
        weights=(*made.weights, *weights),
        inputs=(*made.inputs, *inputs),
        outputs=(),
    )


def _along(found: Mapping[str, Value], along: Mapping[str, Value]) -> Value:
    """The sum of all products of a slope and its direction."""
    parts = [_summed(call("mul", found[name], along[name], origin=found[name].node.origin)) for name in found]
    total = parts[0] if parts else const(0.0)
    for part in parts[1:]:
        total = call("add", total, part, origin=part.node.origin)
    return total


def _summed(value: Value) -> Value:
    origin = value.node.origin
    if value.type.shape:
        value = call("sum", value, origin=origin, dims=tuple(range(-len(value.type.shape), 0)))
    return call("sum_axes", value, origin=origin, axes=value.type.axes) if value.type.axes else value


def _output_along(output: Value, wrt: Mapping[str, Value], along: Mapping[str, Value]) -> Value:
    cotangent = zeros(output.type, output.node.origin)
    slope = _along(slopes([(output, cotangent)], wrt, "kept"), along)
    return slopes([(slope, const(1.0))], {"": cotangent})[""]
