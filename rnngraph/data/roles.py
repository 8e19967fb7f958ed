"""What the inputs and outputs of a model are for, read from its graph: what is known, what is to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnngraph.ir.graph import INPUT, Graph, Value, ordered
from rnngraph.language.elaboration.elaborated import DataInput

_VIEWS = frozenset(("identity", "reshape", "broadcast", "spread", "slice", "last", "last_within", "every", "cast"))
"""Ops that hand on what they are given, or part of it: numbers stay in their units."""


@dataclass(frozen=True)
class Roles:
    """The inputs of a model in their order; those that only the loss and the metrics read are `targets`.

    `units` gives for an output the target that the loss subtracts it from, whose units it therefore has.
    """

    inputs: tuple[DataInput, ...]
    targets: frozenset[str]
    units: Mapping[str, str]

    @property
    def known(self) -> tuple[DataInput, ...]:
        return tuple(i for i in self.inputs if i.name not in self.targets)

    @property
    def axis(self) -> str:
        """The time axis along which the data are known; "" where no input is a sequence."""
        return next((i.axis for i in (*self.known, *self.inputs) if i.axis), "")


def roles(inputs: Sequence[DataInput], graph: Graph, outputs: Sequence[str]) -> Roles:
    """The roles of the inputs of a graph, of which `outputs` are those that are no loss and no metric.

    Of a model without such outputs, all inputs are known.
    """
    read = _inputs_of(graph, outputs)
    judged = _inputs_of(graph, list(graph.outputs)) - read
    return Roles(tuple(inputs), frozenset(judged if outputs else ()), _units(graph, outputs, judged))


def _inputs_of(graph: Graph, outputs: Sequence[str]) -> set[str]:
    """The data inputs that some outputs depend on."""
    nodes = ordered([graph.outputs[name].node for name in outputs])
    return {str(n.attrs["name"]) for n in nodes if n.op is INPUT and n.attrs["kind"] == "data"}


def _units(graph: Graph, outputs: Sequence[str], targets: set[str]) -> dict[str, str]:
    roots = {name: _root(graph.outputs[name]) for name in outputs}
    found: dict[str, str] = {}
    for node in graph.nodes():
        if node.op.name == "sub":
            one, other = (_root(value) for value in node.inputs)
            for value, target in ((one, other), (other, one)):
                name = target.node.attrs.get("name") if target.op is INPUT else None
                if name in targets:
                    found |= {output: str(name) for output, root in roots.items() if root == value}
    return found


def _root(value: Value) -> Value:
    """What a value is a part of, or shows in another shape."""
    while value.op.name in _VIEWS:
        value = value.node.inputs[0]
    return value
