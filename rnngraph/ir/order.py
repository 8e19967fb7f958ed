"""In which order the user meets the axes of an array; inside they stand by name (`ir.types.Type`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from rnngraph.ir.graph import LOOP, Graph, Node, Value, body_nodes, loop_of
from rnngraph.ir.types import BATCH, Type, every

Order = tuple[str, ...]

DRAWS = ("uniform", "normal")
"""Ops that draw a number for each step: the axes of that stand as those of what is done with it."""


def batch_first(axes: Iterable[str]) -> Order:
    """The batch, then the axes of time as they stand."""
    return tuple(sorted(axes, key=lambda axis: axis != BATCH))


def orders_of(graph: Graph, given: Mapping[str, Order]) -> dict[str, Order]:
    """Of each output of an elaborated graph its axes as the user meets them: the batch, then those of time.

    The axis of an outer loop stands before what its steps hand out. Where no loop says it, the axes of a left operand
    stand before those of a right one; those of data stand as declared: `given`, by the names of inputs.
    """
    found = {graph.inputs[name]: order for name, order in given.items() if name in graph.inputs}
    if any(len(times(value.type)) > 1 for value in graph.outputs.values()):
        _follow(graph.nodes(), found)
    return {n: (*(BATCH,) * (BATCH in v.type.axes), *(found.get(v) or times(v.type))) for n, v in graph.outputs.items()}


def times(type: Type) -> Order:
    return tuple(axis for axis in type.axes if axis != BATCH)


def _follow(nodes: Iterable[Node], found: dict[Value, Order]) -> None:
    """Finds the order of times of every result; what a loop hands to its body is known before."""
    for node in nodes:
        if node.op is LOOP:
            _through(node, found)
        elif Value(node) not in found:
            orders = [found[v] for v in node.inputs] if node.op.name not in DRAWS else []
            found.update((value, _joined(orders, value.type)) for value in node.values)


def _through(node: Node, found: dict[Value, Order]) -> None:
    loop = loop_of(node)
    found.update((carry.param, found[carry.init]) for carry in loop.carries)
    found.update((capture.param, found[capture.outer]) for capture in loop.captures)
    found.update((s.param, tuple(a for a in found[s.sequence] if a != loop.axis)) for s in loop.slices)
    _follow(body_nodes(loop), found)
    ends = [found[carry.next] for carry in loop.carries]
    ends += [(loop.axis, *(found[v] or times(v.type))) for v in loop.stacks]
    found.update(zip(node.values, ends, strict=True))


def _joined(orders: Iterable[Order], type: Type) -> Order:
    """That of the operand that has all axes, else those of all operands one after the other; () if none has any."""
    wanted = times(type)
    if len(wanted) < 2:
        return wanted
    known = [tuple(_now(axis, wanted) for axis in order) for order in orders if order]
    known.sort(key=lambda order: not set(wanted) <= set(order))
    return tuple(axis for axis in dict.fromkeys(chain(*known, wanted)) if axis in wanted) if known else ()


def _now(axis: str, wanted: Order) -> str:
    """What an axis is called in the result: of `time` there may be every second step left, `time/2`."""
    return axis if axis in wanted else next((a for a in wanted if every(a)[0] == axis), axis)
