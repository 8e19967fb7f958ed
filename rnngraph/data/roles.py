"""What the inputs and outputs of a model are for, read from its graph: what is known, what is to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from msgspec import Struct, field

from rnngraph.ir.graph import INPUT, Graph, Value, ordered
from rnngraph.language.elaboration.elaborated import DataInput

VIEWS = frozenset(("identity", "reshape", "broadcast", "spread", "slice", "last", "last_within", "every", "cast"))
"""Ops that hand on what they are given, or part of it: numbers stay in their units."""
SCORES = frozenset(("log_softmax", "softmax", "inside"))
"""Ops that leave the order of scores, and the number of a class, as they are."""
Root = tuple[Value, tuple[str, ...]]
"""Where the numbers of a value come from, and which part of it they are."""


class Roles(Struct, frozen=True):
    """The inputs of a model in their order; those that only the loss and the metrics read are `targets`.

    `units` gives for an output the target that the loss subtracts it from, and no other, whose units it therefore has;
    `classes` gives for an output that chooses the likeliest of some scores the target that the loss picks one of these
    scores by, whose numbers it therefore says.
    """

    inputs: tuple[DataInput, ...]
    targets: frozenset[str]
    units: Mapping[str, str]
    classes: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> tuple[DataInput, ...]:
        return tuple(i for i in self.inputs if i.name not in self.targets)

    @property
    def axis(self) -> str:
        """The time axis along which the data are known; "" where no input is a sequence."""
        return next((i.axes[0] for i in (*self.known, *self.inputs) if i.axes), "")


def roles(inputs: Sequence[DataInput], graph: Graph, outputs: Sequence[str]) -> Roles:
    """The roles of the inputs of a graph, of which `outputs` are those that are no loss and no metric.

    Of a model without such outputs, all inputs are known.
    """
    read = _inputs_of(graph, outputs)
    judged = _inputs_of(graph, list(graph.outputs)) - read
    return Roles(
        tuple(inputs),
        frozenset(judged if outputs else ()),
        _units(graph, outputs, judged),
        _classes(graph, outputs, judged),
    )


def _inputs_of(graph: Graph, outputs: Sequence[str]) -> set[str]:
    """The data inputs that some outputs depend on."""
    nodes = ordered([graph.outputs[name].node for name in outputs])
    return {str(n.attrs["name"]) for n in nodes if n.op is INPUT and n.attrs["kind"] == "data"}


def _units(graph: Graph, outputs: Sequence[str], targets: set[str]) -> dict[str, str]:
    """The target of each output that the loss subtracts from one alone, as a whole."""
    if "loss" not in graph.outputs:
        return {}
    roots = {name: root(graph.outputs[name]) for name in outputs}
    found: dict[str, set[str]] = {}
    for node in ordered([graph.outputs["loss"].node]):
        if node.op.name == "sub":
            one, other = (root(value) for value in node.inputs)
            for mine, (target, part) in ((one, other), (other, one)):
                if not part and target.op is INPUT and target.node.attrs["name"] in targets:
                    for output in (n for n, root in roots.items() if root == mine):
                        found.setdefault(output, set()).add(str(target.node.attrs["name"]))
    return {output: name for output, (name, *more) in found.items() if not more}


def _classes(graph: Graph, outputs: Sequence[str], targets: set[str]) -> dict[str, str]:
    """The target of each output that is an argmax of the scores of which the loss picks one by that target."""
    picked: dict[Root, set[str]] = {}
    for node in ordered([graph.outputs["loss"].node] if "loss" in graph.outputs else []):
        if node.op.name == "pick":
            scores, (target, part) = (root(value, SCORES) for value in node.inputs)
            if not part and target.op is INPUT and target.node.attrs["name"] in targets:
                picked.setdefault(scores, set()).add(str(target.node.attrs["name"]))
    chosen = {n: v for n in outputs if (v := root(graph.outputs[n])[0]).op.name == "argmax"}
    found = {n: picked.get(root(v.node.inputs[0], SCORES), set()) for n, v in chosen.items()}
    return {n: min(names) for n, names in found.items() if len(names) == 1}


def root(value: Value, more: frozenset[str] = frozenset()) -> Root:
    parts: list[str] = []
    while value.op.name in VIEWS or value.op.name in more:
        source = value.node.inputs[0]
        if value.op.name == "slice" and source.type.shape != value.type.shape and prod(source.type.shape) > 1:
            parts.append(str(sorted((name, str(a)) for name, a in value.node.attrs.items())))
        value = source
    return value, tuple(parts)
