"""The graph of a model for one signature: with gradients where cotangents are told; and its program in two ways."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from rnngraph.compilation.calls import GRADIENT
from rnngraph.compilation.schedule import Gradient
from rnngraph.ir.graph import Graph, Value, graph_input, ordered
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.ops import const
from rnngraph.passes.pipeline import looped_stages
from rnngraph.planning.lowering import lower
from rnngraph.planning.program import Program

_LOOPED: WeakKeyDictionary[Elaborated, dict[Any, Graph]] = WeakKeyDictionary()


def looped(
    made: Elaborated,
    cotangents: tuple[str, ...] | None,
    gradient: Gradient,
    weighed: bool = False,
    whole_loops: bool = False,
) -> Graph:
    """The graph behind all passes that come before the mode is chosen. They run once for a model and a kind of
    device, whatever the modes and schedules that it is compiled for."""
    known = _LOOPED.setdefault(made, {})
    key = cotangents, weighed, cotangents is not None and gradient, whole_loops
    if key not in known:
        asked = differentiated(made, cotangents, gradient, weighed)
        *_, (_, known[key]) = looped_stages(*asked, whole_loops=whole_loops)
    return known[key]


def differentiated(
    made: Elaborated, cotangents: tuple[str, ...] | None, gradient: Gradient, weighed: bool = False
) -> tuple[Graph, list[tuple[Value, Value]] | None, dict[str, Value]]:
    """What `pipeline.stages` is told: the graph, the cotangents of outputs, and what gradients are wanted of."""
    if cotangents is None:
        return made.graph, None, {}
    graph, pairs = with_cotangents(made.graph, cotangents, weighed)
    return graph, pairs, _wanted(made, gradient)


def with_cotangents(
    graph: Graph, names: tuple[str, ...], weighed: bool = False
) -> tuple[Graph, list[tuple[Value, Value]]]:
    """The graph with an input for the cotangent of each named output; the loss's own is one, unless `weighed`."""
    inputs, pairs = dict(graph.inputs), list[tuple[Value, Value]]()
    for name in names:
        value = graph.outputs[name]
        if name == "loss" and not weighed:
            pairs.append((value, const(1.0)))
        else:
            inputs[f"cot:{name}"] = graph_input(f"cot:{name}", "cotangent", value.type)
            pairs.append((value, inputs[f"cot:{name}"]))
    return Graph(inputs, graph.outputs), pairs


def _wanted(made: Elaborated, gradient: Gradient) -> dict[str, Value]:
    inputs = made.graph.inputs
    wrt = {w.name: inputs[w.name] for w in made.weights if not w.frozen and w.name in inputs}
    if gradient == "weights":
        return wrt
    wrt |= {i.name: inputs[i.name] for i in made.inputs if i.type.dtype == "float" and i.name in inputs}
    return wrt | {s.name: s.value for s in made.states if s.type.dtype == "float"}


def in_two_ways(graph: Graph) -> Program:
    """The program of a gradient graph: first all outputs that are no gradients, then what they do not need."""
    early = {name: value for name, value in graph.outputs.items() if not name.startswith(GRADIENT)}
    first = set(ordered(value.node for value in early.values()))
    assert not any(n.op.name == "input" and n.attrs["kind"] == "cotangent" for n in first)
    return lower(graph, {node for node in graph.nodes() if node not in first}, early)
