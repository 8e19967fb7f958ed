"""The lengths of data over several axes as these are given: one array, with a column for each axis."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from rnngraph.ir.graph import INPUT, Graph, Node, Value, graph_input, rewrite
from rnngraph.ir.types import BATCH, Type
from rnngraph.language.elaboration.elaborated import DataInput
from rnngraph.ops import call

LENGTHS, BETWEEN = "lengths@", "@"


def axes_of_lengths(name: str) -> list[str]:
    """The axes along which an input tells the lengths of rows."""
    return name.removeprefix(LENGTHS).split(BETWEEN)


def with_lengths_as_given(graph: Graph, inputs: Iterable[DataInput]) -> Graph:
    """The graph that takes the lengths along an axis from those of the first data over it, over most axes first."""
    most_first = sorted((i for i in inputs if i.axes), key=lambda i: -len(i.axes))
    homes = {axis: item.axes for item in reversed(most_first) for axis in item.axes}
    joint = {axes: _joint(axes) for axes in homes.values() if len(axes) > 1}

    def change(node: Node, _: tuple[Value, ...]) -> tuple[Value] | None:
        if node.op is not INPUT or node.attrs["kind"] != "lengths":
            return None
        (axis,) = axes_of_lengths(node.attrs["name"])
        axes = homes[axis]
        return (_column(joint[axes], axes.index(axis)),) if axes in joint else None

    named = {value.node.attrs["name"]: value for value in joint.values()}
    return replace(rewrite(graph, change), inputs={**graph.inputs, **named}) if joint else graph


def _joint(axes: tuple[str, ...]) -> Value:
    return graph_input(LENGTHS + BETWEEN.join(axes), "lengths", Type((BATCH,), (len(axes),), "int"))


def _column(lengths: Value, place: int) -> Value:
    return call("reshape", call("slice", lengths, dim=-1, start=place, stop=place + 1), shape=())
