"""The gradient with respect to every state at every step: what the loops of the backward pass hand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnngraph.analysis.gradients_by_lag import ones_at_ends
from rnngraph.compilation.calls import to_user
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import CompiledProgram
from rnngraph.data.checks import Checked
from rnngraph.data.result_tables import apart
from rnngraph.explore.graph_json import instance_of
from rnngraph.ir.graph import LOOP, Graph, Node, Rewriter, Value, loop_node, loop_of, rebound
from rnngraph.ir.types import BATCH
from rnngraph.model import Model
from rnngraph.passes.bodies import with_results
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.runtime.numpy import NumpyBackend

Arrays = Mapping[str, Any]
Recorded = list[tuple[str, str, str]]
"""Of each recorded state its name, the axis of its loop, and the output of the graph that has it."""

LOSS, LAST = "the loss", "the last step's outputs"


def gradients_of_states(model: Model, data: Arrays, weights: Arrays) -> Iterator[tuple[str, str, str, Any]]:
    """What it is of, name, axis and array (batch, steps, ...) for every state of floats that a gradient reaches.

    At step t stands the gradient with respect to the state that step t begins with. It is of the loss, where there is
    one, and of the sum of what the last step outputs: how far back that reaches.
    """
    program = model.compile(gradient=True, kernels="numpy")
    program.made_up = True
    checked, told = program.check(data), program.telling_own_steps()
    own = {} if told is program else apart(told.run(data, weights))[1]
    for of, names in _asked(model):
        variant = program.variant(Signature(bool(checked.lengths), frozenset(checked.states), names))
        graph, recorded = with_states_recorded(variant.looped)
        results = _run(program, variant, graph, checked, weights, of, own)
        for name, axis, output in recorded:
            array = results[output].transpose(to_user(graph.outputs[output].type))
            yield of, name, axis, np.array(array)


def _asked(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    outputs = model.graph.outputs
    if "loss" in outputs:
        yield LOSS, ("loss",)
    floats = (n for n in model.outputs if outputs[n].type.dtype == "float")
    stepped = tuple(n for n in floats if set(outputs[n].type.axes) - {BATCH})
    if stepped:
        yield LAST, stepped


def with_states_recorded(graph: Graph) -> tuple[Graph, Recorded]:
    """The graph whose backward loops stack what they hand from step to step."""
    recorded: Recorded = []
    outputs: dict[str, Value] = {}

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP or not node.origin.backward:
            return None
        loop = loop_of(node)
        instance = instance_of(node)
        carried = [c for c in loop.carries if c.param.type.dtype == "float"]
        new = loop_node(rebound(with_results(loop, (*loop.results, *(c.next for c in carried))), inputs), node.origin)
        for index, carry in enumerate(carried, len(node.types)):
            output = f"state:{len(recorded)}"
            name = str(carry.param.node.attrs["name"]).removeprefix("d.")
            recorded.append((".".join((*instance, name)), loop.axis, output))
            outputs[output] = Value(new, index)
        return new

    rewriter = Rewriter(change)
    rewriter.run(graph.outputs.values())
    return graph.with_outputs(outputs), recorded


def _run(
    program: CompiledProgram, variant: Variant, graph: Graph, checked: Checked, weights: Arrays, of: str, own: Arrays
) -> Arrays:
    backend = NumpyBackend()
    lowered = backend.adapted(lower(graph), program.schedule.dtype)
    sizes = variant.all_sizes(checked.sizes)
    cotangents = _at_the_end(variant, sizes, checked.lengths, own) if of == LAST else {}
    inputs = {name: program.input(name, variant, checked, cotangents) for name in lowered.inputs}
    bound = backend.bound(lowered, plan(lowered, sizes, program.schedule.dtype))
    with np.errstate(all="ignore"):
        return bound.run(inputs, weights)


def _at_the_end(variant: Variant, sizes: Mapping[str, int], lengths: Arrays, own: Arrays) -> Arrays:
    """For each output a cotangent of ones at each row's own last step, and of zeros elsewhere."""
    outputs = variant.elaborated.graph.outputs
    return {
        name: ones_at_ends(variant.orders[name], sizes, outputs[name].type.shape, lengths, own.get(name))
        for name in variant.signature.cotangents or ()
    }
