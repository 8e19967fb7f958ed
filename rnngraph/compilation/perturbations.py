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
    """The input `name`, (batch, steps, *shape), of which each step adds its own to the next value of a state. The
    output `own` says which steps are a row's own, where lengths alone do not."""

    name: str
    shape: tuple[int, ...]
    axis: str
    reverse: bool
    own: str = ""


def nudged(made: Elaborated) -> tuple[Elaborated, list[Nudge]]:
    """The model with such an input for each state of floats, of all loops over an axis of its data that are not inside
    of a step."""
    axes = {axis for i in made.inputs for axis in i.axes}
    found: list[Nudge] = []
    added: dict[str, Value] = {}
    own: dict[str, Value] = {}

    def change(node: Node, inputs: tuple[Value, ...]) -> Node | None:
        if node.op is not LOOP or loop_of(node).axis not in axes:
            return None
        loop = rebound(loop_of(node), inputs)
        sequences: dict[Value, Value] = {}
        mask = None if loop.lengths else next((c.next.node.inputs[0] for c in loop.carries if _masked(c, node)), None)
        told = f"own:{len(own)}" if mask else ""
        for value in dict.fromkeys(_new(carry, node) for carry in loop.carries):
            if value.type.dtype == "float" and value.type.axes == (BATCH,):
                type = value.type.with_axes((BATCH, loop.axis))
                nudge = Nudge(f"nudge:{len(found)}", type.shape, loop.axis, loop.reverse, told)
                found.append(nudge)
                sequences[value] = added[nudge.name] = graph_input(nudge.name, "data", type)
        changed = loop_node(_with_sums(loop, sequences, (mask,) if mask else ()), node.origin)
        if mask:
            own[told] = changed.values[-1]
        return changed

    values = Rewriter(change).run(made.graph.outputs.values())
    graph = Graph({**made.graph.inputs, **added}, {**dict(zip(made.graph.outputs, values, strict=True)), **own})
    more = [DataInput(n.name, added[n.name].type, (n.axis,), None) for n in found]
    orders = {**made.orders, **{n.own: (BATCH, n.axis) for n in found if n.own}}
    return replace(made, graph=graph, inputs=(*made.inputs, *more), orders=orders), found


def _new(carry: Carry, loop: Node) -> Value:
    """The next value before the mask that keeps the old one behind the end of a row: outputs read that."""
    return carry.next.node.inputs[1] if _masked(carry, loop) else carry.next


def _masked(carry: Carry, loop: Node) -> bool:
    """Whether a state is kept behind the end of a row. What does that has the place of the loop in the text, and so is
    told from a choice of the cell's own."""
    node = carry.next.node
    return node.op is WHERE and node.inputs[2] == carry.param and node.origin.span == loop.origin.span


def _with_sums(loop: Loop, sequences: Mapping[Value, Value], handed_out: tuple[Value, ...]) -> Loop:
    """The loop in whose body every use of these values is that of their sum with a step of a sequence, and that hands
    out some more of each step."""
    slices = {value: Slice(s, body_param(s.node.attrs["name"], value.type)) for value, s in sequences.items()}

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not any(value in slices for value in node.values):
            return None
        new = rebuilt(node, inputs).values
        return tuple(
            call("add", n, slices[v].param) if v in slices else n for v, n in zip(node.values, new, strict=True)
        )

    body = with_results(loop, Rewriter(change).run((*loop.results, *handed_out)))
    return replace(body, slices=(*loop.slices, *slices.values()))
