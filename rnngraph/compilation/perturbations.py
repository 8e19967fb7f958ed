"""Zeros that are added to the states of a model's loops at every step: their gradient is that of the states."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Carry,
    Graph,
    Loop,
    Node,
    Rewriter,
    Slice,
    Value,
    body_param,
    graph_input,
    loop_node,
    loop_of,
    rebound,
    rebuilt,
)
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import with_results

WHERE = TABLE["where"]


class Nudge(Struct, frozen=True):
    """The input `name`, (batch, steps, *shape), of which each step adds its own to the next value of a state."""

    name: str
    shape: tuple[int, ...]
    axis: str
    reverse: bool


def nudged(made: Elaborated) -> tuple[Elaborated, list[Nudge]]:
    """The model with such an input for each state of floats, of all loops over an axis of its data that are not inside
    of a step."""
    axes = {axis for i in made.inputs for axis in i.axes}
    found: list[Nudge] = []
    added: dict[str, Value] = {}

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP or loop_of(node).axis not in axes:
            return None
        loop = rebound(loop_of(node), inputs)
        sequences: dict[Value, Value] = {}
        for value in dict.fromkeys(_new(carry, node) for carry in loop.carries):
            if value.type.dtype == "float" and value.type.axes == (BATCH,):
                type = value.type.with_axes((BATCH, loop.axis))
                nudge = Nudge(f"nudge:{len(found)}", type.shape, loop.axis, loop.reverse)
                found.append(nudge)
                sequences[value] = added[nudge.name] = graph_input(nudge.name, "data", type)
        return loop_node(_with_sums(loop, sequences), node.origin)

    values = Rewriter(change).run(made.graph.outputs.values())
    graph = Graph({**made.graph.inputs, **added}, dict(zip(made.graph.outputs, values, strict=True)))
    more = [DataInput(n.name, added[n.name].type, (n.axis,), None) for n in found]
    return replace(made, graph=graph, inputs=(*made.inputs, *more)), found


def _new(carry: Carry, loop: Node) -> Value:
    """The next value before the mask that keeps the old one behind the end of a row: outputs read that. The mask has
    the place of the loop in the text, and so is told from a choice of the cell's own."""
    value = carry.next
    masked = value.op is WHERE and value.node.inputs[2] == carry.param and _place(value.node) == _place(loop)
    return value.node.inputs[1] if masked else value


def _place(node: Node) -> object:
    return node.origin.span


def _with_sums(loop: Loop, sequences: Mapping[Value, Value]) -> Loop:
    """The loop in whose body every use of these values is that of their sum with a step of a sequence."""
    slices = {value: Slice(s, body_param(s.node.attrs["name"], value.type)) for value, s in sequences.items()}

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not any(value in slices for value in node.values):
            return None
        new = rebuilt(node, inputs).values
        return tuple(
            call("add", n, slices[v].param) if v in slices else n for v, n in zip(node.values, new, strict=True)
        )

    body = with_results(loop, Rewriter(change).run(loop.results))
    return replace(body, slices=(*loop.slices, *slices.values()))
